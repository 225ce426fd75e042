//! The state of a run, from its Job and pods.

mod phase;

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde_json::Value;

pub use self::phase::Phase;
use self::phase::{failed_count, kept_code, phase};
use crate::k8s::job::Job;
use crate::k8s::manifests::{IMAGE, PROJECT, QUEUE, RAW_PROJECT, RAW_TAGS};
use crate::k8s::object::Object;
use crate::k8s::pod::{Container, Pod, Pods};
use crate::runs::diagnosis;
use crate::runs::endings::{self, ContainerLog, Ending, How, by_index};
use crate::runs::pods::{self, Disruption, Stage};
use crate::runs::run_name_cache::Seen;

/// A run as the cluster shows it.
#[derive(Debug, Clone)]
pub struct Run {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The project's raw name.
    pub project: String,
    /// The tags as the user wrote them.
    pub tags: Vec<String>,
    /// The image that the run uses.
    pub image: String,
    /// The phase.
    pub phase: Phase,
    /// How many of the points succeeded, and how many there are.
    pub done: (u64, u64),
    /// Why the run waits or failed, in words.
    pub why: Option<String>,
    /// What to do about that.
    pub hint: Option<String>,
    /// The log that says more of why it failed.
    pub log: Option<ContainerLog>,
    /// Says that the experiment has ended and another container keeps its pod, in words.
    pub held: Option<String>,
    /// When it was submitted.
    pub created: Option<DateTime<Utc>>,
    /// When the Job started and ended.
    pub span: (Option<DateTime<Utc>>, Option<DateTime<Utc>>),
    /// The pods, oldest first.
    pub pods: Vec<Value>,
    /// The Job as stored in the cluster.
    pub job: Value,
}

impl Run {
    /// The pods, oldest first.
    pub fn pods(&self) -> Pods<'_> {
        Pods::of(&self.pods)
    }

    /// The Job.
    pub fn job(&self) -> Job<'_> {
        Job::of(&self.job)
    }

    /// Whether the run has several pods.
    pub fn is_sweep(&self) -> bool {
        self.done.1 > 1
    }

    /// Whether the run has or had a pod: a failing Job, for example at its deadline, deletes its pods.
    pub fn has_had_pods(&self) -> bool {
        !self.pods.is_empty() || self.job().has_condition("FailureTarget")
    }

    /// How many points failed after all retries.
    pub fn failed(&self) -> u64 {
        let held = self.pods().iter().filter(|pod| self.kept_code(*pod).is_some_and(|code| code != 0)).count();
        failed_count(self.job()) + held as u64
    }

    /// The exit code of a point whose pod is kept by another container, if the code decides about the point.
    pub fn kept_code(&self, pod: Pod) -> Option<i64> {
        kept_code(self.job(), self.pods(), pod)
    }

    /// The pods that have not ended, the oldest first.
    pub fn alive(&self) -> impl DoubleEndedIterator<Item = Pod<'_>> {
        self.pods().iter().filter(|pod| Stage::of(*pod).is_alive())
    }

    /// Whether nothing more will happen to the run or its pods.
    pub fn is_settled(&self) -> bool {
        self.phase.is_final() && self.held.is_none()
    }

    /// The number of points in each state, in words.
    pub fn progress(&self) -> String {
        let succeeded = format!("{} of {} succeeded", self.done.0, self.done.1);
        std::iter::once(succeeded).chain(self.others()).collect::<Vec<_>>().join(", ")
    }

    /// The numbers of failed, running and lost points, in words.
    pub fn others(&self) -> impl Iterator<Item = String> {
        let count = |stage: Stage| self.pods().iter().filter(|pod| Stage::of(*pod) == stage).count() as u64;
        let counts = [(self.failed(), "failed"), (count(Stage::Running), "running"), (count(Stage::Lost), "lost")];
        counts.into_iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!("{count} {what}"))
    }

    /// The points of an index, in words.
    pub fn points_of(&self, index: u64) -> String {
        let points = self.job().points_of(index);
        if self.has_several(index) {
            format!("points {}-{}", points.start, points.end - 1)
        } else {
            format!("point {}", points.start)
        }
    }

    /// Whether the pods of an index run several points.
    pub fn has_several(&self, index: u64) -> bool {
        let points = self.job().points_of(index);
        points.end.saturating_sub(points.start) > 1
    }

    /// The entry for the completion cache.
    pub fn seen(&self) -> Seen {
        Seen {
            run: self.name.clone(),
            namespace: self.namespace.clone(),
            project: self.project.clone(),
            tags: self.tags.clone(),
        }
    }

    /// How often a point may be started in total.
    pub fn attempts(&self) -> usize {
        usize::try_from(self.job().retries()).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Whether the run has not started.
    pub fn waits(&self) -> bool {
        matches!(self.phase, Phase::Pending | Phase::Starting)
    }
}

/// Combines the Jobs and pods of any number of runs, oldest run first.
pub fn runs(objects: Vec<Value>) -> Vec<Run> {
    let (jobs, mut others): (Vec<_>, Vec<_>) = objects.into_iter().partition(|o| Object::of(o).kind() == "Job");
    others.retain(|o| Object::of(o).kind() == "Pod");
    others.sort_by_cached_key(|pod| Object::of(pod).created_text().to_owned());
    let mut pods: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for pod in others {
        if let Some(uid) = Pod::of(&pod).owner_uid() {
            pods.entry(uid.to_owned()).or_default().push(pod);
        }
    }
    let mut with_pods = |job: Value| {
        let own = Object::of(&job).uid().and_then(|uid| pods.remove(uid));
        run(job, own.unwrap_or_default())
    };
    let mut runs: Vec<Run> = jobs.into_iter().map(&mut with_pods).collect();
    runs.sort_by(|a, b| (a.created, &a.name).cmp(&(b.created, &b.name)));
    runs
}

fn run(job: Value, pods: Vec<Value>) -> Run {
    let (own, all) = (Job::of(&job), Pods::of(&pods));
    let image = own.annotation(IMAGE).or(own.pod_spec().containers().next().map(Container::image));
    let phase = phase(own, all);
    let holding = all.iter().find_map(|pod| Some((pod, endings::held(pod)?)));
    let way_out = holding.as_ref().filter(|_| !own.is_over()).and_then(|(pod, _)| pods::way_out(*pod));
    let held = holding.map(|(_, words)| words).filter(|_| !own.is_over());
    let failure = (phase == Phase::Failed && held.is_none()).then(|| diagnosis::failed(own, all)).flatten();
    let held_well = all.iter().filter(|pod| kept_code(own, all, *pod) == Some(0)).count() as u64;
    let completions = own.completions();
    let why = match phase {
        Phase::Failed if held.is_none() => failure.as_ref().map(|ending| ending.words.clone()),
        Phase::Succeeded | Phase::Failed => held.clone(),
        Phase::Pending | Phase::Starting => waiting(all).or_else(|| earlier(all, completions)),
        Phase::Running => held.clone().or_else(|| waiting(all)).or_else(|| earlier(all, completions)),
        Phase::Lost => all.iter().rev().find_map(lost),
        Phase::Queued => Some(suspended(own)),
        Phase::Deleting => None,
    };
    Run {
        name: own.name().to_owned(),
        namespace: own.namespace().unwrap_or_default().to_owned(),
        project: own.annotation(RAW_PROJECT).or(own.label(PROJECT)).unwrap_or("<none>").to_owned(),
        tags: own.annotation(RAW_TAGS).and_then(|tags| serde_json::from_str(tags).ok()).unwrap_or_default(),
        image: image.unwrap_or_default().to_owned(),
        phase,
        done: (own.succeeded().saturating_add(held_well).min(completions), completions),
        why,
        hint: failure.as_ref().and_then(|ending| ending.hint.clone()).or(way_out),
        log: failure.and_then(|ending| ending.log),
        held,
        created: own.created(),
        span: (own.started(), own.ended()),
        pods,
        job,
    }
}

/// Why a suspended Job does not run. Without a queue's label, its submission is unfinished or someone suspended it.
pub(crate) fn suspended(job: Job) -> String {
    match job.label(QUEUE) {
        Some(queue) => format!("the queue `{queue}` holds it back"),
        None => "the Job is suspended".to_owned(),
    }
}

/// Why the newest pod that has not ended waits.
fn waiting(pods: Pods) -> Option<String> {
    pods.iter().rfind(|pod| Stage::of(*pod).is_alive()).and_then(diagnosis::waits).map(|w| w.words)
}

/// How earlier attempts ended, and how many: for a single run all of them, for a sweep those that used no retry.
fn earlier(pods: Pods, completions: u64) -> Option<String> {
    let mut endings: Vec<Ending> = by_index(pods).into_values().flatten().collect();
    let known = if completions > 1 {
        endings.retain(Ending::is_free);
        endings.len() as u64
    } else {
        // attempts whose pods are gone are counted from annotations
        let before = pods
            .iter()
            .next_back()
            .map_or(0, |last| last.failed_before().unwrap_or(0).saturating_add(last.ignored_before().unwrap_or(0)));
        before.max(endings.len() as u64)
    };
    let last = endings.last();
    let evicted = |ending: &Ending| matches!(ending.how, How::Disrupted(_) | How::UsedUp(_));
    let all_evicted = known == endings.len() as u64 && endings.iter().all(evicted);
    Some(match (known, last) {
        (0, _) => return None,
        (1, Some(last)) => format!("attempt 1 {}", last.sentence()),
        (_, Some(last)) if all_evicted => format!("{known} attempts were evicted, the last one: {}", last.words),
        (_, Some(last)) => format!("{known} attempts have ended, the last one {}", last.sentence()),
        (1, None) => "attempt 1 has ended, and its pod is gone".to_owned(),
        (_, None) => format!("{known} attempts have ended, and their pods are gone"),
    })
}

/// Says that a pod's node does not answer, if the pod says so.
fn lost(pod: Pod) -> Option<String> {
    let node = pod.node().unwrap_or("its node");
    (Stage::of(pod) == Stage::Lost).then(|| format!("node `{node}` does not answer"))
}

/// How many points succeeded, and failed after all retries, from the Job and its pods: the Job controller is a
/// moment behind.
fn ended_points(job: Job, pods: Pods) -> (u64, u64) {
    let well: BTreeSet<u64> = pods.iter().filter(|pod| Stage::of(*pod) == Stage::Over(true)).map(Pod::index).collect();
    let attempts = job.retries().saturating_add(1);
    let mut failures: BTreeMap<u64, u64> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| Stage::of(*pod) == Stage::Over(false) && Disruption::of(*pod).is_none()) {
        *failures.entry(pod.index()).or_default() += 1;
    }
    let badly = failures.iter().filter(|(index, count)| !well.contains(index) && **count >= attempts).count();
    (job.succeeded().max(well.len() as u64), failed_count(job).max(badly as u64))
}

/// A duration as kubectl shows an age: `5s`, `3m5s`, `2h3m`, `4d2h`.
pub fn age(seconds: i64) -> String {
    let s = seconds.max(0);
    let two = |big: i64, unit: &str, small: i64, smaller: &str| {
        if small == 0 { format!("{big}{unit}") } else { format!("{big}{unit}{small}{smaller}") }
    };
    match s {
        0..120 => format!("{s}s"),
        120..600 => two(s / 60, "m", s % 60, "s"),
        600..10_800 => format!("{}m", s / 60),
        10_800..28_800 => two(s / 3600, "h", s % 3600 / 60, "m"),
        28_800..172_800 => format!("{}h", s / 3600),
        172_800..691_200 => two(s / 86_400, "d", s % 86_400 / 3600, "h"),
        _ => format!("{}d", s / 86_400),
    }
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "reads better where they are called")]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use crate::k8s::pod::FAILED_BEFORE;
    use serde_json::json;

    fn job(status: Value) -> Value {
        json!({"kind": "Job", "metadata": {"name": "a-1", "namespace": "p", "uid": "u"},
               "spec": {"completions": 1}, "status": status})
    }

    fn pod(status: Value, node: Option<&str>) -> Value {
        json!({"kind": "Pod", "metadata": {"ownerReferences": [{"uid": "u"}]}, "spec": {"nodeName": node}, "status": status})
    }

    fn phase_of(objects: Vec<Value>) -> Phase {
        runs(objects)[0].phase
    }

    #[test]
    fn the_phase_follows_job_and_pod() {
        assert_eq!(phase_of(vec![job(json!({}))]), Phase::Pending);
        assert_eq!(phase_of(vec![job(json!({})), pod(json!({"phase": "Pending"}), None)]), Phase::Pending);
        assert_eq!(phase_of(vec![job(json!({})), pod(json!({"phase": "Pending"}), Some("n"))]), Phase::Starting);
        assert_eq!(phase_of(vec![job(json!({})), pod(json!({"phase": "Running"}), Some("n"))]), Phase::Running);
        assert_eq!(phase_of(vec![job(json!({})), pod(json!({"phase": "Failed"}), Some("n"))]), Phase::Running);
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        assert_eq!(phase_of(vec![job(complete)]), Phase::Succeeded);
        let partly = json!({"conditions": [{"type": "Complete", "status": "True"}], "failedIndexes": "0"});
        assert_eq!(phase_of(vec![job(partly)]), Phase::Failed);
        let held = with(&job(json!({})), &["spec", "suspend"], true);
        assert_eq!(phase_of(vec![held.clone()]), Phase::Queued);
        assert_eq!(suspended(Job::of(&held)), "the Job is suspended");
        let held = with(&held, &["metadata", "labels", QUEUE], "research");
        assert_eq!(suspended(Job::of(&held)), "the queue `research` holds it back");
    }

    /// A pod whose experiment has ended with this code, and whose other container is still running.
    fn kept(code: i64, failed_before: &str) -> Value {
        let experiment = json!({"name": "experiment", "state": {"terminated": {"exitCode": code}}});
        let other = json!({"name": "istio-proxy", "state": {"running": {}}});
        let pod = pod(json!({"phase": "Running", "containerStatuses": [experiment, other]}), Some("n"));
        with(&pod, &["metadata", "annotations", FAILED_BEFORE], failed_before)
    }

    #[test]
    fn a_pod_that_is_kept_decides_only_where_no_attempt_follows() {
        let of = |retries: u64, pod: Value| {
            let rules = json!({"rules": [{"action": "Ignore", "onPodConditions": []},
                {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [64]}}]});
            let job = with(&job(json!({})), &["spec", "backoffLimitPerIndex"], retries);
            let job = with(&job, &["spec", "podFailurePolicy"], rules);
            let run = runs(vec![job, pod]).remove(0);
            assert!(run.why.is_some_and(|why| why.contains("keeps the pod running")));
            (run.phase, run.done.0)
        };
        assert_eq!(of(0, kept(1, "0")), (Phase::Failed, 0));
        assert_eq!(of(2, kept(1, "1")), (Phase::Running, 0));
        assert_eq!(of(2, kept(1, "2")), (Phase::Failed, 0));
        assert_eq!((of(2, kept(64, "0")), of(2, kept(0, "0"))), ((Phase::Failed, 0), (Phase::Succeeded, 1)));
        for code in [0, 143] {
            let deleted = with(&kept(code, "0"), &["metadata", "deletionTimestamp"], "2026-11-30T10:00:00Z");
            let target = json!([{"type": "DisruptionTarget", "status": "True"}]);
            let evicted = with(&kept(code, "0"), &["status", "conditions"], target);
            assert_eq!((of(0, deleted), of(0, evicted)), ((Phase::Running, 0), (Phase::Running, 0)));
        }
    }

    #[test]
    fn another_jobs_pod_is_not_ours() {
        let stranger = pod(json!({"phase": "Running"}), Some("n"));
        let stranger = with(&stranger, &["metadata", "ownerReferences", "0", "uid"], "other");
        assert_eq!(phase_of(vec![job(json!({})), stranger]), Phase::Pending);
    }

    #[test]
    fn ages_read_like_kubectls() {
        for (seconds, shown) in
            [(5, "5s"), (119, "119s"), (125, "2m5s"), (600, "10m"), (10_860, "3h1m"), (90_000, "25h")]
        {
            assert_eq!(age(seconds), shown);
        }
    }
}
