//! A submission with a Secret that is interrupted, refused, or saved for later.

use std::fs;

use serde_json::json;

use super::{CANARY, ENCODED, assert_hidden, forget_calls, secret, world};
use crate::support::{World, program};

#[test]
fn a_submission_that_was_cut_off_needs_the_value_again() {
    let mut world = world();
    world.on("*' create '*'-o name'*", "kill -9 $PPID; exit 1");
    assert_eq!(world.run(&["run", "--secret-env", "HF_TOKEN", "train.py"]).code, 137);
    let journal = world.journals().into_iter().find_map(|name| Some(name.strip_suffix(".json")?.to_owned())).unwrap();
    world.on("*' create '*'-o name'*", "echo made; exit 0");
    world.on("*' get job/'*", "cat \"$world\"/calls/*.stdin | grep -v '\"data\"' | head -1000 >/dev/null; exit 0");
    fs::remove_dir_all(world.path("calls")).unwrap();
    fs::create_dir(world.path("calls")).unwrap();
    world.env("HF_TOKEN", "");
    let refused = world.run(&["run", "--resume", &journal]);
    assert_eq!(refused.code, 2);
    assert!(refused.stderr.contains("error: the variable `HF_TOKEN` is empty or not set\n"), "{}", refused.stderr);
    // nothing is forgotten: the Job may be there, and waits
    assert!(world.journals().contains(&format!("{journal}.json")));
    world.env("HF_TOKEN", CANARY);
    world.run(&["run", "--resume", &journal]).ok();
    assert_eq!(secret(&world)["data"]["HF_TOKEN"], ENCODED);
    assert!(world.journals().is_empty());
    assert_hidden(&world, 1);
}

#[test]
fn a_file_with_bare_names_finishes_a_run_that_was_cut_off() {
    let mut world = world();
    world.write("vision/a.env", "A=1\nHF_TOKEN\n");
    world.on("*' create '*'-o name'*", "kill -9 $PPID; exit 1");
    assert_eq!(world.run(&["run", "--secret-env", "HF_TOKEN", "--env-file", "a.env", "train.py"]).code, 137);
    let journal = world.journals().into_iter().find_map(|name| Some(name.strip_suffix(".json")?.to_owned())).unwrap();
    forget_calls(&world);
    world.on("*' create '*'-o name'*", "echo made; exit 0");
    // a name alone makes nothing of the environment out of what was in a file
    world.write("vision/b.env", "A=2\nHF_TOKEN\nHOME\n");
    world
        .run(&["run", "--resume", &journal, "--env-file", "b.env", "--env-file", "c.env"])
        .fails(2, "error: there is no file `[DIR]/vision/c.env`\n");
    world.write("vision/c.env", "A\n");
    world.run(&["run", "--resume", &journal, "--env-file", "b.env", "--env-file", "c.env"]).ok();
    assert_eq!(secret(&world)["data"], json!({"HF_TOKEN": ENCODED, "A": "Mg=="}));
}

#[test]
fn a_job_whose_secret_is_refused_is_taken_back() {
    let mut world = world();
    world.on(
        "*--validate=false*",
        "echo 'Error from server (Forbidden): secrets is forbidden: User \"anna\" cannot create resource \"secrets\"' >&2; exit 1",
    );
    world.on("*' delete jobs '*", "echo gone; exit 0");
    let outcome = world.run(&["run", "--secret-env", "HF_TOKEN", "train.py"]);
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""));
    assert!(
        outcome.stderr.contains(
            "error: failed to put the secret variables of `train-[ID]` into the cluster; nothing was submitted\n"
        ),
        "{}",
        outcome.stderr
    );
    assert_eq!(world.calls_with(" delete jobs ").len(), 1);
    assert!(world.journals().is_empty());
}

/// What comes of a Secret that is there, after `lost` answers, where the cluster shows `shown` of it.
fn with_a_secret_that_is_there(lost: u32, shown: &str) -> (World, crate::support::Outcome) {
    let mut world = world();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    let exists = r#"echo 'Error from server (AlreadyExists): secrets "x" already exists' >&2; exit 1"#;
    world.on(
        "*--validate=false*",
        &format!(
            r#"cp "$call.stdin" "$world/own.json"; echo >>"$world/tries"
            if [ $(wc -l <"$world/tries") -le {lost} ]; then echo 'Unable to connect to the server: EOF' >&2; exit 1; fi
            {exists}"#
        ),
    );
    world.on("*' get secret/train-'*", shown);
    world.on("*' delete jobs '*", "echo gone; exit 0");
    let outcome = world.run(&["run", "--secret-env", "HF_TOKEN", "train.py"]);
    (world, outcome)
}

/// Everybody who may list Jobs knows the name that the Secret will have.
#[test]
fn a_secret_that_somebody_else_was_faster_to_create_is_not_used() {
    let own = r#"cat "$world/own.json"; exit 0"#;
    for (lost, shown) in [
        (0, own),
        (1, r#"sed 's/"HF_TOKEN":"[^"]*"/"HF_TOKEN":"eA=="/' "$world/own.json"; exit 0"#),
        (1, r#"sed 's/"immutable":true,//' "$world/own.json"; exit 0"#),
        (1, r#"echo '{"kind": "List", "items": []}'; exit 0"#),
    ] {
        let (world, outcome) = with_a_secret_that_is_there(lost, shown);
        let words = "error: the cluster has another Secret under the name of the run `train-[ID]`";
        assert!(outcome.code == 1 && outcome.stderr.contains(words), "{outcome:?}");
        assert_eq!((world.calls_with(" delete jobs ").len(), world.calls_with(" patch job/").len()), (1, 0));
        // who was refused the first time at once has none there
        assert_eq!(world.calls_with(" get secret/").len(), lost as usize);
        assert!(world.journals().is_empty());
    }
    // an earlier try got through
    let (world, outcome) = with_a_secret_that_is_there(1, own);
    assert!(outcome.ok().stdout == "train-[ID]\n" && world.calls_with(" patch job/").len() == 1);
    let refused = "echo 'Error from server (Forbidden): secrets \"x\" is forbidden: User \"anna\" cannot get resource \"secrets\"' >&2; exit 1";
    let outcome = with_a_secret_that_is_there(1, refused).1.ok();
    assert!(outcome.stderr.contains("warning: you may not read the Secret `train-[ID]-env`"), "{outcome:?}");
}

#[test]
fn a_saved_run_takes_the_values_from_whoever_submits_it() {
    let world = world();
    world.run(&["run", "--secret-env", "HF_TOKEN", "--image", "a/b", "--out", "saved", "train.py"]).ok();
    let shown = world.run(&["run", "--secret-env", "HF_TOKEN", "--image", "a/b", "--dry-run", "train.py"]).ok().stdout;
    assert!(shown.contains("\"$(printf %s \\\"$HF_TOKEN\\\"") || shown.contains("$(printf %s"), "{shown}");
    assert!(!shown.contains(ENCODED) && !shown.contains("ary"), "{shown}");
    assert_hidden(&world, 0);
    let mut world = world;
    world.on("*' get job '*'-o jsonpath='*", "printf u-9; exit 0");
    world.command(&["version", "--client"]).status().unwrap();
    let script = |value: &str| {
        let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
        let mut command = program("sh");
        command.arg(world.path("vision/saved/run.sh")).env("PATH", path);
        if value.is_empty() {
            command.env_remove("HF_TOKEN")
        } else {
            command.env("HF_TOKEN", value)
        };
        command.output().unwrap()
    };
    let unset = script("");
    assert!(!unset.status.success() && String::from_utf8_lossy(&unset.stderr).contains("HF_TOKEN"));
    fs::remove_dir_all(world.path("calls")).unwrap();
    fs::create_dir(world.path("calls")).unwrap();
    let output = script(CANARY);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let secret = secret(&world);
    assert_eq!(secret["data"]["HF_TOKEN"], ENCODED);
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], "u-9");
}
