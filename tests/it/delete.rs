//! `delete`.

use serde_json::json;

use crate::objects::{job, showing};
use crate::support::World;

#[test]
fn delete_takes_the_runs_that_were_named() {
    let mut world = showing(&[job("train-x", "Running")]);
    world.on("*' delete jobs '*", "exit 0");
    let outcome = world.run(&["delete", "train-x"]).ok();
    assert_eq!(outcome.stdout, "job.batch/train-x deleted from vision\n");
    assert_eq!(
        outcome.stderr,
        "  $ kubectl --context kube-lab -n vision delete jobs --cascade=background --ignore-not-found -o name train-x\nwhat they left in the storage stays\n"
    );
    world.run(&["delete"]).fails(
        2,
        "error: no run is named
hint: name one, or say `--tag TAG` or `--all` with `--project NAME`
",
    );
    world.run(&["delete", "--all"]).fails(
        2,
        "error: `--all` of which project?
hint: say it with `--project NAME` or `-n NAMESPACE`
",
    );
    let before = world.calls().len();
    for flag in ["--tag", "--tags"] {
        world.run(&["delete", flag, "baseline"]).fails(
            2,
            "error: `--tag` of which project?
hint: say it with `--project NAME` or `-n NAMESPACE`
",
        );
    }
    assert_eq!(world.calls().len(), before);
}

#[test]
fn delete_takes_what_has_a_tag_in_one_place() {
    let mut world = showing(&[job("train-x", "Running"), job("train-y", "Running")]);
    world.on("*' delete jobs '*", "exit 0");
    for args in [&["--tag", "new data", "--project", "vision"][..], &["--tags", "new data", "-n", "vision"]] {
        let outcome = world.run(&[&["delete"], args].concat()).ok();
        assert_eq!(outcome.stdout, "job.batch/train-x deleted from vision\njob.batch/train-y deleted from vision\n");
    }
    for call in world.calls_with(" get jobs,pods ") {
        assert!(
            call.line()
                .starts_with("kubectl --context kube-lab -n vision get jobs,pods -l mrunner/run,tag.mrunner/new-data-")
        );
    }
    assert!(world.calls_with(" delete ").iter().all(|call| call.line().ends_with(" -o name train-x train-y")));
}

#[test]
fn delete_takes_all_that_are_named_or_none() {
    let mut world = World::new();
    world.write("runs.json", json!({"kind": "List", "items": [job("train-x", "Running")]}).to_string());
    world.on("*' get jobs,pods '*", "cat \"$world/runs.json\"; exit 0").on("*'mrunner/run=train-y'*", "exit 0");
    world.run(&["delete", "train-x", "train-y"]).fails(
        1,
        "error: nothing was deleted: no run is called `train-y` in the cluster
hint: did you mean `train-x`?
",
    );
    assert!(world.calls_with(" delete ").is_empty());
}
