//! Pods of a trial that do not start, are refused or interrupted.

use serde_json::{Value, json};

use super::trial::{probed, probes};
use super::{forbidden, list, submissions, unproved};
use crate::support::{HANG, World};

#[test]
fn pods_that_do_not_start_are_told_of_and_the_run_goes_on() {
    let mut world = unproved();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    probed(&world, ["running", "waiting"]);
    let outcome = world.run(&["run", "train.py"]).ok();
    let told = "warning: nobody knows yet whether the nodes share the claim `storage`: ";
    assert!(
        outcome.stderr.contains(told) && outcome.stderr.contains("the image `i` can't be pulled"),
        "{}",
        outcome.stderr
    );
    assert_eq!((submissions(&world).len(), world.calls_with("delete jobs ").len()), (1, 1));
    // not each run waits for it
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(!outcome.stderr.contains("nobody knows"), "{}", outcome.stderr);
    assert_eq!(probes(&world).len(), 1);
}

/// Has the pods of a probe not created, for this reason of the Job controller.
fn refused_pods(world: &mut World, of: &str, message: &str) {
    let event = json!({"kind": "Event", "type": "Warning", "reason": "FailedCreate", "message": message});
    world.write("events.json", list(&[event]));
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    world.on(&format!("*' get pods -l mrunner/helper='{of}' '*"), "exit 0");
    world.on("*' get events '*", r#"cat "$world/events.json"; exit 0"#);
}

const BOUND: &str =
    r#"Error creating: pods "p" is forbidden: minimum cpu usage per Container is 200m, but request is 100m"#;

#[test]
fn pods_that_a_limit_range_refuses_ask_for_what_it_allows() {
    let mut world = unproved();
    refused_pods(&mut world, "mrunner-probe-??????????", BOUND);
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("each sees what the other writes"), "{}", outcome.stderr);
    let [first, second] = probes(&world).try_into().unwrap();
    let name = second["metadata"]["name"].as_str().unwrap().to_owned();
    assert_ne!(first["metadata"]["name"], name.as_str());
    let pod = &second["spec"]["template"];
    assert_eq!(pod["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
    assert_eq!(pod["metadata"]["labels"]["mrunner/helper"], name.as_str());
    assert!(!second.to_string().contains(&format!("{}\"", first["metadata"]["name"].as_str().unwrap())));
    assert_eq!(world.calls_with("delete jobs ").len(), 2);
}

#[test]
fn why_pods_are_not_created_is_told_soon() {
    for (message, told, hint) in [
        (
            BOUND,
            "a LimitRange of the namespace forbids its pod: ",
            "administrator; see `kubectl --context kube-lab -n vision describe",
        ),
        (
            r#"Error creating: admission webhook "w" denied the request: no"#,
            "a policy of the cluster forbids its pod: ",
            "change what",
        ),
    ] {
        let mut world = unproved();
        refused_pods(&mut world, "*", message);
        let outcome = world.run(&["run", "train.py"]).ok();
        assert!(outcome.stderr.contains(&format!("share the claim `storage`: {told}")), "{}", outcome.stderr);
        assert!(world.calls_with("get pods -l mrunner/helper=").len() < 20);
        let check = world.run(&["storage", "check"]);
        assert!(check.stdout.contains(told) && check.stdout.contains(hint), "{check:?}");
        assert!(!check.stdout.contains("--image"), "{check:?}");
    }
    let mut world = unproved();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    probed(&world, ["running", "waiting"]);
    assert!(world.run(&["storage", "check"]).stdout.contains("--image IMAGE"));
}

#[test]
fn a_sidecar_says_nothing_of_the_volume() {
    let mut world = unproved();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    let mut pods: Value = serde_json::from_str(&world.read("probed.json")).unwrap();
    for pod in pods["items"].as_array_mut().unwrap() {
        let sidecar = json!({"name": "envoy", "state": {"running": {}}});
        pod["status"]["containerStatuses"].as_array_mut().unwrap().insert(0, sidecar);
    }
    world.write("probed.json", pods.to_string());
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("each sees what the other writes"), "{}", outcome.stderr);
}

/// What only a probe's Job meets.
fn on_probe(world: &mut World, script: &str) {
    let pattern = "*' create -f - '*";
    world.on(
        pattern,
        &format!(r#"if grep -q '"mrunner/helper"' "$call.stdin"; then {script}; fi; cat "$call.stdin"; exit 0"#),
    );
}

#[test]
fn a_probe_that_is_refused_holds_nobody_up() {
    let mut world = unproved();
    on_probe(&mut world, &forbidden("create", "jobs"));
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(
        outcome.stderr.contains("warning: nobody knows yet whether the nodes share the claim `storage`: "),
        "{}",
        outcome.stderr
    );
    assert_eq!(submissions(&world).len(), 1);
    assert!(world.calls_with("get pods").is_empty());
}

#[test]
fn a_probe_whose_making_is_unclear_is_removed() {
    let mut world = unproved();
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    on_probe(&mut world, "echo 'Unable to connect to the server: EOF' >&2; exit 1");
    world.run(&["run", "train.py"]).ok();
    assert_eq!((submissions(&world).len(), world.calls_with("delete jobs ").len()), (1, 1));
}

#[test]
fn an_interrupted_probe_is_removed_and_nothing_is_submitted() {
    // while its pods are waited for, and while it is made
    for making in [false, true] {
        let mut world = unproved();
        world.env("MRUNNER_TEST_PATIENCE", "1");
        if making {
            on_probe(&mut world, HANG);
        } else {
            world.on("*' get pods -l mrunner/helper=mrunner-probe-'*", HANG);
        }
        let live = world.start(&["run", "train.py"]);
        world.wait_for_hang();
        live.signal_all("INT");
        live.end().fails(130, "error: interrupted: nothing was submitted\n");
        assert!(submissions(&world).is_empty() && world.journals().is_empty());
        assert_eq!(world.calls_with("delete jobs ").len(), 1, "making: {making}");
    }
}
