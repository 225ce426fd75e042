//! The Job of a run that is submitted again, from the Job that the cluster has. Pure.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::k8s::job::Job;
use crate::k8s::manifests::job::{COUNT, LINES, MARK, RECORD, literal};
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::points::{self, PointFiles};
use crate::k8s::manifests::{
    MANAGED_BY, POINTS, POINTS_HASH, PROJECT, QUEUE, RERUN_OF, RUN, RUN_ID, SPEC_HASH, TAG_PREFIX, VERSION, secret_env,
};
use crate::k8s::names::{RunId, RunName};

/// The fields of a Job's spec that the user's request set; the cluster set the rest.
const SPEC: &[&str] = &[
    "completionMode",
    "completions",
    "parallelism",
    "backoffLimitPerIndex",
    "maxFailedIndexes",
    "podReplacementPolicy",
    "podFailurePolicy",
    "activeDeadlineSeconds",
    "ttlSecondsAfterFinished",
    "template",
];

/// The Job of `run`, built from the ended Job `stored`; with `points`, only these. It is suspended if it needs
/// points or a Secret, until they exist.
pub fn manifest(stored: &Value, run: &RunName, id: &RunId, points: Option<(usize, &PointFiles)>) -> Value {
    let old = &stored["metadata"];
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": run.as_str(),
            "namespace": old["namespace"],
            "labels": own_labels(&old["labels"], run, true),
            "annotations": Value::Object(annotations(old, id)),
        },
        "spec": {},
    });
    for key in SPEC {
        if let Some(value) = stored["spec"].get(*key) {
            job["spec"][*key] = value.clone();
        }
    }
    let template = &mut job["spec"]["template"];
    template["metadata"] = json!({ "labels": own_labels(&template["metadata"]["labels"], run, false) });
    PodMetadata::of(stored).add_to(&mut template["metadata"]);
    let name = old["name"].as_str().unwrap_or_default();
    let count = points.map_or(1, |(count, _)| count);
    for variable in template["spec"]["containers"][0]["env"].as_array_mut().into_iter().flatten() {
        let value = variable["value"].as_str().unwrap_or_default();
        let new = match variable["name"].as_str().unwrap_or_default() {
            "MRUNNER_RUN" => run.to_string(),
            MARK => id.mark(),
            "MRUNNER_OUTPUT" => value.replace(&format!("/{name}/"), &format!("/{run}/")),
            COUNT => count.to_string(),
            LINES => points.map_or(value.to_owned(), |(_, lines)| lines.per_file().to_string()),
            RECORD => record(value, run, count),
            _ => continue,
        };
        variable["value"] = new.into();
    }
    secret_env::rename(&mut template["spec"]["containers"][0]["env"], name, run.as_str());
    if let Some((count, lines)) = points {
        for volume in template["spec"]["volumes"].as_array_mut().into_iter().flatten() {
            if volume["name"] == points::KEY {
                *volume = lines.volume(run);
            }
        }
        let pods = (count as u64).div_ceil(Job::of(stored).packing().1);
        let spec = &mut job["spec"];
        spec["completions"] = pods.into();
        for bound in ["parallelism", "maxFailedIndexes"] {
            if let Some(most) = spec[bound].as_u64() {
                spec[bound] = most.min(pods).into();
            }
        }
        job["metadata"]["annotations"][POINTS] = count.to_string().into();
        job["metadata"]["annotations"][POINTS_HASH] = lines.hash().into();
    }
    if points.is_some() || !secret_env::names(&job).is_empty() {
        job["spec"]["suspend"] = true.into();
    }
    job["metadata"]["annotations"][SPEC_HASH] = HEXLOWER.encode(&Sha256::digest(job.to_string())).into();
    job
}

/// mrunner's labels; the queue's label only on the Job.
fn own_labels(labels: &Value, run: &RunName, queue: bool) -> Value {
    let ours =
        |name: &str| [MANAGED_BY, PROJECT].contains(&name) || name.starts_with(TAG_PREFIX) || (queue && name == QUEUE);
    let labels = labels.as_object().into_iter().flatten().filter(|(name, _)| ours(name));
    let mut labels: Map<String, Value> = labels.map(|(name, value)| (name.clone(), value.clone())).collect();
    labels.insert(RUN.into(), run.as_str().into());
    labels.into()
}

fn annotations(old: &Value, id: &RunId) -> Map<String, Value> {
    let ours = |name: &str| name.starts_with("mrunner/") && name != SPEC_HASH;
    let kept = old["annotations"].as_object().into_iter().flatten().filter(|(name, _)| ours(name));
    let mut all: Map<String, Value> = kept.map(|(name, value)| (name.clone(), value.clone())).collect();
    all.insert(RUN_ID.into(), id.as_str().into());
    all.insert(RERUN_OF.into(), old["name"].clone());
    all.insert(VERSION.into(), env!("CARGO_PKG_VERSION").into());
    all
}

/// What the volume's records say about the run.
fn record(text: &str, run: &RunName, points: usize) -> String {
    let Ok(Value::Object(mut record)) = serde_json::from_str(&text.replace("$$", "$")) else {
        return text.to_owned();
    };
    record.insert("run".into(), run.as_str().into());
    record.insert("completions".into(), points.into());
    literal(&Value::Object(record).to_string())
}
