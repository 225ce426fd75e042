//! Whether the queue that a run should wait in is there.

use anyhow::Result;

use super::Facts;
use crate::error::usage;
use crate::names::nearest;
use crate::request::RunRequest;
use crate::tools::kubectl::{self, Refusal, Scope};

/// Kueue's queues, as they stand in namespaces.
const QUEUES: &str = "localqueues.kueue.x-k8s.io";

impl Facts<'_> {
    /// The queue that the run will wait in. Where Kueue is not, there is none, and a Job with its label
    /// might wait for ever; who may not look at queues is believed.
    pub(super) fn queue(&self, request: &RunRequest) -> Result<Option<String>> {
        let Some(queue) = &request.queue else { return Ok(None) };
        let namespace = &request.namespace;
        let cmd = self.kubectl.get(Scope::In(namespace), &[QUEUES], None, "look for the queue");
        let reply = self.shell.read(&cmd)?;
        if !reply.succeeded() {
            if kubectl::refusal(&reply.stderr) == Some(Refusal::Forbidden) {
                return Ok(Some(queue.clone()));
            }
            if reply.stderr.contains("the server doesn't have a resource type") {
                self.ui.warn(format!(
                    "Kueue is not in this cluster: the run does not wait in the queue `{queue}`, but starts at once"
                ));
                return Ok(None);
            }
            return Err(self.kubectl.failure(&reply, &cmd).into());
        }
        let queues = kubectl::objects(&reply, &cmd)?;
        let names: Vec<&str> = queues.iter().filter_map(|queue| queue["metadata"]["name"].as_str()).collect();
        if names.contains(&queue.as_str()) {
            return Ok(Some(queue.clone()));
        }
        let unknown = usage(format!("there is no queue `{queue}` in the namespace `{namespace}`"));
        let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let unknown = match nearest(queue, names.iter().copied()) {
            Some(near) => unknown.hint(format!("did you mean `{near}`?")),
            None => unknown,
        };
        Err(if names.is_empty() {
            unknown.hint(format!(
                "it has none; ask who looks after the cluster for a LocalQueue of Kueue in `{namespace}`"
            ))
        } else {
            unknown.hint(format!("there are {known}"))
        }
        .into())
    }
}
