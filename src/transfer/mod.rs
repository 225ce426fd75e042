//! Copies files from and to a project's volume, through a helper pod and `kubectl port-forward`: each byte is
//! verified, an interrupted transfer continues where it was, and no exit code is trusted.
//!
//! - [`source`]: what a user's `RUN/0` or `PROJECT:PATH` means.
//! - [`protocol`]: frames between client and helper.
//! - [`helper`]: the helper's Job and pod; [`connection`]: one connection to it; [`session`]: reconnects, retries.
//! - [`manifest`]: a list of the volume's entries; `records`: small files of a folder that others write to.
//! - [`engine`]: moves files over several connections; [`parts`]: files that are incomplete; [`report`]: what moved.
//! - [`download`]: to this machine; [`destination`]: where the files go; [`safe`]: allowed names and links.
//! - [`upload`]: to the volume; [`walk`]: what is here; [`remote_index`]: what is already there.

pub(crate) mod connection;
pub(crate) mod destination;
pub(crate) mod download;
pub(crate) mod engine;
pub(crate) mod helper;
pub(crate) mod manifest;
pub(crate) mod parts;
pub mod protocol;
pub(crate) mod records;
pub(crate) mod remote_index;
pub(crate) mod report;
pub mod safe;
pub(crate) mod session;
pub mod source;
pub(crate) mod upload;
pub(crate) mod walk;

use serde_json::Value;

use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::names::{ClaimName, Namespace};

/// A project's volume, and what a pod that mounts it needs.
#[derive(Debug, Clone)]
pub struct VolumeAccess {
    /// The namespace of the claim.
    pub namespace: Namespace,
    /// The claim.
    pub claim: ClaimName,
    /// The helper's image.
    pub image: String,
    /// User and group.
    pub run_as: (u32, u32),
    /// Labels that the node must have.
    pub node_selector: Vec<(String, String)>,
    /// The node where the volume is in use, if no other node can mount it.
    pub node: Option<String>,
    /// Taints that the pod tolerates.
    pub tolerations: Vec<Value>,
    /// Labels and annotations of the pod.
    pub pod: PodMetadata,
    /// The service account.
    pub service_account: Option<String>,
    /// A Secret with the registry's login.
    pub image_pull_secret: Option<String>,
}

/// Error numbers of Linux, which the helper sends to any system.
pub(crate) const NOT_FOUND: u32 = 2;
pub(crate) const NOT_PERMITTED: u32 = 13;
pub(crate) const DISK_FULL: u32 = 28;
pub(crate) const READ_ONLY: u32 = 30;
pub(crate) const QUOTA: u32 = 122;

/// Formats a path of a volume so that a terminal obeys nothing in it.
pub(crate) fn shown(path: &[u8]) -> String {
    match std::str::from_utf8(path) {
        Ok(text) if text.escape_debug().eq(text.chars()) => text.to_owned(),
        _ => {
            let mut escaped = String::new();
            for chunk in path.utf8_chunks() {
                escaped.extend(chunk.valid().escape_debug());
                escaped.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
            }
            format!("\"{escaped}\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_forges_nothing() {
        assert_eq!(shown("ünï/a b:c".as_bytes()), "ünï/a b:c");
        assert_eq!(shown(b"a\nb\x1b[31m\xff"), r#""a\nb\u{1b}[31m\xff""#);
        assert_eq!(shown("a\u{202e}b".as_bytes()), "\"a\\u{202e}b\"");
    }
}
