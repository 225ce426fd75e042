//! Parameters: of the experiment's file, by the user's own arguments.

use serde_json::{Map, Value};

use crate::config::{self, ParamKind, Parameter};
use crate::request::sweep::Point;
use crate::util::error::{Fail, usage};

/// The parameters of a run, of which the points of a sweep may give some.
#[derive(Debug, Clone)]
pub struct ParamTemplate(Vec<Slot>);

/// A parameter's place among the script's arguments.
#[derive(Debug, Clone)]
enum Slot {
    /// The user's own arguments name it.
    Given(String, Value),
    /// It has this value in every point.
    Fixed(String, config::Value),
    /// The point gives its value, else its default does.
    Swept(Parameter),
}

impl ParamTemplate {
    /// Parameters in file order, then those that only the sweep names.
    pub(super) fn new(parameters: &[Parameter], swept: &[&str], args: &[String]) -> Result<Self, Fail> {
        let mut slots = Vec::new();
        let mut missing = Vec::new();
        let known = |name: &&&str| parameters.iter().any(|parameter| parameter.name == **name);
        let new = |name: &&str| Parameter { name: (*name).to_owned(), kind: None, default: None, required: false };
        let others: Vec<Parameter> = swept.iter().filter(|name| !known(name)).map(new).collect();
        for parameter in parameters.iter().chain(&others) {
            let name = parameter.name.clone();
            let is_swept = swept.contains(&name.as_str());
            match (given(&name, args), &parameter.default) {
                (Some(_), _) if is_swept => {
                    return Err(usage(format!("the parameter `{name}` is swept, and given to the script as well"))
                        .hint(format!("leave `--{name}` out behind `--`, or do not sweep over it")));
                }
                (Some(given), _) => slots.push(Slot::Given(name, typed(parameter, given))),
                _ if is_swept => slots.push(Slot::Swept(parameter.clone())),
                (None, Some(default)) => slots.push(Slot::Fixed(name, default.clone())),
                (None, None) if parameter.required => missing.push(parameter.name.as_str()),
                (None, None) => {}
            }
        }
        lacks(&missing).map_or(Ok(Self(slots)), Err)
    }

    /// What a point makes of them: as JSON for `$MRUNNER_PARAMS`, and as arguments for the script.
    /// Those that the user's own arguments name are left to these.
    pub(super) fn of(&self, point: &Point) -> Result<(Value, Vec<String>), Fail> {
        let mut params = Map::new();
        let mut words = Vec::new();
        let mut missing = Vec::new();
        for slot in &self.0 {
            let (name, value) = match slot {
                Slot::Given(name, json) => {
                    params.insert(name.clone(), json.clone());
                    continue;
                }
                Slot::Fixed(name, value) => (name, value.clone()),
                Slot::Swept(parameter) => {
                    let found = point.iter().find(|(name, _)| *name == parameter.name).map(|(_, value)| value);
                    let value = found.map(|value| fitted(parameter, value)).or_else(|| parameter.default.clone());
                    match value {
                        Some(value) => (&parameter.name, value),
                        None if parameter.required => {
                            missing.push(parameter.name.as_str());
                            continue;
                        }
                        None => continue,
                    }
                }
            };
            params.insert(name.clone(), value.json);
            words.push(format!("--{name}"));
            words.push(value.text);
        }
        lacks(&missing).map_or_else(|| Ok((params.into(), words)), Err)
    }
}

/// A point's value as its parameter's declared type has it.
fn fitted(parameter: &Parameter, value: &config::Value) -> config::Value {
    let json = match parameter.kind {
        Some(ParamKind::String) => Value::String(value.text.clone()),
        Some(_) => typed(parameter, &value.text),
        None => value.json.clone(),
    };
    config::Value { text: value.text.clone(), json }
}

fn lacks(missing: &[&str]) -> Option<Fail> {
    let first = missing.first()?;
    let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
    let (noun, verb) = if names.len() == 1 { ("parameter", "has") } else { ("parameters", "have") };
    let error = usage(format!("the {noun} {} {verb} no value", names.join(", ")));
    Some(
        error.hint(format!(
            "give it to the script: `-- --{first} VALUE`, or give it a `default` in the experiment file"
        )),
    )
}

/// An argument as its parameter's type has it; text where it does not fit, as the script will say so.
fn typed(parameter: &Parameter, text: &str) -> Value {
    let kind = parameter.kind.or_else(|| match parameter.default.as_ref()?.json {
        Value::Number(_) => Some(ParamKind::Double),
        Value::Bool(_) => Some(ParamKind::Boolean),
        _ => None,
    });
    let read = match kind {
        Some(ParamKind::Int | ParamKind::Double) => {
            serde_json::from_str::<serde_json::Number>(text).ok().map(Value::Number)
        }
        Some(ParamKind::Boolean) => text.to_lowercase().parse().ok().map(Value::Bool),
        Some(ParamKind::String) | None => None,
    };
    read.unwrap_or_else(|| text.into())
}

/// What the user's arguments say for a parameter: `--name value` or `--name=value`, the last one counts.
fn given<'a>(name: &str, args: &'a [String]) -> Option<&'a str> {
    let own = args.iter().position(|arg| arg == "--").map_or(args, |end| &args[..end]);
    let mut value = None;
    for (i, arg) in own.iter().enumerate() {
        let Some(rest) = arg.strip_prefix("--").and_then(|rest| rest.strip_prefix(name)) else { continue };
        if let Some(text) = rest.strip_prefix('=') {
            value = Some(text);
        } else if rest.is_empty() {
            // a flag without a value
            value = Some(own.get(i + 1).map(String::as_str).filter(|next| !next.starts_with("--")).unwrap_or("true"));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request::sweep::{Factor, Selection, Sweep};

    fn of(file: &str, args: &[&str]) -> Result<(Value, Vec<String>), Fail> {
        let experiment = config::experiment::parse(file, "neptune.yaml".as_ref()).unwrap();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        ParamTemplate::new(&experiment.parameters, &[], &args)?.of(&Point::new())
    }

    fn swept(file: &str, grids: &[&str], args: &[&str]) -> Result<Vec<(String, String)>, String> {
        let experiment = config::experiment::parse(file, "neptune.yaml".as_ref()).unwrap();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        let factors = grids.iter().map(|text| Factor::grid(text).unwrap()).collect();
        let sweep = Sweep::new(factors, &Selection::default()).unwrap();
        let template =
            ParamTemplate::new(&experiment.parameters, &sweep.names(), &args).map_err(|fail| fail.message)?;
        let one = |point: Point| {
            template.of(&point).map(|(json, words)| (json.to_string(), words.join(" "))).map_err(|fail| fail.message)
        };
        sweep.points().map(one).collect()
    }

    #[test]
    fn a_point_takes_the_place_of_the_files_value() {
        let file = "parameters: {lr: 1, depth: 0.10, name: x}";
        let points = swept(file, &["depth=0.50,2", "seed=1"], &["--name", "y"]).unwrap();
        let first = r#"{"lr":1,"depth":0.5,"name":"y","seed":1}"#;
        assert_eq!(points[0], (first.to_owned(), "--lr 1 --depth 0.50 --seed 1".to_owned()));
        assert_eq!(points[1].1, "--lr 1 --depth 2 --seed 1");
        let typed = "parameters: [{name: a, type: string}, {name: b, type: double, default: 3}]";
        assert_eq!(swept(typed, &["a=1", "b=1e1,x"], &[]).unwrap()[0].0, r#"{"a":"1","b":10.0}"#);
        assert_eq!(swept(typed, &["a=1", "b=1e1,x"], &[]).unwrap()[1].0, r#"{"a":"1","b":"x"}"#);
    }

    #[test]
    fn what_is_swept_can_not_be_given_as_well() {
        let error = swept("parameters: {lr: 1}", &["lr=1,2"], &["--lr=3"]).unwrap_err();
        assert_eq!(error, "the parameter `lr` is swept, and given to the script as well");
        let error = swept("parameters: [{name: a, required: true}]", &["b=1"], &[]).unwrap_err();
        assert_eq!(error, "the parameter `a` has no value");
    }

    #[test]
    fn they_keep_the_order_and_spelling_of_the_file() {
        let (params, words) = of("parameters: {lr: 1e-3, depth: 0.10, name: a b, flag: true}", &[]).unwrap();
        assert_eq!(words, ["--lr", "1e-3", "--depth", "0.10", "--name", "a b", "--flag", "true"]);
        assert_eq!(params.to_string(), r#"{"lr":0.001,"depth":0.1,"name":"a b","flag":true}"#);
    }

    #[test]
    fn the_users_arguments_replace_them() {
        let file = "parameters: {lr: 0.1, epochs: 3, verbose: false}";
        let (params, words) = of(file, &["--epochs", "5", "--lr=0.2", "--verbose", "--", "--epochs", "9"]).unwrap();
        assert_eq!(words, [""; 0]);
        assert_eq!(params.to_string(), r#"{"lr":0.2,"epochs":5,"verbose":true}"#);
        let (params, words) = of(file, &["--epochs-max", "5", "--lr", "-1"]).unwrap();
        assert_eq!(words, ["--epochs", "3", "--verbose", "false"]);
        assert_eq!(params["lr"], -1);
    }

    #[test]
    fn all_that_have_no_value_are_told() {
        let file = "parameters: [{name: a, required: true}, {name: b, type: int}, {name: c, default: 1}, {name: d, required: false}]";
        assert_eq!(of(file, &[]).unwrap_err().message, "the parameters `a`, `b` have no value");
        assert_eq!(of(file, &["--a", "x"]).unwrap_err().message, "the parameter `b` has no value");
        assert_eq!(of(file, &["--a", "x", "--b", "1"]).unwrap().0.to_string(), r#"{"a":"x","b":1,"c":1}"#);
    }
}
