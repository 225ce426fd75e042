//! mrunner's own file: the remote contexts.

use std::path::Path;
use std::rc::Rc;

use serde_json::{Map, Value};

use super::fault::{Fault, Faults, Spot, Wrong, must_be, wrong};
use super::registry::Registry;
use super::resources::Resources;
use super::section::{LocatedNode, Section};
use super::yaml::{Data, Node};
use super::{check, resources, tolerations, yaml};
use crate::k8s::names::{ClaimName, Namespace, nearest};
use crate::k8s::quantity::Quantity;

/// Size of a new project's storage where nobody says another.
pub const DEFAULT_PVC_SIZE: &str = "40G";

/// Every key of a remote context, older spellings included.
pub const KEYS: &[&str] = &[
    "name",
    "context_name",
    "type",
    "backend_type",
    "storage",
    "storage_dir",
    "registry_url",
    "resources",
    "neptune",
    "google_project_id",
    "default_pvc_size",
    "keep_logs",
    "keep_logs_max",
    "kube_context",
    "namespace",
    "storage_class",
    "storage_claim",
    "nfs",
    "probe_storage",
    "nfs_image",
    "base_image",
    "env",
    "run_as",
    "node_selector",
    "tolerations",
    "queue",
    "service_account",
    "image_pull_secret",
    "registry_username",
    "registry_password_env",
    "project",
    "pod_labels",
    "pod_annotations",
    "shm",
    "paths_to_copy",
    "exclude",
    "tags",
];

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ContextsFile {
    /// The context that is used when none is named; it is one of `contexts`.
    pub current_context: Option<String>,
    /// In the order of the file.
    pub contexts: Vec<RemoteContext>,
}

impl ContextsFile {
    /// The context called `name`.
    pub fn get(&self, name: &str) -> Option<&RemoteContext> {
        self.contexts.iter().find(|context| context.name == name)
    }
}

/// A cluster with its storage, its registry and its limits. One field per key of the file.
#[derive(Debug, Clone, PartialEq)]
pub struct RemoteContext {
    /// The key that the context stands under.
    pub name: String,
    /// `storage`: where the project's volume is mounted, an absolute path; `$STORAGE_DIR`.
    pub storage: String,
    /// `registry_url`: where images are published; the cluster must reach it as well. Only a cluster
    /// on this machine can do without.
    pub registry_url: Option<Registry>,
    /// `resources`: limits of every experiment.
    pub resources: Resources,
    /// `neptune`: start the script by `neptune run` and not by Python alone.
    pub neptune: bool,
    /// `google_project_id`: stands behind the registry's host in the image's name.
    pub google_project_id: Option<String>,
    /// `default_pvc_size`: size of the storage that a new project gets, and that of others grows to;
    /// [`DEFAULT_PVC_SIZE`] for a new one if the file says nothing.
    pub default_pvc_size: Option<Quantity>,
    /// `keep_logs`: whether what experiments print is kept on the volume; where absent, it is.
    pub keep_logs: Option<bool>,
    /// `keep_logs_max`: how much of the log of one attempt is kept; 1Gi.
    pub keep_logs_max: Option<Quantity>,
    /// `kube_context`: the context of the kubeconfig that leads to the cluster.
    pub kube_context: Option<String>,
    /// `namespace`: one for all projects, instead of one per project.
    pub namespace: Option<Namespace>,
    /// `storage_class`: the class of a new project's storage.
    pub storage_class: Option<String>,
    /// `storage_claim`: a claim that is there and serves as storage.
    pub storage_claim: Option<ClaimName>,
    /// `nfs`: a server outside the cluster that holds the storage.
    pub nfs: Option<Nfs>,
    /// `nfs_image`: a ready image of the NFS server in the cluster, instead of one that is built.
    pub nfs_image: Option<String>,
    /// `probe_storage`: whether nodes try a new volume before the first run; they do if the file says nothing.
    pub probe_storage: Option<bool>,
    /// `base_image`: what images are built on.
    pub base_image: Option<String>,
    /// `env`: variables of every experiment, values as they were written.
    pub env: Vec<(String, String)>,
    /// `run_as`: the user and group that own what experiments write.
    pub run_as: Option<RunAs>,
    /// `node_selector`: labels of the nodes that may run experiments.
    pub node_selector: Vec<(String, String)>,
    /// `tolerations`: as they stand in a pod.
    pub tolerations: Vec<serde_json::Value>,
    /// `queue`: the queue of Kueue that admits the runs.
    pub queue: Option<String>,
    /// `service_account`: the account that pods run as; its token is not mounted.
    pub service_account: Option<String>,
    /// `image_pull_secret`: a secret in the cluster that lets it pull the image.
    pub image_pull_secret: Option<String>,
    /// `registry_username`: the user that logs in to the registry.
    pub registry_username: Option<String>,
    /// `registry_password_env`: the name of the variable that holds that user's password.
    pub registry_password_env: Option<String>,
    /// `project`: the project of experiments that name none.
    pub project: Option<String>,
    /// `pod_labels`: labels of every pod.
    pub pod_labels: Vec<(String, String)>,
    /// `pod_annotations`: annotations of every pod.
    pub pod_annotations: Vec<(String, String)>,
    /// `shm`: size of an experiment's `/dev/shm`; `0` for none of its own.
    pub shm: Option<Quantity>,
    /// `paths_to_copy`: what goes into the image beside the script.
    pub paths_to_copy: Vec<String>,
    /// `exclude`: what stays out of the image.
    pub exclude: Vec<String>,
    /// `tags`: tags of every run.
    pub tags: Vec<String>,
}

/// A directory that an NFS server exports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nfs {
    /// The server's name or address, as the nodes see it.
    pub server: String,
    /// The exported directory.
    pub path: String,
}

/// Whom a container runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// The user's number; 0 is root.
    pub user: u32,
    /// The group's number; the user's own if none is given.
    pub group: u32,
}

/// Reads the text of `file`, which is named in faults only.
///
/// # Errors
/// All faults of the file, in its order.
pub fn parse(text: &str, file: &Path) -> Result<ContextsFile, Vec<Fault>> {
    let (root, mut faults) = yaml::parse(text, file)?;
    let Some(root) = root else { return faults.finish(Some(ContextsFile::default())) };
    let spot = Spot { line: root.line, key: String::new() };
    let contexts = Section::read(&root, spot, &mut faults, read_file);
    faults.finish(contexts)
}

/// The keys of a context with their values as the file has them.
pub fn written(text: &str, name: &str) -> Map<String, Value> {
    let entry = |node: &Node, key: &str| match &node.data {
        Data::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| Rc::clone(&entry.value)),
        _ => None,
    };
    let root = yaml::parse(text, Path::new("")).ok().and_then(|(root, _)| root);
    let context = root.and_then(|root| entry(&root, "contexts")).and_then(|contexts| entry(&contexts, name));
    match context.map(|context| value(&context)) {
        Some(Value::Object(keys)) => keys,
        _ => Map::new(),
    }
}

fn value(node: &Node) -> Value {
    match &node.data {
        _ if node.is_null() => Value::Null,
        // what may only be a truth value or a number is one; all else is as it was written
        Data::Scalar { text, plain } => match text.as_str() {
            "true" | "false" if *plain => (text == "true").into(),
            _ => text
                .parse::<u32>()
                .ok()
                .filter(|n| *plain && n.to_string() == *text)
                .map_or(text.as_str().into(), Into::into),
        },
        Data::List(items) => items.iter().map(|item| value(item)).collect(),
        Data::Map(entries) => entries.iter().map(|entry| (entry.key.clone(), value(&entry.value))).collect(),
    }
}

fn read_file(section: &mut Section) -> ContextsFile {
    let found = section.find("contexts").map(|found| found.entries(section.faults)).unwrap_or_default();
    let contexts = found.iter().filter_map(|(name, found)| read_context(name, found, section.faults)).collect();
    let names = || found.iter().map(|(name, _)| *name);
    let current_context = section.checked("current_context", |current| {
        if names().any(|name| name == current) {
            return Ok(current.to_owned());
        }
        let what = must_be("the name of one of the contexts", current);
        Err(match nearest(current, names()) {
            Some(near) => what.hint(format!("did you mean `{near}`?")),
            None => what,
        })
    });
    ContextsFile { current_context, contexts }
}

fn read_context(name: &str, found: &LocatedNode, faults: &mut Faults) -> Option<RemoteContext> {
    if let Err(what) = check::one_line(name) {
        faults.add(&found.spot, Wrong { message: format!("is no name of a context: it {}", what.message), ..what });
    }
    Section::read(found.node, found.spot.clone(), faults, |section| {
        check_head(name, section);
        let storage = section.checked("storage", check::mount_path);
        let default_pvc_size = section.checked("default_pvc_size", check::bytes);
        Some(RemoteContext {
            name: name.to_owned(),
            registry_url: section.checked("registry_url", Registry::parse),
            resources: section.section("resources", Resources::read).unwrap_or_default(),
            neptune: section.flag("neptune").unwrap_or(false),
            google_project_id: section.checked("google_project_id", check::google_project),
            keep_logs: section.flag("keep_logs"),
            keep_logs_max: section.checked("keep_logs_max", check::keep_logs_max),
            kube_context: section.text("kube_context"),
            namespace: section.checked("namespace", namespace),
            storage_class: section.checked("storage_class", check::object_name),
            storage_claim: section.checked("storage_claim", claim),
            nfs: section.section("nfs", read_nfs).flatten(),
            probe_storage: section.flag("probe_storage"),
            nfs_image: section.checked("nfs_image", check::image),
            base_image: section.checked("base_image", check::image),
            env: section.pairs("env", check::env_name, check::no_nul),
            run_as: read_run_as(section),
            node_selector: section.pairs("node_selector", check::label_key, check::label_value),
            tolerations: section
                .items("tolerations")
                .into_iter()
                .filter_map(|item| tolerations::read(item, section.faults))
                .collect(),
            queue: section.checked("queue", check::object_name),
            service_account: section.checked("service_account", check::object_name),
            image_pull_secret: section.checked("image_pull_secret", check::object_name),
            registry_username: section.text("registry_username"),
            registry_password_env: section.checked("registry_password_env", check::secret_env_name),
            project: section.text("project"),
            pod_labels: section.pairs("pod_labels", check::pod_label, check::label_value),
            pod_annotations: section.pairs("pod_annotations", check::pod_annotation, check::no_nul),
            shm: section.checked("shm", check::shm),
            paths_to_copy: section.texts("paths_to_copy", |path| Ok(path.to_owned())),
            exclude: section.texts("exclude", |pattern| Ok(pattern.to_owned())),
            tags: section.texts("tags", |tag| Ok(tag.to_owned())),
            // last, so that a missing one of them does not hide the faults of the others
            storage: storage?,
            default_pvc_size,
        })
    })
    .flatten()
}

/// The keys that say what a context is.
fn check_head(name: &str, section: &mut Section) {
    section.foreign(resources::KEYS, resources::INSIDE);
    section.older_spellings(&[("context_name", "name"), ("backend_type", "type"), ("storage_dir", "storage")]);
    section.checked("name", |given| {
        let same =
            || wrong(format!("must be the name that the context stands under, not `{}`", super::fault::shown(given)));
        if given == name { Ok(()) } else { Err(same()) }
    });
    section.require("type", Some("write `type: kubernetes`"));
    section.checked("type", |given| if given == "kubernetes" { Ok(()) } else { Err(must_be("`kubernetes`", given)) });
    section.require("storage", Some("write `storage: /storage`"));
}

fn namespace(text: &str) -> Result<Namespace, Wrong> {
    let hint = "use at most 63 lower-case letters, digits and `-`";
    Namespace::given(text).ok_or_else(|| must_be("the name of a namespace", text).hint(hint))
}

fn claim(text: &str) -> Result<ClaimName, Wrong> {
    ClaimName::given(text).ok_or_else(|| must_be("the name of a PersistentVolumeClaim", text))
}

fn read_nfs(section: &mut Section) -> Option<Nfs> {
    section.require("server", None);
    section.require("path", None);
    let server = section.checked("server", check::host);
    let path = section.checked("path", check::absolute_path);
    Some(Nfs { server: server?, path: path? })
}

/// `1000`, `"1000:1000"` or `{user: 1000, group: 1000}`.
fn read_run_as(section: &mut Section) -> Option<RunAs> {
    let found = section.find("run_as")?;
    if matches!(found.node.data, Data::Map(_)) {
        return Section::read(found.node, found.spot, section.faults, |section| {
            section.require("user", None);
            let user = section.checked("user", id);
            let group = section.checked("group", id);
            user.map(|user| RunAs { user, group: group.unwrap_or(user) })
        })
        .flatten();
    }
    found.text(section.faults, |text| {
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        let wrong = |_| must_be("numbers of a user and a group", text).hint("write `1000` or `1000:1000`");
        Ok(RunAs { user: id(user).map_err(wrong)?, group: id(group).map_err(wrong)? })
    })
}

/// Kubernetes takes ids of 31 bits.
fn id(text: &str) -> Result<u32, Wrong> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let id = text.parse::<u32>().ok().filter(|id| digits && i32::try_from(*id).is_ok());
    id.ok_or_else(|| must_be("a number of a user or group", text))
}

#[cfg(test)]
mod tests;
