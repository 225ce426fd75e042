//! Views of pods, their containers and what a pod template has. Pure.

mod container;

use serde_json::{Map, Value};

pub use self::container::{ContainerState, ContainerStatus, Terminated, Waiting};
use crate::k8s::object::{Owner, at, fields, list, text, view};

/// The label, or annotation, of a pod with the index that it has in its Job.
pub const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// Annotations of a pod that the Job controller created in place of another: how many attempts at its index failed
/// before, and how many ended without costing a retry.
pub const FAILED_BEFORE: &str = "batch.kubernetes.io/job-index-failure-count";
/// See [`FAILED_BEFORE`].
pub const IGNORED_BEFORE: &str = "batch.kubernetes.io/job-index-ignored-failure-count";

view! {
    /// A pod.
    Pod
}

/// A list of pods.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pods<'a>(&'a [Value]);

impl<'a> Pods<'a> {
    /// Views pods.
    pub fn of(pods: &'a [Value]) -> Self {
        Self(pods)
    }

    /// Each of them.
    pub fn iter(self) -> PodIter<'a> {
        self.0.iter().map(Pod::of)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

/// The iterator over a list of pods.
pub type PodIter<'a> = std::iter::Map<std::slice::Iter<'a, Value>, fn(&'a Value) -> Pod<'a>>;

impl<'a> IntoIterator for Pods<'a> {
    type Item = Pod<'a>;
    type IntoIter = PodIter<'a>;

    fn into_iter(self) -> PodIter<'a> {
        self.iter()
    }
}

/// The phase of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PodPhase {
    /// A container has not started.
    Pending,
    /// A container runs.
    Running,
    /// All containers ended with exit code 0.
    Succeeded,
    /// A container failed, or the cluster ended the pod.
    Failed,
    /// Its node does not answer.
    Unknown,
}

impl<'a> Pod<'a> {
    /// The index that it has in its Job; 0 where it has none.
    pub fn index(self) -> u64 {
        self.label(INDEX).or(self.annotation(INDEX)).and_then(|text| text.parse().ok()).unwrap_or(0)
    }

    /// How many attempts at its index failed before, as its Job counts them.
    pub fn failed_before(self) -> Option<u64> {
        self.annotation(FAILED_BEFORE)?.parse().ok()
    }

    /// How many attempts at its index ended before without costing a retry, as its Job counts them.
    pub fn ignored_before(self) -> Option<u64> {
        self.annotation(IGNORED_BEFORE)?.parse().ok()
    }

    /// The uid of the Job that created it: nothing else of ours owns one.
    pub fn owner_uid(self) -> Option<&'a str> {
        self.owners().find_map(Owner::uid)
    }

    /// Its phase; none where it is missing or not known.
    pub fn phase(self) -> Option<PodPhase> {
        Some(match self.phase_text()? {
            "Pending" => PodPhase::Pending,
            "Running" => PodPhase::Running,
            "Succeeded" => PodPhase::Succeeded,
            "Failed" => PodPhase::Failed,
            "Unknown" => PodPhase::Unknown,
            _ => return None,
        })
    }

    /// The word for its phase.
    pub fn phase_text(self) -> Option<&'a str> {
        text(self.json(), &["status", "phase"])
    }

    /// Whether it has ended.
    pub fn is_over(self) -> bool {
        matches!(self.phase(), Some(PodPhase::Succeeded | PodPhase::Failed))
    }

    /// Why it is in its phase, in one word.
    pub fn reason(self) -> Option<&'a str> {
        text(self.json(), &["status", "reason"])
    }

    /// Why it is in its phase; empty where that is not said.
    pub fn message(self) -> &'a str {
        text(self.json(), &["status", "message"]).unwrap_or_default()
    }

    /// The node that it is on.
    pub fn node(self) -> Option<&'a str> {
        text(self.json(), &["spec", "nodeName"])
    }

    /// Its spec.
    pub fn spec(self) -> PodSpec<'a> {
        PodSpec(at(self.json(), &["spec"]))
    }

    /// The statuses of its containers.
    pub fn statuses(self) -> impl Iterator<Item = ContainerStatus<'a>> {
        list(self.json(), &["status", "containerStatuses"]).iter().map(ContainerStatus)
    }

    /// The statuses of its init containers, in their order.
    pub fn init_statuses(self) -> impl Iterator<Item = ContainerStatus<'a>> {
        list(self.json(), &["status", "initContainerStatuses"]).iter().map(ContainerStatus)
    }

    /// The status of one of its containers.
    pub fn status_of(self, container: &str) -> Option<ContainerStatus<'a>> {
        self.statuses().find(|status| status.name() == container)
    }
}

/// The spec of a pod, or of a pod template.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodSpec<'a>(&'a Value);

impl<'a> PodSpec<'a> {
    /// Views the spec in the pod template of a Job, a Deployment or the like.
    pub fn of_template(object: &'a Value) -> Self {
        Self(at(object, &["spec", "template", "spec"]))
    }

    /// Its containers.
    pub fn containers(self) -> impl Iterator<Item = Container<'a>> {
        list(self.0, &["containers"]).iter().map(Container)
    }

    /// One of its containers.
    pub fn container(self, name: &str) -> Option<Container<'a>> {
        self.containers().find(|container| container.name() == name)
    }

    /// Its init containers.
    pub fn init_containers(self) -> impl Iterator<Item = Container<'a>> {
        list(self.0, &["initContainers"]).iter().map(Container)
    }

    /// The labels that its node must have.
    pub fn node_selector(self) -> Option<&'a Map<String, Value>> {
        fields(self.0, &["nodeSelector"])
    }

    /// Its tolerations.
    pub fn tolerations(self) -> &'a [Value] {
        list(self.0, &["tolerations"])
    }

    /// Its volumes.
    pub fn volumes(self) -> impl Iterator<Item = PodVolume<'a>> {
        list(self.0, &["volumes"]).iter().map(PodVolume)
    }

    /// The first claim that it mounts.
    pub fn claim(self) -> Option<&'a str> {
        self.volumes().find_map(PodVolume::claim)
    }

    /// The user that its containers run as.
    pub fn run_as_user(self) -> Option<i64> {
        at(self.0, &["securityContext", "runAsUser"]).as_i64()
    }

    /// The group that its containers run as.
    pub fn run_as_group(self) -> Option<i64> {
        at(self.0, &["securityContext", "runAsGroup"]).as_i64()
    }

    /// Its service account.
    pub fn service_account(self) -> Option<&'a str> {
        text(self.0, &["serviceAccountName"])
    }

    /// The first Secret that its images are pulled with.
    pub fn image_pull_secret(self) -> Option<&'a str> {
        text(list(self.0, &["imagePullSecrets"]).first()?, &["name"])
    }
}

/// A container as a spec describes it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Container<'a>(&'a Value);

impl<'a> Container<'a> {
    /// Its name; empty where it is missing.
    pub fn name(self) -> &'a str {
        text(self.0, &["name"]).unwrap_or_default()
    }

    /// Its image; empty where it is missing.
    pub fn image(self) -> &'a str {
        text(self.0, &["image"]).unwrap_or_default()
    }

    /// Whether it is an init container that goes on beside the others.
    pub fn is_sidecar(self) -> bool {
        text(self.0, &["restartPolicy"]) == Some("Always")
    }

    /// The resources that it requests.
    pub fn requests(self) -> Option<&'a Map<String, Value>> {
        fields(self.0, &["resources", "requests"])
    }

    /// The value of one of its environment variables.
    pub fn variable(self, name: &str) -> Option<&'a str> {
        let variable = list(self.0, &["env"]).iter().find(|variable| text(variable, &["name"]) == Some(name))?;
        text(variable, &["value"])
    }
}

/// A volume of a pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PodVolume<'a>(&'a Value);

impl<'a> PodVolume<'a> {
    /// Its name; empty where it is missing.
    pub fn name(self) -> &'a str {
        text(self.0, &["name"]).unwrap_or_default()
    }

    /// The claim that it is.
    pub fn claim(self) -> Option<&'a str> {
        text(self.0, &["persistentVolumeClaim", "claimName"])
    }

    /// The `ConfigMap`s that it is projected from, in their order.
    pub fn config_maps(self) -> impl Iterator<Item = &'a str> {
        list(self.0, &["projected", "sources"]).iter().filter_map(|source| text(source, &["configMap", "name"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_is_in_one_state() {
        let state = |state: Value| {
            let pod = json!({"status": {"containerStatuses": [{"name": "c", "state": state}]}});
            let pod = Pod::of(&pod);
            let status = pod.status_of("c").unwrap();
            (status.waiting().is_some(), status.is_running(), status.terminated().and_then(Terminated::exit_code))
        };
        assert_eq!(state(json!({"waiting": {}})), (true, false, None));
        assert_eq!(state(json!({"running": {}})), (false, true, None));
        assert_eq!(state(json!({"terminated": {"exitCode": 3}})), (false, false, Some(3)));
        for odd in [json!({}), json!(null), json!({"running": null}), json!({"waiting": "long"})] {
            assert_eq!(state(odd), (false, false, None));
        }
    }

    #[test]
    fn a_pod_says_which_attempt_it_is() {
        let pod = json!({"metadata": {"labels": {INDEX: "7"}, "annotations": {INDEX: "8", FAILED_BEFORE: "2", IGNORED_BEFORE: "x"}}});
        let pod = Pod::of(&pod);
        assert_eq!((pod.index(), pod.failed_before(), pod.ignored_before()), (7, Some(2), None));
        let older = json!({"metadata": {"annotations": {INDEX: "8"}}});
        assert_eq!((Pod::of(&older).index(), Pod::of(&json!({})).index()), (8, 0));
    }

    #[test]
    fn a_phase_is_one_of_five() {
        let phase = |phase: &str| Pod::of(&json!({"status": {"phase": phase}})).phase();
        assert_eq!((phase("Failed"), phase("Odd"), Pod::of(&json!({})).phase()), (Some(PodPhase::Failed), None, None));
    }
}
