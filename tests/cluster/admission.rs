//! What the admission of a real API server refuses, and what a namespace with bounds demands of our own pods.

use serde_json::{Value, json};

use crate::project::{Project, until};

/// Cluster-wide objects of a test, gone with the value.
pub struct Policy<'a> {
    project: &'a Project,
    kind: &'static str,
}

impl<'a> Policy<'a> {
    /// A `ValidatingAdmissionPolicy` that demands a label `team` of what is created in the project's namespace.
    fn of_labels(project: &'a Project, resources: &[&str], expression: &str) -> Self {
        let name = &project.namespace;
        let rule = json!({"apiGroups": ["", "batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": resources});
        let api = "admissionregistration.k8s.io/v1";
        project.create(
            &json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "validations": [{"expression": expression, "message": "the label `team` is required"}]}}),
        );
        project.create(
            &json!({"apiVersion": api, "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name}, "spec": {
            "policyName": name, "validationActions": ["Deny"], "matchResources": matching(project)}}),
        );
        Self { project, kind: "validatingadmissionpolicy,validatingadmissionpolicybinding" }
    }

    /// A webhook for what is created of a kind that nobody answers for.
    pub fn away(project: &'a Project, group: &str, resource: &str) -> Self {
        let name = format!("{}.example.com", project.namespace);
        let rule =
            json!({"apiGroups": [group], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [resource]});
        project.create(
            &json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": project.namespace}, "webhooks": [{"name": name, "admissionReviewVersions": ["v1"],
            "sideEffects": "None", "timeoutSeconds": 1, "clientConfig": {"url": "https://127.0.0.1:1/"},
            "namespaceSelector": matching(project)["namespaceSelector"], "rules": [rule]}]}),
        );
        Self { project, kind: "validatingwebhookconfiguration" }
    }
}

fn matching(project: &Project) -> Value {
    json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": project.namespace}}})
}

impl Drop for Policy<'_> {
    fn drop(&mut self) {
        self.project.kubectl(&["delete", self.kind, &self.project.namespace, "--wait=false", "--ignore-not-found"]);
    }
}

#[test]
fn a_policy_denies_at_once_and_pod_labels_satisfy_it() {
    let project = Project::new();
    let team = "has(object.spec.template.metadata.labels) && 'team' in object.spec.template.metadata.labels";
    let _policy = Policy::of_labels(&project, &["jobs"], team);
    let denied = until(|| {
        // a policy takes a moment to be known
        let outcome = project.run(&["run", "--dry-run=server", "train.py"]);
        (outcome.code == 1).then_some(outcome)
    });
    let words = ": a policy of the cluster denied it\n";
    assert!(denied.is_some_and(|outcome| outcome.stderr.contains(words)));
    let denied = project.run(&["run", "train.py"]);
    assert!(denied.code == 1 && denied.stderr.contains("denied it; nothing was submitted\n"), "{}", denied.stderr);
    assert!(denied.stderr.contains("the label `team` is required") && !denied.stderr.contains("trying again"));
    assert!(!project.run(&["status"]).stderr.contains("--resume") && project.objects("jobs").is_empty());
    project.context("storage_class: shared\npod_labels: {team: vision}");
    let run = project.run(&["run", "--wait", "train.py"]).ok().name();
    project.run(&["rerun", &run]).ok();
    let has_team = |pod: &Value| pod["metadata"]["labels"]["team"] == "vision";
    assert!(
        until(|| (project.objects("pods").iter().filter(|pod| has_team(pod)).count() == 2).then_some(())).is_some()
    );
    // a helper is a Job, too
    project.run(&["ls", ":"]).ok();
}

#[test]
fn points_that_are_denied_take_their_job_back_and_a_webhook_that_is_away_is_named() {
    let project = Project::new();
    let policy = Policy::of_labels(&project, &["configmaps"], "object.metadata.name == 'x'");
    let gone = until(|| {
        let outcome = project.run(&["run", "--grid", "lr=1,2", "train.py"]);
        if outcome.code == 0 {
            project.run(&["delete", &outcome.name()]).ok();
            return None;
        }
        Some(outcome)
    });
    let gone = gone.unwrap();
    assert!(gone.stderr.contains("denied it; nothing was submitted\n"), "{}", gone.stderr);
    assert!(project.objects("jobs").is_empty());
    drop(policy);
    let _away = Policy::away(&project, "batch", "jobs");
    let away = until(|| {
        let outcome = project.run(&["run", "train.py"]);
        if outcome.code == 0 {
            project.run(&["delete", &outcome.name()]).ok();
            return None;
        }
        Some(outcome)
    });
    let away = away.unwrap();
    let told = format!("the cluster's webhook `{}.example.com` does not answer", project.namespace);
    assert!(away.stderr.contains(&format!(": {told}; nothing was submitted\n")), "{}", away.stderr);
    assert!(away.stderr.contains(&format!(", trying again: {told}\n")), "{}", away.stderr);
    assert!(!project.run(&["status"]).stderr.contains("--resume") && project.objects("jobs").is_empty());
}

#[test]
fn our_own_pods_fit_a_namespace_with_a_quota_and_bounds() {
    let project = Project::new();
    let hard = json!({"requests.cpu": "4", "requests.memory": "8Gi", "limits.cpu": "8", "limits.memory": "8Gi"});
    project.create(&json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "compute", "namespace": project.namespace}, "spec": {"hard": hard}}));
    project.create(&json!({"apiVersion": "v1", "kind": "LimitRange",
        "metadata": {"name": "bounds", "namespace": project.namespace}, "spec": {"limits": [
            {"type": "Container", "min": {"cpu": "50m", "memory": "64Mi"}, "max": {"cpu": "2", "memory": "2Gi"}},
            {"type": "PersistentVolumeClaim", "max": {"storage": "2G"}}]}}));
    let large = project.run(&["run", "--cpu", "100m", "--mem", "200Mi", "train.py"]);
    assert!(large.code == 1 && large.stderr.contains("with `default_pvc_size` in the context"), "{}", large.stderr);
    project.context("storage_class: shared\nprobe_storage: true\ndefault_pvc_size: 1G");
    let tried = project.run(&["run", "--wait", "--cpu", "100m", "--mem", "200Mi", "train.py"]).ok();
    assert!(tried.stderr.contains("each sees what the other writes"), "{}", tried.stderr);
    project.run(&["ls", ":"]).ok();
    project.run(&["doctor", "--probe"]).ok();
    // bounds that our usual amounts break: our pods take those that were named
    let tight = json!({"spec": {"limits": [
        {"type": "Container", "min": {"cpu": "150m", "memory": "160Mi"}, "max": {"cpu": "1", "memory": "400Mi"}}]}});
    project.kubectl(&["patch", "limitrange", "bounds", "--type=merge", "-p", &tight.to_string()]);
    project.run(&["ls", ":"]).ok();
    let checked = project.run(&["storage", "check", "--probe"]).ok();
    assert!(checked.stdout.contains("each sees what the other writes"), "{}", checked.stdout);
    project.run(&["doctor", "--probe"]).ok();
}

#[test]
fn shared_memory_is_as_large_as_the_memory_limit_or_as_it_is_asked_for() {
    let project = Project::new();
    project.script("import os\ns = os.statvfs('/dev/shm')\nprint('shm', s.f_frsize * s.f_blocks >> 20)\nopen('/dev/shm/x', 'wb').write(bytes(100 << 20))");
    for (flags, size) in [(&["--mem", "300Mi"][..], "shm 300"), (&["--mem", "300Mi", "--shm", "128Mi"], "shm 128")] {
        let outcome = project.run(&[&["run", "--follow"], flags, &["train.py"]].concat()).ok();
        assert!(outcome.stdout.contains(size), "{outcome:?}");
    }
    // the container runtime's own
    project
        .run(&["run", "--follow", "--shm", "0", "train.py"])
        .fails(3, "OSError: [Errno 28] No space left on device\n");
}
