//! The image of a helper pod: one that the nodes already have.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::image::ImageRef;
use crate::k8s::claim::Claim;
use crate::k8s::job::Job;
use crate::k8s::manifests::IMAGE;
use crate::k8s::node::Node;
use crate::k8s::pod::Container;
use crate::storage::proof::proved_with;

/// The image if nothing else is known.
pub const USUAL: &str = "python:3";

/// The image of the newest run among `jobs`, or the image with which the claim was tested, or the context's
/// `base_image`, or `python:3`. Texts of others that are not images are ignored.
pub fn helper_image(jobs: &[Value], claim: Option<Claim>, base: Option<&str>) -> String {
    let with_image = jobs.iter().map(Job::of).filter_map(|job| Some((job.created_text(), image_of(job)?)));
    let newest = with_image.max_by_key(|(created, _)| *created).map(|(_, image)| image);
    let proved = claim.and_then(proved_with).filter(|image| is_image(image));
    newest.or(proved.as_deref()).or(base).unwrap_or(USUAL).to_owned()
}

/// An image that the nodes report: one of the project's own repositories, which begin with `prefix`, or one of
/// Python; the one on most nodes.
pub fn on_nodes(nodes: &[Value], prefix: Option<&str>) -> Option<String> {
    let mut names: BTreeMap<&str, usize> = BTreeMap::new();
    for name in nodes.iter().flat_map(|node| Node::of(node).images()) {
        *names.entry(name).or_default() += 1;
    }
    let is_own = |name: &str| prefix.is_some_and(|prefix| name.starts_with(prefix));
    let is_python = |name: &str| {
        let last = name.rsplit('/').next().unwrap_or_default();
        last.split([':', '@']).next() == Some("python")
    };
    let best = |fits: &dyn Fn(&str) -> bool| {
        let fitting = names.iter().filter(|(name, _)| fits(name));
        fitting.max_by_key(|(name, nodes)| (**nodes, **name)).map(|(name, _)| (*name).to_owned())
    };
    best(&is_own).or_else(|| best(&is_python))
}

fn image_of(job: Job<'_>) -> Option<&str> {
    let annotated = job.annotation(IMAGE).filter(|image| is_image(image));
    annotated.or_else(|| job.pod_spec().containers().next().map(Container::image).filter(|image| is_image(image)))
}

fn is_image(text: &str) -> bool {
    ImageRef::parse(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::PROVED;
    use serde_json::json;

    #[test]
    fn the_nodes_know_what_they_have() {
        let node = |names: &[&str]| json!({"status": {"images": names.iter().map(|n| json!({"names": [n]})).collect::<Vec<_>>()}});
        let nodes = [
            node(&["r/vision/a@sha256:1", "r/visions/a:1", "docker.io/library/python:3"]),
            node(&["r/vision/b@sha256:2", "r/vision/a@sha256:1", "r/python-like:1"]),
        ];
        assert_eq!(on_nodes(&nodes, Some("r/vision/")).as_deref(), Some("r/vision/a@sha256:1"));
        assert_eq!(on_nodes(&nodes, Some("r/other/")).as_deref(), Some("docker.io/library/python:3"));
        assert_eq!(on_nodes(&nodes[1..], None), None);
    }

    #[test]
    fn the_newest_run_comes_first() {
        let job = |created: &str, annotated: Value, image: &str| {
            json!({"metadata": {"creationTimestamp": created, "annotations": {IMAGE: annotated}},
                   "spec": {"template": {"spec": {"containers": [{"image": image}]}}}})
        };
        let digest = format!("r/old@sha256:{}", "1".repeat(64));
        let old = job("2026-11-23T06:00:00Z", json!(digest), "r/old");
        let new = job("2026-11-24T06:00:00Z", Value::Null, "r/new");
        let claim = json!({"metadata": {"annotations": {PROVED: r#"{"image": "r/proved"}"#}}});
        assert_eq!(helper_image(&[new.clone(), old.clone()], Some(Claim::of(&claim)), None), "r/new");
        let odd = job("2026-11-25T06:00:00Z", json!("\x1b[2J none"), "No Image");
        let half = job("2026-11-22T06:00:00Z", json!("-n"), "r/half");
        assert_eq!(helper_image(&[odd.clone(), old], Some(Claim::of(&claim)), None), digest);
        assert_eq!(helper_image(&[odd.clone(), half], Some(Claim::of(&claim)), None), "r/half");
        assert_eq!(helper_image(&[odd], Some(Claim::of(&claim)), None), "r/proved");
        let unproved = json!({"metadata": {"annotations": {PROVED: r#"{"image": "a b"}"#}}});
        assert_eq!(helper_image(&[], Some(Claim::of(&unproved)), None), "python:3");
        assert_eq!(helper_image(&[], Some(Claim::of(&claim)), Some("base")), "r/proved");
        assert_eq!(helper_image(&[], Some(Claim::of(&json!({}))), Some("base")), "base");
        assert_eq!(helper_image(&[], None, None), "python:3");
    }
}
