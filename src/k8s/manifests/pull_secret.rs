//! The Secret with which the cluster pulls from a registry that demands a login.

use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::k8s::manifests::MANAGED_BY;
use crate::k8s::names::Namespace;

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
        let hash = HEXLOWER.encode(&Sha256::digest(format!("{}\n{}", self.host, self.user)));
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
        BASE64.encode(format!("{}:{password}", self.user).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secret_holds_one_host() {
        let login = RegistryLogin { host: "reg:5000".into(), user: "anna".into(), variable: "PW".into() };
        let manifest = login.manifest(&Namespace::of_project("vision"), &login.auth("s3"));
        assert_eq!(manifest["stringData"][".dockerconfigjson"], r#"{"auths":{"reg:5000":{"auth":"YW5uYTpzMw=="}}}"#);
        assert_eq!(login.secret_name().len(), 27);
    }
}
