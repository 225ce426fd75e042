//! Claims that can't be used.

use serde_json::json;

use super::refuses;
use crate::support::World;

/// A run in a namespace with this claim, on so many nodes.
fn with_claim(claim: &serde_json::Value, nodes: usize, args: &[&str]) -> crate::support::Outcome {
    let mut world = World::new();
    let mut claim = claim.clone();
    claim["kind"] = "PersistentVolumeClaim".into();
    claim["metadata"]["name"] = "storage".into();
    if claim["metadata"]["annotations"].is_null() {
        claim["metadata"]["annotations"] = json!({"mrunner/project-name": "vision"});
    }
    let nodes: Vec<_> = (0..nodes).map(|_| json!({"kind": "Node", "metadata": {}, "spec": {}})).collect();
    world.write(
        "claim.json",
        json!({"kind": "List", "items": [{"kind": "Namespace", "metadata": {}}, claim]}).to_string(),
    );
    world.write("nodes.json", json!({"kind": "List", "items": nodes}).to_string());
    world.on("*' get namespace/'*", r#"cat "$world/claim.json"; exit 0"#);
    world.on("*' get nodes '*", r#"cat "$world/nodes.json"; exit 0"#);
    let outcome = world.run(&[&["run"], args, &["train.py"]].concat());
    assert!(outcome.code == 0 || world.submissions().is_empty());
    outcome
}

#[test]
fn the_claim_is_not_read_write_many() {
    let once = json!({"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}});
    with_claim(&once, 2, &[]).fails(
        1,
        "error: the claim `storage` is not ReadWriteMany, and the cluster has 2 nodes that a pod may land on
hint: pin the context to the node of its volume with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or name a ReadWriteMany claim with `--storage-claim NAME`
",
    );
    with_claim(&once, 1, &[]).ok();
    with_claim(&json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), 1, &[]).fails(
        1,
        "error: the claim `storage` can't be written to: its access modes are ReadOnlyMany
hint: name another claim with `--storage-claim NAME`
",
    );
}

#[test]
fn the_claim_is_lost_or_going_or_anothers() {
    with_claim(&json!({"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Lost"}}), 1, &[]).fails(
        1,
        "error: the claim `storage` has lost its volume (Lost)
hint: see why with `kubectl --context kube-lab -n vision describe pvc storage`
",
    );
    let going =
        json!({"metadata": {"deletionTimestamp": "2026-11-23T06:00:00Z"}, "spec": {"accessModes": ["ReadWriteMany"]}});
    with_claim(&going, 1, &[]).fails(
        1,
        "error: the claim `storage` is being deleted (Terminating), and its data with it
hint: see who uses it with `kubectl --context kube-lab -n vision describe pvc storage`; run again when it is gone
",
    );
    let others = json!({"metadata": {"annotations": {"mrunner/project-name": "Vision"}}, "spec": {"accessModes": ["ReadWriteMany"]}});
    with_claim(&others, 1, &[]).fails(
        1,
        "error: the claim `storage` holds the data of the project `Vision`, not of `vision`
hint: name the project's own claim with `--storage-claim NAME`
",
    );
}

#[test]
fn the_claim_that_was_named_is_missing() {
    let mut world = World::new();
    world.on("*' get namespace/'*", r#"echo '{"kind":"Namespace","metadata":{}}'; exit 0"#);
    world.run(&["run", "--storage-claim", "data", "train.py"]).fails(
        1,
        "error: the namespace `vision` has no claim `data`
hint: see its claims with `kubectl --context kube-lab -n vision get pvc`
",
    );
}

#[test]
fn no_storage_class_fits() {
    let mut world = World::new();
    let two = r#"{"kind":"List","items":[{"kind":"StorageClass","metadata":{"name":"standard","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"rancher.io/local-path"},{"kind":"Node","metadata":{}},{"kind":"Node","metadata":{}}]}"#;
    world.write("cluster.json", two);
    world.run(&["run", "train.py"]).fails(1, "error: found no storage for the project: no claim is there, no storage class is known to share volumes between nodes, the context names no NFS server, the cluster has several nodes, and no NFS server of its own
hint: name a class that supports ReadWriteMany with `--storage-class CLASS`; it has `standard`
hint: or an existing claim with `--storage-claim NAME`
hint: or an NFS server in the context, `nfs: {server: HOST, path: /FOLDER}`
hint: or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or have an administrator set a server up, `kubectl mrunner storage setup --nfs-server`
");
    world.run(&["run", "--storage-class", "standrad", "train.py"]).fails(
        1,
        "error: the cluster has no storage class `standrad`
hint: it has `standard`
",
    );
    world.on("*' get storageclasses,nodes '*", &refuses(r#"Error from server (Forbidden): storageclasses.storage.k8s.io is forbidden: User "anna" cannot list resource "storageclasses" in API group "storage.k8s.io" at the cluster scope"#));
    world.run(&["run", "train.py"]).fails(1, "error: found no storage for the project: no claim is there, and the storage classes may not be listed
hint: name a class that supports ReadWriteMany with `--storage-class CLASS`; see the classes with `kubectl get storageclass`
hint: or an existing claim with `--storage-claim NAME`
hint: or an NFS server in the context, `nfs: {server: HOST, path: /FOLDER}`
hint: or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or have an administrator set a server up, `kubectl mrunner storage setup --nfs-server`
");
}
