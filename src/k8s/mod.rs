//! Knowledge of Kubernetes: names, quantities, manifests, taints, platforms. Pure.

pub mod accelerators;
pub mod manifests;
pub mod names;
pub mod platforms;
pub mod provider;
pub mod quantity;
pub mod rbac;
pub mod taints;
