//! Whether a claim that is there can be used.

use serde_json::Value;

use crate::k8s::manifests::{PROJECT, PROJECT_UID, RAW_PROJECT, volume as object};
use crate::k8s::names::VolumeName;
use crate::k8s::quantity::{Quantity, amount};
use crate::util::error::{Fail, fail};

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
    if let Some(error) = project.and_then(|project| foreign(claim, project)) {
        return Err(error);
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

/// The error for a claim that is another project's, or that nobody knows whose it is.
pub fn foreign(claim: &Value, project: &str) -> Option<Fail> {
    let (name, annotations) =
        (claim["metadata"]["name"].as_str().unwrap_or_default(), &claim["metadata"]["annotations"]);
    match annotations[RAW_PROJECT].as_str() {
        Some(owner) if owner == project => None,
        Some(owner) => Some(
            fail(format!("the claim `{name}` holds the data of the project `{owner}`, not of `{project}`"))
                .hint("name the project's own claim with `--storage-claim NAME`"),
        ),
        None if annotations[PROJECT_UID].is_string() => None,
        None => Some(
            fail(format!("the claim `{name}` was made by somebody else, and its data may be theirs")).hint(format!(
                "if the project's data should be there: `--storage-claim {name}`, or `storage_claim: {name}` in the context"
            )),
        ),
    }
}

/// Looks at the volume that a claim is bound to.
pub fn volume(claim: &Value, volume: &Value, kubectl: &str) -> Result<(), Fail> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
    let (claim_name, volume_name) = (name(claim), name(volume));
    let holder = &volume["spec"]["claimRef"];
    // what is reserved for a claim, and not yet bound, has no uid
    if !holder["uid"].is_null() && holder["uid"] != claim["metadata"]["uid"] {
        let holder = |key: &str| holder[key].as_str().unwrap_or_default().to_owned();
        return Err(fail(format!(
            "the claim `{claim_name}` names the volume `{volume_name}`, which is bound to another claim, `{}` in `{}`",
            holder("name"),
            holder("namespace")
        ))
        .hint(format!("see both with `{kubectl} get pv {volume_name} -o yaml`")));
    }
    if volume["status"]["phase"] == "Failed" {
        let why = volume["status"]["message"].as_str().map_or(String::new(), |words| format!(": {words}"));
        return Err(fail(format!("the volume `{volume_name}` of the claim `{claim_name}` has failed{why}"))
            .hint(format!("see it with `{kubectl} describe pv {volume_name}`")));
    }
    Ok(())
}

/// The volume that a claim is bound to.
pub fn volume_of(claim: &Value) -> Option<VolumeName> {
    VolumeName::given(claim["spec"]["volumeName"].as_str()?)
}

/// Whether a volume would go with its claim, or could not be found again after that.
fn is_careless(volume: &Value, project: &str) -> bool {
    volume["spec"]["persistentVolumeReclaimPolicy"] != "Retain"
        || volume["metadata"]["annotations"][RAW_PROJECT] != project
        || volume["metadata"]["labels"][PROJECT].is_null()
}

/// What it takes for the volume of a claim to outlive it and to be found again; nothing if it does.
pub fn keep(claim: &Value, volume: &Value, project: &str) -> Option<(VolumeName, Value)> {
    let name = volume_of(claim).filter(|_| is_careless(volume, project))?;
    Some((name, object::kept(volume, project, claim["metadata"]["annotations"][PROJECT_UID].as_str())))
}

/// Whether a claim asks for less than `wanted`.
pub fn is_smaller(claim: &Value, wanted: &Quantity) -> bool {
    let asked = claim["spec"]["resources"]["requests"]["storage"].as_str().and_then(amount);
    asked.is_some_and(|asked| asked < wanted.amount())
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
        json!({"metadata": {"name": "storage", "annotations": {RAW_PROJECT: "p"}}, "spec": {"accessModes": [mode]}, "status": {"phase": phase}})
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
    fn a_claim_that_nobody_here_made_is_refused_unless_it_is_named() {
        let mut foreign = with("ReadWriteMany", "Bound");
        foreign["metadata"]["annotations"] = json!({});
        assert!(claim(&foreign, Some("p"), "kubectl").unwrap_err().message.contains("somebody else"));
        assert!(claim(&foreign, None, "kubectl").is_ok());
        foreign["metadata"]["annotations"][PROJECT_UID] = "u".into();
        assert!(claim(&foreign, Some("p"), "kubectl").is_ok());
    }

    #[test]
    fn a_volume_of_another_claim_or_a_broken_one_is_refused() {
        let claim = json!({"metadata": {"name": "storage", "uid": "u1"}});
        let with = |uid: Value, phase: &str| json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": uid}}, "status": {"phase": phase}});
        assert!(volume(&claim, &with("u1".into(), "Bound"), "kubectl").is_ok());
        assert!(volume(&claim, &with(Value::Null, "Available"), "kubectl").is_ok());
        assert!(volume(&claim, &with("u2".into(), "Bound"), "kubectl").unwrap_err().message.contains("another claim"));
        assert!(volume(&claim, &with("u1".into(), "Failed"), "kubectl").unwrap_err().message.contains("failed"));
    }

    #[test]
    fn a_volume_that_would_go_with_its_claim_is_noticed() {
        let with = |policy: &str, project: &str| json!({"metadata": {"labels": {PROJECT: project}, "annotations": {RAW_PROJECT: project}}, "spec": {"persistentVolumeReclaimPolicy": policy}});
        assert!(is_careless(&with("Delete", "p"), "p"));
        assert!(is_careless(&with("Retain", "q"), "p"));
        assert!(!is_careless(&with("Retain", "p"), "p"));
    }

    #[test]
    fn only_a_smaller_claim_grows() {
        let claim = json!({"spec": {"resources": {"requests": {"storage": "40G"}}}});
        for (wanted, smaller) in [("100G", true), ("40G", false), ("39Gi", true), ("1G", false)] {
            assert_eq!(is_smaller(&claim, &Quantity::parse(wanted).unwrap()), smaller, "{wanted}");
        }
    }

    #[test]
    fn a_cordoned_or_tainted_node_does_not_count() {
        assert!(is_schedulable(&json!({"spec": {}})));
        assert!(!is_schedulable(&json!({"spec": {"unschedulable": true}})));
        assert!(!is_schedulable(&json!({"spec": {"taints": [{"effect": "NoSchedule"}]}})));
    }
}
