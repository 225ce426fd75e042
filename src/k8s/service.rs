//! Views of Services and Deployments. Pure.

use crate::k8s::object::{number, text, view};

view! {
    /// A Service.
    Service
}

impl<'a> Service<'a> {
    /// Its address in the cluster; a headless Service has none.
    pub fn address(self) -> Option<&'a str> {
        text(self.json(), &["spec", "clusterIP"]).filter(|ip| !ip.is_empty() && *ip != "None")
    }
}

view! {
    /// A Deployment.
    Deployment
}

impl Deployment<'_> {
    /// Whether its one pod is ready and is of its newest generation.
    pub fn is_ready(self) -> bool {
        let status = |name| number(self.json(), &["status", name]);
        let generation = number(self.json(), &["metadata", "generation"]);
        status("readyReplicas") == Some(1)
            && status("updatedReplicas") == Some(1)
            && status("observedGeneration") == generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_deployment_is_ready_with_its_newest_pod() {
        let with = |observed: u64, updated: u64| {
            json!({"metadata": {"generation": 2},
                   "status": {"observedGeneration": observed, "updatedReplicas": updated, "readyReplicas": 1}})
        };
        assert!(Deployment::of(&with(2, 1)).is_ready());
        assert!(!Deployment::of(&with(1, 1)).is_ready() && !Deployment::of(&with(2, 0)).is_ready());
    }

    #[test]
    fn a_headless_service_has_no_address() {
        assert_eq!(Service::of(&json!({"spec": {"clusterIP": "None"}})).address(), None);
        assert_eq!(Service::of(&json!({"spec": {"clusterIP": "10.0.0.7"}})).address(), Some("10.0.0.7"));
    }
}
