//! What Kueue says of workloads. Pure.

use serde_json::Value;

use crate::k8s::object::{Object, list, number};

/// The place of a workload in the answer of Kueue's API of pending workloads.
pub fn position(pending: &Value, workload: &str) -> Option<u64> {
    let own = list(pending, &["items"]).iter().find(|item| Object::of(item).name() == workload)?;
    number(own, &["positionInClusterQueue"])
}
