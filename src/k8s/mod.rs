//! Knowledge of Kubernetes: names, quantities, manifests, views of objects, taints, platforms. Pure.

pub mod accelerators;
pub mod claim;
pub mod event;
pub mod fit;
pub mod job;
pub mod kueue;
pub mod list;
pub mod manifests;
pub mod names;
pub mod namespace;
pub mod node;
pub mod object;
pub mod platforms;
pub mod pod;
pub mod provider;
pub mod prune;
pub mod quantity;
pub mod rbac;
pub mod service;
pub mod storage_class;
pub mod taints;
pub mod version;
pub mod volume;
