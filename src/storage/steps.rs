//! The changes to a project's storage before a run, as a value in the plan.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::k8s::manifests::claim::ClaimSpec;
use crate::k8s::manifests::volume::{self, NfsVolume};
use crate::k8s::manifests::{claim, pretty};
use crate::k8s::names::{ClaimName, Namespace, VolumeName};
use crate::k8s::object::{Object, Resource};
use crate::k8s::quantity::Quantity;
use crate::storage::choose::{Choice, VolumeOrigin};
use crate::storage::nfs_server::create_folder;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, Patch, Scope};

/// The steps, in order.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct StorageSteps {
    /// The user and group of the project's folder, which has to be created on the NFS server in the cluster.
    pub folder: Option<(u32, u32)>,
    /// A volume to create.
    pub volume: Option<Value>,
    /// A released volume, and the change that frees it for the new claim.
    pub freed: Option<(VolumeName, Value)>,
    /// The claim to create.
    pub claim: Option<Value>,
    /// A volume to keep when its claim is deleted, and the change for that.
    pub kept: Option<(VolumeName, Value)>,
    /// A claim to resize.
    pub grown: Option<(ClaimName, Quantity)>,
}

/// The owner of the storage.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// The project's raw name.
    pub project: &'a str,
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// Its claim.
    pub claim: &'a ClaimName,
    /// The identity that new storage gets.
    pub uid: &'a str,
    /// The size that new storage gets.
    pub size: &'a Quantity,
    /// User and group of its runs.
    pub run_as: (u32, u32),
}

/// One step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageStep {
    /// Create the folder on the server.
    Folder,
    /// Create the volume.
    Volume,
    /// Free a volume for its new claim.
    Free,
    /// Create the claim.
    Claim,
    /// Set the reclaim policy of the volume; optional.
    Keep,
    /// Resize the claim; optional.
    Grow,
}

impl StorageSteps {
    /// The steps that create a missing claim.
    pub fn new(choice: &Choice, owner: &Owner) -> Self {
        let mut steps = Self::default();
        let made = VolumeName::of_claim(owner.namespace, owner.claim);
        let (volume, size) = match &choice.volume {
            None => (None, owner.size),
            Some(VolumeOrigin::Nfs { server, path, in_cluster }) => {
                steps.folder = in_cluster.then_some(owner.run_as);
                steps.volume = Some(volume::manifest(&NfsVolume {
                    name: &made,
                    namespace: owner.namespace,
                    claim: owner.claim,
                    project: owner.project,
                    uid: owner.uid,
                    size: owner.size,
                    server,
                    path,
                }));
                (Some(&made), owner.size)
            }
            Some(VolumeOrigin::Released { name, claim_uid, size, .. }) => {
                steps.freed = claim_uid.as_ref().map(|uid| (name.clone(), volume::freed(uid)));
                (Some(name), size)
            }
        };
        let uid = match &choice.volume {
            Some(VolumeOrigin::Released { uid: Some(uid), .. }) => uid,
            _ => owner.uid,
        };
        steps.claim = Some(claim::manifest(&ClaimSpec {
            name: owner.claim,
            namespace: owner.namespace,
            project: owner.project,
            uid,
            class: choice.class.as_deref(),
            volume,
            mode: choice.mode,
            size,
        }));
        steps
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The steps, in order.
    pub fn steps(&self) -> Vec<StorageStep> {
        let due = [
            (StorageStep::Folder, self.folder.is_some()),
            // the claim has the name of the volume
            (StorageStep::Volume, self.volume.is_some()),
            (StorageStep::Free, self.freed.is_some()),
            (StorageStep::Claim, self.claim.is_some()),
            (StorageStep::Keep, self.kept.is_some()),
            (StorageStep::Grow, self.grown.is_some()),
        ];
        due.into_iter().filter_map(|(step, is_due)| is_due.then_some(step)).collect()
    }

    /// The command of a step, `None` if there is nothing to do.
    pub fn command(&self, step: StorageStep, kubectl: &Kubectl, namespace: &Namespace) -> Option<Cmd> {
        let patch_volume = |(name, patch): &(VolumeName, Value), kind: Patch, why: String| {
            kubectl.patch(Scope::Everywhere, Resource::Volume.named(name.as_str()), kind, patch, why)
        };
        Some(match step {
            StorageStep::Folder => create_folder(kubectl, namespace, self.folder?),
            StorageStep::Volume => {
                let volume = self.volume.as_ref()?;
                let why = format!("make the volume `{}`", Object::of(volume).name());
                // not applied: of two runs at the same time, one creates it, and the other checks the existing one
                kubectl.create_with_output("name", namespace, "volume.json", &pretty(volume), why)
            }
            StorageStep::Free => {
                let freed = self.freed.as_ref()?;
                patch_volume(freed, Patch::Json, format!("free the volume `{}` for its new claim", freed.0))
            }
            StorageStep::Claim => {
                let claim = self.claim.as_ref()?;
                let why = format!("make the claim `{}`", Object::of(claim).name());
                kubectl.create_with_output("name", namespace, "claim.json", &pretty(claim), why)
            }
            StorageStep::Keep => {
                let kept = self.kept.as_ref()?;
                patch_volume(kept, Patch::Merge, format!("have the volume `{}` outlive its claim", kept.0))
            }
            StorageStep::Grow => {
                let (name, size) = self.grown.as_ref()?;
                let patch = json!({ "spec": { "resources": { "requests": { "storage": size.as_str() } } } });
                let why = format!("grow the claim `{name}` to {size}");
                kubectl.patch(Scope::In(namespace), Resource::Claim.named(name.as_str()), Patch::Merge, &patch, why)
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::claim::Claim;
    use crate::k8s::manifests::claim::AccessMode;
    use crate::k8s::volume::Volume;

    fn lines(volume: Option<VolumeOrigin>) -> (StorageSteps, Vec<String>) {
        let (namespace, claim) = (Namespace::of_project("vision"), ClaimName::storage());
        let size = Quantity::parse("40G").unwrap();
        let owner = Owner {
            project: "vision",
            namespace: &namespace,
            claim: &claim,
            uid: "u",
            size: &size,
            run_as: (1000, 1000),
        };
        let choice = Choice { class: Some(String::new()), mode: AccessMode::ReadWriteMany, volume, why: String::new() };
        let steps = StorageSteps::new(&choice, &owner);
        let kubectl = Kubectl { program: "kubectl".into(), flags: vec![] };
        let command = |step| steps.command(step, &kubectl, &namespace).unwrap().to_string();
        let lines = steps.steps().into_iter().map(command).collect();
        (steps, lines)
    }

    #[test]
    fn a_volume_is_made_before_its_claim_and_both_name_each_other() {
        let nfs = VolumeOrigin::Nfs { server: "10.0.0.1".into(), path: "/vision".into(), in_cluster: true };
        let (steps, lines) = lines(Some(nfs));
        let (volume, claim) = (steps.volume.unwrap(), steps.claim.unwrap());
        let (volume, claim) = (Volume::of(&volume), Claim::of(&claim));
        assert_eq!((Some(volume.name()), volume.claim().name()), (claim.volume_text(), Some(claim.name())));
        assert!(pretty(claim.json()).contains(r#""storageClassName": """#));
        assert!(lines[0].starts_with("kubectl -n mrunner-nfs exec deployment/nfs-server -- sh -c "), "{lines:?}");
        assert!(lines[1].ends_with("< volume.json") && lines[2].ends_with("< claim.json"), "{lines:?}");
    }

    #[test]
    fn a_released_volume_is_freed_only_from_the_claim_that_is_gone() {
        let released = VolumeOrigin::Released {
            name: VolumeName::given("pvc-1").unwrap(),
            claim_uid: Some("old".into()),
            uid: Some("abc".into()),
            size: Quantity::parse("10G").unwrap(),
        };
        let (steps, lines) = lines(Some(released));
        assert!(lines[0].contains("patch pv/pvc-1 --type=json") && lines[0].contains(r#""value":"old""#), "{lines:?}");
        let claim = steps.claim.unwrap();
        let claim = Claim::of(&claim);
        assert_eq!((claim.volume_text(), claim.project_uid()), (Some("pvc-1"), Some("abc")));
        assert_eq!(claim.requested(), Some("10G"));
    }
}
