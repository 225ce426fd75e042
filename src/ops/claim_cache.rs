//! What this machine remembers of claims, so that a run needs only one request to the cluster.
//!
//! Only a cache: it is compared with the cluster's answer, and errors are ignored.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::k8s::names::Namespace;
use crate::storage::proof::Proof;
use crate::tools::kubectl::Kubectl;
use crate::util::{files, regular_file};

static LOCK: Mutex<()> = Mutex::new(());

/// How many claims are remembered.
const MOST: usize = 200;

/// The entry of a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CachedClaim {
    /// The volume that it was bound to.
    pub volume: String,
    /// The image of its newest run, which is on a node.
    pub image: String,
    /// The result of testing the volume, if the user can't write it to the cluster.
    pub proof: Option<Proof>,
    /// When a test failed to give a result, in seconds since 1970.
    pub tried: Option<i64>,
    /// The volume for which the user was warned that it can't be read.
    pub warned_hidden: String,
    /// The volume for which the user was warned that it is deleted with its claim.
    pub warned_reclaim: String,
    /// The size for which the user was warned that the claim can't be resized to it.
    pub warned_size: String,
    /// Under the key of nodes or of an image: the platforms.
    pub platforms: Vec<String>,
    /// When the nodes were listed, in seconds since 1970.
    pub platforms_at: i64,
}

/// Something to remember.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheChange {
    /// The volume that a claim is bound to.
    Volume(String),
    /// The user was told that this volume can't be read.
    WarnedHidden(String),
    /// The user was told that the claim can't grow to this size.
    WarnedSize(String),
    /// The volume was tried in vain, or need not be tried, at this time.
    Tried(i64),
    /// The platforms of an image.
    Platforms(Vec<String>),
    /// The platforms of the nodes, and when these were listed.
    NodePlatforms(Vec<String>, i64),
}

impl CacheChange {
    fn apply(self, known: &mut CachedClaim) {
        match self {
            Self::Volume(name) => known.volume = name,
            Self::WarnedHidden(volume) => known.warned_hidden = volume,
            Self::WarnedSize(size) => known.warned_size = size,
            Self::Tried(time) => known.tried = Some(time),
            Self::Platforms(found) => known.platforms = found,
            Self::NodePlatforms(found, time) => (known.platforms, known.platforms_at) = (found, time),
        }
    }
}

/// Writes what was found out to the cache.
pub fn write(cache: &Path, key: &str, change: CacheChange) {
    note(cache, key, |known| change.apply(known));
}

/// The key of a claim in a cluster.
pub fn key(kubectl: &Kubectl, namespace: &Namespace, claim: &str) -> String {
    format!("{} {namespace}/{claim}", kubectl.flags.join(" "))
}

/// The entry of the claim `key`.
pub fn of(cache: &Path, key: &str) -> CachedClaim {
    all(cache).remove(key).unwrap_or_default()
}

/// Changes the entry.
pub fn note(cache: &Path, key: &str, change: impl FnOnce(&mut CachedClaim)) {
    // a run asks several questions at the same time, and each must keep the changes of the others
    let _lock = LOCK.lock().unwrap_or_else(PoisonError::into_inner);
    let mut claims = all(cache);
    let before = claims.get(key).cloned().unwrap_or_default();
    let mut known = before.clone();
    change(&mut known);
    if known == before {
        return;
    }
    if claims.len() >= MOST {
        claims.pop_first();
    }
    claims.insert(key.to_owned(), known);
    if let Ok(text) = serde_json::to_vec(&claims)
        && files::make_private(cache).is_ok()
    {
        files::swap(&file(cache), &text).ok();
    }
}

fn all(cache: &Path) -> BTreeMap<String, CachedClaim> {
    serde_json::from_slice(&regular_file::read(&file(cache)).unwrap_or_default()).unwrap_or_default()
}

fn file(cache: &Path) -> PathBuf {
    cache.join("claims.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_of_a_claim_is_changed_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("new");
        assert_eq!(of(&cache, "a"), CachedClaim::default());
        note(&cache, "a", |known| known.volume = "v".to_owned());
        note(&cache, "a", |known| known.tried = Some(1));
        assert_eq!(of(&cache, "a"), CachedClaim { volume: "v".into(), tried: Some(1), ..CachedClaim::default() });
        for i in 0..300 {
            note(&cache, &format!("b{i}"), |known| known.volume = "v".to_owned());
        }
        assert!(all(&cache).len() <= MOST);
        std::fs::write(file(&cache), "garbage").unwrap();
        assert_eq!(of(&cache, "a"), CachedClaim::default());
    }
}
