//! A repository as its files have it. Nothing of its configuration counts but what says how files are compared.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use tempfile::TempDir;

use crate::util::{files, regular_file};

/// The longest file that is read whole; a list of packed references may be long.
const LONGEST: u64 = 64 << 20;

/// How many references may lead to the next one, and how many submodules are looked at.
const REFERENCES: usize = 5;
const SUBMODULES: usize = 100;

/// Settings that say how a file is compared with its index entry, and their values.
#[rustfmt::skip]
const SETTINGS: &[(&str, &[&str])] = &[
    ("filemode", &["true", "false"]), ("symlinks", &["true", "false"]), ("ignorecase", &["true", "false"]),
    ("precomposeunicode", &["true", "false"]), ("trustctime", &["true", "false"]),
    ("checkstat", &["default", "minimal"]), ("autocrlf", &["true", "false", "input"]),
    ("eol", &["lf", "crlf", "native"]),
];

/// The repository of a folder.
#[derive(Debug)]
pub struct Repository {
    root: PathBuf,
    git_dir: PathBuf,
    common: PathBuf,
}

/// What a repository's HEAD leads to.
#[derive(Debug, PartialEq, Eq)]
pub enum Head {
    /// A commit.
    Commit(String),
    /// References that are kept in no files of their own (git's `reftable`).
    Table,
    /// Nothing yet, or nothing that makes sense.
    None,
}

impl Repository {
    /// The one that `folder` is in, as git would find it, unless it belongs to somebody else than the folder.
    pub fn of(folder: &Path) -> Option<Self> {
        let folder = fs::canonicalize(folder).ok()?;
        let repository = folder.ancestors().find_map(Self::at)?;
        (repository.root == folder || same_owner(&repository.root.join(".git"), &folder)).then_some(repository)
    }

    /// The one whose work tree is `root`.
    fn at(root: &Path) -> Option<Self> {
        let link = root.join(".git");
        let git_dir = if link.is_dir() {
            link
        } else {
            // that of a submodule, and of a work tree beside the first one
            local(root, read(&link, 1 << 16)?.strip_prefix("gitdir:")?)?
        };
        let common = match read(&git_dir.join("commondir"), 1 << 16) {
            Some(text) => local(&git_dir, &text)?,
            None => git_dir.clone(),
        };
        let whole = git_dir.join("HEAD").is_file() && common.join("objects").is_dir();
        whole.then(|| Self { root: root.to_owned(), git_dir, common })
    }

    /// The work tree.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is the work tree's own.
    pub fn git_dir(&self) -> &Path {
        &self.git_dir
    }

    /// Where its objects are.
    pub fn objects(&self) -> PathBuf {
        self.common.join("objects")
    }

    /// What it stands at.
    pub fn head(&self) -> Head {
        let mut text = read(&self.git_dir.join("HEAD"), 1 << 16);
        for _ in 0..REFERENCES {
            let Some(value) = text.as_deref().map(str::trim) else { return Head::None };
            let Some(name) = value.strip_prefix("ref:").map(str::trim) else {
                return if is_hash(value) { Head::Commit(value.to_owned()) } else { Head::None };
            };
            if name == "refs/heads/.invalid" && self.common.join("reftable").is_dir() {
                return Head::Table;
            }
            text = self.reference(name);
        }
        Head::None
    }

    fn reference(&self, name: &str) -> Option<String> {
        if !name.starts_with("refs/") || !is_below(name) {
            return None;
        }
        let own = ["refs/bisect/", "refs/worktree/", "refs/rewritten/"].iter().any(|part| name.starts_with(part));
        let folder = if own { &self.git_dir } else { &self.common };
        read(&folder.join(name), 1 << 16).or_else(|| {
            let packed = read(&self.common.join("packed-refs"), LONGEST)?;
            let of =
                |line: &str| line.split_once(' ').filter(|(_, known)| *known == name).map(|(hash, _)| hash.to_owned());
            packed.lines().find_map(of)
        })
    }

    /// A repository of our own that stands at `commit`, for git to read instead of this one.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn stand_in(&self, commit: &str) -> io::Result<TempDir> {
        let folder = files::own_folder()?;
        let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text);
        for below in ["refs", "info"] {
            fs::create_dir(folder.path().join(below))?;
        }
        write("HEAD", format!("{commit}\n").as_bytes())?;
        let ignored = read(&self.common.join("info/exclude"), 1 << 20).unwrap_or_default();
        write("info/exclude", ignored.as_bytes())?;
        let settings = settings(&read(&self.common.join("config"), 1 << 20).unwrap_or_default());
        let format = if commit.len() == 64 { "[extensions]\nobjectFormat = sha256\n" } else { "" };
        write("config", format!("[core]\nrepositoryFormatVersion = 1\nbare = false\n{settings}{format}").as_bytes())?;
        // an index can be in two parts
        let entries = fs::read_dir(&self.git_dir)?.flatten();
        for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("sharedindex.")).take(4) {
            if let Ok(file) = regular_file::open(&entry.path()) {
                let mut copy = fs::File::create(folder.path().join(entry.file_name()))?;
                io::copy(&mut file.take(LONGEST), &mut copy)?;
            }
        }
        Ok(folder)
    }

    /// Its submodules below `folder` that are there; `None` if they are too many to be looked at. Like git, it takes
    /// none that a link leads to.
    pub fn submodules(&self, folder: &Path) -> Option<Vec<Self>> {
        let list = read(&self.root.join(".gitmodules"), 1 << 20).unwrap_or_default();
        let paths = list.lines().filter_map(|line| line.split_once('=')).filter(|(key, _)| key.trim() == "path");
        let paths: BTreeSet<&Path> =
            paths.map(|(_, path)| path.trim().trim_matches('"')).filter(|path| is_below(path)).map(Path::new).collect();
        let counts = |path: &Path| self.root.join(path).starts_with(folder) && self.has_no_link(path);
        (paths.len() <= SUBMODULES).then(|| {
            paths.into_iter().filter(|path| counts(path)).filter_map(|path| Self::at(&self.root.join(path))).collect()
        })
    }

    fn has_no_link(&self, path: &Path) -> bool {
        let is_folder = |below: &Path| fs::symlink_metadata(self.root.join(below)).is_ok_and(|found| found.is_dir());
        path.ancestors().filter(|below| !below.as_os_str().is_empty()).all(is_folder)
    }
}

/// What of a repository's configuration says how files are compared. Whatever else it has is passed over.
fn settings(config: &str) -> String {
    let mut kept = String::new();
    let mut inside = false;
    for line in config.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.eq_ignore_ascii_case("[core]");
        }
        let Some((key, value)) = line.split_once('=').filter(|_| inside) else { continue };
        let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().to_ascii_lowercase());
        if SETTINGS.iter().any(|(name, values)| *name == key && values.contains(&value.as_str())) {
            kept.push_str(&format!("{key} = {value}\n"));
        }
    }
    kept
}

/// A path in a repository's file. Windows would log in to a server that one names.
fn local(folder: &Path, path: &str) -> Option<PathBuf> {
    let path = path.trim();
    (!path.is_empty() && !path.starts_with("\\\\") && !path.starts_with("//")).then(|| folder.join(path))
}

/// The text of a regular file of no more than `most` bytes.
fn read(path: &Path, most: u64) -> Option<String> {
    let mut text = String::new();
    let file = regular_file::open(path).ok()?;
    file.take(most + 1).read_to_string(&mut text).ok()?;
    (text.len() as u64 <= most).then_some(text)
}

pub(super) fn is_hash(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_below(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(unix)]
fn same_owner(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let owner = |path: &Path| fs::symlink_metadata(path).map(|metadata| metadata.uid()).ok();
    owner(one).is_some() && owner(one) == owner(other)
}

#[cfg(not(unix))]
fn same_owner(_: &Path, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_says_how_files_are_compared_is_taken_over() {
        let config = "[core]\n\tfileMode = false\n\tfsmonitor = evil\n\tautocrlf=input\n\teol = $(id)\n[include]\n\tpath = x\n\
                      [filter \"core\"]\n\tsymlinks = false\n[CORE]\n ignoreCase = true\n\thooksPath = x\n";
        assert_eq!(settings(config), "filemode = false\nautocrlf = input\nignorecase = true\n");
    }

    #[test]
    fn a_head_is_followed_and_leads_nowhere_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let (one, two) = ("1".repeat(40), "2".repeat(64));
        fs::create_dir_all(folder.path().join(".git/objects")).unwrap();
        write("secret", &one);
        write(".git/refs/heads/loose", &format!("{one}\n"));
        write(".git/refs/heads/link", "ref: refs/heads/packed\n");
        write(".git/refs/heads/loop", "ref: refs/heads/loop\n");
        write(".git/packed-refs", &format!("# pack-refs with: peeled\n{two} refs/heads/packed\n"));
        for (head, expected) in [
            (one.clone(), Head::Commit(one.clone())),
            ("ref: refs/heads/loose\n".into(), Head::Commit(one.clone())),
            ("ref: refs/heads/packed\n".into(), Head::Commit(two.clone())),
            ("ref: refs/heads/link\n".into(), Head::Commit(two)),
            ("ref: refs/heads/loop\n".into(), Head::None),
            ("ref: refs/heads/unborn\n".into(), Head::None),
            ("ref: refs/../../secret\n".into(), Head::None),
            ("ref: /etc/hostname\n".into(), Head::None),
            ("ref: refs/heads/.invalid\n".into(), Head::None),
            ("$(id)".into(), Head::None),
            (String::new(), Head::None),
        ] {
            write(".git/HEAD", &head);
            assert_eq!(Repository::of(folder.path()).unwrap().head(), expected, "{head}");
        }
        fs::create_dir(folder.path().join(".git/reftable")).unwrap();
        write(".git/HEAD", "ref: refs/heads/.invalid\n");
        assert_eq!(Repository::of(folder.path()).unwrap().head(), Head::Table);
    }
}
