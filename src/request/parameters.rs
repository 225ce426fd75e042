//! Parameters: of the experiment's file, by the user's own arguments.

use serde_json::{Map, Value};

use crate::config::{Kind, Parameter};
use crate::error::{Fail, usage};

/// The parameters as JSON for `$MRUNNER_PARAMS`, and as arguments for the script, in file order.
/// Those that the user's own arguments name are left to these.
pub(super) fn resolve(parameters: &[Parameter], args: &[String]) -> Result<(Value, Vec<String>), Fail> {
    let mut params = Map::new();
    let mut words = Vec::new();
    let mut missing = Vec::new();
    for parameter in parameters {
        if let Some(given) = given(&parameter.name, args) {
            params.insert(parameter.name.clone(), typed(parameter, given));
        } else if let Some(default) = &parameter.default {
            params.insert(parameter.name.clone(), default.json.clone());
            words.push(format!("--{}", parameter.name));
            words.push(default.text.clone());
        } else if parameter.required {
            missing.push(parameter.name.as_str());
        }
    }
    if let Some(first) = missing.first() {
        let names: Vec<_> = missing.iter().map(|name| format!("`{name}`")).collect();
        let (noun, verb) = if names.len() == 1 { ("parameter", "has") } else { ("parameters", "have") };
        return Err(usage(format!("the {noun} {} {verb} no value", names.join(", "))).hint(format!(
            "give it to the script: `-- --{first} VALUE`, or give it a `default` in the experiment file"
        )));
    }
    Ok((params.into(), words))
}

/// An argument as its parameter's type has it; text where it does not fit, as the script will say so.
fn typed(parameter: &Parameter, text: &str) -> Value {
    let kind = parameter.kind.or_else(|| match parameter.default.as_ref()?.json {
        Value::Number(_) => Some(Kind::Double),
        Value::Bool(_) => Some(Kind::Boolean),
        _ => None,
    });
    let read = match kind {
        Some(Kind::Int | Kind::Double) => serde_json::from_str::<serde_json::Number>(text).ok().map(Value::Number),
        Some(Kind::Boolean) => text.to_lowercase().parse().ok().map(Value::Bool),
        Some(Kind::String) | None => None,
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
    use crate::config;

    fn of(file: &str, args: &[&str]) -> Result<(Value, Vec<String>), Fail> {
        let experiment = config::experiment::parse(file, "neptune.yaml".as_ref()).unwrap();
        let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
        resolve(&experiment.parameters, &args)
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
