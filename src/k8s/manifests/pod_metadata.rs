//! Labels and annotations that a remote context gives to every pod, beside mrunner's own.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::k8s::manifests::{CONFIG, MANAGED_BY, QUEUE};

/// `pod_labels` and `pod_annotations` of a remote context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PodMetadata {
    /// Names and values of the labels.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub labels: Map<String, Value>,
    /// Names and values of the annotations.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub annotations: Map<String, Value>,
}

/// Whether only mrunner or the Job controller may set this label or annotation.
pub fn is_reserved(key: &str) -> bool {
    let domain = key.split_once('/').map_or("", |(domain, _)| domain);
    ["mrunner", "batch.kubernetes.io"].contains(&domain)
        || domain.ends_with(".mrunner")
        || ["job-name", "controller-uid", MANAGED_BY, QUEUE].contains(&key)
}

impl PodMetadata {
    /// The metadata of these pairs.
    pub fn new(labels: &[(String, String)], annotations: &[(String, String)]) -> Self {
        let map = |pairs: &[(String, String)]| pairs.iter().map(|(k, v)| (k.clone(), v.clone().into())).collect();
        Self { labels: map(labels), annotations: map(annotations) }
    }

    /// The metadata that a Job in the cluster was submitted with, without what is reserved.
    pub fn of(job: &Value) -> Self {
        let config = job["metadata"]["annotations"][CONFIG].as_str().unwrap_or_default();
        let config: Value = serde_json::from_str(config).unwrap_or_default();
        let mut found = Self::deserialize(&config["pod"]).unwrap_or_default();
        let is_ours = |key: &String, value: &mut Value| value.is_string() && !is_reserved(key);
        found.labels.retain(is_ours);
        found.annotations.retain(is_ours);
        found
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }

    /// Adds it to the `metadata` of a pod; what is there stays.
    pub fn add_to(&self, metadata: &mut Value) {
        for (name, pairs) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            for (key, value) in pairs {
                if metadata[name][key].is_null() {
                    metadata[name][key] = value.clone();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_mrunner_and_the_job_controller_set_is_reserved() {
        for key in [
            "mrunner/run",
            "tag.mrunner/baseline",
            "job-name",
            "controller-uid",
            "batch.kubernetes.io/job-name",
            "batch.kubernetes.io/job-completion-index",
            "app.kubernetes.io/managed-by",
            "kueue.x-k8s.io/queue-name",
        ] {
            assert!(is_reserved(key), "{key}");
        }
        for key in ["team", "sidecar.istio.io/inject", "app.kubernetes.io/name", "mrunner", "example.com/job-name"] {
            assert!(!is_reserved(key), "{key}");
        }
    }

    #[test]
    fn a_job_of_somebody_else_sets_nothing_that_is_reserved() {
        let job = |config: Value| json!({"metadata": {"annotations": {CONFIG: config.to_string()}}});
        let pod =
            json!({"labels": {"team": "a", "mrunner/run": "x", "n": 1}, "annotations": {"job-name": "x", "a": "b"}});
        let found = PodMetadata::of(&job(json!({ "pod": pod })));
        assert_eq!(found, PodMetadata::new(&[("team".into(), "a".into())], &[("a".into(), "b".into())]));
        for none in [json!({}), json!({"pod": []}), json!({"pod": {"labels": 3}}), json!(null)] {
            assert!(PodMetadata::of(&job(none)).is_empty());
        }
        let mut metadata = json!({"labels": {"team": "ours"}});
        found.add_to(&mut metadata);
        assert_eq!(metadata, json!({"labels": {"team": "ours"}, "annotations": {"a": "b"}}));
    }
}
