//! A claim that is there: looked at in one question, kept, grown, or refused.

use serde_json::{Value, json};

use super::{
    STANDING, SUBMITS, asked, at, careless, claim, forbidden, patch_of, put, says, submissions, volume, with, without,
    world,
};

#[test]
fn a_warm_run_costs_one_docker_and_two_kubectl() {
    let world = world();
    world.has_commit();
    world.run(&["run", "train.py"]).ok();
    let mut first = asked(&world, 0);
    first.sort();
    // the nodes once an hour, at the same time as the others
    assert_eq!(first, [SUBMITS, "-n vision get namespace/vision pvc/storage", "get nodes", "get pv/pvc-1"]);
    let before = world.calls().len();
    let outcome = world.run(&["run", "train.py"]).ok();
    assert_eq!(asked(&world, before), [STANDING, SUBMITS]);
    let programs: Vec<String> = world.calls()[before..].iter().map(|call| call.argv[0].clone()).collect();
    let count = |name: &str| programs.iter().filter(|p| *p == name).count();
    assert_eq!((count("docker"), count("git"), count("gcloud")), (1, 2, 0));
    assert!(!outcome.stderr.contains("storage"), "{}", outcome.stderr);
}

#[test]
fn a_wrong_memory_costs_a_question_and_nothing_else() {
    let world = world();
    world.run(&["run", "train.py"]).ok();
    // another claim of the same name, with another volume
    let proof = super::proof(true).replace("c1", "c2").replace("pvc-1", "pvc-2");
    let other = with(claim(), |c| {
        c["metadata"]["uid"] = "c2".into();
        c["spec"]["volumeName"] = "pvc-2".into();
        c["metadata"]["annotations"]["mrunner/proved"] = proof.into();
    });
    let its_volume = with(volume(), |v| {
        v["metadata"]["name"] = "pvc-2".into();
        v["spec"]["claimRef"]["uid"] = "c2".into();
    });
    put(&world, &other, &its_volume);
    let before = world.calls().len();
    world.run(&["run", "train.py"]).ok();
    assert_eq!(asked(&world, before), [STANDING, "get pv/pvc-2", SUBMITS]);
    world.write("home/.cache/mrunner/claims.json", "garbage");
    world.run(&["run", "train.py"]).ok();
}

#[test]
fn who_may_not_look_at_volumes_or_namespaces_asks_no_second_time() {
    for (what, resource) in [("pv/", "persistentvolumes"), ("namespace/", "namespaces")] {
        let mut world = world();
        // kubectl prints what it got, and complains of the rest
        let file = if what == "pv/" { "volume.json" } else { "namespace.json" };
        let refuses = format!(
            r#"rm -f "$world/{file}"; echo 'Error from server (Forbidden): {resource} "x" is forbidden: User "anna" cannot get resource "{resource}"' >&2; {}"#,
            super::GETS.replace("exit 0", "exit 1")
        );
        world.on(&format!("*' get '*'{what}'*"), &refuses);
        let first = world.run(&["run", "train.py"]).ok();
        let told = "warning: you may not look at the volume `pvc-1`, so it is not known whether the data outlive the claim; an administrator sees it with `kubectl mrunner storage check`\n";
        assert_eq!(first.stderr.contains(told), what == "pv/", "{}", first.stderr);
        let before = world.calls().len();
        let second = world.run(&["run", "train.py"]).ok();
        assert_eq!(asked(&world, before), [STANDING, SUBMITS], "{what}");
        assert!(!second.stderr.contains("may not look"), "{}", second.stderr);
    }
}

#[test]
fn a_volume_that_somebody_deleted_is_told_of() {
    let world = world();
    put(&world, &claim(), &with(volume(), |v| v["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z".into()));
    let outcome = world.run(&["run", "train.py"]).ok();
    let told = "warning: somebody deleted the volume `pvc-1`: it and its data go as soon as its claim does\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
}

#[test]
fn who_may_not_look_at_the_claim_is_told() {
    let mut world = world();
    world.on("*' get namespace/'*", &forbidden("get", "persistentvolumeclaims"));
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("cannot get resource \"persistentvolumeclaims\""),
        "{outcome:?}"
    );
    assert!(submissions(&world).is_empty());
}

#[test]
fn a_volume_that_would_go_with_its_claim_is_kept() {
    let world = world();
    put(&world, &claim(), &careless());
    let outcome = world.run(&["run", "train.py"]).ok();
    let told = "storage   the volume `pvc-1` would have gone with its claim; it is kept now (Retain)\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    let patches = world.calls_with(" patch ");
    assert_eq!(patches.len(), 1);
    let line = "kubectl --context kube-lab patch pv/pvc-1 --type=merge --field-manager=mrunner ";
    assert!(patches[0].line().starts_with(line), "{}", patches[0].line());
    assert_eq!(
        patch_of(&patches[0]),
        json!({"metadata": {"labels": {"mrunner/project": "vision"}, "annotations": {"mrunner/project-name": "vision", "mrunner/project-uid": "abc"}},
               "spec": {"persistentVolumeReclaimPolicy": "Retain"}})
    );
    let calls = asked(&world, 0);
    assert!(at(&calls, "patch pv/pvc-1") < at(&calls, SUBMITS), "{calls:?}");
}

#[test]
fn who_may_not_keep_a_volume_is_told_once() {
    let mut world = world();
    put(&world, &claim(), &careless());
    world.on("*' patch '*", &forbidden("patch", "persistentvolumes"));
    let told = "warning: the volume `pvc-1` goes with its claim, and so do the data: ";
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("have an administrator type `kubectl --context kube-lab patch pv/pvc-1 "));
    let again = world.run(&["run", "train.py"]).ok();
    assert!(!again.stderr.contains("goes with"), "{}", again.stderr);
    assert_eq!((world.calls_with(" patch ").len(), submissions(&world).len()), (1, 2));
}

#[test]
fn the_users_own_claim_is_used_as_it_is() {
    let world = world();
    says(&world, "default_pvc_size: 90G");
    put(&world, &without(claim(), "mrunner/project-name"), &careless());
    world.run(&["run", "--storage-claim", "storage", "train.py"]).ok();
    assert!(world.calls_with(" patch ").is_empty());
    assert_eq!(submissions(&world).len(), 1);
}

/// That a run is refused for the claim, its volume or the namespace, before anything is changed.
#[track_caller]
fn refused(claim: &Value, volume: &Value, words: &str) {
    let world = world();
    put(&world, claim, volume);
    world.run(&["run", "train.py"]).fails(1, words);
    assert!(submissions(&world).is_empty() && world.calls_with(" patch ").is_empty());
    assert!(world.calls_with("buildx build").is_empty() && world.journals().is_empty());
}

#[test]
fn a_claim_of_somebody_else_is_refused() {
    refused(
        &with(claim(), |c| _ = c["metadata"]["annotations"].take()),
        &volume(),
        "error: the claim `storage` was made by somebody else, and its data may be theirs
hint: if the project's data should be there: `--storage-claim storage`, or `storage_claim: storage` in the context
",
    );
    refused(
        &with(claim(), |c| c["metadata"]["annotations"]["mrunner/project-name"] = "Vision".into()),
        &volume(),
        "error: the claim `storage` holds the data of the project `Vision`, not of `vision`
hint: name the project's own claim with `--storage-claim NAME`
",
    );
    // one of an older version, which knew no identity
    let world = world();
    put(&world, &without(claim(), "mrunner/project-uid"), &volume());
    world.run(&["run", "train.py"]).ok();
}

#[test]
fn a_claim_that_is_going_or_gone_is_refused() {
    refused(
        &with(claim(), |c| c["metadata"]["deletionTimestamp"] = "2026-11-23T06:00:00Z".into()),
        &volume(),
        "error: the claim `storage` is being deleted (Terminating), and its data with it
hint: see who uses it with `kubectl --context kube-lab -n vision describe pvc storage`; run again when it is gone
",
    );
    refused(
        &with(claim(), |c| c["status"]["phase"] = "Lost".into()),
        &volume(),
        "error: the claim `storage` has lost its volume (Lost)
hint: see why with `kubectl --context kube-lab -n vision describe pvc storage`
",
    );
}

#[test]
fn a_volume_that_is_not_the_claims_own_is_refused() {
    refused(
        &claim(),
        &with(volume(), |v| v["spec"]["claimRef"] = json!({"namespace": "other", "name": "data", "uid": "c9"})),
        "error: the claim `storage` names the volume `pvc-1`, which is bound to another claim, `data` in `other`
hint: see both with `kubectl --context kube-lab get pv pvc-1 -o yaml`
",
    );
    refused(
        &claim(),
        &with(volume(), |v| v["status"] = json!({"phase": "Failed", "message": "no such server"})),
        "error: the volume `pvc-1` of the claim `storage` has failed: no such server
hint: see it with `kubectl --context kube-lab describe pv pvc-1`
",
    );
}

#[test]
fn a_claim_grows_where_its_class_lets_it_and_never_shrinks() {
    let world_of = |allows: bool, size: &str| {
        let world = world();
        world.write("class.json", json!({"kind": "StorageClass", "allowVolumeExpansion": allows}).to_string());
        says(&world, &format!("default_pvc_size: {size}"));
        world
    };
    let grown = world_of(true, "50G");
    let outcome = grown.run(&["run", "train.py"]).ok();
    assert!(
        outcome.stderr.contains("storage   the claim `storage` grows to 50G, as the context says\n"),
        "{}",
        outcome.stderr
    );
    let patches = grown.calls_with(" patch ");
    assert_eq!(patches.len(), 1);
    assert!(patches[0].line().contains("-n vision patch pvc/storage --type=merge "));
    assert_eq!(patch_of(&patches[0]), json!({"spec": {"resources": {"requests": {"storage": "50G"}}}}));
    let smaller = world_of(true, "30G");
    smaller.run(&["run", "train.py"]).ok();
    assert!(smaller.calls_with(" patch ").is_empty() && smaller.calls_with("storageclass/").is_empty());
    let stays = world_of(false, "50G");
    let outcome = stays.run(&["run", "train.py"]).ok();
    let told = "warning: the claim `storage` has 40G, less than the context's `default_pvc_size: 50G`, and its class `shared` lets no claim grow\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(stays.calls_with(" patch ").is_empty() && submissions(&stays).len() == 1);
    let again = stays.run(&["run", "train.py"]).ok();
    assert!(!again.stderr.contains("lets no claim grow"), "{}", again.stderr);
    assert_eq!(stays.calls_with("storageclass/").len(), 1);
}

#[test]
fn a_claim_that_may_not_be_grown_holds_nobody_up() {
    let mut world = world();
    says(&world, "default_pvc_size: 50G");
    world.write("class.json", json!({"kind": "StorageClass", "allowVolumeExpansion": true}).to_string());
    world.on("*' patch '*", &forbidden("patch", "persistentvolumeclaims"));
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("warning: failed to grow the claim `storage` to 50G: "), "{}", outcome.stderr);
    assert_eq!(submissions(&world).len(), 1);
}
