//! What all objects of the cluster have in common, and how views read them. Pure.
//!
//! A view is a small `Copy` type over the JSON of one object, with a method for each field that is used. A field that is
//! missing, or of another type than it should be, reads as missing: one odd object never makes a list unreadable.

use std::fmt;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use crate::k8s::manifests::MANAGED_BY;
pub(super) use crate::util::json::{at, fields, is_true, list, number, text, time};

/// Defines the view of a kind: it reads what every [`Object`] has, and what its own methods name.
macro_rules! view {
    ($(#[$docs:meta])* $name:ident) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub struct $name<'a>($crate::k8s::object::Object<'a>);

        impl<'a> $name<'a> {
            /// Views an object of this kind.
            pub fn of(object: &'a serde_json::Value) -> Self {
                Self($crate::k8s::object::Object::of(object))
            }
        }

        impl<'a> std::ops::Deref for $name<'a> {
            type Target = $crate::k8s::object::Object<'a>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    };
}
pub(super) use view;

/// An object of any kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Object<'a>(&'a Value);

impl<'a> Object<'a> {
    /// Views an object.
    pub fn of(object: &'a Value) -> Self {
        Self(object)
    }

    /// The object as JSON.
    pub fn json(self) -> &'a Value {
        self.0
    }

    /// Its kind, such as `Pod`; empty where the object does not say it.
    pub fn kind(self) -> &'a str {
        text(self.0, &["kind"]).unwrap_or_default()
    }

    /// Its name; empty where it has none.
    pub fn name(self) -> &'a str {
        text(self.0, &["metadata", "name"]).unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(self) -> Option<&'a str> {
        text(self.0, &["metadata", "namespace"])
    }

    /// Its uid.
    pub fn uid(self) -> Option<&'a str> {
        text(self.0, &["metadata", "uid"])
    }

    /// Its resource version.
    pub fn resource_version(self) -> Option<&'a str> {
        text(self.0, &["metadata", "resourceVersion"])
    }

    /// The value of a label.
    pub fn label(self, name: &str) -> Option<&'a str> {
        text(self.0, &["metadata", "labels", name])
    }

    /// Its labels.
    pub fn labels(self) -> Option<&'a Map<String, Value>> {
        fields(self.0, &["metadata", "labels"])
    }

    /// The value of an annotation.
    pub fn annotation(self, name: &str) -> Option<&'a str> {
        text(self.0, &["metadata", "annotations", name])
    }

    /// Its annotations.
    pub fn annotations(self) -> Option<&'a Map<String, Value>> {
        fields(self.0, &["metadata", "annotations"])
    }

    /// What it has under a key of its `data`, as a `ConfigMap`.
    pub fn data(self, key: &str) -> Option<&'a str> {
        text(self.0, &["data", key])
    }

    /// Whether mrunner created it.
    pub fn is_from_mrunner(self) -> bool {
        self.label(MANAGED_BY) == Some("mrunner")
    }

    /// When it was created.
    pub fn created(self) -> Option<DateTime<Utc>> {
        time(self.0, &["metadata", "creationTimestamp"])
    }

    /// The same as the API server writes it; empty where it is missing.
    pub fn created_text(self) -> &'a str {
        text(self.0, &["metadata", "creationTimestamp"]).unwrap_or_default()
    }

    /// Whether it is being deleted.
    pub fn is_being_deleted(self) -> bool {
        !at(self.0, &["metadata", "deletionTimestamp"]).is_null()
    }

    /// The objects that own it.
    pub fn owners(self) -> impl Iterator<Item = Owner<'a>> {
        list(self.0, &["metadata", "ownerReferences"]).iter().map(Owner)
    }

    /// Its condition of a type.
    pub fn condition(self, kind: &str) -> Option<Condition<'a>> {
        self.conditions().find(|condition| condition.kind() == kind)
    }

    /// Whether its condition of a type is true.
    pub fn has_condition(self, kind: &str) -> bool {
        self.condition(kind).is_some_and(Condition::is_true)
    }

    /// Its conditions.
    pub fn conditions(self) -> impl Iterator<Item = Condition<'a>> {
        list(self.0, &["status", "conditions"]).iter().map(Condition)
    }
}

/// One entry of an object's `ownerReferences`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Owner<'a>(&'a Value);

impl<'a> Owner<'a> {
    /// The kind of the owner; empty where it is missing.
    pub fn kind(self) -> &'a str {
        text(self.0, &["kind"]).unwrap_or_default()
    }

    /// The name of the owner; empty where it is missing.
    pub fn name(self) -> &'a str {
        text(self.0, &["name"]).unwrap_or_default()
    }

    /// The uid of the owner.
    pub fn uid(self) -> Option<&'a str> {
        text(self.0, &["uid"])
    }
}

/// One entry of an object's `status.conditions`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition<'a>(&'a Value);

impl<'a> Condition<'a> {
    /// Its type.
    pub fn kind(self) -> &'a str {
        text(self.0, &["type"]).unwrap_or_default()
    }

    /// Whether its status is `True`.
    pub fn is_true(self) -> bool {
        text(self.0, &["status"]) == Some("True")
    }

    /// Whether its status is `False`, not `Unknown`.
    pub fn is_false(self) -> bool {
        text(self.0, &["status"]) == Some("False")
    }

    /// Its reason.
    pub fn reason(self) -> Option<&'a str> {
        text(self.0, &["reason"])
    }

    /// Whether a reason is given.
    pub fn has_reason(self) -> bool {
        !at(self.0, &["reason"]).is_null()
    }

    /// Its message; empty where it is missing.
    pub fn message(self) -> &'a str {
        text(self.0, &["message"]).unwrap_or_default()
    }

    /// When its status changed the last time.
    pub fn changed(self) -> Option<DateTime<Utc>> {
        time(self.0, &["lastTransitionTime"])
    }

    /// The same as the API server writes it.
    pub fn changed_text(self) -> Option<&'a str> {
        text(self.0, &["lastTransitionTime"])
    }
}

/// The kinds of objects that are asked for, changed or deleted by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A `ConfigMap`.
    ConfigMap,
    /// A Deployment.
    Deployment,
    /// A Job.
    Job,
    /// A namespace.
    Namespace,
    /// A `PersistentVolumeClaim`.
    Claim,
    /// A `PersistentVolume`.
    Volume,
    /// A pod.
    Pod,
    /// A Secret.
    Secret,
    /// A Service.
    Service,
    /// A `StorageClass`.
    StorageClass,
}

impl Resource {
    /// The name of the resource in arguments of kubectl.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmap",
            Self::Deployment => "deployment",
            Self::Job => "job",
            Self::Namespace => "namespace",
            Self::Claim => "pvc",
            Self::Volume => "pv",
            Self::Pod => "pod",
            Self::Secret => "secret",
            Self::Service => "service",
            Self::StorageClass => "storageclass",
        }
    }

    /// An object of this kind.
    pub fn named(self, name: &str) -> ObjectRef<'_> {
        ObjectRef { kind: self, name }
    }
}

/// One object by its kind and name: `pvc/storage` in arguments of kubectl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectRef<'a> {
    /// Its kind.
    pub kind: Resource,
    /// Its name.
    pub name: &'a str,
}

impl fmt::Display for ObjectRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.as_str(), self.name)
    }
}

/// An object with another value at a path; a number names an item of a list.
#[cfg(test)]
pub(crate) fn with(object: &Value, path: &[&str], value: impl Into<Value>) -> Value {
    let mut changed = object.clone();
    let mut place = &mut changed;
    for name in path {
        place = match name.parse::<usize>() {
            Ok(item) => &mut place[item],
            Err(_) => &mut place[*name],
        };
    }
    *place = value.into();
    changed
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_odd_field_reads_as_missing() {
        let odd = json!({"kind": 7, "metadata": {"name": ["a"], "labels": "x", "ownerReferences": {"uid": "u"}},
            "status": {"conditions": [3, {"type": "Ready", "status": true}]}});
        for object in [&odd, &json!(null), &json!([1]), &json!("text")].map(Object::of) {
            assert_eq!((object.kind(), object.name(), object.uid(), object.label("a")), ("", "", None, None));
            assert_eq!((object.created(), object.owners().count(), object.has_condition("Ready")), (None, 0, false));
            assert!(!object.is_being_deleted());
        }
    }

    #[test]
    fn metadata_and_conditions_are_read() {
        let object = json!({"kind": "Pod", "metadata": {"name": "a", "namespace": "n", "uid": "u", "deletionTimestamp": "x",
                "labels": {"l": "1"}, "annotations": {"b/c": "2"}, "creationTimestamp": "2026-11-30T10:00:00Z",
                "ownerReferences": [{"kind": "Job", "name": "j", "uid": "v"}]},
            "status": {"conditions": [{"type": "Ready", "status": "False", "reason": "r", "message": "m"}]}});
        let object = Object::of(&object);
        assert_eq!(
            (object.kind(), object.name(), object.namespace(), object.uid()),
            ("Pod", "a", Some("n"), Some("u"))
        );
        assert_eq!((object.label("l"), object.annotation("b/c"), object.label("x")), (Some("1"), Some("2"), None));
        assert_eq!(object.created(), "2026-11-30T10:00:00Z".parse().ok());
        assert!(object.is_being_deleted());
        let owners: Vec<_> = object.owners().map(|owner| (owner.kind(), owner.name(), owner.uid())).collect();
        assert_eq!(owners, [("Job", "j", Some("v"))]);
        let ready = object.condition("Ready").unwrap();
        assert_eq!((ready.is_true(), ready.is_false(), ready.reason(), ready.message()), (false, true, Some("r"), "m"));
    }

    #[test]
    fn an_object_is_named_as_kubectl_does() {
        assert_eq!(Resource::Claim.named("storage").to_string(), "pvc/storage");
    }
}
