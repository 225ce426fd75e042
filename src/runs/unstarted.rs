//! Why one of mrunner's own pods is not created, and which resources would be allowed. Pure. No flag changes the
//! resources of such a pod, so the hints for a run do not apply.

use serde_json::Value;

use crate::k8s::event::Event;
use crate::k8s::manifests::helper_pod;
use crate::k8s::names::Namespace;
use crate::runs::diagnosis::Why;
use crate::runs::events;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Kubectl, Outcome, Scope};
use crate::tools::reply::Reply;
use crate::util::error::{Cause, Fail, Refusal};

/// The resources that fit, if a Job's events say that a `LimitRange` refused these.
pub fn fitted(events: &[Value], resources: &Value) -> Option<Value> {
    let mut words = events.iter().filter_map(|event| Event::of(event).message());
    let refused = Outcome::Refused(Refusal::LimitRange);
    helper_pod::fitted(resources, words.find(|words| kubectl::outcome_of_event(words) == refused)?)
}

/// What keeps the pod of a Job from being created, by the Job's events.
pub fn why(events: &[Value], kubectl: &Kubectl, namespace: &Namespace) -> Option<Why> {
    let why = events::problem_in(events)?;
    let mut words = events.iter().rev().filter_map(|event| Event::of(event).message());
    let hint = words.find_map(|words| hint(&kubectl::outcome_of_event(words), kubectl, namespace));
    Some(Why { hint: hint.or(why.hint), ..why })
}

/// The error of a command that failed to create such a pod.
pub fn failure(kubectl: &Kubectl, namespace: &Namespace, reply: &Reply, cmd: &Cmd) -> Fail {
    let mut error = kubectl.failure(reply, cmd);
    if let Some(Cause::Refused(refusal)) = error.known
        && let Some(hint) = hint(&Outcome::Refused(refusal), kubectl, namespace)
    {
        error.hints = vec![hint];
    }
    error
}

/// What to do if the namespace does not allow the pod's resources.
fn hint(outcome: &Outcome, kubectl: &Kubectl, namespace: &Namespace) -> Option<String> {
    let wait = match outcome {
        Outcome::Refused(Refusal::QuotaExceeded) => "wait for other runs to end, or ",
        Outcome::Refused(Refusal::QuotaUnnamed | Refusal::LimitRange) => "",
        _ => return None,
    };
    let look = kubectl.cmd(Scope::In(namespace), "").args(["describe", "limitrange,resourcequota"]);
    Some(format!("{wait}ask the namespace's administrator; see `{look}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn no_flag_of_a_run_is_named() {
        let kubectl = Kubectl { program: "kubectl".into(), flags: Vec::new() };
        let namespace = Namespace::of_project("vision");
        let told = |message: &str| {
            let event = json!({"type": "Warning", "reason": "FailedCreate", "message": message});
            why(&[event], &kubectl, &namespace).unwrap()
        };
        let ask = "ask the namespace's administrator; see `kubectl -n vision describe limitrange,resourcequota`";
        let bound = "pods \"p\" is forbidden: minimum cpu usage per Container is x, but request is 100m";
        assert_eq!(told(bound).hint.as_deref(), Some(ask));
        let quota = told("Error creating: pods \"p\" is forbidden: exceeded quota: q, requested: pods=1");
        assert_eq!(quota.hint, Some(format!("wait for other runs to end, or {ask}")));
        let account = told("error looking up service account n/a: serviceaccount \"a\" not found");
        assert!(account.hint.unwrap().contains("service_account"));
    }
}
