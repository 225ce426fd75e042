//! kubectl: every call names its cluster and namespace, asks for JSON, and sends documents on stdin.

use std::ffi::OsString;
use std::time::Duration;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Fail;
use crate::names::Namespace;
use crate::tools::cmd::Cmd;
use crate::tools::log::is_log;
use crate::tools::reply::Reply;

/// How long a question to the API server may take. kubectl itself would wait for ever on a server
/// that accepts a connection and stays silent.
pub const PATIENCE: Duration = Duration::from_secs(30);

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
        error.hints.extend(hint(self, &reply.stderr));
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

    /// Asks for objects: `what` is kinds (`jobs,pods`) or `kind/name` pairs. Those that are missing
    /// are left out of the answer, see [`items`].
    pub fn get(&self, scope: Scope, what: &[&str], selector: Option<&str>, why: impl Into<String>) -> Cmd {
        let mut cmd = self.cmd(scope, why).arg("get").args(what.iter().copied());
        if let Some(selector) = selector {
            cmd = cmd.args(["-l", selector]);
            if scope == Scope::Everywhere {
                cmd = cmd.arg("-A");
            }
        }
        // 10,000 pods took over 30 s from a server that had much else to do
        let patience = if what.iter().any(|kinds| kinds.contains("pods")) { 4 * PATIENCE } else { PATIENCE };
        cmd.args(["--ignore-not-found", "-o", "json"]).deadline(patience)
    }

    /// Creates what `document` holds, and fails if it is there already.
    /// The answer is the object as the server keeps it.
    pub fn create(&self, namespace: &Namespace, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        // the field manager names its maker
        self.cmd(Scope::In(namespace), why)
            .args(["create", "-f", "-", "--field-manager=mrunner", "-o", "json"])
            .document(name, document)
            .deadline(PATIENCE)
    }

    /// The same for several objects in one List; kubectl tells of each that failed, and goes on.
    pub fn create_all(&self, namespace: &Namespace, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        // nothing of it is the user's own shape, and to validate takes rights and time of its own
        self.cmd(Scope::In(namespace), why)
            .args(["create", "-f", "-", "--field-manager=mrunner", "--validate=false", "-o", "name"])
            .document(name, document)
            .deadline(4 * PATIENCE)
    }

    /// Changes one object, `kind/name`.
    pub fn patch(&self, scope: Scope, what: &str, kind: Patch, patch: &Value, why: impl Into<String>) -> Cmd {
        let kind = match kind {
            Patch::Merge => "--type=merge",
            Patch::Json => "--type=json",
        };
        self.cmd(scope, why)
            .args(["patch", what, kind, "--field-manager=mrunner", "-o", "name", "-p"])
            .arg(patch.to_string())
            .deadline(PATIENCE)
    }

    /// The same for what is not a run's own: the answer is its name alone.
    pub fn make(&self, namespace: &Namespace, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        self.cmd(Scope::In(namespace), why)
            .args(["create", "-f", "-", "--field-manager=mrunner", "-o", "name"])
            .document(name, document)
            .deadline(PATIENCE)
    }

    /// Makes sure that what `document` holds is there as described, without taking a field that
    /// another manager owns (no `--force-conflicts`).
    pub fn apply(&self, scope: Scope, name: &str, document: &str, why: impl Into<String>) -> Cmd {
        // client-side apply would need two round trips and keep a copy in an annotation
        self.cmd(scope, why)
            .args(["apply", "--server-side", "--field-manager=mrunner", "-f", "-", "-o", "name"])
            .document(name, document)
            .deadline(PATIENCE)
    }

    /// Events about one object, by its kind and name.
    pub fn events(&self, namespace: &Namespace, kind: &str, name: &str) -> Cmd {
        self.cmd(Scope::In(namespace), format!("read the events of the {} `{name}`", kind.to_lowercase()))
            .args(["get", "events", "--field-selector"])
            .arg(format!("involvedObject.kind={kind},involvedObject.name={name}"))
            .args(["-o", "json"])
            .deadline(PATIENCE)
    }

    /// Asks for what the API server has at a path, for what kubectl has no words.
    pub fn raw(&self, path: &str, why: impl Into<String>) -> Cmd {
        self.cmd(Scope::Everywhere, why).args(["get", "--raw", path]).deadline(PATIENCE)
    }

    /// Asks for kubectl's version and the API server's.
    pub fn version(&self) -> Cmd {
        self.cmd(Scope::Everywhere, "reach the cluster").args(["version", "-o", "json"]).deadline(PATIENCE)
    }

    /// Leads a free port of this machine to a port of a pod; the answer names it, see [`forwarded`].
    pub fn port_forward(&self, namespace: &Namespace, pod: &str, port: u16) -> Cmd {
        self.cmd(Scope::In(namespace), format!("reach the pod `{pod}`"))
            .args(["port-forward", "--address=127.0.0.1", &format!("pod/{pod}"), &format!(":{port}")])
            .deadline(PATIENCE)
    }

    /// Deletes a pod at once.
    pub fn delete_pod(&self, namespace: &Namespace, name: &str) -> Cmd {
        self.cmd(Scope::In(namespace), format!("delete the pod `{name}`"))
            .args(["delete", "pod", name, "--ignore-not-found", "--wait=false", "--grace-period=0", "-o", "name"])
            .deadline(PATIENCE)
    }

    /// Deletes Jobs and, after them, what they own.
    pub fn delete_jobs(&self, namespace: &Namespace, names: &[&str]) -> Cmd {
        let what = if names.len() == 1 { format!("`{}`", names[0]) } else { format!("{} runs", names.len()) };
        // background: the Job goes at once and its pods follow, so nothing here can hang on a pod
        self.cmd(Scope::In(namespace), format!("delete {what}"))
            .args(["delete", "jobs", "--cascade=background", "--ignore-not-found", "-o", "name"])
            .args(names.iter().copied())
            .deadline(2 * PATIENCE)
    }
}

/// The port of this machine in a line of [`Kubectl::port_forward`], `Forwarding from 127.0.0.1:PORT -> N`.
pub fn forwarded(line: &str) -> Option<u16> {
    line.strip_prefix("Forwarding from 127.0.0.1:")?.split_once(" -> ")?.0.parse().ok()
}

/// The objects in the answer to [`Kubectl::get`].
pub fn objects(reply: &Reply, cmd: &Cmd) -> Result<Vec<Value>> {
    // nothing at all is what `--ignore-not-found` says of things that are all missing
    if reply.stdout.is_empty() { Ok(Vec::new()) } else { Ok(items(reply.json(cmd)?)) }
}

/// An answer to [`Kubectl::get`] that is a List, each object made what is kept of it as soon as it is read:
/// thousands of them need not be held whole.
#[derive(Debug, Deserialize)]
pub struct List<T> {
    /// The objects.
    #[serde(default = "Vec::new")]
    pub items: Vec<T>,
}

/// The objects in an answer of `get -o json`: a List, a single object, or nothing at all.
fn items(answer: Value) -> Vec<Value> {
    match answer {
        Value::Object(mut object) if object.get("kind").is_some_and(|k| k == "List") => match object.remove("items") {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        },
        Value::Null => Vec::new(),
        other => vec![other],
    }
}

/// What the API server said, from kubectl's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// There is one of that name.
    AlreadyExists,
    /// The object, or the namespace it should be in, is not there.
    NotFound,
    /// This user may not.
    Forbidden,
    /// Not logged in.
    Unauthorized,
    /// The object breaks a rule; it was not stored.
    Invalid,
    /// A field belongs to another manager.
    Conflict,
}

/// The refusal in kubectl's words, `None` where it is unclear what the server did.
///
/// kubectl prints `Error from server (REASON): ...` with the API's reason, and two forms of its own
/// for Invalid and Unauthorized (kubectl, `pkg/cmd/util/helpers.go`, `StandardErrorMessage`).
pub fn refusal(stderr: &str) -> Option<Refusal> {
    stderr.lines().find_map(|line| {
        if let Some(rest) = line.strip_prefix("Error from server (") {
            return match rest.split_once(')')?.0 {
                "AlreadyExists" => Some(Refusal::AlreadyExists),
                "NotFound" => Some(Refusal::NotFound),
                "Forbidden" => Some(Refusal::Forbidden),
                "Unauthorized" => Some(Refusal::Unauthorized),
                "BadRequest" | "Invalid" | "RequestEntityTooLarge" | "MethodNotAllowed" => Some(Refusal::Invalid),
                "Conflict" => Some(Refusal::Conflict),
                _ => None,
            };
        }
        if line.starts_with("The ") && line.contains("\" is invalid: ") {
            return Some(Refusal::Invalid);
        }
        if line.contains("You must be logged in to the server") {
            return Some(Refusal::Unauthorized);
        }
        line.contains("Apply failed with").then_some(Refusal::Conflict)
    })
}

/// Whether all that kubectl complains of is what this user may not do; it then prints what is left.
pub fn all_forbidden(stderr: &str) -> bool {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Warning: ")).peekable();
    lines.peek().is_some() && lines.all(|line| refusal(line) == Some(Refusal::Forbidden))
}

/// Whether this user may not look at objects of a kind, such as `namespaces`.
pub fn may_not_see(stderr: &str, kind: &str) -> bool {
    stderr
        .lines()
        .any(|line| line.strip_prefix("Error from server (Forbidden): ").is_some_and(|rest| rest.starts_with(kind)))
}

/// Whether all that kubectl complains of is that objects are there already.
pub fn all_exist(stderr: &str) -> bool {
    let mut lines = stderr.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("Warning: ")).peekable();
    lines.peek().is_some() && lines.all(|line| refusal(line) == Some(Refusal::AlreadyExists))
}

/// Whether this user may not patch, in the words that the API server has for every kind.
pub fn may_not_patch(stderr: &str) -> bool {
    refusal(stderr) == Some(Refusal::Forbidden) && stderr.contains(" cannot patch resource ")
}

/// kubectl's words without those that it has said before: it says the same for each kind that it was
/// asked for and at each try, in its log with another time in front.
fn once(words: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    let said =
        |line: &str| if is_log(line) { line.split_once("] ").map_or(line, |(_, said)| said) } else { line }.to_owned();
    for line in words {
        let empty = line.trim().is_empty();
        if !(empty && kept.last().is_none_or(|last| last.trim().is_empty()))
            && (empty || kept.iter().all(|before| said(before) != said(&line)))
        {
            kept.push(line);
        }
    }
    while kept.last().is_some_and(|last| last.trim().is_empty()) {
        kept.pop();
    }
    kept
}

/// What to type after kubectl failed with `stderr`, if its words say what is wrong. The words are
/// those of kubectl 1.32, recorded with broken kubeconfigs.
fn hint(kubectl: &Kubectl, stderr: &str) -> Option<String> {
    let has = |words: &str| stderr.contains(words);
    let typed = kubectl.cmd(Scope::Everywhere, "");
    Some(if has("(Forbidden)") && !has("exceeded quota") {
        format!("see what this user may do with `{typed} auth can-i --list`")
    } else if has("exceeded quota") {
        format!("see the quota with `{typed} get resourcequota -A`")
    } else if has("getting credentials: exec: ") {
        credential_plugin(stderr)
    } else if has("localhost:8080 was refused") {
        format!("does the kubeconfig hold the cluster that this context names? see `{typed} config view --minify`")
    } else if has("Please enter Username") {
        format!("does the kubeconfig hold the user that this context names? see `{typed} config view --minify`")
    } else if has("certificate signed by unknown authority") || has("certificate is not trusted") {
        "is the kubeconfig's `certificate-authority-data` that of this cluster? fetch its kubeconfig anew".to_owned()
    } else if has("certificate is valid for ") || has("doesn't contain any IP SANs") {
        "is the kubeconfig's `server` right? else name what its certificate is for with `--tls-server-name NAME`"
            .to_owned()
    } else if has("certificate has expired or is not yet valid") {
        "a certificate has expired, or this machine's clock is wrong: see `date`, and fetch the kubeconfig anew"
            .to_owned()
    } else if has("was refused")
        || has("no such host")
        || has("i/o timeout")
        || has("no route to host")
        || has("network is unreachable")
    {
        format!("is the cluster up? try `{typed} cluster-info`")
    } else if has("no answer in ") || has("context deadline exceeded") || has("Client.Timeout exceeded") {
        format!("is the cluster up, and reached from here without a VPN? try `{typed} cluster-info`")
    } else if has("You must be logged in") || has("(Unauthorized)") {
        "the login of the kubeconfig's user has expired or is wrong: log in to the cluster again, or fetch its \
         kubeconfig anew"
            .to_owned()
    } else if has("unable to read client-cert") || has("unable to read client-key") || has("unable to read cert") {
        format!("the kubeconfig names a file that can't be read; see `{typed} config view --minify`")
    } else if has("context was not found") || has("does not exist in") {
        "list the contexts with `kubectl config get-contexts`".to_owned()
    } else if has("auth info ") && has("does not exist") {
        "list the kubeconfig's users with `kubectl config get-users`".to_owned()
    } else if has("no server found for cluster ") {
        "list the kubeconfig's clusters with `kubectl config get-clusters`".to_owned()
    } else if has("unknown flag: ") {
        "this kubectl is older than the flag; see `kubectl version --client`".to_owned()
    } else {
        return None;
    })
}

/// How to get, or to log in with, the credential plugin that a kubeconfig names.
fn credential_plugin(stderr: &str) -> String {
    let rest = stderr.split("getting credentials: exec: ").nth(1).unwrap_or_default();
    // a name is looked up on PATH; what is a path is started at once
    let (plugin, rest) = match rest.strip_prefix("fork/exec ") {
        Some(started) => started.split_once(": ").unwrap_or_default(),
        None => rest.strip_prefix("executable ").unwrap_or(rest).split_once(' ').unwrap_or_default(),
    };
    let rest = rest.lines().next().unwrap_or_default();
    let name = plugin.rsplit(['/', '\\']).next().unwrap_or_default();
    let (install, log_in) = match name.strip_suffix(".exe").unwrap_or(name) {
        // https://cloud.google.com/kubernetes-engine/docs/how-to/cluster-access-for-kubectl
        "gke-gcloud-auth-plugin" => ("gcloud components install gke-gcloud-auth-plugin", "gcloud auth login"),
        // https://docs.aws.amazon.com/cli/latest/userguide/getting-started-install.html
        "aws" => ("pip install awscli", "aws sso login"),
        // https://azure.github.io/kubelogin/install.html
        "kubelogin" => ("az aks install-cli", "az login"),
        // https://github.com/int128/kubelogin
        "kubectl-oidc_login" => ("kubectl krew install oidc-login", "kubectl oidc-login setup"),
        // https://docs.digitalocean.com/reference/doctl/how-to/install/
        "doctl" => ("snap install doctl", "doctl auth init"),
        _ => ("", ""),
    };
    let missing = rest.contains("not found") || rest.contains("no such file");
    match (missing, install.is_empty()) {
        (true, false) => format!("get the credential plugin with `{install}`, such that `{plugin}` is on your PATH"),
        (true, true) => format!("install `{plugin}`, which the kubeconfig's user needs, such that it is on your PATH"),
        (false, false) => format!("the credential plugin could not log in; try `{log_in}`"),
        (false, true) => format!("`{plugin}`, which the kubeconfig's user needs, could not log in: try it by hand"),
    }
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
        let get = kubectl().get(Scope::In(&namespace), &["namespace/vision", "pvc/storage"], None, "look");
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
    fn refusals_are_told_from_unclear_answers() {
        for (words, reason) in [
            (
                "Error from server (AlreadyExists): error when creating \"STDIN\": jobs.batch \"a\" already exists",
                Some(Refusal::AlreadyExists),
            ),
            (
                "Error from server (NotFound): error when creating \"STDIN\": namespaces \"x\" not found",
                Some(Refusal::NotFound),
            ),
            (
                "Error from server (Forbidden): jobs.batch is forbidden: User \"x\" cannot create",
                Some(Refusal::Forbidden),
            ),
            ("The Job \"a\" is invalid: spec.completions: Required value", Some(Refusal::Invalid)),
            ("error: You must be logged in to the server (Unauthorized)", Some(Refusal::Unauthorized)),
            ("Error from server (ServiceUnavailable): the server is currently unable", None),
            ("Error from server (InternalError): an error on the server", None),
            ("Unable to connect to the server: net/http: TLS handshake timeout", None),
            ("", None),
        ] {
            assert_eq!(refusal(words), reason, "{words}");
        }
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

    #[test]
    fn an_answer_is_a_list_an_object_or_nothing() {
        let of = |text: &str| items(serde_json::from_str(text).unwrap()).len();
        assert_eq!(of(r#"{"kind":"List","items":[{"kind":"Job"},{"kind":"Pod"}]}"#), 2);
        assert_eq!(of(r#"{"kind":"Job"}"#), 1);
        assert_eq!(of("null"), 0);
    }

    #[test]
    fn what_is_said_again_is_told_once() {
        let words = "E1124 23:01:59.75   17 memcache.go:265] \"no\" err=\"x\"\nE1124 23:02:00.11   17 memcache.go:265] \"no\" err=\"x\"\n\
            E1124 23:02:00.12   17 memcache.go:265] \"no\" err=\"y\"\n\nPlease run:\n\n  a\n\nPlease run:\n\n  b\n\n  a\nrefused\nrefused\n";
        let told = once(words.lines().map(str::to_owned).collect());
        let log = |line: &str| line.starts_with('E');
        assert_eq!(told.iter().filter(|line| log(line)).count(), 2);
        let rest: Vec<&str> = told.iter().map(String::as_str).filter(|line| !log(line)).collect();
        assert_eq!(rest, ["", "Please run:", "", "  a", "", "  b", "", "refused"]);
    }

    #[test]
    fn what_is_wrong_with_a_kubeconfig_is_told() {
        let told = |words: &str| hint(&kubectl(), words).unwrap_or_default();
        let getting = "Unable to connect to the server: getting credentials: exec: executable";
        for (words, expected) in [
            (format!("{getting} gke-gcloud-auth-plugin not found\n\nIt looks like"), "gcloud components install"),
            (format!("{getting} gke-gcloud-auth-plugin failed with exit code 1"), "try `gcloud auth login`"),
            (format!("{getting} aws not found"), "pip install awscli"),
            (
                format!("{} fork/exec /opt/google/gke-gcloud-auth-plugin: no such file or directory", getting.trim_end_matches(" executable")),
                "gcloud components install gke-gcloud-auth-plugin`, such that `/opt/google/gke-gcloud-auth-plugin` is",
            ),
            (format!("{getting} /opt/own-login not found"), "install `/opt/own-login`"),
            (format!("{getting} false failed with exit code 1"), "`false`, which the kubeconfig's user needs"),
            (
                "The connection to the server localhost:8080 was refused - did you specify the right host or port?"
                    .to_owned(),
                "hold the cluster",
            ),
            ("Please enter Username: error: EOF".to_owned(), "hold the user"),
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority"
                    .to_owned(),
                "certificate-authority-data",
            ),
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate is valid for localhost, not other"
                    .to_owned(),
                "--tls-server-name",
            ),
            ("error: You must be logged in to the server (Unauthorized)".to_owned(), "log in to the cluster again"),
            ("Error in configuration: \n* unable to read client-cert /x for a".to_owned(), "can't be read"),
            ("auth info \"nope\" does not exist".to_owned(), "kubectl config get-users"),
            ("error: no server found for cluster \"nope\"".to_owned(), "kubectl config get-clusters"),
            ("no answer in 30 s".to_owned(), "is the cluster up"),
        ] {
            assert!(told(&words).contains(expected), "{words}: {}", told(&words));
        }
        assert_eq!(told("something else"), "");
    }
}
