//! The Secret with which the cluster pulls from a registry that demands a login.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::k8s::manifests::MANAGED_BY;
use crate::k8s::names::{Namespace, hex};

/// A login for one registry, without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryLogin {
    /// The registry's host, with its port.
    pub host: String,
    /// The user.
    pub user: String,
    /// The name of the variable that holds the password.
    pub variable: String,
}

impl RegistryLogin {
    /// The name of the Secret: one for each user of a registry.
    pub fn secret_name(&self) -> String {
        let hash = hex(&Sha256::digest(format!("{}\n{}", self.host, self.user)));
        format!("mrunner-registry-{}", &hash[..10])
    }

    /// The Secret. Of this host alone: whoever may create pods in the namespace can read it
    /// (kubernetes.io, "Good practices for Kubernetes Secrets"). `auth` is what [`auth`] gives.
    pub fn manifest(&self, namespace: &Namespace, auth: &str) -> Value {
        let config = json!({ "auths": { self.host.clone(): { "auth": auth } } });
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.secret_name(),
                "namespace": namespace.as_str(),
                "labels": { MANAGED_BY: "mrunner" },
            },
            "type": "kubernetes.io/dockerconfigjson",
            "stringData": { ".dockerconfigjson": config.to_string() },
        })
    }

    /// What a shell puts in the place of the password.
    pub fn auth_by_shell(&self) -> String {
        format!(
            "$(printf %s:%s {} \"${}\" | base64 | tr -d '\\n')",
            crate::util::shell_words::quote(self.user.as_ref()),
            self.variable
        )
    }

    /// User and password as docker's configuration has them: base64 of `USER:PASSWORD`.
    pub fn auth(&self, password: &str) -> String {
        base64(format!("{}:{password}", self.user).as_bytes())
    }
}

/// RFC 4648, section 4.
pub(super) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for i in 0..4 {
            let index = usize::try_from(group >> (18 - 6 * i) & 63).unwrap_or_default();
            text.push(if i <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
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
        ] {
            assert_eq!(base64(text.as_bytes()), expected);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_secret_holds_one_host() {
        let login = RegistryLogin { host: "reg:5000".into(), user: "anna".into(), variable: "PW".into() };
        let manifest = login.manifest(&Namespace::of_project("vision"), &login.auth("s3"));
        assert_eq!(manifest["stringData"][".dockerconfigjson"], r#"{"auths":{"reg:5000":{"auth":"YW5uYTpzMw=="}}}"#);
        assert_eq!(login.secret_name().len(), 27);
    }
}
