//! A view of nodes. Pure.

use serde_json::Value;

use crate::k8s::object::{is_true, list, text, view};

view! {
    /// A node.
    Node
}

impl<'a> Node<'a> {
    /// Whether pods without tolerations may land on it.
    pub fn is_schedulable(self) -> bool {
        let repels = |taint: &Value| matches!(text(taint, &["effect"]), Some("NoSchedule" | "NoExecute"));
        !is_true(self.json(), &["spec", "unschedulable"]) && !list(self.json(), &["spec", "taints"]).iter().any(repels)
    }

    /// The names of the images that it says it has; the kubelet lists 50 images at most (`nodeStatusMaxImages`).
    pub fn images(self) -> impl Iterator<Item = &'a str> {
        let images = list(self.json(), &["status", "images"]).iter();
        images.flat_map(|image| list(image, &["names"])).filter_map(Value::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_cordoned_or_tainted_node_does_not_count() {
        assert!(Node::of(&json!({"spec": {}})).is_schedulable());
        assert!(Node::of(&json!({"spec": {"taints": [{"effect": "PreferNoSchedule"}]}})).is_schedulable());
        assert!(!Node::of(&json!({"spec": {"unschedulable": true}})).is_schedulable());
        assert!(!Node::of(&json!({"spec": {"taints": [{"effect": "NoSchedule"}]}})).is_schedulable());
    }

    #[test]
    fn every_name_of_an_image_is_told() {
        let node = json!({"status": {"images": [{"names": ["a@sha256:1", "a:1"]}, {"names": null}, {"names": ["b"]}]}});
        assert_eq!(Node::of(&node).images().collect::<Vec<_>>(), ["a@sha256:1", "a:1", "b"]);
    }
}
