//! A view of namespaces. Pure.

use crate::k8s::manifests::RAW_PROJECT;
use crate::k8s::object::view;

/// The label with the Pod Security level that a namespace enforces.
pub const POD_SECURITY: &str = "pod-security.kubernetes.io/enforce";

view! {
    /// A namespace as it is in the cluster; [`crate::k8s::names::Namespace`] is its name.
    NamespaceObject
}

impl<'a> NamespaceObject<'a> {
    /// The raw name of the project that it belongs to.
    pub fn project(self) -> Option<&'a str> {
        self.annotation(RAW_PROJECT)
    }

    /// The Pod Security level that it enforces.
    pub fn pod_security(self) -> Option<&'a str> {
        self.label(POD_SECURITY)
    }
}
