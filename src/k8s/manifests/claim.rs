//! A project's PersistentVolumeClaim.

use serde_json::{Value, json};

use crate::k8s::manifests::{MANAGED_BY, PROJECT, PROJECT_UID, RAW_PROJECT};
use crate::k8s::names::{ClaimName, Namespace, VolumeName, label_value};
use crate::k8s::quantity::Quantity;

/// How a volume may be mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum AccessMode {
    /// By pods on any number of nodes.
    ReadWriteMany,
    /// By pods on one node.
    ReadWriteOnce,
    /// By one pod.
    ReadWriteOncePod,
    /// By pods on any number of nodes, none of which writes to it.
    ReadOnlyMany,
}

impl AccessMode {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadWriteMany => "ReadWriteMany",
            Self::ReadWriteOnce => "ReadWriteOnce",
            Self::ReadWriteOncePod => "ReadWriteOncePod",
            Self::ReadOnlyMany => "ReadOnlyMany",
        }
    }
}

/// What to claim.
#[derive(Debug, Clone, PartialEq)]
pub struct ClaimSpec<'a> {
    /// Its name.
    pub name: &'a ClaimName,
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// The project whose data it holds.
    pub project: &'a str,
    /// The identity of the project's storage.
    pub uid: &'a str,
    /// The class, or the cluster's default; empty for a volume without one.
    pub class: Option<&'a str>,
    /// The volume that it is for, if that is there.
    pub volume: Option<&'a VolumeName>,
    /// The access mode.
    pub mode: AccessMode,
    /// How large.
    pub size: &'a Quantity,
}

/// The claim.
pub fn manifest(spec: &ClaimSpec) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": spec.name.as_str(),
            "namespace": spec.namespace.as_str(),
            "labels": { MANAGED_BY: "mrunner", PROJECT: label_value(spec.project) },
            "annotations": { RAW_PROJECT: spec.project, PROJECT_UID: spec.uid },
        },
        "spec": {
            "accessModes": [spec.mode.as_str()],
            "resources": { "requests": { "storage": spec.size.as_str() } },
        },
    });
    if let Some(class) = spec.class {
        claim["spec"]["storageClassName"] = class.into();
    }
    if let Some(volume) = spec.volume {
        claim["spec"]["volumeName"] = volume.as_str().into();
    }
    claim
}
