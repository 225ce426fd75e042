//! `project delete`: nothing without being told twice, and in an order in which nothing is held up or lost.

use serde_json::{Value, json};

use crate::storage::{asked, at, claim, forbidden, list, put, says, volume, with, world as stored};
use crate::support::World;

const DATA: &[&str] = &["project", "delete", "vision", "--delete-data", "--confirm", "vision"];

/// A project with a run, a claim and a namespace of its own, whose storage no pod looks into.
fn world() -> World {
    let mut world = stored();
    put(&world, &claim(), &volume());
    let labels = json!({"app.kubernetes.io/managed-by": "mrunner"});
    let namespace = json!({"kind": "Namespace", "metadata": {
        "name": "vision", "labels": labels, "annotations": {"mrunner/project-name": "vision"}}});
    world.write("namespace.json", namespace.to_string());
    world.write("jobs.json", list(&[json!({"kind": "Job", "metadata": {"name": "train-1"}})]));
    world.on("*' get jobs -l mrunner/run,mrunner/project=vision '*", r#"cat "$world/jobs.json"; exit 0"#);
    world.on("*' delete persistentvolumeclaim '*", r#"rm "$world/claim.json"; exit 0"#);
    world.on("*' delete namespace '*|*' delete persistentvolume '*", "exit 0");
    world.on("*' create '*", &forbidden("create", "jobs"));
    world
}

/// What was changed in the cluster.
fn changed(world: &World) -> Vec<String> {
    // but for the pod that would look into the storage
    let changes =
        |line: &String| (line.contains("delete ") || line.contains("patch ")) && !line.contains("mrunner-helper-");
    asked(world, 0).into_iter().filter(changes).collect()
}

#[test]
fn where_nobody_can_be_asked_the_name_is_given_twice() {
    let world = world();
    world.run(&["project", "delete", "vision"]).fails(
        2,
        "error: nobody can be asked to type the project's name
hint: say it with `--confirm vision`
",
    );
    assert!(world.calls().is_empty());
    let outcome = world.run(&["project", "delete", "vision", "--confirm", "visoin"]);
    let told = "error: nothing was deleted: `visoin` is not the name of the project, `vision`\n";
    assert!(outcome.code == 1 && outcome.stderr.ends_with(told), "{outcome:?}");
    assert!(changed(&world).is_empty());
}

#[test]
fn without_more_words_only_the_runs_go() {
    let world = world();
    let outcome = world.run(&["project", "delete", "vision", "--confirm", "vision"]).ok();
    for told in [
        "runs      1 run, with what they print, also the logs and records of it that were kept in the storage\n",
        "storage   stays, with all other data; `--delete-data` would delete it\n",
        "warning: the logs and records that were kept in the storage may still be there: failed to make a pod",
    ] {
        assert!(outcome.stderr.contains(told), "{outcome:?}");
    }
    assert_eq!(changed(&world), ["-n vision delete jobs --cascade=background train-1"]);
}

#[test]
fn with_its_data_all_goes_in_order() {
    let world = world();
    let outcome = world.run(DATA).ok();
    assert_eq!(outcome.stdout, "project vision deleted\n");
    assert_eq!(changed(&world).len(), 4, "{:#?}", changed(&world));
    let calls = asked(&world, 0);
    let order = [
        "delete jobs --cascade=background train-1",
        "get pods -l mrunner/run,mrunner/project=vision",
        r#"patch pv/pvc-1 --type=merge --field-manager=mrunner -p {"spec":{"persistentVolumeReclaimPolicy":"Delete"}}"#,
        "delete persistentvolumeclaim storage",
        "delete namespace vision",
    ]
    .map(|words| at(&calls, words));
    assert!(order.is_sorted(), "{calls:#?}");
}

#[test]
fn a_claim_waits_for_pods_that_hold_it() {
    let mut world = world();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    world.write("pods.json", list(&[json!({"kind": "Pod", "metadata": {"name": "train-1-x"}})]));
    world.on("*' get pods -l mrunner/run,'*", r#"cat "$world/pods.json"; exit 0"#);
    let outcome = world.run(DATA);
    assert!(outcome.code == 1, "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("error: the runs' pods are still there after 120 s; what comes after them was not deleted\n")
    );
    assert_eq!(changed(&world).len(), 1);
}

#[test]
fn a_volume_that_may_not_be_let_go_is_told_of() {
    let mut world = world();
    world.on("*' patch pv/'*", &forbidden("patch", "persistentvolumes"));
    let outcome = world.run(DATA).ok();
    assert!(outcome.stderr.contains("warning: the volume `pvc-1` outlives its claim, with all data: "), "{outcome:?}");
}

#[test]
fn what_is_not_the_projects_own_is_not_deleted() {
    let refused = |world: &World, words: &str| {
        let outcome = world.run(DATA);
        assert!(outcome.code == 1 && outcome.stderr.contains(words), "{outcome:?}");
        assert!(changed(world).is_empty());
    };
    let named = world();
    says(&named, "storage_claim: storage");
    refused(&named, "error: the claim `storage` was named by the context, and may hold the data of others\n");
    let foreign = world();
    let object: Value = serde_json::from_str(&foreign.read("namespace.json")).unwrap();
    let object = with(object, |n| n["metadata"]["annotations"]["mrunner/project-name"] = "Vision".into());
    foreign.write("namespace.json", object.to_string());
    refused(&foreign, "error: the namespace `vision` belongs to the project `Vision`, not to `vision`\n");
    let anybodys = world();
    put(&anybodys, &with(claim(), |c| _ = c["metadata"]["annotations"].take()), &volume());
    refused(&anybodys, "error: the claim `storage` was made by somebody else, and its data may be theirs\n");
}

#[test]
fn a_namespace_that_mrunner_did_not_make_stays() {
    let world = world();
    world.write("namespace.json", json!({"kind": "Namespace", "metadata": {"name": "vision"}}).to_string());
    let outcome = world.run(DATA).ok();
    assert!(outcome.stderr.contains("namespace `vision` stays, as mrunner did not make it\n"), "{outcome:?}");
    assert!(world.calls_with("delete namespace").is_empty());
}

#[test]
fn the_data_stay_while_a_run_of_another_project_works_beside_them() {
    let mut world = world();
    let mut other = crate::objects::job("other-1", "Running");
    other["metadata"]["labels"]["mrunner/project"] = "other".into();
    let own = crate::objects::job("train-1", "Running");
    world.write("beside.json", list(&[own.clone(), other]));
    world.on("*' get jobs,pods -l mrunner/run '*", r#"cat "$world/beside.json"; exit 0"#);
    let outcome = world.run(DATA);
    let told = "error: the run `other-1` of another project goes on in the namespace `vision`
hint: end it with `kubectl mrunner delete -n vision other-1`
";
    assert!(outcome.code == 1 && outcome.stderr.ends_with(told), "{outcome:?}");
    assert!(changed(&world).is_empty());
    world.write("beside.json", list(&[own]));
    world.run(DATA).ok();
}
