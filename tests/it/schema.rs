//! The JSON Schemas of both YAML files know the keys that the program reads, and each example of the pages fits.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mrunner::config::{contexts, experiment, sweep};
use serde_json::{Map, Value, json};

use crate::pages;

fn schema(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("docs/schema/{name}.schema.json"));
    serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
}

/// The names of all properties in a part of a schema, but for those that are defined elsewhere in it.
fn properties(schema: &Value) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    match schema {
        Value::Object(entries) => {
            for (key, value) in entries.iter().filter(|(key, _)| *key != "$defs") {
                if key == "properties" {
                    names.extend(value.as_object().unwrap().keys().cloned());
                    names.extend(value.as_object().unwrap().values().flat_map(properties));
                } else {
                    names.extend(properties(value));
                }
            }
        }
        Value::Array(items) => names.extend(items.iter().flat_map(properties)),
        _ => {}
    }
    names
}

/// The keys that a file of the program reads, by the calls that read one.
fn read_by(file: &str) -> BTreeSet<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config").join(file);
    let text = fs::read_to_string(path).unwrap();
    let calls = ["find", "text", "texts", "checked", "flag", "section", "pairs", "items", "require"];
    let keys = calls.iter().flat_map(|call| {
        let after: Vec<&str> = text.split(&format!(".{call}(\"")).skip(1).collect();
        after.into_iter().map(|rest| rest.split('"').next().unwrap().to_owned())
    });
    keys.collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[test]
fn the_schema_of_the_contexts_has_the_keys_that_are_read() {
    let schema = schema("config");
    let context = &schema["$defs"]["context"];
    let top: BTreeSet<String> = context["properties"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(top, set(contexts::KEYS));
    assert_eq!(properties(&schema), set(&["contexts", "current_context"]));
    let older = set(&["context_name", "backend_type", "storage_dir"]);
    let tolerations = properties(&context["properties"]["tolerations"]);
    assert_eq!(tolerations, read_by("tolerations.rs"));
    let nested: BTreeSet<String> = older.union(&tolerations).cloned().collect();
    let own: BTreeSet<String> = properties(context).difference(&nested).cloned().collect();
    assert_eq!(own.union(&properties(&schema)).cloned().collect::<BTreeSet<_>>(), read_by("contexts.rs"));
    assert_eq!(properties(&schema["$defs"]["resources"]), read_by("resources.rs"));
}

#[test]
fn the_schema_of_an_experiment_has_the_keys_that_are_read() {
    let schema = schema("mrunner");
    assert_eq!(properties(&schema), read_by("experiment.rs"));
    assert_eq!(properties(&schema["$defs"]["parameter"]), read_by("parameters.rs"));
    assert_eq!(properties(&schema["$defs"]["sweep"]), read_by("sweep.rs"));
    assert_eq!(properties(&schema["$defs"]["resources"]), read_by("resources.rs"));
}

/// What is wrong with a value by a schema, as far as ours use the language.
fn wrong(schema: &Value, value: &Value, root: &Value, at: &str) -> Option<String> {
    for (word, rule) in schema.as_object().unwrap() {
        let fault = match word.as_str() {
            "$schema" | "$defs" | "title" | "description" | "properties" => None,
            "$ref" => wrong(root.pointer(&rule.as_str().unwrap()[1..]).unwrap(), value, root, at),
            "type" => {
                let types = rule.as_array().cloned().unwrap_or_else(|| vec![rule.clone()]);
                let is = |name: &Value| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "number" => value.is_number(),
                    "integer" => value.is_i64(),
                    other => panic!("this test does not know the type `{other}`"),
                };
                (!types.iter().any(is)).then(|| format!("{at}: {value} is none of {types:?}"))
            }
            "const" => (value != rule).then(|| format!("{at}: {value} is not {rule}")),
            "enum" => (!rule.as_array().unwrap().contains(value)).then(|| format!("{at}: {value} is none of {rule}")),
            "pattern" => {
                assert_eq!(rule, r"\.\.");
                value.as_str().filter(|text| !text.contains("..")).map(|text| format!("{at}: {text} is no range"))
            }
            "minItems" => value.as_array().filter(|items| items.is_empty()).map(|_| format!("{at}: is empty")),
            "required" => {
                let missing = rule.as_array().unwrap().iter().find(|key| value.get(key.as_str().unwrap()).is_none());
                missing.map(|key| format!("{at}: {key} is missing"))
            }
            "items" => value.as_array().into_iter().flatten().find_map(|item| wrong(rule, item, root, at)),
            "anyOf" => {
                let all: Vec<_> = rule.as_array().unwrap().iter().map(|one| wrong(one, value, root, at)).collect();
                all.iter().all(Option::is_some).then(|| format!("{at}: {all:?}"))
            }
            "allOf" => rule.as_array().unwrap().iter().find_map(|one| wrong(one, value, root, at)),
            "additionalProperties" => {
                let empty = Map::new();
                let known = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
                value.as_object().into_iter().flatten().find_map(|(key, value)| {
                    let at = format!("{at}/{key}");
                    match known.get(key) {
                        Some(rule) => wrong(rule, value, root, &at),
                        None if rule == false => Some(format!("{at}: is no key")),
                        None => wrong(rule, value, root, &at),
                    }
                })
            }
            other => panic!("this test does not know `{other}` of JSON Schema"),
        };
        if fault.is_some() {
            return fault;
        }
    }
    None
}

#[test]
fn every_example_is_read_and_fits_its_schema() {
    let mut counts = (0, 0, 0);
    for page in pages::all() {
        for block in page.blocks().iter().filter(|block| block.kind == "yaml") {
            let (text, name) = (&block.text, page.name.as_str());
            let value: Value = serde_yaml::from_str(text).unwrap();
            let file = Path::new("example.yaml");
            let fits = |schema: &Value, value: &Value| {
                let fault = wrong(schema, value, schema, "");
                assert!(fault.is_none(), "{name}: {fault:?}\n{text}");
            };
            if text.contains("contexts:\n") {
                contexts::parse(text, file).unwrap_or_else(|faults| panic!("{name}: {faults:?}\n{text}"));
                fits(&schema("config"), &value);
                counts.0 += 1;
            } else if value.get("grid").is_some() || value.is_array() {
                sweep::parse(text, file).unwrap_or_else(|faults| panic!("{name}: {faults:?}\n{text}"));
                fits(&schema("mrunner"), &json!({ "sweep": value }));
                counts.2 += 1;
            } else {
                experiment::parse(text, file).unwrap_or_else(|faults| panic!("{name}: {faults:?}\n{text}"));
                fits(&schema("mrunner"), &value);
                counts.1 += 1;
            }
        }
    }
    assert!(counts.0 >= 3 && counts.1 >= 3 && counts.2 >= 1, "{counts:?}: does this test still find the examples?");
}

#[test]
fn a_mistake_does_not_fit() {
    let schema = schema("config");
    for (text, part) in [
        ("contexts: {lab: {type: slurm, storage: /s}}", "not \"kubernetes\""),
        ("contexts: {lab: {type: kubernetes}}", "is missing"),
        ("contexts: {lab: {type: kubernetes, storage: /s, registy_url: x}}", "is no key"),
        ("contexts: {lab: {type: kubernetes, storage: /s, resources: {shm: 1}}}", "is no key"),
        ("contexts: {lab: {type: kubernetes, storage: /s, keep_logs: 1}}", "is none of"),
    ] {
        let fault = wrong(&schema, &serde_yaml::from_str(text).unwrap(), &schema, "").unwrap_or_default();
        assert!(fault.contains(part), "{text}: {fault}");
    }
}
