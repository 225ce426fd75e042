//! Nodes that the cluster only believes in.

use std::path::Path;
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde_json::{Value, json};

use crate::project::{Project, program};

static ADDED: RwLock<()> = RwLock::new(());

/// For a test that counts the cluster's nodes: as long as this lives, no test adds one.
pub fn none_added() -> RwLockWriteGuard<'static, ()> {
    ADDED.write().unwrap_or_else(PoisonError::into_inner)
}

/// Starts kwok where it does not run; it is built the first time.
fn start_kwok() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/cluster");
        let kubeconfig = std::env::var_os("KUBECONFIG").unwrap();
        let mut command = program(script);
        // such as where Go's modules come from
        command.envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("GO")));
        command.arg("kwok").env("MRUNNER_CLUSTER", Path::new(&kubeconfig).parent().unwrap());
        assert!(command.status().unwrap().success(), "kwok does not start");
    });
}

/// A node with labels and allocatable resources; gone with the value.
pub struct Node<'a> {
    project: &'a Project,
    pub name: String,
}

impl<'a> Node<'a> {
    /// Without a kubelet: a pod can be bound to it, and never runs.
    pub fn new(project: &'a Project, kind: &str, labels: &Value, resources: &Value) -> Self {
        Self::with(project, kind, labels, resources, &json!({}))
    }

    /// Its kubelet is played by kwok, and its pods end as `kwok.yaml` says.
    pub fn fake(project: &'a Project, kind: &str, pods: u64) -> Self {
        start_kwok();
        let resources = json!({"cpu": "10000", "memory": "100Ti", "pods": pods.to_string()});
        Self::with(project, kind, &json!({}), &resources, &json!({"kwok.x-k8s.io/node": "fake"}))
    }

    fn with(project: &'a Project, kind: &str, labels: &Value, resources: &Value, annotations: &Value) -> Self {
        let name = format!("{kind}-{}", project.namespace);
        let mut labels = labels.clone();
        labels["mrunner-test"] = project.namespace.clone().into();
        // the taint keeps the other tests' pods away, and them from counting it
        project.create(&json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels, "annotations": annotations},
            "spec": {"taints": [{"key": "mrunner-test", "value": project.namespace, "effect": "NoSchedule"}]}}));
        let mut allocatable = json!({"cpu": "8", "memory": "32Gi", "pods": "10"});
        for (resource, count) in resources.as_object().unwrap() {
            allocatable[resource] = count.clone();
        }
        let status = json!({"status": {"allocatable": allocatable, "capacity": allocatable,
            "conditions": [{"type": "Ready", "status": "True", "reason": "Test", "message": "", "lastHeartbeatTime": null, "lastTransitionTime": null}]}});
        project.kubectl(&["patch", "node", &name, "--subresource=status", "--type=merge", "-p", &status.to_string()]);
        Self { project, name }
    }
}

impl Project {
    /// From now on its pods go to nodes of its own alone, and nobody counts the cluster's as long as what is
    /// given back lives.
    pub fn own_nodes(&self) -> RwLockReadGuard<'static, ()> {
        let guard = ADDED.read().unwrap_or_else(PoisonError::into_inner);
        self.context(&format!(
            "storage_class: shared\nnode_selector: {{mrunner-test: {}}}\ntolerations: [{{operator: Exists}}]",
            self.namespace
        ));
        guard
    }
}

impl Drop for Node<'_> {
    fn drop(&mut self) {
        // a test may have deleted it
        self.project.kubectl(&["delete", "node", &self.name, "--wait=false", "--ignore-not-found"]);
    }
}
