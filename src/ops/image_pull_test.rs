//! Tests whether the cluster reaches the registry: a pod pulls an image that does not exist, and the kubelet's
//! message is read.

use std::time::Duration;

use anyhow::Result;
use data_encoding::HEXLOWER;
use serde_json::Value;

use crate::image::Repository;
use crate::k8s::manifests::helper_pod::{fitted, small, state};
use crate::k8s::manifests::pretty;
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::manifests::pull_test::{self, PullTest};
use crate::k8s::object::Resource;
use crate::request::RunRequest;
use crate::runs::unstarted;
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{self, Scope};
use crate::util::error::{Refusal, fail};

/// How long to wait for the kubelet, and how often it is asked.
const LOOKS: u32 = 60;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The registry's answer to a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull {
    /// The registry answers and accepts the cluster's login.
    Reached,
    /// The registry refuses the cluster, in the kubelet's words.
    Refused(String),
    /// The registry could not be reached, in the kubelet's words.
    Failed(String),
}

/// Lets a node pull an image that does not exist: a reachable registry that accepts the login answers "not found".
/// The pod is always deleted.
pub fn pull(cluster: Cluster, request: &RunRequest, repository: &Repository) -> Result<Pull> {
    let mut random = [0; 5];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("failed to get random bytes: {e}"))?;
    let name = format!("mrunner-doctor-{}", HEXLOWER.encode(&random));
    let image = repository.tagged(&name);
    let login = || request.registry_login.as_ref().map(RegistryLogin::secret_name);
    let secret = request.image_pull_secret.clone().or_else(login);
    let pod = pull_test::manifest(&PullTest {
        name: &name,
        image: &image,
        pod: &request.pod,
        image_pull_secret: secret.as_deref(),
        deadline_seconds: 2 * LOOKS,
    });
    create(cluster, request, pod)?;
    let said = wait(cluster, request, &name);
    let delete = cluster.kubectl.delete_pod(&request.namespace, &name);
    // also after an interrupt, which would stop this command too
    let gone = cluster.shell.ignoring_interrupts().run(&delete);
    let words = said?;
    if !gone.is_ok_and(|reply| reply.succeeded()) {
        cluster.ui.warn(format!("the pod `{name}` could not be removed: `{delete}`"));
    }
    let has = |any: &[&str]| any.iter().any(|one| words.contains(one));
    Ok(if has(&["not found", "manifest unknown", "NotFound", "name unknown"]) {
        Pull::Reached
    } else if has(&["unauthorized", "401", "403", "denied", "no basic auth", "authorization failed"]) {
        Pull::Refused(words)
    } else {
        Pull::Failed(words)
    })
}

/// Creates the pod, with resources that the `LimitRange` allows if it refuses the usual ones.
fn create(cluster: Cluster, request: &RunRequest, pod: Value) -> Result<()> {
    let namespace = &request.namespace;
    let ask = |pod: &Value| {
        let cmd = cluster.kubectl.create(namespace, "pod.json", &pretty(pod), "make a pod that asks the registry");
        cluster.shell.run(&cmd).map(|reply| (reply, cmd))
    };
    let (mut reply, mut cmd) = ask(&pod)?;
    if kubectl::refusal(&reply.stderr) == Some(Refusal::LimitRange)
        && let Some(fitted) = fitted(&small(), &reply.stderr)
    {
        (reply, cmd) = ask(&pull_test::fitted(pod, fitted))?;
    }
    if reply.succeeded() { Ok(()) } else { Err(unstarted::failure(cluster.kubectl, namespace, &reply, &cmd).into()) }
}

/// The kubelet's message about the pull.
fn wait(cluster: Cluster, request: &RunRequest, name: &str) -> Result<String> {
    let pod = [Resource::Pod.named(name)];
    let cmd = cluster.kubectl.get_named(Scope::In(&request.namespace), &pod, "see what the node says");
    for _ in 0..LOOKS {
        cluster.shell.sleep(POLL_INTERVAL)?;
        let reply = cluster.shell.read(&cmd)?;
        let object = kubectl::objects(&reply, &cmd)?.pop().unwrap_or(Value::Null);
        if let Some(waiting) = state(&object).waiting()
            && matches!(waiting.reason(), Some("ErrImagePull" | "ImagePullBackOff"))
            && !waiting.message().is_empty()
        {
            return Ok(waiting.message().to_owned());
        }
    }
    Err(fail(format!("no node has tried to pull within {LOOKS} s"))
        .hint(format!("see why pods wait with `{} get events`", cluster.kubectl.cmd(Scope::In(&request.namespace), "")))
        .into())
}
