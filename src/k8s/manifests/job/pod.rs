//! The pod of a Job.

use super::{COUNT, JobSpec, LINES, MARK, RECORD, literal};
use crate::k8s::manifests::points;
use crate::k8s::manifests::scheduling::Scheduling;
use crate::k8s::manifests::{CONTAINER, secret_env};
use crate::k8s::quantity::Quantity;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub(super) fn pod(spec: &JobSpec) -> Value {
    let (user, group) = spec.run_as;
    let root = user == 0;
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        // so that the experiment is not process 1: that one ignores each signal that it has no
        // handler for, and a Python script would outlive its deletion or time limit by 30 s
        "shareProcessNamespace": true,
        // what Pod Security `restricted` demands; a context that says `run_as: 0` opts out
        "securityContext": {
            "runAsNonRoot": !root,
            "runAsUser": user,
            "runAsGroup": group,
            "fsGroup": group,
            // else a large volume's files would be changed one by one at each start
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": CONTAINER,
            "image": spec.image,
            "command": wrapped(spec),
            "env": env(spec),
            // the wrapper may write none for a point that failed: the end of its log says why
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "storage", "mountPath": spec.storage }],
        }],
        "volumes": [{ "name": "storage", "persistentVolumeClaim": { "claimName": spec.claim.as_str() } }],
    });
    add_volumes(spec, &mut pod);
    add_placement(spec, &mut pod);
    pod
}

/// Adds the points of a sweep and `/dev/shm`.
fn add_volumes(spec: &JobSpec, pod: &mut Value) {
    let points = spec.sweep.as_ref().map(|sweep| {
        let mount = json!({ "name": points::KEY, "mountPath": points::FOLDER, "readOnly": true });
        (sweep.lines.volume(spec.run), mount)
    });
    for (volume, mount) in points.into_iter().chain(shm(spec.shm)) {
        pod["containers"][0]["volumeMounts"].as_array_mut().into_iter().for_each(|mounts| mounts.push(mount.clone()));
        pod["volumes"].as_array_mut().into_iter().for_each(|volumes| volumes.push(volume.clone()));
    }
}

/// Adds where the pod may run, as whom, and for how long.
fn add_placement(spec: &JobSpec, pod: &mut Value) {
    if !spec.limits.is_empty() {
        let limits: Map<_, _> = spec.limits.iter().map(|(name, q)| (name.clone(), q.as_str().into())).collect();
        pod["containers"][0]["resources"] = json!({ "limits": limits });
    }
    Scheduling {
        node_selector: spec.node_selector,
        affinity: spec.affinity,
        tolerations: spec.tolerations,
        service_account: spec.service_account,
        image_pull_secret: spec.image_pull_secret,
    }
    .add_to(pod);
    if let Some(seconds) = spec.failure.time_limit {
        // of the pod, not of the Job: it counts from the pod's own start. The wrapper ends a point of several
        // itself, and this is for where it can't
        let several = spec.packed().map(|sweep| seconds.saturating_mul(sweep.per_pod.into()).saturating_add(60));
        pod["activeDeadlineSeconds"] = several.unwrap_or(seconds).into();
    }
}

/// The volume of `/dev/shm` and its mount: memory that counts as the container's own. The container runtime gives
/// 64 MiB, too little for a data loader of several processes. Without a size, the kubelet makes it as large as the
/// pod's memory limit, or the node's memory (kubernetes, `pkg/volume/emptydir`, `calculateEmptyDirMemorySize`).
pub(super) fn shm(size: Option<&Quantity>) -> Option<(Value, Value)> {
    let mut volume = json!({ "name": "shm", "emptyDir": { "medium": "Memory" } });
    match size {
        Some(size) if size.amount() == 0.0 => return None,
        Some(size) => volume["emptyDir"]["sizeLimit"] = size.as_str().into(),
        None => {}
    }
    Some((volume, json!({ "name": "shm", "mountPath": "/dev/shm" })))
}

/// The wrapper as it is sent, without its comments.
pub fn wrapper() -> String {
    sent(WRAPPER)
}

/// The script that runs it for each point of a pod that has several.
pub fn pack() -> String {
    sent(PACK)
}

fn sent(script: &str) -> String {
    format!("{AWAIT}{script}").trim_end().to_owned()
}

/// The scripts of a sweep by their names, for [`points::PointFiles::with_scripts`].
pub fn scripts(per_pod: u32) -> BTreeMap<String, String> {
    let pack = (per_pod > 1).then(|| (PACK_NAME.to_owned(), pack()));
    pack.into_iter().chain([(WRAPPER_NAME.to_owned(), wrapper())]).collect()
}

/// The command: a sweep takes its scripts from the points' folder; a single run holds its script itself.
fn wrapped(spec: &JobSpec) -> Vec<String> {
    const SHELL: &str = "/bin/sh";
    let words = if spec.sweep.is_some() {
        let names = spec.packed().map(|_| PACK_NAME).into_iter().chain([WRAPPER_NAME]);
        names.flat_map(|name| [SHELL.to_owned(), format!("{}/{name}", points::FOLDER)]).collect()
    } else {
        vec![SHELL.to_owned(), "-c".to_owned(), wrapper(), "mrunner".to_owned()]
    };
    words.iter().chain(spec.command).map(|word| literal(word)).collect()
}

pub(super) fn env(spec: &JobSpec) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mut env = vec![
        // defined here and not left to the Job controller, as MRUNNER_OUTPUT below refers to it
        field("JOB_COMPLETION_INDEX", "metadata.annotations['batch.kubernetes.io/job-completion-index']"),
        // for the wrapper alone; its name is not the pod's hostname in an Indexed Job
        field("MRUNNER_POD", "metadata.name"),
    ];
    let mut set = |name: &str, value: String| env.push(json!({ "name": name, "value": value }));
    set("STORAGE_DIR", literal(spec.storage));
    set("MRUNNER_RUN", spec.run.to_string());
    set("MRUNNER_OUTPUT", format!("{}/{}/$(JOB_COMPLETION_INDEX)", literal(spec.storage), spec.run));
    if spec.sweep.is_none() {
        // a point has its own
        set("MRUNNER_PARAMS", literal(&spec.params.to_string()));
    }
    set(MARK, spec.id.mark());
    set("MRUNNER_KEEP_LOGS", spec.keep_logs.map_or("auto", |keep| if keep { "yes" } else { "no" }).to_owned());
    if let Some(most) = spec.keep_logs_max {
        // whole bytes, for the arithmetic of a shell
        set("MRUNNER_KEEP_LOGS_MAX", format!("{:.0}", most.amount()));
    }
    if let Some(sweep) = &spec.sweep {
        set(LINES, sweep.lines.per_file().to_string());
    }
    if let Some(sweep) = spec.packed() {
        set(COUNT, sweep.points.to_string());
        set("MRUNNER_POINTS_PER_POD", sweep.per_pod.to_string());
        let codes: Vec<String> = spec.failure.no_retry_on.iter().map(u8::to_string).collect();
        if !codes.is_empty() {
            set("MRUNNER_NO_RETRY", codes.join(" "));
        }
        if let Some(seconds) = spec.failure.time_limit {
            set("MRUNNER_LIMIT", seconds.to_string());
        }
    }
    set(RECORD, literal(&record(spec).to_string()));
    for (name, value) in spec.env.iter().filter(|(name, _)| !spec.secret_env.contains(name)) {
        set(name, literal(value));
    }
    env.extend(secret_env::references(spec.run.as_str(), spec.secret_env.iter().map(String::as_str)));
    env
}

/// What is said of the run on its volume, for when its Job is gone; nothing secret.
pub(super) fn record(spec: &JobSpec) -> Value {
    json!({
        "run": spec.run.as_str(),
        "project": spec.project,
        "experiment": spec.experiment,
        "tags": spec.tags,
        "completions": spec.sweep.map_or(1, |sweep| sweep.points),
        "image": spec.image,
    })
}

/// The name of the wrapper in the points' folder.
const WRAPPER_NAME: &str = "wrapper";

/// The name of [`pack`] there.
const PACK_NAME: &str = "pack";

/// Starts the experiment, and keeps its log and its end on the volume.
pub(super) const WRAPPER: &str = include_str!(concat!(env!("OUT_DIR"), "/wrapper.sh"));

/// Runs several points in a pod, one after the other.
pub(super) const PACK: &str = include_str!(concat!(env!("OUT_DIR"), "/pack.sh"));

/// What both begin with.
pub(super) const AWAIT: &str = include_str!(concat!(env!("OUT_DIR"), "/await.sh"));
