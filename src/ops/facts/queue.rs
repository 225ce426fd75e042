//! Checks whether the requested queue exists.

use anyhow::Result;

use super::notices::Gatherer;
use crate::k8s::names::{Namespace, nearest};
use crate::k8s::object::Object;
use crate::request::RunRequest;
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{self, Scope};
use crate::util::error::{Refusal, usage};

/// Kueue's queues in namespaces.
const QUEUES: &str = "localqueues.kueue.x-k8s.io";

/// The state of a requested queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// The queue exists.
    There,
    /// The user can't read queues; the queue is assumed to exist.
    Unseen,
    /// Kueue is not installed.
    NoKueue,
}

impl Gatherer<'_> {
    /// The queue of the run. Without Kueue there is none: a Job with the label might wait forever. If the user
    /// can't read queues, the queue is assumed to exist.
    pub(super) fn queue(&mut self, request: &RunRequest) -> Result<Option<String>> {
        let Some(queue) = &request.queue else { return Ok(None) };
        if find_queue(self.cluster, &request.namespace, queue)? == Queue::NoKueue {
            self.warn(format!(
                "Kueue is not in this cluster: the run does not wait in the queue `{queue}`, but starts at once"
            ));
            return Ok(None);
        }
        Ok(Some(queue.clone()))
    }
}

/// Checks whether the namespace has the queue.
///
/// # Errors If there is no such queue, with the existing ones, or the cluster does not answer.
pub fn find_queue(cluster: Cluster, namespace: &Namespace, queue: &str) -> Result<Queue> {
    let cmd = cluster.kubectl.get(Scope::In(namespace), &[QUEUES], None, "look for the queue");
    let reply = cluster.read(&cmd)?;
    if !reply.succeeded() {
        if kubectl::refusal(&reply.stderr) == Some(Refusal::Forbidden) {
            return Ok(Queue::Unseen);
        }
        if kubectl::has_no_such_kind(&reply.stderr) {
            return Ok(Queue::NoKueue);
        }
        return Err(cluster.kubectl.failure(&reply, &cmd).into());
    }
    let queues = kubectl::objects(&reply, &cmd)?;
    let names: Vec<&str> = queues.iter().map(|queue| Object::of(queue).name()).collect();
    if names.contains(&queue) {
        return Ok(Queue::There);
    }
    let unknown = usage(format!("there is no queue `{queue}` in the namespace `{namespace}`"));
    let known = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let unknown = match nearest(queue, names.iter().copied()) {
        Some(near) => unknown.hint(format!("did you mean `{near}`?")),
        None => unknown,
    };
    Err(if names.is_empty() {
        unknown.hint(format!("it has none; ask who looks after the cluster for a LocalQueue of Kueue in `{namespace}`"))
    } else {
        unknown.hint(format!("there are {known}"))
    }
    .into())
}
