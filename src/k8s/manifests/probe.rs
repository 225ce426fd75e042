//! The Job that tries a volume: a pod on each of two nodes.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::k8s::manifests::HELPER;
use crate::k8s::manifests::helper_pod::{self, HelperPod};
use crate::k8s::manifests::job::has_container;
use crate::k8s::names::Namespace;

/// What a pod of it does.
const SCRIPT: &str = include_str!(concat!(env!("OUT_DIR"), "/probe.sh"));

/// The command of such a pod.
pub fn command() -> Vec<String> {
    ["/bin/sh", "-c", SCRIPT.trim_end(), "mrunner"].map(str::to_owned).to_vec()
}

/// The Job, of several pods, no two of them on one node.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Probe(Value);

impl Probe {
    /// The Job of so many pods.
    pub fn new(spec: &HelperPod, namespace: &Namespace, pods: usize) -> Self {
        let mut job = helper_pod::job(spec, namespace);
        for (key, value) in
            [("completionMode", json!("Indexed")), ("completions", pods.into()), ("parallelism", pods.into())]
        {
            job["spec"][key] = value;
        }
        let apart = json!({
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": { "matchLabels": { HELPER: spec.name } },
        });
        job["spec"]["template"]["spec"]["affinity"]["podAntiAffinity"] =
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": [apart] });
        Self(job)
    }

    /// Whether it has the container that every such Job has.
    pub fn is_whole(&self) -> bool {
        has_container(&self.0)
    }

    /// The Job as it is sent.
    pub fn manifest(&self) -> &Value {
        &self.0
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    /// How many pods it has.
    pub fn pods(&self) -> usize {
        self.0["spec"]["completions"].as_u64().and_then(|pods| pods.try_into().ok()).unwrap_or(1)
    }

    /// The image of its pods.
    pub fn image(&self) -> &str {
        self.0["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap_or_default()
    }

    /// The same Job with another image.
    #[must_use]
    pub fn with_image(mut self, image: &str) -> Self {
        self.0["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
        self
    }

    /// The same Job with other resources, and under another name, so that the events of the former are not taken for
    /// its own.
    #[must_use]
    pub fn fitted(&self, resources: &Value) -> Self {
        let mut job = self.0.clone();
        let name = format!("{}-2", self.name());
        let spec = &mut job["spec"]["template"]["spec"];
        spec["containers"][0]["resources"] = resources.clone();
        let apart = &mut spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
        apart["labelSelector"]["matchLabels"][HELPER] = name.as_str().into();
        job["spec"]["template"]["metadata"]["labels"][HELPER] = name.as_str().into();
        job["metadata"]["labels"][HELPER] = name.as_str().into();
        job["metadata"]["name"] = name.into();
        Self(job)
    }
}
