//! A pod of a run: how far it is, by what the experiment's own container does. Others that share the pod, such as an
//! injected sidecar, may keep it from starting or from ending. Pure.

use serde_json::Value;

use crate::k8s::manifests::{CONTAINER, condition, helper_pod, nfs_server};
use crate::k8s::pod::INDEX;

/// How far a pod is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No node has it.
    Waiting,
    /// A node prepares it.
    Starting,
    /// The experiment runs, or has ended this moment.
    Running,
    /// The experiment has ended with this exit code, and another container keeps the pod.
    Held(i64),
    /// Its node does not answer for it.
    Lost,
    /// It has ended; whether it succeeded.
    Over(bool),
}

impl Stage {
    /// That of a pod.
    pub fn of(pod: &Value) -> Self {
        match pod["status"]["phase"].as_str() {
            Some("Succeeded") => return Self::Over(true),
            Some("Failed") => return Self::Over(false),
            _ if is_silent(pod) => return Self::Lost,
            _ => {}
        }
        let own = experiment(pod).map(|container| &container["state"]);
        if let Some(code) = own.and_then(|state| state["terminated"]["exitCode"].as_i64()) {
            return if holders(pod).next().is_some() { Self::Held(code) } else { Self::Running };
        }
        let is_waiting = own.is_some_and(|state| state["waiting"].is_object());
        let is_running = own.is_some_and(|state| state["running"].is_object());
        if is_running || pod["status"]["phase"] == "Running" && !is_waiting {
            Self::Running
        } else if pod["spec"]["nodeName"].is_string() {
            Self::Starting
        } else {
            Self::Waiting
        }
    }

    /// Whether it has not ended.
    pub fn is_alive(self) -> bool {
        !matches!(self, Self::Over(_))
    }
}

/// The status of the experiment's container; of a pod that serves mrunner alone, of its own.
pub fn experiment(pod: &Value) -> Option<&Value> {
    let all = pod["status"]["containerStatuses"].as_array()?;
    let named = |name: &str| all.iter().find(|container| container["name"] == name);
    let own = [CONTAINER, helper_pod::CONTAINER, nfs_server::CONTAINER].into_iter().find_map(named);
    own.or(if all.len() == 1 { all.first() } else { None })
}

/// The name of a container, for words.
pub fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

/// The statuses of the containers beside the experiment's.
pub fn others(pod: &Value) -> impl Iterator<Item = &Value> {
    let own = experiment(pod).map(name_of);
    statuses(pod, "containerStatuses").filter(move |c| Some(name_of(c)) != own)
}

/// The statuses of the containers that begin before the experiment's, in their order.
pub fn before(pod: &Value) -> impl Iterator<Item = &Value> {
    statuses(pod, "initContainerStatuses")
}

/// The name of the container that the experiment's waits for, and what keeps it: an init container that still runs, or
/// a sidecar among them that is not ready.
pub fn preparing(pod: &Value) -> Option<(&str, &'static str)> {
    let specs = || pod["spec"]["initContainers"].as_array().into_iter().flatten();
    let is_sidecar = |name: &str| specs().any(|c| name_of(c) == name && c["restartPolicy"] == "Always");
    let has_begun = experiment(pod).is_some_and(|own| !own["state"]["waiting"].is_object());
    let holds = |c: &&Value| c["state"]["running"].is_object() && !(is_sidecar(name_of(c)) && c["started"] == true);
    let name = before(pod).find(holds).filter(|_| !has_begun).map(name_of)?;
    Some((name, if is_sidecar(name) { "is not ready" } else { "still runs" }))
}

fn statuses<'a>(pod: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    pod["status"][list].as_array().into_iter().flatten()
}

/// Which index of its Job a pod has.
pub fn index_of(pod: &Value) -> u64 {
    let meta = &pod["metadata"];
    let text = meta["labels"][INDEX].as_str().or(meta["annotations"][INDEX].as_str());
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Whether the experiment's container has started, and whether it has ended.
pub fn container_state(pod: &Value) -> (bool, bool) {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let state = statuses.and_then(|all| all.iter().find(|c| c["name"] == CONTAINER)).map(|c| &c["state"]);
    let is = |name: &str| state.is_some_and(|s| s[name].is_object());
    (is("running"), is("terminated"))
}

/// The containers that keep a pod from ending, once the experiment has ended.
pub fn holders(pod: &Value) -> impl Iterator<Item = &Value> {
    others(pod).filter(|container| !container["state"]["terminated"].is_object())
}

/// How a pod whose experiment has ended gets rid of the container that holds it, the next time.
pub fn way_out(pod: &Value) -> Option<String> {
    const INJECTED: &[(&str, &str)] = &[
        ("istio-proxy", "sidecar.istio.io/inject: \"false\""),
        ("linkerd-proxy", "linkerd.io/inject: disabled"),
        ("vault-agent", "vault.hashicorp.com/agent-inject: \"false\""),
    ];
    let name = name_of(holders(pod).next()?);
    let known = INJECTED.iter().find(|(container, _)| *container == name);
    Some(match known {
        Some((_, annotation)) => format!("keep `{name}` out with `pod_annotations: {{{annotation}}}` in the context"),
        None => {
            format!("keep `{name}` out with what its injector reads (`pod_annotations`, `pod_labels` in the context)")
        }
    })
}

/// Whether nobody answers for a pod: the control plane says so, or it took back that the pod is ready while all its
/// containers last said that they are, which is what it does of a node that falls silent.
fn is_silent(pod: &Value) -> bool {
    let (meta, status) = (&pod["metadata"], &pod["status"]);
    if status["phase"] == "Unknown" || status["reason"] == "NodeLost" {
        return true;
    }
    let tainted = Disruption::of(pod).is_some_and(|d| d.by == By::Taint) && !meta["deletionTimestamp"].is_null();
    // a kubelet that finds a pod not ready gives a reason, the control plane gives none
    let not_ready =
        condition(pod, "Ready").is_some_and(|ready| ready["status"] == "False" && ready["reason"].is_null());
    let mut containers = statuses(pod, "containerStatuses").peekable();
    let began = containers.peek().is_some();
    let all_ready = containers.all(|c| c["ready"] == true && c["state"]["running"].is_object());
    status["phase"] == "Running" && not_ready && began && all_ready && (tainted || meta["deletionTimestamp"].is_null())
}

/// Why the cluster ended a pod, or is about to, through no fault of the experiment
/// (<https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disruption<'a> {
    /// Who.
    pub by: By,
    /// In its words.
    pub message: &'a str,
}

/// Who disrupted a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// The scheduler, for a pod of higher priority.
    Preemption,
    /// The node was tainted, by an administrator or because it does not answer.
    Taint,
    /// The eviction API: a drain.
    Eviction,
    /// The node is no more.
    NodeGone,
    /// The kubelet: its node is short of something, or shuts down.
    Kubelet,
    /// Somebody else.
    Other,
}

impl<'a> Disruption<'a> {
    /// That of a pod, if it has one.
    pub fn of(pod: &'a Value) -> Option<Self> {
        let condition = condition(pod, "DisruptionTarget").filter(|c| c["status"] == "True")?;
        let by = match condition["reason"].as_str().unwrap_or_default() {
            "PreemptionByScheduler" => By::Preemption,
            "DeletionByTaintManager" => By::Taint,
            "EvictionByEvictionAPI" => By::Eviction,
            "DeletionByPodGC" => By::NodeGone,
            "TerminationByKubelet" => By::Kubelet,
            _ => By::Other,
        };
        Some(Self { by, message: condition["message"].as_str().unwrap_or_default() })
    }
}

/// Whether the cluster ends a pod, or is about to: what becomes of its point is not decided by how its experiment ended.
pub fn is_being_ended(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null() || Disruption::of(pod).is_some()
}

/// Whether a pod should be gone: it is being deleted, and has not ended.
pub fn is_leaving(pod: &Value) -> bool {
    !pod["metadata"]["deletionTimestamp"].is_null() && Stage::of(pod).is_alive()
}

/// The node of a pod.
pub fn node(pod: &Value) -> Option<&str> {
    pod["spec"]["nodeName"].as_str()
}

/// What shows the log of one of a pod's containers.
pub fn log_command(pod: &Value, container: &str) -> String {
    format!("kubectl logs {}{} -c {container}", in_namespace(pod), name(pod))
}

/// What shows all about a pod.
pub fn describe_command(pod: &Value) -> String {
    format!("kubectl describe pod {}{}", in_namespace(pod), name(pod))
}

/// The option for an object's namespace, with a blank behind it.
pub fn in_namespace(object: &Value) -> String {
    object["metadata"]["namespace"].as_str().map_or(String::new(), |name| format!("-n {name} "))
}

/// The name of a pod.
pub fn name(pod: &Value) -> &str {
    pod["metadata"]["name"].as_str().unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "reads better where they are called")]
mod tests {
    use super::*;
    use serde_json::json;

    fn one(name: &str, state: Value) -> Value {
        json!({"name": name, "ready": state["running"].is_object(), "state": state})
    }

    fn pod(phase: &str, containers: &[Value]) -> Value {
        json!({"spec": {"nodeName": "n"}, "status": {"phase": phase, "containerStatuses": containers}})
    }

    fn ended(code: i64) -> Value {
        json!({"terminated": {"exitCode": code}})
    }

    #[test]
    fn the_experiment_decides_and_not_its_neighbours() {
        let (runs, waits) = (json!({"running": {}}), json!({"waiting": {"reason": "PodInitializing"}}));
        let proxy = |state: &Value| one("istio-proxy", state.clone());
        let own = |state: &Value| one(CONTAINER, state.clone());
        let of = |phase: &str, containers: &[Value]| Stage::of(&pod(phase, containers));
        assert_eq!(of("Running", &[proxy(&runs), own(&runs)]), Stage::Running);
        // a sidecar that has not started keeps the phase `Pending`
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
            crate::runs::endings::held(&pod).unwrap(),
            "the experiment ended with exit code 0, but containers `istio-proxy`, `vault-agent` keep the pod running"
        );
    }

    #[test]
    fn a_node_that_falls_silent_is_told_from_a_probe_that_fails() {
        let mut pod = pod("Running", &[one(CONTAINER, json!({"running": {}}))]);
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        assert_eq!(Stage::of(&pod), Stage::Lost);
        let mut probed = pod.clone();
        probed["status"]["containerStatuses"][0]["ready"] = false.into();
        assert_eq!(Stage::of(&probed), Stage::Running);
        // one that is deleted ends in its own time
        pod["metadata"]["deletionTimestamp"] = "2026-11-30T10:00:00Z".into();
        assert_eq!((Stage::of(&pod), is_leaving(&pod)), (Stage::Running, true));
        pod["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}, {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]);
        assert_eq!(Stage::of(&pod), Stage::Lost);
        pod["status"] = json!({"phase": "Unknown"});
        assert_eq!(Stage::of(&pod), Stage::Lost);
        pod["status"] = json!({"phase": "Running", "reason": "NodeLost"});
        assert_eq!(Stage::of(&pod), Stage::Lost);
    }
}
