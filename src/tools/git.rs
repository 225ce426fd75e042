//! git: which commit a folder stands at.

use std::path::Path;
use std::time::Duration;

use crate::tools::cmd::Cmd;

/// Asks for the commit of the folder and whether anything in it differs from that.
pub fn status(folder: &Path) -> Cmd {
    Cmd::new("git", "read the commit of the folder")
        .arg("-C")
        .arg(folder)
        // a repository's own configuration can name a program to be run for this question
        .args(["-c", "core.fsmonitor=false"])
        // asking must not write to the user's index
        .arg("--no-optional-locks")
        .args(["status", "--porcelain=v2", "--branch", "--", "."])
        .deadline(Duration::from_secs(10))
}

/// The commit in the answer to [`status`], with `-dirty` behind it if the folder differs from it;
/// `None` where there is no commit yet.
pub fn commit(answer: &str) -> Option<String> {
    let commit = answer.lines().find_map(|line| line.strip_prefix("# branch.oid "))?;
    if commit == "(initial)" {
        return None;
    }
    let dirty = answer.lines().any(|line| !line.starts_with("# "));
    Some(if dirty { format!("{commit}-dirty") } else { commit.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_folder_is_dirty() {
        let head = "# branch.oid 443c2f6e\n# branch.head main\n";
        assert_eq!(commit(head).as_deref(), Some("443c2f6e"));
        assert_eq!(commit(&format!("{head}? new.py\n")).as_deref(), Some("443c2f6e-dirty"));
        assert_eq!(commit("# branch.oid (initial)\n# branch.head main\n"), None);
        assert_eq!(commit(""), None);
    }
}
