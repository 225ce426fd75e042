//! The pod that asks a registry whether the cluster reaches it.

use serde_json::{Value, json};

use crate::k8s::manifests::MANAGED_BY;
use crate::k8s::manifests::helper_pod::{CONTAINER, small};
use crate::k8s::manifests::pod_metadata::PodMetadata;

/// All that such a pod is made from.
#[derive(Debug, Clone, Copy)]
pub struct PullTest<'a> {
    /// Its name.
    pub name: &'a str,
    /// An image that nobody has published.
    pub image: &'a str,
    /// Labels and annotations beside mrunner's own.
    pub pod: &'a PodMetadata,
    /// A Secret with the registry's login. The kubelet passes over one that is not there.
    pub image_pull_secret: Option<&'a str>,
    /// It ends after this long, should nobody be there any more to remove it.
    pub deadline_seconds: u32,
}

/// The pod.
pub fn manifest(test: &PullTest) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": test.name, "labels": { MANAGED_BY: "mrunner" } },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "activeDeadlineSeconds": test.deadline_seconds,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": CONTAINER,
                "image": test.image,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "resources": small(),
            }],
        },
    });
    test.pod.add_to(&mut pod["metadata"]);
    if let Some(secret) = test.image_pull_secret {
        pod["spec"]["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    pod
}

/// The same pod with other resources.
pub fn fitted(mut pod: Value, resources: Value) -> Value {
    pod["spec"]["containers"][0]["resources"] = resources;
    pod
}
