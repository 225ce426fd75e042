//! A Job as the cluster keeps it, beside the one that was sent.

use super::{MARK, RECORD, literal};
use crate::k8s::manifests::{CONTAINER, IMAGE, QUEUE, RUN_ID, SPEC_HASH};
use serde_json::{Value, json};

/// The word that the lines of reports of a Job's pods begin with; empty for one of an older version.
pub fn mark(job: &Value) -> &str {
    let containers = job["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
    let env = containers.filter(|container| container["name"] == CONTAINER).filter_map(|c| c["env"].as_array());
    let variable = env.flatten().find(|variable| variable["name"] == MARK);
    variable.and_then(|variable| variable["value"].as_str()).unwrap_or_default()
}

/// The change that lets a suspended Job go, as a merge patch. Where a queue lets it go, none is needed.
pub fn release(job: &Value) -> Option<Value> {
    let queued = job["metadata"]["labels"][QUEUE].is_string();
    (job["spec"]["suspend"] == true && !queued).then(|| json!({ "spec": { "suspend": false } }))
}

/// The Job with its image's final reference, known only after the image was published.
pub fn with_image(mut job: Value, image: &str) -> Value {
    let container = &mut job["spec"]["template"]["spec"]["containers"][0];
    container["image"] = image.into();
    for variable in container["env"].as_array_mut().into_iter().flatten().filter(|v| v["name"] == RECORD) {
        let text = variable["value"].as_str().unwrap_or_default().replace("$$", "$");
        if let Ok(Value::Object(mut record)) = serde_json::from_str(&text) {
            // the index of a map panics where the name is missing, and the text may be somebody else's
            record.insert("image".into(), image.into());
            variable["value"] = literal(&Value::Object(record).to_string()).into();
        }
    }
    job["metadata"]["annotations"][IMAGE] = image.into();
    job
}

/// Whether a Job that was read from a file has a container.
pub(crate) fn has_container(job: &Value) -> bool {
    job["spec"]["template"]["spec"]["containers"][0].is_object()
}

/// Whether a Job that was read from a file has what [`with_image`] changes.
pub fn is_whole(job: &Value) -> bool {
    has_container(job) && job["metadata"]["annotations"].is_object()
}

/// How many bytes the annotations of a Job take.
pub fn annotations_len(job: &Value) -> usize {
    job["metadata"]["annotations"].to_string().len()
}

/// Whether `stored`, an object from the cluster, is what `planned` became.
pub fn is_same(stored: &Value, planned: &Value) -> bool {
    let annotation = |job: &Value, name: &str| job["metadata"]["annotations"][name].as_str().map(str::to_owned);
    [RUN_ID, SPEC_HASH].iter().all(|name| {
        let ours = annotation(planned, name);
        ours.is_some() && ours == annotation(stored, name)
    })
}

/// The fields of a Job that the cluster did not keep, such as `spec.podReplacementPolicy`: an API server drops
/// those that are switched off in it without a word. Lists are not looked into, as others may add to them.
pub fn left_out(sent: &Value, stored: &Value) -> Vec<String> {
    let (Value::Object(sent), Value::Object(stored)) = (sent, stored) else { return Vec::new() };
    // what is empty or false may be left out of any answer
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let of = |(key, value): (&String, &Value)| match stored.get(key) {
        None => vec![key.clone()],
        Some(kept) => left_out(value, kept).into_iter().map(|path| format!("{key}.{path}")).collect(),
    };
    sent.iter().filter(|(_, value)| says(value)).flat_map(of).collect()
}
