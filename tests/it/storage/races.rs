//! What is there already when it is to be made: by another run at the same time, or by this one, cut off.

use serde_json::{Value, json};

use super::{bare, claim, list, says, sent, submissions, volume, with, world};
use crate::support::{Outcome, World};

/// Without a class or a node of its own to ask for: a context that names an NFS server.
fn nfs() -> World {
    let world = bare();
    says(&world, "nfs: {server: 10.0.0.7, path: /export}");
    world
}

const EXISTS: &str = r#"case "$(cat "$call.stdin")" in *'"PersistentVolume"'*) echo 'Error from server (AlreadyExists): error when creating "STDIN": persistentvolumes "x" already exists' >&2; exit 1 ;; *) exit 0 ;; esac"#;

/// The volume that is there already under our name.
fn there() -> Value {
    with(volume(), |v| {
        v["metadata"]["name"] = "mrunner-vision-storage".into();
        v["spec"]["nfs"] = json!({"server": "10.0.0.7", "path": "/export"});
        v["spec"]["claimRef"]["uid"].take();
        v["status"]["phase"] = "Available".into();
    })
}

#[test]
fn a_volume_of_our_name_must_be_the_same() {
    let outcome = |there: Value| -> (Outcome, bool) {
        let mut world = nfs();
        world.on("*' create '*'-o name'*", EXISTS);
        world.on("*' patch '*", "exit 0");
        world.write("volume.json", there.to_string());
        let outcome = world.run(&["run", "train.py"]);
        let freed = world.calls_with(" patch ").iter().any(|call| call.line().contains("/spec/claimRef/uid"));
        (outcome, freed)
    };
    let (free, patched) = outcome(there());
    free.ok();
    assert!(!patched);
    let (released, patched) = outcome(with(there(), |v| {
        v["spec"]["claimRef"]["uid"] = "c0".into();
        v["status"]["phase"] = "Released".into();
    }));
    released.ok();
    assert!(patched);
    outcome(with(there(), |v| _ = v["metadata"]["annotations"].take())).0.fails(
        1,
        "error: there is a volume `mrunner-vision-storage`, and it is not this project's
hint: see it with `kubectl --context kube-lab describe pv mrunner-vision-storage`
",
    );
    outcome(with(there(), |v| v["spec"]["nfs"]["server"] = "10.0.0.8".into())).0.fails(
        1,
        "error: the volume `mrunner-vision-storage` is `/export` on `10.0.0.8`, and the project's should be `/export` on `10.0.0.7`: a volume can't be moved
hint: if the data are in the new place: `kubectl --context kube-lab delete pv mrunner-vision-storage`, which deletes none, and the same again
",
    );
}

#[test]
fn of_two_runs_at_once_one_makes_the_claim() {
    let exists = r#"echo 'Error from server (AlreadyExists): error when creating "STDIN": persistentvolumeclaims "storage" already exists' >&2; exit 1"#;
    let other = |claim: Value| {
        let world = world();
        std::fs::remove_file(world.path("claim.json")).unwrap();
        world.write("other.json", claim.to_string());
        let class = json!({"kind": "StorageClass", "metadata": {"name": "nfs"}, "provisioner": "nfs.csi.k8s.io"});
        world.write("cluster.json", list(&[class, json!({"kind": "Node", "metadata": {}})]));
        world.first(
            "*' -n vision create '*'-o name'*",
            &format!("cp \"$world/other.json\" \"$world/claim.json\"; {exists}"),
        );
        world
    };
    let first = other(claim());
    first.run(&["run", "train.py"]).ok();
    assert_eq!(submissions(&first).len(), 1);
    let foreign = other(with(claim(), |c| c["metadata"]["annotations"]["mrunner/project-name"] = "Vision".into()));
    foreign.run(&["run", "train.py"]).fails(
        1,
        "error: the claim `storage` holds the data of the project `Vision`, not of `vision`
hint: name the project's own claim with `--storage-claim NAME`
",
    );
    assert!(submissions(&foreign).is_empty());
}

#[test]
fn a_volume_that_was_freed_already_is_taken() {
    let released = with(volume(), |v| v["status"]["phase"] = "Released".into());
    let freed = with(released.clone(), |v| {
        v["spec"]["claimRef"]["uid"].take();
        v["status"]["phase"] = "Available".into();
    });
    // cut off between the two: the next run goes on from there
    let mut world = bare();
    world.write("volumes.json", list(std::slice::from_ref(&freed)));
    world.on("*' get pv -l mrunner/project=vision '*", r#"cat "$world/volumes.json"; exit 0"#);
    world.run(&["run", "train.py"]).ok();
    assert!(world.calls_with("claimRef").is_empty());
    let claim = sent(&world, "PersistentVolumeClaim").remove(0);
    assert_eq!(claim["spec"]["volumeName"], "pvc-1");
    assert_eq!(claim["metadata"]["annotations"]["mrunner/project-uid"], "abc");
    // and the same run that is tried again
    world.write("volumes.json", list(std::slice::from_ref(&released)));
    world.write("volume.json", freed.to_string());
    let refused = "The request is invalid: the server rejected our request due to an error in our request";
    world.first("*' patch pv/'*'--type=json'*", &format!("echo '{refused}' >&2; exit 1"));
    world.run(&["run", "train.py"]).ok();
    world.write("volume.json", released.to_string());
    assert_eq!(world.run(&["run", "train.py"]).code, 1);
}
