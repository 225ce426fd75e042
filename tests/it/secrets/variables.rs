//! Where secret variables come from and where they are.

use serde_json::json;

use super::{ENCODED, assert_hidden, referred, secret, world};

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
