//! A view of `PersistentVolume`s. Pure.

use serde_json::Value;

use crate::k8s::claim::AccessModes;
use crate::k8s::manifests::{PROJECT_UID, RAW_PROJECT};
use crate::k8s::object::{at, is_true, list, text, view};

view! {
    /// A volume.
    Volume
}

/// The phase of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumePhase {
    /// It is not ready for a claim.
    Pending,
    /// It is free for a claim.
    Available,
    /// It is bound to a claim.
    Bound,
    /// Its claim is gone.
    Released,
    /// It could not be recycled or deleted.
    Failed,
}

/// What becomes of a volume when its claim is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReclaimPolicy {
    /// It is deleted.
    Delete,
    /// It stays.
    Retain,
    /// It is emptied.
    Recycle,
}

impl ReclaimPolicy {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delete => "Delete",
            Self::Retain => "Retain",
            Self::Recycle => "Recycle",
        }
    }
}

/// The folder on an NFS server that a volume is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NfsSource<'a> {
    /// The server.
    pub server: &'a str,
    /// The exported folder.
    pub path: &'a str,
    /// Whether nothing can be written to it.
    pub read_only: bool,
}

impl<'a> Volume<'a> {
    /// Its phase.
    pub fn phase(self) -> Option<VolumePhase> {
        Some(match text(self.json(), &["status", "phase"])? {
            "Pending" => VolumePhase::Pending,
            "Available" => VolumePhase::Available,
            "Bound" => VolumePhase::Bound,
            "Released" => VolumePhase::Released,
            "Failed" => VolumePhase::Failed,
            _ => return None,
        })
    }

    /// What the cluster says about its phase.
    pub fn message(self) -> Option<&'a str> {
        text(self.json(), &["status", "message"])
    }

    /// The claim that it is bound to, or reserved for.
    pub fn claim(self) -> ClaimRef<'a> {
        ClaimRef(at(self.json(), &["spec", "claimRef"]))
    }

    /// What becomes of it when its claim is deleted.
    pub fn reclaim_policy(self) -> Option<ReclaimPolicy> {
        let told = text(self.json(), &["spec", "persistentVolumeReclaimPolicy"]);
        [ReclaimPolicy::Delete, ReclaimPolicy::Retain, ReclaimPolicy::Recycle]
            .into_iter()
            .find(|policy| told == Some(policy.as_str()))
    }

    /// Whether it stays when its claim is deleted.
    pub fn is_retained(self) -> bool {
        self.reclaim_policy() == Some(ReclaimPolicy::Retain)
    }

    /// The access mode.
    pub fn modes(self) -> AccessModes<'a> {
        AccessModes(list(self.json(), &["spec", "accessModes"]))
    }

    /// Its class; empty where it has none.
    pub fn class(self) -> &'a str {
        text(self.json(), &["spec", "storageClassName"]).unwrap_or_default()
    }

    /// How much it holds.
    pub fn capacity(self) -> Option<&'a str> {
        text(self.json(), &["spec", "capacity", "storage"])
    }

    /// The folder on an NFS server that it is.
    pub fn nfs(self) -> Option<NfsSource<'a>> {
        let nfs = at(self.json(), &["spec", "nfs"]);
        let word = |name| text(nfs, &[name]).unwrap_or_default();
        let source =
            || NfsSource { server: word("server"), path: word("path"), read_only: is_true(nfs, &["readOnly"]) };
        nfs.is_object().then(source)
    }

    /// The CSI driver that provides it.
    pub fn driver(self) -> Option<&'a str> {
        text(self.json(), &["spec", "csi", "driver"])
    }

    /// The server that its CSI driver mounts it from, as drivers of NFS call it.
    pub fn driver_server(self) -> Option<&'a str> {
        text(self.json(), &["spec", "csi", "volumeAttributes", "server"])
    }

    /// The folder of a node that it is: the kind of the volume, `hostPath` or `local`, and the path.
    pub fn node_folder(self) -> Option<(&'static str, &'a str)> {
        ["hostPath", "local"].into_iter().find_map(|kind| Some((kind, text(self.json(), &["spec", kind, "path"])?)))
    }

    /// The raw name of the project whose data it holds.
    pub fn project(self) -> Option<&'a str> {
        self.annotation(RAW_PROJECT)
    }

    /// The identity of its data.
    pub fn project_uid(self) -> Option<&'a str> {
        self.annotation(PROJECT_UID)
    }
}

/// The claim that a volume names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClaimRef<'a>(&'a Value);

impl<'a> ClaimRef<'a> {
    /// The namespace of the claim.
    pub fn namespace(self) -> Option<&'a str> {
        text(self.0, &["namespace"])
    }

    /// The name of the claim.
    pub fn name(self) -> Option<&'a str> {
        text(self.0, &["name"])
    }

    /// The uid of the claim; a volume that is only reserved for a claim has none.
    pub fn uid(self) -> Option<&'a str> {
        text(self.0, &["uid"])
    }

    /// Whether it is the claim of this name.
    pub fn is(self, namespace: &str, name: &str) -> bool {
        self.namespace() == Some(namespace) && self.name() == Some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::claim::AccessMode;
    use serde_json::json;

    #[test]
    fn the_fields_of_a_volume_are_read() {
        let volume = json!({
            "metadata": {"name": "pvc-1", "annotations": {RAW_PROJECT: "p", PROJECT_UID: "u"}},
            "spec": {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "40G"}, "storageClassName": "fast",
                     "persistentVolumeReclaimPolicy": "Retain", "nfs": {"server": "s", "path": "/p"},
                     "claimRef": {"namespace": "n", "name": "storage", "uid": "c"}},
            "status": {"phase": "Released", "message": "m"}});
        let volume = Volume::of(&volume);
        assert_eq!((volume.phase(), volume.message()), (Some(VolumePhase::Released), Some("m")));
        assert_eq!((volume.class(), volume.capacity(), volume.is_retained()), ("fast", Some("40G"), true));
        assert_eq!((volume.project(), volume.project_uid()), (Some("p"), Some("u")));
        assert_eq!(volume.nfs(), Some(NfsSource { server: "s", path: "/p", read_only: false }));
        assert!(volume.claim().is("n", "storage") && !volume.claim().is("n", "other"));
        assert_eq!(volume.claim().uid(), Some("c"));
        assert!(volume.modes().has(AccessMode::ReadWriteMany));
    }

    #[test]
    fn what_a_volume_is_on_is_read() {
        let csi = json!({"spec": {"csi": {"driver": "d", "volumeAttributes": {"server": "s"}}}});
        assert_eq!((Volume::of(&csi).driver(), Volume::of(&csi).driver_server()), (Some("d"), Some("s")));
        let local = json!({"spec": {"local": {"path": "/x"}}});
        assert_eq!(Volume::of(&local).node_folder(), Some(("local", "/x")));
        for odd in [json!({}), json!({"spec": {"nfs": null, "claimRef": 3, "persistentVolumeReclaimPolicy": "Keep"}})] {
            let odd = Volume::of(&odd);
            assert_eq!((odd.nfs(), odd.node_folder(), odd.driver(), odd.claim().uid()), (None, None, None, None));
            assert_eq!((odd.reclaim_policy(), odd.phase()), (None, None));
        }
    }
}
