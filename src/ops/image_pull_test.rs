//! Whether the cluster reaches the registry: a pod that pulls what is not there, and what the kubelet
//! says of it.

use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::image::Repository;
use crate::k8s::manifests::helper_pod::{CONTAINER, fitted, small, state};
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::manifests::{MANAGED_BY, pretty};
use crate::k8s::names::hex;
use crate::request::RunRequest;
use crate::runs::unstarted;
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{self, Scope};
use crate::util::error::{Refusal, fail};

/// How long the kubelet is waited for, and how often it is asked.
const LOOKS: u32 = 60;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// What the registry answered to a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Pull {
    /// It is reached, and lets the cluster in.
    Reached,
    /// It does not let the cluster in, in the kubelet's words.
    Refused(String),
    /// It could not be asked, in the kubelet's words.
    Failed(String),
}

/// Has a node ask the registry for an image that nobody has published: "not found" is the answer of a
/// registry that is reached, and lets the cluster in. The pod is removed in any case.
pub fn pull(cluster: Cluster, request: &RunRequest, repository: &Repository) -> Result<Pull> {
    let mut random = [0; 5];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("failed to get random bytes: {e}"))?;
    let name = format!("mrunner-doctor-{}", hex(&random));
    let image = repository.tagged(&name);
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": name, "labels": { MANAGED_BY: "mrunner" } },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            // should nobody be there any more to remove it
            "activeDeadlineSeconds": 2 * LOOKS,
            "securityContext": { "runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{
                "name": CONTAINER,
                "image": image,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "resources": small(),
            }],
        },
    });
    request.pod.add_to(&mut pod["metadata"]);
    // one that is not there is passed over by the kubelet
    let given = request.image_pull_secret.clone();
    if let Some(secret) = given.or_else(|| request.registry_login.as_ref().map(RegistryLogin::secret_name)) {
        pod["spec"]["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    create(cluster, request, pod)?;
    let said = wait(cluster, request, &name);
    let delete = cluster.kubectl.delete_pod(&request.namespace, &name);
    // also after an interrupt, which would end this command with the others
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

/// Creates the pod, with the resources that a `LimitRange` demands if it refuses the usual ones.
fn create(cluster: Cluster, request: &RunRequest, mut pod: Value) -> Result<()> {
    let namespace = &request.namespace;
    let ask = |pod: &Value| {
        let cmd = cluster.kubectl.create(namespace, "pod.json", &pretty(pod), "make a pod that asks the registry");
        cluster.shell.run(&cmd).map(|reply| (reply, cmd))
    };
    let (mut reply, mut cmd) = ask(&pod)?;
    if kubectl::refusal(&reply.stderr) == Some(Refusal::LimitRange)
        && let Some(fitted) = fitted(&small(), &reply.stderr)
    {
        pod["spec"]["containers"][0]["resources"] = fitted;
        (reply, cmd) = ask(&pod)?;
    }
    if reply.succeeded() { Ok(()) } else { Err(unstarted::failure(cluster.kubectl, namespace, &reply, &cmd).into()) }
}

/// What the kubelet says of the pull.
fn wait(cluster: Cluster, request: &RunRequest, name: &str) -> Result<String> {
    let pod = format!("pod/{name}");
    let cmd = cluster.kubectl.get(Scope::In(&request.namespace), &[&pod], None, "see what the node says");
    for _ in 0..LOOKS {
        cluster.shell.sleep(POLL_INTERVAL)?;
        let reply = cluster.shell.read(&cmd)?;
        let object = kubectl::objects(&reply, &cmd)?.pop().unwrap_or(Value::Null);
        let waiting = &state(&object)["waiting"];
        if matches!(waiting["reason"].as_str(), Some("ErrImagePull" | "ImagePullBackOff"))
            && let Some(message) = waiting["message"].as_str()
        {
            return Ok(message.to_owned());
        }
    }
    Err(fail(format!("no node has tried to pull within {LOOKS} s"))
        .hint(format!("see why pods wait with `{} get events`", cluster.kubectl.cmd(Scope::In(&request.namespace), "")))
        .into())
}
