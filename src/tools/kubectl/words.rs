//! What kubectl's words mean, and what to do about them.

use super::refusal::{NotYet, Outcome, outcome};
use super::{Kubectl, OLDEST_MINOR, Scope};
use crate::tools::log::is_log;
use crate::util::error::Refusal;

/// What kubectl and the API server say where a question can be asked again at once: the connection was cut, or the
/// server had no time. That nobody listens at its address, or who listens hangs up at once, is not among them.
pub const CONNECTION_LOST: &[&str] = &[
    "unexpected EOF",
    "connection reset by peer",
    "client connection lost",
    "Please retry",
    "TLS handshake timeout",
    "Error from server (ServiceUnavailable)",
    "Error from server (TooManyRequests)",
    "Error from server (Timeout)",
    "etcdserver: ",
];

/// Whether the pod, its container or its log is not there, by what kubectl says of a log that it can't read.
pub fn has_no_log(stderr: &str) -> bool {
    ["not found", "NotFound"].iter().any(|words| stderr.contains(words))
}

/// Whether the node of a pod does not answer, by what kubectl says of a log that it can't read.
pub fn is_node_silent(stderr: &str) -> bool {
    ["dial tcp", "i/o timeout", "no route to host", "TLS handshake", "no answer in", "502 Bad Gateway"]
        .iter()
        .any(|words| stderr.contains(words))
}

/// Whether the cluster has no objects of the kind that was asked for.
pub fn has_no_such_kind(stderr: &str) -> bool {
    stderr.contains("the server doesn't have a resource type")
}

/// kubectl's words without those that it has said before: it says the same for each kind that it was
/// asked for and at each try, in its log with another time in front.
pub(super) fn once(words: Vec<String>) -> Vec<String> {
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
/// those of kubectl 1.32, recorded with broken kubeconfigs. `changes` is that of [`Refusal::advice`].
pub(super) fn hint(kubectl: &Kubectl, stderr: &str, changes: bool, namespace: Option<&str>) -> Option<String> {
    let typed = kubectl.cmd(Scope::Everywhere, "");
    match outcome(stderr) {
        Outcome::Refused(refusal) => {
            if let Some(hint) = of_refusal(refusal, stderr, &typed.to_string(), changes, namespace) {
                return Some(hint);
            }
        }
        Outcome::NotYet(NotYet::Webhook(name)) => {
            return Some(format!(
                "have the cluster's administrator look at the webhook `{name}`: `{typed} get validatingwebhookconfigurations,mutatingwebhookconfigurations`"
            ));
        }
        Outcome::NotYet(NotYet::Admission) => {
            return Some("try again in a moment: the API server is not ready".to_owned());
        }
        Outcome::Unclear => {}
    }
    of_connection(stderr, &typed.to_string())
}

/// The same where no request came through.
fn of_connection(stderr: &str, typed: &str) -> Option<String> {
    let has = |words: &str| stderr.contains(words);
    Some(if has("getting credentials: exec: ") {
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
    } else if has("unknown field") || has(r#"Unsupported value: "FailIndex""#) {
        format!("Kubernetes 1.{OLDEST_MINOR} or newer is needed: see the cluster's with `{typed} version`")
    } else if has("unknown flag: ") {
        "this kubectl is older than the flag; see `kubectl version --client`".to_owned()
    } else {
        return None;
    })
}

/// The same for a refusal of the API server.
fn of_refusal(refusal: Refusal, stderr: &str, typed: &str, changes: bool, namespace: Option<&str>) -> Option<String> {
    let named = |before: &str| {
        let rest = stderr.split_once(before)?.1;
        let name: String = rest.chars().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.')).collect();
        (!name.is_empty()).then_some(name)
    };
    Some(match refusal {
        Refusal::Forbidden => format!("see what this user may do with `{typed} auth can-i --list`"),
        Refusal::NoNamespace => {
            format!("create the namespace with `{typed} create namespace {}`", named("namespaces \"")?)
        }
        Refusal::Terminating => {
            let name = named("content in namespace ")?;
            format!("run again when the namespace is gone: `{typed} get namespace {name}`")
        }
        Refusal::QuotaExceeded => {
            let advice = refusal.advice(stderr, changes)?;
            match namespace {
                Some(namespace) => format!("{advice}; see the quota with `{typed} -n {namespace} get resourcequota`"),
                None => advice,
            }
        }
        _ => return refusal.advice(stderr, changes),
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
        let told = |words: &str| hint(&kubectl(), words, true, Some("vision")).unwrap_or_default();
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
