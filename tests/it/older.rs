//! A cluster that is older than mrunner is made for, or has what it needs switched off.

use crate::support::World;

/// A world whose cluster drops the fields of a Job that the pattern names.
fn dropping(fields: &str) -> World {
    let mut world = World::new();
    world.on("*' create '*'-o json'*", &format!(r#"grep -Ev '"({fields})"' "$call.stdin"; exit 0"#));
    world.on("*' delete jobs '*", "exit 0");
    world
}

#[test]
fn what_a_cluster_leaves_out_of_a_job_is_told() {
    let outcome = dropping("podReplacementPolicy").run(&["run", "train.py"]).ok();
    assert!(
        outcome.stderr.contains(
            "warning: the cluster does not keep `spec.podReplacementPolicy` of the Job; Kubernetes 1.29 or newer \
             keeps it, unless it is switched off there\n"
        ),
        "{}",
        outcome.stderr
    );
    // and one that leaves nothing out is told nothing of
    let outcome = dropping("nothing").run(&["run", "train.py"]).ok();
    assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
}

#[test]
fn a_job_whose_points_would_not_be_kept_apart_is_taken_back() {
    for sweep in [&["run", "train.py"][..], &["run", "--grid", "lr=1,2", "train.py"]] {
        let world = dropping("backoffLimitPerIndex");
        world.run(sweep).fails(
            1,
            "error: the cluster does not keep `backoffLimitPerIndex` of a Job, without which a failed point would be tried again and again and end the others
hint: Kubernetes 1.29 or newer keeps it, unless it is switched off there: see its version with `kubectl --context kube-lab version`
",
        );
        assert_eq!(world.calls_with(" delete jobs ").len(), 1);
        assert!(world.calls_with(" create -f - --field-manager=mrunner --validate=false").is_empty());
        assert!(world.journals().is_empty());
    }
}

#[test]
fn one_that_refuses_what_it_does_not_know_is_named_with_the_version_that_does() {
    let mut world = World::new();
    world.on(
        "*' create '*'-o json'*",
        r#"echo 'Error from server (BadRequest): error when creating "STDIN": Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "spec.backoffLimitPerIndex"' >&2; exit 1"#,
    );
    let outcome = world.run(&["run", "train.py"]);
    assert_eq!(outcome.code, 1);
    let hint =
        "hint: Kubernetes 1.29 or newer is needed: see the cluster's with `kubectl --context kube-lab version`\n";
    assert!(outcome.stderr.ends_with(hint), "{}", outcome.stderr);
}
