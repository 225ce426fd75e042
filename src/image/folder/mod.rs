//! The user's folder, as it goes into the image: what is in it, what is left out, what is wrong.
//!
//! - `walk`: finds the entries.
//! - `rules`, `git_rules`, `docker_rules`, `patterns`: what the user leaves out.
//! - `never`: what never belongs into an image.
//! - `links`: where symbolic links lead.
//! - `requirements`: the requirements file and those it includes.

mod docker_rules;
mod git_rules;
mod links;
mod listing;
mod never;
mod patterns;
mod requirements;
mod rules;
mod walk;

#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::image::context::changed;
use crate::image::entry::{self, Entry, shown};
use crate::tools::cmd::quote;
use crate::util::error::{Fail, usage};
use crate::util::regular_file;

pub use requirements::Requirements;
pub use rules::Rules;

/// A scanned folder.
#[derive(Debug, Clone)]
pub struct Folder {
    /// What goes into the image, in the order of the paths' bytes.
    pub entries: Vec<Entry>,
    /// What the user should know.
    pub notes: Vec<Note>,
    /// The bytes of all files.
    pub total_bytes: u64,
    place: FolderPaths,
}

/// Something worth knowing that stops nobody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// How much it matters.
    pub level: Level,
    /// A lower-case sentence.
    pub text: String,
}

/// How much a [`Note`] matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// As it should be; only worth a line for those who wonder.
    Info,
    /// Probably not what the user wants.
    Warning,
}

impl Folder {
    /// Looks through the folder `root`; reads no file but those that say what to leave out.
    pub fn scan(root: &Path, rules: &Rules) -> Result<Self> {
        let place = FolderPaths::new(root)?;
        let (entries, notes) = walk::scan(&place, rules)?;
        let total_bytes = entries.iter().map(Entry::size).sum();
        Ok(Self { entries, notes, total_bytes, place })
    }

    /// The `count` largest files, the largest first.
    pub fn largest(&self, count: usize) -> Vec<&Entry> {
        let mut files: Vec<_> = self.entries.iter().filter(|e| e.size() > 0).collect();
        // stable, so files of one size stay in the order of their paths
        files.sort_by_key(|e| std::cmp::Reverse(e.size()));
        files.truncate(count);
        files
    }

    /// Opens the file of an entry of this folder or of its [`Requirements`].
    pub fn open(&self, entry: &Entry) -> Result<Box<dyn Read>> {
        match regular_file::open(&entry.source) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(changed(&entry.path).into()),
            Err(error) => Err(self.place.unreadable(&entry.source, "u+r", &error).into()),
        }
    }
}

/// The folder on the disk, and how the user calls it.
#[derive(Debug, Clone)]
pub(crate) struct FolderPaths {
    /// Absolute, without links.
    root: PathBuf,
    /// As it was given.
    given: PathBuf,
    /// Name of the file that says what to leave out, there or to be made.
    ignore_file: &'static str,
}

impl FolderPaths {
    fn new(given: &Path) -> Result<Self> {
        let name = shown(given);
        let root = fs::canonicalize(given).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => usage(format!("the folder `{name}` does not exist")),
            _ => usage(format!("the folder `{name}` can't be opened: {}", cause(&error))),
        })?;
        if !root.is_dir() {
            return Err(usage(format!("`{name}` is not a folder")).into());
        }
        // one that is there takes part, even if it is a dangling link: then reading it tells why not
        let is_there = |file: &&str| fs::symlink_metadata(root.join(file)).is_ok();
        let ignore_file = [rules::OURS, rules::DOCKERS].into_iter().find(is_there).unwrap_or(rules::OURS);
        Ok(Self { root, given: given.to_path_buf(), ignore_file })
    }

    /// A path as the user would type it.
    fn typed(&self, source: &Path) -> PathBuf {
        match source.strip_prefix(&self.root) {
            Ok(path) if self.given == Path::new(".") => path.to_path_buf(),
            Ok(path) => self.given.join(path),
            Err(_) => source.to_path_buf(),
        }
    }

    /// A command that leaves `path` (relative to the folder) out.
    fn leave_out(&self, path: &Path) -> String {
        let file = self.typed(&self.root.join(self.ignore_file));
        format!("echo {} >> {}", quote(rules::pattern_for(path).as_ref()), quote(file.as_os_str()))
    }

    /// The error for a file or folder that can't be opened, with the mode it is lacking.
    fn unreadable(&self, source: &Path, mode: &str, error: &io::Error) -> Fail {
        let typed = self.typed(source);
        let mut fault = usage(format!("`{}` could not be read: {}", shown(&typed), cause(error)));
        if error.kind() == io::ErrorKind::PermissionDenied {
            fault = fault.hint(format!("make it readable with `chmod {mode} {}`", quote(typed.as_os_str())));
        }
        match source.strip_prefix(&self.root) {
            Ok(path) => fault.hint(format!("leave it out with `{}`", self.leave_out(path))),
            Err(_) => fault,
        }
    }
}

/// The system's words, without the number where the words are known to say it all.
fn cause(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        io::ErrorKind::NotFound => "it does not exist".to_owned(),
        _ => error.to_string(),
    }
}

/// Adds the folders that lead to the entries, then sorts.
fn complete(entries: &mut Vec<Entry>) {
    let mut known: std::collections::HashSet<PathBuf> = entries.iter().map(|e| e.path.clone()).collect();
    let mut parents = Vec::new();
    for entry in entries.iter() {
        for parent in entry.path.ancestors().skip(1).take_while(|p| !p.as_os_str().is_empty()) {
            if !known.insert(parent.to_path_buf()) {
                break;
            }
            parents.push(Entry::directory(parent, ""));
        }
    }
    entries.append(&mut parents);
    entry::sort(entries);
}
