//! Where a project has no claim yet: which one it gets.

use serde_json::{Value, json};

use super::{asked, at, bare, list, patch_of, says, sent, submissions, volume, with};
use crate::support::World;

/// A cluster of several nodes with these classes and no claim.
fn cluster(classes: &[Value]) -> World {
    let world = bare();
    let nodes = [
        json!({"kind": "Node", "metadata": {"name": "node1"}}),
        json!({"kind": "Node", "metadata": {"name": "node2"}}),
    ];
    world.write("cluster.json", list(&[classes, &nodes].concat()));
    world
}

fn class(name: &str, provisioner: &str) -> Value {
    json!({"kind": "StorageClass", "metadata": {"name": name}, "provisioner": provisioner})
}

/// A volume whose claim is gone, with its namespace.
fn released(world: &mut World) {
    world.write("volumes.json", list(&[with(volume(), |v| v["status"]["phase"] = "Released".into())]));
    world.on("*' get pv -l mrunner/project=vision '*", r#"cat "$world/volumes.json"; exit 0"#);
}

/// The NFS server in the cluster.
fn server(world: &mut World) {
    world.write("service.json", json!({"kind": "Service", "metadata": {"labels": {"app.kubernetes.io/managed-by": "mrunner"}}, "spec": {"clusterIP": "10.96.0.9"}}).to_string());
    world.on("*' -n mrunner-nfs get service/nfs-server '*", r#"cat "$world/service.json"; exit 0"#);
    world.on("*' -n mrunner-nfs exec '*", "exit 0");
}

#[test]
fn what_is_named_comes_before_what_is_found() {
    let mut world = cluster(&[class("shared", "nfs.csi.k8s.io"), class("fast", "x/local")]);
    server(&mut world);
    says(&world, "nfs: {server: 10.0.0.7, path: '/export/{project}'}");
    let chosen = |world: &World, args: &[&str]| {
        let outcome = world.run(&[&["run"], args, &["train.py"]].concat()).ok();
        let line = outcome.stderr.lines().find(|line| line.starts_with("storage   a new claim ")).unwrap();
        line.split_once(": ").unwrap().1.to_owned()
    };
    released(&mut world);
    let volume = "the volume `pvc-1`, which holds the project's data and has lost its claim";
    assert_eq!(chosen(&world, &["--storage-class", "fast"]), volume);
    world.write("volumes.json", list(&[]));
    assert_eq!(chosen(&world, &["--storage-class", "fast"]), "ReadWriteMany of class `fast`, as asked for");
    assert_eq!(chosen(&world, &[]), "`/export/vision` on the NFS server `10.0.0.7`");
    let contexts = world.read("home/.config/mrunner/config.yaml").replace("    nfs:", "    # nfs:");
    world.write("home/.config/mrunner/config.yaml", contexts);
    assert_eq!(
        chosen(&world, &[]),
        "ReadWriteMany of class `shared`, whose provisioner `nfs.csi.k8s.io` shares volumes"
    );
    let nodes = [
        json!({"kind": "Node", "metadata": {"name": "node1"}}),
        json!({"kind": "Node", "metadata": {"name": "node2"}}),
    ];
    world.write("cluster.json", list(&nodes));
    assert_eq!(chosen(&world, &[]), "a folder on the cluster's own NFS server, `10.96.0.9`");
}

#[test]
fn an_nfs_server_gives_a_volume_and_a_claim_that_name_each_other() {
    let world = cluster(&[]);
    says(&world, "nfs: {server: 10.0.0.7, path: '/export/{project}'}");
    world.run(&["run", "train.py"]).ok();
    let (volume, claim) = (sent(&world, "PersistentVolume").remove(0), sent(&world, "PersistentVolumeClaim").remove(0));
    assert_eq!(volume["spec"]["nfs"], json!({"server": "10.0.0.7", "path": "/export/vision"}));
    assert_eq!(
        (&claim["spec"]["volumeName"], &claim["spec"]["storageClassName"]),
        (&volume["metadata"]["name"], &json!(""))
    );
    assert_eq!(
        (&volume["spec"]["claimRef"]["namespace"], &volume["spec"]["claimRef"]["name"]),
        (&json!("vision"), &json!("storage"))
    );
    let uid = |object: &Value| object["metadata"]["annotations"]["mrunner/project-uid"].clone();
    assert!(uid(&volume).is_string() && uid(&volume) == uid(&claim));
    assert!(world.calls_with(" exec ").is_empty());
}

#[test]
fn the_data_of_before_are_found_again() {
    let mut world = cluster(&[class("other", "nfs.csi.k8s.io")]);
    released(&mut world);
    world.run(&["run", "train.py"]).ok();
    let patch = world.calls_with("patch pv/pvc-1 --type=json").remove(0);
    // refused if somebody took it meanwhile
    assert_eq!(
        patch_of(&patch),
        json!([{"op": "test", "path": "/spec/claimRef/uid", "value": "c1"},
               {"op": "remove", "path": "/spec/claimRef/uid"},
               {"op": "remove", "path": "/spec/claimRef/resourceVersion"}])
    );
    let claim = sent(&world, "PersistentVolumeClaim").remove(0);
    assert_eq!((&claim["spec"]["volumeName"], &claim["spec"]["storageClassName"]), (&json!("pvc-1"), &json!("shared")));
}

#[test]
fn a_volume_that_was_taken_meanwhile_stops_the_run() {
    let mut world = cluster(&[]);
    released(&mut world);
    let words = "The request is invalid: the server rejected our request due to an error in our request: testing value /spec/claimRef/uid failed";
    world.on("*' patch pv/'*", &format!("echo 'Error from server (Invalid): {words}' >&2; exit 1"));
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("failed to free the volume `pvc-1` for its new claim"),
        "{outcome:?}"
    );
    assert!(submissions(&world).is_empty() && sent(&world, "PersistentVolumeClaim").is_empty());
}

#[test]
fn the_nfs_server_in_the_cluster_gets_a_folder_first() {
    let mut world = cluster(&[]);
    server(&mut world);
    world.run(&["run", "train.py"]).ok();
    let volume = sent(&world, "PersistentVolume").remove(0);
    assert_eq!(volume["spec"]["nfs"], json!({"server": "10.96.0.9", "path": "/vision"}));
    let exec = world.calls_with(" exec ").remove(0);
    assert_eq!(exec.argv[exec.argv.len() - 2..], ["/exports/vision", "1000:1000"]);
    let made: Vec<String> =
        asked(&world, 0).into_iter().filter(|line| line.contains(" -f -") || line.contains(" exec ")).collect();
    assert_eq!(at(&made, " exec "), 1, "{made:?}");
}

#[test]
fn a_server_whose_folder_can_not_be_made_stops_the_run() {
    let mut world = cluster(&[]);
    server(&mut world);
    world.on("*' -n mrunner-nfs exec '*", &super::forbidden("create", "pods/exec"));
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("error: failed to make the folder of `vision` on the NFS server"),
        "{outcome:?}"
    );
    assert!(submissions(&world).is_empty() && sent(&world, "PersistentVolume").is_empty());
}

#[test]
fn nothing_to_choose_from_says_what_was_tried() {
    let world = cluster(&[class("fast", "x/local")]);
    let outcome = world.run(&["run", "train.py"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("error: found no storage for the project: "), "{outcome:?}");
    assert!(
        outcome
            .stderr
            .contains("hint: name a class that supports ReadWriteMany with `--storage-class CLASS`; it has `fast`\n"),
        "{outcome:?}"
    );
    assert!(world.calls_with(" -f - ").is_empty());
}
