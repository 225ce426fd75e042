//! Whether a node has room for a pod. Pure.

use serde_json::Value;

use crate::k8s::object::{Object, text};
use crate::k8s::pod::{Container, Pod};
use crate::k8s::quantity::amount;
use crate::k8s::taints::{self, Taint};

/// Whether no node would fit a pod even if it were empty: the selector matches none, or the requests are larger
/// than any node. Nodes that an autoscaler would add are unknown; the caller checks its events.
pub fn fits_nowhere(pod: Pod, nodes: &[Value]) -> bool {
    !nodes.is_empty() && !nodes.iter().any(|node| is_large_enough(node, pod) && held_by(node, pod).is_empty())
}

/// The taints that keep a pod from nodes that would otherwise fit; those of the node with the fewest.
pub fn held_back_by(pod: Pod, nodes: &[Value]) -> Vec<Taint> {
    let fitting = nodes.iter().filter(|node| is_large_enough(node, pod));
    fitting.map(|node| held_by(node, pod)).min_by_key(Vec::len).unwrap_or_default()
}

fn held_by(node: &Value, pod: Pod) -> Vec<Taint> {
    taints::that_hold(node, pod.spec().tolerations())
}

/// Whether a pod would fit a node except for devices that no node has: a node reports devices only after their
/// driver has started.
pub fn lacks_devices(pod: Pod, nodes: &[Value]) -> bool {
    let is_device = |name: &str| name.contains('/');
    let missing = |name: &str| is_device(name) && !nodes.iter().any(|node| allocatable(node, name) > 0.0);
    nodes.iter().any(|node| has_room(node, pod, missing) && held_by(node, pod).is_empty())
}

fn is_large_enough(node: &Value, pod: Pod) -> bool {
    has_room(node, pod, |_| false)
}

/// Whether an empty node has what a pod requests, ignoring the resources for which `left_out` is true.
fn has_room(node: &Value, pod: Pod, left_out: impl Fn(&str) -> bool) -> bool {
    let selector = pod.spec().node_selector();
    let selected = selector.is_none_or(|s| s.iter().all(|(k, v)| Object::of(node).label(k) == v.as_str()));
    let mut requested = pod.spec().containers().filter_map(Container::requests).flatten();
    let enough = |(name, wanted): (&String, &Value)| {
        left_out(name) || wanted.as_str().and_then(amount).unwrap_or(0.0) <= allocatable(node, name)
    };
    selected && requested.all(enough)
}

/// How much of a resource a node has for pods.
fn allocatable(node: &Value, resource: &str) -> f64 {
    text(node, &["status", "allocatable", resource]).and_then(amount).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use serde_json::json;

    fn fits_nowhere(pod: &Value, nodes: &[Value]) -> bool {
        super::fits_nowhere(Pod::of(pod), nodes)
    }

    fn lacks_devices(pod: &Value, nodes: &[Value]) -> bool {
        super::lacks_devices(Pod::of(pod), nodes)
    }

    fn node(cpu: &str) -> Value {
        json!({"metadata": {"labels": {"zone": "a"}}, "spec": {}, "status": {"allocatable": {"cpu": cpu}}})
    }

    #[test]
    fn more_than_any_node_has_never_fits() {
        let pod = |cpu: &str| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}});
        assert!(fits_nowhere(&pod("3"), &[node("2")]));
        assert!(!fits_nowhere(&pod("1500m"), &[node("2")]));
        let elsewhere = json!({"spec": {"nodeSelector": {"zone": "b"}, "containers": []}});
        assert!(fits_nowhere(&elsewhere, &[node("2")]));
        // a user without permission to list nodes sees none
        assert!(!fits_nowhere(&pod("3"), &[]));
    }

    #[test]
    fn devices_that_no_node_shows_yet_may_come() {
        let pod = |cards: &str| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1", "nvidia.com/gpu": cards}}}]}});
        let nodes = [node("2")];
        assert!(fits_nowhere(&pod("1"), &nodes) && lacks_devices(&pod("1"), &nodes));
        assert!(!lacks_devices(&pod("1"), &[node("500m")]));
        let nodes = [with(&node("2"), &["status", "allocatable", "nvidia.com/gpu"], "4")];
        assert!(fits_nowhere(&pod("8"), &nodes) && !lacks_devices(&pod("8"), &nodes));
    }

    #[test]
    fn a_node_that_is_cordoned_or_away_may_come_back() {
        let pod = json!({"spec": {"containers": [{"resources": {"requests": {"cpu": "1"}}}]}});
        let tainted = |key: &str| {
            let spec = json!({"unschedulable": true, "taints": [{"key": key, "effect": "NoSchedule"}]});
            with(&node("2"), &["spec"], spec)
        };
        for key in
            ["node.kubernetes.io/unschedulable", "node.kubernetes.io/not-ready", "ebs.csi.aws.com/agent-not-ready"]
        {
            assert!(!fits_nowhere(&pod, &[tainted(key)]), "{key}");
        }
        assert!(fits_nowhere(&pod, &[tainted("team")]));
    }

    #[test]
    fn another_toleration_is_none_for_the_taint_that_holds() {
        let pod = |toleration: Value| {
            json!({"spec": {"containers": [], "tolerations": [toleration,
            {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}]}})
        };
        let taints = json!([{"key": "sku", "value": "gpu", "effect": "NoSchedule"}]);
        let nodes = [with(&node("2"), &["spec", "taints"], taints)];
        for (toleration, fits) in [
            (json!({"key": "other", "operator": "Exists"}), false),
            (json!({"key": "sku", "value": "cpu"}), false),
            (json!({"key": "sku", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "sku", "value": "gpu"}), true),
            (json!({"operator": "Exists"}), true),
        ] {
            assert_eq!(fits_nowhere(&pod(toleration.clone()), &nodes), !fits, "{toleration}");
            assert_eq!(held_back_by(Pod::of(&pod(toleration)), &nodes).len(), usize::from(!fits));
        }
    }
}
