//! The Job that tries a volume: a pod on each of two nodes.

use serde_json::{Value, json};

use crate::k8s::manifests::HELPER;
use crate::k8s::manifests::helper_pod::{self, HelperPod};
use crate::k8s::names::Namespace;

/// What a pod of it does.
const SCRIPT: &str = include_str!(concat!(env!("OUT_DIR"), "/probe.sh"));

/// The command of such a pod.
pub fn command() -> Vec<String> {
    ["/bin/sh", "-c", SCRIPT.trim_end(), "mrunner"].map(str::to_owned).to_vec()
}

/// The same Job under another name, so that the events of the former are not taken for its own.
pub fn fitted(job: &Value, resources: &Value) -> Value {
    let mut job = job.clone();
    let name = format!("{}-2", job["metadata"]["name"].as_str().unwrap_or_default());
    let spec = &mut job["spec"]["template"]["spec"];
    spec["containers"][0]["resources"] = resources.clone();
    let apart = &mut spec["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0];
    apart["labelSelector"]["matchLabels"][HELPER] = name.as_str().into();
    job["spec"]["template"]["metadata"]["labels"][HELPER] = name.as_str().into();
    job["metadata"]["labels"][HELPER] = name.as_str().into();
    job["metadata"]["name"] = name.into();
    job
}

/// The Job, of so many pods, no two of them on one node.
pub fn job(spec: &HelperPod, namespace: &Namespace, pods: usize) -> Value {
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
    job["spec"]["template"]["spec"]["containers"][0]["resources"] = helper_pod::small();
    job
}
