//! What every pod gets: shared memory, the context's labels and annotations, and amounts that a quota may demand.

use serde_json::{Value, json};

use crate::support::World;
use crate::transfer::world as storage_world;

fn context(world: &World, keys: &str) {
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write("home/.config/mrunner/config.yaml", format!("{contexts}{keys}"));
}

/// The `sizeLimit` of `/dev/shm`, `None` where the pod has no volume for it.
fn shm(args: &[&str], context_says: &str, file_says: &str) -> Option<Value> {
    let world = World::new();
    context(&world, context_says);
    if !file_says.is_empty() {
        world.write("vision/mrunner.yaml", file_says);
    }
    world.run(&[&["run"], args, &["train.py"]].concat()).ok();
    let pod = world.job()["spec"]["template"]["spec"].take();
    let named = |list: &Value| list.as_array().unwrap().iter().find(|item| item["name"] == "shm").cloned();
    let mount = named(&pod["containers"][0]["volumeMounts"]);
    let volume = named(&pod["volumes"]);
    assert_eq!(mount.is_some(), volume.is_some());
    assert!(mount.is_none_or(|mount| mount == json!({"name": "shm", "mountPath": "/dev/shm"})));
    volume.map(|volume| {
        assert_eq!(volume["emptyDir"]["medium"], "Memory");
        volume["emptyDir"]["sizeLimit"].clone()
    })
}

#[test]
fn a_pod_has_shared_memory_within_its_memory_limit() {
    assert_eq!(shm(&[], "", ""), Some(Value::Null));
    assert_eq!(shm(&[], "    shm: 1Gi\n", ""), Some("1Gi".into()));
    assert_eq!(shm(&[], "    shm: 1Gi\n", "shm: 2Gi"), Some("2Gi".into()));
    assert_eq!(shm(&["--shm", "3Gi"], "    shm: 1Gi\n", "shm: 2Gi"), Some("3Gi".into()));
    assert_eq!(shm(&["--shm", "3Gi", "--mem", "3Gi"], "", ""), Some("3Gi".into()));
    for none in [shm(&["--shm", "0"], "    shm: 1Gi\n", ""), shm(&[], "    shm: 0\n", ""), shm(&[], "", "shm: 0")] {
        assert_eq!(none, None);
    }
    let world = World::new();
    world.run(&["run", "--shm", "8G", "--mem", "4G", "train.py"]).fails(
        2,
        "error: a `/dev/shm` of 8G does not fit into the memory limit of 4G, which counts it
hint: raise the limit with `--mem 8G` or more, or ask for less with `--shm 4G`
",
    );
    world.run(&["run", "--shm", "64", "train.py"]).fails(
        2,
        "error: `--shm` is an amount of bytes, and `64` is less than one KiB
hint: did you mean `64G`?
",
    );
    assert!(world.calls().is_empty());
}

const METADATA: &str = "    pod_labels: {team: vision}
    pod_annotations: {sidecar.istio.io/inject: \"false\"}
";

#[track_caller]
fn has_metadata(metadata: &Value) {
    assert_eq!(metadata["labels"]["team"], "vision", "{metadata}");
    assert_eq!(metadata["annotations"]["sidecar.istio.io/inject"], "false", "{metadata}");
}

#[test]
fn every_pod_has_the_labels_and_annotations_of_the_context() {
    let world = World::new();
    context(&world, METADATA);
    world.write(
        "cluster.json",
        r#"{"kind": "List", "items": [{"kind": "StorageClass", "metadata": {"name": "f"}, "provisioner": "filestore.csi.storage.gke.io"},
           {"kind": "Node", "metadata": {"name": "node1"}, "spec": {}}, {"kind": "Node", "metadata": {"name": "node2"}, "spec": {}}]}"#,
    );
    world.run(&["run", "--storage-class", "f", "train.py"]).ok();
    let job = world.job();
    has_metadata(&job["spec"]["template"]["metadata"]);
    let probe = world
        .calls_with(" create ")
        .iter()
        .map(crate::support::Call::json)
        .find(|object| object["metadata"]["name"].as_str().is_some_and(|name| name.starts_with("mrunner-probe-")));
    has_metadata(&probe.expect("a volume of two nodes is tried")["spec"]["template"]["metadata"]);
    // on another machine, whose context says nothing
    let mut stored = job;
    stored["status"] = json!({"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]});
    stored["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "u-1".into();
    let name = stored["metadata"]["name"].as_str().unwrap().to_owned();
    let mut world = World::new();
    world.shows(&[stored]);
    world.run(&["rerun", &name]).ok();
    let again = world.job();
    has_metadata(&again["spec"]["template"]["metadata"]);
    assert_eq!(again["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"], Value::Null);
    assert_ne!(again["spec"]["template"]["metadata"]["labels"]["mrunner/run"], name.as_str());
}

#[test]
fn the_pods_that_ask_a_registry_and_reach_a_storage_have_them_too() {
    let mut world = World::new();
    context(&world, METADATA);
    world.on(
        "*' get pod/mrunner-doctor-'*",
        r#"echo '{"kind":"Pod","status":{"containerStatuses":[{"name":"helper","state":{"waiting":{"reason":"ErrImagePull","message":"not found"}}}]}}'; exit 0"#,
    );
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    world.run(&["doctor", "--probe"]);
    let pod =
        world.calls_with(" create ").iter().map(crate::support::Call::json).find(|object| object["kind"] == "Pod");
    let pod = pod.expect("a pod asks the registry");
    has_metadata(&pod["metadata"]);
    names_all(&pod["spec"]["containers"][0]["resources"]);

    let world = storage_world();
    context(&world, METADATA);
    world.write("volume/train-1/a", "a");
    world.write("claim.json", r#"{"metadata": {"name": "storage", "annotations": {"mrunner/project-name": "vision"}}, "spec": {"accessModes": ["ReadWriteMany"]}}"#);
    world.run(&["download", "vision:train-1", "--image", "r/python:3"]).ok();
    let helper = world.job();
    has_metadata(&helper["spec"]["template"]["metadata"]);
    names_all(&helper["spec"]["template"]["spec"]["containers"][0]["resources"]);
}

/// A quota may count each of the four, and then demands it of every container.
#[track_caller]
fn names_all(resources: &Value) {
    for kind in ["requests", "limits"] {
        for resource in ["cpu", "memory"] {
            assert!(resources[kind][resource].is_string(), "{kind}.{resource}: {resources}");
        }
    }
}
