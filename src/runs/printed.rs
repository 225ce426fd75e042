//! How long a log must be, from what its pod reported at its end and from when the log begins. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::k8s::job::Job;
use crate::k8s::manifests::CONTAINER;
use crate::k8s::object::Condition;
use crate::k8s::pod::Pod;
use crate::runs::results::report::Report;
use crate::runs::state::Run;

/// The most indexes of a Job.
const MOST: u64 = 100_000;

/// A run in a queue is suspended within this time after its creation for the first time.
const FIRST: TimeDelta = TimeDelta::seconds(10);

/// How much of a log is stored by default, as in `templates/wrapper.sh`.
const KEPT: u64 = 1 << 30;

/// How much longer than the output a stored log may be: the process that copies and the one that counts may end at
/// different bytes.
const SLACK: u64 = 256 << 10;

/// How many bytes were printed in a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Printed {
    /// The least number.
    pub bytes: u64,
    /// Whether that is the exact number.
    pub is_all: bool,
}

/// How many bytes each point of an ended pod reported to have printed.
pub(crate) fn by_point(job: Job, pod: Pod) -> BTreeMap<u64, u64> {
    let reports = Report::of_pod(pod, job);
    reports.into_iter().filter_map(|told| Some((told.index, told.printed?))).collect()
}

/// How many bytes the points of an ended pod reported to have printed; `None` if none of them reported.
pub fn printed(job: Job, pod: Pod) -> Option<Printed> {
    let own = job.points_of(pod.index());
    let told = by_point(job, pod);
    let bytes = told.values().fold(0, |sum: u64, bytes| sum.saturating_add(*bytes));
    (!told.is_empty()).then_some(Printed { bytes, is_all: told.len() as u64 == own.end - own.start })
}

/// Whether the pods of a run store their logs on the volume.
pub fn keeps(job: Job) -> bool {
    job.variable("MRUNNER_KEEP_LOGS").is_some_and(|keep| keep != "no")
}

/// How much of a log the pods of a run store, at least.
pub(crate) fn kept_at_most(job: Job) -> u64 {
    job.variable("MRUNNER_KEEP_LOGS_MAX").and_then(|most| most.parse().ok()).unwrap_or(KEPT)
}

/// How long a stored log can be. Anything with access to the volume can write a file of any size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// How much was printed, if that is known.
    pub(crate) printed: Option<u64>,
    /// How much of a longer log is stored, at least.
    pub(crate) kept: u64,
}

impl Bounds {
    /// The bounds for an attempt whose Job is gone, from the current context.
    pub(crate) fn of_gone(printed: Option<u64>, kept: Option<u64>) -> Self {
        Self { printed, kept: kept.unwrap_or_default().max(KEPT) }
    }

    /// The most bytes that the log can have.
    pub(crate) fn most(self) -> u64 {
        let kept = self.kept.saturating_add(self.kept / 5);
        self.printed.map_or(kept, |printed| printed.min(kept)).saturating_add(SLACK)
    }

    /// Whether the end is missing from a log of this length: a log with a dropped middle still has the guaranteed
    /// amount.
    pub(crate) fn lacks_end(self, bytes: u64) -> bool {
        self.printed.is_some_and(|printed| bytes < printed.min(self.kept))
    }
}

/// How long after its container a log begins, from the time of its first line. Both times are from the node's
/// clock.
pub fn lateness(pod: Pod, first: Option<DateTime<Utc>>) -> Duration {
    let started = pod.status_of(CONTAINER).and_then(|status| status.state().started());
    started.zip(first).and_then(|(started, first)| (first - started).to_std().ok()).unwrap_or_default()
}

/// Whether a run has no pod now but may have had some: it was suspended, or its next pods can't be created.
fn is_between(run: &Run) -> bool {
    let since_created = |condition: Condition| {
        let changed = condition.changed().zip(run.created);
        changed.is_some_and(|(changed, created)| changed - created > FIRST)
    };
    let suspended = run.job().condition("Suspended").filter(|suspended| suspended.is_true());
    let has_begun = suspended.map_or_else(|| run.job().has_started(), since_created);
    run.pods.is_empty() && !run.phase.is_final() && has_begun && keeps(run.job())
}

/// The indexes of a run with more attempts than pods, and how many more, at least.
pub fn with_lost_attempts(run: &Run) -> Vec<(u64, u64)> {
    let mut attempts: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for pod in run.pods() {
        let before = pod.failed_before().unwrap_or(0).saturating_add(pod.ignored_before().unwrap_or(0));
        let (there, made) = attempts.entry(pod.index()).or_default();
        *there += 1;
        *made = (*made).max(before.saturating_add(1));
    }
    let done = [run.job().completed_indexes(), run.job().failed_indexes()];
    let ended = |index: &u64| done.iter().any(|done| done.contains(*index)) && !attempts.contains_key(index);
    let mut lost: Vec<(u64, u64)> = (0..run.done.1.min(MOST)).filter(ended).map(|index| (index, 1)).collect();
    let fewer = attempts.iter().filter(|(_, (there, made))| there < made);
    lost.extend(fewer.map(|(index, (there, made))| (*index, made - there)));
    if is_between(run) {
        // whether there was an attempt is unknown for these
        let open = (0..run.done.1.min(MOST)).filter(|index| !done.iter().any(|done| done.contains(*index)));
        lost.extend(open.map(|index| (index, 0)));
    }
    lost.sort_unstable();
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use crate::k8s::pod::{FAILED_BEFORE, IGNORED_BEFORE};
    use crate::runs::state;
    use serde_json::{Value, json};

    fn printed(job: &Value, pod: &Value) -> Option<Printed> {
        super::printed(Job::of(job), Pod::of(pod))
    }

    fn job(points: &str, each: &str) -> Value {
        json!({"kind": "Job", "metadata": {"uid": "u", "annotations": {"mrunner/points": points, "mrunner/points-per-pod": each}},
               "spec": {"completions": if each == "1" { 3 } else { 4 }, "template": {"spec": {"containers": [{"name": "experiment", "env": [
                   {"name": "MRUNNER_MARK", "value": "m4rk"}, {"name": "MRUNNER_KEEP_LOGS", "value": ""}]}]}}},
               "status": {"completedIndexes": "0,2"}})
    }

    fn pod(index: u64, message: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": format!("a-{index}"), "ownerReferences": [{"uid": "u"}],
                    "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()}},
               "status": {"containerStatuses": [{"name": "sidecar"}, {"name": "experiment", "state": {"terminated":
                    {"startedAt": "2026-11-23T06:00:10Z", "message": message}}}]}})
    }

    #[test]
    fn a_pod_tells_how_much_its_points_printed() {
        let all = |bytes| Some(Printed { bytes, is_all: true });
        assert_eq!(printed(&job("3", "1"), &pod(1, "m4rk 1 0 exit 700 - 0 \n")), all(700));
        let packed = "m4rk 4 1 exit 10 - 0\nnoise m4rk 5 0 exit 99\nm4rk 5 143 told 5 lines 2 {}\n";
        assert_eq!(printed(&job("7", "2"), &pod(2, packed)), all(15));
        // the last pod has fewer
        assert_eq!(printed(&job("7", "2"), &pod(3, "m4rk 6 0 exit 3 - 0")), all(3));
        let some = Some(Printed { bytes: 10, is_all: false });
        assert_eq!(printed(&job("7", "2"), &pod(2, "m4rk 4 1 exit 10 - 0\nm4rk 5 0 exit - - 0\n")), some);
    }

    #[test]
    fn words_are_no_numbers() {
        for message in ["", "m4rk", "other 1 0 exit 700 - 0", "m4rk 2 0 exit 700 - 0", "m4rk 1 0 exit -1 - 0"] {
            assert_eq!(printed(&job("3", "1"), &pod(1, message)), None, "{message}");
        }
        assert_eq!(printed(&json!({}), &pod(1, " 1 0 exit 700 - 0")), None);
        assert!(keeps(Job::of(&job("3", "1"))) && !keeps(Job::of(&json!({}))));
    }

    #[test]
    fn a_log_that_begins_late_is_seen() {
        let at = |text: &str| lateness(Pod::of(&pod(0, "")), text.parse().ok());
        assert_eq!(at("2026-11-23T06:00:12.5Z"), Duration::from_millis(2500));
        assert_eq!((at("2026-11-23T06:00:09Z"), at("")), (Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn a_kept_log_has_its_bounds() {
        let bounds = |printed| Bounds { printed, kept: 1000 };
        assert_eq!(bounds(Some(7)).most(), 7 + SLACK);
        assert_eq!((bounds(Some(u64::MAX)).most(), bounds(None).most()), (1200 + SLACK, 1200 + SLACK));
        for (printed, bytes, lacks) in [(900, 899, true), (900, 900, false), (5000, 999, true), (5000, 1000, false)] {
            assert_eq!(bounds(Some(printed)).lacks_end(bytes), lacks, "{bytes} of {printed}");
        }
        assert!(!bounds(None).lacks_end(0));
        assert_eq!((Bounds::of_gone(None, Some(7)).kept, kept_at_most(Job::of(&json!({})))), (KEPT, KEPT));
    }

    #[test]
    fn attempts_without_a_pod_are_missed() {
        let before = json!({FAILED_BEFORE: "1", IGNORED_BEFORE: "1"});
        let again = with(&pod(1, ""), &["metadata", "annotations"], before);
        let run = |pods: &[&Value]| {
            let objects = pods.iter().map(|pod| (*pod).clone()).chain([job("3", "1")]);
            state::runs(objects.collect()).pop().unwrap()
        };
        let (first, last) = (pod(0, ""), pod(2, ""));
        assert_eq!(with_lost_attempts(&run(&[&first, &last])), []);
        assert_eq!(with_lost_attempts(&run(&[&first, &again])), [(1, 2), (2, 1)]);
        assert_eq!(with_lost_attempts(&run(&[&first, &again, &again, &again, &last])), []);
        // without any pod, each index that is not done may have had attempts
        let between = |status: Value| {
            let between = with(&job("3", "1"), &["metadata", "creationTimestamp"], "2026-11-23T06:00:00Z");
            let between = with(&between, &["status"], status);
            with_lost_attempts(&state::runs(vec![between]).pop().unwrap())
        };
        let suspended = |at: &str| {
            json!({"completedIndexes": "1", "conditions": [
                {"type": "Suspended", "status": "True", "lastTransitionTime": format!("2026-11-23T06:{at}Z")}]})
        };
        assert_eq!(between(json!({"startTime": "2026-11-23T06:00:01Z"})), [(0, 0), (1, 0), (2, 0)]);
        assert_eq!(between(suspended("05:00")), [(0, 0), (1, 1), (2, 0)]);
        assert_eq!((between(suspended("00:01")), between(json!({}))), (vec![(1, 1)], vec![]));
    }
}
