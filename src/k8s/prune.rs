//! Objects of runs as they are read from an answer: of the 5 kB that the API server sends for a pod, a run of 10,000
//! points keeps the small part that views read. Pure.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::k8s::pod::{FAILED_BEFORE, IGNORED_BEFORE, INDEX};

/// An object of a run: a pod without what no view reads, any other as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned(pub Value);

impl<'de> Deserialize<'de> for Pruned {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut object = Value::deserialize(deserializer)?;
        if object["kind"] == "Pod" {
            prune(&mut object);
        }
        Ok(Self(object))
    }
}

/// A pod in a list of the API server, which does not repeat the kind in each item.
#[derive(Debug, Clone, PartialEq)]
pub struct PodItem(pub Value);

impl<'de> Deserialize<'de> for PodItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut pod = of_kind("Pod", deserializer)?;
        prune(&mut pod);
        Ok(Self(pod))
    }
}

/// A Job in such a list.
#[derive(Debug, Clone, PartialEq)]
pub struct JobItem(pub Value);

impl<'de> Deserialize<'de> for JobItem {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        of_kind("Job", deserializer).map(Self)
    }
}

fn of_kind<'de, D: Deserializer<'de>>(kind: &str, deserializer: D) -> Result<Value, D::Error> {
    let mut object = Map::deserialize(deserializer)?;
    object.insert("kind".to_owned(), kind.into());
    Ok(Value::Object(object))
}

fn prune(pod: &mut Value) {
    const META: &[&str] = &[
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "labels",
        "annotations",
        "ownerReferences",
    ];
    keep(pod, &["kind", "metadata", "spec", "status"]);
    within(pod, "metadata", |meta| {
        keep(meta, META);
        within(meta, "annotations", |annotations| keep(annotations, &[INDEX, FAILED_BEFORE, IGNORED_BEFORE]));
        within(meta, "labels", |labels| keep(labels, &[INDEX]));
        each(meta, "ownerReferences", |owner| keep(owner, &["uid"]));
    });
    within(pod, "spec", |spec| {
        keep(spec, &["nodeName", "nodeSelector", "tolerations", "containers", "initContainers"]);
        each(spec, "containers", |container| keep(container, &["name", "resources"]));
        each(spec, "initContainers", |container| keep(container, &["name", "restartPolicy"]));
    });
    within(pod, "status", |status| {
        keep(status, &["phase", "reason", "message", "conditions", "initContainerStatuses", "containerStatuses"]);
        within(status, "conditions", |conditions| {
            // one that holds says nothing, but for that of a pod which its node let go
            let says = |condition: &Value| condition["status"] != "True" || condition["type"] == "DisruptionTarget";
            conditions.as_array_mut().into_iter().for_each(|all| all.retain(says));
        });
        each(status, "conditions", |condition| keep(condition, &["type", "status", "reason", "message"]));
        for list in ["initContainerStatuses", "containerStatuses"] {
            const ONE: &[&str] = &["name", "image", "ready", "started", "state", "lastState", "restartCount"];
            each(status, list, |one| keep(one, ONE));
        }
    });
    shrink(pod);
}

fn keep(object: &mut Value, names: &[&str]) {
    if let Value::Object(map) = object {
        map.retain(|name, _| names.contains(&name.as_str()));
    }
}

fn within(object: &mut Value, name: &str, change: impl FnOnce(&mut Value)) {
    if let Some(part) = object.get_mut(name) {
        change(part);
    }
}

fn each(object: &mut Value, name: &str, change: impl FnMut(&mut Value)) {
    within(object, name, |list| list.as_array_mut().into_iter().flatten().for_each(change));
}

/// Gives back the room of what was left out.
fn shrink(value: &mut Value) {
    match value {
        Value::Object(map) => {
            *map = std::mem::take(map).into_iter().collect::<Map<_, _>>();
            map.values_mut().for_each(shrink);
        }
        Value::Array(list) => {
            list.iter_mut().for_each(shrink);
            list.shrink_to_fit();
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_pod_keeps_what_is_looked_at_and_nothing_else() {
        let whole = json!({"kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": "a", "labels": {INDEX: "3", "x": "y"}, "managedFields": [], "ownerReferences": [{"uid": "u", "kind": "Job"}]},
            "spec": {"nodeName": "n", "volumes": [{}], "initContainers": [{"name": "i", "image": "x", "restartPolicy": "Always"}], "containers": [{"name": "c", "env": [{}], "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Failed", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "DisruptionTarget", "status": "True", "message": "m", "lastProbeTime": null}],
                "containerStatuses": [{"name": "c", "imageID": "i", "state": {"terminated": {"exitCode": 3}}}]}});
        let Pruned(pruned) = serde_json::from_value(whole).unwrap();
        let expected = json!({"kind": "Pod",
            "metadata": {"name": "a", "labels": {INDEX: "3"}, "ownerReferences": [{"uid": "u"}]},
            "spec": {"nodeName": "n", "initContainers": [{"name": "i", "restartPolicy": "Always"}], "containers": [{"name": "c", "resources": {"requests": {"cpu": "1"}}}]},
            "status": {"phase": "Failed",
                "conditions": [{"type": "DisruptionTarget", "status": "True", "message": "m"}],
                "containerStatuses": [{"name": "c", "state": {"terminated": {"exitCode": 3}}}]}});
        assert_eq!(pruned, expected);
    }

    #[test]
    fn what_is_no_pod_or_no_good_one_is_left_as_it_is() {
        for object in
            [json!({"kind": "Job", "spec": {"x": 1}}), json!({"kind": "Pod", "metadata": "x", "spec": [1]}), json!(7)]
        {
            let Pruned(pruned) = serde_json::from_value(object.clone()).unwrap();
            assert_eq!(pruned, object);
        }
    }
}
