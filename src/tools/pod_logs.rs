//! How kubectl is asked for what pods print.

use std::path::Path;

use crate::names::Namespace;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, PATIENCE, Scope};

impl Kubectl {
    /// Follows the log of one container from its start, or from a time in RFC 3339 on; each line
    /// begins with its own time.
    pub fn logs(&self, namespace: &Namespace, pod: &str, container: &str, follow: bool, since: Option<&str>) -> Cmd {
        let mut cmd = self.cmd(Scope::In(namespace), format!("read the log of the pod `{pod}`")).args([
            "logs",
            pod,
            "-c",
            container,
            "--timestamps",
        ]);
        // one that follows may be silent for as long as the experiment is
        cmd = if follow { cmd.arg("-f") } else { cmd.deadline(PATIENCE) };
        if let Some(since) = since {
            cmd = cmd.arg(format!("--since-time={since}"));
        }
        cmd
    }

    /// What all pods have printed that `selector` matches, `most` at once: each line begins with
    /// `[pod/NAME/CONTAINER]`, then its own time.
    pub fn logs_of(&self, namespace: &Namespace, selector: &str, container: &str, most: usize) -> Cmd {
        // --tail: with a selector kubectl shows 10 lines of each
        let flags = ["logs", "-l", selector, "-c", container, "--timestamps", "--prefix", "--tail=-1"];
        let cmd = self.cmd(Scope::In(namespace), "read the logs of pods").args(flags);
        cmd.arg(format!("--max-log-requests={most}")).deadline(PATIENCE)
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
            .deadline(PATIENCE)
    }

    /// The same for all that this user may see.
    pub fn proxy_all(&self, socket: &Path) -> Cmd {
        // POST is how one asks for one's own rights
        self.cmd(Scope::Everywhere, "reach the cluster")
            .args(["proxy", "--reject-methods=^(PUT|PATCH|DELETE)$"])
            .arg(format!("--unix-socket={}", socket.display()))
            .deadline(PATIENCE)
            .brief()
    }
}
