//! Reading JSON that other programs wrote, by paths of field names. A field that is missing, or of another type than it
//! should be, reads as missing.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

static NULL: Value = Value::Null;

/// The value at a path of field names; null where there is none.
pub(crate) fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(value, |value, name| value.get(*name)).unwrap_or(&NULL)
}

/// The text at a path.
pub(crate) fn text<'a>(value: &'a Value, path: &[&str]) -> Option<&'a str> {
    at(value, path).as_str()
}

/// The number at a path.
pub(crate) fn number(value: &Value, path: &[&str]) -> Option<u64> {
    at(value, path).as_u64()
}

/// The time at a path.
pub(crate) fn time(value: &Value, path: &[&str]) -> Option<DateTime<Utc>> {
    text(value, path)?.parse().ok()
}

/// Whether the value at a path is `true`.
pub(crate) fn is_true(value: &Value, path: &[&str]) -> bool {
    at(value, path) == &Value::Bool(true)
}

/// The list at a path; empty where there is none.
pub(crate) fn list<'a>(value: &'a Value, path: &[&str]) -> &'a [Value] {
    at(value, path).as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The fields of the object at a path.
pub(crate) fn fields<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Map<String, Value>> {
    at(value, path).as_object()
}
