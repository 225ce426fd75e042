//! What becomes of a point that fails or takes too long, in the terms of a Job.

use serde_json::{Value, json};

use crate::k8s::manifests::CONTAINER;

/// What a run bears.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// How often a point that failed is tried again.
    pub retries: u32,
    /// The exit codes after which it is not, in order, none twice, none of them 0.
    pub no_retry_on: Vec<u8>,
    /// How many points may fail before the rest is given up; `None` for all.
    pub max_failed: Option<u32>,
    /// How long a point may run, in seconds.
    pub time_limit: Option<u64>,
    /// How long all of them may take, in seconds.
    pub deadline: Option<u64>,
}

impl Failure {
    /// Puts it into the Job, but for the time limit, which is the pod's.
    pub fn apply(&self, job: &mut Value) {
        let spec = &mut job["spec"];
        spec["backoffLimitPerIndex"] = self.retries.into();
        // a node that was drained or preempted costs no retry, also where the code would
        let disrupted =
            json!({ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] });
        let mut rules = vec![disrupted];
        if !self.no_retry_on.is_empty() {
            let codes = json!({ "containerName": CONTAINER, "operator": "In", "values": self.no_retry_on });
            rules.push(json!({ "action": "FailIndex", "onExitCodes": codes }));
        }
        spec["podFailurePolicy"] = json!({ "rules": rules });
        if let Some(most) = self.max_failed {
            // the API takes no more than there are
            let completions = spec["completions"].as_u64().unwrap_or(1);
            spec["maxFailedIndexes"] = u64::from(most).min(completions).into();
        }
        if let Some(seconds) = self.deadline {
            spec["activeDeadlineSeconds"] = seconds.into();
        }
    }

    /// As the resolved configuration tells it.
    pub fn config(&self) -> Value {
        let mut config = json!({ "retries": self.retries, "timeLimitSeconds": self.time_limit });
        if !self.no_retry_on.is_empty() {
            config["noRetryOn"] = self.no_retry_on.clone().into();
        }
        if let Some(most) = self.max_failed {
            config["maxFailed"] = most.into();
        }
        if let Some(seconds) = self.deadline {
            config["deadlineSeconds"] = seconds.into();
        }
        config
    }
}
