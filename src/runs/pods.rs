//! The state of a run's pod, from the experiment's own container. Other containers in the pod, such as an injected
//! sidecar, may keep the pod from starting or ending. Pure.

use crate::k8s::manifests::{CONTAINER, helper_pod, nfs_server};
use crate::k8s::object::Object;
use crate::k8s::pod::{ContainerState, ContainerStatus, Pod, PodPhase, Terminated};

/// The stage of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The pod has no node.
    Waiting,
    /// A node prepares the pod.
    Starting,
    /// The experiment runs, or has just ended.
    Running,
    /// The experiment has ended with this exit code, and another container keeps the pod.
    Held(i64),
    /// The node of the pod does not answer.
    Lost,
    /// The pod has ended; `true` if it succeeded.
    Over(bool),
}

impl Stage {
    /// The stage of a pod.
    pub fn of(pod: Pod) -> Self {
        match pod.phase() {
            Some(PodPhase::Succeeded) => return Self::Over(true),
            Some(PodPhase::Failed) => return Self::Over(false),
            _ if is_silent(pod) => return Self::Lost,
            _ => {}
        }
        let own = experiment(pod).map_or(ContainerState::Unset, ContainerStatus::state);
        if let Some(code) = own.terminated().and_then(Terminated::exit_code) {
            return if holders(pod).next().is_some() { Self::Held(code) } else { Self::Running };
        }
        let is_running = matches!(own, ContainerState::Running(_));
        if is_running || pod.phase() == Some(PodPhase::Running) && own.waiting().is_none() {
            Self::Running
        } else if pod.node().is_some() {
            Self::Starting
        } else {
            Self::Waiting
        }
    }

    /// Whether the pod has not ended.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Over(_))
    }
}

/// The status of the experiment's container, or of the only container of mrunner's own pods.
pub fn experiment(pod: Pod<'_>) -> Option<ContainerStatus<'_>> {
    let own =
        [CONTAINER, helper_pod::CONTAINER, nfs_server::CONTAINER].into_iter().find_map(|name| pod.status_of(name));
    let mut all = pod.statuses();
    own.or_else(|| all.next().filter(|_| all.next().is_none()))
}

/// The statuses of the containers beside the experiment.
pub fn others(pod: Pod<'_>) -> impl Iterator<Item = ContainerStatus<'_>> {
    let own = experiment(pod).map(ContainerStatus::name);
    pod.statuses().filter(move |container| Some(container.name()) != own)
}

/// The name of the container that the experiment waits for, and the reason: an init container that is still
/// running, or a sidecar that is not ready.
pub fn preparing(pod: Pod<'_>) -> Option<(&str, &'static str)> {
    let is_sidecar = |name: &str| pod.spec().init_containers().any(|c| c.name() == name && c.is_sidecar());
    let has_begun = experiment(pod).is_some_and(|own| own.waiting().is_none());
    let holds = |c: &ContainerStatus| c.is_running() && !(is_sidecar(c.name()) && c.has_started());
    let name = pod.init_statuses().find(holds).filter(|_| !has_begun)?.name();
    Some((name, if is_sidecar(name) { "is not ready" } else { "still runs" }))
}

/// Whether the experiment's container has started, and whether it has ended.
pub fn container_state(pod: Pod) -> (bool, bool) {
    let own = pod.status_of(CONTAINER);
    (own.is_some_and(ContainerStatus::is_running), own.is_some_and(|own| own.terminated().is_some()))
}

/// The containers that keep a pod from ending after the experiment has ended.
pub fn holders(pod: Pod<'_>) -> impl Iterator<Item = ContainerStatus<'_>> {
    others(pod).filter(|container| container.terminated().is_none())
}

/// How to avoid the container that keeps the pod of an ended experiment, for the next run.
pub fn way_out(pod: Pod) -> Option<String> {
    const INJECTED: &[(&str, &str)] = &[
        ("istio-proxy", "sidecar.istio.io/inject: \"false\""),
        ("linkerd-proxy", "linkerd.io/inject: disabled"),
        ("vault-agent", "vault.hashicorp.com/agent-inject: \"false\""),
    ];
    let name = holders(pod).next()?.name();
    let known = INJECTED.iter().find(|(container, _)| *container == name);
    Some(match known {
        Some((_, annotation)) => format!("keep `{name}` out with `pod_annotations: {{{annotation}}}` in the context"),
        None => {
            format!("keep `{name}` out with what its injector reads (`pod_annotations`, `pod_labels` in the context)")
        }
    })
}

/// Whether a pod's node does not answer: the control plane says so, or has set the pod to not ready while all
/// containers last reported to be ready, which it does when a node stops reporting.
fn is_silent(pod: Pod) -> bool {
    if pod.phase() == Some(PodPhase::Unknown) || pod.reason() == Some("NodeLost") {
        return true;
    }
    let is_deleted = pod.is_being_deleted();
    let tainted = Disruption::of(pod).is_some_and(|d| d.by == By::Taint) && is_deleted;
    // a kubelet gives a reason for a pod that is not ready; the control plane gives none
    let not_ready = pod.condition("Ready").is_some_and(|ready| ready.is_false() && !ready.has_reason());
    let mut containers = pod.statuses().peekable();
    let began = containers.peek().is_some();
    let all_ready = containers.all(|c| c.is_ready() && c.is_running());
    pod.phase() == Some(PodPhase::Running) && not_ready && began && all_ready && (tainted || !is_deleted)
}

/// Why the cluster ended a pod or is about to, without a fault of the experiment
/// (<https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disruption<'a> {
    /// Which component.
    pub by: By,
    /// The component's message.
    pub message: &'a str,
}

/// Which component disrupted a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The scheduler, for a pod of higher priority.
    Preemption,
    /// The node was tainted, by an administrator or because it does not answer.
    Taint,
    /// The eviction API: a drain.
    Eviction,
    /// The node is gone.
    NodeGone,
    /// The kubelet: its node is short of a resource, or shuts down.
    Kubelet,
    /// Another component.
    Other,
}

impl<'a> Disruption<'a> {
    /// The disruption of a pod, if it has one.
    pub fn of(pod: Pod<'a>) -> Option<Self> {
        let condition = pod.condition("DisruptionTarget").filter(|target| target.is_true())?;
        let by = match condition.reason().unwrap_or_default() {
            "PreemptionByScheduler" => By::Preemption,
            "DeletionByTaintManager" => By::Taint,
            "EvictionByEvictionAPI" => By::Eviction,
            "DeletionByPodGC" => By::NodeGone,
            "TerminationByKubelet" => By::Kubelet,
            _ => By::Other,
        };
        Some(Self { by, message: condition.message() })
    }
}

/// Whether the cluster ends the pod or is about to, so that the experiment's exit code does not decide about the
/// point.
pub fn is_being_ended(pod: Pod) -> bool {
    pod.is_being_deleted() || Disruption::of(pod).is_some()
}

/// Whether a pod is being deleted and has not ended.
pub fn is_leaving(pod: Pod) -> bool {
    pod.is_being_deleted() && Stage::of(pod).is_alive()
}

/// The command that shows the log of one of a pod's containers.
pub fn log_command(pod: Pod, container: &str) -> String {
    format!("kubectl logs {}{} -c {container}", in_namespace(*pod), pod.name())
}

/// The command that shows the details of a pod.
pub fn describe_command(pod: Pod) -> String {
    format!("kubectl describe pod {}{}", in_namespace(*pod), pod.name())
}

/// The option for an object's namespace, followed by a space.
pub fn in_namespace(object: Object) -> String {
    object.namespace().map_or(String::new(), |name| format!("-n {name} "))
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "reads better where they are called")]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use serde_json::{Value, json};

    fn one(name: &str, state: Value) -> Value {
        let is_running = state.as_object().is_some_and(|state| state.contains_key("running"));
        json!({"name": name, "ready": is_running, "state": state})
    }

    fn pod(phase: &str, containers: &[Value]) -> Value {
        json!({"spec": {"nodeName": "n"}, "status": {"phase": phase, "containerStatuses": containers}})
    }

    fn stage(pod: &Value) -> Stage {
        Stage::of(Pod::of(pod))
    }

    fn ended(code: i64) -> Value {
        json!({"terminated": {"exitCode": code}})
    }

    #[test]
    fn the_experiment_decides_and_not_its_neighbours() {
        let (runs, waits) = (json!({"running": {}}), json!({"waiting": {"reason": "PodInitializing"}}));
        let proxy = |state: &Value| one("istio-proxy", state.clone());
        let own = |state: &Value| one(CONTAINER, state.clone());
        let of = |phase: &str, containers: &[Value]| Stage::of(Pod::of(&pod(phase, containers)));
        assert_eq!(of("Running", &[proxy(&runs), own(&runs)]), Stage::Running);
        // a pod whose sidecar has not started keeps the phase `Pending`
        assert_eq!(of("Pending", &[proxy(&waits), own(&runs)]), Stage::Running);
        assert_eq!(of("Running", &[proxy(&runs), own(&waits)]), Stage::Starting);
        assert_eq!(of("Running", &[proxy(&runs), own(&ended(0))]), Stage::Held(0));
        assert_eq!(of("Running", &[proxy(&waits), own(&ended(7))]), Stage::Held(7));
        assert_eq!(of("Running", &[proxy(&ended(5)), own(&ended(0))]), Stage::Running);
        assert_eq!(of("Running", &[own(&ended(0))]), Stage::Running);
        assert_eq!(of("Running", &[]), Stage::Running);
        assert_eq!(of("Failed", &[proxy(&runs), own(&ended(0))]), Stage::Over(false));
        let pod = pod("Running", &[own(&ended(0)), proxy(&runs), one("vault-agent", runs.clone())]);
        assert_eq!(
            crate::runs::endings::held(Pod::of(&pod)).unwrap(),
            "the experiment ended with exit code 0, but containers `istio-proxy`, `vault-agent` keep the pod running"
        );
    }

    #[test]
    fn a_node_that_falls_silent_is_told_from_a_probe_that_fails() {
        let pod = pod("Running", &[one(CONTAINER, json!({"running": {}}))]);
        let with_conditions = |pod: &Value, conditions: Value| with(pod, &["status", "conditions"], conditions);
        let pod = with_conditions(&pod, json!([{"type": "Ready", "status": "False"}]));
        assert_eq!(stage(&pod), Stage::Lost);
        let probed = with(&pod, &["status", "containerStatuses", "0", "ready"], false);
        assert_eq!(stage(&probed), Stage::Running);
        // a deleted pod ends in its own time
        let pod = with(&pod, &["metadata", "deletionTimestamp"], "2026-11-30T10:00:00Z");
        assert_eq!((stage(&pod), is_leaving(Pod::of(&pod))), (Stage::Running, true));
        let tainted = json!([{"type": "Ready", "status": "False"}, {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]);
        assert_eq!(stage(&with_conditions(&pod, tainted)), Stage::Lost);
        for status in [json!({"phase": "Unknown"}), json!({"phase": "Running", "reason": "NodeLost"})] {
            assert_eq!(stage(&with(&pod, &["status"], status)), Stage::Lost);
        }
    }
}
