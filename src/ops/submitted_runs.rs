//! The runs with secret variables that this machine submitted: which variables of the environment their user named
//! then. What a Job in the cluster says of itself can be written by others; what stands here can't.
//!
//! A file in `$XDG_STATE_HOME/mrunner`, without any value. Where it is lost, the names have to be typed again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::k8s::job::Job;
use crate::k8s::manifests::CONFIG;
use crate::k8s::manifests::points::PointFiles;
use crate::k8s::names::hex;
use crate::plan::Plan;
use crate::tools::kubectl::Kubectl;
use crate::util::{files, regular_file};

/// How many runs are noted, the newest first.
const MOST: usize = 500;

/// A run that was submitted here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Submitted {
    run: String,
    namespace: String,
    cluster: Vec<String>,
    /// What the API server gave its Job: no two Jobs ever have the same.
    uid: String,
    /// The variables of the environment that were named.
    names: Vec<String>,
    /// sha256 of its points, which are commands of a shell in its pods.
    #[serde(default)]
    points: Option<String>,
    /// sha256 of what its Job says in the annotation that its pods' labels and annotations are made of.
    #[serde(default)]
    config: String,
}

/// What is known of a Job in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SubmittedFrom {
    /// This machine submitted it, with these variables of the environment.
    Here(Vec<String>),
    /// This machine submitted a run of this name, and the Job is another one.
    Replaced,
    /// This machine submitted the Job, with other points.
    OtherPoints,
    /// This machine submitted the Job, with another configuration.
    OtherConfig,
    /// Nothing is noted.
    Unknown,
}

/// Notes that `plan` was submitted, and became the Job `uid`. A run without secret variables needs no note.
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
    // others that submit at this moment wait; without a lock the last one counts
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

/// Where the Job `job` of a cluster comes from, which has points with the hash `points` there.
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

/// sha256 of the configuration that a Job says it was submitted with. Whoever may patch Jobs can change it, unlike the
/// pods' template.
fn config(job: Job) -> String {
    hex(&Sha256::digest(job.annotation(CONFIG).unwrap_or_default()))
}

/// The flags that say which cluster is meant.
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
