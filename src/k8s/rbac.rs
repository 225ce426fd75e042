//! What a user must be allowed to do: one table, from which `rbac` prints a Role and `doctor` tells
//! what is missing.

use serde_json::{Value, json};

/// Some verbs on one kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The API group, empty for the core.
    pub group: &'static str,
    /// The resource, such as `pods/log`.
    pub resource: &'static str,
    /// The verbs.
    pub verbs: &'static [&'static str],
    /// What it is for, in words that follow "to".
    pub why: &'static str,
    /// Whether all else works without it.
    pub optional: bool,
}

/// Needed in the project's namespace.
pub const IN_NAMESPACE: &[Right] = &[
    right("batch", "jobs", &["create"], "submit runs"),
    right("batch", "jobs", &["get", "list"], "look whether a run was submitted, and see how far it is"),
    right("batch", "jobs", &["delete"], "delete runs"),
    right("", "pods", &["list"], "see how far a run is"),
    right("", "pods", &["get"], "reach a pod by its name: the storage, a shell, a port"),
    right("", "pods/log", &["get"], "show what a run prints"),
    right("", "persistentvolumeclaims", &["get", "create"], "look at the project's storage, and make it"),
    optional("", "pods", &["watch"], "hear at once that a point begins, to show what it prints"),
    optional("batch", "jobs", &["watch"], "hear at once that a run has ended"),
    optional("", "pods/portforward", &["create"], "reach the project's storage: download, upload, ls, du, rm"),
    optional("", "pods/exec", &["create"], "open a shell in a run"),
    optional("", "pods/attach", &["create"], "attach to a run"),
    optional("", "configmaps", &["create"], "submit sweeps"),
    optional("", "configmaps", &["get"], "submit a sweep again"),
    optional("", "configmaps", &["list"], "show the parameters of a sweep's points"),
    optional("batch", "jobs", &["patch"], "let a sweep go once its points are there"),
    optional("", "persistentvolumeclaims", &["patch"], "write down that a volume was tried, and let a claim grow"),
    optional("", "secrets", &["create"], "hand a run secret variables"),
    optional("", "events", &["list"], "say why a run waits"),
];

/// Needed where the context has `registry_username` and no `image_pull_secret`.
pub const FOR_PULL_SECRET: &[Right] =
    &[optional("", "secrets", &["create", "patch"], "give the cluster its login for the registry")];

/// Needed in the project's namespace where runs wait in queues of Kueue.
pub const FOR_QUEUES: &[Right] = &[
    optional("kueue.x-k8s.io", "localqueues", &["list"], "see before a run that its queue is there"),
    optional("kueue.x-k8s.io", "workloads", &["list"], "say why a queue holds a run back"),
    optional("visibility.kueue.x-k8s.io", "localqueues/pendingworkloads", &["get"], "say how many wait before it"),
];

/// Needed in the project's namespace for `project delete --delete-data`.
pub const FOR_DELETING: &[Right] =
    &[optional("", "persistentvolumeclaims", &["delete"], "delete a project's data, once its name was typed")];

/// Needed everywhere by who looks after the cluster's volumes. Whoever may change volumes can have any of them
/// bound to a claim of theirs, and whoever may make them reaches the nodes' own folders
/// (<https://kubernetes.io/docs/concepts/security/rbac-good-practices/#persistent-volume-creation>): so it is
/// nobody's unless it is asked for.
pub const FOR_VOLUMES: &[Right] = &[
    optional("", "persistentvolumes", &["get"], "see whether a project's volume outlives its claim"),
    optional("", "persistentvolumes", &["patch"], "let a project's volume outlive its claim, and be found again"),
    optional("", "persistentvolumes", &["create"], "make a project's volume on an NFS server"),
    optional("", "persistentvolumes", &["delete"], "delete such a volume with its project"),
    optional("", "namespaces", &["delete"], "delete a project's namespace with the project"),
];

/// Needed everywhere, for what a user of one namespace can do without.
pub const CLUSTER_WIDE: &[Right] = &[
    optional("", "namespaces", &["get", "create", "patch"], "make a project's namespace; else name one with `-n`"),
    optional(
        "storage.k8s.io",
        "storageclasses",
        &["list"],
        "choose a storage class; else name one with `--storage-class`",
    ),
    optional(
        "",
        "persistentvolumes",
        &["get", "list"],
        "see that a project's volume is its own and outlives its claim, and find it again",
    ),
    optional("", "nodes", &["list"], "find GPUs and TPUs by their type, and load no image that all nodes have"),
    optional("batch", "jobs", &["list"], "show the runs of all namespaces at once"),
    optional("", "pods", &["list"], "show the runs of all namespaces at once"),
];

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right { group, resource, verbs, why, optional: false }
}

const fn optional(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    why: &'static str,
) -> Right {
    Right { group, resource, verbs, why, optional: true }
}

/// The rules of a Role: the rights of each resource together.
pub fn rules(rights: &[Right]) -> Vec<Value> {
    let mut rules: Vec<(&str, &str, Vec<&str>)> = Vec::new();
    for right in rights {
        match rules.iter_mut().find(|(group, resource, _)| (*group, *resource) == (right.group, right.resource)) {
            Some((.., verbs)) => {
                let new: Vec<_> = right.verbs.iter().copied().filter(|verb| !verbs.contains(verb)).collect();
                verbs.extend(new);
            }
            None => rules.push((right.group, right.resource, right.verbs.to_vec())),
        }
    }
    let rule = |(group, resource, verbs): &(&str, &str, Vec<&str>)| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    rules.iter().map(rule).collect()
}

/// The API group of roles and bindings.
const GROUP: &str = "rbac.authorization.k8s.io";

/// A Role in `namespace`, or a `ClusterRole`, with these rights.
pub fn role(kind: &str, name: &str, namespace: Option<&str>, rights: &[Right]) -> Value {
    let mut role = object(kind, name, namespace);
    role["rules"] = rules(rights).into();
    role
}

/// The binding of such a role, by its kind and name, to `subjects`.
pub fn binding(role: &str, name: &str, namespace: Option<&str>, subjects: &[Value]) -> Value {
    let mut binding = object(&format!("{role}Binding"), name, namespace);
    binding["roleRef"] = json!({ "apiGroup": GROUP, "kind": role, "name": name });
    binding["subjects"] = subjects.to_vec().into();
    binding
}

fn object(kind: &str, name: &str, namespace: Option<&str>) -> Value {
    let mut object =
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": { "name": name } });
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = namespace.into();
    }
    object
}

/// A `User` or a `Group`, as a binding names it.
pub fn subject(kind: &str, name: &str) -> Value {
    json!({ "apiGroup": GROUP, "kind": kind, "name": name })
}

/// A service account, as a binding names it.
pub fn service_account(namespace: &str, name: &str) -> Value {
    json!({ "kind": "ServiceAccount", "namespace": namespace, "name": name })
}

/// Returns whether the answer to a `SelfSubjectRulesReview` may leave rules out: some authorizers can't list theirs
/// (Kubernetes API, `SubjectRulesReviewStatus`).
pub fn is_incomplete(review: &Value) -> bool {
    review["status"]["incomplete"] == true
}

/// The verbs of `right` that the answer to a `SelfSubjectRulesReview` lacks.
pub fn missing(right: &Right, review: &Value) -> Vec<&'static str> {
    let rules = review["status"]["resourceRules"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has = |list: &Value, word: &str| list.as_array().into_iter().flatten().any(|one| one == word || one == "*");
    let allows = |verb: &str, rule: &Value| {
        // a rule for single objects by name says nothing of those that are to come
        let by_name = rule["resourceNames"].as_array().is_some_and(|names| !names.is_empty());
        // `*/log` stands for that part of every resource
        let part = right.resource.split_once('/').map(|(_, part)| format!("*/{part}"));
        let resource =
            has(&rule["resources"], right.resource) || part.is_some_and(|part| has(&rule["resources"], &part));
        !by_name && resource && has(&rule["apiGroups"], right.group) && has(&rule["verbs"], verb)
    };
    right.verbs.iter().copied().filter(|verb| !rules.iter().any(|rule| allows(verb, rule))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_of_a_resource_are_one_rule() {
        let rules = rules(IN_NAMESPACE);
        assert_eq!(
            rules[0],
            json!({"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get", "list", "delete", "watch", "patch"]})
        );
        assert_eq!(rules.len(), 10);
    }

    #[test]
    fn what_is_missing_is_told() {
        let review = |rules: Value| json!({"status": {"resourceRules": rules}});
        let log = &IN_NAMESPACE[5];
        for rules in [
            json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]),
            json!([{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": ["*/log"], "verbs": ["get"]}]),
        ] {
            assert!(missing(log, &review(rules)).is_empty());
        }
        for rules in [
            json!([]),
            json!([{"apiGroups": ["batch"], "resources": ["pods/log"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]),
            json!([{"apiGroups": [""], "resources": ["pods/log"], "verbs": ["get"], "resourceNames": ["x"]}]),
        ] {
            assert_eq!(missing(log, &review(rules)), ["get"]);
        }
        assert_eq!(
            missing(
                &IN_NAMESPACE[1],
                &review(json!([{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get"]}]))
            ),
            ["list"]
        );
    }
}
