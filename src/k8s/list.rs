//! Lists of objects in answers and documents. Pure.

use serde_json::Value;

use crate::k8s::object::{Object, at};

/// The objects in an answer of `kubectl get -o json`: a List, a single object, or nothing at all.
pub fn items(answer: Value) -> Vec<Value> {
    if Object::of(&answer).kind() == "List" {
        return taken(answer);
    }
    if answer.is_null() { Vec::new() } else { vec![answer] }
}

/// The objects in an answer of the API server. The items of its lists do not say what they are, and those of kubectl's
/// do.
pub fn items_of_api(answer: Value) -> Vec<Value> {
    let Some(kind) = Object::of(&answer).kind().strip_suffix("List").map(str::to_owned) else { return vec![answer] };
    let mut items = taken(answer);
    for item in &mut items {
        item["kind"] = kind.as_str().into();
    }
    items
}

fn taken(mut list: Value) -> Vec<Value> {
    match list["items"].take() {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}

/// Whether a document is, or lists, an object that makes pods.
pub fn makes_pods(document: &Value) -> bool {
    let one = |object: &Value| matches!(Object::of(object).kind(), "Job" | "Pod" | "Deployment");
    at(document, &["items"]).as_array().map_or_else(|| one(document), |items| items.iter().any(one))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_say_what_they_are() {
        let list = json!({"kind": "NodeList", "items": [{"metadata": {"name": "a"}}]});
        assert_eq!(items_of_api(list), [json!({"kind": "Node", "metadata": {"name": "a"}})]);
        assert_eq!(items_of_api(json!({"kind": "Namespace"})), [json!({"kind": "Namespace"})]);
    }

    #[test]
    fn an_answer_is_a_list_an_object_or_nothing() {
        assert_eq!(items(json!({"kind": "List", "items": [{"kind": "Pod"}]})), [json!({"kind": "Pod"})]);
        assert_eq!(items(json!({"kind": "Pod"})), [json!({"kind": "Pod"})]);
        assert!(items(Value::Null).is_empty() && items(json!({"kind": "List"})).is_empty());
    }
}
