//! Taints of nodes and the tolerations of a pod, matched as the scheduler does. Pure.

use std::fmt;

use serde_json::Value;

/// Taints that pass, or that Kubernetes and the node's maker see to
/// (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
const PASSING: &[&str] = &[
    "node.kubernetes.io/",
    "node.cloudprovider.kubernetes.io/",
    "node.cluster.x-k8s.io/",
    "node.cilium.io/",
    "ebs.csi.aws.com/",
    "efs.csi.aws.com/",
    "karpenter.sh/",
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
    "ToBeDeleted",
    "DeletionCandidate",
];

/// A taint that keeps pods away from a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; often empty.
    pub value: String,
    /// `NoSchedule` or `NoExecute`.
    pub effect: String,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let equals = if self.value.is_empty() { "" } else { "=" };
        write!(f, "{}{equals}{}:{}", self.key, self.value, self.effect)
    }
}

impl Taint {
    /// Whether it passes without anybody's doing.
    pub fn passes(&self) -> bool {
        PASSING.iter().any(|own| self.key.starts_with(own)) || self.key.ends_with("agent-not-ready")
    }

    /// Whether one of these tolerations matches it (kubernetes, `ToleratesTaint` of `pkg/apis/core/v1/helper`).
    pub fn is_tolerated(&self, tolerations: &[Value]) -> bool {
        tolerations.iter().any(|toleration| {
            let text = |name: &str| toleration[name].as_str().unwrap_or_default();
            let is_any_or = |name: &str, own: &str| text(name).is_empty() || text(name) == own;
            let matches = match text("operator") {
                "Exists" => true,
                "" | "Equal" => text("value") == self.value,
                _ => false,
            };
            matches && is_any_or("key", &self.key) && is_any_or("effect", &self.effect)
        })
    }
}

/// The taints by which a node keeps pods away; a cordon is one of them.
pub fn of_node(node: &Value) -> Vec<Taint> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let one = |t: &Value| Taint { key: text(&t["key"]), value: text(&t["value"]), effect: text(&t["effect"]) };
    let all = node["spec"]["taints"].as_array().into_iter().flatten().map(one);
    let mut taints: Vec<Taint> =
        all.filter(|taint| ["NoSchedule", "NoExecute"].contains(&taint.effect.as_str())).collect();
    let cordon = "node.kubernetes.io/unschedulable";
    if node["spec"]["unschedulable"] == true && !taints.iter().any(|taint| taint.key == cordon) {
        taints.push(Taint { key: cordon.to_owned(), value: String::new(), effect: "NoSchedule".to_owned() });
    }
    taints
}

/// The taints that keep a pod with these tolerations from a node for good.
pub fn that_hold(node: &Value, tolerations: &[Value]) -> Vec<Taint> {
    of_node(node).into_iter().filter(|taint| !taint.passes() && !taint.is_tolerated(tolerations)).collect()
}

/// The tolerations to add for some taints, as they stand in a remote context.
pub fn tolerations_for(taints: &[Taint]) -> String {
    let mut keys: Vec<&str> = taints.iter().map(|taint| taint.key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    let all: Vec<String> = keys.iter().map(|key| format!("{{key: {key}, operator: Exists}}")).collect();
    format!("tolerations: [{}]", all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn taint(key: &str, value: &str, effect: &str) -> Taint {
        Taint { key: key.into(), value: value.into(), effect: effect.into() }
    }

    #[test]
    fn tolerations_match_as_the_scheduler_has_it() {
        let sku = taint("sku", "gpu", "NoSchedule");
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "sku", "operator": "Exists"}), true),
            (json!({"key": "sku", "operator": "Exists", "effect": "NoSchedule"}), true),
            (json!({"key": "sku", "operator": "Exists", "effect": "NoExecute"}), false),
            (json!({"key": "sku", "operator": "Equal", "value": "gpu"}), true),
            (json!({"key": "sku", "value": "gpu", "effect": "NoSchedule"}), true),
            (json!({"key": "sku", "value": "cpu"}), false),
            (json!({"key": "sku"}), false),
            (json!({"key": "other", "operator": "Exists"}), false),
            (json!({"key": "sku", "operator": "Gt", "value": "1"}), false),
        ] {
            assert_eq!(sku.is_tolerated(std::slice::from_ref(&toleration)), expected, "{toleration}");
        }
        assert!(!sku.is_tolerated(&[]));
        assert!(taint("sku", "", "NoExecute").is_tolerated(&[json!({"key": "sku"})]));
    }

    #[test]
    fn only_what_keeps_pods_away_for_good_holds() {
        let node = json!({"spec": {"unschedulable": true, "taints": [
            {"key": "sku", "value": "gpu", "effect": "NoSchedule"}, {"key": "soft", "effect": "PreferNoSchedule"},
            {"key": "dedicated", "effect": "NoExecute"}, {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}});
        let shown = |taints: Vec<Taint>| taints.iter().map(Taint::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(shown(that_hold(&node, &[])), "sku=gpu:NoSchedule dedicated:NoExecute");
        assert_eq!(shown(that_hold(&node, &[json!({"key": "sku", "operator": "Exists"})])), "dedicated:NoExecute");
        assert_eq!(of_node(&node).len(), 4);
        let keys = tolerations_for(&that_hold(&node, &[]));
        assert_eq!(keys, "tolerations: [{key: dedicated, operator: Exists}, {key: sku, operator: Exists}]");
    }
}
