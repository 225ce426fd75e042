//! Which run a name means.

use serde_json::json;

use crate::objects::{job, one, showing};
use crate::support::World;

#[test]
fn a_run_may_be_named_with_its_kind() {
    let mut world = one("Succeeded");
    world.on("*'/log?'*", "printf '2026-11-23T06:00:00Z hello\\n'; exit 0").on("*' delete jobs '*", "exit 0");
    for kind in ["job.batch/", "jobs.batch/", "job/", "jobs/"] {
        let run = format!("{kind}train-x");
        assert_eq!(world.run(&["status", "-o", "name", &run]).ok().stdout, "job.batch/train-x\n");
        assert_eq!(world.run(&["logs", &run]).ok().stdout, "hello\n");
        assert_eq!(world.run(&["delete", &run]).ok().stdout, "job.batch/train-x deleted from vision\n");
    }
    assert!(world.calls_with(" -l ").iter().all(|call| call.line().contains(" -l mrunner/run=train-x ")));
    World::new().run(&["run", "--resume", "job.batch/train-x"]).fails(
        1,
        "error: no unfinished run is called `train-x`
hint: nothing is unfinished; see the runs with `kubectl mrunner status`
",
    );
}

#[test]
fn a_job_with_the_label_of_another_run_is_told_as_such() {
    let mut world = World::new();
    let mut odd = job("train-x", "Failed");
    odd["metadata"]["labels"]["mrunner/run"] = json!("train-y");
    world.shows(&[odd]);
    world.on("*'mrunner/run='*", "exit 0");
    world.run(&["delete", "-n", "vision", "train-x"]).fails(
        1,
        "error: nothing was deleted: no run is called `train-x` in the namespace `vision`
  cause: the Job `train-x` in `vision` has the label `mrunner/run` of another run
hint: mrunner creates no such Job; its owner can delete it with `kubectl -n vision delete job train-x`
",
    );
}

#[test]
fn a_run_that_is_not_there_is_told_with_the_nearest() {
    let mut world = one("Running");
    world.on("*'mrunner/run='*", "exit 0");
    world.run(&["status", "trian-x"]).fails(
        1,
        "error: no run is called `trian-x` in the cluster
hint: did you mean `train-x`?
",
    );
    world.run(&["logs", "nothing-like-it"]).fails(
        1,
        "error: no run is called `nothing-like-it` in the cluster
hint: see the runs with `kubectl mrunner status`
hint: if its Job is gone, what it left is found with `--project NAME`
",
    );
    world.run(&["delete", "-n", "vision", "train-y"]).fails(
        1,
        "error: nothing was deleted: no run is called `train-y` in the namespace `vision`
hint: did you mean `train-x`?
",
    );
    world.run(&["logs", "No Run!"]).fails(
        1,
        "error: no run is called `No Run!` in the cluster
hint: see the runs with `kubectl mrunner status`
",
    );
    assert!(world.calls_with(" delete ").is_empty());
}

#[test]
fn a_run_in_two_namespaces_must_be_chosen() {
    let mut other = job("train-x", "Running");
    other["metadata"]["namespace"] = "team".into();
    showing(&[job("train-x", "Running"), other]).run(&["logs", "train-x"]).fails(
        1,
        "error: runs called `train-x` are in several namespaces: `vision`, `team`
hint: name one with `-n vision`
",
    );
}

/// Everybody who may create Jobs may give theirs the label of somebody else's run.
#[test]
fn a_job_with_the_label_of_a_run_is_not_that_run() {
    let named = |name: &str| {
        let mut other = job(name, "Failed");
        other["metadata"]["labels"]["mrunner/run"] = "train-x".into();
        other
    };
    for others in [vec![named("evil")], vec![named("train-xx"), named("train-")]] {
        let world = showing(&others);
        for words in [&["status"][..], &["logs"], &["logs", "-f"], &["results"], &["delete"], &["rerun"], &["describe"]]
        {
            let outcome = world.run(&[words, &["-n", "vision", "train-x"]].concat());
            assert!(
                outcome.code == 1 && outcome.stderr.contains("no run is called `train-x`") && outcome.stdout.is_empty(),
                "{words:?}: {} {}{}",
                outcome.code,
                outcome.stdout,
                outcome.stderr
            );
        }
        assert!(world.calls_with(" delete ").is_empty());
    }
    // nor does it make the run's name one of two
    let status = showing(&[job("train-x", "Running"), named("evil")]).run(&["status", "train-x"]).ok();
    assert!(status.stdout.contains("train-x") && !status.stdout.contains("evil"), "{}", status.stdout);
}
