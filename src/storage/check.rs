//! Checks whether an existing claim can be used.

use serde_json::Value;

use crate::k8s::claim::{Claim, ClaimPhase};
use crate::k8s::manifests::claim::AccessMode;
use crate::k8s::manifests::{PROJECT, volume as manifest};
use crate::k8s::names::VolumeName;
use crate::k8s::volume::{Volume, VolumePhase};
use crate::util::error::{Fail, fail};

/// What a claim requires of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usable {
    /// Nothing: pods on any node can mount it.
    Anywhere,
    /// All pods must run on one node.
    OnOneNode,
}

/// Checks a claim. Its project, if it has one, must be `project`, unless the user set the claim (`None`).
///
/// `kubectl` is the command with its flags and namespace as it would be typed, for the hints.
pub fn claim(claim: Claim, project: Option<&str>, kubectl: &str) -> Result<Usable, Fail> {
    require_sound(claim, project, kubectl)?;
    let modes = claim.modes();
    if modes.has(AccessMode::ReadWriteMany) {
        Ok(Usable::Anywhere)
    } else if modes.has(AccessMode::ReadWriteOnce) || modes.has(AccessMode::ReadWriteOncePod) {
        Ok(Usable::OnOneNode)
    } else {
        Err(fail(format!("the claim `{}` can't be written to: its access modes are {modes}", claim.name()))
            .hint("name another claim with `--storage-claim NAME`"))
    }
}

/// The same of a claim that is only read.
pub fn claim_to_read(claim: Claim, project: Option<&str>, kubectl: &str) -> Result<Usable, Fail> {
    if !claim.modes().has(AccessMode::ReadOnlyMany) {
        return self::claim(claim, project, kubectl);
    }
    require_sound(claim, project, kubectl)?;
    Ok(Usable::Anywhere)
}

/// An error for a claim that is going or gone, or that is not the project's.
fn require_sound(claim: Claim, project: Option<&str>, kubectl: &str) -> Result<(), Fail> {
    let name = claim.name();
    if claim.is_being_deleted() {
        return Err(fail(format!("the claim `{name}` is being deleted (Terminating), and its data with it"))
            .hint(format!("see who uses it with `{kubectl} describe pvc {name}`; run again when it is gone")));
    }
    if claim.phase() == Some(ClaimPhase::Lost) {
        return Err(fail(format!("the claim `{name}` has lost its volume (Lost)"))
            .hint(format!("see why with `{kubectl} describe pvc {name}`")));
    }
    project.and_then(|project| foreign(claim, project)).map_or(Ok(()), Err)
}

/// The error for a claim of another project or of unknown origin.
pub fn foreign(claim: Claim, project: &str) -> Option<Fail> {
    let name = claim.name();
    match claim.project() {
        Some(owner) if owner == project => None,
        Some(owner) => Some(
            fail(format!("the claim `{name}` holds the data of the project `{owner}`, not of `{project}`"))
                .hint("name the project's own claim with `--storage-claim NAME`"),
        ),
        None if claim.project_uid().is_some() => None,
        None => Some(
            fail(format!("the claim `{name}` was made by somebody else, and its data may be theirs")).hint(format!(
                "if the project's data should be there: `--storage-claim {name}`, or `storage_claim: {name}` in the context"
            )),
        ),
    }
}

/// Checks the volume of a claim.
pub fn volume(claim: Claim, volume: Volume, kubectl: &str) -> Result<(), Fail> {
    let (claim_name, volume_name) = (claim.name(), volume.name());
    let holder = volume.claim();
    // a volume that is reserved for a claim and not bound yet has no UID
    if holder.uid().is_some() && holder.uid() != claim.uid() {
        return Err(fail(format!(
            "the claim `{claim_name}` names the volume `{volume_name}`, which is bound to another claim, `{}` in `{}`",
            holder.name().unwrap_or_default(),
            holder.namespace().unwrap_or_default()
        ))
        .hint(format!("see both with `{kubectl} get pv {volume_name} -o yaml`")));
    }
    if volume.phase() == Some(VolumePhase::Failed) {
        let why = volume.message().map_or(String::new(), |words| format!(": {words}"));
        return Err(fail(format!("the volume `{volume_name}` of the claim `{claim_name}` has failed{why}"))
            .hint(format!("see it with `{kubectl} describe pv {volume_name}`")));
    }
    Ok(())
}

/// Whether a volume would be deleted with its claim, or could not be found again after that.
fn is_careless(volume: Volume, project: &str) -> bool {
    !volume.is_retained() || volume.project() != Some(project) || volume.label(PROJECT).is_none()
}

/// The change that keeps the volume of a claim, and makes it possible to find it again; `None` if nothing has to
/// change.
pub fn keep(claim: Claim, volume: Volume, project: &str) -> Option<(VolumeName, Value)> {
    let name = claim.volume().filter(|_| is_careless(volume, project))?;
    Some((name, manifest::kept(volume, project, claim.project_uid())))
}

/// The error for a claim that binds to one node in a cluster of several.
pub fn needs_one_node(name: &str, nodes: usize) -> Fail {
    fail(format!("the claim `{name}` is not ReadWriteMany, and the cluster has {nodes} nodes that a pod may land on"))
        .hint("pin the context to the node of its volume with `node_selector: {kubernetes.io/hostname: NODE}`")
        .hint("or name a ReadWriteMany claim with `--storage-claim NAME`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::{PROJECT_UID, RAW_PROJECT};
    use serde_json::json;

    fn object(mode: &str, phase: &str, annotations: &Value) -> Value {
        json!({"metadata": {"name": "storage", "annotations": annotations},
               "spec": {"accessModes": [mode]}, "status": {"phase": phase}})
    }

    fn with(mode: &str, phase: &str) -> Value {
        object(mode, phase, &json!({RAW_PROJECT: "p"}))
    }

    fn checked(object: &Value, project: Option<&str>) -> Result<Usable, String> {
        claim(Claim::of(object), project, "kubectl").map_err(|error| error.message)
    }

    #[test]
    fn a_claim_that_is_going_or_gone_is_refused() {
        let going = json!({"metadata": {"name": "storage", "deletionTimestamp": "2026-11-23T06:00:00Z"}});
        assert!(checked(&going, Some("p")).unwrap_err().contains("Terminating"));
        assert!(checked(&with("ReadWriteMany", "Lost"), Some("p")).unwrap_err().contains("Lost"));
    }

    #[test]
    fn the_mode_decides_where_it_can_be_used() {
        assert_eq!(checked(&with("ReadWriteMany", "Pending"), Some("p")), Ok(Usable::Anywhere));
        assert_eq!(checked(&with("ReadWriteOnce", "Bound"), Some("p")), Ok(Usable::OnOneNode));
        assert_eq!(checked(&with("ReadWriteOncePod", "Bound"), Some("p")), Ok(Usable::OnOneNode));
        let read = with("ReadOnlyMany", "Bound");
        assert_eq!(
            checked(&read, Some("p")).unwrap_err(),
            "the claim `storage` can't be written to: its access modes are ReadOnlyMany"
        );
        assert_eq!(claim_to_read(Claim::of(&read), Some("p"), "kubectl").unwrap(), Usable::Anywhere);
        assert!(claim_to_read(Claim::of(&read), Some("q"), "kubectl").is_err());
        let once = with("ReadWriteOnce", "Bound");
        assert_eq!(claim_to_read(Claim::of(&once), Some("p"), "kubectl").unwrap(), Usable::OnOneNode);
    }

    #[test]
    fn another_projects_claim_is_refused() {
        let other = object("ReadWriteMany", "Bound", &json!({RAW_PROJECT: "a_b"}));
        assert!(checked(&other, Some("a.b")).unwrap_err().contains("`a_b`"));
        assert!(checked(&other, Some("a_b")).is_ok());
        assert!(checked(&other, None).is_ok());
    }

    #[test]
    fn a_claim_that_nobody_here_made_is_refused_unless_it_is_named() {
        let foreign = object("ReadWriteMany", "Bound", &json!({}));
        assert!(checked(&foreign, Some("p")).unwrap_err().contains("somebody else"));
        assert!(checked(&foreign, None).is_ok());
        assert!(checked(&object("ReadWriteMany", "Bound", &json!({PROJECT_UID: "u"})), Some("p")).is_ok());
    }

    #[test]
    fn a_volume_of_another_claim_or_a_broken_one_is_refused() {
        let claim = json!({"metadata": {"name": "storage", "uid": "u1"}});
        let told = |uid: Value, phase: &str| {
            let volume =
                json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": uid}}, "status": {"phase": phase}});
            volume_of(&claim, &volume)
        };
        assert_eq!(told("u1".into(), "Bound"), Ok(()));
        assert_eq!(told(Value::Null, "Available"), Ok(()));
        assert!(told("u2".into(), "Bound").unwrap_err().contains("another claim"));
        assert!(told("u1".into(), "Failed").unwrap_err().contains("failed"));
    }

    fn volume_of(claim: &Value, object: &Value) -> Result<(), String> {
        volume(Claim::of(claim), Volume::of(object), "kubectl").map_err(|error| error.message)
    }

    #[test]
    fn a_volume_that_would_go_with_its_claim_is_noticed() {
        let careless = |policy: &str, project: &str| {
            let volume = json!({"metadata": {"labels": {PROJECT: project}, "annotations": {RAW_PROJECT: project}},
                                "spec": {"persistentVolumeReclaimPolicy": policy}});
            is_careless(Volume::of(&volume), "p")
        };
        assert!(careless("Delete", "p"));
        assert!(careless("Retain", "q"));
        assert!(!careless("Retain", "p"));
    }
}
