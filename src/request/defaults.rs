//! What holds where a flag says nothing: the experiment file, the remote context, the default.

use crate::config::contexts::DEFAULT_PVC_SIZE;
use crate::config::{RemoteContext, Resources};
use crate::k8s::accelerators::Want;
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::names::{ClaimName, label_value};
use crate::k8s::quantity::Quantity;
use crate::request::{ImageRequest, RunFlags, StorageRequest};
use crate::util::error::{Fail, usage};

/// Where the storage is mounted if nobody says otherwise.
const STORAGE: &str = "/storage";

/// The login that the context describes, if it is for the registry that is published in.
pub(super) fn registry_login(
    remote: Option<&RemoteContext>,
    image: &ImageRequest,
) -> Result<Option<RegistryLogin>, Fail> {
    let host = match image {
        ImageRequest::Built(build) if build.load.is_none() => build.repository.host(),
        _ => return Ok(None),
    };
    let Some(remote) = remote.filter(|r| r.registry_url.as_ref().is_some_and(|registry| registry.host == host)) else {
        return Ok(None);
    };
    match (&remote.registry_username, &remote.registry_password_env) {
        (Some(user), Some(variable)) => {
            Ok(Some(RegistryLogin { host: host.to_owned(), user: user.clone(), variable: variable.clone() }))
        }
        (None, None) => Ok(None),
        (Some(_), None) => Err(usage(format!("the context `{}` has `registry_username` and no password", remote.name))
            .hint("name the variable that holds it: `registry_password_env: REGISTRY_PASSWORD`")),
        (None, Some(_)) => Err(usage(format!("the context `{}` has `registry_password_env` and no user", remote.name))
            .hint("name the user: `registry_username: NAME`")),
    }
}

pub(super) fn limits(flags: &Resources, file: &Resources, context: Option<&Resources>) -> Vec<(String, Quantity)> {
    let empty = Resources::default();
    let context = context.unwrap_or(&empty);
    let mut limits = Vec::new();
    let mut add = |name: &str, amount: Option<&Quantity>| limits.extend(amount.map(|q| (name.to_owned(), q.clone())));
    add("cpu", flags.cpu.as_ref().or(file.cpu.as_ref()).or(context.cpu.as_ref()));
    add("memory", flags.mem.as_ref().or(file.mem.as_ref()).or(context.mem.as_ref()));
    limits
}

/// The size of `/dev/shm`, what is in which counts as memory of the container.
pub(super) fn shm(limits: &[(String, Quantity)], wanted: Option<Quantity>) -> Result<Option<Quantity>, Fail> {
    let memory = limits.iter().find(|(name, _)| name == "memory").map(|(_, amount)| amount);
    if let (Some(size), Some(memory)) = (&wanted, memory)
        && size.amount() > memory.amount()
    {
        let (size, memory) = (size.as_str(), memory.as_str());
        return Err(usage(format!(
            "a `/dev/shm` of {size} does not fit into the memory limit of {memory}, which counts it"
        ))
        .hint(format!("raise the limit with `--mem {size}` or more, or ask for less with `--shm {memory}`")));
    }
    Ok(wanted)
}

pub(super) fn accelerators(flags: &Resources, file: &Resources, context: Option<&Resources>) -> Vec<Want> {
    let empty = Resources::default();
    let context = context.unwrap_or(&empty);
    let gpu = flags.gpu.as_ref().or(file.gpu.as_ref()).or(context.gpu.as_ref());
    let tpu = flags.tpu.as_ref().or(file.tpu.as_ref()).or(context.tpu.as_ref());
    let gpu = gpu.and_then(|text| Want::parse(false, text));
    gpu.into_iter().chain(tpu.and_then(|text| Want::parse(true, text))).collect()
}

pub(super) fn storage(
    flags: &RunFlags,
    remote: Option<&RemoteContext>,
    project: &str,
    own_namespace: bool,
    node_selector: &[(String, String)],
) -> Result<StorageRequest, Fail> {
    let flag = flags.storage_claim.as_ref().map(|name| {
        ClaimName::given(name).ok_or_else(|| {
            usage(format!("`{name}` can't be the name of a claim")).hint("list the claims with `kubectl get pvc -A`")
        })
    });
    let named = flag.transpose()?.or_else(|| remote.and_then(|r| r.storage_claim.clone()));
    let given = named.is_some();
    let claim = match named {
        Some(name) => name,
        None if own_namespace => ClaimName::storage(),
        None => ClaimName::of_project(project),
    };
    Ok(StorageRequest {
        mount: remote.map_or(STORAGE.to_owned(), |r| r.storage.clone()),
        claim,
        given,
        class: flags.storage_class.clone().or_else(|| remote.and_then(|r| r.storage_class.clone())),
        nfs: remote.and_then(|r| r.nfs.clone()),
        size: match remote.and_then(|r| r.default_pvc_size.clone()) {
            Some(size) => size,
            None => Quantity::parse(DEFAULT_PVC_SIZE)?,
        },
        size_is_given: remote.is_some_and(|r| r.default_pvc_size.is_some()),
        probe: remote.and_then(|r| r.probe_storage).unwrap_or(true),
        pinned: node_selector.iter().any(|(label, _)| label == "kubernetes.io/hostname"),
    })
}

/// A queue's name goes into a label.
pub(super) fn queue(name: String) -> Result<String, Fail> {
    if label_value(&name) == name {
        return Ok(name);
    }
    Err(usage(format!("`{name}` can't be the name of a queue"))
        .hint("list the queues with `kubectl get localqueues -A`"))
}
