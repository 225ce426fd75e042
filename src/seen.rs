//! The runs that this machine has seen, for completing their names without a cluster's answer.
//!
//! A cache, no record: whatever goes wrong with it is passed over in silence.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::disk;
use crate::regular;

/// How many runs are remembered, the newest first: a completion lists no more.
const MOST: usize = 500;

/// A run, as far as completion needs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Its name.
    pub run: String,
    /// Its namespace.
    pub namespace: String,
    /// The project's raw name.
    pub project: String,
    /// The raw tags.
    pub tags: Vec<String>,
}

/// The runs remembered in the folder `cache`.
pub fn all(cache: &Path) -> Vec<Seen> {
    let bytes = regular::read(&file(cache)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Remembers these runs, and forgets those of which `gone` is true.
pub fn note(cache: &Path, runs: impl IntoIterator<Item = Seen>, gone: impl Fn(&Seen) -> bool) {
    let before = all(cache);
    let mut after: Vec<Seen> = runs.into_iter().collect();
    let known: BTreeSet<(String, String)> = after.iter().map(|s| (s.namespace.clone(), s.run.clone())).collect();
    let kept = |seen: &&Seen| !gone(seen) && !known.contains(&(seen.namespace.clone(), seen.run.clone()));
    after.extend(before.iter().filter(kept).cloned());
    after.truncate(MOST);
    if after != before
        && let Ok(text) = serde_json::to_vec(&after)
        && disk::make_private(cache).is_ok()
    {
        // not made sure to be on the disk: that takes longer than it is worth
        disk::swap(&file(cache), &text).ok();
    }
}

fn file(cache: &Path) -> PathBuf {
    cache.join("seen.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(run: &str) -> Seen {
        Seen { run: run.into(), namespace: "n".into(), project: "p".into(), tags: vec![] }
    }

    #[test]
    fn runs_are_remembered_once_newest_first_and_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("new");
        note(&cache, [seen("a")], |_| false);
        note(&cache, [seen("b"), seen("a")], |_| false);
        assert_eq!(all(&cache), [seen("b"), seen("a")]);
        note(&cache, [], |s| s.run == "b");
        assert_eq!(all(&cache), [seen("a")]);
        note(&cache, (0..600).map(|i| seen(&i.to_string())), |_| false);
        assert_eq!(all(&cache).len(), MOST);
        std::fs::write(file(&cache), "garbage").unwrap();
        assert_eq!(all(&cache), []);
        note(&cache, [seen("a")], |_| false);
        assert_eq!(all(&cache), [seen("a")]);
    }
}
