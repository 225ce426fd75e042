//! What the user leaves out, and what nevertheless comes along.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::docker_rules::DockerRules;
use super::git_rules::GitRules;
use super::listing::{Inherited, Verdict};
use super::{FolderPaths, cause};
use crate::image::entry::shown;
use crate::util::error::usage;
use crate::util::regular_file;

/// Our own file, with `.gitignore`'s syntax.
pub(super) const OURS: &str = ".mrunnerignore";

/// What counts without our own file, with docker's syntax.
pub(super) const DOCKERS: &str = ".dockerignore";

/// What the settings say about the folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rules {
    /// What to leave out, in `.gitignore`'s syntax; decides over the ignore file.
    pub exclude: Vec<String>,
    /// What comes along nevertheless, relative to the folder or absolute. What is inside comes along
    /// where it is, a link as what it points to; what is outside lands beside the code.
    pub paths_to_copy: Vec<String>,
}

/// The rules, ready to be asked.
pub(super) struct Ignore {
    exclude: GitRules,
    file: IgnoreFile,
}

enum IgnoreFile {
    Git(GitRules),
    Docker(DockerRules),
}

impl Ignore {
    /// Reads the folder's ignore file.
    pub(super) fn new(place: &FolderPaths, rules: &Rules) -> Result<Self> {
        let path = place.root.join(place.ignore_file);
        let shown_file = shown(&place.typed(&path));
        let text = match regular_file::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(_) if fs::symlink_metadata(&path).is_err() => String::new(),
            Err(error) => return Err(usage(format!("`{shown_file}` could not be read: {}", cause(&error))).into()),
        };
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let fault = |number: usize, why: &str| usage(format!("`{shown_file}` line {number}: {why}"));
        let file = if place.ignore_file == DOCKERS {
            IgnoreFile::Docker(DockerRules::new(text).map_err(|(number, why)| fault(number, &why))?)
        } else {
            IgnoreFile::Git(GitRules::new(text.lines()).map_err(|(number, why)| fault(number, &why))?)
        };
        let exclude = GitRules::new(rules.exclude.iter().map(String::as_str))
            .map_err(|(number, why)| usage(format!("`exclude`, pattern {number}: {why}")))?;
        Ok(Self { exclude, file })
    }

    /// What becomes of `path`, in a folder that handed `inherited` down; and what it hands down itself.
    pub(super) fn judge(&self, path: &Path, is_dir: bool, inherited: &Inherited) -> (Verdict, Inherited) {
        match self.exclude.keeps(path, is_dir) {
            Some(false) => return (Verdict::LeaveOut, inherited.clone()),
            Some(true) => return (Verdict::Keep, Inherited::nothing()),
            None => {}
        }
        match &self.file {
            IgnoreFile::Git(rules) if rules.keeps(path, is_dir) == Some(false) => {
                (Verdict::LeaveOut, inherited.clone())
            }
            IgnoreFile::Git(_) => (Verdict::Keep, inherited.clone()),
            IgnoreFile::Docker(rules) => rules.judge(path, is_dir, inherited),
        }
    }
}

/// A pattern that matches `path` and nothing else, as good as the syntax allows: neither git's nor
/// docker's can write a line feed or a byte that is no text, so any character stands there.
pub(super) fn pattern_for(path: &Path) -> String {
    let mut pattern = String::from("/");
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '*' | '?' | '[' | ']' | '\\' | '!' | '#' | '{' | '}' => pattern.extend(['\\', c]),
                c if c.is_control() => pattern.push('?'),
                c => pattern.push(c),
            }
        }
        pattern.extend(chunk.invalid().iter().map(|_| '?'));
    }
    // git drops a space at the end that is not escaped
    if pattern.ends_with(' ') {
        pattern.insert(pattern.len() - 1, '\\');
    }
    pattern
}
