//! git: which commit a folder stands at, and whether it differs from that.
//!
//! The folder may be anybody's, and a repository can name programs in its configuration and in all that this includes
//! (filters, monitors, hooks, remotes that missing objects are fetched from). None of that is read here: the commit is
//! read from the repository's files, and git compares it with the folder on behalf of a repository of our own, which
//! borrows the index and the objects alone.

mod repository;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

pub use self::repository::{Head, Repository};
use crate::tools::cmd::Cmd;

/// How many changed files are asked for their filters.
const MOST_FILES: usize = 500;

/// A question to git, with none of the variables that name programs, files or settings.
fn git(why: &str) -> Cmd {
    Cmd::new("git", why).without(&["GIT_"]).deadline(Duration::from_secs(10))
}

/// Asks for the commit of a repository whose references are in one of git's newer forms.
pub fn head(repository: &Repository) -> Cmd {
    let mut git_dir = OsString::from("--git-dir=");
    git_dir.push(repository.git_dir());
    git("read the commit of the folder").arg(git_dir).args(["rev-parse", "--verify", "--quiet", "HEAD"])
}

/// A repository that is asked through a stand-in, see [`Repository::stand_in`].
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// Which it is.
    pub repository: &'a Repository,
    /// The folder that git takes for it.
    pub stand_in: &'a Path,
}

impl Comparison<'_> {
    fn ask(&self, folder: &Path) -> Cmd {
        let Self { repository, stand_in } = self;
        git("compare the folder with its commit")
            .env("GIT_DIR", &stand_in.to_string_lossy())
            .env("GIT_WORK_TREE", &repository.root().to_string_lossy())
            .env("GIT_INDEX_FILE", &repository.git_dir().join("index").to_string_lossy())
            .env("GIT_OBJECT_DIRECTORY", &repository.objects().to_string_lossy())
            .env("GIT_NO_LAZY_FETCH", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .arg("-C")
            .arg(folder)
    }

    /// Asks for the filters of the user's own settings.
    pub fn filters(&self) -> Cmd {
        self.ask(self.repository.root()).args(["config", "--null", "--name-only", "--get-regexp", r"^filter\."])
    }

    /// Asks what in `folder` differs from the commit that the stand-in was made with. No filter is run, not even one of
    /// the user's: it would run in the folder, where Python's `-m` finds what lies there.
    pub fn status(&self, folder: &Path, filters: &BTreeSet<String>) -> Cmd {
        // what the user's own settings may say
        let mut cmd = self.ask(folder).args(["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false"]);
        cmd = cmd.args(["-c", "core.hooksPath=/dev/null"]);
        for name in filters {
            for setting in ["clean=", "smudge=", "process=", "required=false"] {
                cmd = cmd.arg("-c").arg(format!("filter.{name}.{setting}"));
            }
        }
        // asking must not write to the user's index
        cmd.arg("--no-optional-locks")
            .args(["status", "--porcelain=v2", "-z", "--no-renames", "--untracked-files=normal"])
            // git would look into them by another git, which reads their configuration
            .args(["--ignore-submodules=dirty", "--", "."])
    }

    /// Asks which filter each of some files has.
    pub fn attributes(&self, files: &[String]) -> Cmd {
        self.ask(self.repository.root()).args(["check-attr", "-z", "filter", "--"]).args(files)
    }
}

/// The names in the answer to [`Comparison::filters`]; `None` if one can't be named on a command line.
pub fn filters(answer: &[u8]) -> Option<BTreeSet<String>> {
    let text = std::str::from_utf8(answer).ok()?;
    let name = |key: &str| Some(key.strip_prefix("filter.")?.rsplit_once('.')?.0.to_owned());
    let names: BTreeSet<String> = text.split('\0').filter_map(name).collect();
    (!names.iter().any(|name| name.contains(['=', '\n']))).then_some(names)
}

/// How a folder compares with its commit.
#[derive(Debug, PartialEq, Eq)]
pub enum Differences {
    /// It is the same.
    None,
    /// It differs.
    Some,
    /// It differs in these files alone, by their names from the work tree on, which a filter may account for.
    Contents(Vec<String>),
}

/// Reads the answer to [`Comparison::status`].
pub fn differences(answer: &[u8]) -> Differences {
    let mut files = Vec::new();
    for entry in answer.split(|byte| *byte == 0).filter(|entry| !entry.is_empty() && !entry.starts_with(b"# ")) {
        // `1 XY sub mH mI mW hH hI path` (git-status(1), "Changed Tracked Entries")
        let entry = String::from_utf8_lossy(entry);
        let fields: Vec<&str> = entry.splitn(9, ' ').collect();
        match fields.as_slice() {
            ["1", ".M", "N...", _, index, folder, _, _, path] if index == folder => {
                if files.len() < MOST_FILES {
                    files.push((*path).to_owned());
                }
            }
            _ => return Differences::Some,
        }
    }
    if files.is_empty() { Differences::None } else { Differences::Contents(files) }
}

/// Whether all files in the answer to [`Comparison::attributes`] have one of `filters`.
pub fn all_filtered(answer: &[u8], filters: &BTreeSet<String>) -> bool {
    let fields: Vec<&[u8]> = answer.split(|byte| *byte == 0).collect();
    fields.chunks_exact(3).all(|triple| std::str::from_utf8(triple[2]).is_ok_and(|name| filters.contains(name)))
}

/// The commit in the answer to [`head`].
pub fn hash(answer: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(answer).trim().to_owned();
    repository::is_hash(&text).then_some(text)
}

/// The commit as it is noted: with `-dirty` behind it if the folder differs from it, with `-unchecked` if that could not
/// be found out.
pub fn noted(commit: &str, differs: Option<bool>) -> String {
    match differs {
        Some(false) => commit.to_owned(),
        Some(true) => format!("{commit}-dirty"),
        None => format!("{commit}-unchecked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_folder_is_dirty() {
        let changed = |xy: &str, mode: &str, path: &str| {
            format!("1 {xy} N... 100644 100644 {mode} 443c2f6e 443c2f6e {path}\0").into_bytes()
        };
        assert_eq!(differences(b"? new.py\0"), Differences::Some);
        assert_eq!(differences(b""), Differences::None);
        assert_eq!(differences(&changed(".M", "100644", "a b")), Differences::Contents(vec!["a b".into()]));
        for entry in [changed("M.", "100644", "a"), changed(".M", "100755", "a"), changed(".D", "000000", "a")] {
            assert_eq!(differences(&[changed(".M", "100644", "b"), entry].concat()), Differences::Some);
        }
        assert_eq!(noted("443c2f6e", Some(true)), "443c2f6e-dirty");
        assert_eq!(noted("443c2f6e", Some(false)), "443c2f6e");
        assert_eq!(noted("443c2f6e", None), "443c2f6e-unchecked");
    }

    #[test]
    fn filters_are_known_by_their_names() {
        let names = filters(b"filter.lfs.clean\0filter.lfs.process\0filter.a.b.clean\0").unwrap();
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["a.b", "lfs"]);
        assert_eq!(filters(b"filter.a=b.clean\0"), None);
        assert!(all_filtered(b"x\0filter\0lfs\0", &names));
        assert!(!all_filtered(b"x\0filter\0lfs\0y\0filter\0unspecified\0", &names));
    }
}
