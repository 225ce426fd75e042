//! The phase of a run.

use super::ended_points;
use crate::k8s::job::Job;
use crate::k8s::pod::{Pod, Pods};
use crate::runs::pods::{self, Disruption, Stage};

/// The phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The Job is suspended: a queue has not admitted it.
    Queued,
    /// The run has no node yet.
    Pending,
    /// A node prepares the pod: volume, image.
    Starting,
    /// The experiment runs.
    Running,
    /// The node of the pod does not answer.
    Lost,
    /// All points succeeded.
    Succeeded,
    /// A point failed after all retries, or the Job failed.
    Failed,
    /// The run is being deleted.
    Deleting,
}

impl Phase {
    /// The word for the phase.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "Queued",
            Self::Pending => "Pending",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Lost => "Lost",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Deleting => "Deleting",
        }
    }

    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed)
    }
}

pub(super) fn phase(job: Job, pods: Pods) -> Phase {
    // not from the condition alone: the condition of a Job with failed points depends on its policies
    let some_failed = job.has_failed_indexes();
    if job.has_condition("Failed") || (job.has_condition("Complete") && some_failed) {
        return Phase::Failed;
    }
    if job.has_condition("Complete") {
        return Phase::Succeeded;
    }
    if job.is_being_deleted() {
        return Phase::Deleting;
    }
    if job.is_suspended() {
        return Phase::Queued;
    }
    let stages: Vec<Stage> = pods.iter().map(Stage::of).collect();
    let has = |stage: Stage| stages.contains(&stage);
    if has(Stage::Running) {
        return Phase::Running;
    }
    if has(Stage::Lost) {
        return Phase::Lost;
    }
    if has(Stage::Starting) {
        return Phase::Starting;
    }
    if has(Stage::Waiting) || pods.is_empty() {
        return Phase::Pending;
    }
    let held: Vec<i64> = pods.iter().filter_map(|pod| kept_code(job, pods, pod)).collect();
    let (well, badly) = ended_points(job, pods);
    let is_last = well.saturating_add(badly).saturating_add(held.len() as u64) >= job.completions();
    match (held.as_slice(), is_last) {
        ([], false) if !stages.iter().any(|stage| matches!(stage, Stage::Held(_))) => Phase::Pending,
        // a pod is still ending, or the Job controller has not reacted to the end of the last pod
        ([], _) | (_, false) => Phase::Running,
        (codes, true) if some_failed || codes.iter().any(|code| *code != 0) => Phase::Failed,
        (_, true) => Phase::Succeeded,
    }
}

/// The exit code of a pod's experiment, if another container keeps the pod and the code decides about the point:
/// the cluster does not end the pod, and the Job does not replace it.
pub(super) fn kept_code(job: Job, pods: Pods, pod: Pod) -> Option<i64> {
    let Stage::Held(code) = Stage::of(pod) else { return None };
    let is_open = pods::is_being_ended(pod) || (code != 0 && is_retried(job, pods, pod, code));
    (!is_open).then_some(code)
}

/// Whether a Job creates another pod after one that fails with this code.
fn is_retried(job: Job, pods: Pods, pod: Pod, code: i64) -> bool {
    let has_failed = |other: &Pod| Stage::of(*other) == Stage::Over(false) && Disruption::of(*other).is_none();
    let failures = || pods.iter().filter(|other| other.index() == pod.index()).filter(has_failed).count() as u64;
    pod.failed_before().unwrap_or_else(failures) < job.retries() && !job.is_final(code)
}

/// How many points failed after all retries, from the Job.
pub(super) fn failed_count(job: Job) -> u64 {
    job.failed_indexes().count_below(job.completions())
}
