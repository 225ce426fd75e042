//! Whole manifests, byte for byte, and as the Kubernetes API knows them.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, PersistentVolume, PersistentVolumeClaim};
use mrunner::k8s::manifests::job;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::support::World;

/// Compares with `tests/data/golden/NAME`; `MRUNNER_BLESS=1` writes it instead.
#[track_caller]
pub fn golden(name: &str, text: &str) {
    let file = format!("{}/tests/data/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("MRUNNER_BLESS").is_some() {
        std::fs::create_dir_all(std::path::Path::new(&file).parent().unwrap()).unwrap();
        std::fs::write(&file, text).unwrap();
    }
    let expected = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(text == expected, "{file} differs (MRUNNER_BLESS=1 writes it anew); it is now:\n{text}");
}

/// That the API's own types take `manifest` and lose none of it: an unknown key would be dropped.
#[track_caller]
pub fn known<T: DeserializeOwned + Serialize>(manifest: &Value) {
    let typed: T = serde_json::from_value(manifest.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), *manifest);
}

fn tidy(world: &World, manifest: &Value) -> String {
    let mut manifest = manifest.clone();
    // what the run made it from
    if let Some(name) = manifest["metadata"]["name"].as_str().filter(|name| name.starts_with("mrunner-probe-")) {
        let text = manifest.to_string().replace(name, "mrunner-probe-[ID]");
        manifest = serde_json::from_str(&text).unwrap();
        for variable in manifest["spec"]["template"]["spec"]["containers"][0]["env"].as_array_mut().unwrap() {
            if variable["name"] == "MRUNNER_PROBE" {
                variable["value"] = "[HASH]".into();
            }
        }
    }
    let annotations = &mut manifest["metadata"]["annotations"];
    for (name, length) in [("mrunner/run-id", 26), ("mrunner/spec-sha256", 64), ("mrunner/project-uid", 26)] {
        if let Some(text) = annotations[name].as_str() {
            assert_eq!(text.len(), length, "{name}");
            annotations[name] = "[HASH]".into();
        }
    }
    world.tidy(&(serde_json::to_string_pretty(&manifest).unwrap() + "\n"))
}

#[test]
fn a_plain_run() {
    let world = World::new();
    world.run(&["run", "train.py"]).ok();
    let documents: Vec<Value> = world.calls_with(" -f - ").iter().map(super::support::Call::json).collect();
    let [namespace, claim, job] = documents.as_slice() else { panic!("{documents:#?}") };
    known::<Namespace>(namespace);
    known::<PersistentVolumeClaim>(claim);
    known::<Job>(job);
    golden("plain/namespace.json", &tidy(&world, namespace));
    golden("plain/claim.json", &tidy(&world, claim));
    golden("plain/job.json", &tidy(&world, job));
}

#[test]
fn a_run_with_everything() {
    let mut world = World::new();
    world.write(
        "home/.config/mrunner/config.yaml",
        "current_context: full
contexts:
  full:
    name: full
    type: kubernetes
    storage: /data
    registry_url: https://gcr.io
    google_project_id: rl-sandbox-1234
    kube_context: kube-lab
    resources: {cpu: 4, mem: 8G, gpu: 2, tpu: 1}
    default_pvc_size: 100G
    storage_class: shared
    base_image: python:3.12
    env: {OMP_NUM_THREADS: 4, GREETING: '$(HOME) $$'}
    run_as: 2000:3000
    node_selector: {pool: gpu}
    tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
    queue: research
    service_account: trainer
    image_pull_secret: registry
    tags: [lab, 'two words']
",
    );
    world.write(
        "vision/neptune.yaml",
        "name: Grid Search
project: anna/vision
tags: [from-file]
parameters:
  - {name: lr, type: double, default: 0.10}
  - {name: epochs, type: int, default: 3}
  - {name: data, type: string, default: '$(HOME) a b'}
",
    );
    world.write("vision/requirements.txt", "numpy\n");
    world.write("home/.docker/config.json", r#"{"credHelpers": {"gcr.io": "gcloud"}}"#);
    world.on("*' get storageclasses,nodes '*", "echo '{\"kind\":\"List\",\"items\":[{\"kind\":\"StorageClass\",\"metadata\":{\"name\":\"shared\"},\"provisioner\":\"x\"},{\"kind\":\"Node\"},{\"kind\":\"Node\"}]}'; exit 0");
    world.on(
        "*' get nodes '*",
        r#"echo '{"kind":"Node","metadata":{"labels":{"pool":"gpu"}},"status":{"allocatable":{"nvidia.com/gpu":"2","google.com/tpu":"1"}}}'; exit 0"#,
    );
    world.has_commit();
    world.on("'git '*' status '*", "printf '? new.py\\0'; exit 0");
    let args =
        ["run", "--config", "neptune.yaml", "--requirements", "requirements.txt", "--tags", "grid_search_k-12-48"];
    let more = [
        "--time-limit",
        "1h30m",
        "--retries",
        "2",
        "--no-retry-on",
        "64-66,2",
        "--deadline",
        "1d",
        "--cpu",
        "500m",
        "train.py",
        "--",
        "--epochs",
        "5",
        "",
        "$x",
        "é\n",
    ];
    world.run(&[&args[..], &more[..]].concat()).ok();
    let documents: Vec<Value> = world.calls_with(" -f - ").iter().map(super::support::Call::json).collect();
    let [_, claim, probe, job] = documents.as_slice() else { panic!("{documents:#?}") };
    known::<PersistentVolumeClaim>(claim);
    known::<Job>(job);
    known::<Job>(probe);
    golden("full/claim.json", &tidy(&world, claim));
    golden("full/probe.json", &tidy(&world, probe));
    golden("full/job.json", &tidy(&world, job).replace(job["metadata"]["name"].as_str().unwrap(), "[RUN]"));
}

#[test]
fn a_sweep_on_an_nfs_server() {
    let world = World::new();
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write(
        "home/.config/mrunner/config.yaml",
        contexts + "    nfs: {server: 10.0.0.1, path: '/exports/{project}'}\n",
    );
    let args = [
        "run",
        "--grid",
        "lr=0.1,1e-2",
        "--zip",
        "a=x,'y z'",
        "--zip",
        "b=1,\"1\"",
        "--parallel",
        "2",
        "--max-failed",
        "100",
    ];
    world.run(&[&args[..], &["train.py", "--", "--epochs", "3"]].concat()).ok();
    let documents: Vec<Value> = world.calls_with(" -f - ").iter().map(super::support::Call::json).collect();
    let [_, volume, claim, job, points] = documents.as_slice() else { panic!("{documents:#?}") };
    known::<PersistentVolume>(volume);
    known::<PersistentVolumeClaim>(claim);
    known::<Job>(job);
    known::<ConfigMap>(&points["items"][0]);
    golden("sweep/volume.json", &tidy(&world, volume));
    golden("sweep/claim.json", &tidy(&world, claim));
    golden("sweep/job.json", &tidy(&world, job));
    golden("sweep/points.txt", points["items"][0]["data"]["points"].as_str().unwrap());
}

#[test]
fn several_points_in_a_pod() {
    let world = World::new();
    let args = ["run", "--grid", "x=1..10", "--points-per-pod", "4", "--time-limit", "1m", "--retries", "1"];
    world.run(&[&args[..], &["--no-retry-on", "2,3", "train.py", "--", "$x"]].concat()).ok();
    let documents: Vec<Value> = world.calls_with(" -f - ").iter().map(super::support::Call::json).collect();
    let [_, _, job, points] = documents.as_slice() else { panic!("{documents:#?}") };
    known::<Job>(job);
    golden("packed/job.json", &tidy(&world, job));
    let data = &points["items"][0]["data"];
    assert_eq!([&data["wrapper"], &data["pack"]], [&job::wrapper(), &job::pack()]);
    for (name, most) in [("sweep", 2_000), ("packed", 2_300)] {
        let text = std::fs::read(format!("{}/tests/data/golden/{name}/job.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
        let job: Value = serde_json::from_slice(&text).unwrap();
        let size = job["spec"]["template"].to_string().len();
        assert!(size < most, "{name}: each pod takes {size} bytes");
    }
}
