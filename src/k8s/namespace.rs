//! A view of namespaces. Pure.

use std::ops::Deref;

use serde_json::Value;

use crate::k8s::manifests::RAW_PROJECT;
use crate::k8s::object::Object;

/// The label with the Pod Security level that a namespace enforces.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

/// A namespace as it is in the cluster; [`crate::k8s::names::Namespace`] is its name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NamespaceObject<'a>(Object<'a>);

impl<'a> Deref for NamespaceObject<'a> {
    type Target = Object<'a>;

    fn deref(&self) -> &Object<'a> {
        &self.0
    }
}

impl<'a> NamespaceObject<'a> {
    /// Views a namespace.
    pub fn of(namespace: &'a Value) -> Self {
        Self(Object::of(namespace))
    }

    /// The raw name of the project that it belongs to.
    pub fn project(self) -> Option<&'a str> {
        self.annotation(RAW_PROJECT)
    }

    /// The Pod Security level that it enforces.
    pub fn pod_security(self) -> Option<&'a str> {
        self.label(POD_SECURITY)
    }
}
