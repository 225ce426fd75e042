//! `tolerations`: the taints of nodes that a context's experiments put up with, as in a pod.

use serde_json::{Map, Value};

use super::check;
use super::fault::{Wrong, must_be, wrong};
use super::section::{LocatedNode, Section};

/// Reads one toleration by the rules of Kubernetes (`ValidateTolerations`).
pub(super) fn read(found: LocatedNode, faults: &mut super::Faults) -> Option<Value> {
    let LocatedNode { spot, node } = found;
    let at = spot.clone();
    let toleration = Section::read(node, spot, faults, |section| {
        let mut given = Map::new();
        let mut put = |key: &str, value: Option<Value>| given.extend(value.map(|value| (key.to_owned(), value)));
        put("key", section.checked("key", |text| check::label_key(text).map(|()| text.into())));
        put("operator", section.checked("operator", |text| one_of(text, &["Equal", "Exists"])));
        put("value", section.checked("value", |text| check::label_value(text).map(|()| text.into())));
        put("effect", section.checked("effect", |text| one_of(text, &["NoSchedule", "PreferNoSchedule", "NoExecute"])));
        put("tolerationSeconds", section.checked("tolerationSeconds", seconds));
        given
    })?;
    let is = |key: &str, value: &str| toleration.get(key).and_then(Value::as_str) == Some(value);
    if is("operator", "Exists") && toleration.contains_key("value") {
        faults.add(&at, wrong("has a `value`, which the operator `Exists` does not take"));
    }
    if !toleration.contains_key("key") && !is("operator", "Exists") {
        faults.add(&at, wrong("has no `key`").hint("write `operator: Exists` to tolerate every taint"));
    }
    if toleration.contains_key("tolerationSeconds") && !is("effect", "NoExecute") {
        faults.add(&at, wrong("has `tolerationSeconds`, which only the effect `NoExecute` takes"));
    }
    Some(Value::Object(toleration))
}

fn one_of(text: &str, words: &[&str]) -> Result<Value, Wrong> {
    if words.contains(&text) {
        return Ok(text.into());
    }
    let words: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    Err(must_be(&format!("one of {}", words.join(", ")), text))
}

fn seconds(text: &str) -> Result<Value, Wrong> {
    text.parse::<i64>().map(Value::from).map_err(|_| must_be("a whole number of seconds", text))
}
