//! `storage show`, `storage check`, `storage setup`.

use serde_json::{Value, json};

use super::{bare, careless, claim, list, put, says, sent, submissions, unproved, volume, with, world};
use crate::support::World;

#[test]
fn what_a_project_has_is_shown() {
    let world = world();
    let outcome = world.run(&["storage", "show"]).ok();
    let row = |key: &str| outcome.stdout.lines().find_map(|line| line.strip_prefix(key)).map(str::trim);
    assert_eq!(row("CLAIM"), Some("storage"), "{}", outcome.stdout);
    assert_eq!((row("STATE"), row("VOLUME")), (Some("Bound"), Some("pvc-1")));
    assert_eq!((row("ON"), row("RECLAIM")), (Some("driver nfs.csi.k8s.io"), Some("Retain")));
    assert_eq!(row("TRIED"), Some("2026-11-24T12:00:00Z, on node1, node2: each sees what the other writes"));
    let document: Value = serde_json::from_str(&world.run(&["storage", "show", "-o", "json"]).ok().stdout).unwrap();
    assert_eq!(
        document,
        json!({"project": "vision", "namespace": "vision", "claim": "storage", "mounted": "/storage", "state": "Bound",
               "why": "it is the claim of the project `vision`", "class": "shared", "modes": ["ReadWriteMany"],
               "size": "40G", "volume": "pvc-1", "on": "driver nfs.csi.k8s.io", "reclaim": "Retain",
               "tried": "2026-11-24T12:00:00Z, on node1, node2: each sees what the other writes"})
    );
    assert!(world.calls_with(" patch ").is_empty() && world.calls_with(" create ").is_empty());
}

#[test]
fn what_a_project_would_get_is_shown() {
    let world = bare();
    let document: Value = serde_json::from_str(&world.run(&["storage", "show", "-o", "json"]).ok().stdout).unwrap();
    assert_eq!(document["state"], "not there yet");
    let why = "the first run would make it: ReadWriteOnce of the default class `standard`, on one node";
    assert_eq!(document["why"], why);
    assert!(world.calls_with(" -f - ").is_empty());
}

/// What `storage check` finds of one thing: its state and message, and the exit code.
fn found(world: &World, name: &str) -> (String, String, i32) {
    let outcome = world.run(&["storage", "check", "-o", "json"]);
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(document["ok"], outcome.code == 0);
    let checks = document["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {document:#}"));
    let text = |key: &str| check[key].as_str().unwrap().to_owned();
    (text("state"), text("message"), outcome.code)
}

#[test]
fn all_is_well() {
    let world = world();
    let outcome = world.run(&["storage", "check"]).ok();
    let states: Vec<&str> = outcome.stdout.lines().map(|line| line.split_once(' ').unwrap().0).collect();
    assert_eq!(states, ["ok"; 5], "{}", outcome.stdout);
    assert!(world.calls_with(" create ").is_empty() && world.calls_with(" patch ").is_empty());
}

#[test]
fn each_fault_is_told_and_only_what_stops_a_run_is_a_failure() {
    let check = |claim: Value, volume: Value, name: &str, state: &str, words: &str| {
        let world = world();
        put(&world, &claim, &volume);
        let (found, message, code) = found(&world, name);
        assert_eq!((found.as_str(), code), (state, i32::from(state == "failed")), "{message}");
        assert!(message.contains(words), "{message}");
    };
    let deleted = |object: &mut Value| object["metadata"]["deletionTimestamp"] = "2026-11-23T06:00:00Z".into();
    check(with(claim(), deleted), volume(), "claim", "failed", "is being deleted (Terminating)");
    check(with(claim(), |c| c["status"]["phase"] = "Lost".into()), volume(), "claim", "failed", "(Lost)");
    check(with(claim(), |c| _ = c["metadata"]["annotations"].take()), volume(), "claim", "failed", "by somebody else");
    check(claim(), with(volume(), |v| v["spec"]["claimRef"]["uid"] = "c9".into()), "volume", "failed", "another claim");
    check(claim(), with(volume(), |v| v["status"]["phase"] = "Failed".into()), "volume", "failed", "has failed");
    check(claim(), careless(), "reclaim", "warning", "goes with its claim");
    check(claim(), with(volume(), |v| v["metadata"]["name"] = "x".into()), "volume", "warning", "or it is gone");
    let small = world();
    says(&small, "default_pvc_size: 90G");
    assert_eq!(found(&small, "size").0, "warning");
    let missing = bare();
    assert_eq!(found(&missing, "claim").0, "ok");
    let nothing = bare();
    nothing.write("cluster.json", list(&[json!({"kind": "Node"}), json!({"kind": "Node"})]));
    assert_eq!((found(&nothing, "claim").0.as_str(), found(&nothing, "claim").2), ("failed", 1));
}

#[test]
fn a_check_has_the_nodes_try_what_nobody_tried() {
    let world = unproved();
    let (state, message, _) = found(&world, "shared");
    assert!(
        state == "ok" && message.starts_with("each sees what the other writes: `node1` and `node2`, "),
        "{message}"
    );
    assert_eq!((world.calls_with("patch pvc/storage").len(), world.calls_with("delete jobs ").len()), (1, 1));
    // a node that is gone proves nothing of those that are there
    let moved = super::world();
    super::nodes(&moved, &["node2", "node3"]);
    moved.run(&["storage", "check"]).ok();
    assert_eq!(moved.calls_with("patch pvc/storage").len(), 1);
    let again = super::world();
    again.run(&["storage", "check", "--probe"]).ok();
    assert_eq!(again.calls_with("patch pvc/storage").len(), 1);
}

#[test]
fn storage_is_made_before_the_first_run() {
    let world = bare();
    let class = json!({"kind": "StorageClass", "metadata": {"name": "shared"}, "provisioner": "nfs.csi.k8s.io"});
    world.write("cluster.json", list(&[class, json!({"kind": "Node"}), json!({"kind": "Node"})]));
    world.first("*' delete jobs '*", r#"cp "$world/claim.new" "$world/claim.json""#);
    world.write("claim.new", claim().to_string());
    world.write("volume.json", volume().to_string());
    let outcome = world.run(&["storage", "setup", "--project", "vision", "--image", "busybox:1"]).ok();
    assert_eq!(outcome.stdout, "storage\n");
    assert_eq!(sent(&world, "Namespace")[0]["metadata"]["name"], "vision");
    let made = sent(&world, "PersistentVolumeClaim").remove(0);
    assert!(made["metadata"]["annotations"]["mrunner/project-uid"].as_str().unwrap().len() == 26);
    assert_eq!(sent(&world, "Job")[0]["spec"]["template"]["spec"]["containers"][0]["image"], "busybox:1");
    assert!(submissions(&world).is_empty());
    world.write("claim.json", claim().to_string());
    let again = world.run(&["storage", "setup", "--project", "vision"]).ok();
    assert!(again.stderr.contains("storage   all is in place\n"), "{}", again.stderr);
    assert_eq!(sent(&world, "PersistentVolumeClaim").len(), 1);
}
