//! docker's own configuration, as far as it tells who is logged in where. Never written, and no
//! secret in it is looked at.

use std::collections::HashMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// What docker's `config.json` says of logins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
#[allow(clippy::zero_sized_map_values, reason = "what is not looked at is not kept")]
pub struct Docker {
    /// Hosts that a helper of their own serves.
    #[serde(rename = "credHelpers")]
    helpers: HashMap<String, IgnoredAny>,
    /// Hosts that somebody has logged in to; where the login is in a store, its entry is empty.
    auths: HashMap<String, IgnoredAny>,
}

impl Docker {
    /// Reads the text; what is no such file serves no host, and docker itself tells what is wrong.
    pub fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Whether a helper or a login serves the registry at `host`.
    pub fn serves(&self, host: &str) -> bool {
        // an entry may be a URL, as older versions wrote it
        let host_of = |entry: &str| {
            let rest = entry.split_once("://").map_or(entry, |(_, rest)| rest);
            rest.split('/').next().unwrap_or_default().to_ascii_lowercase()
        };
        let hub = matches!(host, "docker.io" | "registry-1.docker.io");
        self.helpers.keys().chain(self.auths.keys()).any(|entry| {
            let entry = host_of(entry);
            entry == host || (hub && entry == "index.docker.io")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_served() {
        let docker = Docker::parse(
            r#"{"auths": {"https://index.docker.io/v1/": {}, "Reg.lab:5000": {"auth": "x"}}, "credsStore": "desktop",
                "credHelpers": {"gcr.io": "gcloud"}, "plugins": [1]}"#,
        );
        for host in ["gcr.io", "docker.io", "reg.lab:5000"] {
            assert!(docker.serves(host), "{host}");
        }
        for host in ["eu.gcr.io", "reg.lab", "x"] {
            assert!(!docker.serves(host), "{host}");
        }
        for text in ["", "{", "[]", r#"{"auths": 5}"#] {
            assert!(!Docker::parse(text).serves("gcr.io"));
        }
    }
}
