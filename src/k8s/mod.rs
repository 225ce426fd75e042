//! Knowledge of Kubernetes: names, quantities, manifests, views of objects, taints, platforms. Pure.

pub mod accelerators;
pub mod event;
pub mod job;
pub mod kueue;
pub mod manifests;
pub mod names;
pub mod object;
pub mod platforms;
pub mod pod;
pub mod provider;
pub mod prune;
pub mod quantity;
pub mod rbac;
pub mod taints;
