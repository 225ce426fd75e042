//! Why a pod waits or failed, in words, and whether waiting can help.

use serde_json::Value;

use crate::objects::condition;
use crate::objects::job::CONTAINER;
use crate::quantity::amount;
use crate::storage::check::is_schedulable;

/// Why a pod waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// In words, without the pod's name.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether waiting can help.
    pub hope: Hope,
}

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hope {
    /// It may well start.
    Some,
    /// It can start only if somebody mends something that rarely mends itself; given up after a while.
    Little,
    /// It can never start as it is.
    None,
}

/// Why a pod that has not started waits; `None` if it only needs its time.
pub fn waits(pod: &Value) -> Option<Why> {
    let pod_name = pod["metadata"]["name"].as_str().unwrap_or_default();
    if let Some(scheduled) = condition(pod, "PodScheduled")
        && scheduled["status"] == "False"
    {
        return Some(unscheduled(scheduled["message"].as_str().unwrap_or_default()));
    }
    let waiting = &container(pod)?["state"]["waiting"];
    let message = waiting["message"].as_str().unwrap_or_default();
    let image = container(pod)?["image"].as_str().unwrap_or_default();
    let why = |words: String, hint: String, hope| Some(Why { words, hint: Some(hint), hope });
    match waiting["reason"].as_str()? {
        "ErrImagePull" | "ImagePullBackOff" | "RegistryUnavailable" => Some(unpulled(image, message)),
        "ErrImageNeverPull" | "InvalidImageName" | "ImageInspectError" => {
            why(format!("the image `{image}` can't be used: {message}"), "check the image's name".into(), Hope::None)
        }
        "CreateContainerConfigError" | "CreateContainerError" | "RunContainerError" => why(
            format!("the container can't be made: {message}"),
            format!("see `kubectl describe pod {pod_name}`"),
            Hope::Little,
        ),
        _ => None,
    }
}

fn unpulled(image: &str, message: &str) -> Why {
    let cause = if message.contains(BACKS_OFF) && !message.contains(CAUSE) { "" } else { first_cause(message) };
    let colon = if cause.is_empty() { "" } else { ": " };
    Why {
        words: format!("the image `{image}` can't be pulled{colon}{cause}"),
        hint: Some("is the registry's address right as seen from the cluster, and may the cluster read it (`image_pull_secret`)?".to_owned()),
        hope: Hope::Little,
    }
}

/// What a kubelet says while it waits before it pulls an image once more, and what may stand behind that.
const BACKS_OFF: &str = "Back-off pulling image";
const CAUSE: &str = ": ErrImagePull: ";

/// Whether a pod's events say more of why its image can't be pulled than the pod itself: so it is while a kubelet
/// backs off that does not repeat the cause (seen of 1.30).
pub fn lacks_cause(pod: &Value) -> bool {
    let message = container(pod).and_then(|c| c["state"]["waiting"]["message"].as_str()).unwrap_or_default();
    message.contains(BACKS_OFF) && !message.contains(CAUSE)
}

fn container(pod: &Value) -> Option<&Value> {
    let all = pod["status"]["containerStatuses"].as_array()?;
    // a helper's only one is called otherwise
    all.iter().find(|c| c["name"] == CONTAINER).or(all.first())
}

/// The end of a chain of causes says most: `... failed to resolve reference "x": not found`.
fn first_cause(message: &str) -> &str {
    // while it backs off, the cause stands behind the news that it does
    let message = message.trim();
    let message = message.split_once(CAUSE).map_or(message, |(_, cause)| cause);
    // containerd says the image's name once more with each layer of its own
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

/// What the scheduler says of the nodes, without what it says of making room.
fn of_nodes(message: &str) -> &str {
    let end = [". preemption: ", ". no new claims to deallocate", " no new claims to deallocate"];
    let cut = end.iter().filter_map(|words| message.find(words)).min().unwrap_or(message.len());
    message[..cut].trim_end_matches('.')
}

fn unscheduled(message: &str) -> Why {
    let lower = message.to_lowercase();
    let (words, hint, hope) = if lower.contains("unbound immediate persistentvolumeclaims") {
        // a volume needs its time; what keeps it from coming stands in the claim's events
        ("its claim has no volume yet".to_owned(), None, Hope::Some)
    } else if lower.contains("persistentvolumeclaim") && lower.contains("not found") {
        (
            format!("its claim is gone: {message}"),
            Some("run again: the claim is made anew; its former data are not in it".to_owned()),
            Hope::None,
        )
    } else if lower.contains("being deleted") {
        (format!("its claim is being deleted: {message}"), None, Hope::None)
    } else if message.is_empty() {
        ("no node has been found for it yet".to_owned(), None, Hope::Some)
    } else {
        let hint = "ask for less with `--cpu`, `--mem`, `--gpu`, or see the nodes with `kubectl get nodes`".to_owned();
        (format!("no node fits: {}", of_nodes(message)), Some(hint), Hope::Some)
    };
    Why { words, hint, hope }
}

/// Whether no node, empty, would ever fit a pod: its selector matches none, or it asks for more than
/// any has. Nodes that an autoscaler would add are not seen; the caller looks for its events.
pub fn fits_nowhere(pod: &Value, nodes: &[Value]) -> bool {
    let fits = |node: &Value| {
        let selector = pod["spec"]["nodeSelector"].as_object();
        let selected = selector.is_none_or(|s| s.iter().all(|(k, v)| node["metadata"]["labels"][k] == *v));
        let containers = pod["spec"]["containers"].as_array();
        let requested =
            containers.into_iter().flatten().flat_map(|c| c["resources"]["requests"].as_object().into_iter().flatten());
        let enough = |(name, wanted): (&String, &Value)| {
            let number = |v: &Value| v.as_str().and_then(amount);
            let has = number(&node["status"]["allocatable"][name]).unwrap_or(0.0);
            number(wanted).unwrap_or(0.0) <= has
        };
        let tolerant = pod["spec"]["tolerations"].as_array().is_some_and(|t| {
            // Kubernetes adds two tolerations of its own to each pod
            t.iter().any(|t| !t["key"].as_str().unwrap_or_default().starts_with("node.kubernetes.io/"))
        });
        selected && requested.into_iter().all(enough) && (tolerant || is_schedulable(node))
    };
    !nodes.is_empty() && !nodes.iter().any(fits)
}

/// What the events of a Job or pod say that its status does not.
pub fn from_events(events: &[Value]) -> Option<Why> {
    let mut newest_first: Vec<&Value> = events.iter().filter(|e| e["type"] == "Warning").collect();
    newest_first.sort_by_key(|e| std::cmp::Reverse(e["lastTimestamp"].as_str().unwrap_or_default().to_owned()));
    newest_first.into_iter().find_map(|event| {
        let message = event["message"].as_str().unwrap_or_default();
        let why = |words: String, hint: Option<&str>, hope| Some(Why { words, hint: hint.map(str::to_owned), hope });
        match event["reason"].as_str()? {
            "FailedCreate" if message.contains("exceeded quota") => why(
                format!("the quota leaves no room for its pod: {message}"),
                Some("wait for other runs to end, or ask for less with `--cpu`, `--mem`, `--gpu`"),
                Hope::Some,
            ),
            "FailedCreate" if message.contains("violates PodSecurity") => why(
                format!("the namespace's Pod Security level forbids its pod: {message}"),
                Some("leave `run_as: 0` out of the context, or ask the cluster's administrator"),
                Hope::None,
            ),
            "FailedCreate" => why(format!("its pod can't be made: {message}"), None, Hope::Little),
            "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => why(
                format!("its storage can't be mounted: {message}"),
                Some("see `kubectl describe pvc` in the run's namespace"),
                if mends_itself(message) { Hope::Some } else { Hope::Little },
            ),
            "ProvisioningFailed" => why(
                format!("its storage can't be made: {message}"),
                Some("if the class gives no ReadWriteMany volumes: delete the claim with `kubectl delete pvc` and run again with another `--storage-class`"),
                Hope::Little,
            ),
            // `Failed to pull image "NAME": CAUSE`
            "Failed" => Some(unpulled(message.strip_prefix("Failed to pull image \"")?.split('"').next()?, message)),
            "FailedCreatePodSandBox" => why(format!("its node can't make the pod: {message}"), None, Hope::Little),
            _ => None,
        }
    })
}

/// Whether what keeps a volume from a pod passes with time alone. The node authorizer learns of a pod a little after its
/// kubelet does, and answers "no relationship found" till then (kubernetes.io/docs/reference/access-authn-authz/node);
/// a volume of one node is attached to the next when the former lets it go, for which a node that died is given six
/// minutes (`maxWaitForUnmountDuration` of the attach-detach controller).
fn mends_itself(message: &str) -> bool {
    message.contains("no relationship found between node") || message.contains("Multi-Attach error")
}

/// Whether an autoscaler is making a node for the pod.
pub fn is_scaling_up(events: &[Value]) -> bool {
    events.iter().any(|e| matches!(e["reason"].as_str(), Some("TriggeredScaleUp" | "NodeClaimCreated" | "Nominated")))
}

/// Why a run failed: what its last pod left, else what its Job says.
pub fn failed(job: &Value, pods: &[Value]) -> Option<String> {
    let last = pods.iter().rev().find(|pod| pod["status"]["phase"] == "Failed");
    if let Some(words) = last.and_then(pod_failed) {
        return Some(words);
    }
    let failed = condition(job, "Failed")?;
    let message = failed["message"].as_str().filter(|m| !m.is_empty());
    Some(message.or(failed["reason"].as_str())?.to_owned())
}

fn pod_failed(pod: &Value) -> Option<String> {
    if pod["status"]["reason"] == "DeadlineExceeded" {
        return Some("it ran into its time limit".to_owned());
    }
    if let Some(disruption) = condition(pod, "DisruptionTarget")
        && disruption["status"] == "True"
    {
        return Some(format!("its node let it go: {}", disruption["message"].as_str().unwrap_or_default()));
    }
    if let Some(terminated) = container(pod).map(|c| &c["state"]["terminated"]).filter(|t| t.is_object()) {
        let code = terminated["exitCode"].as_i64().unwrap_or(0);
        let message = terminated["message"].as_str().unwrap_or_default();
        return Some(match (terminated["reason"].as_str().unwrap_or_default(), code) {
            ("OOMKilled", _) => "it ran out of memory; ask for more with `--mem`".to_owned(),
            ("StartError" | "ContainerCannotRun", _) => format!("its program can't be started: {message}"),
            (_, 126) => "exit code 126: its program can't be executed".to_owned(),
            (_, 127) => "exit code 127: its program was not found in the image".to_owned(),
            (_, 137) => "exit code 137: it was killed (SIGKILL), often for want of memory".to_owned(),
            (_, 143) => "exit code 143: it was ended (SIGTERM)".to_owned(),
            // the kubelet keeps the end of a log where the container left no words of its own
            (_, code) => said(message).map_or(format!("exit code {code}"), |last| format!("exit code {code}: {last}")),
        });
    }
    let reason = pod["status"]["reason"].as_str()?;
    Some(format!("{reason}: {}", pod["status"]["message"].as_str().unwrap_or_default()))
}

/// The last line that a program wrote, if it is not a record of a point.
fn said(message: &str) -> Option<&str> {
    let last = message.lines().map(str::trim).rfind(|line| !line.is_empty())?;
    (!last.starts_with("{\"index\":")).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"status": {"containerStatuses": [{"name": CONTAINER, "image": "r/x:1",
               "state": {"waiting": {"reason": reason, "message": message}}}]}})
    }

    #[test]
    fn a_pull_that_fails_names_the_cause() {
        // from 1.30, which keeps the cause in an event
        let bare = waiting("ImagePullBackOff", r#"Back-off pulling image "r/x:1""#);
        assert_eq!(
            (waits(&bare).unwrap().words, lacks_cause(&bare)),
            ("the image `r/x:1` can't be pulled".into(), true)
        );
        let event = r#"Failed to pull image "r/x:1": rpc error: code = NotFound desc = failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found"#;
        let events = [
            json!({"type": "Warning", "reason": "Failed", "message": "Error: ImagePullBackOff", "lastTimestamp": "2"}),
            json!({"type": "Warning", "reason": "Failed", "message": event, "lastTimestamp": "1"}),
        ];
        assert_eq!(from_events(&events).unwrap().words, "the image `r/x:1` can't be pulled: r/x:1: not found");
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
    fn a_claim_that_is_still_to_be_bound_is_not_gone() {
        let pod = |message: &str| json!({"status": {"conditions": [{"type": "PodScheduled", "status": "False", "message": message}]}});
        // recorded from Kubernetes 1.34
        let why = waits(&pod("0/2 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"));
        assert_eq!(why.unwrap().hope, Hope::Some);
        let why = waits(&pod(r#"0/2 nodes are available: persistentvolumeclaim "mine" not found. not found"#)).unwrap();
        assert!(why.words.starts_with("its claim is gone") && why.hope == Hope::None);
    }

    fn node(cpu: &str) -> Value {
        json!({"metadata": {"labels": {"zone": "a"}}, "spec": {}, "status": {"allocatable": {"cpu": cpu}}})
    }

    #[test]
    fn more_than_any_node_has_never_fits() {
        let pod = |cpu: &str| json!({"spec": {"containers": [{"resources": {"requests": {"cpu": cpu}}}]}});
        assert!(fits_nowhere(&pod("3"), &[node("2")]));
        assert!(!fits_nowhere(&pod("1500m"), &[node("2")]));
        let elsewhere = json!({"spec": {"nodeSelector": {"zone": "b"}, "containers": []}});
        assert!(fits_nowhere(&elsewhere, &[node("2")]));
        // a user who may not list nodes sees none
        assert!(!fits_nowhere(&pod("3"), &[]));
    }

    #[test]
    fn a_failed_pod_says_why() {
        let ended = |reason: &str, code: i64| {
            json!({"status": {"phase": "Failed", "containerStatuses": [{"name": CONTAINER,
                   "state": {"terminated": {"reason": reason, "exitCode": code}}}]}})
        };
        assert_eq!(failed(&json!({}), &[ended("Error", 1)]).unwrap(), "exit code 1");
        let mut raised = ended("Error", 1);
        raised["status"]["containerStatuses"][0]["state"]["terminated"]["message"] =
            "Traceback\nValueError: x\n\n".into();
        assert_eq!(failed(&json!({}), &[raised.clone()]).unwrap(), "exit code 1: ValueError: x");
        raised["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = r#"{"index":0,"code":1}"#.into();
        assert_eq!(failed(&json!({}), &[raised]).unwrap(), "exit code 1");
        assert!(failed(&json!({}), &[ended("OOMKilled", 137)]).unwrap().contains("memory"));
        let deadline = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}});
        assert_eq!(failed(&json!({}), &[deadline]).unwrap(), "it ran into its time limit");
        let job = json!({"status": {"conditions": [{"type": "Failed", "reason": "FailedIndexes", "message": "Job has failed indexes"}]}});
        assert_eq!(failed(&job, &[]).unwrap(), "Job has failed indexes");
    }

    #[test]
    fn quota_may_pass_and_pod_security_does_not() {
        let event = |message: &str| json!({"type": "Warning", "reason": "FailedCreate", "message": message});
        assert_eq!(from_events(&[event("pods \"a\" is forbidden: exceeded quota: q")]).unwrap().hope, Hope::Some);
        assert_eq!(from_events(&[event("violates PodSecurity \"restricted:latest\"")]).unwrap().hope, Hope::None);
        assert_eq!(from_events(&[]), None);
    }

    #[test]
    fn a_volume_that_will_be_let_go_is_waited_for() {
        let hope = |message: &str| {
            from_events(&[json!({"type": "Warning", "reason": "FailedMount", "message": message})]).unwrap().hope
        };
        // recorded from Kubernetes 1.34
        let early = "failed to fetch PVC from API server: persistentvolumeclaims \"mine\" is forbidden: User \"system:node:node1\" cannot get resource \"persistentvolumeclaims\" in API group \"\" in the namespace \"n\": no relationship found between node 'node1' and this object";
        assert_eq!(hope(early), Hope::Some);
        assert_eq!(hope("Multi-Attach error for volume \"pvc-1\": volume is already used by pod(s) a"), Hope::Some);
        assert_eq!(hope("mount failed: exit status 32"), Hope::Little);
    }
}
