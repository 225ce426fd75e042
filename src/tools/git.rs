//! git: which commit a folder stands at, and whether it differs from that.
//!
//! The folder may be anybody's, and a repository can name programs in its configuration and in all that this includes
//! (filters, monitors, hooks, remotes that missing objects are fetched from). None of that is read here: the commit is
//! read from the repository's files, and git compares it with the folder on behalf of a repository of our own, which
//! borrows the index and the objects alone.

mod repository;

use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

pub use self::repository::{Head, Repository};
use crate::tools::cmd::Cmd;

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

/// Asks what in `folder` differs from the commit that `stand_in` was made with.
pub fn status(repository: &Repository, stand_in: &Path, folder: &Path) -> Cmd {
    git("compare the folder with its commit")
        .env("GIT_DIR", &stand_in.to_string_lossy())
        .env("GIT_WORK_TREE", &repository.root().to_string_lossy())
        .env("GIT_INDEX_FILE", &repository.git_dir().join("index").to_string_lossy())
        .env("GIT_OBJECT_DIRECTORY", &repository.objects().to_string_lossy())
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_TERMINAL_PROMPT", "0")
        .arg("-C")
        .arg(folder)
        // what the user's own settings may say
        .args(["-c", "core.fsmonitor=false", "-c", "core.untrackedCache=false", "-c", "core.hooksPath=/dev/null"])
        // asking must not write to the user's index
        .arg("--no-optional-locks")
        .args(["status", "--porcelain=v2", "--no-renames", "--untracked-files=normal"])
        // git would look into them by another git, which reads their configuration
        .args(["--ignore-submodules=dirty", "--", "."])
}

/// Whether the answer to [`status`] has a difference.
pub fn differs(answer: &[u8]) -> bool {
    answer.split(|byte| *byte == b'\n').any(|line| !line.is_empty() && !line.starts_with(b"# "))
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
        assert!(differs(b"? new.py\n") && !differs(b"") && !differs(b"# branch.oid 443c2f6e\n"));
        assert_eq!(noted("443c2f6e", Some(true)), "443c2f6e-dirty");
        assert_eq!(noted("443c2f6e", Some(false)), "443c2f6e");
        assert_eq!(noted("443c2f6e", None), "443c2f6e-unchecked");
    }
}
