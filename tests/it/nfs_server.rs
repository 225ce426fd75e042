//! `storage setup --nfs-server`: what is made, and what is refused before anything is.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, PersistentVolumeClaim, Pod, Service};
use serde_json::{Value, json};

use crate::golden::{golden, known};
use crate::support::{Call, World};

const SETUP: &[&str] = &["storage", "setup", "--nfs-server"];
const REMOVE: &[&str] = &["storage", "setup", "--remove-nfs-server"];

/// A cluster in which the server's namespace holds `objects`, and a Deployment that was made is ready.
fn world(objects: &[Value]) -> World {
    let mut world = World::new();
    world.write("classes.json", list(&[json!({"kind": "StorageClass", "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "x"})]));
    world.on("*' get storageclasses '*", r#"cat "$world/classes.json"; exit 0"#);
    world.write("before.json", list(objects));
    let ready = [
        json!({"kind": "Deployment", "metadata": {"generation": 1}, "status": {"readyReplicas": 1, "updatedReplicas": 1, "observedGeneration": 1}}),
        json!({"kind": "Service", "metadata": {"labels": {"app.kubernetes.io/managed-by": "mrunner"}}, "spec": {"clusterIP": "10.96.0.7"}}),
        json!({"kind": "PersistentVolumeClaim", "spec": {"volumeName": "pvc-1"}, "status": {"phase": "Bound"}}),
    ];
    world.write("after.json", list(&ready));
    let look = r#"if grep -q '"Deployment"' "$world"/calls/*.stdin; then cat "$world/after.json"; else cat "$world/before.json"; fi; exit 0"#;
    world.on("*' get namespace/mrunner-nfs '*", look);
    world.on("*' create -f - '*' --dry-run=server'*", r#"cat "$call.stdin"; exit 0"#);
    world.on("*' patch persistentvolume '*", "echo patched; exit 0");
    world
}

fn list(items: &[Value]) -> String {
    json!({"kind": "List", "items": items}).to_string()
}

#[test]
fn it_is_made_in_a_namespace_of_its_own() {
    let world = world(&[]);
    let outcome = world.run(SETUP).ok();
    assert_eq!(outcome.stdout, "10.96.0.7\n");
    let documents: Vec<Value> = world.calls_with(" -f - ").iter().map(Call::json).collect();
    let [namespace, pod, claim, service, deployment] = documents.as_slice() else { panic!("{documents:#?}") };
    known::<Namespace>(namespace);
    known::<Pod>(pod);
    known::<PersistentVolumeClaim>(claim);
    known::<Service>(service);
    known::<Deployment>(deployment);
    assert_eq!(pod["spec"], deployment["spec"]["template"]["spec"]);
    let text = |value: &Value| serde_json::to_string_pretty(value).unwrap();
    let all: Vec<String> = [namespace, claim, service, deployment].into_iter().map(text).collect();
    golden("nfs_server/objects.json", &world.tidy(&(all.join("\n") + "\n")));
    assert_eq!(world.calls_with("buildx build").len(), 1);
    let kept = world.calls_with("patch persistentvolume pvc-1");
    assert!(kept[0].line().contains(r#"{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}"#));
}

#[test]
fn what_stands_is_left_as_it_is() {
    let mut world = world(&[
        json!({"kind": "Namespace", "metadata": {"name": "mrunner-nfs", "labels": {"pod-security.kubernetes.io/enforce": "privileged"}}}),
        json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "nfs-server"}}),
    ]);
    world.on("'docker manifest inspect'*", r#"printf '{"Descriptor": {"digest": "sha256:07"}}'; exit 0"#);
    world.run(SETUP).ok();
    let kinds: Vec<String> =
        world.calls_with(" apply ").iter().map(|call| call.json()["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["Service", "Deployment"]);
    assert!(world.calls_with("buildx build").is_empty());
}

#[test]
fn an_image_that_is_named_is_used() {
    let world = world(&[]);
    world.run(&[SETUP, &["--nfs-image", "other.test/nfs:1"]].concat()).ok();
    assert!(world.calls_with("docker ").is_empty());
    let made = world.calls_with(" apply ").pop().unwrap().json();
    assert_eq!(made["spec"]["template"]["spec"]["containers"][0]["image"], "other.test/nfs:1");
}

#[test]
fn pod_security_is_told_beforehand() {
    let world = world(&[
        json!({"kind": "Namespace", "metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}),
    ]);
    let outcome = world.run(SETUP);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("enforces Pod Security `restricted`, which forbids an NFS server"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("label namespace mrunner-nfs pod-security.kubernetes.io/enforce=privileged"),
        "{outcome:?}"
    );
    assert!(world.calls_with("docker ").is_empty() && world.calls_with(" -f - ").is_empty());
}

#[test]
fn a_cluster_that_forbids_the_pod_is_told_before_there_is_a_claim() {
    let mut world = world(&[]);
    let words =
        r#"Error from server (Forbidden): admission webhook "policy" denied the request: no added capabilities"#;
    world.on("*' create -f - '*' --dry-run=server'*", &format!("echo '{words}' >&2; exit 1"));
    let outcome = world.run(SETUP);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("error: the cluster forbids an NFS server in it: "),
        "{outcome:?}"
    );
    assert!(outcome.stderr.contains("no added capabilities"), "{outcome:?}");
    assert_eq!(world.calls_with(" apply ").len(), 1);
}

#[test]
fn its_pod_has_what_the_namespace_demands() {
    let mut world = world(&[]);
    let file = "home/.config/mrunner/config.yaml";
    world.write(file, world.read(file) + "    pod_labels: {team: a}\n    pod_annotations: {note: n}\n");
    let bound = r#"Error from server (Forbidden): pods "p" is forbidden: minimum cpu usage per Container is 200m, but request is 100m"#;
    world.on(
        "*' create -f - '*' --dry-run=server'*",
        &format!(r#"if grep -q '"cpu": "200m"' "$call.stdin"; then exit 0; fi; echo '{bound}' >&2; exit 1"#),
    );
    world.run(SETUP).ok();
    let documents: Vec<Value> = world.calls_with(" -f - ").iter().map(Call::json).collect();
    let pods: Vec<&Value> = documents.iter().filter(|document| document["kind"] == "Pod").collect();
    let template = &documents.last().unwrap()["spec"]["template"];
    for metadata in [&pods[0]["metadata"], &pods[1]["metadata"], &template["metadata"]] {
        assert_eq!((&metadata["labels"]["team"], &metadata["annotations"]["note"]), (&json!("a"), &json!("n")));
    }
    assert_eq!(pods.len(), 2);
    assert_eq!(template["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
}

#[test]
fn why_its_pod_is_not_created_is_told() {
    let mut world = world(&[]);
    let refused = json!({"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate",
        "message": "admission webhook \"w\" denied the request: no"});
    let deployment = json!({"kind": "Deployment", "metadata": {"generation": 1}, "status": {"conditions": [refused]}});
    world.write("after.json", list(&[deployment]));
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    let outcome = world.run(SETUP);
    let told = "error: the NFS server does not become ready: a policy of the cluster forbids its pod: ";
    assert!(outcome.code == 1 && outcome.stderr.contains(told), "{outcome:?}");
}

#[test]
fn without_a_class_for_its_volume_nothing_is_made() {
    let world = world(&[]);
    let missing = world.run(&[SETUP, &["--storage-class", "fast"]].concat());
    assert!(
        missing.stderr.starts_with("context")
            && missing.stderr.contains("error: the cluster has no storage class `fast`; it has `standard`\n"),
        "{missing:?}"
    );
    world.write(
        "classes.json",
        list(&[json!({"kind": "StorageClass", "metadata": {"name": "slow"}, "provisioner": "x"})]),
    );
    let none = world.run(SETUP);
    assert!(none.stderr.contains("no default storage class for the server's own volume; it has `slow`\nhint: name one with `--storage-class NAME`"), "{none:?}");
    assert!(world.calls_with("docker ").is_empty());
}

#[test]
fn it_is_not_removed_while_a_volume_is_on_it() {
    let mut world = world(&[
        json!({"kind": "Deployment", "metadata": {"name": "nfs-server"}}),
        json!({"kind": "Service", "metadata": {"labels": {"app.kubernetes.io/managed-by": "mrunner"}}, "spec": {"clusterIP": "10.96.0.7"}}),
    ]);
    world.write(
        "volumes.json",
        list(&[json!({"kind": "PersistentVolume", "metadata": {"name": "vision-1"}, "spec": {
        "nfs": {"server": "10.96.0.7", "path": "/vision"}, "claimRef": {"namespace": "vision", "name": "storage"}}})]),
    );
    world.on("*' get persistentvolumes '*", r#"cat "$world/volumes.json"; exit 0"#);
    let outcome = world.run(REMOVE);
    assert!(
        outcome.code == 1
            && outcome.stderr.contains("error: the NFS server is in use: `storage` in `vision` (volume `vision-1`)\n"),
        "{outcome:?}"
    );
    // without any it has to be typed, and here is nobody who could
    world.write("volumes.json", list(&[]));
    let outcome = world.run(&[REMOVE, &["--delete-data"]].concat());
    assert!(
        outcome.code == 2 && outcome.stderr.contains("removing the NFS server and ALL DATA ON IT has to be confirmed"),
        "{outcome:?}"
    );
    // who may not see the volumes can't know
    world.on(
        "*' get persistentvolumes '*",
        "echo 'Error from server (Forbidden): persistentvolumes is forbidden' >&2; exit 1",
    );
    assert_eq!(world.run(REMOVE).code, 1);
    assert!(world.calls_with(" delete ").is_empty());
}

#[test]
fn no_project_lives_where_the_server_does() {
    let world = World::new();
    let outcome = world.run(&["run", "--project", "mrunner-nfs", "train.py"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("in the namespace `mrunner-nfs`, which is the NFS server's"),
        "{outcome:?}"
    );
}
