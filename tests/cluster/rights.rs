//! Users who may do little.

use serde_json::json;

use crate::project::Project;

/// What `run`, `status`, `logs` and `delete` need: verbs, group and kinds.
const ENOUGH: &[(&str, &str, &str)] = &[
    ("create get list watch delete", "batch", "jobs"),
    ("get list watch", "", "pods"),
    ("get", "", "pods/log"),
    ("get create", "", "persistentvolumeclaims"),
];

/// From now on the user is one who may do this in the project's namespace, and nothing elsewhere.
fn become_a_user(project: &mut Project, rules: &[(&str, &str, &str)]) {
    let list = |words: &str| words.split(' ').map(str::to_owned).collect::<Vec<_>>();
    let rule = |(verbs, group, kinds): &(&str, &str, &str)| json!({"verbs": list(verbs), "apiGroups": [group], "resources": list(kinds)});
    let meta = json!({"name": "anna"});
    project.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}));
    project.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
        "rules": rules.iter().map(rule).collect::<Vec<_>>()}));
    project.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "anna"},
        "subjects": [{"kind": "ServiceAccount", "name": "anna"}]}));
    let token = project.kubectl(&["create", "token", "anna"]);
    project.kubeconfig(|config| config["users"][0]["user"] = json!({"token": token.trim()}));
}

#[test]
fn a_narrow_role_is_enough() {
    let mut project = Project::new();
    become_a_user(&mut project, ENOUGH);
    project.context("");
    let namespace = project.namespace.clone();
    let made = project.run(&["run", "--follow", "-n", &namespace, "--storage-class", "shared", "train.py"]).ok();
    assert_eq!(made.told("storage   made\n").stdout, "hello\n");
    project.claim("mine", "shared", "ReadWriteMany");
    let run = project.run(&["run", "--wait", "--storage-claim", "mine", "train.py"]).ok().name();
    let status = project.run(&["status", "--no-headers", &run]).ok().stdout;
    assert!(status.contains(" Succeeded "), "{status}");
    assert_eq!(project.run(&["logs", &run]).ok().stdout, "hello\n");
    project.run(&["delete", &run]).ok();
    assert_eq!(project.objects("jobs").len(), 1);
}

#[test]
fn a_user_who_may_not_submit_is_told() {
    let mut project = Project::new();
    project.claim("mine", "shared", "ReadWriteMany");
    project.context("storage_claim: mine");
    become_a_user(&mut project, &ENOUGH[1..]);
    let outcome = project.run(&["run", "train.py"]);
    let outcome = outcome.told("\nerror: failed to submit the Job `train-").told(
        "\n  | Error from server (Forbidden): error when creating \"STDIN\": jobs.batch is forbidden: User \"system:serviceaccount:",
    );
    let outcome =
        outcome.fails(1, "hint: see what this user may do with `kubectl --context local auth can-i --list`\n");
    assert_eq!(outcome.stdout, "");
    assert_eq!(project.journals(), [""; 0]);
}

#[test]
fn a_quota_that_is_used_up_is_told() {
    let project = Project::new();
    project.quota("count/jobs.batch");
    let outcome = project.run(&["run", "train.py"]);
    let outcome = outcome.told("\nerror: failed to submit the Job `train-").told("exceeded quota: none-of-");
    outcome.fails(1, "hint: see the quota with `kubectl --context local get resourcequota -A`\n");
    assert_eq!(project.journals(), [""; 0]);
}
