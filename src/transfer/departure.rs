//! What there is to send: a folder of this machine, and what stands in its place in the volume.

use std::collections::HashMap;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::transfer::manifest::Manifest;
use crate::transfer::parts::{self, PARTS};
use crate::transfer::protocol::{Kind, PartName};
use crate::transfer::safe;
use crate::transfer::session::{Session, is_missing};
use crate::transfer::source::{OWN, below};
use crate::util::error::{Fail, usage};

/// What is in the volume, by a hash of its path, so that long lists stay small.
#[derive(Debug, Default)]
pub(crate) struct There {
    entries: HashMap<PartName, (Kind, u64, i64)>,
    parts: HashMap<PartName, u64>,
}

impl There {
    /// Asks for what is at `target` and below, and for parts of former uploads.
    pub(crate) fn look(session: &Session, target: &[u8]) -> Result<Self> {
        let mut there = Self::default();
        match Manifest::fetch(session, target, true) {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
            Ok(mut manifest) => {
                while let Some(entry) = manifest.entry()? {
                    there.entries.insert(parts::name(entry.path), (entry.kind, entry.size, entry.mtime));
                }
            }
        }
        let listed = session.list(&uploads(), |entry| {
            let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            if let (Kind::File, Ok(part)) = (entry.kind, PartName::try_from(name)) {
                there.parts.insert(part, entry.size);
            }
            Ok(())
        });
        match listed {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(there),
        }
    }

    /// What an entry is, its size and time.
    pub(crate) fn entry(&self, path: &[u8]) -> Option<(Kind, u64, i64)> {
        self.entries.get(&parts::name(path)).copied()
    }

    /// How much of a part was sent before.
    pub(crate) fn part(&self, part: &PartName) -> u64 {
        self.parts.get(part).copied().unwrap_or(0)
    }
}

/// The folder of the parts in the volume.
pub(crate) fn uploads() -> Vec<u8> {
    below(OWN, b"upload")
}

/// The name of a file's part: of this content and no other, should two upload to one place.
pub(crate) fn part_of(path: &[u8], size: u64, mtime: i64) -> PartName {
    parts::name(&[path, b"\0", &size.to_be_bytes()[..], &mtime.to_be_bytes()].concat())
}

/// Something of this machine.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where it is.
    pub(crate) local: PathBuf,
    /// Its path below what is sent; `None` if no bytes can be made of it.
    pub(crate) below: Option<Vec<u8>>,
    /// What it is.
    pub(crate) metadata: Metadata,
    /// Whether it is a folder with nothing in it.
    pub(crate) empty: bool,
}

/// Hands on all that is in a folder, or the file itself, in the order of the names; what can't be
/// looked at goes to `failed`.
pub(crate) fn walk(
    top: &Path,
    mut each: impl FnMut(Found) -> Result<bool>,
    failed: impl Fn(&Path, &str),
) -> Result<()> {
    let metadata = top.metadata().map_err(|e| unreadable(top, &e))?;
    let mut waiting = vec![(top.to_owned(), Some(Vec::new()), metadata)];
    while let Some((local, path, metadata)) = waiting.pop() {
        let mut inside = Vec::new();
        if metadata.is_dir() {
            match std::fs::read_dir(&local) {
                Ok(names) => inside.extend(names.filter_map(Result::ok)),
                Err(error) => failed(&local, &error.to_string()),
            }
            inside.retain(|name| name.file_name() != PARTS);
            inside.sort_by_key(|name| std::cmp::Reverse(name.file_name()));
        }
        for name in &inside {
            let path = path.as_ref().and_then(|path| Some(below(path, &safe::bytes_of(&name.file_name())?)));
            match name.path().symlink_metadata() {
                Ok(metadata) => waiting.push((name.path(), path, metadata)),
                Err(error) => failed(&name.path(), &error.to_string()),
            }
        }
        let found = Found { local, below: path, empty: inside.is_empty(), metadata };
        if !each(found)? {
            break;
        }
    }
    Ok(())
}

/// The error of something that can't be sent at all.
pub(crate) fn unreadable(local: &Path, error: &std::io::Error) -> Fail {
    usage(format!("`{}` can't be read: {error}", local.display())).hint("name a file or folder of this machine")
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn all_is_found_in_order_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["b/c", "empty", PARTS] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["a", "b/c/d", ".mrunner-part/x"] {
            std::fs::write(dir.path().join(file), "").unwrap();
        }
        std::os::unix::fs::symlink(".", dir.path().join("b/loop")).unwrap();
        let mut all = Vec::new();
        let each = |found: Found| {
            all.push((String::from_utf8(found.below.unwrap()).unwrap(), found.empty && found.metadata.is_dir()));
            Ok(true)
        };
        walk(dir.path(), each, |path, words| panic!("{}: {words}", path.display())).unwrap();
        let all: Vec<_> = all.iter().map(|(path, empty)| (&**path, *empty)).collect();
        let expected = ["", "a", "b", "b/c", "b/c/d", "b/loop", "empty"].map(|path| (path, path == "empty"));
        assert_eq!(all, expected);
    }

    #[test]
    fn a_part_is_of_one_content() {
        assert_eq!(part_of(b"a", 1, 2), part_of(b"a", 1, 2));
        assert_ne!(part_of(b"a", 1, 2), part_of(b"a", 1, 3));
        assert_ne!(part_of(b"a", 1, 2), part_of(b"b", 1, 2));
    }
}
