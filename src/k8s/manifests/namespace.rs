//! A project's namespace.

use serde_json::{Value, json};

use crate::k8s::manifests::{MANAGED_BY, PROJECT, RAW_PROJECT};
use crate::k8s::names::{Namespace, label_value};

/// The namespace of the project called `project`.
pub fn manifest(name: &Namespace, project: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": name.as_str(),
            "labels": { MANAGED_BY: "mrunner", PROJECT: label_value(project) },
            "annotations": { RAW_PROJECT: project },
        },
    })
}
