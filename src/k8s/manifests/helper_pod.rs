//! The pods that mrunner makes for itself: small, restricted, and with the project's volume.

use serde_json::{Value, json};

use crate::k8s::manifests::job::literal;
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::scheduling::Scheduling;
use crate::k8s::manifests::{HELPER, MANAGED_BY};
use crate::k8s::names::{ClaimName, Namespace};
use crate::k8s::pod::{ContainerState, ContainerStatus, Pod};
use crate::k8s::quantity::amount;

/// The container that is mrunner's own; others may be injected.
pub const CONTAINER: &str = "helper";

/// The state of [`CONTAINER`]. Its place in the list says nothing: the kubelet sorts the list by name.
pub fn state(pod: &Value) -> ContainerState<'_> {
    Pod::of(pod).status_of(CONTAINER).map_or(ContainerState::Unset, ContainerStatus::state)
}

/// The volume's name in the pod.
const VOLUME: &str = "storage";

/// A helper that ended stays this long, so that it can be seen why; a client that is there removes it.
const KEPT_FOR_SECONDS: u64 = 30;

/// All that such a pod is made from.
#[derive(Debug, Clone)]
pub struct HelperPod<'a> {
    /// The name of the Job that makes it.
    pub name: &'a str,
    /// The image, which should be on the nodes already.
    pub image: &'a str,
    /// The program and its arguments, byte for byte.
    pub command: Vec<String>,
    /// Variables for it.
    pub env: Vec<(&'a str, String)>,
    /// The claim of the project's volume.
    pub claim: &'a ClaimName,
    /// Where it is mounted.
    pub mount: &'a str,
    /// Whether it is mounted such that nothing can be written.
    pub read_only: bool,
    /// User and group.
    pub run_as: (u32, u32),
    /// Labels that a node must have.
    pub node_selector: &'a [(String, String)],
    /// The nodes that it may run on, as `affinity` stands in a pod.
    pub affinity: Option<Value>,
    /// Taints that it tolerates.
    pub tolerations: &'a [Value],
    /// Labels and annotations of the pod beside mrunner's own.
    pub pod: &'a PodMetadata,
    /// The service account, for image pull secrets; no token is mounted.
    pub service_account: Option<&'a str>,
    /// A Secret with the registry's login.
    pub image_pull_secret: Option<&'a str>,
    /// Its requests and limits, see [`usual`] and [`small`].
    pub resources: Value,
    /// It ends after this long, whatever happens.
    pub deadline_seconds: u64,
}

/// The resources of a pod that moves files.
pub fn usual() -> Value {
    json!({ "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "cpu": "2", "memory": "512Mi" } })
}

/// The same resources within the bounds that a `LimitRange` has named when it refused them, such as `minimum cpu usage
/// per Container is 200m, but request is 100m`; `None` where its words name none that help.
pub fn fitted(resources: &Value, said: &str) -> Option<Value> {
    let mut fitted = resources.clone();
    let of = |value: &Value| value.as_str().and_then(amount).unwrap_or_default();
    let bounds = said.split(" usage per ").zip(said.split(" usage per ").skip(1));
    for (before, after) in bounds {
        let mut words = before.rsplit(' ');
        let (Some(resource), Some(kind)) = (words.next(), words.next()) else { continue };
        let Some(bound) = after.split(" is ").nth(1).and_then(|rest| rest.split([',', ']', ' ']).next()) else {
            continue;
        };
        let bound = bound.trim_end_matches('.');
        let wanted = amount(bound)?;
        for field in ["requests", "limits"] {
            let own = of(&fitted[field][resource]);
            let breaks = if kind.ends_with("minimum") { own < wanted } else { own > wanted };
            if breaks {
                fitted[field][resource] = bound.into();
            }
        }
    }
    // a limit may be no multiple of the request
    for resource in ["cpu", "memory"] {
        if said.contains(&format!("{resource} max limit to request ratio per ")) {
            fitted["requests"][resource] = fitted["limits"][resource].clone();
        }
    }
    (fitted != *resources).then_some(fitted)
}

/// The resources of a pod that only looks. A quota may demand each of them to be named
/// (<https://kubernetes.io/docs/concepts/policy/resource-quotas/>).
pub fn small() -> Value {
    json!({ "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "cpu": "100m", "memory": "128Mi" } })
}

/// The pod's `spec`.
pub fn pod_spec(spec: &HelperPod) -> Value {
    let (user, group) = spec.run_as;
    let env: Vec<Value> =
        spec.env.iter().map(|(name, value)| json!({ "name": name, "value": literal(value) })).collect();
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 2,
        "activeDeadlineSeconds": spec.deadline_seconds,
        "securityContext": {
            "runAsNonRoot": user != 0,
            "runAsUser": user,
            "runAsGroup": group,
            "fsGroup": group,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": CONTAINER,
            "image": spec.image,
            // what is on the node is good enough, also under a moving tag
            "imagePullPolicy": "IfNotPresent",
            "command": spec.command.iter().map(|word| literal(word)).collect::<Vec<_>>(),
            "env": env,
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "readOnlyRootFilesystem": true,
                "capabilities": { "drop": ["ALL"] },
            },
            "resources": spec.resources,
            "volumeMounts": [{ "name": VOLUME, "mountPath": spec.mount, "readOnly": spec.read_only }],
        }],
        "volumes": [{
            "name": VOLUME,
            "persistentVolumeClaim": { "claimName": spec.claim.as_str(), "readOnly": spec.read_only },
        }],
    });
    Scheduling {
        node_selector: spec.node_selector,
        affinity: spec.affinity.as_ref(),
        tolerations: spec.tolerations,
        service_account: spec.service_account,
        image_pull_secret: spec.image_pull_secret,
    }
    .add_to(&mut pod);
    pod
}

/// The Job that makes one such pod, and no second one. It has no label of a run, so that `status` does
/// not take it for one.
pub fn job(spec: &HelperPod, namespace: &Namespace) -> Value {
    let labels = json!({ MANAGED_BY: "mrunner", HELPER: spec.name });
    let mut metadata = json!({ "labels": labels });
    spec.pod.add_to(&mut metadata);
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": { "name": spec.name, "namespace": namespace.as_str(), "labels": labels },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": spec.deadline_seconds,
            "ttlSecondsAfterFinished": KEPT_FOR_SECONDS,
            "template": { "metadata": metadata, "spec": pod_spec(spec) },
        },
    })
}

/// The affinity of a pod that must land on one node.
pub fn on_node(node: &str) -> Value {
    let term = json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] });
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::pod::Terminated;

    #[test]
    fn a_sidecar_is_not_taken_for_the_pods_own_container() {
        let pod = json!({"status": {"containerStatuses": [
            {"name": "envoy", "state": {"running": {}}}, {"name": CONTAINER, "state": {"terminated": {"exitCode": 3}}}]}});
        assert_eq!(state(&pod).terminated().and_then(Terminated::exit_code), Some(3));
        assert_eq!(state(&json!({})), ContainerState::Unset);
    }

    #[test]
    fn a_pod_fits_the_bounds_that_refused_it() {
        let with = |requests: [&str; 2], limits: [&str; 2]| json!({"requests": {"cpu": requests[0], "memory": requests[1]}, "limits": {"cpu": limits[0], "memory": limits[1]}});
        // recorded from Kubernetes 1.34
        for (said, expected) in [
            (
                r#"pods "p" is forbidden: [maximum memory usage per Container is 256Mi, but limit is 512Mi, maximum cpu usage per Container is 1, but limit is 2, maximum cpu usage per Pod is 1500m, but limit is 2]"#,
                Some(with(["100m", "128Mi"], ["1", "256Mi"])),
            ),
            (
                r#"pods "p" is forbidden: [minimum cpu usage per Container is 250m, but request is 100m, minimum memory usage per Container is 1Gi, but request is 128Mi]"#,
                Some(with(["250m", "1Gi"], ["2", "1Gi"])),
            ),
            (
                r#"pods "p" is forbidden: maximum cpu usage per Pod is 50m, but limit is 2"#,
                Some(with(["50m", "128Mi"], ["50m", "512Mi"])),
            ),
            (
                r#"pods "p" is forbidden: cpu max limit to request ratio per Container is 4, but provided ratio is 20.000000"#,
                Some(with(["2", "128Mi"], ["2", "512Mi"])),
            ),
            (r#"pods "p" is forbidden: maximum cpu usage per Container is x, but limit is 2"#, None),
            (r#"pods "p" is forbidden: maximum cpu usage per Container is 4, but limit is 2"#, None),
            ("denied", None),
        ] {
            assert_eq!(fitted(&usual(), said), expected, "{said}");
        }
    }
}
