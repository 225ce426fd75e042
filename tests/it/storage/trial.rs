//! What a trial of a new volume finds.

use serde_json::{Value, json};

use super::{
    STANDING, SUBMITS, asked, at, claim, forbidden, list, nodes, patch_of, put, says, sent, submissions, unproved,
    volume, with,
};
use crate::support::{World, program};

/// How the two pods are: `running`, `waiting`, or ended with these words.
pub fn probed(world: &World, words: [&str; 2]) {
    let pod = |(index, words): (usize, &&str)| {
        let state = match *words {
            "running" => json!({"running": {"startedAt": "2999-01-01T00:00:00Z"}}),
            "waiting" => json!({"waiting": {"reason": "ErrImagePull", "message": "no such image"}}),
            words => json!({"terminated": {"exitCode": i32::from(words.starts_with("failed")), "message": words}}),
        };
        json!({"kind": "Pod", "spec": {"nodeName": format!("node{}", index + 1), "containers": [{"name": "helper", "image": "i"}]},
               "status": {"containerStatuses": [{"name": "helper", "image": "i", "state": state}]}})
    };
    world.write("probed.json", list(&words.iter().enumerate().map(pod).collect::<Vec<_>>()));
}

/// Two pods that run for so many seconds, and have then seen nothing of each other. Whatever time their nodes tell.
fn run_apart(world: &mut World, seconds: &str) {
    probed(world, ["running", "running"]);
    let running = world.read("probed.json");
    for (file, began) in [("ahead", "2999-01-01T00:00:00Z"), ("behind", "2000-01-01T00:00:00Z")] {
        world.write(file, running.replace("2999-01-01T00:00:00Z", began));
    }
    probed(world, ["unseen", "unseen"]);
    let script = format!(
        r#"[ -e "$world/began" ] || date +%s%N >"$world/began"
        if [ $(($(date +%s%N) - $(cat "$world/began"))) -gt {seconds}00000000 ]; then cat "$world/probed.json"
        elif [ $(($(date +%s%N) % 2)) = 0 ]; then cat "$world/ahead"; else cat "$world/behind"; fi; exit 0"#
    );
    world.on("*' get pods -l mrunner/helper='*", &script).env("MRUNNER_TEST_PATIENCE", "0.01");
}

/// The Jobs of probes that were made.
pub fn probes(world: &World) -> Vec<Value> {
    sent(world, "Job").into_iter().filter(|job| job["metadata"]["labels"]["mrunner/helper"].is_string()).collect()
}

/// The annotation that was written on the claim.
fn written(world: &World) -> String {
    let patch = patch_of(&world.calls_with("patch pvc/storage").pop().unwrap());
    patch["metadata"]["annotations"]["mrunner/proved"].as_str().unwrap().to_owned()
}

#[test]
fn a_claim_that_was_never_tried_is_tried_before_the_first_job() {
    let world = unproved();
    let outcome = world.run(&["run", "train.py"]).ok();
    let told = "storage   tried on `node1` and `node2`: each sees what the other writes; 10.0 MiB are free\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    let calls = asked(&world, 0);
    let order = [SUBMITS, "get pods -l mrunner/helper=mrunner-probe-", "delete jobs ", "patch pvc/storage "]
        .map(|words| at(&calls, words));
    assert!(order.is_sorted(), "{calls:#?}");
    assert_eq!(calls.last().unwrap(), SUBMITS);
    let record: Value = serde_json::from_str(&written(&world)).unwrap();
    assert_eq!((&record["claim"], &record["volume"]), (&json!("c1"), &json!("pvc-1")));
    assert_eq!((&record["nodes"], &record["shared"]), (&json!(["node1", "node2"]), &json!(true)));
    let probe = probes(&world).remove(0);
    let delete = world.calls_with("delete jobs ").remove(0);
    assert_eq!(delete.argv.last().unwrap(), probe["metadata"]["name"].as_str().unwrap());
    // what was written down is believed
    put(&world, &with(claim(), |c| c["metadata"]["annotations"]["mrunner/proved"] = written(&world).into()), &volume());
    let before = world.calls().len();
    world.run(&["run", "train.py"]).ok();
    assert_eq!(asked(&world, before), [STANDING, SUBMITS]);
}

#[test]
fn who_may_not_write_on_the_claim_remembers_what_was_found() {
    let mut world = unproved();
    world.on("*' patch pvc/'*", &forbidden("patch", "persistentvolumeclaims"));
    world.run(&["run", "train.py"]).ok();
    let before = world.calls().len();
    world.run(&["run", "train.py"]).ok();
    assert_eq!(asked(&world, before), [STANDING, SUBMITS]);
    let shown = world.run(&["storage", "show"]).ok().stdout;
    assert!(shown.contains("on node1, node2: each sees what the other writes"), "{shown}");
}

#[test]
fn one_node_or_a_word_in_the_context_is_reason_for_none() {
    let alone = unproved();
    nodes(&alone, &["node1"]);
    alone.run(&["run", "train.py"]).ok();
    assert!(probes(&alone).is_empty());
    for line in ["probe_storage: false", "node_selector: {kubernetes.io/hostname: node1}"] {
        let world = unproved();
        says(&world, line);
        world.run(&["run", "train.py"]).ok();
        // the nodes are asked for their platforms alone
        assert!(probes(&world).is_empty() && world.calls_with("get nodes").len() == 1, "{line}");
    }
}

/// The error for a class that lies.
const SPLIT: &str = "error: the claim `storage` of class `shared` says ReadWriteMany, but `node1` and `node2` do not see what the other writes";

#[test]
fn a_class_that_only_says_that_it_shares_is_refused_also_the_next_time() {
    for may_write in [true, false] {
        let mut world = unproved();
        if !may_write {
            world.on("*' patch pvc/'*", &forbidden("patch", "persistentvolumeclaims"));
        }
        // 75 seconds are 0.75 here
        run_apart(&mut world, "12");
        let outcome = world.run(&["run", "train.py"]);
        assert!(outcome.code == 1 && outcome.stderr.contains(SPLIT), "{outcome:?}");
        assert!(submissions(&world).is_empty() && world.journals().is_empty());
        assert_eq!(world.calls_with("delete jobs ").len(), 1);
        assert!(written(&world).contains(r#""shared":false"#));
        if may_write {
            put(
                &world,
                &with(claim(), |c| c["metadata"]["annotations"]["mrunner/proved"] = written(&world).into()),
                &volume(),
            );
        }
        let again = world.run(&["run", "train.py"]);
        assert!(again.code == 1 && again.stderr.contains(SPLIT), "{again:?}");
        assert_eq!((probes(&world).len(), submissions(&world).len()), (1, 0));
        // a check looks for itself
        std::fs::remove_file(world.path("began")).unwrap();
        let checked = world.run(&["storage", "check"]);
        assert!(checked.code == 1 && checked.stdout.contains("do not see what the other writes"), "{checked:?}");
        assert_eq!(probes(&world).len(), 2);
    }
}

#[test]
fn pods_that_did_not_run_together_for_long_enough_say_nothing_of_the_volume() {
    let mut world = unproved();
    run_apart(&mut world, "2");
    let outcome = world.run(&["run", "train.py"]).ok();
    let told = "nobody knows yet whether the nodes share the claim `storage`: its pods did not run at the same time for long enough";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert_eq!((submissions(&world).len(), world.calls_with("patch pvc/storage").len()), (1, 0));
}

#[test]
fn a_verdict_that_was_wrong_is_lifted_by_a_check() {
    for may_write in [true, false] {
        let mut world = unproved();
        let wrong = with(claim(), |c| c["metadata"]["annotations"]["mrunner/proved"] = super::proof(false).into());
        put(&world, &wrong, &volume());
        if !may_write {
            world.on("*' patch pvc/'*", &forbidden("patch", "persistentvolumeclaims"));
        }
        assert!(world.run(&["run", "train.py"]).stderr.contains("do not see what the other writes"));
        probed(&world, ["proved owner=1000 user=1000 free=10*4096", "seen"]);
        world.run(&["storage", "check", "--project", "vision"]).ok();
        assert!(written(&world).contains(r#""shared":true"#));
        if may_write {
            put(
                &world,
                &with(claim(), |c| c["metadata"]["annotations"]["mrunner/proved"] = written(&world).into()),
                &volume(),
            );
        }
        world.run(&["run", "train.py"]).ok();
        assert_eq!((probes(&world).len(), submissions(&world).len()), (1, 1));
    }
}

#[test]
fn a_pod_that_looks_in_vain_says_so_by_its_own_count() {
    for (index, pods) in [("0", "2"), ("1", "2")] {
        let world = World::new();
        world.write("root/x", "");
        // naps are short, and each counts for a fifth of a second; the first one of `sh` that has no fractions
        world.write("bin/sleep", "#!/bin/sh\necho >>\"$NAPS\"\n");
        std::fs::set_permissions(world.path("bin/sleep"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let script = mrunner::k8s::manifests::probe::command()[2].replace("/dev/termination-log", "\"$SAID\"");
        let status = program("/bin/sh")
            .args(["-c", &script, "mrunner"])
            .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
            .env("MRUNNER_ROOT", world.path("root"))
            .env("MRUNNER_PROBE", "p")
            .env("MRUNNER_PODS", pods)
            .env("JOB_COMPLETION_INDEX", index)
            .env("SAID", world.path("said"))
            .env("NAPS", world.path("naps"))
            .status()
            .unwrap();
        assert!(status.success());
        assert_eq!((world.read("said").as_str(), world.read("naps").len()), ("unseen\n", 525));
    }
}

#[test]
fn on_one_node_a_volume_that_is_not_shared_is_as_good_as_any() {
    let world = super::world();
    put(
        &world,
        &with(claim(), |c| c["metadata"]["annotations"]["mrunner/proved"] = super::proof(false).into()),
        &volume(),
    );
    says(&world, "node_selector: {kubernetes.io/hostname: node1}");
    world.run(&["run", "train.py"]).ok();
}

#[test]
fn a_volume_that_can_not_be_written_to_is_refused() {
    let world = unproved();
    probed(&world, ["failed folder", "running"]);
    world.run(&["run", "train.py"]).fails(
        1,
        "error: the claim `storage` can't hold the project's data: a folder could not be made in it
hint: may the user of the runs write there? see `run_as` of the context, and the volume's own rights
",
    );
    assert!(submissions(&world).is_empty() && world.calls_with("delete jobs ").len() == 1);
}

#[test]
fn a_server_that_gives_files_another_owner_is_remarked_on() {
    let world = unproved();
    says(&world, "run_as: 0");
    probed(&world, ["proved owner=65534 user=0 free=1*1024", "seen"]);
    let outcome = world.run(&["run", "train.py"]).ok();
    let told =
        "warning: what user 0 writes in the storage belongs to user 65534: the server gives files another owner\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
}

#[test]
fn a_new_claim_is_kept_once_its_pods_have_bound_it() {
    let world = super::bare();
    let class = json!({"kind": "StorageClass", "metadata": {"name": "shared"}, "provisioner": "nfs.csi.k8s.io"});
    world.write("cluster.json", list(&[class, json!({"kind": "Node"}), json!({"kind": "Node"})]));
    // it is there from the moment on in which it is made
    world.first("*' delete jobs '*", r#"cp "$world/claim.new" "$world/claim.json""#);
    world.write("claim.new", claim().to_string());
    world.write(
        "volume.json",
        with(volume(), |v| v["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into()).to_string(),
    );
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("it is kept now (Retain)\n"), "{}", outcome.stderr);
    let calls = asked(&world, 0);
    assert!(at(&calls, "delete jobs ") < at(&calls, "patch pv/pvc-1 "), "{calls:#?}");
    let submitted = calls.iter().rposition(|call| call == SUBMITS).unwrap();
    assert!(submitted < at(&calls, "patch pv/pvc-1 "), "{calls:#?}");
}

#[test]
fn a_dry_run_shows_the_probe_and_makes_nothing() {
    let world = unproved();
    let outcome = world.run(&["run", "--dry-run=server", "train.py"]).ok();
    assert!(outcome.stdout.contains("# before the Job, 2 pods of `mrunner-probe-"), "{}", outcome.stdout);
    assert!(world.calls_with(" patch ").is_empty() && world.calls_with("delete jobs ").is_empty());
    assert!(world.calls_with(" create ").iter().all(|call| call.line().contains("--dry-run=server")));
}
