//! The checks of `doctor` in the cluster.

use serde_json::{Value, json};

use crate::cli::commands::checks::{Check, CheckState, check, failed};
use crate::k8s::accelerators::{offers, summary};
use crate::k8s::manifests::pretty;
use crate::k8s::node::Node;
use crate::k8s::rbac::{FOR_PULL_SECRET, FOR_QUEUES, IN_NAMESPACE, is_incomplete, missing};
use crate::k8s::version::Version;
use crate::ops::facts::queue::{Queue, find_queue};
use crate::ops::facts::storage::{ProjectObjects, answers_for, project_objects};
use crate::request::RunRequest;
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{OLDEST_MINOR, Scope};

/// The versions of kubectl and the cluster.
pub(super) fn version(cluster: Cluster) -> Vec<Check> {
    let cmd = cluster.kubectl.version();
    let reply = match cluster.shell.read(&cmd) {
        Ok(reply) => reply,
        Err(error) => {
            return vec![failed("kubectl", &error), check("cluster", CheckState::Skipped, "it is asked by kubectl")];
        }
    };
    let told: Value = serde_json::from_slice(&reply.stdout).unwrap_or_default();
    let (client, server) = (Version::of_client(&told), Version::of_server(&told));
    let mut kubectl = match client.text() {
        Some(version) => check("kubectl", CheckState::Ok, version),
        None => check("kubectl", CheckState::Failed, "it does not tell its version"),
    };
    if let (Some(ours), Some(theirs)) = (client.minor(), server.minor())
        && (ours - theirs).abs() > 1
    {
        kubectl.state = CheckState::Warning;
        kubectl.message += ", more than one minor version away from the cluster's";
        kubectl.hints.push("get one that is nearer: https://kubernetes.io/releases/version-skew-policy/".to_owned());
    }
    let server = match server.text() {
        Some(version) if server.minor().is_some_and(|minor| minor < OLDEST_MINOR) => check(
            "cluster",
            CheckState::Failed,
            format!("{version}, and Kubernetes 1.{OLDEST_MINOR} or newer is needed"),
        )
        .hint("have it updated: older ones do not keep account of each point of a run"),
        Some(version) => check("cluster", CheckState::Ok, format!("answers, {version}")),
        None => failed("cluster", &cluster.kubectl.failure(&reply, &cmd).into()),
    };
    vec![kubectl, server]
}

pub(super) fn rights(cluster: Cluster, request: &RunRequest) -> Vec<Check> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": request.namespace.as_str() },
    });
    let cmd = cluster
        .kubectl
        .create(&request.namespace, "review.json", &pretty(&review), "ask what you may do")
        // the document has no user input, and validating needs its own permissions
        .arg("--validate=false")
        .api(vec!["/apis/authorization.k8s.io/v1/selfsubjectrulesreviews".to_owned()]);
    let review = match cluster.answer(&cmd).and_then(|reply| reply.json(&cmd)) {
        Ok(review) => review,
        Err(error) => return vec![failed("rights", &error)],
    };
    let secrets =
        if request.registry_login.is_some() && request.image_pull_secret.is_none() { FOR_PULL_SECRET } else { &[] };
    let queues = if request.queue.is_some() { FOR_QUEUES } else { &[] };
    let mut lacks = Vec::new();
    // a run whose image needs a login can't work without the Secret
    let all = IN_NAMESPACE.iter().chain(queues).map(|right| (right, !right.optional));
    for (right, needed) in all.chain(secrets.iter().map(|right| (right, true))) {
        let verbs = missing(right, &review);
        if !verbs.is_empty() {
            lacks.push((needed, format!("{} {}, to {}", verbs.join(", "), right.resource, right.why)));
        }
    }
    let grant = format!(
        "have them granted: `kubectl mrunner rbac -n {}{}{} --for-user USER | kubectl apply -f -`",
        request.namespace,
        if secrets.is_empty() { "" } else { " --pull-secret" },
        if queues.is_empty() { "" } else { " --queue" },
    );
    if lacks.is_empty() {
        return vec![check(
            "rights",
            CheckState::Ok,
            format!("all that is needed in the namespace `{}`", request.namespace),
        )];
    }
    let unsure = is_incomplete(&review);
    let state = |needed: bool| if needed && !unsure { CheckState::Failed } else { CheckState::Warning };
    let words = |what: String| {
        if unsure {
            format!("perhaps you may not {what}; the cluster can't tell all")
        } else {
            format!("you may not {what}")
        }
    };
    let mut checks: Vec<_> =
        lacks.into_iter().map(|(needed, what)| check("rights", state(needed), words(what))).collect();
    // one hint for all
    let last = checks.pop().map(|last| last.hint(grant));
    checks.extend(last);
    checks
}

/// The queue in the context.
pub(super) fn queue(cluster: Cluster, request: &RunRequest) -> Option<Check> {
    let queue = request.queue.as_deref()?;
    Some(match find_queue(cluster, &request.namespace, queue) {
        Ok(Queue::There) => check("queue", CheckState::Ok, format!("`{queue}` is there")),
        Ok(Queue::Unseen) => {
            check("queue", CheckState::Ok, format!("`{queue}`; you may not look at queues, which is not needed"))
        }
        Ok(Queue::NoKueue) => check(
            "queue",
            CheckState::Warning,
            format!("Kueue is not in this cluster: runs do not wait in `{queue}`, but start at once"),
        ),
        Err(error) => failed("queue", &error),
    })
}

/// The project's namespace and storage, with the same request as in a run.
pub(super) fn space(cluster: Cluster, request: &RunRequest) -> [Check; 2] {
    match project_objects(cluster, &request.namespace, request.storage.claim.as_str()).settle(cluster) {
        Ok(standing) => [namespace(cluster, request, &standing), storage(cluster, request, &standing)],
        Err(error) => {
            [check("namespace", CheckState::Skipped, "it is read with the storage"), failed("storage", &error)]
        }
    }
}

fn namespace(cluster: Cluster, request: &RunRequest, standing: &ProjectObjects) -> Check {
    let name = &request.namespace;
    let Some(object) = standing.namespace() else {
        return if !standing.namespace_missing {
            check("namespace", CheckState::Ok, format!("`{name}`; you may not look at it, which is not needed"))
        } else if request.own_namespace {
            check("namespace", CheckState::Ok, format!("`{name}` is not there; the first run makes it"))
        } else {
            check("namespace", CheckState::Failed, format!("`{name}` does not exist"))
                .hint(format!("make it with `{} create namespace {name}`", cluster.kubectl.cmd(Scope::Everywhere, "")))
        };
    };
    match object.pod_security() {
        Some(level) if request.run_as.0 == 0 && level != "privileged" && level != "baseline" => check(
            "namespace",
            CheckState::Failed,
            format!("`{name}` enforces Pod Security `{level}`, and the context runs as root"),
        )
        .hint("run as somebody else: `run_as: 1000` in the context"),
        Some(level) => {
            check("namespace", CheckState::Ok, format!("`{name}` enforces Pod Security `{level}`, which runs pass"))
        }
        None => {
            check("namespace", CheckState::Ok, format!("`{name}` is there; it enforces no Pod Security of its own"))
        }
    }
}

fn storage(cluster: Cluster, request: &RunRequest, standing: &ProjectObjects) -> Check {
    match answers_for(cluster, request, standing).settle(cluster).map(|answers| answers.choice) {
        Ok(None) => check("storage", CheckState::Ok, format!("the claim `{}` can be used", request.storage.claim)),
        Ok(Some(choice)) => check(
            "storage",
            CheckState::Ok,
            format!(
                "a new claim `{}` of {} would be made: {}",
                request.storage.claim, request.storage.size, choice.why
            ),
        ),
        Err(error) => failed("storage", &error),
    }
}

pub(super) fn nodes(cluster: Cluster) -> Check {
    let nodes = match cluster.nodes() {
        Ok(Some(nodes)) => nodes,
        Ok(None) => {
            return check("nodes", CheckState::Warning, "you may not list them, so no GPU is found by its type");
        }
        Err(error) => return failed("nodes", &error),
    };
    let usable = nodes.iter().filter(|node| Node::of(node).is_schedulable()).count();
    let cards = summary(&offers(&nodes));
    let cards = if cards.is_empty() { "no GPUs, no TPUs".to_owned() } else { cards.join("; ") };
    let state = if usable == 0 { CheckState::Failed } else { CheckState::Ok };
    let check = check("nodes", state, format!("{}, of which {usable} take pods; {cards}", nodes.len()));
    if usable == 0 { check.hint("see why with `kubectl describe nodes`") } else { check }
}
