//! Which attempts at a run have ended so far, for code that follows the run. Pure.

use std::collections::BTreeMap;

use crate::k8s::pod::Pod;
use crate::runs::endings::{Ending, How, USED_UP, by_index, used_up};
use crate::runs::pods::{By, Disruption, Stage};
use crate::runs::state::Run;

/// How many ended attempts of a sweep are reported one by one.
const MOST: usize = 20;

/// The known attempts.
#[derive(Debug, Default)]
pub struct Attempts {
    /// By the UIDs of their pods.
    known: BTreeMap<String, KnownAttempt>,
    /// The number of attempts at each point.
    numbers: BTreeMap<u64, u64>,
    told: usize,
    /// How many attempts had used up a resource of their nodes when the run was first seen.
    used_up: Option<usize>,
}

#[derive(Debug)]
struct KnownAttempt {
    index: u64,
    number: u64,
    /// How many attempts at the point failed before, as the Job says.
    failed: Option<u64>,
    /// Whether an earlier attempt ended without using a retry.
    has_free: bool,
    /// Why the pod is about to be stopped, if that is known.
    disruption: Option<String>,
    has_ended: bool,
}

impl Attempts {
    /// What is new, in words: the attempts that ended and are followed by others, and why they ended.
    pub fn news(&mut self, run: &Run) -> Vec<String> {
        let mut news = Vec::new();
        let endings = by_index(run.pods());
        for pod in run.pods() {
            let Some(uid) = pod.uid() else { continue };
            let stage = Stage::of(pod);
            let attempt = self.known.entry(uid.to_owned()).or_insert_with(|| {
                let index = pod.index();
                let number = self.numbers.entry(index).or_insert_with(|| before(pod));
                *number += 1;
                let (failed, has_free) = (pod.failed_before(), pod.ignored_before().is_some_and(|count| count > 0));
                KnownAttempt { index, number: *number, failed, has_free, disruption: None, has_ended: false }
            });
            if attempt.has_ended {
                continue;
            }
            attempt.has_ended = !stage.is_alive();
            attempt.disruption = Disruption::of(pod).map(|disruption| sentence(&disruption));
            if let Some(ending) = Ending::of(pod) {
                let all = endings.get(&attempt.index).map(Vec::as_slice).unwrap_or_default();
                news.extend(attempt.follows(run, all, &ending).map(|more| attempt.told(run, all, &ending, &more)));
            }
        }
        // the pod was gone before its end was seen
        let is_there = |uid: &String| run.pods().iter().any(|pod| pod.uid() == Some(uid));
        let gone = self.known.iter_mut().filter(|(uid, attempt)| !attempt.has_ended && !is_there(uid));
        for (_, attempt) in gone {
            attempt.has_ended = true;
            let why = attempt.disruption.clone().unwrap_or_else(|| "ended: its pod was deleted".to_owned());
            news.push(format!("{} {why}", attempt.name(run)));
        }
        if run.phase.is_final() {
            news.clear();
        }
        if run.is_sweep() {
            news.truncate((MOST + 1).saturating_sub(self.told));
            self.told += news.len();
            if self.told > MOST
                && let Some(last) = news.last_mut()
            {
                "more attempts have ended, which are not listed any more".clone_into(last);
            }
        }
        news
    }

    /// Returns the ending if another attempt can't help: the last attempts used up a resource of their nodes, and
    /// at least one of them did so since the run was first seen. For a sweep, no other point may be left.
    pub fn used_up(&mut self, run: &Run) -> Option<Ending> {
        let endings = by_index(run.pods());
        let total = endings.values().flatten().filter(|ending| matches!(ending.how, How::UsedUp(_))).count();
        let begun_with = *self.used_up.get_or_insert(total);
        if total <= begun_with || run.phase.is_final() {
            return None;
        }
        let stuck: Vec<&Ending> = endings.values().filter_map(|all| used_up(all)).collect();
        let left = run.done.1.saturating_sub(run.done.0).saturating_sub(run.failed());
        if (stuck.len() as u64) < left { None } else { stuck.first().map(|ending| (*ending).clone()) }
    }
}

impl KnownAttempt {
    fn name(&self, run: &Run) -> String {
        let points = if run.is_sweep() { format!("{}: ", run.points_of(self.index)) } else { String::new() };
        format!("{points}attempt {}", self.number)
    }

    fn told(&self, run: &Run, all: &[Ending], ending: &Ending, more: &str) -> String {
        if ending.is_free() || self.has_free || all.iter().any(Ending::is_free) {
            return format!("{} {}; {more}", self.name(run), ending.sentence());
        }
        format!("{} of {} failed: {}", self.name(run), run.attempts(), ending.words)
    }

    /// What follows the attempt, in words; `None` if nothing follows.
    fn follows(&self, run: &Run, all: &[Ending], ending: &Ending) -> Option<String> {
        if ending.is_free() {
            return Some("it costs no retry, starting again".to_owned());
        }
        // pods of other failed attempts may be gone
        let failed = all.iter().filter(|ending| !ending.is_free()).count() as u64;
        let failed = self.failed.map_or(failed, |before| before.saturating_add(1));
        let left = (run.attempts() as u64).checked_sub(failed).filter(|left| *left > 0)?;
        Some(format!("{left} of {} retries left", run.attempts().saturating_sub(1)))
    }
}

fn sentence(disruption: &Disruption) -> String {
    let what = if disruption.by == By::Preemption { "was preempted" } else { "was evicted" };
    format!("{what}: {}", crate::runs::faults::brief(disruption.message))
}

/// The number of attempts before that of a pod, as the Job controller counts them.
fn before(pod: Pod) -> u64 {
    let counts = [pod.failed_before(), pod.ignored_before()];
    counts.into_iter().flatten().fold(0, u64::saturating_add).min(1_000_000)
}

/// The error message for attempts that used up a resource of their nodes.
pub fn in_vain(ending: &Ending) -> String {
    let what = if let How::UsedUp(what) = &ending.how { what.as_str() } else { "something" };
    format!("it was evicted {USED_UP} times in a row, as it used up the {what} of its node: {}", ending.words)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::{CONTAINER, POINTS, POINTS_PER_POD};
    use crate::k8s::object::with;
    use crate::k8s::pod::{FAILED_BEFORE, IGNORED_BEFORE};
    use crate::runs::state::runs;
    use serde_json::{Value, json};

    const LOW: &str = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 9Gi. Container experiment was using 200Gi, request is 0, has larger consumption of ephemeral-storage. ";

    fn run(retries: u64, points: u64, pods: &[Value]) -> Run {
        let job = json!({"kind": "Job", "metadata": {"name": "a", "uid": "u"},
            "spec": {"completions": points, "backoffLimitPerIndex": retries}, "status": {}});
        runs(pods.iter().cloned().chain([job]).collect()).pop().unwrap()
    }

    fn pod(number: u64, index: u64, phase: &str) -> Value {
        json!({"kind": "Pod", "metadata": {"name": format!("a-{index}-{number}"), "uid": format!("{index}-{number}"),
            "creationTimestamp": format!("2026-11-30T10:00:{number:02}Z"), "ownerReferences": [{"uid": "u"}],
            "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()}},
            "spec": {"nodeName": "n"}, "status": {"phase": phase}})
    }

    fn evicted(number: u64, index: u64) -> Value {
        let target =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": LOW}]);
        with(&pod(number, index, "Failed"), &["status", "conditions"], target)
    }

    fn failed(number: u64, index: u64) -> Value {
        let statuses = json!([{"name": CONTAINER, "state": {"terminated": {"exitCode": 3}}}]);
        with(&pod(number, index, "Failed"), &["status", "containerStatuses"], statuses)
    }

    /// A pod with as many attempts before it.
    fn after(pod: &Value, failed: &str, ignored: &str) -> Value {
        with(pod, &["metadata", "annotations"], json!({FAILED_BEFORE: failed, IGNORED_BEFORE: ignored}))
    }

    #[test]
    fn each_attempt_is_told_once_with_its_reason() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.news(&run(1, 1, &[pod(1, 0, "Running")])), [""; 0]);
        let one = [evicted(1, 0), pod(2, 0, "Running")];
        let told = attempts.news(&run(1, 1, &one));
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with("attempt 1 was evicted: the node was low on resource: ephemeral-storage. "),
            "{told:?}"
        );
        assert!(told[0].ends_with("; it costs no retry, starting again"), "{told:?}");
        assert_eq!(attempts.news(&run(1, 1, &one)), [""; 0]);
        let two = [evicted(1, 0), failed(2, 0), pod(3, 0, "Running")];
        assert_eq!(attempts.news(&run(1, 1, &two)), ["attempt 2 failed: exit code 3; 1 of 1 retries left"]);
        // the last failure is that of the run
        let three = [evicted(1, 0), failed(2, 0), failed(3, 0)];
        assert_eq!(attempts.news(&run(1, 1, &three)), [""; 0]);
    }

    #[test]
    fn without_evictions_the_retries_are_counted() {
        let mut attempts = Attempts::default();
        attempts.news(&run(1, 1, &[pod(1, 0, "Running")]));
        assert_eq!(attempts.news(&run(1, 1, &[failed(1, 0)])), ["attempt 1 of 2 failed: exit code 3"]);
    }

    #[test]
    fn attempts_whose_pods_are_gone_are_counted_as_well() {
        let told = |retries: u64, before: [&str; 2]| {
            Attempts::default().news(&run(retries, 1, &[after(&failed(1, 0), before[0], before[1])]))
        };
        assert_eq!(told(1, ["0", "3"]), ["attempt 4 failed: exit code 3; 1 of 1 retries left"]);
        assert_eq!(told(3, ["2", "0"]), ["attempt 3 of 4 failed: exit code 3"]);
        assert_eq!(told(3, ["2", "1"]), ["attempt 4 failed: exit code 3; 1 of 3 retries left"]);
        assert_eq!(told(1, ["1", "0"]), [""; 0]);
    }

    #[test]
    fn one_whose_pod_is_gone_is_told_with_what_was_known() {
        let mut attempts = Attempts::default();
        let target = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}]);
        attempts.news(&run(0, 1, &[with(&pod(1, 0, "Running"), &["status", "conditions"], target)]));
        let next = pod(2, 0, "Pending");
        assert_eq!(
            attempts.news(&run(0, 1, std::slice::from_ref(&next))),
            ["attempt 1 was evicted: Eviction API: evicting"]
        );
        // an attempt that is seen later has the number that the Job controller gave it
        let mut attempts = Attempts::default();
        attempts.news(&run(0, 1, &[after(&next, "1", "3")]));
        assert_eq!(attempts.news(&run(0, 1, &[])), ["attempt 5 ended: its pod was deleted"]);
    }

    #[test]
    fn of_a_sweep_the_first_are_told() {
        let mut attempts = Attempts::default();
        let all: Vec<Value> = (0..30).map(|index| evicted(1, index)).collect();
        let told = attempts.news(&run(0, 40, &all));
        assert!(told[3].starts_with("point 3: attempt 1 was evicted: "), "{told:?}");
        assert_eq!((told.len(), told[20].as_str()), (21, "more attempts have ended, which are not listed any more"));
        let more: Vec<Value> = (0..35).map(|index| evicted(1, index)).collect();
        assert_eq!(attempts.news(&run(0, 40, &more)), [""; 0]);
    }

    #[test]
    fn points_that_share_a_pod_are_named() {
        let mut run = run(0, 4, &[evicted(1, 3)]);
        run.job = with(&run.job, &["metadata", "annotations"], json!({POINTS: "35", POINTS_PER_POD: "10"}));
        let told = Attempts::default().news(&run);
        assert!(told[0].starts_with("points 30-34: attempt 1 was evicted: "), "{told:?}");
    }

    #[test]
    fn the_third_eviction_of_its_own_making_ends_it() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.used_up(&run(0, 1, &[pod(1, 0, "Running")])), None);
        assert_eq!(attempts.used_up(&run(0, 1, &[evicted(1, 0), evicted(2, 0)])), None);
        let ending = attempts.used_up(&run(0, 1, &[evicted(1, 0), evicted(2, 0), evicted(3, 0)])).unwrap();
        assert!(in_vain(&ending).starts_with(
            "it was evicted 3 times in a row, as it used up the ephemeral-storage of its node: the node was low"
        ));
        // a new follower waits for the next attempt
        let mut later = Attempts::default();
        let three = [evicted(1, 0), evicted(2, 0), evicted(3, 0)];
        assert_eq!(later.used_up(&run(0, 1, &three)), None);
        assert!(later.used_up(&run(0, 1, &[&three[..], &[evicted(4, 0)]].concat())).is_some());
        // other points continue
        let mut sweep = Attempts::default();
        assert_eq!(sweep.used_up(&run(0, 2, &[])), None);
        assert_eq!(sweep.used_up(&run(0, 2, &three)), None);
    }
}
