//! A project's storage: which claim a run gets, what is looked at, mended and tried before it, and the
//! verbs that show, check and make it.

mod choice;
mod races;
mod standing;
mod trial;
mod trial_pods;
mod verbs;

use serde_json::{Value, json};

use crate::support::{Call, World};

/// Prints of what is asked for by name whatever the cluster has.
const GETS: &str = r#"sep=; printf '{"kind":"List","items":['
for word in "$@"; do
    case $word in namespace/*) file=namespace ;; pvc/*) file=claim ;; pv/*) file=volume ;; storageclass/*) file=class ;; *) continue ;; esac
    # a volume only by its own name
    [ $file != volume ] || grep -q "\"name\":\"${word#*/}\"" "$world/volume.json" 2>/dev/null || continue
    if [ -f "$world/$file.json" ]; then printf '%s' "$sep"; cat "$world/$file.json"; sep=,; fi
done
printf ']}'; exit 0"#;

/// What kubectl is asked by a run that finds all as it remembers it.
pub const STANDING: &str = "-n vision get namespace/vision pvc/storage pv/pvc-1";
pub const SUBMITS: &str = "-n vision create -f - --field-manager=mrunner";

/// A script that says what kubectl says to a user who may not, as version 1.32 does.
pub fn forbidden(verb: &str, resource: &str) -> String {
    format!(
        r#"echo 'Error from server (Forbidden): {resource} "x" is forbidden: User "anna" cannot {verb} resource "{resource}" in API group "" at the cluster scope' >&2; exit 1"#
    )
}

/// A world without waiting, whose image is published.
pub fn bare() -> World {
    let mut world = World::new();
    world.on("'docker manifest inspect'*", r#"echo '{"Descriptor":{"digest":"sha256:04c4"}}'; exit 0"#);
    world.on("*' get namespace/'*|*' get pvc/'*|*' get pv/'*|*' get storageclass/'*", GETS);
    world.on("*' delete jobs '*", "exit 0");
    world.on("*' get nodes '*", r#"cat "$world/nodes.json"; exit 0"#);
    world.env("MRUNNER_TEST_PATIENCE", "0.1");
    nodes(&world, &["node1", "node2"]);
    trial::probed(&world, ["proved owner=1000 user=1000 free=10*1048576", "seen"]);
    world
}

/// A cluster of two nodes in which the project has its claim, bound, kept and tried.
pub fn world() -> World {
    let world = bare();
    world.write("namespace.json", json!({"kind": "Namespace", "metadata": {"name": "vision"}}).to_string());
    put(&world, &claim(), &volume());
    world
}

/// The cluster's nodes, from now on.
pub fn nodes(world: &World, names: &[&str]) {
    let nodes: Vec<Value> = names.iter().map(|name| json!({"kind": "Node", "metadata": {"name": name}})).collect();
    world.write("nodes.json", list(&nodes));
}

pub fn list(items: &[Value]) -> String {
    json!({"kind": "List", "items": items}).to_string()
}

pub fn put(world: &World, claim: &Value, volume: &Value) {
    world.write("claim.json", claim.to_string());
    world.write("volume.json", volume.to_string());
}

pub fn proof(shared: bool) -> String {
    json!({"claim": "c1", "volume": "pvc-1", "nodes": ["node1", "node2"], "shared": shared, "image": "i",
           "time": "2026-11-24T12:00:00Z"})
    .to_string()
}

pub fn claim() -> Value {
    json!({"kind": "PersistentVolumeClaim",
           "metadata": {"name": "storage", "uid": "c1", "annotations": {
               "mrunner/project-name": "vision", "mrunner/project-uid": "abc", "mrunner/proved": proof(true)}},
           "spec": {"accessModes": ["ReadWriteMany"], "volumeName": "pvc-1", "storageClassName": "shared",
                    "resources": {"requests": {"storage": "40G"}}},
           "status": {"phase": "Bound", "capacity": {"storage": "40G"}}})
}

pub fn volume() -> Value {
    json!({"kind": "PersistentVolume",
           "metadata": {"name": "pvc-1", "uid": "v1", "labels": {"mrunner/project": "vision"},
                        "annotations": {"mrunner/project-name": "vision", "mrunner/project-uid": "abc"}},
           "spec": {"claimRef": {"namespace": "vision", "name": "storage", "uid": "c1", "resourceVersion": "7"},
                    "accessModes": ["ReadWriteMany"], "storageClassName": "shared", "csi": {"driver": "nfs.csi.k8s.io"},
                    "persistentVolumeReclaimPolicy": "Retain", "capacity": {"storage": "40G"}},
           "status": {"phase": "Bound"}})
}

/// The volume as a provisioner makes it.
pub fn careless() -> Value {
    with(volume(), |v| {
        v["metadata"]["labels"].take();
        v["metadata"]["annotations"].take();
        v["spec"]["persistentVolumeReclaimPolicy"] = "Delete".into();
    })
}

/// The claim or volume with a change.
pub fn with(mut object: Value, change: impl FnOnce(&mut Value)) -> Value {
    change(&mut object);
    object
}

/// Takes an annotation off.
pub fn without(mut object: Value, annotation: &str) -> Value {
    object["metadata"]["annotations"].as_object_mut().unwrap().remove(annotation).unwrap();
    object
}

/// A cluster in which the claim is there and was never tried.
pub fn unproved() -> World {
    let world = world();
    put(&world, &without(claim(), "mrunner/proved"), &volume());
    world
}

/// What the context says of itself, one key more.
pub fn says(world: &World, line: &str) {
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write("home/.config/mrunner/config.yaml", format!("{contexts}    {line}\n"));
}

/// What kubectl was asked since the first `from` calls, without its flags.
pub fn asked(world: &World, from: usize) -> Vec<String> {
    let calls = world.calls();
    let kubectl = calls[from..].iter().filter(|call| call.argv[0] == "kubectl");
    let flags = ["kubectl --context kube-lab ", " --ignore-not-found", " -o json", " -o name"];
    let short = |call: &Call| flags.iter().fold(call.line(), |line, flag| line.replace(flag, ""));
    kubectl.map(short).collect()
}

/// Where a call with these words comes in the order.
#[track_caller]
pub fn at(calls: &[String], words: &str) -> usize {
    calls.iter().position(|line| line.contains(words)).unwrap_or_else(|| panic!("{words}: {calls:#?}"))
}

/// What a patch holds.
pub fn patch_of(call: &Call) -> Value {
    let at = call.argv.iter().position(|word| word == "-p").unwrap();
    serde_json::from_str(&call.argv[at + 1]).unwrap()
}

/// The objects that were sent, of one kind.
pub fn sent(world: &World, kind: &str) -> Vec<Value> {
    world.calls_with(" -f - ").iter().map(Call::json).filter(|object| object["kind"] == kind).collect()
}

/// The runs that were submitted.
pub fn submissions(world: &World) -> Vec<Value> {
    let is_run = |job: &Value| job["metadata"]["labels"]["mrunner/helper"].is_null();
    sent(world, "Job").into_iter().filter(is_run).collect()
}
