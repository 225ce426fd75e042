//! Jobs and pods as an API server 1.34 shows them, recorded, with what no test looks at left out.

use serde_json::{Value, json};

use crate::support::World;

/// A cluster that shows these.
pub fn showing(objects: &[Value]) -> World {
    let mut world = World::new();
    world.shows(objects).env("MRUNNER_TEST_PATIENCE", "0.02");
    world
}

/// A run in this state.
pub fn one(state: &str) -> World {
    showing(&[
        job("train-x", if state == "ImagePullBackOff" || state == "Unschedulable" { "Pending" } else { state }),
        pod("train-x", state),
    ])
}

/// The Job of a run: `Pending`, `Running`, `Succeeded` or `Failed`.
pub fn job(name: &str, state: &str) -> Value {
    let start = "2026-11-23T06:00:00Z";
    let ended = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
               "lastTransitionTime": "2026-11-23T06:01:30Z"})
    };
    let status = match state {
        "Succeeded" => {
            json!({"startTime": start, "succeeded": 1, "completedIndexes": "0", "completionTime": "2026-11-23T06:01:30Z",
            "conditions": [ended("SuccessCriteriaMet", "CompletionsReached", ""), ended("Complete", "CompletionsReached", "")]})
        }
        "Failed" => json!({"startTime": start, "failed": 1, "failedIndexes": "0",
            "conditions": [ended("FailureTarget", "FailedIndexes", "Job has failed indexes"), ended("Failed", "FailedIndexes", "Job has failed indexes")]}),
        // three days as well, so that what `status` shows of it stands still
        _ => json!({"startTime": created(), "active": 1, "ready": u8::from(state == "Running"), "failedIndexes": ""}),
    };
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name, "namespace": "vision", "uid": format!("uid-{name}"), "creationTimestamp": created(),
            "labels": {"mrunner/run": name, "mrunner/project": "vision"},
            "annotations": {"mrunner/project-name": "vision", "mrunner/tags": "[\"baseline\"]"},
        },
        "spec": {"completions": 1, "parallelism": 1, "completionMode": "Indexed",
                 "template": {"spec": {"containers": [{"name": "experiment", "image": "registry.test:5000/vision/train@sha256:07"}]}}},
        "status": status,
    })
}

/// Three days and half an hour ago: shown as `3d` for a while.
fn created() -> String {
    let then = chrono::Utc::now() - chrono::TimeDelta::minutes(3 * 24 * 60 + 30);
    then.format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The pod of a point of the sweep `train-x`, in one of these states.
pub fn point(at: u64, state: &str) -> Value {
    let mut pod = pod("train-x", state);
    pod["metadata"]["name"] = format!("train-x-{at}-abcde").into();
    pod["metadata"]["uid"] = format!("uid-train-x-{at}-abcde").into();
    pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] = at.to_string().into();
    pod
}

/// Its pod: `Pending`, `Starting`, `Running`, `Succeeded`, `Failed`, `ImagePullBackOff` or
/// `Unschedulable`.
pub fn pod(run: &str, state: &str) -> Value {
    let (phase, container) = match state {
        "Running" => ("Running", json!({"running": {"startedAt": "2026-11-23T06:00:10Z"}})),
        "Succeeded" => ("Succeeded", json!({"terminated": {"exitCode": 0, "reason": "Completed"}})),
        "Failed" => ("Failed", json!({"terminated": {"exitCode": 2, "reason": "Error"}})),
        "Starting" => ("Pending", json!({"waiting": {"reason": "ContainerCreating"}})),
        "ImagePullBackOff" => ("Pending", json!({"waiting": {"reason": state, "message": PULL}})),
        _ => ("Pending", Value::Null),
    };
    let mut status = json!({"phase": phase});
    if !container.is_null() {
        let image = "registry.test:5000/vision/train:t-1";
        status["containerStatuses"] = json!([{"name": "experiment", "image": image, "state": container}]);
    }
    if state == "Unschedulable" {
        status["conditions"] =
            json!([{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": UNSCHEDULABLE}]);
    }
    let mut spec = json!({"containers": [{"name": "experiment", "resources": {"requests": {"cpu": "1000"}}}]});
    if !matches!(state, "Pending" | "Unschedulable") {
        spec["nodeName"] = "node2".into();
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{run}-0-q47fg"), "namespace": "vision", "uid": format!("uid-{run}-0-q47fg"),
            "creationTimestamp": "2026-11-23T06:00:00Z",
            "labels": {"mrunner/run": run, "batch.kubernetes.io/job-completion-index": "0"},
            "ownerReferences": [{"kind": "Job", "name": run, "uid": format!("uid-{run}"), "controller": true}],
        },
        "spec": spec,
        "status": status,
    })
}

const PULL: &str = "Back-off pulling image \"registry.test:5000/vision/train:t-1\": ErrImagePull: rpc error: code = NotFound desc = failed to pull and unpack image \"registry.test:5000/vision/train:t-1\": failed to resolve reference \"registry.test:5000/vision/train:t-1\": registry.test:5000/vision/train:t-1: not found";

const UNSCHEDULABLE: &str = "0/2 nodes are available: 2 Insufficient cpu. no new claims to deallocate, preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";

/// A warning about a Job, as `kubectl get events` lists it.
pub fn event(reason: &str, message: &str) -> Value {
    json!({"kind": "Event", "type": "Warning", "reason": reason, "message": message, "lastTimestamp": "2026-11-23T06:00:01Z"})
}
