//! Checks whether the NFS server can run, and waits until it is ready.

use super::{Admin, NOT_LONG, POLL_INTERVAL, SOON, ServerObjects};
use crate::k8s::claim::{Claim, ClaimPhase};
use crate::k8s::manifests::helper_pod::fitted;
use crate::k8s::manifests::nfs_server::{self as server, NAME, Server};
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::pretty;
use crate::k8s::names::Namespace;
use crate::k8s::namespace::{NamespaceObject, POD_SECURITY};
use crate::k8s::pod::{Pod, PodPhase};
use crate::k8s::service::Deployment;
use crate::runs::diagnosis::{self, Why};
use crate::runs::faults::Hope;
use crate::runs::{events, unstarted};
use crate::storage::choose::Class;
use crate::tools::kubectl::{self, REQUEST_TIMEOUT, Scope};
use crate::util::error::{Fail, Refusal, fail};
use anyhow::Result;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Admin<'_> {
    /// An error if Pod Security would refuse the server in this namespace.
    pub(super) fn allows(&self, namespace: NamespaceObject) -> Result<(), Fail> {
        let own = Namespace::nfs_server();
        if namespace.is_being_deleted() {
            return Err(fail(format!("the namespace `{own}` is being deleted"))
                .hint(format!("see what holds it with `{}`", self.typed(&["get", "all,pvc"]))));
        }
        match namespace.pod_security() {
            Some(level @ ("baseline" | "restricted")) => Err(fail(format!(
                "the namespace `{own}` enforces Pod Security `{level}`, which forbids an NFS server: it opens files by \
                 their handles (CAP_DAC_READ_SEARCH)"
            ))
            .hint(format!(
                "an administrator may allow it: `{}`",
                self.typed(&["label", "namespace", own.as_str(), &format!("{POD_SECURITY}=privileged"), "--overwrite"])
            ))
            .hint("or name a class that gives ReadWriteMany volumes, or a server outside the cluster, in the context")),
            _ => Ok(()),
        }
    }

    /// An error if the server's claim would get no volume.
    pub(super) fn has_class(&self, wanted: Option<&str>) -> Result<()> {
        let cmd = self.target.kubectl.get(Scope::Everywhere, &["storageclasses"], None, "read the storage classes");
        // without permission to list classes, the claim itself shows the problem later
        let Ok(objects) = self.ask(&cmd) else { return Ok(()) };
        let classes: Vec<Class> = objects.iter().filter_map(Class::from_object).collect();
        let names: Vec<String> = classes.iter().map(|class| format!("`{}`", class.name)).collect();
        let told = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let error = match wanted {
            Some(name) if classes.iter().any(|class| class.name == name) => return Ok(()),
            Some(name) => fail(format!("the cluster has no storage class `{name}`; {told}")),
            None if classes.iter().any(|class| class.default) => return Ok(()),
            None => fail(format!("the cluster has no default storage class for the server's own volume; {told}")),
        };
        Err(error.hint("name one with `--storage-class NAME`").into())
    }

    /// Lets the API server check the server's pod, because a Deployment does not report refusals. Returns the
    /// resources that are allowed.
    pub(super) fn try_pod(&self, image: &str, pod: &PodMetadata) -> Result<Value> {
        let own = Namespace::nfs_server();
        let ask = |resources: &Value| {
            let trial = server::trial(&Server { image, pull_secret: None, pod, resources });
            let why = "have the cluster check the server's pod";
            let cmd = self.target.kubectl.create(&own, "pod.json", &pretty(&trial), why).arg("--dry-run=server");
            self.app.shell.read(&cmd).map(|reply| (reply, cmd))
        };
        let mut resources = server::usual();
        let (mut reply, mut cmd) = ask(&resources)?;
        if kubectl::refusal(&reply.stderr) == Some(Refusal::LimitRange)
            && let Some(fitted) = fitted(&resources, &reply.stderr)
        {
            (reply, cmd) = ask(&fitted)?;
            resources = fitted;
        }
        // a user without permission to create pods may still create a Deployment
        let refusal = kubectl::refusal(&reply.stderr);
        if reply.succeeded() || refusal == Some(Refusal::Forbidden) {
            return Ok(resources);
        }
        let error = unstarted::failure(&self.target.kubectl, &own, &reply, &cmd);
        let forbidden = matches!(
            refusal,
            Some(
                Refusal::Denied
                    | Refusal::PodSecurity
                    | Refusal::LimitRange
                    | Refusal::QuotaExceeded
                    | Refusal::QuotaUnnamed
            )
        );
        Err(if forbidden { fail("the cluster forbids an NFS server in it").because(&error.into()) } else { error }
            .into())
    }

    /// Waits until the server exports its folder.
    pub(super) fn wait(&self) -> Result<ServerObjects> {
        let begun = Instant::now();
        let mut told = None;
        loop {
            let mut standing = self.standing()?;
            if standing.deployment.as_ref().is_some_and(|deployment| Deployment::of(deployment).is_ready()) {
                return Ok(standing);
            }
            let own = Namespace::nfs_server();
            let selector = format!("app.kubernetes.io/name={NAME}");
            let pods = self.target.kubectl.get(Scope::In(&own), &["pods"], Some(&selector), "look at the server's pod");
            standing.pods = self.ask(&pods)?;
            let why = self.why(&standing);
            let words = why.as_ref().map(|why| why.words.clone());
            if words.is_some() && words != told {
                self.app.ui.tell("server", format!("it waits: {}", words.as_deref().unwrap_or_default()));
                told = words;
            }
            let limit = match why.as_ref().map(|why| why.hope) {
                Some(Hope::None) => Duration::ZERO,
                Some(Hope::Little) => NOT_LONG,
                _ => SOON,
            };
            if begun.elapsed() > self.app.shell.scaled(limit) {
                return Err(self.not_ready(why).into());
            }
            self.app.shell.sleep(POLL_INTERVAL)?;
        }
    }

    pub(super) fn why(&self, standing: &ServerObjects) -> Option<Why> {
        let of_pod = standing.pods.last().and_then(|pod| {
            let (name, starting) = (Pod::of(pod).name(), Pod::of(pod).phase() == Some(PodPhase::Pending));
            diagnosis::waits(Pod::of(pod))
                .filter(|why| why.hope != Hope::Some)
                .or_else(|| starting.then(|| self.events("Pod", name))?)
        });
        let claimed = standing.claim.as_ref().and_then(|claim| Claim::of(claim).phase()) == Some(ClaimPhase::Bound);
        of_pod
            .or_else(|| self.not_created(standing))
            .or_else(|| (!claimed).then(|| self.events("PersistentVolumeClaim", NAME))?)
            .or_else(|| standing.pods.last().map(Pod::of).and_then(diagnosis::waits))
    }

    /// Why there is no pod: its `ReplicaSet` has the events, and the Deployment repeats the last one.
    pub(super) fn not_created(&self, standing: &ServerObjects) -> Option<Why> {
        let deployment = standing.deployment.as_ref().filter(|_| standing.pods.is_empty())?;
        let failed = Deployment::of(deployment).condition("ReplicaFailure").filter(|failed| failed.is_true())?;
        let event = json!({ "type": "Warning", "reason": failed.reason(), "message": failed.message() });
        unstarted::why(&[event], &self.target.kubectl, &Namespace::nfs_server())
    }

    pub(super) fn events(&self, kind: &str, name: &str) -> Option<Why> {
        let own = Namespace::nfs_server();
        let events = self.target.kubectl.events(&own, kind, name);
        events::problem_in(&self.ask(&events).ok()?)
    }

    pub(super) fn not_ready(&self, why: Option<Why>) -> Fail {
        let own = Namespace::nfs_server();
        let logs = self
            .target
            .kubectl
            .cmd(Scope::In(&own), "read the server's log")
            .args(["logs", &format!("deployment/{NAME}"), "--tail=200"])
            .deadline(REQUEST_TIMEOUT);
        let log = self.app.shell.read(&logs).map(|reply| String::from_utf8_lossy(&reply.stdout).into_owned());
        let log = log.unwrap_or_default();
        let words = why.as_ref().map_or("it does not give its export".to_owned(), |why| why.words.clone());
        let error = fail(format!("the NFS server does not become ready: {words}"));
        let error = match why.and_then(|why| why.hint) {
            Some(hint) => error.hint(hint),
            None if log.contains("Could not get handle for path") => error.hint(
                "the file system of its volume, or the cluster's seccomp profile, gives no file handles; try another `--storage-class`",
            ),
            None => error,
        };
        let critical: Vec<&str> =
            log.lines().filter(|line| line.contains(":EXPORT :CRIT") || line.contains(":FSAL :CRIT")).collect();
        error.details(&critical.join("\n")).hint(format!("see `{}`", self.typed(&["logs", "deployment/nfs-server"])))
    }
}
