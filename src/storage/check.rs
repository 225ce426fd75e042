//! Whether a claim that is there can be used.

use serde_json::Value;

use crate::error::{Fail, fail};
use crate::objects::RAW_PROJECT;

/// What a claim demands of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usable {
    /// Nothing: pods on any node can mount it.
    Anywhere,
    /// Its pods must all land on one node.
    OnOneNode,
}

/// Looks at a claim. The project that it carries, if any, must be `project`, unless the user named the
/// claim (`None`).
///
/// `kubectl` is the command with its flags and namespace as it would be typed, for the hints.
pub fn claim(claim: &Value, project: Option<&str>, kubectl: &str) -> Result<Usable, Fail> {
    let name = claim["metadata"]["name"].as_str().unwrap_or_default();
    if !claim["metadata"]["deletionTimestamp"].is_null() {
        return Err(fail(format!("the claim `{name}` is being deleted (Terminating), and its data with it"))
            .hint(format!("see who uses it with `{kubectl} describe pvc {name}`; run again when it is gone")));
    }
    if claim["status"]["phase"] == "Lost" {
        return Err(fail(format!("the claim `{name}` has lost its volume (Lost)"))
            .hint(format!("see why with `{kubectl} describe pvc {name}`")));
    }
    if let Some(other) = claim["metadata"]["annotations"][RAW_PROJECT].as_str()
        && let Some(project) = project
        && other != project
    {
        return Err(fail(format!("the claim `{name}` holds the data of the project `{other}`, not of `{project}`"))
            .hint("name the project's own claim with `--storage-claim NAME`"));
    }
    let modes: Vec<&str> =
        claim["spec"]["accessModes"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if modes.contains(&"ReadWriteMany") {
        Ok(Usable::Anywhere)
    } else if modes.iter().any(|m| m.starts_with("ReadWriteOnce")) {
        Ok(Usable::OnOneNode)
    } else {
        Err(fail(format!("the claim `{name}` can't be written to: its access modes are {}", modes.join(", ")))
            .hint("name another claim with `--storage-claim NAME`"))
    }
}

/// The error for a claim that binds to one node in a cluster of several.
pub fn needs_one_node(name: &str, nodes: usize) -> Fail {
    fail(format!("the claim `{name}` is not ReadWriteMany, and the cluster has {nodes} nodes that a pod may land on"))
        .hint("pin the context to the node of its volume with `node_selector: {kubernetes.io/hostname: NODE}`")
        .hint("or name a ReadWriteMany claim with `--storage-claim NAME`")
}

/// Whether pods may land on a node.
pub fn is_schedulable(node: &Value) -> bool {
    let tainted = |effect: &str| {
        let taints = node["spec"]["taints"].as_array();
        taints.is_some_and(|taints| taints.iter().any(|t| t["effect"] == effect))
    };
    node["spec"]["unschedulable"] != true && !tainted("NoSchedule") && !tainted("NoExecute")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(mode: &str, phase: &str) -> Value {
        json!({"metadata": {"name": "storage"}, "spec": {"accessModes": [mode]}, "status": {"phase": phase}})
    }

    #[test]
    fn a_claim_that_is_going_or_gone_is_refused() {
        let mut going = with("ReadWriteMany", "Bound");
        going["metadata"]["deletionTimestamp"] = "2026-11-23T06:00:00Z".into();
        assert!(claim(&going, Some("p"), "kubectl").unwrap_err().message.contains("Terminating"));
        assert!(claim(&with("ReadWriteMany", "Lost"), Some("p"), "kubectl").unwrap_err().message.contains("Lost"));
    }

    #[test]
    fn the_mode_decides_where_it_can_be_used() {
        assert_eq!(claim(&with("ReadWriteMany", "Pending"), Some("p"), "kubectl").unwrap(), Usable::Anywhere);
        assert_eq!(claim(&with("ReadWriteOnce", "Bound"), Some("p"), "kubectl").unwrap(), Usable::OnOneNode);
        assert!(claim(&with("ReadOnlyMany", "Bound"), Some("p"), "kubectl").is_err());
    }

    #[test]
    fn another_projects_claim_is_refused() {
        let mut other = with("ReadWriteMany", "Bound");
        other["metadata"]["annotations"][RAW_PROJECT] = "a_b".into();
        assert!(claim(&other, Some("a.b"), "kubectl").unwrap_err().message.contains("`a_b`"));
        assert!(claim(&other, Some("a_b"), "kubectl").is_ok());
        assert!(claim(&other, None, "kubectl").is_ok());
    }

    #[test]
    fn a_cordoned_or_tainted_node_does_not_count() {
        assert!(is_schedulable(&json!({"spec": {}})));
        assert!(!is_schedulable(&json!({"spec": {"unschedulable": true}})));
        assert!(!is_schedulable(&json!({"spec": {"taints": [{"effect": "NoSchedule"}]}})));
    }
}
