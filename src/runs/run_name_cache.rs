//! The runs that this machine has seen, so that their names can be completed without asking a cluster.
//!
//! Only a cache: errors are ignored.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::k8s::manifests::{RAW_PROJECT, RAW_TAGS};
use crate::k8s::names::{Namespace, RunName};
use crate::k8s::object::Object;
use crate::plan::Plan;
use crate::util::{files, regular_file};

/// How many runs are remembered, the newest first; completion lists no more.
const MOST: usize = 500;

/// The fields of a run that completion needs.
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

/// The longest cache file.
const LONGEST: u64 = 16 << 20;

/// How many tags of a run are remembered, and the longest tag and project name.
const MOST_TAGS: usize = 64;
const LONGEST_NAME: usize = 512;

impl Seen {
    /// The run of this plan.
    pub fn of(plan: &Plan) -> Self {
        let annotation = |name: &str| Object::of(&plan.job).annotation(name).unwrap_or_default();
        Self {
            run: plan.run.to_string(),
            namespace: plan.namespace.to_string(),
            project: annotation(RAW_PROJECT).to_owned(),
            tags: serde_json::from_str(annotation(RAW_TAGS)).unwrap_or_default(),
        }
    }

    /// Checks the fields, which other users of the cluster can set. `None` if they can't be those of a run.
    fn checked(mut self) -> Option<Self> {
        RunName::given(&self.run)?;
        Namespace::given(&self.namespace)?;
        let is_name = |text: &str| text.len() <= LONGEST_NAME && !text.contains(char::is_control);
        self.tags.retain(|tag| is_name(tag));
        self.tags.truncate(MOST_TAGS);
        is_name(&self.project).then_some(self)
    }
}

/// The runs remembered in the folder `cache`.
pub fn all(cache: &Path) -> Vec<Seen> {
    let mut bytes = Vec::new();
    if let Ok(file) = regular_file::open(&file(cache)) {
        file.take(LONGEST).read_to_end(&mut bytes).ok();
    }
    let runs: Vec<Seen> = serde_json::from_slice(&bytes).unwrap_or_default();
    runs.into_iter().take(MOST).filter_map(Seen::checked).collect()
}

/// Remembers these runs, and forgets those for which `gone` is true.
pub fn note(cache: &Path, runs: impl IntoIterator<Item = Seen>, gone: impl Fn(&Seen) -> bool) {
    let before = all(cache);
    let mut after: Vec<Seen> = runs.into_iter().filter_map(Seen::checked).collect();
    let known: BTreeSet<(String, String)> = after.iter().map(|s| (s.namespace.clone(), s.run.clone())).collect();
    let kept = |seen: &&Seen| !gone(seen) && !known.contains(&(seen.namespace.clone(), seen.run.clone()));
    after.extend(before.iter().filter(kept).cloned());
    after.truncate(MOST);
    if after != before
        && let Ok(text) = serde_json::to_vec(&after)
        && files::make_private(cache).is_ok()
    {
        // not synced to disk, which would take too long for a cache
        files::swap(&file(cache), &text).ok();
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

    #[test]
    fn what_can_be_no_run_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("new");
        let odd = Seen { tags: vec!["ok".into(), "\u{1b}[31m".into(), "x".repeat(600)], ..seen("a") };
        let forged = Seen { namespace: "--as=admin".into(), ..seen("b") };
        let long = Seen { project: "p".repeat(600), ..seen("d") };
        std::fs::create_dir_all(&cache).unwrap();
        let all_of_them = [odd, forged, seen("-c"), seen("$(id)"), long, seen("e")];
        std::fs::write(file(&cache), serde_json::to_vec(&all_of_them).unwrap()).unwrap();
        assert_eq!(all(&cache), [Seen { tags: vec!["ok".into()], ..seen("a") }, seen("e")]);
        note(&cache, all_of_them, |_| false);
        assert_eq!(all(&cache).len(), 2);
    }
}
