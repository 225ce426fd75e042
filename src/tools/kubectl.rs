//! kubectl: every call names its cluster and namespace, asks for JSON, and sends documents on stdin.

mod paths;
mod refusal;
mod words;

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::k8s::list;
use crate::k8s::names::Namespace;
use crate::k8s::object::{ObjectRef, Resource};
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::reply::Reply;
use crate::util::error::{Cause, Fail};

pub use paths::{encoded, selecting};
pub use refusal::{
    NotYet, Outcome, all_already_exist, all_forbidden, in_one_line, may_not_patch, may_not_see, no_dry_run, outcome,
    outcome_of_event, refusal,
};
use words::{CONNECTION_LOST, hint, once};
pub use words::{has_no_log, has_no_such_kind, is_node_silent};

/// How long a question to the API server may take. kubectl itself would wait for ever on a server
/// that accepts a connection and stays silent.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a change may take. Each webhook is given up to 30 s to admit it, and after 60 s the API server says that it
/// was not (kube-apiserver, `--request-timeout`): an answer that is worth waiting for, as otherwise it is unclear.
const ADMISSION: Duration = Duration::from_secs(65);

/// The minor version of the oldest Kubernetes 1 that runs a Job as it is sent: the first that has
/// `backoffLimitPerIndex` (KEP-3850), without which the first points that fail end a whole sweep, and
/// `podReplacementPolicy` (KEP-3939) switched on.
pub const OLDEST_MINOR: i64 = 29;

/// A kubectl and the flags that say which cluster it talks to, forwarded as the user gave them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kubectl {
    /// The program: a name or a path.
    pub program: OsString,
    /// Such as `--context lab --request-timeout 5s`.
    pub flags: Vec<String>,
}

/// Where to look.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scope<'a> {
    /// One namespace.
    In(&'a Namespace),
    /// All namespaces, or objects that have none.
    Everywhere,
}

/// How a change is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patch {
    /// What is to be different (RFC 7386).
    Merge,
    /// Operations, of which one can be a test (RFC 6902).
    Json,
}

impl Kubectl {
    /// The same without a flag and its value.
    #[must_use]
    pub fn without(&self, flag: &str) -> Self {
        let mut flags = self.flags.clone();
        if let Some(at) = flags.iter().position(|known| known == flag) {
            flags.drain(at..(at + 2).min(self.flags.len()));
        }
        Self { program: self.program.clone(), flags }
    }

    /// The same with a log that has no body of a request in it, as it has from level 8 on
    /// (<https://kubernetes.io/docs/reference/kubectl/quick-reference/#kubectl-output-verbosity-and-debugging>).
    #[must_use]
    pub fn hiding_bodies(&self) -> Self {
        let mut quiet = self.without("--vmodule");
        quiet.flags.retain(|flag| !flag.starts_with("--vmodule="));
        if let Some(at) = quiet.flags.iter().position(|flag| flag == "--v")
            && let Some(level) = quiet.flags.get_mut(at + 1)
            && level.parse().is_ok_and(|level: u8| level > 6)
        {
            "6".clone_into(level);
        }
        quiet
    }

    /// The error of a command that failed, with what to type where its words say what is wrong.
    pub fn failure(&self, reply: &Reply, cmd: &Cmd) -> Fail {
        let mut error = reply.failure(cmd);
        error.details = once(error.details);
        error.hints.extend(hint(self, &reply.stderr, has_pods(cmd), namespace_of(cmd)));
        match outcome(&reply.stderr) {
            Outcome::Refused(refusal) => {
                error.message.extend(refusal.words().map(|words| format!(": {words}")));
                error.known = Some(Cause::Refused(refusal));
            }
            Outcome::NotYet(why) => {
                error.message += &format!(": {}", why.words());
                error.known = Some(Cause::NotYet);
            }
            Outcome::Unclear => {}
        }
        error
    }

    /// A bare command for this cluster.
    pub fn cmd(&self, scope: Scope, why: impl Into<String>) -> Cmd {
        let cmd = Cmd::new(self.program.clone(), why).args(self.flags.iter());
        match scope {
            Scope::In(namespace) => cmd.args(["-n", namespace.as_str()]),
            Scope::Everywhere => cmd,
        }
    }

    /// Asks for objects of some kinds, such as `jobs,pods`. Those that are missing are left out of the answer.
    pub fn get(&self, scope: Scope, what: &[&str], selector: Option<&str>, why: impl Into<String>) -> Cmd {
        let mut cmd = self.cmd(scope, why).arg("get").args(what.iter().copied());
        if let Some(selector) = selector {
            cmd = cmd.args(["-l", selector]);
            if scope == Scope::Everywhere {
                cmd = cmd.arg("-A");
            }
        }
        // 10,000 pods took over 30 s from a server that had much else to do
        let timeout =
            if what.iter().any(|kinds| kinds.contains("pods")) { 4 * REQUEST_TIMEOUT } else { REQUEST_TIMEOUT };
        let cmd = cmd.args(["--ignore-not-found", "-o", "json"]).deadline(timeout).retry_on(CONNECTION_LOST);
        let cmd = cmd.api(paths::paths(scope, what, selector).unwrap_or_default());
        // of lists nobody knows how long they are
        if what.iter().all(|word| word.contains('/')) { cmd.brief() } else { cmd }
    }

    /// Asks for objects by their names. Those that are missing are left out of the answer.
    pub fn get_named(&self, scope: Scope, what: &[ObjectRef], why: impl Into<String>) -> Cmd {
        let words: Vec<String> = what.iter().map(ToString::to_string).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let paths: Option<Vec<String>> = what.iter().map(|object| paths::of_object(scope, *object)).collect();
        self.get(scope, &words, None, why).api(paths.unwrap_or_default())
    }

    /// Creates what `document` holds, and fails if it is there already.
    /// The answer is the object as the server keeps it.
    pub fn create(&self, namespace: &Namespace, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        self.create_with_output("json", namespace, name, document, why)
    }

    /// The same, with an answer in this form: `json` for a program, `name` for a person.
    pub fn create_with_output(
        &self,
        form: &str,
        namespace: &Namespace,
        name: &str,
        document: &str,
        why: impl Into<String>,
    ) -> Cmd {
        // the field manager names its maker
        self.cmd(Scope::In(namespace), why)
            .args(["create", "-f", "-", "--field-manager=mrunner", "-o", form])
            .document(name, document)
            .deadline(ADMISSION)
            .brief()
    }

    /// The same for several objects in one List; kubectl tells of each that failed, and goes on.
    pub fn create_all(&self, namespace: &Namespace, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        // nothing of it is the user's own shape, and to validate takes rights and time of its own
        self.cmd(Scope::In(namespace), why)
            .args(["create", "-f", "-", "--field-manager=mrunner", "--validate=false", "-o", "name"])
            .document(name, document)
            .deadline(4 * REQUEST_TIMEOUT)
    }

    /// Changes one object.
    pub fn patch(&self, scope: Scope, what: ObjectRef, kind: Patch, patch: &Value, why: impl Into<String>) -> Cmd {
        let kind = match kind {
            Patch::Merge => "--type=merge",
            Patch::Json => "--type=json",
        };
        self.cmd(scope, why)
            .args(["patch", &what.to_string(), kind, "--field-manager=mrunner", "-o", "name", "-p"])
            .arg(patch.to_string())
            .deadline(ADMISSION)
            .brief()
    }

    /// Makes sure that what `document` holds is there as described, without taking a field that
    /// another manager owns (no `--force-conflicts`).
    pub fn apply(&self, scope: Scope, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        // client-side apply would need two round trips and keep a copy in an annotation
        self.cmd(scope, why)
            .args(["apply", "--server-side", "--field-manager=mrunner", "-f", "-", "-o", "name"])
            .document(name, document)
            .deadline(ADMISSION)
            .brief()
    }

    /// Events about one object, by its kind and name.
    pub fn events(&self, namespace: &Namespace, kind: &str, name: &str) -> Cmd {
        self.cmd(Scope::In(namespace), format!("read the events of the {} `{name}`", kind.to_lowercase()))
            .args(["get", "events", "--field-selector"])
            .arg(format!("involvedObject.kind={kind},involvedObject.name={name}"))
            .args(["-o", "json"])
            .deadline(REQUEST_TIMEOUT)
            .retry_on(CONNECTION_LOST)
    }

    /// Asks for what the API server has at a path, for what kubectl has no words.
    pub fn raw(&self, path: &str, why: impl Into<String>) -> Cmd {
        self.cmd(Scope::Everywhere, why)
            .args(["get", "--raw", path])
            .deadline(REQUEST_TIMEOUT)
            .retry_on(CONNECTION_LOST)
    }

    /// Asks for kubectl's version and the API server's.
    pub fn version(&self) -> Cmd {
        self.cmd(Scope::Everywhere, "reach the cluster")
            .args(["version", "-o", "json"])
            .deadline(REQUEST_TIMEOUT)
            .retry_on(CONNECTION_LOST)
            .brief()
    }

    /// Leads a free port of this machine to a port of a pod; the answer names it, see [`forwarded`].
    pub fn port_forward(&self, namespace: &Namespace, pod: &str, port: u16) -> Cmd {
        self.cmd(Scope::In(namespace), format!("reach the pod `{pod}`"))
            .args(["port-forward", "--address=127.0.0.1", &Resource::Pod.named(pod).to_string(), &format!(":{port}")])
            .deadline(REQUEST_TIMEOUT)
            .lean()
    }

    /// Deletes a pod at once.
    pub fn delete_pod(&self, namespace: &Namespace, name: &str) -> Cmd {
        self.cmd(Scope::In(namespace), format!("delete the pod `{name}`"))
            .args(["delete", "pod", name, "--ignore-not-found", "--wait=false", "--grace-period=0", "-o", "name"])
            .deadline(REQUEST_TIMEOUT)
    }

    /// Deletes Jobs and, after them, what they own.
    pub fn delete_jobs(&self, namespace: &Namespace, names: &[&str]) -> Cmd {
        let what = if names.len() == 1 { format!("`{}`", names[0]) } else { format!("{} runs", names.len()) };
        // background: the Job goes at once and its pods follow, so nothing here can hang on a pod
        self.cmd(Scope::In(namespace), format!("delete {what}"))
            .args(["delete", "jobs", "--cascade=background", "--ignore-not-found", "-o", "name"])
            .args(names.iter().copied())
            .deadline(2 * REQUEST_TIMEOUT)
    }
}

/// Whether a command is about pods, or what makes them: `pod_labels` and flags change those, and nothing changes the
/// `ConfigMap`s, Secrets, claims and namespaces beside them. A webhook's refusal does not say what it is about.
fn has_pods(cmd: &Cmd) -> bool {
    let (Stdin::Document { text, .. } | Stdin::Hidden { text, .. }) = &cmd.stdin else {
        let beside = ["configmap", "secret", "pvc", "persistentvolume", "pv/", "namespace"];
        return !cmd.args.iter().any(|word| beside.iter().any(|kind| word.to_string_lossy().starts_with(kind)));
    };
    serde_json::from_str(text).map_or(true, |document| list::makes_pods(&document))
}

/// The namespace that a command names.
fn namespace_of(cmd: &Cmd) -> Option<&str> {
    let flag = cmd.args.iter().position(|word| word == "-n")?;
    cmd.args.get(flag + 1)?.to_str()
}

/// Why a kubectl failed, in one line.
pub fn short_reason(reply: &Reply) -> String {
    match outcome(&reply.stderr) {
        Outcome::NotYet(why) => why.words(),
        Outcome::Refused(_) => in_one_line(&reply.stderr),
        Outcome::Unclear => reply.last_line().to_owned(),
    }
}

/// The port of this machine in a line of [`Kubectl::port_forward`], `Forwarding from 127.0.0.1:PORT -> N`.
pub fn forwarded(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split_once(" -> ")?.0.parse().ok()
}

/// The objects in the answer to [`Kubectl::get`].
pub fn objects(reply: &Reply, cmd: &Cmd) -> Result<Vec<Value>> {
    // nothing at all is what `--ignore-not-found` says of things that are all missing
    if reply.stdout.is_empty() { Ok(Vec::new()) } else { Ok(list::items(reply.json(cmd)?)) }
}

/// An answer to [`Kubectl::get`] that is a List, each object made what is kept of it as soon as it is read:
/// thousands of them need not be held whole.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// The objects.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubectl() -> Kubectl {
        Kubectl { program: "kubectl".into(), flags: vec!["--context".into(), "lab".into()] }
    }

    #[test]
    fn the_cluster_and_namespace_are_always_named() {
        let namespace = Namespace::of_project("vision");
        let what = [Resource::Namespace.named("vision"), Resource::Claim.named("storage")];
        let get = kubectl().get_named(Scope::In(&namespace), &what, "look");
        assert_eq!(
            get.to_string(),
            "kubectl --context lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json"
        );
        let all = kubectl().get(Scope::Everywhere, &["jobs"], Some("mrunner/run"), "look");
        assert_eq!(all.to_string(), "kubectl --context lab get jobs -l mrunner/run -A --ignore-not-found -o json");
        let create = kubectl().create(&namespace, "job.json", "{}", "submit");
        assert_eq!(
            create.to_string(),
            "kubectl --context lab -n vision create -f - --field-manager=mrunner -o json < job.json"
        );
    }

    #[test]
    fn the_port_of_this_machine_is_read() {
        assert_eq!(forwarded("Forwarding from 127.0.0.1:39595 -> 21234"), Some(39595));
        assert_eq!(forwarded("Handling connection for 39595"), None);
        let cmd = kubectl().port_forward(&Namespace::of_project("vision"), "helper-x", 21234);
        assert_eq!(
            cmd.to_string(),
            "kubectl --context lab -n vision port-forward --address=127.0.0.1 pod/helper-x :21234"
        );
    }
}
