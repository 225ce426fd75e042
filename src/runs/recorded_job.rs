//! A run once more, out of what the cluster has of it: its Job, and the `ConfigMap`s with its points.

use std::ops::Range;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::k8s::manifests::job::{COUNT, LINES, MARK, RECORD, literal};
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::points::{self, Lines};
use crate::k8s::manifests::{
    MANAGED_BY, POINTS, POINTS_HASH, POINTS_PER_POD, PROJECT, QUEUE, RERUN_OF, RUN, RUN_ID, SPEC_HASH, TAG_PREFIX,
    VERSION, secret_env,
};
use crate::k8s::names::{RunId, RunName, hex};
use crate::request::sweep::MOST;

/// What of a Job's spec the user's wishes made; all else is the cluster's.
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

/// How many points a Job has, and how many of them a pod runs. Who may write annotations makes no more points of them
/// than the Job has completions for.
pub fn packing(job: &Value) -> (u64, u64) {
    let number = |name: &str| job["metadata"]["annotations"][name].as_str()?.parse::<u64>().ok();
    let each = number(POINTS_PER_POD).unwrap_or(1).clamp(1, MOST);
    let most = job["spec"]["completions"].as_u64().unwrap_or(1).saturating_mul(each).min(MOST);
    (number(POINTS).map_or(most, |points| points.min(most)), each)
}

/// The points that the pod of an index runs.
pub fn points_of(job: &Value, pod: u64) -> Range<u64> {
    let (points, each) = packing(job);
    pod.saturating_mul(each).min(points)..pod.saturating_add(1).saturating_mul(each).min(points)
}

/// The `ConfigMap`s that hold a Job's points, in their order.
pub fn maps(job: &Value) -> Vec<&str> {
    let volumes = job["spec"]["template"]["spec"]["volumes"].as_array().into_iter().flatten();
    let points = volumes.filter(|volume| volume["name"] == points::KEY);
    let sources = points.filter_map(|volume| volume["projected"]["sources"].as_array()).flatten();
    sources.filter_map(|source| source["configMap"]["name"].as_str()).collect()
}

/// The Job of `run`, like `stored`, which has ended; with `points`, of these alone. It is suspended where it needs
/// points or a Secret, until they are there.
pub fn manifest(stored: &Value, run: &RunName, id: &RunId, points: Option<(usize, &Lines)>) -> Value {
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
        let pods = (count as u64).div_ceil(packing(stored).1);
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
    job["metadata"]["annotations"][SPEC_HASH] = hex(&Sha256::digest(job.to_string())).into();
    job
}

/// The labels that are ours; a queue's on the Job alone.
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

/// What is said of the run on its volume.
fn record(text: &str, run: &RunName, points: usize) -> String {
    let Ok(Value::Object(mut record)) = serde_json::from_str(&text.replace("$$", "$")) else {
        return text.to_owned();
    };
    record.insert("run".into(), run.as_str().into());
    record.insert("completions".into(), points.into());
    literal(&Value::Object(record).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::results::report::succeeded;

    fn packed() -> Value {
        json!({
            "metadata": { "annotations": { POINTS: "10", POINTS_PER_POD: "4" } },
            "spec": { "completions": 3, "template": { "spec": { "containers": [{ "name": "experiment",
                "env": [{ "name": "MRUNNER_MARK", "value": "k3v9zq2m4t" }] }] } } },
            "status": { "completedIndexes": "0,2" },
        })
    }

    fn told(index: u64, message: &str) -> Value {
        json!({
            "metadata": { "labels": { "batch.kubernetes.io/job-completion-index": index.to_string() } },
            "status": { "containerStatuses": [{ "name": "experiment", "state": { "terminated": { "message": message } } }] },
        })
    }

    #[test]
    fn a_pod_that_failed_tells_which_of_its_points_have_not() {
        let message = "k3v9zq2m4t 4 0 exit 1 - - \nk3v9zq2m4t 5 3 exit 1 - - \nk3v9zq2m4t 6 0 told 1 - - \n";
        // nobody speaks for another pod's points, and a log's end for none
        let pods = [
            told(1, message),
            told(1, "{\"index\":7,\"code\":0}\nk3v9zq2m4t 10 0 exit 1 - - "),
            told(0, "k3v9zq2m4t 7 0 exit 1 - - "),
        ];
        let all: Vec<u64> = succeeded(&packed(), &pods).into_iter().collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 8, 9]);
    }

    #[test]
    fn a_point_for_each_completion_is_told_by_the_job_alone() {
        let job = json!({ "spec": { "completions": 6 }, "status": { "completedIndexes": "1,3-5" } });
        assert_eq!(packing(&job), (6, 1));
        assert_eq!(
            succeeded(&job, &[told(2, "k3v9zq2m4t 2 0 exit 1 - - ")]).into_iter().collect::<Vec<_>>(),
            [1, 3, 4, 5]
        );
        assert!(succeeded(&json!({}), &[]).is_empty());
    }

    #[test]
    fn annotations_make_no_more_points_than_the_job_has_room_for() {
        let job = |completions: u64, points: &str, each: &str| {
            packing(&json!({
                "metadata": { "annotations": { POINTS: points, POINTS_PER_POD: each } },
                "spec": { "completions": completions },
            }))
        };
        assert_eq!(job(3, "10", "4"), (10, 4));
        assert_eq!(job(1, "99999999999", "1000"), (1000, 1000));
        assert_eq!(job(1, "99999999999", "99999999999"), (MOST, MOST));
        assert_eq!(job(u64::MAX, "18446744073709551615", "18446744073709551615"), (MOST, MOST));
        assert_eq!(job(2, "1e9", "0"), (2, 1));
        assert_eq!(job(2, "-1", " 3"), (2, 1));
        assert_eq!(packing(&json!({"metadata": {"annotations": {POINTS: 7, POINTS_PER_POD: "3"}}})), (3, 3));
        let mut endless = packed();
        endless["status"]["completedIndexes"] = format!("0-{}", u64::MAX).into();
        assert_eq!(succeeded(&endless, &[]).len(), 10);
    }
}
