//! An image that the nodes can't run is told of before it is built or submitted.

use serde_json::{Value, json};

use crate::support::World;

fn nodes(platforms: &[&str]) -> Vec<Value> {
    let node = |platform: &&str| {
        let (os, arch) = platform.split_once('/').unwrap();
        json!({"kind": "Node", "metadata": {"name": arch, "labels": {"kubernetes.io/os": os, "kubernetes.io/arch": arch}}, "spec": {}})
    };
    platforms.iter().map(node).collect()
}

/// A project that has its storage, in a cluster of such nodes.
fn world(platforms: &[&str]) -> World {
    let mut world = World::new();
    world.write("nodes.json", json!({"kind": "List", "items": nodes(platforms)}).to_string());
    world.on("*' get nodes '*", "cat \"$world/nodes.json\"; exit 0");
    let claim = json!({"kind": "PersistentVolumeClaim", "metadata": {"name": "storage", "uid": "u", "annotations": {
        "mrunner/project-name": "vision",
        "mrunner/proved": r#"{"claim":"u","volume":"v","nodes":["a"],"shared":true,"image":"i","time":"t"}"#}},
        "spec": {"accessModes": ["ReadWriteMany"], "volumeName": "v"}, "status": {"phase": "Bound"}});
    let list = json!({"kind": "List", "items": [{"kind": "Namespace", "metadata": {"name": "vision"}}, claim]});
    world.write("standing.json", list.to_string());
    world.on("*' get namespace/'*", "cat \"$world/standing.json\"; exit 0");
    world
}

fn selector(world: &World) -> Value {
    world.submissions().pop().unwrap().json()["spec"]["template"]["spec"]["nodeSelector"].clone()
}

#[test]
fn a_build_for_another_platform_than_the_nodes_is_refused() {
    let world = world(&["linux/amd64", "linux/amd64"]);
    world.run(&["run", "--platform", "linux/arm64", "train.py"]).fails(
        2,
        "error: the image is for linux/arm64, and the nodes are linux/amd64
hint: build it for them with `--platform linux/amd64`
",
    );
    assert!(world.calls_with("buildx build").is_empty() && world.submissions().is_empty());
    // what is remembered is asked for again before it refuses anything
    world.write("nodes.json", json!({"kind": "List", "items": nodes(&["linux/arm64"])}).to_string());
    world.run(&["run", "--platform", "linux/arm64/v8", "train.py"]).ok();
    assert_eq!(world.calls_with(" get nodes ").len(), 2);
    // and what fits is not asked for at all
    world.run(&["run", "--platform", "linux/arm64", "train.py"]).ok();
    assert_eq!(world.calls_with(" get nodes ").len(), 2);
    let default = world.run(&["run", "train.py"]);
    assert!(default.code == 2 && default.stderr.contains("with `--platform linux/arm64`"), "{default:?}");
}

#[test]
fn the_nodes_that_are_listed_for_a_new_storage_are_looked_at() {
    let world = World::new();
    let class =
        json!({"kind": "StorageClass", "metadata": {"name": "f"}, "provisioner": "filestore.csi.storage.gke.io"});
    let items: Vec<Value> = [vec![class], nodes(&["linux/arm64"])].concat();
    world.write("cluster.json", json!({"kind": "List", "items": items}).to_string());
    let mut world = world;
    world.write("nodes.json", json!({"kind": "List", "items": nodes(&["linux/arm64"])}).to_string());
    world.on("*' get nodes '*", "cat \"$world/nodes.json\"; exit 0");
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("the image is for linux/amd64, and the nodes are linux/arm64")
    );
    assert!(world.calls_with(" apply ").is_empty() && world.submissions().is_empty());
}

#[test]
fn in_a_cluster_of_several_platforms_the_pods_are_led_to_theirs() {
    let world = world(&["linux/amd64", "linux/arm64", "windows/amd64"]);
    world.run(&["run", "--platform", "linux/arm64", "train.py"]).ok();
    assert_eq!(selector(&world), json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}));
    world.run(&["run", "train.py"]).ok();
    assert_eq!(selector(&world), json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}));
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write(
        "home/.config/mrunner/config.yaml",
        format!("{contexts}    node_selector: {{kubernetes.io/arch: arm64}}\n"),
    );
    world.run(&["run", "--platform", "linux/arm64", "train.py"]).ok();
    assert_eq!(selector(&world), json!({"kubernetes.io/arch": "arm64"}));
}

#[test]
fn where_nodes_are_made_as_pods_need_them_it_is_a_warning() {
    let world = world(&["linux/amd64"]);
    let mut grown = nodes(&["linux/amd64"]);
    grown[0]["metadata"]["labels"]["cloud.google.com/gke-nodepool"] = "a".into();
    world.write("nodes.json", json!({"kind": "List", "items": grown}).to_string());
    let outcome = world.run(&["run", "--platform", "linux/arm64", "train.py"]).ok();
    assert!(outcome.stderr.contains("warning: no node is linux/arm64 now; the cluster may make one for it"));
    assert_eq!(selector(&world), json!({"kubernetes.io/os": "linux", "kubernetes.io/arch": "arm64"}));
}

#[test]
fn a_ready_image_is_asked_for_its_platforms() {
    let index = r#"{"manifests": [{"platform": {"os": "linux", "architecture": "arm64"}}, {"platform": {"os": "unknown", "architecture": "unknown"}}]}"#;
    let by_digest = format!("r/x@sha256:{}", "0".repeat(64));
    for (raw, config) in [
        (index, "exit 1"),
        (r#"{"config": {"digest": "x"}}"#, r#"echo '{"os": "linux", "architecture": "arm64"}'; exit 0"#),
    ] {
        let mut world = world(&["linux/amd64"]);
        world.write("raw.json", raw);
        world.on("'docker buildx imagetools inspect --raw '*", "cat \"$world/raw.json\"; exit 0");
        world.on("'docker buildx imagetools inspect --format '*", config);
        let asked = || world.calls_with("imagetools inspect --raw").len();
        for (image, expected) in [("r/x:tag", 2), (by_digest.as_str(), 3)] {
            for _ in 0..2 {
                world.run(&["run", "--image", image, "/bin/sh"]).fails(
                    2,
                    "error: the image is for linux/arm64, and the nodes are linux/amd64
hint: choose an image for linux/amd64, or build one for it
",
                );
            }
            // a digest is always the same image
            assert_eq!(asked(), expected, "{image}");
        }
        world.write("raw.json", index.replace("arm64", "amd64"));
        world.run(&["run", "--image", "r/x:tag", "/bin/sh"]).ok();
    }
    // nobody can say: no docker, no such image, no index
    let mut world = world(&["linux/amd64"]);
    world.run(&["run", "--image", "r/x:none", "/bin/sh"]).ok();
    world.on("'docker buildx imagetools inspect --raw '*", "echo '<html>'; exit 0");
    world.run(&["run", "--image", "r/x:1", "/bin/sh"]).ok();
    world.without("docker").run(&["run", "--image", "r/x:2", "/bin/sh"]).ok();
}

/// Has the nodes' platforms remembered for longer than they count.
fn age(world: &World) {
    let file = "home/.cache/mrunner/claims.json";
    let mut all: Value = serde_json::from_str(&world.read(file)).unwrap();
    for known in all.as_object_mut().unwrap().values_mut() {
        known["platforms_at"] = (known["platforms_at"].as_i64().unwrap() - 3600).into();
    }
    world.write(file, all.to_string());
}

#[test]
fn the_nodes_are_listed_if_nothing_new_is_known_of_them() {
    let world = world(&["linux/amd64"]);
    let listed = || world.calls_with(" get nodes ").len();
    for _ in 0..2 {
        world.run(&["run", "train.py"]).ok();
        assert_eq!((selector(&world), listed()), (Value::Null, 1));
    }
    age(&world);
    world.write("nodes.json", json!({"kind": "List", "items": nodes(&["linux/amd64", "linux/arm64"])}).to_string());
    world.run(&["run", "train.py"]).ok();
    assert_eq!(selector(&world)["kubernetes.io/arch"], "amd64");
    age(&world);
    world.write("nodes.json", json!({"kind": "List", "items": nodes(&["linux/arm64"])}).to_string());
    let refused = world.run(&["run", "train.py"]);
    assert!(refused.stderr.contains("the image is for linux/amd64, and the nodes are linux/arm64"), "{refused:?}");
    assert_eq!(listed(), 3);
}

#[test]
fn the_platform_is_that_of_the_nodes_with_the_accelerators() {
    let world = world(&["linux/amd64", "linux/arm64"]);
    let mut mixed = nodes(&["linux/amd64", "linux/arm64"]);
    mixed[1]["status"] = json!({"allocatable": {"nvidia.com/gpu": "2"}});
    world.write("nodes.json", json!({"kind": "List", "items": mixed}).to_string());
    let gpu = |platform: &str, count: &str| world.run(&["run", "--platform", platform, "--gpu", count, "train.py"]);
    gpu("linux/amd64", "1").fails(
        2,
        "error: the image is for linux/amd64, and the nodes are linux/arm64
hint: build it for them with `--platform linux/arm64`
",
    );
    gpu("linux/arm64", "2").ok();
    assert_eq!(selector(&world), Value::Null);
}

#[test]
fn the_platforms_of_a_hint_can_be_typed() {
    let world = world(&["linux/amd64", "linux/arm64"]);
    let refused = world.run(&["run", "--platform", "linux/s390x", "train.py"]);
    assert!(refused.stderr.ends_with("hint: build it for them with `--platform linux/amd64,linux/arm64`\n"));
    world.run(&["run", "--platform", "linux/amd64,linux/arm64", "train.py"]).ok();
}

#[test]
fn who_may_not_list_the_nodes_is_not_kept() {
    let mut world = world(&["linux/amd64"]);
    world.on("*' get nodes '*", &crate::storage::forbidden("list", "nodes"));
    for _ in 0..2 {
        world.run(&["run", "--platform", "linux/arm64", "train.py"]).ok();
    }
    assert_eq!(world.calls_with(" get nodes ").len(), 1);
}
