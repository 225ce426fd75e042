//! Where a pod may run, as whom, and with which login: the same of every pod.

use serde_json::{Value, json};

/// What a context and the cluster's answers say of it.
pub(crate) struct Scheduling<'a> {
    pub node_selector: &'a [(String, String)],
    pub affinity: Option<&'a Value>,
    pub tolerations: &'a [Value],
    pub service_account: Option<&'a str>,
    pub image_pull_secret: Option<&'a str>,
}

impl Scheduling<'_> {
    /// Adds it to a pod's spec; what is empty stays out.
    pub(crate) fn add_to(&self, pod: &mut Value) {
        if !self.node_selector.is_empty() {
            pod["nodeSelector"] =
                self.node_selector.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
        }
        if let Some(affinity) = self.affinity {
            pod["affinity"] = affinity.clone();
        }
        if !self.tolerations.is_empty() {
            pod["tolerations"] = self.tolerations.to_vec().into();
        }
        if let Some(account) = self.service_account {
            pod["serviceAccountName"] = account.into();
        }
        if let Some(secret) = self.image_pull_secret {
            pod["imagePullSecrets"] = json!([{ "name": secret }]);
        }
    }
}
