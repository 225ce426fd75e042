//! What takes time on this machine: `cargo bench`. `tests/bench` has the figures of whole commands.
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::fs;
use std::io;
use std::path::Path;

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use mrunner::image::context::{ContextSpec, write_tar};
use mrunner::image::folder::{Folder, Rules};
use mrunner::image::key::Key;
use mrunner::runs::state;
use serde_json::{Value, json};
use tempfile::TempDir;

const FILES: usize = 2_000;
const PODS: usize = 10_000;

fn main() {
    divan::main();
}

/// 2,000 files of 16 KiB in 100 folders, and 40 patterns that leave nothing out.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for index in 0..FILES {
        let below = folder.path().join(format!("package{}", index % 100));
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join(format!("module_{index}.py")), [b'x'; 16 * 1024]).unwrap();
    }
    let patterns =
        (0..40).map(|index| format!("*.left-out-{index}\nbuild{index}/**/*.[oa]\n")).collect::<Vec<_>>().concat();
    fs::write(folder.path().join(".mrunnerignore"), patterns).unwrap();
    folder
}

fn scanned(path: &Path) -> (Folder, ContextSpec) {
    let folder = Folder::scan(path, &Rules::default()).unwrap();
    let spec = ContextSpec { dockerfile: "FROM scratch\n".into(), code: folder.entries.clone(), ..Default::default() };
    (folder, spec)
}

#[divan::bench]
fn scan_of_a_folder(bencher: Bencher<'_, '_>) {
    let folder = folder();
    bencher.counter(ItemsCount::new(FILES)).bench(|| Folder::scan(folder.path(), &Rules::default()).unwrap());
}

#[divan::bench]
fn hash_of_a_folder(bencher: Bencher<'_, '_>) {
    let disk = folder();
    let (folder, spec) = scanned(disk.path());
    bencher.counter(BytesCount::new(folder.total_bytes)).bench(|| Key::of(&spec, &|entry| folder.open(entry)).unwrap());
}

#[divan::bench]
fn tar_of_the_context(bencher: Bencher<'_, '_>) {
    let disk = folder();
    let (folder, spec) = scanned(disk.path());
    bencher
        .counter(BytesCount::new(folder.total_bytes))
        .bench(|| write_tar(black_box(&spec), &|entry| folder.open(entry), &mut io::sink()).unwrap());
}

/// A sweep of 10,000 points, of which each tenth failed and each other tenth runs.
fn sweep() -> Vec<Value> {
    let job = json!({
        "kind": "Job",
        "metadata": {"name": "train-1", "namespace": "vision", "uid": "u", "creationTimestamp": "2026-11-24T22:00:00Z"},
        "spec": {"completions": PODS, "parallelism": PODS, "completionMode": "Indexed", "backoffLimitPerIndex": 0},
        "status": {"succeeded": PODS * 8 / 10, "startTime": "2026-11-24T22:00:00Z"},
    });
    let pod = |index: usize| {
        let (phase, state) = match index % 10 {
            0 => ("Failed", json!({"terminated": {"exitCode": 1, "reason": "Error", "message": "Traceback"}})),
            1 => ("Running", json!({"running": {"startedAt": "2026-11-24T22:00:05Z"}})),
            _ => ("Succeeded", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})),
        };
        json!({
            "kind": "Pod",
            "metadata": {
                "name": format!("train-1-{index}-abcde"),
                "namespace": "vision",
                "creationTimestamp": "2026-11-24T22:00:01Z",
                "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()},
                "annotations": {"batch.kubernetes.io/job-completion-index": index.to_string()},
                "ownerReferences": [{"kind": "Job", "uid": "u", "controller": true}],
            },
            "spec": {"nodeName": "node1", "containers": [{"name": "experiment", "image": "r/v:1"}]},
            "status": {
                "phase": phase,
                "conditions": [{"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [{"name": "experiment", "state": state, "restartCount": 0}],
            },
        })
    };
    std::iter::once(job).chain((0..PODS).map(pod)).collect()
}

#[divan::bench]
fn state_of_a_run_from_10000_pods(bencher: Bencher<'_, '_>) {
    let objects = sweep();
    assert_eq!(state::runs(objects.clone())[0].pods.len(), PODS);
    bencher.counter(ItemsCount::new(PODS)).with_inputs(|| objects.clone()).bench_values(state::runs);
}
