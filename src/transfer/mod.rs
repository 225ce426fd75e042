//! Files from and to a project's volume, through a helper pod and `kubectl port-forward`: each byte is verified, a cut
//! transfer continues where it was, and no exit code is trusted.
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
pub struct Place {
    /// Where the claim is.
    pub namespace: Namespace,
    /// The claim.
    pub claim: ClaimName,
    /// The helper's image.
    pub image: String,
    /// User and group.
    pub run_as: (u32, u32),
    /// Labels that a node must have.
    pub node_selector: Vec<(String, String)>,
    /// The node that it must run on, as the volume is in use there and nowhere else.
    pub node: Option<String>,
    /// Taints that it tolerates.
    pub tolerations: Vec<Value>,
    /// Labels and annotations of the pod.
    pub pod: PodMetadata,
    /// The service account.
    pub service_account: Option<String>,
    /// A Secret with the registry's login.
    pub image_pull_secret: Option<String>,
}

/// Numbers of Linux's errors, as the helper tells them on any system of ours.
pub(crate) const NOT_FOUND: u32 = 2;
/// This user may not.
pub(crate) const NOT_PERMITTED: u32 = 13;
/// No space is left on the volume.
pub(crate) const DISK_FULL: u32 = 28;
/// The volume can only be read.
pub(crate) const READ_ONLY: u32 = 30;
/// The user's part of the volume is used up.
pub(crate) const QUOTA: u32 = 122;

/// A path in a volume as it is shown, with nothing in it that a terminal would obey.
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
