//! Which claim a project gets where it has none yet.

use serde_json::Value;

use crate::error::{Fail, fail};
use crate::objects::claim::AccessMode;

/// Provisioners whose classes give volumes that many nodes mount as a POSIX file system.
///
/// Kubernetes has no API for this. From the table that containerized-data-importer keeps
/// (`pkg/storagecapabilities/storagecapabilities.go`), with GKE's Filestore added
/// (<https://cloud.google.com/filestore/docs/csi-driver>). A hint, no proof.
const SHARED: &[&str] = &[
    "cephfs.csi.ceph.com",
    "efs.csi.aws.com",
    "file.csi.azure.com",
    "filestore.csi.storage.gke.io",
    "k8s-sigs.io/nfs-subdir-external-provisioner",
    "manila.csi.openstack.org",
    "nfs.csi.k8s.io",
    "spectrumscale.csi.ibm.com",
];

/// A storage class, as far as the choice needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// Who makes its volumes.
    pub provisioner: String,
    /// Whether claims that name no class get it.
    pub default: bool,
}

impl Class {
    /// Reads a storage class from the cluster.
    pub fn from_object(object: &Value) -> Option<Self> {
        let annotation = &object["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"];
        Some(Self {
            name: object["metadata"]["name"].as_str()?.to_owned(),
            provisioner: object["provisioner"].as_str()?.to_owned(),
            default: annotation == "true",
        })
    }

    /// Whether its volumes are known to be shared between nodes.
    pub fn is_shared(&self) -> bool {
        // Rook runs Ceph's driver under `NAMESPACE.cephfs.csi.ceph.com`
        SHARED.iter().any(|known| self.provisioner == *known || self.provisioner.ends_with(&format!(".{known}")))
    }
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The class that the user asked for.
    pub wanted: Option<&'a str>,
    /// The cluster's classes; `None` where this user may not list them.
    pub classes: Option<&'a [Class]>,
    /// Whether all pods of the run land on one node: there is only one, or `node_selector` names it.
    pub one_node: bool,
}

/// A claim to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The class; `None` leaves it to the cluster's default.
    pub class: Option<String>,
    /// How it may be mounted.
    pub mode: AccessMode,
    /// Why, in words for the user.
    pub why: String,
}

/// Chooses, or says what was tried.
pub fn choose(world: &World) -> Result<Choice, Fail> {
    use AccessMode::{ReadWriteMany, ReadWriteOnce};
    let choice = |class: Option<&str>, mode, why: String| Ok(Choice { class: class.map(str::to_owned), mode, why });
    let classes = world.classes.unwrap_or_default();
    if let Some(wanted) = world.wanted {
        let known = classes.iter().find(|c| c.name == wanted);
        if known.is_none() && world.classes.is_some() {
            return Err(fail(format!("the cluster has no storage class `{wanted}`")).hint(has(classes)));
        }
        if world.one_node && !known.is_some_and(Class::is_shared) {
            return choice(Some(wanted), ReadWriteOnce, format!("ReadWriteOnce of class `{wanted}`, on one node"));
        }
        return choice(Some(wanted), ReadWriteMany, format!("ReadWriteMany of class `{wanted}`, as asked for"));
    }
    let shared: Vec<&Class> = classes.iter().filter(|c| c.is_shared()).collect();
    match (shared.iter().find(|c| c.default), shared.as_slice()) {
        (Some(class), _) | (None, [class]) => {
            let why = format!(
                "ReadWriteMany of class `{}`, whose provisioner `{}` shares volumes",
                class.name, class.provisioner
            );
            return choice(Some(&class.name), ReadWriteMany, why);
        }
        (None, []) => {}
        (None, several) => {
            let names: Vec<_> = several.iter().map(|c| format!("`{}`", c.name)).collect();
            return Err(fail(format!("several storage classes could hold the project's data: {}", names.join(", ")))
                .hint(format!(
                    "choose one with `--storage-class {}` or the context's key `storage_class`",
                    several[0].name
                )));
        }
    }
    if world.one_node {
        if let Some(class) = classes.iter().find(|c| c.default) {
            return choice(
                Some(&class.name),
                ReadWriteOnce,
                format!("ReadWriteOnce of the default class `{}`, on one node", class.name),
            );
        }
        if world.classes.is_none() {
            return choice(None, ReadWriteOnce, "ReadWriteOnce of the cluster's default class, on one node".to_owned());
        }
    }
    let tried = if world.classes.is_none() {
        "no claim is there, and the storage classes may not be listed"
    } else if world.one_node {
        "no claim is there, and no storage class is the default"
    } else {
        "no claim is there, no storage class is known to share volumes between nodes, and the cluster has several nodes"
    };
    Err(fail(format!("found no storage for the project: {tried}"))
        .hint(format!("name a class that supports ReadWriteMany with `--storage-class CLASS`; {}", has(classes)))
        .hint("or an existing claim with `--storage-claim NAME`")
        .hint("or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`"))
}

fn has(classes: &[Class]) -> String {
    if classes.is_empty() {
        return "see the classes with `kubectl get storageclass`".to_owned();
    }
    let names: Vec<_> = classes.iter().map(|c| format!("`{}`", c.name)).collect();
    format!("it has {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, provisioner: &str, default: bool) -> Class {
        Class { name: name.into(), provisioner: provisioner.into(), default }
    }

    fn chosen(wanted: Option<&str>, classes: &[Class], one_node: bool) -> Result<(Option<String>, AccessMode), String> {
        let choice = choose(&World { wanted, classes: Some(classes), one_node });
        choice.map(|c| (c.class, c.mode)).map_err(|e| e.message)
    }

    #[test]
    fn the_class_asked_for_comes_first() {
        let classes = [class("standard", "x/local", true), class("fast", "nfs.csi.k8s.io", false)];
        assert_eq!(chosen(Some("standard"), &classes, false), Ok((Some("standard".into()), AccessMode::ReadWriteMany)));
        assert_eq!(chosen(Some("standard"), &classes, true), Ok((Some("standard".into()), AccessMode::ReadWriteOnce)));
        assert_eq!(chosen(Some("fast"), &classes, true), Ok((Some("fast".into()), AccessMode::ReadWriteMany)));
        assert_eq!(chosen(Some("nope"), &classes, true), Err("the cluster has no storage class `nope`".into()));
    }

    #[test]
    fn then_a_class_known_to_share() {
        let rook = class("ceph", "rook-ceph.cephfs.csi.ceph.com", false);
        let classes = [class("standard", "x/local", true), rook.clone()];
        assert_eq!(chosen(None, &classes, false), Ok((Some("ceph".into()), AccessMode::ReadWriteMany)));
        let two = [rook, class("nfs", "nfs.csi.k8s.io", false)];
        assert_eq!(
            chosen(None, &two, false),
            Err("several storage classes could hold the project's data: `ceph`, `nfs`".into())
        );
    }

    #[test]
    fn then_one_node_or_nothing() {
        let classes = [class("standard", "rancher.io/local-path", true)];
        assert_eq!(chosen(None, &classes, true), Ok((Some("standard".into()), AccessMode::ReadWriteOnce)));
        assert!(chosen(None, &classes, false).unwrap_err().contains("several nodes"));
        assert!(chosen(None, &[], true).unwrap_err().contains("no storage class is the default"));
    }
}
