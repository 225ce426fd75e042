//! What is already in the volume when an upload begins.

use std::collections::HashMap;

use anyhow::Result;

use crate::transfer::manifest::Manifest;
use crate::transfer::parts;
use crate::transfer::protocol::{FileKind, PartName};
use crate::transfer::session::{Session, is_missing};
use crate::transfer::source::{OWN, below};

/// The entries below an upload's target, by a hash of the path so that long lists stay small.
#[derive(Debug, Default)]
pub(crate) struct RemoteIndex {
    entries: HashMap<PartName, (FileKind, u64, i64)>,
    parts: HashMap<PartName, u64>,
}

impl RemoteIndex {
    /// Lists `target` and everything below, and the parts that earlier uploads left.
    pub(crate) fn fetch(session: &Session, target: &[u8]) -> Result<Self> {
        let mut index = Self::default();
        match Manifest::fetch(session, target, true) {
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(error),
            Ok(mut manifest) => {
                while let Some(entry) = manifest.entry()? {
                    index.entries.insert(parts::name(entry.path), (entry.kind, entry.size, entry.mtime));
                }
            }
        }
        let listed = session.list(&uploads(), |entry| {
            let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            if let (FileKind::File, Ok(part)) = (entry.kind, PartName::try_from(name)) {
                index.parts.insert(part, entry.size);
            }
            Ok(())
        });
        match listed {
            Err(error) if !is_missing(&error) => Err(error),
            _ => Ok(index),
        }
    }

    /// Returns kind, size and time of an entry.
    pub(crate) fn entry(&self, path: &[u8]) -> Option<(FileKind, u64, i64)> {
        self.entries.get(&parts::name(path)).copied()
    }

    /// Returns the size of a part, 0 if there is none.
    pub(crate) fn part(&self, part: &PartName) -> u64 {
        self.parts.get(part).copied().unwrap_or(0)
    }
}

/// Returns the folder of the parts in the volume.
pub(crate) fn uploads() -> Vec<u8> {
    below(OWN, b"upload")
}

/// Returns the name of a file's part. It depends on size and time, so that two uploads to one path do not mix.
pub(crate) fn part_of(path: &[u8], size: u64, mtime: i64) -> PartName {
    parts::name(&[path, b"\0", &size.to_be_bytes()[..], &mtime.to_be_bytes()].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_of_one_content() {
        assert_eq!(part_of(b"a", 1, 2), part_of(b"a", 1, 2));
        assert_ne!(part_of(b"a", 1, 2), part_of(b"a", 1, 3));
        assert_ne!(part_of(b"a", 1, 2), part_of(b"b", 1, 2));
    }
}
