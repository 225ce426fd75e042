//! The Job of a run: Indexed, also for a single point, so that there is one shape to know.

mod pod;
mod stored;

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use self::pod::pod;
pub use self::pod::{pack, scripts, wrapper};
pub(crate) use self::stored::has_container;
pub use self::stored::{annotations_len, is_same, is_whole, left_out, mark, release, with_image};
use crate::k8s::manifests::failure::Failure;
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::points::PointFiles;
use crate::k8s::manifests::{
    CONFIG, GIT_COMMIT, MANAGED_BY, POINTS, POINTS_HASH, POINTS_PER_POD, PROJECT, QUEUE, RAW_EXPERIMENT, RAW_PROJECT,
    RAW_TAGS, RUN, RUN_ID, SPEC_HASH, VERSION, tag_label,
};
use crate::k8s::names::{ClaimName, Namespace, RunId, RunName, label_value};
use crate::k8s::quantity::Quantity;

/// A finished run's Job and pods, and with them its logs, stay this long: 7 days.
const KEPT_FOR_SECONDS: u64 = 7 * 24 * 3600;

/// The variable with what `run.json` will say of the run, see [`crate::runs::archive`].
pub(crate) const RECORD: &str = "MRUNNER_RECORD";

/// The variable with the word that the lines of reports begin with, see [`crate::runs::results::report`].
pub(crate) const MARK: &str = "MRUNNER_MARK";

/// The variable with how many lines each file of a sweep has.
pub(crate) const LINES: &str = "MRUNNER_LINES";

/// The variable with how many points there are, where a pod has several.
pub(crate) const COUNT: &str = "MRUNNER_POINTS";

/// All that a Job is made from.
#[derive(Debug, Clone)]
pub struct JobSpec<'a> {
    /// The run's name, which is the Job's.
    pub run: &'a RunName,
    /// The submission.
    pub id: &'a RunId,
    /// The namespace.
    pub namespace: &'a Namespace,
    /// The project's raw name.
    pub project: &'a str,
    /// The experiment's raw name.
    pub experiment: &'a str,
    /// Raw tags.
    pub tags: &'a [String],
    /// The image's reference.
    pub image: &'a str,
    /// The program and its arguments, byte for byte.
    pub command: &'a [String],
    /// Variables for it.
    pub env: &'a [(String, String)],
    /// The names of variables that its Secret holds.
    pub secret_env: &'a [String],
    /// Its parameters as JSON, in `$MRUNNER_PARAMS`.
    pub params: &'a Value,
    /// Where the storage is mounted, in `$STORAGE_DIR`.
    pub storage: &'a str,
    /// The claim behind it.
    pub claim: &'a ClaimName,
    /// Limits, such as `cpu` or `nvidia.com/gpu`, to amounts.
    pub limits: &'a [(String, Quantity)],
    /// User and group that it runs as.
    pub run_as: (u32, u32),
    /// Labels that a node must have.
    pub node_selector: &'a [(String, String)],
    /// The nodes that it may run on, as `affinity` stands in a pod.
    pub affinity: Option<&'a Value>,
    /// Taints that it tolerates.
    pub tolerations: &'a [Value],
    /// Labels and annotations of its pods beside mrunner's own.
    pub pod: &'a PodMetadata,
    /// Size of its `/dev/shm`, see [`shm`].
    pub shm: Option<&'a Quantity>,
    /// A queue of Kueue.
    pub queue: Option<&'a str>,
    /// The service account, for image pull secrets or workload identity; no token is mounted.
    pub service_account: Option<&'a str>,
    /// A Secret with the registry's login, for the cluster.
    pub image_pull_secret: Option<&'a str>,
    /// Whether its logs are kept on the volume; `None` where that costs the experiment nothing.
    pub keep_logs: Option<bool>,
    /// How much of the log of one attempt is kept there.
    pub keep_logs_max: Option<&'a Quantity>,
    /// What becomes of a point that fails or takes too long.
    pub failure: &'a Failure,
    /// Its points, where it has several.
    pub sweep: Option<JobSweep<'a>>,
    /// git's commit of the folder.
    pub git_commit: Option<&'a str>,
    /// The resolved configuration, for whoever asks later.
    pub config: &'a Value,
}

/// The points of a run, as its Job needs them.
#[derive(Debug, Clone, Copy)]
pub struct JobSweep<'a> {
    /// How many there are.
    pub points: usize,
    /// How many may run at the same time.
    pub parallel: u32,
    /// How many a pod runs, one after the other.
    pub per_pod: u32,
    /// A line for each, and the scripts of its pods.
    pub lines: &'a PointFiles,
}

/// The Job. One of a sweep or with secret variables is suspended until its points and its Secret are there, see
/// [`release`].
pub fn manifest(spec: &JobSpec) -> Value {
    let mut labels = Map::new();
    labels.insert(MANAGED_BY.into(), "mrunner".into());
    labels.insert(PROJECT.into(), label_value(spec.project).into());
    labels.insert(RUN.into(), spec.run.as_str().into());
    for tag in spec.tags {
        labels.insert(tag_label(tag), "true".into());
    }
    let mut metadata = json!({ "labels": labels });
    spec.pod.add_to(&mut metadata);
    let mut job_labels = labels;
    if let Some(queue) = spec.queue {
        // Kueue suspends a Job that carries it, and lets it go when its turn comes
        job_labels.insert(QUEUE.into(), queue.into());
    }
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.run.as_str(),
            "namespace": spec.namespace.as_str(),
            "labels": job_labels,
            "annotations": annotations(spec),
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            // a new pod only when the old one has gone: never two writers
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEPT_FOR_SECONDS,
            "template": { "metadata": metadata, "spec": pod(spec) },
        },
    });
    if let Some(sweep) = &spec.sweep {
        let pods = sweep.points.div_ceil(sweep.per_pod as usize);
        job["spec"]["completions"] = pods.into();
        job["spec"]["parallelism"] = sweep.parallel.min(u32::try_from(pods).unwrap_or(u32::MAX)).into();
    }
    if spec.sweep.is_some() || !spec.secret_env.is_empty() {
        job["spec"]["suspend"] = true.into();
    }
    spec.failure.apply(&mut job);
    job["metadata"]["annotations"][SPEC_HASH] = HEXLOWER.encode(&Sha256::digest(job.to_string())).into();
    job
}

fn annotations(spec: &JobSpec) -> Map<String, Value> {
    let mut annotations = Map::new();
    let mut annotate = |name: &str, value: String| annotations.insert(name.to_owned(), value.into());
    annotate(RUN_ID, spec.id.to_string());
    annotate(RAW_PROJECT, spec.project.to_owned());
    annotate(RAW_EXPERIMENT, spec.experiment.to_owned());
    annotate(RAW_TAGS, json!(spec.tags).to_string());
    annotate(CONFIG, spec.config.to_string());
    annotate(VERSION, env!("CARGO_PKG_VERSION").to_owned());
    if let Some(commit) = spec.git_commit {
        annotate(GIT_COMMIT, commit.to_owned());
    }
    if let Some(sweep) = &spec.sweep {
        annotate(POINTS_HASH, sweep.lines.hash());
        annotate(POINTS, sweep.points.to_string());
        annotate(POINTS_PER_POD, sweep.per_pod.to_string());
    }
    annotations
}

impl JobSpec<'_> {
    /// Its points, where a pod has several.
    fn packed(&self) -> Option<JobSweep<'_>> {
        self.sweep.filter(|sweep| sweep.per_pod > 1)
    }
}

/// `text` such that the kubelet's expansion gives it back: `$$` stands for `$`, also before
/// anything but a parenthesis (kubernetes, `third_party/forked/golang/expansion/expand.go`).
pub fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::IMAGE;

    #[test]
    fn what_a_cluster_did_not_keep_is_found() {
        let sent = json!({"kind": "Job", "metadata": {"labels": {"a": ""}}, "spec": {"backoffLimitPerIndex": 0,
            "suspend": false, "template": {"spec": {"hostUsers": true, "volumes": [{"name": "v", "x": 1}]}}}});
        assert_eq!(left_out(&sent, &sent), [""; 0]);
        let stored = json!({"kind": "Job", "metadata": {"uid": "u", "labels": {}},
            "spec": {"backoffLimit": 6, "template": {"spec": {"volumes": [{"name": "v"}]}}}});
        assert_eq!(left_out(&sent, &stored), ["spec.backoffLimitPerIndex", "spec.template.spec.hostUsers"]);
    }

    #[test]
    fn an_image_is_put_into_any_record() {
        for record in ["{}", "[]", "{", "{\"image\":[]}"] {
            let env = json!([{"name": RECORD, "value": record}, {"name": RECORD}, 7]);
            let job = json!({"metadata": {"annotations": {}}, "spec": {"template": {"spec": {"containers": [{"env": env}]}}}});
            let job = with_image(job, "r/v");
            assert_eq!(job["metadata"]["annotations"][IMAGE], "r/v");
            let text = job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap();
            assert_eq!(text, if record.ends_with('}') { "{\"image\":\"r/v\"}" } else { record });
        }
    }

    #[test]
    fn dollars_survive_the_kubelet() {
        // what expand() gives back for each was checked against its source
        assert_eq!(literal("$(HOME) $$ $x $"), "$$(HOME) $$$$ $$x $$");
    }

    #[test]
    fn only_the_same_submission_is_adopted() {
        let job = |id: &str, hash: &str| json!({"metadata": {"annotations": {RUN_ID: id, SPEC_HASH: hash}}});
        assert!(is_same(&job("a", "b"), &job("a", "b")));
        assert!(!is_same(&job("a", "c"), &job("a", "b")));
        assert!(!is_same(&job("c", "b"), &job("a", "b")));
        assert!(!is_same(&json!({}), &json!({})));
    }
}
