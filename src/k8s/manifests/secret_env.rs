//! The Secret with a run's secret variables. Its Job owns it, so that it goes when the Job does.

use data_encoding::BASE64;
use serde_json::{Map, Value, json};

use crate::k8s::manifests::{MANAGED_BY, PROJECT, RUN};
use crate::k8s::names::{Namespace, RunName, label_value};

/// What a Secret can hold (kubernetes/api, `core/v1`, `MaxSecretSize`).
pub const MOST: usize = 1 << 20;

/// The name of the Secret of a run.
pub fn name(run: &str) -> String {
    format!("{run}-env")
}

/// Variables of a container whose values are in the Secret of `run`. Kubernetes expands no `$(NAME)` in them.
pub(super) fn references<'a>(run: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<Value> {
    let one = |key| json!({ "name": key, "valueFrom": { "secretKeyRef": { "name": name(run), "key": key } } });
    names.into_iter().map(one).collect()
}

/// The names of the secret variables that a Job's container has.
pub fn names(job: &Value) -> Vec<String> {
    let secret = name(job["metadata"]["name"].as_str().unwrap_or_default());
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().into_iter().flatten();
    let ours = env.filter(|variable| variable["valueFrom"]["secretKeyRef"]["name"] == secret.as_str());
    ours.filter_map(|variable| Some(variable["name"].as_str()?.to_owned())).collect()
}

/// What has the Secret of one run be that of another, in a container's variables.
pub(crate) fn rename(env: &mut Value, old: &str, new: &str) {
    for variable in env.as_array_mut().into_iter().flatten() {
        // not by index, which would put an empty reference where there is none
        if let Some(secret) = variable.pointer_mut("/valueFrom/secretKeyRef/name")
            && *secret == name(old).as_str()
        {
            *secret = name(new).into();
        }
    }
}

/// The Secret. `values` are names with what they hold, as [`encoded`] or a shell has it.
pub fn manifest(run: &RunName, namespace: &Namespace, project: &str, uid: &str, values: &[(String, String)]) -> Value {
    let data: Map<String, Value> = values.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name(run.as_str()),
            "namespace": namespace.as_str(),
            "labels": { MANAGED_BY: "mrunner", PROJECT: label_value(project), RUN: run.as_str() },
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": run.as_str(), "uid": uid }],
        },
        // as the points of a sweep
        "immutable": true,
        "type": "Opaque",
        "data": data,
    })
}

/// Whether a Secret of the cluster has these values and no other, for good.
pub fn is_same(stored: &Value, values: &[(String, String)]) -> bool {
    // of a name that comes twice the last one counts
    let data: Map<String, Value> = values.iter().map(|(name, value)| (name.clone(), encoded(value).into())).collect();
    stored["immutable"] == true && stored["data"] == Value::Object(data)
}

/// A value as a Secret's data has it.
pub fn encoded(value: &str) -> String {
    BASE64.encode(value.as_bytes())
}

/// What a shell makes the same of, from a variable of that name.
pub fn encoded_by_shell(name: &str) -> String {
    format!("$(printf %s \"${name}\" | base64 | tr -d '\\n')")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alphabet_and_the_padding_are_right() {
        // RFC 4648, section 10
        for (text, expected) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
            (">>>???", "Pj4+Pz8/"),
        ] {
            assert_eq!(encoded(text), expected);
        }
    }

    #[test]
    fn the_variables_are_found_again_under_another_runs_name() {
        let plain = json!([{ "name": "A", "value": "x" }, { "name": "HOST", "valueFrom": { "fieldRef": {} } },
            { "name": "OTHER", "valueFrom": { "secretKeyRef": { "name": "other", "key": "a" } } }]);
        let mut env = plain.clone();
        env.as_array_mut().unwrap().extend(references("train-1", ["KEY", "TOKEN"]));
        rename(&mut env, "train-1", "train-2");
        assert_eq!(env.as_array().unwrap()[..3], plain.as_array().unwrap()[..]);
        let job = |name: &str| json!({ "metadata": { "name": name }, "spec": { "template": { "spec": { "containers": [{ "env": env }] } } } });
        assert_eq!(names(&job("train-2")), ["KEY", "TOKEN"]);
        assert!(names(&job("train-1")).is_empty());
    }

    #[test]
    fn a_secret_is_the_same_only_with_the_same_values_for_good() {
        let (run, namespace) = (RunName::given("train-1").unwrap(), Namespace::given("n").unwrap());
        let values = |value: &str| vec![("KEY".to_owned(), value.to_owned()), ("EMPTY".to_owned(), String::new())];
        let encoded = [("KEY".to_owned(), encoded("a")), ("EMPTY".to_owned(), String::new())];
        let stored = manifest(&run, &namespace, "p", "u", &encoded);
        assert!(is_same(&stored, &values("a")));
        assert!(!is_same(&stored, &values("b")) && !is_same(&stored, &values("a")[..1]));
        let mut open = stored.clone();
        open["immutable"] = false.into();
        let mut more = stored;
        more["data"]["MORE"] = "eA==".into();
        assert!(!is_same(&open, &values("a")) && !is_same(&more, &values("a")));
    }

    #[test]
    fn a_shell_makes_the_same_of_a_value() {
        for value in ["", "a", "it's $HOME `id` \"x\"\n", "é\u{1b}", &"long ".repeat(100)] {
            let script = format!("printf %s \"{}\"", encoded_by_shell("KEY"));
            let output = std::process::Command::new("sh").args(["-c", &script]).env("KEY", value).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), encoded(value));
        }
    }
}
