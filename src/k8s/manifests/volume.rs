//! A `PersistentVolume`: one on an NFS server, made for one claim, or one that lost its claim and gets a new
//! one; never deleted with it.

use serde_json::{Value, json};

use crate::k8s::manifests::{MANAGED_BY, PROJECT, PROJECT_UID, RAW_PROJECT};
use crate::k8s::names::{ClaimName, Namespace, VolumeName, label_value};
use crate::k8s::quantity::Quantity;
use crate::k8s::volume::Volume;

/// A volume on an NFS server.
#[derive(Debug, Clone, PartialEq)]
pub struct NfsVolume<'a> {
    /// Its name.
    pub name: &'a VolumeName,
    /// The namespace of its claim.
    pub namespace: &'a Namespace,
    /// Its claim.
    pub claim: &'a ClaimName,
    /// The project whose data it holds.
    pub project: &'a str,
    /// The identity of the project's storage.
    pub uid: &'a str,
    /// What it says of its size; the server knows better.
    pub size: &'a Quantity,
    /// The server, as the nodes see it.
    pub server: &'a str,
    /// The exported folder.
    pub path: &'a str,
}

/// The volume, bound to its claim: no other claim can take it.
pub fn manifest(spec: &NfsVolume) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": spec.name.as_str(),
            "labels": { MANAGED_BY: "mrunner", PROJECT: label_value(spec.project) },
            "annotations": { RAW_PROJECT: spec.project, PROJECT_UID: spec.uid },
        },
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "capacity": { "storage": spec.size.as_str() },
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": spec.namespace.as_str(),
                "name": spec.claim.as_str(),
            },
            // hard: a server that is away for a while stops the writers, and loses nothing
            "mountOptions": ["nfsvers=4.1", "hard"],
            "nfs": { "server": spec.server, "path": spec.path },
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "",
        },
    })
}

/// The change by which a volume outlives its claim and is found again, as a merge patch. `uid` is the
/// identity of the claim's data, if it has one.
pub fn kept(volume: Volume, project: &str, uid: Option<&str>) -> Value {
    let mut patch = json!({
        "metadata": { "labels": { PROJECT: label_value(project) }, "annotations": { RAW_PROJECT: project } },
    });
    if let Some(uid) = uid {
        patch["metadata"]["annotations"][PROJECT_UID] = uid.into();
    }
    if !volume.is_retained() {
        patch["spec"]["persistentVolumeReclaimPolicy"] = "Retain".into();
    }
    patch
}

/// Whether a change of [`kept`] makes a volume outlive its claim which would else go with it.
pub fn retains(patch: &Value) -> bool {
    !patch["spec"].is_null()
}

/// The change by which a volume whose claim is gone takes a new claim of the same name, as a JSON patch;
/// refused if it was taken meanwhile.
pub fn freed(old_claim_uid: &str) -> Value {
    json!([
        { "op": "test", "path": "/spec/claimRef/uid", "value": old_claim_uid },
        { "op": "remove", "path": "/spec/claimRef/uid" },
        { "op": "remove", "path": "/spec/claimRef/resourceVersion" },
    ])
}
