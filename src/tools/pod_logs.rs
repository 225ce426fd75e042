//! How kubectl is asked for what pods print.

use std::path::Path;

use crate::k8s::names::Namespace;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, REQUEST_TIMEOUT, Scope, encoded};

/// The container whose log is meant.
const CONTAINER: &str = "experiment";

/// Where the API server has the log of a pod, from its start or from a time in RFC 3339 on; each line begins with its
/// own time.
pub fn path(namespace: &Namespace, pod: &str, follow: bool, since: Option<&str>) -> String {
    let since = since.map_or(String::new(), |since| format!("&sinceTime={}", encoded(since)));
    format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={CONTAINER}&timestamps=true&follow={follow}{since}"
    )
}

impl Kubectl {
    /// Reads such a log. Not by `kubectl logs`, which holds each line in memory until its end has come.
    pub fn log(&self, namespace: &Namespace, pod: &str, follow: bool, since: Option<&str>) -> Cmd {
        let cmd = self.cmd(Scope::Everywhere, format!("read the log of the pod `{pod}`"));
        let cmd = cmd.args(["get", "--raw", &path(namespace, pod, follow, since)]).lean();
        // one that follows may be silent for as long as the experiment is
        if follow { cmd } else { cmd.deadline(REQUEST_TIMEOUT) }
    }

    /// The last lines that a container printed, as they are.
    pub fn last_lines(&self, namespace: &Namespace, pod: &str, container: &str) -> Cmd {
        let flags = ["logs", pod, "-c", container, "--tail=20", "--limit-bytes=65536"];
        self.cmd(Scope::In(namespace), format!("read the log of the pod `{pod}`")).args(flags).deadline(REQUEST_TIMEOUT)
    }

    /// Lends this user's rights to whoever can reach the socket, for reading the Jobs, the pods and their
    /// logs of one namespace, or of all; the answer says when it does.
    pub fn proxy(&self, namespace: Option<&Namespace>, socket: &Path) -> Cmd {
        let place = namespace.map_or("(namespaces/[a-z0-9-]+/)?".to_owned(), |name| format!("namespaces/{name}/"));
        let jobs = format!("^/apis/batch/v1/{place}jobs$");
        let pods = format!("^/api/v1/{place}pods(/[a-z0-9.-]+/log)?$");
        self.cmd(Scope::Everywhere, "reach the cluster")
            .args(["proxy", "--reject-methods=^[^G]", &format!("--accept-paths={jobs},{pods}")])
            .arg(format!("--unix-socket={}", socket.display()))
            .deadline(REQUEST_TIMEOUT)
    }

    /// The same for all that this user may see.
    pub fn proxy_all(&self, socket: &Path) -> Cmd {
        // POST is how one asks for one's own rights
        self.cmd(Scope::Everywhere, "reach the cluster")
            .args(["proxy", "--reject-methods=^(PUT|PATCH|DELETE)$"])
            .arg(format!("--unix-socket={}", socket.display()))
            .deadline(REQUEST_TIMEOUT)
            .brief()
    }
}
