//! What the events of a pod, its Job or its claim say beyond their status. Pure.
//!
//! Events are kept for an hour, and a warning stays in the list after its cause is gone. A warning counts only
//! until a later event shows that the pod got past it.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::k8s::event::Event;
use crate::k8s::manifests::points;
use crate::k8s::pod::Pod;
use crate::runs::diagnosis::{Why, is_unpulled, unpulled};
use crate::runs::faults::{self, CreateFault, Hope, brief};
use crate::runs::pods;
use crate::util::error::Refusal;

/// The result of reading events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartProgress {
    /// Something keeps the pod from starting.
    Problem(Why),
    /// The pod got this far, and nothing since then keeps it from continuing.
    Reached(StartStep),
}

/// The progress of a pod, in order: the Job controller creates it, the scheduler finds a node, the kubelet does the
/// rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StartStep {
    /// The pod was created.
    Created,
    /// The pod has a node.
    Scheduled,
    /// The volumes are mounted.
    Mounted,
    /// The sandbox exists: no event says so, but the next ones imply it.
    Sandboxed,
    /// An image is being pulled.
    Pulling,
    /// An image was pulled, or was present.
    Pulled,
    /// A container was created.
    Container,
    /// A container was started.
    Started,
}

impl StartStep {
    /// The step that an event shows as done.
    fn done(reason: &str) -> Option<Self> {
        Some(match reason {
            "SuccessfulCreate" => Self::Created,
            "Scheduled" => Self::Scheduled,
            "SuccessfulAttachVolume" | "SuccessfulMountVolume" | "ProvisioningSucceeded" => Self::Mounted,
            "Pulling" => Self::Pulling,
            "Pulled" => Self::Pulled,
            "Created" => Self::Container,
            "Started" => Self::Started,
            _ => return None,
        })
    }

    /// The step that a warning is about.
    fn tried(reason: &str) -> Option<Self> {
        Some(match reason {
            "FailedCreate" => Self::Created,
            "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" | "ProvisioningFailed" => Self::Mounted,
            "FailedCreatePodSandBox" | "NetworkNotReady" => Self::Sandboxed,
            "Failed" => Self::Pulling,
            _ => return None,
        })
    }
}

/// An event with when it happened.
#[derive(Debug, Clone, Copy)]
struct TimedEvent<'a> {
    event: Event<'a>,
    at: Option<DateTime<Utc>>,
    version: Option<u64>,
}

impl<'a> TimedEvent<'a> {
    fn of(event: &'a Value) -> Self {
        let event = Event::of(event);
        Self { event, at: event.seen(), version: event.version() }
    }

    fn done(self) -> Option<StartStep> {
        StartStep::done(self.event.reason())
    }

    fn tried(self) -> Option<StartStep> {
        StartStep::tried(self.event.reason())
    }
}

/// Whether `event` shows that `warning` is past. Clocks of several machines differ, so what either the times or the API
/// server's own order show to be later is later.
fn outdates(event: TimedEvent, warning: TimedEvent) -> bool {
    let (Some(done), Some(tried)) = (event.done(), warning.tried()) else { return false };
    if done < tried {
        return false;
    }
    let by_version = event.version.zip(warning.version).map(|(a, b)| a.cmp(&b));
    let by_time = event.at.zip(warning.at).map(|(a, b)| a.cmp(&b));
    match (by_time, by_version) {
        (Some(time), Some(version)) => time.is_gt() || version.is_gt(),
        (None, Some(version)) => version.is_gt(),
        // within one second, a pull that started more often than it failed is still going on
        (Some(time), None) if time.is_eq() && tried == StartStep::Pulling => {
            event.event.count() > warning.event.count()
        }
        (Some(time), None) if time.is_eq() => done > tried,
        (Some(time), None) => time.is_gt(),
        (None, None) => false,
    }
}

/// The last thing that the events of one object say. `pod` is the object's pod, if it is one: the pod itself also
/// says that an image can't be pulled, and an event without that is from an earlier attempt.
pub fn told(events: &[Value], pod: Option<Pod>) -> Option<StartProgress> {
    let mut events: Vec<TimedEvent> = events.iter().map(TimedEvent::of).collect();
    events.sort_by_key(|event| (event.at, event.version));
    let counts = |event: Event| event.reason() != "Failed" || pod.is_none_or(is_unpulled);
    let live = |warning: &TimedEvent| {
        let is_counted = warning.event.is_warning() && counts(warning.event);
        is_counted && !events.iter().any(|event| outdates(*event, *warning))
    };
    let reached = events.iter().filter_map(|event| event.done()).max();
    let judged = |event: TimedEvent| {
        let mut why = trouble(event.event)?;
        // a pod that reached its image once has passed the steps before that
        if reached >= Some(StartStep::Pulling) && event.tried() < Some(StartStep::Pulling) {
            why.hope = why.hope.min(Hope::Minutes);
        }
        Some(StartProgress::Problem(why))
    };
    let last = || events.iter().rev().find_map(|event| event.done()).map(StartProgress::Reached);
    events.iter().rev().copied().filter(live).find_map(judged).or_else(last)
}

/// What keeps a pod from starting, from the events of the pod, its Job or its claim.
pub fn problem_in(events: &[Value]) -> Option<Why> {
    match told(events, None)? {
        StartProgress::Problem(why) => Some(why),
        StartProgress::Reached(_) => None,
    }
}

/// Whether an autoscaler is creating a node for the pod.
pub fn is_scaling_up(events: &[Value]) -> bool {
    let is_one = |event: Event| matches!(event.reason(), "TriggeredScaleUp" | "NodeClaimCreated" | "Nominated");
    events.iter().map(Event::of).any(is_one)
}

fn trouble(event: Event) -> Option<Why> {
    let message = event.message().unwrap_or_default();
    let (namespace, name) = (&pods::in_namespace(*event), event.about());
    let shown = brief(message);
    let why = |words: String, hint: Option<&str>, hope| Some(Why::new(words, hint, hope));
    match event.reason() {
        "FailedCreate" => Some(not_created(message, namespace.trim_end())),
        "FailedMount" | "FailedAttachVolume" | "FailedMapVolume" => {
            let is_points = message.contains(&format!("volume \"{}\"", points::KEY));
            let (what, command) = if is_points { ("points", "get configmaps") } else { ("storage", "describe pvc") };
            why(
                format!("its {what} can't be mounted: {shown}"),
                Some(&format!("see `{}`", format!("kubectl {command} {namespace}").trim_end())),
                faults::mount(message),
            )
        }
        "ProvisioningFailed" => why(
            format!("its storage can't be made: {shown}"),
            Some(&format!(
                "if the class gives no ReadWriteMany volumes: delete the claim with `kubectl delete pvc {namespace}{name}` and run again with another `--storage-class`"
            )),
            provisioning(message),
        ),
        "FailedCreatePodSandBox" | "NetworkNotReady" => {
            why(format!("its node can't make the pod: {shown}"), None, faults::sandbox(message))
        }
        // `Failed to pull image "NAME": CAUSE`
        "Failed" => Some(unpulled(message.strip_prefix("Failed to pull image \"")?.split('"').next()?, message)),
        _ => None,
    }
}

/// A provisioner's final refusals stay the same on the next try.
fn provisioning(message: &str) -> Hope {
    const FINAL: &[&str] = &["only readwriteonce", "unsupported", "not supported", "invalid", "is not allowed"];
    let text = message.to_lowercase();
    if FINAL.iter().any(|words| text.contains(words)) { Hope::Little } else { Hope::Minutes }
}

/// Sorts the parts of a refusal with several bounds, `[A, B]`: the API server returns them in any order.
fn in_order(words: &str) -> String {
    let Some(list) = words.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else { return words.to_owned() };
    let begins = |part: &str| ["maximum ", "minimum "].iter().any(|begin| part.starts_with(begin));
    let mut parts: Vec<String> = Vec::new();
    for part in list.split(", ") {
        match parts.last_mut().filter(|_| !begins(part)) {
            Some(bound) => *bound += &format!(", {part}"),
            None => parts.push(part.to_owned()),
        }
    }
    parts.sort_unstable();
    format!("[{}]", parts.join(", "))
}

fn not_created(message: &str, namespace: &str) -> Why {
    // each try has another pod name
    let said = message.strip_prefix("Error creating: ").unwrap_or(message);
    let of_pod = said.strip_prefix("pods \"").and_then(|rest| rest.split_once("\" is forbidden: "));
    let shown = brief(&in_order(of_pod.map_or(said, |(_, words)| words)));
    match faults::create(message) {
        CreateFault::Unnamed => Why::new(
            format!("the quota of the namespace demands more limits: {shown}"),
            Refusal::QuotaUnnamed.advice(message, true).as_deref(),
            Hope::Little,
        ),
        CreateFault::Quota => Why::new(
            format!("the quota leaves no room for its pod: {shown}"),
            Some("wait for other runs to end, or ask for less with `--cpu`, `--mem`, `--gpu`"),
            Hope::Some,
        ),
        CreateFault::PodSecurity => Why::new(
            format!("the namespace's Pod Security level forbids its pod: {shown}"),
            Some("leave `run_as: 0` out of the context, or ask the cluster's administrator"),
            Hope::None,
        ),
        CreateFault::Policy => Why::new(
            format!("a policy of the cluster forbids its pod: {shown}"),
            Some("change what the policy names, or ask the cluster's administrator"),
            Hope::Little,
        ),
        CreateFault::Limits => Why::new(
            format!("a LimitRange of the namespace forbids its pod: {shown}"),
            Some(&format!(
                "ask for what it allows with `--cpu` and `--mem`; see it with `{}`",
                format!("kubectl describe limitrange {namespace}").trim_end()
            )),
            Hope::Little,
        ),
        CreateFault::Account => Why::new(
            format!("the service account of its pod is not there: {shown}"),
            Some("create it, or name another one in `service_account`"),
            // the service account of a new namespace is created a moment later
            if message.contains("\"default\"") { Hope::Minutes } else { Hope::Little },
        ),
        CreateFault::Ending => Why::new(
            format!("the namespace is being deleted: {shown}"),
            Some("run again once it is gone"),
            Hope::Little,
        ),
        CreateFault::Passing => Why::new(format!("its pod can't be created: {shown}"), None, Hope::Minutes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::object::with;
    use serde_json::json;

    fn event(kind: &str, reason: &str, message: &str, at: &str) -> Value {
        json!({"type": kind, "reason": reason, "message": message, "lastTimestamp": at})
    }

    fn warning(reason: &str, message: &str, at: &str) -> Value {
        event("Warning", reason, message, at)
    }

    fn normal(reason: &str, at: &str) -> Value {
        event("Normal", reason, "", at)
    }

    fn words(events: &[Value]) -> Option<String> {
        problem_in(events).map(|why| why.words)
    }

    const CACHE: &str = "MountVolume.SetUp failed for volume \"points\" : failed to sync configmap cache: timed out waiting for the condition";
    const REFUSED: &str = "Failed to pull image \"r/x:1\": rpc error: code = Unknown desc = dial tcp 127.0.0.1:5056: connect: connection refused";

    #[test]
    fn a_warning_counts_until_a_later_event_shows_progress() {
        let old = warning("FailedMount", CACHE, "2026-11-30T10:00:00Z");
        assert!(words(std::slice::from_ref(&old)).unwrap().starts_with("its points can't be mounted: "));
        for reason in ["Pulling", "Pulled", "Created", "Started", "SuccessfulAttachVolume"] {
            let later = normal(reason, "2026-11-30T10:00:09Z");
            for list in [[old.clone(), later.clone()], [later.clone(), old.clone()]] {
                assert!(matches!(told(&list, None), Some(StartProgress::Reached(_))), "{reason}");
            }
        }
        // earlier or unrelated events show nothing
        assert!(words(&[normal("Scheduled", "2026-11-30T10:00:09Z"), old.clone()]).is_some());
        assert!(words(&[normal("SuccessfulAttachVolume", "2026-11-30T09:59:59Z"), old.clone()]).is_some());
        // and the warning may come back
        let again = warning("FailedMount", CACHE, "2026-11-30T10:00:20Z");
        assert!(words(&[old, normal("SuccessfulAttachVolume", "2026-11-30T10:00:09Z"), again]).is_some());
    }

    #[test]
    fn times_are_compared_as_times() {
        let series = json!({"type": "Warning", "reason": "FailedMount", "message": "late", "lastTimestamp": null,
            "eventTime": "2026-11-30T10:00:00.000001Z", "series": {"count": 3, "lastObservedTime": "2026-11-30T10:05:00.5Z"}});
        // compared as text, this one would be later
        let pulling = normal("Pulling", "2026-11-30T10:05:00Z");
        assert!(words(&[series.clone(), pulling]).is_some());
        assert!(words(&[series.clone(), normal("Pulling", "2026-11-30T11:05:00+01:00")]).is_some());
        assert_eq!(words(&[series.clone(), normal("Pulling", "2026-11-30T10:05:01Z")]), None);
        assert_eq!(words(&[series, normal("Pulling", "2026-11-30T09:05:01-01:00")]), None);
        let eventless = json!({"type": "Warning", "reason": "FailedMount", "message": "m"});
        assert!(words(&[eventless]).is_some());
    }

    #[test]
    fn within_one_second_the_order_of_the_server_decides() {
        let at = "2026-11-30T10:00:00Z";
        let numbered = |event: Value, version: &str| with(&event, &["metadata", "resourceVersion"], version);
        let mount = |version| numbered(warning("FailedMount", CACHE, at), version);
        let pull = |version| numbered(normal("Pulling", at), version);
        assert_eq!(words(&[pull("1000"), mount("999")]), None);
        assert!(words(&[pull("999"), mount("1000")]).is_some());
        // a node's clock that is behind changes nothing
        let late = numbered(warning("FailedAttachVolume", "m", "2026-11-30T10:09:00Z"), "7");
        assert_eq!(words(&[late, pull("8")]), None);
        // without sequence numbers: a pull that started once more than it failed is still going on
        let counted = |event: Value, count: u64| with(&event, &["count"], count);
        let failed = || counted(warning("Failed", REFUSED, at), 2);
        assert_eq!(words(&[failed(), counted(normal("Pulling", at), 3)]), None);
        assert!(words(&[failed(), counted(normal("Pulling", at), 2)]).is_some());
    }

    #[test]
    fn a_pull_that_failed_names_the_cause() {
        let message = r#"Failed to pull image "r/x:1": rpc error: code = NotFound desc = failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found"#;
        let events = [
            warning("Failed", "Error: ImagePullBackOff", "2026-11-30T10:00:02Z"),
            warning("Failed", message, "2026-11-30T10:00:01Z"),
        ];
        let why = problem_in(&events).unwrap();
        assert_eq!(
            (why.words.as_str(), why.hope),
            ("the image `r/x:1` can't be pulled: r/x:1: not found", Hope::Little)
        );
        assert_eq!(problem_in(&[warning("Failed", REFUSED, "2026-11-30T10:00:01Z")]).unwrap().hope, Hope::Minutes);
    }

    #[test]
    fn what_can_not_be_any_more_ends_no_wait() {
        let at = |reason: &str, message: &str| warning(reason, message, "2026-11-30T10:00:09Z");
        let pulling = normal("Pulling", "2026-11-30T10:00:05Z");
        let denied = at("FailedMount", "access denied by server");
        let hope = |events: &[Value]| problem_in(events).unwrap().hope;
        assert_eq!(
            (hope(std::slice::from_ref(&denied)), hope(&[pulling.clone(), denied])),
            (Hope::Little, Hope::Minutes)
        );
        // for an image, the pod has the final say
        let pod = |state: Value| json!({"status": {"containerStatuses": [{"name": "experiment", "state": state}]}});
        let failed = at("Failed", "Failed to pull image \"r/x:1\": r/x:1: not found");
        let list = [pulling, failed];
        let creating = pod(json!({"waiting": {"reason": "ContainerCreating"}}));
        assert_eq!(told(&list, Some(Pod::of(&creating))), Some(StartProgress::Reached(StartStep::Pulling)));
        let backs_off = pod(json!({"waiting": {"reason": "ImagePullBackOff"}}));
        assert!(matches!(told(&list, Some(Pod::of(&backs_off))), Some(StartProgress::Problem(_))));
    }

    #[test]
    fn quota_may_pass_and_pod_security_does_not() {
        let hope = |message: &str| problem_in(&[warning("FailedCreate", message, "")]).unwrap().hope;
        assert_eq!(hope("pods \"a\" is forbidden: exceeded quota: q"), Hope::Some);
        assert_eq!(hope("violates PodSecurity \"restricted:latest\""), Hope::None);
        assert_eq!(hope("admission webhook \"w\" denied the request: no"), Hope::Little);
        assert_eq!(hope("Internal error occurred: failed calling webhook \"w\": connection refused"), Hope::Minutes);
        assert_eq!(
            hope("error looking up service account n/default: serviceaccount \"default\" not found"),
            Hope::Minutes
        );
        assert_eq!(told(&[], None), None);
        // a pod that was created since then had room
        let old = warning("FailedCreate", "exceeded quota: q", "2026-11-30T10:00:01Z");
        assert_eq!(problem_in(&[old, normal("SuccessfulCreate", "2026-11-30T10:00:09Z")]), None);
    }

    #[test]
    fn a_refusal_reads_the_same_in_any_order_of_its_bounds() {
        let (cpu, memory) = ("maximum cpu usage per Pod is 1, but limit is 2", "minimum memory usage per Pod is 1Gi");
        let told = |bounds: String| not_created(&format!("pods \"p\" is forbidden: [{bounds}]"), "").words;
        let words = told(format!("{cpu}, {memory}"));
        assert!(words.ends_with(&format!("[{cpu}, {memory}]")), "{words}");
        assert_eq!(told(format!("{memory}, {cpu}")), words);
    }

    #[test]
    fn a_command_in_a_hint_names_the_namespace() {
        let limits = "pods \"a\" is forbidden: maximum cpu usage per Container is 1, but limit is 2";
        for (reason, message, command) in [
            ("FailedMount", "access denied by server", "`kubectl describe pvc -n p`"),
            ("FailedMount", CACHE, "`kubectl get configmaps -n p`"),
            ("ProvisioningFailed", "only ReadWriteOnce", "`kubectl delete pvc -n p storage`"),
            ("FailedCreate", limits, "`kubectl describe limitrange -n p`"),
        ] {
            let event = warning(reason, message, "2026-11-30T10:00:00Z");
            let event = with(&event, &["metadata"], json!({"name": "e", "namespace": "p"}));
            let event = with(&event, &["involvedObject"], json!({"namespace": "p", "name": "storage"}));
            let hint = problem_in(&[event]).unwrap().hint.unwrap();
            assert!(hint.contains(command), "{hint}");
        }
    }

    #[test]
    fn a_volume_that_will_be_let_go_is_waited_for() {
        let hope = |message: &str| problem_in(&[warning("FailedMount", message, "")]).unwrap().hope;
        // recorded from Kubernetes 1.34
        let early = "failed to fetch PVC from API server: persistentvolumeclaims \"mine\" is forbidden: User \"system:node:node1\" cannot get resource \"persistentvolumeclaims\" in API group \"\" in the namespace \"n\": no relationship found between node 'node1' and this object";
        assert_eq!(hope(early), Hope::Some);
        assert_eq!(hope("Multi-Attach error for volume \"pvc-1\": volume is already used by pod(s) a"), Hope::Some);
        assert_eq!(hope("mount.nfs: access denied by server while mounting"), Hope::Little);
    }
}
