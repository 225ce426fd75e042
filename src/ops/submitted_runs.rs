//! The runs with secret variables that this machine submitted, with the names of the variables. Others can change a
//! Job in the cluster, but not this record.
//!
//! A file in `$XDG_STATE_HOME/mrunner`, without any values. If it is lost, the names have to be typed again.

use std::path::{Path, PathBuf};

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::k8s::job::Job;
use crate::k8s::manifests::CONFIG;
use crate::k8s::manifests::points::PointFiles;
use crate::plan::Plan;
use crate::tools::kubectl::Kubectl;
use crate::util::{files, regular_file};

/// How many runs are recorded, the newest first.
const MOST: usize = 500;

/// A submitted run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Submitted {
    run: String,
    namespace: String,
    cluster: Vec<String>,
    /// The UID of its Job, which is unique.
    uid: String,
    /// The names of the environment variables.
    names: Vec<String>,
    /// The SHA-256 of its points, which are shell commands in its pods.
    #[serde(default)]
    points: Option<String>,
    /// The SHA-256 of the Job's annotation from which the labels and annotations of its pods are built.
    #[serde(default)]
    config: String,
}

/// What is recorded about a Job in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubmittedFrom {
    /// This machine submitted it, with these environment variables.
    Here(Vec<String>),
    /// This machine submitted a run of this name, and the Job is another one.
    Replaced,
    /// This machine submitted the Job with other points.
    OtherPoints,
    /// This machine submitted the Job with another configuration.
    OtherConfig,
    /// No record.
    Unknown,
}

/// Records that `plan` was submitted as the Job `uid`. A run without secret variables needs no record.
pub(crate) fn note(state: &Path, plan: &Plan, uid: &str) {
    let names: Vec<String> =
        plan.secret_env.iter().filter(|variable| variable.file.is_none()).map(|v| v.name.clone()).collect();
    if uid.is_empty() || plan.secret_env.is_empty() {
        return;
    }
    let new = Submitted {
        run: plan.run.to_string(),
        namespace: plan.namespace.to_string(),
        cluster: cluster(&plan.kubectl),
        uid: uid.to_owned(),
        names,
        points: plan.points.as_ref().map(PointFiles::hash),
        config: config(Job::of(&plan.job)),
    };
    if files::make_private(state).is_err() {
        return;
    }
    // other submissions wait at this moment; without a lock, the last one wins
    let lock = files::lock_file(&state.join("submitted.lock"), true);
    let _held = lock.and_then(|lock| lock.lock().map(|()| lock));
    let mut all = all(state);
    all.retain(|known| (&known.run, &known.uid) != (&new.run, &new.uid));
    all.insert(0, new);
    all.truncate(MOST);
    if let Ok(text) = serde_json::to_vec(&all) {
        files::replace(&file(state), &text).ok();
    }
}

/// The origin of the Job `job` in the cluster, whose points have the hash `points`.
pub(crate) fn origin(state: &Path, kubectl: &Kubectl, job: Job, points: Option<&str>) -> SubmittedFrom {
    let cluster = cluster(kubectl);
    let same_name = |known: &&Submitted| job.name() == known.run && job.namespace() == Some(&known.namespace);
    let all = all(state);
    let mut named = all.iter().filter(same_name).filter(|known| known.cluster == cluster).peekable();
    match (named.peek().is_some(), named.find(|known| job.uid() == Some(&known.uid))) {
        (_, Some(known)) if known.points.as_deref() != points => SubmittedFrom::OtherPoints,
        (_, Some(known)) if known.config != config(job) => SubmittedFrom::OtherConfig,
        (_, Some(known)) => SubmittedFrom::Here(known.names.clone()),
        (true, None) => SubmittedFrom::Replaced,
        (false, None) => SubmittedFrom::Unknown,
    }
}

/// The SHA-256 of the configuration in the Job's annotation. Unlike the pod template, a user with permission to
/// patch Jobs can change it.
fn config(job: Job) -> String {
    HEXLOWER.encode(&Sha256::digest(job.annotation(CONFIG).unwrap_or_default()))
}

/// The flags that select the cluster.
fn cluster(kubectl: &Kubectl) -> Vec<String> {
    let says = |flag: &str| ["--context", "--cluster", "--server"].contains(&flag);
    kubectl.flags.windows(2).filter(|pair| says(&pair[0])).flatten().cloned().collect()
}

fn all(state: &Path) -> Vec<Submitted> {
    serde_json::from_slice(&regular_file::read(&file(state)).unwrap_or_default()).unwrap_or_default()
}

fn file(state: &Path) -> PathBuf {
    state.join("submitted.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use serde_json::{Value, json};

    fn kubectl(flags: &[&str]) -> Kubectl {
        Kubectl { program: "kubectl".into(), flags: flags.iter().map(|flag| (*flag).to_owned()).collect() }
    }

    #[test]
    fn only_the_very_job_of_the_same_cluster_comes_from_here() {
        let folder = tempfile::tempdir().unwrap();
        let known = |run: &str, uid: &str| Submitted {
            run: run.into(),
            namespace: "n".into(),
            cluster: vec!["--context".into(), "lab".into()],
            uid: uid.into(),
            names: vec!["A".into()],
            points: (run == "s-1").then(|| "h".into()),
            config: config(Job::of(&json!({}))),
        };
        let all = [known("a-1", "u1"), known("b-1", "u2"), known("s-1", "u3")];
        std::fs::write(file(folder.path()), serde_json::to_vec(&all).unwrap()).unwrap();
        let of = |flags: &[&str], namespace: &str, run: &str, uid: &Value| {
            let job = json!({"metadata": {"name": run, "namespace": namespace, "uid": uid}});
            origin(folder.path(), &kubectl(flags), Job::of(&job), None)
        };
        let job = json!({"metadata": {"name": "s-1", "namespace": "n", "uid": "u3"}});
        for (points, expected) in [
            (Some("h"), SubmittedFrom::Here(vec!["A".into()])),
            (Some("i"), SubmittedFrom::OtherPoints),
            (None, SubmittedFrom::OtherPoints),
        ] {
            assert_eq!(
                origin(folder.path(), &kubectl(&["--context", "lab"]), Job::of(&job), points),
                expected,
                "{points:?}"
            );
        }
        let other = with(&job, &["metadata", "annotations"], json!({CONFIG: "{}"}));
        assert_eq!(
            origin(folder.path(), &kubectl(&["--context", "lab"]), Job::of(&other), Some("h")),
            SubmittedFrom::OtherConfig
        );
        let lab = ["--context", "lab", "--v", "6"];
        assert_eq!(of(&lab, "n", "a-1", &"u1".into()), SubmittedFrom::Here(vec!["A".into()]));
        assert_eq!(of(&lab, "n", "a-1", &"u2".into()), SubmittedFrom::Replaced);
        assert_eq!(of(&lab, "n", "a-1", &Value::Null), SubmittedFrom::Replaced);
        assert_eq!(of(&lab, "m", "a-1", &"u1".into()), SubmittedFrom::Unknown);
        assert_eq!(of(&lab, "n", "c-1", &"u1".into()), SubmittedFrom::Unknown);
        assert_eq!(of(&["--context", "other"], "n", "a-1", &"u1".into()), SubmittedFrom::Unknown);
        assert_eq!(
            of(&["--context", "lab", "--server", "https://x"], "n", "a-1", &"u1".into()),
            SubmittedFrom::Unknown
        );
    }
}
