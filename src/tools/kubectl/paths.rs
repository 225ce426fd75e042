//! Where the API server has what kubectl is asked for.

use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::Scope;
use crate::k8s::object::{ObjectRef, Resource};

/// All but what means nothing in a path or a query (RFC 3986): the unreserved characters, and the colon of a time.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// Where the API server has the kinds of objects that [`super::Kubectl::get`] asks for; `None` where that is not known
/// here.
pub(super) fn paths(scope: Scope, what: &[&str], selector: Option<&str>) -> Option<Vec<String>> {
    let path = |kind: &str| {
        let path = match kind {
            "nodes" => "/api/v1/nodes".to_owned(),
            "pv" => of_kind(scope, Resource::Volume)?,
            "storageclasses" => of_kind(scope, Resource::StorageClass)?,
            _ => return None,
        };
        Some(selector.map_or_else(|| path.clone(), |selector| format!("{path}?{}", selecting(selector))))
    };
    what.iter().flat_map(|words| words.split(',')).map(path).collect()
}

/// Where the API server has one object; `None` where kubectl is to be asked.
pub(super) fn of_object(scope: Scope, object: ObjectRef) -> Option<String> {
    Some(format!("{}/{}", of_kind(scope, object.kind)?, encoded(object.name)))
}

/// Where the API server has the objects of a kind; `None` where kubectl is to be asked.
fn of_kind(scope: Scope, kind: Resource) -> Option<String> {
    let spaced = |resource: &str| match scope {
        Scope::In(namespace) => Some(format!("/api/v1/namespaces/{namespace}/{resource}")),
        Scope::Everywhere => None,
    };
    match kind {
        Resource::Namespace => Some("/api/v1/namespaces".to_owned()),
        Resource::Volume => Some("/api/v1/persistentvolumes".to_owned()),
        Resource::Claim => spaced("persistentvolumeclaims"),
        Resource::Service => spaced("services"),
        Resource::StorageClass => Some("/apis/storage.k8s.io/v1/storageclasses".to_owned()),
        // these are asked for once, or with a kubectl of other flags
        Resource::ConfigMap | Resource::Deployment | Resource::Job | Resource::Pod | Resource::Secret => None,
    }
}

/// How a path asks for what `selector` matches.
pub fn selecting(selector: &str) -> String {
    format!("labelSelector={}", encoded(selector))
}

/// `text` as one segment of a path, or one value of its query.
pub fn encoded(text: &str) -> impl Display {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::names::Namespace;

    #[test]
    fn a_question_has_paths() {
        let namespace = Namespace::of_project("vision");
        let named = |kind: Resource, name: &str| of_object(Scope::In(&namespace), kind.named(name));
        let claim = "/api/v1/namespaces/vision/persistentvolumeclaims/storage";
        assert_eq!(named(Resource::Namespace, "vision").unwrap(), "/api/v1/namespaces/vision");
        assert_eq!(named(Resource::Claim, "storage").unwrap(), claim);
        assert_eq!(named(Resource::Volume, "v-1").unwrap(), "/api/v1/persistentvolumes/v-1");
        assert_eq!(of_object(Scope::Everywhere, Resource::Claim.named("storage")), None);
        assert_eq!((named(Resource::Job, "a"), paths(Scope::In(&namespace), &["jobs"], None)), (None, None));
        assert_eq!(
            paths(Scope::Everywhere, &["storageclasses,nodes"], None).unwrap(),
            ["/apis/storage.k8s.io/v1/storageclasses", "/api/v1/nodes"]
        );
        assert_eq!(
            paths(Scope::Everywhere, &["pv"], Some("mrunner/project=vision")).unwrap(),
            ["/api/v1/persistentvolumes?labelSelector=mrunner%2Fproject%3Dvision"]
        );
    }

    #[test]
    fn no_name_adds_a_segment_or_a_query() {
        let path = of_object(Scope::Everywhere, Resource::Volume.named("v/../a?b=c&d#e%f +é")).unwrap();
        assert_eq!(path, "/api/v1/persistentvolumes/v%2F..%2Fa%3Fb%3Dc%26d%23e%25f%20%2B%C3%A9");
        assert_eq!(encoded("2026-11-23T06:00:01.5Z").to_string(), "2026-11-23T06:00:01.5Z");
        assert_eq!(encoded("a_b~c").to_string(), "a_b~c");
    }
}
