//! Where the API server has what kubectl is asked for.

use super::Scope;

/// Where the API server has what [`super::Kubectl::get`] asks for; `None` where that is not known here.
pub(super) fn paths(scope: Scope, what: &[&str], selector: Option<&str>) -> Option<Vec<String>> {
    let spaced = |resource: &str| match scope {
        Scope::In(namespace) => Some(format!("/api/v1/namespaces/{namespace}/{resource}")),
        Scope::Everywhere => None,
    };
    let path = |word: &str| {
        let (kind, name) = word.split_once('/').map_or((word, None), |(kind, name)| (kind, Some(name)));
        let path = match kind {
            "namespace" => "/api/v1/namespaces".to_owned(),
            "nodes" => "/api/v1/nodes".to_owned(),
            "pv" => "/api/v1/persistentvolumes".to_owned(),
            "pvc" => spaced("persistentvolumeclaims")?,
            "service" => spaced("services")?,
            "storageclass" | "storageclasses" => "/apis/storage.k8s.io/v1/storageclasses".to_owned(),
            _ => return None,
        };
        Some(match (name, selector) {
            (Some(name), _) => format!("{path}/{name}"),
            (None, Some(selector)) => format!("{path}?{}", selecting(selector)),
            (None, None) => path,
        })
    };
    what.iter().flat_map(|words| words.split(',')).map(path).collect()
}

/// How a path asks for what `selector` matches.
pub fn selecting(selector: &str) -> String {
    // of what a label can hold, these two mean something in an address
    format!("labelSelector={}", selector.replace('/', "%2F").replace('=', "%3D"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::names::Namespace;

    #[test]
    fn a_question_has_paths() {
        let namespace = Namespace::of_project("vision");
        let of = |what: &[&str]| paths(Scope::In(&namespace), what, None);
        assert_eq!(
            of(&["namespace/vision", "pvc/storage", "pv/v-1"]).unwrap(),
            [
                "/api/v1/namespaces/vision",
                "/api/v1/namespaces/vision/persistentvolumeclaims/storage",
                "/api/v1/persistentvolumes/v-1"
            ]
        );
        assert_eq!(of(&["jobs"]), None);
        assert_eq!(
            paths(Scope::Everywhere, &["storageclasses,nodes"], None).unwrap(),
            ["/apis/storage.k8s.io/v1/storageclasses", "/api/v1/nodes"]
        );
        assert_eq!(
            paths(Scope::Everywhere, &["pv"], Some("mrunner/project=vision")).unwrap(),
            ["/api/v1/persistentvolumes?labelSelector=mrunner%2Fproject%3Dvision"]
        );
    }
}
