//! The objects that a run needs in the cluster, as JSON values that read like the manifest.

pub mod claim;
pub mod failure;
pub mod helper_pod;
pub mod indexes;
pub mod job;
pub mod namespace;
pub mod nfs_server;
pub mod pod_metadata;
pub mod points;
pub mod probe;
pub mod pull_secret;
pub mod pull_test;
pub mod rerun;
pub(crate) mod scheduling;
pub mod secret_env;
pub mod volume;

use serde_json::Value;

use crate::k8s::names::Namespace;

/// The container that runs the experiment.
pub const CONTAINER: &str = "experiment";
/// Label of Kueue: the queue that a Job waits in.
pub const QUEUE: &str = "kueue.x-k8s.io/queue-name";
/// Label on everything that belongs to a run; its value is the run's name.
pub const RUN: &str = "mrunner/run";
/// Label on everything that belongs to a project; its value is made from the project's name.
pub const PROJECT: &str = "mrunner/project";
/// Label that tells whose objects these are, recommended by Kubernetes
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>).
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Label on what mrunner makes to reach the storage; its value is the name of its Job.
pub const HELPER: &str = "mrunner/helper";
/// Prefix of the labels made from tags.
pub const TAG_PREFIX: &str = "tag.mrunner/";

/// Annotation: the project's name as the user wrote it.
pub const RAW_PROJECT: &str = "mrunner/project-name";
/// Annotation: the identity of a project's storage, the same on its claim and its volume.
pub const PROJECT_UID: &str = "mrunner/project-uid";
/// Annotation of a claim: that its volume was tried, see [`crate::storage::proof`].
pub const PROVED: &str = "mrunner/proved";
/// Annotation: the experiment's name as the user wrote it.
pub const RAW_EXPERIMENT: &str = "mrunner/experiment-name";
/// Annotation: the tags as the user wrote them, a JSON list.
pub const RAW_TAGS: &str = "mrunner/tags";
/// Annotation: the identity of the submission.
pub const RUN_ID: &str = "mrunner/run-id";
/// Annotation: sha256 of the Job as it was planned, by which a run that may have been submitted is
/// recognised.
pub const SPEC_HASH: &str = "mrunner/spec-sha256";
/// Annotation: sha256 of the lines of a sweep's points.
pub const POINTS_HASH: &str = "mrunner/points-sha256";
/// Annotation: how many points a run has; absent, as many as its Job has completions.
pub const POINTS: &str = "mrunner/points";
/// Annotation: how many points a pod runs, one after the other; absent, one.
pub const POINTS_PER_POD: &str = "mrunner/points-per-pod";
/// Annotation: the run that this one repeats.
pub const RERUN_OF: &str = "mrunner/rerun-of";
/// Annotation: the image's reference by digest.
pub const IMAGE: &str = "mrunner/image";
/// Annotation: git's commit of the folder, with `-dirty` behind it if the folder differed from it.
pub const GIT_COMMIT: &str = "mrunner/git-commit";
/// Annotation: the resolved configuration as JSON.
pub const CONFIG: &str = "mrunner/config";
/// Annotation of a run that is shown though its Job is gone: the folder on its volume that tells of it.
pub const KEPT: &str = "mrunner/kept";
/// Annotation: the version of mrunner.
pub const VERSION: &str = "mrunner/version";

/// The label of a tag: its key, as a selector names it.
pub fn tag_label(tag: &str) -> String {
    format!("{TAG_PREFIX}{}", crate::k8s::names::label_value(tag))
}

/// An object as it would be in another namespace.
pub fn in_namespace(mut object: Value, namespace: &Namespace) -> Value {
    object["metadata"]["namespace"] = namespace.as_str().into();
    object
}

/// An object as it is sent, printed and saved: JSON with nothing in it that YAML, or a terminal, would
/// not leave as it is.
pub fn pretty(object: &Value) -> String {
    let as_it_is = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}'));
    let one = |c: char| if as_it_is(c) { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) };
    // a JSON value has no way to fail being written as text
    let text = serde_json::to_string_pretty(object).unwrap_or_default();
    text.chars().map(one).chain(["\n".to_owned()]).collect()
}
