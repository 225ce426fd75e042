//! Why a pod waits or a run failed, in words, and whether waiting can help.

use crate::k8s::job::Job;
use crate::k8s::pod::{ContainerStatus, Pod, Pods, Terminated, Waiting};
use crate::runs::endings::{Ending, said};
use crate::runs::faults::{self, Hope, PullFault, brief};
use crate::runs::pods::{self, experiment};

/// Why a pod waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// The reason in words, without the pod's name.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether waiting can help.
    pub hope: Hope,
    /// Whether the image is for another platform than the node.
    pub is_platform: bool,
}

impl Why {
    /// Creates a reason with these words.
    pub fn new(words: impl Into<String>, hint: Option<&str>, hope: Hope) -> Self {
        Self { words: words.into(), hint: hint.map(str::to_owned), hope, is_platform: false }
    }
}

/// Why a pod that has not started waits; `None` if nothing is wrong.
pub fn waits(pod: Pod) -> Option<Why> {
    if let Some(scheduled) = pod.condition("PodScheduled")
        && scheduled.is_false()
    {
        let message = scheduled.message();
        if scheduled.reason() == Some("SchedulingGated") {
            return Some(Why::new(format!("its scheduling gates hold it back: {}", brief(message)), None, Hope::Some));
        }
        return Some(unscheduled(message));
    }
    let found = pod.init_statuses().find_map(|init| blocked(pod, "init container ", init)).or_else(|| {
        let own = experiment(pod)?;
        blocked(pod, "", own).or_else(|| {
            let other =
                own.waiting().and_then(|_| pods::others(pod).find_map(|other| blocked(pod, "container ", other)));
            // the experiment does not wait for this container
            other.map(|why| Why { hope: Hope::Some, ..why })
        })
    });
    found.or_else(|| {
        let (name, state) = pods::preparing(pod)?;
        let hint = format!("see `{}`", pods::log_command(pod, name));
        Some(Why::new(format!("init container `{name}` {state}"), Some(&hint), Hope::Some))
    })
}

/// Why a container does not start. `what` is the kind of container, empty for the experiment's.
fn blocked(pod: Pod, what: &str, container: ContainerStatus) -> Option<Why> {
    let name = container.name();
    let look = format!("see `{}`", pods::log_command(pod, name));
    let describe = format!("see `{}`", pods::describe_command(pod));
    let whose = if what.is_empty() { String::new() } else { format!("{what}`{name}`: ") };
    let why = |words: String, hint: String, hope| Some(Why::new(format!("{whose}{words}"), Some(&hint), hope));
    if !what.is_empty()
        && let Some(ended) = container.terminated()
        && let Some(code) = ended.exit_code().filter(|code| *code != 0)
    {
        let said = said(ended.message());
        let said = said.map_or(String::new(), |said| format!(": {said}"));
        return Some(Why::new(format!("{what}`{name}` failed: exit code {code}{said}"), Some(&look), Hope::Minutes));
    }
    let waiting = container.waiting()?;
    let (message, image) = (waiting.message(), container.image());
    match waiting.reason()? {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" | "SignatureValidationFailed" => {
            let pull = unpulled(image, message);
            Some(Why { words: format!("{whose}{}", pull.words), ..pull })
        }
        "InvalidImageName" => why(
            format!("the image `{image}` can't be used: {}", brief(message)),
            PullFault::Name.hint().to_owned(),
            Hope::None,
        ),
        "ErrImageNeverPull" => why(
            format!("the image `{image}` is not on the node, and may not be pulled: {}", brief(message)),
            "load it onto the nodes, or name one of a registry".to_owned(),
            Hope::Little,
        ),
        "ImageInspectError" => {
            why(format!("the image `{image}` can't be used: {}", brief(message)), describe, Hope::Minutes)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => {
            why(format!("the container can't be created: {}", brief(message)), describe, faults::container(message))
        }
        "CrashLoopBackOff" => {
            let last = container.last_end();
            let code = last.and_then(Terminated::exit_code);
            let code = code.map_or(String::new(), |code| format!(": exit code {code}"));
            let said = last.and_then(|last| said(last.message()));
            let said = said.map_or(String::new(), |said| format!(": {said}"));
            why(format!("fails again and again{code}{said}"), look, Hope::Minutes)
        }
        _ => None,
    }
}

/// Why an image can't be pulled, from the kubelet's message.
pub(super) fn unpulled(image: &str, message: &str) -> Why {
    let cause = if message.contains(BACKS_OFF) && !message.contains(CAUSE) { "" } else { first_cause(message) };
    let colon = if cause.is_empty() { "" } else { ": " };
    let fault = faults::pull(image, message);
    Why {
        words: format!("the image `{image}` can't be pulled{colon}{}", brief(cause)),
        hint: Some(fault.hint().to_owned()),
        hope: fault.hope(),
        is_platform: fault == PullFault::Platform,
    }
}

/// The kubelet's message while it waits before it pulls an image again, and the separator before the cause.
const BACKS_OFF: &str = "Back-off pulling image";
const CAUSE: &str = ": ErrImagePull: ";

/// Whether a pod's events say more than the pod about why its image can't be pulled. This is so while a kubelet
/// backs off and does not repeat the cause (seen with 1.30).
pub fn lacks_cause(pod: Pod) -> bool {
    let message = experiment(pod).and_then(ContainerStatus::waiting).map_or("", Waiting::message);
    message.contains(BACKS_OFF) && !message.contains(CAUSE)
}

/// Whether a pod's status says that an image can't be pulled.
pub(super) fn is_unpulled(pod: Pod) -> bool {
    pod.init_statuses().chain(pod.statuses()).any(|container| {
        let reason = container.waiting().and_then(Waiting::reason).unwrap_or_default();
        reason.contains("ImagePull") || reason == "RegistryUnavailable"
    })
}

/// The end of a chain of causes is the most specific part: `... failed to resolve reference "x": not found`.
fn first_cause(message: &str) -> &str {
    // while the kubelet backs off, the cause comes after the back-off message
    let message = message.trim();
    let message = message.split_once(CAUSE).map_or(message, |(_, cause)| cause);
    // containerd repeats the image name with each of its layers
    let layers = [
        "Failed to pull image ",
        "rpc error: code = ",
        "failed to pull and unpack image ",
        "failed to resolve reference ",
    ];
    layers.iter().fold(message, |rest, layer| match rest.strip_prefix(layer) {
        Some(inner) => {
            inner.split_once(" desc = ").or_else(|| inner.split_once("\": ")).map_or(rest, |(_, cause)| cause)
        }
        None => rest,
    })
}

/// The scheduler's message about the nodes, without its message about preemption.
fn of_nodes(message: &str) -> &str {
    let end = [". preemption: ", ". no new claims to deallocate", " no new claims to deallocate"];
    let cut = end.iter().filter_map(|words| message.find(words)).min().unwrap_or(message.len());
    message[..cut].trim_end_matches('.')
}

fn unscheduled(message: &str) -> Why {
    let lower = message.to_lowercase();
    let shown = brief(message);
    if lower.contains("unbound immediate persistentvolumeclaims") {
        // a volume takes time; the claim's events say what prevents it
        Why::new("its claim has no volume yet", None, Hope::Some)
    } else if lower.contains("persistentvolumeclaim") && lower.contains("not found") {
        // the scheduler may not have seen objects that were created a moment ago
        let hint = "run again: the claim is made anew; its former data are not in it";
        Why::new(format!("its claim is gone: {shown}"), Some(hint), Hope::Little)
    } else if lower.contains("being deleted") {
        Why::new(format!("its claim is being deleted: {shown}"), None, Hope::Little)
    } else if message.is_empty() {
        Why::new("no node has been found for it yet", None, Hope::Some)
    } else {
        let hint = "ask for less with `--cpu`, `--mem`, `--gpu`, or see the nodes with `kubectl get nodes`";
        Why::new(format!("no node fits: {}", brief(of_nodes(message))), Some(hint), Hope::Some)
    }
}

/// How a run failed: from its last pod, or else from its Job.
pub fn failed(job: Job, pods: Pods) -> Option<Ending> {
    let failed = job.condition("Failed");
    // a deadline ends pods that report nothing, whatever happened to others before
    if failed.is_some_and(|failed| failed.is_true() && failed.reason() == Some("DeadlineExceeded")) {
        return Some(Ending::failed("it ran into its deadline".to_owned()));
    }
    let last = pods.iter().rev().find_map(Ending::of);
    last.or_else(|| {
        let failed = failed?;
        if failed.reason() == Some("FailedIndexes") {
            return Some(Ending::failed("it failed, and its pod is gone".to_owned()));
        }
        let message = Some(failed.message()).filter(|message| !message.is_empty());
        Some(Ending::failed(brief(message.or(failed.reason())?)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::CONTAINER;
    use crate::k8s::object::with;
    use serde_json::{Value, json};

    fn waits(pod: &Value) -> Option<Why> {
        super::waits(Pod::of(pod))
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"status": {"containerStatuses": [{"name": CONTAINER, "image": "r/x:1",
               "state": {"waiting": {"reason": reason, "message": message}}}]}})
    }

    #[test]
    fn a_pull_that_fails_names_the_cause() {
        // from 1.30, which has the cause only in an event
        let bare = waiting("ImagePullBackOff", r#"Back-off pulling image "r/x:1""#);
        assert_eq!(
            (waits(&bare).unwrap().words, lacks_cause(Pod::of(&bare))),
            ("the image `r/x:1` can't be pulled".into(), true)
        );
        let message = r#"Back-off pulling image "r/x:1": ErrImagePull: failed to resolve reference "r/x:1": not found"#;
        let why = waits(&waiting("ImagePullBackOff", message)).unwrap();
        assert_eq!(why.words, "the image `r/x:1` can't be pulled: not found");
        // recorded from containerd 1.6
        let message = r#"rpc error: code = NotFound desc = failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found"#;
        assert_eq!(
            waits(&waiting("ErrImagePull", message)).unwrap().words,
            "the image `r/x:1` can't be pulled: r/x:1: not found"
        );
        assert_eq!(why.hope, Hope::Little);
        assert_eq!(waits(&waiting("ContainerCreating", "")), None);
        assert_eq!(waits(&waiting("InvalidImageName", "bad")).unwrap().hope, Hope::None);
    }

    #[test]
    fn a_command_in_a_hint_names_the_namespace() {
        let reasons = ["ImageInspectError", "CreateContainerConfigError", "RunContainerError", "CrashLoopBackOff"];
        for reason in reasons {
            let pod = with(&waiting(reason, "no"), &["metadata"], json!({"name": "a-0-x", "namespace": "p"}));
            let hint = waits(&pod).unwrap().hint.unwrap();
            assert!(hint.starts_with("see `kubectl ") && hint.contains(" -n p a-0-x"), "{hint}");
        }
    }

    #[test]
    fn an_init_container_that_goes_on_is_named() {
        let pod = |init: Value| {
            let pod = with(&waiting("PodInitializing", ""), &["metadata"], json!({"name": "a-0-x", "namespace": "p"}));
            waits(&with(&pod, &["status", "initContainerStatuses"], json!([init])))
        };
        let running = json!({"running": {}});
        let why = pod(json!({"name": "wait-for-db", "started": true, "state": running})).unwrap();
        assert_eq!((why.words.as_str(), why.hope), ("init container `wait-for-db` still runs", Hope::Some));
        assert_eq!(why.hint.as_deref(), Some("see `kubectl logs -n p a-0-x -c wait-for-db`"));
        assert_eq!(pod(json!({"name": "wait-for-db", "state": {"terminated": {"exitCode": 0}}})), None);
        // a native sidecar blocks the pod only until it is ready
        let sidecar = |started: bool| {
            let status = json!({"name": "istio-proxy", "started": started, "state": running});
            let whole = json!({"kind": "Pod", "spec": {"initContainers": [{"name": "istio-proxy", "restartPolicy": "Always"}]},
                "status": {"initContainerStatuses": [status],
                    "containerStatuses": [{"name": CONTAINER, "state": {"waiting": {"reason": "PodInitializing"}}}]}});
            let kept: crate::k8s::prune::Pruned = serde_json::from_value(whole).unwrap();
            waits(&kept.0).map(|why| why.words)
        };
        assert_eq!(sidecar(false).as_deref(), Some("init container `istio-proxy` is not ready"));
        assert_eq!(sidecar(true), None);
    }

    #[test]
    fn a_claim_that_is_still_to_be_bound_is_not_gone() {
        let pod = |message: &str| json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}});
        // recorded from Kubernetes 1.34
        let why = waits(&pod("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"));
        assert_eq!(why.unwrap().hope, Hope::Some);
        let why = waits(&pod(r#"0/2 nodes are available: persistentvolumeclaim "mine" not found. not found"#)).unwrap();
        assert!(why.words.starts_with("its claim is gone") && why.hope == Hope::Little);
    }

    #[test]
    fn an_init_container_that_keeps_ours_from_starting_is_named() {
        let pod = |init: Value| {
            json!({"metadata": {"name": "a-0-x"}, "status": {"phase": "Pending", "initContainerStatuses": [init],
                "containerStatuses": [{"name": CONTAINER, "state": {"waiting": {"reason": "PodInitializing"}}}]}})
        };
        let loops = json!({"name": "istio-proxy", "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
            "lastState": {"terminated": {"exitCode": 1, "message": "no xds\n"}}});
        let why = waits(&pod(loops)).unwrap();
        assert_eq!(
            (why.words.as_str(), why.hope),
            ("init container `istio-proxy`: fails again and again: exit code 1: no xds", Hope::Minutes)
        );
        let unpulled = json!({"name": "istio-init", "image": "r/i:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "r/i:1: not found"}}});
        let why = waits(&pod(unpulled)).unwrap();
        assert_eq!(
            (why.words.as_str(), why.hope),
            ("init container `istio-init`: the image `r/i:1` can't be pulled: r/i:1: not found", Hope::Little)
        );
        let ended = json!({"name": "istio-validation", "state": {"terminated": {"exitCode": 126, "message": "iptables validation failed\n"}}});
        assert_eq!(
            waits(&pod(ended)).unwrap().words,
            "init container `istio-validation` failed: exit code 126: iptables validation failed"
        );
        assert_eq!(waits(&pod(json!({"name": "ok", "state": {"terminated": {"exitCode": 0}}}))), None);
    }

    #[test]
    fn a_sidecar_that_can_not_start_does_not_make_ours_hopeless() {
        let pod = json!({"status": {"phase": "Pending", "containerStatuses": [
            {"name": "istio-proxy", "image": "r/p:1", "state": {"waiting": {"reason": "ErrImagePull", "message": "r/p:1: not found"}}},
            {"name": CONTAINER, "image": "r/x:1", "state": {"waiting": {"reason": "ContainerCreating"}}}]}});
        let why = waits(&pod).unwrap();
        assert_eq!(
            (why.words.as_str(), why.hope),
            ("container `istio-proxy`: the image `r/p:1` can't be pulled: r/p:1: not found", Hope::Some)
        );
    }

    #[test]
    fn a_pod_that_is_gated_is_waited_for() {
        let pod = json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "Scheduling is blocked due to non-empty scheduling gates"}]}});
        assert_eq!(waits(&pod).unwrap().hope, Hope::Some);
    }
}
