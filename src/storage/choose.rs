//! Chooses the claim of a project that has none yet.

use serde_json::Value;

use crate::k8s::manifests::claim::AccessMode;
use crate::k8s::manifests::nfs_server::folder;
use crate::k8s::names::{Namespace, VolumeName};
use crate::k8s::quantity::Quantity;
use crate::k8s::storage_class::StorageClass;
use crate::k8s::volume::{Volume, VolumePhase};
use crate::util::error::{Fail, fail};

/// Provisioners whose classes provide volumes that many nodes can mount as a POSIX file system.
///
/// Kubernetes has no API for this. From the table of containerized-data-importer
/// (`pkg/storagecapabilities/storagecapabilities.go`), with GKE's Filestore added
/// (<https://cloud.google.com/filestore/docs/csi-driver>). Only a hint.
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

/// The fields of a storage class that the choice needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Class {
    /// Its name.
    pub name: String,
    /// The provisioner.
    pub provisioner: String,
    /// Whether it is the default class.
    pub default: bool,
}

impl Class {
    /// Reads a storage class from the cluster; nothing from an object of another kind.
    pub fn from_object(object: &Value) -> Option<Self> {
        let class = StorageClass::of(object);
        Some(Self {
            name: class.name().to_owned(),
            provisioner: class.provisioner()?.to_owned(),
            default: class.is_default(),
        })
    }

    /// Whether its volumes are known to be shared between nodes.
    pub fn is_shared(&self) -> bool {
        // Rook's Ceph driver is named `NAMESPACE.cephfs.csi.ceph.com`
        SHARED.iter().any(|known| self.provisioner == *known || self.provisioner.ends_with(&format!(".{known}")))
    }
}

/// What the choice depends on.
#[derive(Debug, Clone, Copy)]
pub struct World<'a> {
    /// The project's raw name.
    pub project: &'a str,
    /// Its namespace.
    pub namespace: &'a Namespace,
    /// The missing claim.
    pub claim: &'a str,
    /// The class that the user set.
    pub wanted: Option<&'a str>,
    /// The NFS server in the context, with its exported folder.
    pub nfs: Option<(&'a str, &'a str)>,
    /// The cluster's classes; `None` if the user can't list them.
    pub classes: Option<&'a [Class]>,
    /// Whether all pods of the run are on one node: there is only one, or `node_selector` selects it.
    pub one_node: bool,
    /// The volumes with the project's label that the user can read.
    pub volumes: &'a [Value],
    /// The address of the NFS server in the cluster, if there is one.
    pub server: Option<&'a str>,
}

/// A claim to create.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// The class; `None` for the cluster's default, empty for no class.
    pub class: Option<String>,
    /// The access mode.
    pub mode: AccessMode,
    /// The volume, if its class does not create one.
    pub volume: Option<VolumeOrigin>,
    /// The reason, for the user.
    pub why: String,
}

/// The origin of a volume that no class creates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VolumeOrigin {
    /// Created on an NFS server.
    Nfs {
        /// The server, as the nodes see it.
        server: String,
        /// The exported folder.
        path: String,
        /// Whether the server is the one in the cluster, where the folder has to be created.
        in_cluster: bool,
    },
    /// A released volume with the project's data.
    Released {
        /// The volume.
        name: VolumeName,
        /// The UID of the deleted claim, until the volume is free for a new one.
        claim_uid: Option<String>,
        /// The identity of the data.
        uid: Option<String>,
        /// The size of the volume, which the new claim requests.
        size: Quantity,
    },
}

/// Chooses a claim, or says what is missing.
///
/// Settings come before what is found: the project's own released volume, the class that was set, the context's
/// `nfs`; then a class that is known to share volumes, one node, and the NFS server in the cluster.
pub fn choose(world: &World) -> Result<Choice, Fail> {
    if let Some(released) = the_released(world)? {
        return Ok(released);
    }
    if let Some(wanted) = world.wanted {
        return asked_for(wanted, world);
    }
    if let Some((server, path)) = world.nfs {
        let path = path.replace("{project}", world.namespace.as_str());
        let why = format!("`{path}` on the NFS server `{server}`");
        return Ok(on_nfs(server, path, false, why));
    }
    if let Some(choice) = known_to_share(world)? {
        return Ok(choice);
    }
    if let Some(choice) = on_one_node(world) {
        return Ok(choice);
    }
    if let Some(server) = world.server {
        let why = format!("a folder on the cluster's own NFS server, `{server}`");
        return Ok(on_nfs(server, folder(world.namespace), true, why));
    }
    Err(nothing(world))
}

/// The only released volume with the project's data.
fn the_released(world: &World) -> Result<Option<Choice>, Fail> {
    let mut all: Vec<Choice> = world.volumes.iter().filter_map(|volume| released(Volume::of(volume), world)).collect();
    if all.len() < 2 {
        return Ok(all.pop());
    }
    let name = |choice: &Choice| match &choice.volume {
        Some(VolumeOrigin::Released { name, .. }) => name.to_string(),
        _ => String::new(),
    };
    let names: Vec<String> = all.iter().map(name).collect();
    Err(fail(format!("several volumes hold data of the project: `{}`", names.join("`, `")))
        .hint(format!("leave one out, such as with `kubectl label persistentvolume {} mrunner/project-`", names[0])))
}

/// Whether a volume is free for a new claim of this name, and has the project's data.
pub fn is_released(volume: Volume, project: &str, namespace: &Namespace, claim: &str) -> bool {
    let world = World {
        project,
        namespace,
        claim,
        wanted: None,
        nfs: None,
        classes: None,
        one_node: false,
        volumes: &[],
        server: None,
    };
    released(volume, &world).is_some()
}

/// The choice of a released volume with the project's data whose claim had this name. A volume that was already
/// freed has no UID of a claim.
fn released(volume: Volume, world: &World) -> Option<Choice> {
    let claim_uid = volume.claim().uid().map(str::to_owned);
    let phase = if claim_uid.is_some() { VolumePhase::Released } else { VolumePhase::Available };
    let ours = volume.project() == Some(world.project)
        && volume.claim().is(world.namespace.as_str(), world.claim)
        && volume.phase() == Some(phase)
        // otherwise its provisioner may be deleting it
        && volume.is_retained()
        && !volume.is_being_deleted();
    let name = VolumeName::given(volume.name()).filter(|_| ours)?;
    let mode = if volume.modes().has(AccessMode::ReadWriteMany) {
        AccessMode::ReadWriteMany
    } else {
        AccessMode::ReadWriteOnce
    };
    Some(Choice {
        class: Some(volume.class().to_owned()),
        mode,
        why: format!("the volume `{name}`, which holds the project's data and has lost its claim"),
        volume: Some(VolumeOrigin::Released {
            name,
            claim_uid,
            uid: volume.project_uid().map(str::to_owned),
            size: Quantity::parse(volume.capacity()?).ok()?,
        }),
    })
}

fn on_nfs(server: &str, path: String, in_cluster: bool, why: String) -> Choice {
    let volume = Some(VolumeOrigin::Nfs { server: server.to_owned(), path, in_cluster });
    Choice { class: Some(String::new()), mode: AccessMode::ReadWriteMany, volume, why }
}

fn of_class(class: Option<&str>, mode: AccessMode, why: String) -> Choice {
    Choice { class: class.map(str::to_owned), mode, volume: None, why }
}

fn asked_for(wanted: &str, world: &World) -> Result<Choice, Fail> {
    let classes = world.classes.unwrap_or_default();
    let known = classes.iter().find(|c| c.name == wanted);
    if known.is_none() && world.classes.is_some() {
        return Err(fail(format!("the cluster has no storage class `{wanted}`")).hint(has(classes)));
    }
    Ok(if world.one_node && !known.is_some_and(Class::is_shared) {
        let why = format!("ReadWriteOnce of class `{wanted}`, on one node");
        of_class(Some(wanted), AccessMode::ReadWriteOnce, why)
    } else {
        let why = format!("ReadWriteMany of class `{wanted}`, as asked for");
        of_class(Some(wanted), AccessMode::ReadWriteMany, why)
    })
}

fn known_to_share(world: &World) -> Result<Option<Choice>, Fail> {
    let shared: Vec<&Class> = world.classes.unwrap_or_default().iter().filter(|c| c.is_shared()).collect();
    match (shared.iter().find(|c| c.default), shared.as_slice()) {
        (Some(class), _) | (None, [class]) => {
            let why = format!(
                "ReadWriteMany of class `{}`, whose provisioner `{}` shares volumes",
                class.name, class.provisioner
            );
            Ok(Some(of_class(Some(&class.name), AccessMode::ReadWriteMany, why)))
        }
        (None, []) => Ok(None),
        (None, several) => {
            let names: Vec<_> = several.iter().map(|c| format!("`{}`", c.name)).collect();
            Err(fail(format!("several storage classes could hold the project's data: {}", names.join(", "))).hint(
                format!("choose one with `--storage-class {}` or the context's key `storage_class`", several[0].name),
            ))
        }
    }
}

fn on_one_node(world: &World) -> Option<Choice> {
    if !world.one_node {
        return None;
    }
    let Some(classes) = world.classes else {
        let why = "ReadWriteOnce of the cluster's default class, on one node".to_owned();
        return Some(of_class(None, AccessMode::ReadWriteOnce, why));
    };
    let class = classes.iter().find(|c| c.default)?;
    let why = format!("ReadWriteOnce of the default class `{}`, on one node", class.name);
    Some(of_class(Some(&class.name), AccessMode::ReadWriteOnce, why))
}

fn nothing(world: &World) -> Fail {
    let tried = if world.classes.is_none() {
        "no claim is there, and the storage classes may not be listed"
    } else if world.one_node {
        "no claim is there, and no storage class is the default"
    } else {
        "no claim is there, no storage class is known to share volumes between nodes, the context names no NFS \
         server, the cluster has several nodes, and no NFS server of its own"
    };
    fail(format!("found no storage for the project: {tried}"))
        .hint(format!(
            "name a class that supports ReadWriteMany with `--storage-class CLASS`; {}",
            has(world.classes.unwrap_or_default())
        ))
        .hint("or an existing claim with `--storage-claim NAME`")
        .hint("or an NFS server in the context, `nfs: {server: HOST, path: /FOLDER}`")
        .hint("or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`")
        .hint("or have an administrator set a server up, `kubectl mrunner storage setup --nfs-server`")
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
    use crate::k8s::manifests::RAW_PROJECT;

    fn class(name: &str, provisioner: &str, default: bool) -> Class {
        Class { name: name.into(), provisioner: provisioner.into(), default }
    }

    fn of<'a>(namespace: &'a Namespace, classes: &'a [Class]) -> World<'a> {
        World {
            project: "a_b",
            namespace,
            claim: "storage",
            wanted: None,
            nfs: None,
            classes: Some(classes),
            one_node: false,
            volumes: &[],
            server: None,
        }
    }

    fn chosen(wanted: Option<&str>, classes: &[Class], one_node: bool) -> Result<(Option<String>, AccessMode), String> {
        let namespace = Namespace::of_project("a_b");
        let choice = choose(&World { wanted, one_node, ..of(&namespace, classes) });
        choice.map(|c| (c.class, c.mode)).map_err(|e| e.message)
    }

    fn nfs_of(choice: Choice) -> (String, String, bool) {
        let Some(VolumeOrigin::Nfs { server, path, in_cluster }) = choice.volume else { panic!("{choice:?}") };
        (server, path, in_cluster)
    }

    #[test]
    fn what_is_named_comes_before_what_is_found() {
        let namespace = Namespace::of_project("a_b");
        let classes = [class("fast", "nfs.csi.k8s.io", true)];
        let world =
            World { nfs: Some(("10.0.0.1", "/x/{project}")), server: Some("10.96.0.9"), ..of(&namespace, &classes) };
        let path = format!("/x/{namespace}");
        assert_eq!(nfs_of(choose(&world).unwrap()), ("10.0.0.1".into(), path, false));
        assert_eq!(choose(&World { wanted: Some("fast"), ..world }).unwrap().class.as_deref(), Some("fast"));
        assert_eq!(choose(&World { nfs: None, ..world }).unwrap().class.as_deref(), Some("fast"));
        let none = World { nfs: None, classes: Some(&[]), ..world };
        assert_eq!(nfs_of(choose(&none).unwrap()), ("10.96.0.9".into(), format!("/{namespace}"), true));
        assert!(choose(&World { server: None, ..none }).unwrap_err().message.contains("no NFS server of its own"));
    }

    #[test]
    fn a_volume_that_lost_its_claim_is_taken_again() {
        let namespace = Namespace::of_project("a_b");
        let volume = serde_json::json!({
            "metadata": {"name": "pvc-1", "annotations": {RAW_PROJECT: "a_b"}},
            "spec": {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "40G"}, "storageClassName": "shared",
                     "persistentVolumeReclaimPolicy": "Retain",
                     "claimRef": {"namespace": namespace.as_str(), "name": "storage", "uid": "u1"}},
            "status": {"phase": "Released"}});
        let with = |volume: &Value| {
            let volumes = [volume.clone()];
            choose(&World { volumes: &volumes, ..of(&namespace, &[class("x", "nfs.csi.k8s.io", true)]) }).unwrap()
        };
        let choice = with(&volume);
        assert_eq!(choice.class.as_deref(), Some("shared"));
        let Some(VolumeOrigin::Released { name, claim_uid, .. }) = choice.volume else { panic!() };
        assert_eq!((name.as_str(), claim_uid.as_deref()), ("pvc-1", Some("u1")));
        for (path, other) in [
            ("/metadata/annotations/mrunner~1project-name", "a.b"),
            ("/spec/claimRef/namespace", "other"),
            ("/spec/claimRef/name", "other"),
            ("/spec/persistentVolumeReclaimPolicy", "Delete"),
            ("/status/phase", "Bound"),
        ] {
            let mut volume = volume.clone();
            *volume.pointer_mut(path).unwrap() = other.into();
            assert_eq!(with(&volume).volume, None, "{path}");
        }
    }

    #[test]
    fn of_several_volumes_with_the_projects_data_none_is_taken_by_chance() {
        let namespace = Namespace::of_project("vision");
        let volume = |name: &str| {
            serde_json::json!({
                "metadata": {"name": name, "annotations": {RAW_PROJECT: "a_b"}},
                "spec": {"accessModes": ["ReadWriteMany"], "capacity": {"storage": "40G"},
                         "persistentVolumeReclaimPolicy": "Retain",
                         "claimRef": {"namespace": namespace.as_str(), "name": "storage", "uid": "u1"}},
                "status": {"phase": "Released"}})
        };
        let volumes = [volume("pvc-1"), volume("pvc-2")];
        let error = choose(&World { volumes: &volumes, ..of(&namespace, &[]) }).unwrap_err();
        assert_eq!(error.message, "several volumes hold data of the project: `pvc-1`, `pvc-2`");
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
