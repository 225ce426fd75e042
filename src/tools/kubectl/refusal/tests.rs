//! The words were recorded from Kubernetes 1.34 with kubectl 1.32: a webhook that gives each reason, with and without a
//! code; one that is away, silent, broken; a `ValidatingAdmissionPolicy`; quotas and ranges.

use crate::k8s::object::Resource;
use serde_json::json;

use super::*;
use crate::k8s::names::Namespace;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, Patch, Scope};
use crate::tools::reply::Reply;

const CREATING: &str = r#"error when creating "STDIN": "#;

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused(refusal)
}

#[test]
fn a_refusal_is_told_from_an_unclear_answer() {
    for (words, expected) in [
        (
            r#"Error from server (AlreadyExists): error when creating "STDIN": jobs.batch "a" already exists"#,
            refused(Refusal::AlreadyExists),
        ),
        (
            r#"Error from server (NotFound): error when creating "STDIN": namespaces "x" not found"#,
            refused(Refusal::NoNamespace),
        ),
        (r#"Error from server (NotFound): jobs.batch "x" not found"#, refused(Refusal::NotFound)),
        (
            r#"Error from server (Forbidden): jobs.batch is forbidden: User "x" cannot create"#,
            refused(Refusal::Forbidden),
        ),
        (r#"The Job "a" is invalid: spec.completions: Required value"#, refused(Refusal::Invalid)),
        (
            "The Job \"x\" is invalid: \n* spec.parallelism: Invalid value: -1: x\n* spec.backoffLimit: Invalid value",
            refused(Refusal::Invalid),
        ),
        (
            r#"Error from server (BadRequest): error when creating "STDIN": Job in version "v1" cannot be handled as a Job: strict decoding error: unknown field "spec.completionz""#,
            refused(Refusal::Invalid),
        ),
        ("error: You must be logged in to the server (Unauthorized)", refused(Refusal::Unauthorized)),
        ("error: Apply failed with 1 conflict: conflict with \"x\"", refused(Refusal::Conflict)),
        ("Error from server (ServiceUnavailable): the server is currently unable", Outcome::Unclear),
        ("Error from server (InternalError): an error on the server", Outcome::Unclear),
        ("Error from server: etcdserver: request timed out", Outcome::Unclear),
        ("Unable to connect to the server: net/http: TLS handshake timeout", Outcome::Unclear),
        ("", Outcome::Unclear),
        // a user's name is nobody's policy
        (
            r#"Error from server (Forbidden): jobs.batch is forbidden: User "admission webhook \"x\" denied the request" cannot create"#,
            refused(Refusal::Forbidden),
        ),
    ] {
        assert_eq!(outcome(words), expected, "{words}");
    }
}

#[test]
fn a_policy_denies_whatever_reason_it_gives() {
    let webhook = r#"admission webhook "rec.pb.example.com" denied the request"#;
    for begin in [
        "Error from server: ",
        "Error from server (Forbidden): ",
        "Error from server (AlreadyExists): ",
        "Error from server (NotFound): ",
        "Error from server (InternalError): ",
        "Error from server (ServiceUnavailable): ",
        "Error from server (TooManyRequests): ",
        "Error from server (Timeout): ",
        "Error from server (Conflict): ",
        "Error from server (My Words): ",
        "The request is invalid: ",
    ] {
        for own in ["", CREATING] {
            for said in [
                ": no",
                " without explanation",
                ": \n\nresource Job/pb/x was blocked due to the following policies \n\nrequire-labels:\n  check-team: 'label \"team\" is required'",
            ] {
                let words = format!("{begin}{own}{webhook}{said}");
                assert_eq!(outcome(&words), refused(Refusal::Denied), "{words}");
                let warned = format!("Warning: would violate PodSecurity \"restricted:latest\": x\n{words}");
                assert_eq!(outcome(&warned), refused(Refusal::Denied), "{words}");
                assert!(!all_already_exist(&words) && !all_forbidden(&words));
            }
        }
    }
    let words = format!("error: You must be logged in to the server ({CREATING}{webhook}: no)");
    assert_eq!(outcome(&words), refused(Refusal::Denied));
    let policy = "ValidatingAdmissionPolicy 'team' with binding 'team' denied request: team label is required";
    for words in [
        format!("The jobs \"x\" is invalid: : {policy}"),
        format!("Error from server (Forbidden): {CREATING}jobs.batch \"x\" is forbidden: {policy}"),
        format!("Error from server (RequestEntityTooLarge): jobs.batch \"x\" is forbidden: {policy}"),
        format!("Error from server (Invalid): {CREATING}configmaps \"a\" is forbidden: {policy}"),
    ] {
        assert_eq!(outcome(&words), refused(Refusal::Denied), "{words}");
    }
}

#[test]
fn a_webhook_that_can_not_be_called_has_stored_nothing() {
    for cause in [
        r#"failed to call webhook: Post "https://127.0.0.1:18999/x?timeout=2s": dial tcp 127.0.0.1:18999: connect: connection refused"#,
        r#"failed to call webhook: Post "https://127.0.0.1:18473/hang?timeout=2s": context deadline exceeded"#,
        r#"failed to call webhook: Post "https://nosvc.x.svc:443/x?timeout=2s": service "nosvc" not found"#,
        r#"failed to call webhook: Post "https://x.x.svc:443/x?timeout=2s": no endpoints available for service "x""#,
        r#"failed to call webhook: Post "https://127.0.0.1:1/x": tls: failed to verify certificate: x509: certificate signed by unknown authority"#,
        r#"failed to call webhook: an error on the server ("oops") has prevented the request from succeeding"#,
        "failed to call webhook: couldn't get version/kind; json parse error: json: cannot unmarshal string",
    ] {
        for own in ["", CREATING] {
            let words = format!(
                "Error from server (InternalError): {own}Internal error occurred: failed calling webhook \"rec.pb.example.com\": {cause}"
            );
            assert_eq!(outcome(&words), Outcome::NotYet(NotYet::Webhook("rec.pb.example.com".into())), "{words}");
            assert_eq!(refusal(&words), None);
        }
    }
    let quota = r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch "x" is forbidden: status unknown for quota: q, resources: count/jobs.batch"#;
    assert_eq!(outcome(quota), Outcome::NotYet(NotYet::Admission));
}

#[test]
fn what_helps_depends_on_what_a_policy_denies() {
    let kubectl = Kubectl { program: "kubectl".into(), flags: Vec::new() };
    let namespace = Namespace::of_project("vision");
    // a webhook does not name what it denies
    for said in [
        "Error from server: error when creating \"STDIN\": admission webhook \"w\" denied the request: no",
        "Error from server (Forbidden): pods \"x\" is forbidden: ValidatingAdmissionPolicy 'x' with binding 'x' denied request: no",
    ] {
        assert_eq!(outcome(said), refused(Refusal::Denied));
        let reply = Reply { status: None, stdout: Vec::new(), stderr: said.to_owned() };
        let hint = |cmd: &Cmd| kubectl.failure(&reply, cmd).hints.join("\n");
        for (document, helps) in [
            (r#"{"kind": "Job"}"#, "pod_labels"),
            (r#"{"kind": "Deployment"}"#, "pod_labels"),
            (r#"{"kind": "List", "items": [{"kind": "ConfigMap"}, {"kind": "ConfigMap"}]}"#, "managed-by: mrunner"),
            (r#"{"kind": "Secret"}"#, "managed-by: mrunner"),
            (r#"{"kind": "PersistentVolumeClaim"}"#, "managed-by: mrunner"),
            (r#"{"kind": "Namespace"}"#, "managed-by: mrunner"),
        ] {
            let hint = hint(&kubectl.create(&namespace, "x", document, "create"));
            assert!(hint.contains(helps), "{document}: {hint}");
        }
        let patch = |kind: Resource| {
            hint(&kubectl.patch(Scope::In(&namespace), kind.named("x"), Patch::Merge, &json!({}), "patch"))
        };
        assert!(patch(Resource::Job).contains("pod_labels"));
        assert!(patch(Resource::Claim).contains("managed-by: mrunner"));
    }
}

#[test]
fn who_forbids_is_known_and_what_helps() {
    for (said, expected, advice) in [
        (
            r#"jobs.batch "x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0"#,
            Refusal::QuotaExceeded,
            "delete runs that have ended",
        ),
        (
            r#"configmaps "x" is forbidden: exceeded quota: q, requested: count/configmaps=1, used: count/configmaps=5, limited: count/configmaps=5"#,
            Refusal::QuotaExceeded,
            "delete runs that have ended",
        ),
        (
            r#"persistentvolumeclaims "storage" is forbidden: exceeded quota: q, requested: requests.storage=1G, used: requests.storage=0, limited: requests.storage=500M"#,
            Refusal::QuotaExceeded,
            "default_pvc_size",
        ),
        (
            r#"persistentvolumeclaims "storage" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0"#,
            Refusal::QuotaExceeded,
            "--storage-claim",
        ),
        (
            r#"pods "p" is forbidden: exceeded quota: q2, requested: limits.cpu=10m, used: limits.cpu=1, limited: limits.cpu=1"#,
            Refusal::QuotaExceeded,
            "--cpu",
        ),
        (
            r#"pods "p" is forbidden: failed quota: q2: must specify limits.cpu for: c; limits.memory for: c; requests.cpu for: c"#,
            Refusal::QuotaUnnamed,
            "name the limits with `--cpu` and `--mem`",
        ),
        (
            r#"pods "p" is forbidden: failed quota: q2: must specify requests.memory for: c"#,
            Refusal::QuotaUnnamed,
            "name the limits with `--mem`",
        ),
        (
            r#"pods "p" is forbidden: failed quota: q2: must specify limits.cpu,limits.memory"#,
            Refusal::QuotaUnnamed,
            "`--cpu` and `--mem`",
        ),
        (
            r#"pods "p" is forbidden: failed quota: q2: must specify limits.ephemeral-storage for: c"#,
            Refusal::QuotaUnnamed,
            "LimitRange",
        ),
        (
            r#"persistentvolumeclaims "storage" is forbidden: maximum storage usage per PersistentVolumeClaim is 500M, but request is 1G"#,
            Refusal::ClaimRange,
            "default_pvc_size",
        ),
        (
            r#"persistentvolumeclaims "storage" is forbidden: minimum storage usage per PersistentVolumeClaim is 100M, but request is 1M"#,
            Refusal::ClaimRange,
            "default_pvc_size",
        ),
        (
            r#"pods "p" is forbidden: [maximum memory usage per Container is 1Gi, but limit is 2Gi, maximum cpu usage per Pod is 1500m, but limit is 2]"#,
            Refusal::LimitRange,
            "--mem",
        ),
        (
            r#"pods "p" is forbidden: minimum cpu usage per Container is 100m, but request is 10m"#,
            Refusal::LimitRange,
            "--cpu",
        ),
        (
            r#"pods "p" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 4.000000"#,
            Refusal::LimitRange,
            "--cpu",
        ),
        (
            r#"pods "p" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false"#,
            Refusal::PodSecurity,
            "run_as",
        ),
    ] {
        for words in [
            format!("Error from server (Forbidden): {CREATING}{said}"),
            format!("Error from server (Forbidden): {said}"),
        ] {
            assert_eq!(outcome(&words), refused(expected), "{words}");
        }
        assert_eq!(outcome_of_event(&format!("Error creating: {said}")), refused(expected));
        let told = expected.advice(said, true).unwrap_or_default();
        assert!(told.contains(advice), "{said}: {told}");
    }
}

#[test]
fn other_refusals_are_known() {
    let secrets =
        "secrets \"x\" is forbidden: exceeded quota: q, requested: secrets=1, used: secrets=5, limited: secrets=5";
    assert!(
        Refusal::QuotaExceeded
            .advice(secrets, false)
            .is_some_and(|advice| advice.contains("delete runs that have ended"))
    );
    let scc = r#"Error from server (Forbidden): pods "p" is forbidden: unable to validate against any security context constraint: [x]"#;
    assert_eq!(outcome(scc), refused(Refusal::Denied));
    let account = r#"Error from server (Forbidden): error when creating "STDIN": pods "p" is forbidden: error looking up service account x/y: serviceaccount "y" not found"#;
    assert_eq!(outcome(account), refused(Refusal::NoServiceAccount));
    let event = r#"Error creating: admission webhook "x" denied the request: no"#;
    assert_eq!(outcome_of_event(event), refused(Refusal::Denied));
    let event = r#"Error creating: Internal error occurred: failed calling webhook "x": failed to call webhook: y"#;
    assert_eq!(outcome_of_event(event), Outcome::NotYet(NotYet::Webhook("x".into())));
    let going = r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch "x" is forbidden: unable to create new content in namespace objects-term because it is being terminated"#;
    assert_eq!(outcome(going), refused(Refusal::Terminating));
}

#[test]
fn of_several_objects_the_worst_counts() {
    let exists = r#"Error from server (AlreadyExists): error when creating "STDIN": configmaps "a" already exists"#;
    let denied =
        "Error from server: error when creating \"STDIN\": admission webhook \"x\" denied the request: no\nand no";
    let away = r#"Error from server (InternalError): error when creating "STDIN": Internal error occurred: failed calling webhook "x": y"#;
    let broken = "Error from server (ServiceUnavailable): the server is currently unable";
    let of = |all: &[&str]| outcome(&all.join("\n"));
    assert_eq!(of(&[exists, denied]), refused(Refusal::Denied));
    assert_eq!(of(&[away, exists]), Outcome::NotYet(NotYet::Webhook("x".into())));
    assert_eq!(of(&[away, broken, exists]), Outcome::Unclear);
    assert_eq!(of(&[broken, denied]), refused(Refusal::Denied));
    assert!(all_already_exist(&[exists, exists].join("\n")) && !all_already_exist(&[exists, denied].join("\n")));
}
