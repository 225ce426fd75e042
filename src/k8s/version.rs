//! A view of what `kubectl version -o json` tells. Pure.

use serde_json::Value;

use crate::k8s::object::{at, text};

/// The version of kubectl or of the API server.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Version<'a>(&'a Value);

impl<'a> Version<'a> {
    /// That of kubectl.
    pub fn of_client(told: &'a Value) -> Self {
        Self(at(told, &["clientVersion"]))
    }

    /// That of the API server.
    pub fn of_server(told: &'a Value) -> Self {
        Self(at(told, &["serverVersion"]))
    }

    /// As it is written, such as `v1.34.1`; nothing where there was no answer.
    pub fn text(self) -> Option<&'a str> {
        text(self.0, &["gitVersion"])
    }

    /// Its minor version; some clusters write a `+` behind it.
    pub fn minor(self) -> Option<i64> {
        text(self.0, &["minor"])?.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn versions_are_told_apart() {
        let told = json!({"clientVersion": {"gitVersion": "v1.34.1", "minor": "34+"}});
        assert_eq!((Version::of_client(&told).text(), Version::of_client(&told).minor()), (Some("v1.34.1"), Some(34)));
        assert_eq!((Version::of_server(&told).text(), Version::of_server(&told).minor()), (None, None));
    }
}
