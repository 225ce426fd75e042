//! A view of Jobs. Pure.

use std::ops::Range;

use chrono::{DateTime, Utc};

use crate::k8s::manifests::indexes::Indexes;
use crate::k8s::manifests::job::MARK;
use crate::k8s::manifests::{CONTAINER, POINTS, POINTS_PER_POD, points};
use crate::k8s::object::{at, is_true, list, number, text, time, view};
use crate::k8s::pod::{PodSpec, PodVolume};

/// The most points that a Job can hold.
pub const MOST_POINTS: u64 = 100_000;

view! {
    /// A Job.
    Job
}

impl<'a> Job<'a> {
    /// How many indexes it has.
    pub fn completions(self) -> u64 {
        number(self.json(), &["spec", "completions"]).unwrap_or(1)
    }

    /// How many of its pods run at the same time.
    pub fn parallelism(self) -> Option<u64> {
        number(self.json(), &["spec", "parallelism"])
    }

    /// How many retries each of its indexes has.
    pub fn retries(self) -> u64 {
        number(self.json(), &["spec", "backoffLimitPerIndex"]).unwrap_or(0)
    }

    /// Whether it is suspended.
    pub fn is_suspended(self) -> bool {
        is_true(self.json(), &["spec", "suspend"])
    }

    /// Whether a pod that fails with this exit code fails its index without a retry.
    pub fn is_final(self, code: i64) -> bool {
        let rules = list(self.json(), &["spec", "podFailurePolicy", "rules"]).iter();
        rules
            .filter(|rule| text(rule, &["action"]) == Some("FailIndex"))
            .flat_map(|rule| list(rule, &["onExitCodes", "values"]))
            .any(|value| value.as_i64() == Some(code))
    }

    /// The spec of its pods.
    pub fn pod_spec(self) -> PodSpec<'a> {
        PodSpec::of_template(self.json())
    }

    /// The value of an environment variable of its experiment.
    pub fn variable(self, name: &str) -> Option<&'a str> {
        self.pod_spec().container(CONTAINER)?.variable(name)
    }

    /// The word that the lines of reports of its pods begin with; empty for one of an older version.
    pub fn mark(self) -> &'a str {
        self.variable(MARK).unwrap_or_default()
    }

    /// How many of its indexes succeeded.
    pub fn succeeded(self) -> u64 {
        number(self.json(), &["status", "succeeded"]).unwrap_or(0)
    }

    /// The indexes that succeeded.
    pub fn completed_indexes(self) -> Indexes {
        Indexes::of(at(self.json(), &["status", "completedIndexes"]))
    }

    /// The indexes that failed for good.
    pub fn failed_indexes(self) -> Indexes {
        Indexes::of(at(self.json(), &["status", "failedIndexes"]))
    }

    /// Whether it says that an index failed for good.
    pub fn has_failed_indexes(self) -> bool {
        text(self.json(), &["status", "failedIndexes"]).is_some_and(|set| !set.is_empty())
    }

    /// Whether it has ended.
    pub fn is_over(self) -> bool {
        self.has_condition("Failed") || self.has_condition("Complete")
    }

    /// When it was started.
    pub fn started(self) -> Option<DateTime<Utc>> {
        time(self.json(), &["status", "startTime"])
    }

    /// Whether it was started.
    pub fn has_started(self) -> bool {
        at(self.json(), &["status", "startTime"]).is_string()
    }

    /// When it ended.
    pub fn ended(self) -> Option<DateTime<Utc>> {
        let completed = time(self.json(), &["status", "completionTime"]);
        completed.or_else(|| self.condition("Failed").filter(|failed| failed.is_true())?.changed())
    }

    /// How many points it has, and how many of them each pod runs. No annotation makes more points of them than the
    /// Job has completions for.
    pub fn packing(self) -> (u64, u64) {
        let number = |name: &str| self.annotation(name)?.parse::<u64>().ok();
        let each = number(POINTS_PER_POD).unwrap_or(1).clamp(1, MOST_POINTS);
        let most = self.completions().saturating_mul(each).min(MOST_POINTS);
        (number(POINTS).map_or(most, |points| points.min(most)), each)
    }

    /// The points that the pod of an index runs.
    pub fn points_of(self, index: u64) -> Range<u64> {
        let (points, each) = self.packing();
        index.saturating_mul(each).min(points)..index.saturating_add(1).saturating_mul(each).min(points)
    }

    /// The `ConfigMap`s that hold its points, in their order.
    pub fn maps(self) -> impl Iterator<Item = &'a str> {
        self.pod_spec().volumes().filter(|volume| volume.name() == points::KEY).flat_map(PodVolume::config_maps)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn annotations_make_no_more_points_than_the_job_has_room_for() {
        let job = |completions: u64, points: &str, each: &str| {
            Job::of(&json!({
                "metadata": { "annotations": { POINTS: points, POINTS_PER_POD: each } },
                "spec": { "completions": completions },
            }))
            .packing()
        };
        assert_eq!(job(3, "10", "4"), (10, 4));
        assert_eq!(job(1, "99999999999", "1000"), (1000, 1000));
        assert_eq!(job(1, "99999999999", "99999999999"), (MOST_POINTS, MOST_POINTS));
        assert_eq!(job(u64::MAX, "18446744073709551615", "18446744073709551615"), (MOST_POINTS, MOST_POINTS));
        assert_eq!(job(2, "1e9", "0"), (2, 1));
        assert_eq!(job(2, "-1", " 3"), (2, 1));
        assert_eq!(Job::of(&json!({"metadata": {"annotations": {POINTS: 7, POINTS_PER_POD: "3"}}})).packing(), (3, 3));
    }
}
