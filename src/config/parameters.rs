//! The parameters of an experiment: what its script gets as `--name value`.
//!
//! A value is kept twice: as it was written, because `1e-3` or `0.10` must reach the script as
//! `1e-3` and `0.10`, and as JSON for `$MRUNNER_PARAMS`, where it has a type.

use std::collections::HashMap;

use serde_json::{Map, Number, Value as Json};

use super::fault::{Faults, Spot, Wrong, must_be, wrong};
use super::section::{LocatedNode, Section, truth};
use super::yaml::{Data, Node};

/// A parameter of an experiment.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Reaches the script as `--name`.
    pub name: String,
    /// What its values must be; not given in the short form.
    pub kind: Option<ParamKind>,
    /// The value when no other is given.
    pub default: Option<Value>,
    /// The run is refused when there is neither a default nor another value.
    pub required: bool,
}

/// The type of a parameter, in the words of neptune.yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParamKind {
    /// `double`, also `float`.
    Double,
    /// `int`, also `integer`.
    Int,
    /// `string`, also `str`.
    String,
    /// `boolean`, also `bool`.
    Boolean,
}

/// A value of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// What the script gets: a single value as it was written, a list or mapping as compact JSON.
    pub text: String,
    /// What stands in `$MRUNNER_PARAMS`.
    pub json: Json,
}

impl ParamKind {
    fn parse(text: &str) -> Result<Self, Wrong> {
        match text {
            "double" | "float" => Ok(Self::Double),
            "int" | "integer" => Ok(Self::Int),
            "string" | "str" => Ok(Self::String),
            "boolean" | "bool" => Ok(Self::Boolean),
            _ => Err(must_be("one of `double`, `int`, `string`, `boolean`", text)),
        }
    }

    fn described(self) -> &'static str {
        match self {
            Self::Double => "a number, as its type `double` says",
            Self::Int => "a whole number, as its type `int` says",
            Self::String => "a single value, as its type `string` says",
            Self::Boolean => "`true` or `false`, as its type `boolean` says",
        }
    }
}

/// Reads both forms: a list of `{name, type, default, required}`, or a mapping of names to values.
pub(super) fn read(found: &LocatedNode, faults: &mut Faults) -> Vec<Parameter> {
    let mut parameters = Vec::new();
    match &found.node.data {
        Data::Map(_) => {
            for (name, value) in found.entries(faults) {
                if let Err(what) = check_name(name) {
                    faults.add(&value.spot, what);
                }
                let default = read_value(value.node, None, &value.spot, faults);
                parameters.push(Parameter { name: name.to_owned(), kind: None, required: default.is_none(), default });
            }
        }
        Data::List(_) => {
            let mut lines = HashMap::new();
            for item in found.items(faults) {
                let line = item.node.line;
                let spot = item.spot.clone();
                let Some(parameter) = Section::read(item.node, item.spot, faults, read_one).flatten() else { continue };
                if let Some(first) = lines.insert(parameter.name.clone(), line) {
                    faults.add(&spot, wrong(format!("has the name of the parameter in line {first}")));
                }
                parameters.push(parameter);
            }
        }
        Data::Scalar { .. } => {
            faults.add(&found.spot, wrong(format!("must be a list or a mapping, not {}", found.node.what())));
        }
    }
    parameters
}

fn read_one(section: &mut Section) -> Option<Parameter> {
    section.require("name", None);
    let name = section.checked("name", |name| check_name(name).map(|()| name.to_owned()));
    let kind = section.checked("type", ParamKind::parse);
    // words for people, which nothing here shows
    section.find("description");
    let default = section.find("default").and_then(|found| read_value(found.node, kind, &found.spot, section.faults));
    let required = section.flag("required").unwrap_or(default.is_none());
    Some(Parameter { name: name?, kind, default, required })
}

pub(crate) fn check_name(name: &str) -> Result<(), Wrong> {
    let hint = "the script gets it as `--NAME`";
    if name.is_empty()
        || name.starts_with('-')
        || name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
    {
        return Err(wrong("is no name of a parameter: no blanks, no `=`, no `-` in front").hint(hint));
    }
    Ok(())
}

/// The value of `node`, `None` when there is none or it does not fit `kind`.
pub(super) fn read_value(node: &Node, kind: Option<ParamKind>, spot: &Spot, faults: &mut Faults) -> Option<Value> {
    if node.is_null() {
        return None;
    }
    let json = match kind {
        Some(kind) => fit(node, kind),
        None => Some(to_json(node)),
    };
    let Some(json) = json else {
        let what = kind.map_or("a value", ParamKind::described);
        faults.add(spot, wrong(format!("must be {what}, not {}", node.what())));
        return None;
    };
    let text = match &node.data {
        Data::Scalar { text, .. } => text.clone(),
        _ => json.to_string(),
    };
    // no process can be given such an argument; in JSON it is escaped
    if text.contains('\0') {
        faults.add(spot, wrong("must not hold a NUL character"));
        return None;
    }
    Some(Value { text, json })
}

/// The value as JSON if it is of `kind`, whether quoted or not.
fn fit(node: &Node, kind: ParamKind) -> Option<Json> {
    let Data::Scalar { text, .. } = &node.data else { return None };
    match kind {
        ParamKind::String => Some(Json::String(text.clone())),
        ParamKind::Int => integer(text),
        ParamKind::Double => integer(text).or_else(|| float(text)),
        ParamKind::Boolean => truth(text).map(Json::Bool),
    }
}

/// `text` as a value that nobody quoted: `1` is a number, by YAML's core schema.
pub fn typed(text: &str) -> Value {
    Value { text: text.to_owned(), json: scalar(text) }
}

fn scalar(text: &str) -> Json {
    match text {
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        _ => integer(text).or_else(|| float(text)).unwrap_or_else(|| Json::String(text.to_owned())),
    }
}

/// A value as JSON, by YAML's core schema.
fn to_json(node: &Node) -> Json {
    match &node.data {
        Data::List(items) => items.iter().map(|item| to_json(item)).collect(),
        Data::Map(entries) => {
            let entries = entries.iter().map(|entry| (entry.key.clone(), to_json(&entry.value)));
            Json::Object(entries.collect::<Map<_, _>>())
        }
        Data::Scalar { text, plain: false } => Json::String(text.clone()),
        Data::Scalar { .. } if node.is_null() => Json::Null,
        Data::Scalar { text, .. } => scalar(text),
    }
}

/// A whole number; one that no JSON number holds exactly stays text.
fn integer(text: &str) -> Option<Json> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', ..] => (true, &text[1..]),
        [b'+', ..] => (false, &text[1..]),
        _ => (false, text),
    };
    if let Some(number) = digits.strip_prefix("0x").and_then(|hex| radix(hex, 16)) {
        return (digits == text).then(|| number.into());
    }
    if let Some(number) = digits.strip_prefix("0o").and_then(|octal| radix(octal, 8)) {
        return (digits == text).then(|| number.into());
    }
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    if let Ok(number) = digits.parse::<u64>().map_err(drop).and_then(|n| if negative { Err(()) } else { Ok(n) }) {
        return Some(number.into());
    }
    Some(text.parse::<i64>().map_or_else(|_| Json::String(text.to_owned()), Json::from))
}

fn radix(digits: &str, radix: u32) -> Option<u64> {
    let fits = digits.chars().all(|c| c.is_digit(radix));
    fits.then(|| u64::from_str_radix(digits, radix).ok()).flatten()
}

/// A number with a fraction or an exponent; infinities and NaN, which JSON has not, stay text.
fn float(text: &str) -> Option<Json> {
    let unsigned = text.trim_start_matches(['+', '-']);
    if text.len() - unsigned.len() > 1 {
        return None;
    }
    if matches!(unsigned, ".inf" | ".Inf" | ".INF" | ".nan" | ".NaN" | ".NAN") {
        return Some(Json::String(text.to_owned()));
    }
    let fits = |c: char| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-');
    if !unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.') || !unsigned.chars().all(fits) {
        return None;
    }
    let number = text.parse::<f64>().ok()?;
    Some(Number::from_f64(number).map_or_else(|| Json::String(text.to_owned()), Json::Number))
}

#[cfg(test)]
mod tests;
