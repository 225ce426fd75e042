//! Views of Services and Deployments. Pure.

use std::ops::Deref;

use serde_json::Value;

use crate::k8s::object::{Object, number, text};

/// A Service.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Service<'a>(Object<'a>);

impl<'a> Deref for Service<'a> {
    type Target = Object<'a>;

    fn deref(&self) -> &Object<'a> {
        &self.0
    }
}

impl<'a> Service<'a> {
    /// Views a Service.
    pub fn of(service: &'a Value) -> Self {
        Self(Object::of(service))
    }

    /// Its address in the cluster; a headless Service has none.
    pub fn address(self) -> Option<&'a str> {
        text(self.json(), &["spec", "clusterIP"]).filter(|ip| !ip.is_empty() && *ip != "None")
    }
}

/// A Deployment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Deployment<'a>(Object<'a>);

impl<'a> Deref for Deployment<'a> {
    type Target = Object<'a>;

    fn deref(&self) -> &Object<'a> {
        &self.0
    }
}

impl<'a> Deployment<'a> {
    /// Views a Deployment.
    pub fn of(deployment: &'a Value) -> Self {
        Self(Object::of(deployment))
    }

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
