//! Walks what is uploaded.

use std::fs::Metadata;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::transfer::parts::PARTS;
use crate::transfer::safe;
use crate::transfer::source::below;
use crate::util::error::{Fail, usage};

/// A file, folder or something else on this machine.
#[derive(Debug)]
pub(crate) struct LocalEntry {
    pub(crate) local: PathBuf,
    /// The path below the top; `None` if the name has no bytes of its own.
    pub(crate) below: Option<Vec<u8>>,
    pub(crate) metadata: Metadata,
    /// Whether it is an empty folder.
    pub(crate) empty: bool,
}

/// Calls `each` for `top` and everything below, sorted by name, until it returns `false`. What cannot be read goes to
/// `failed`.
pub(crate) fn walk(
    top: &Path,
    mut each: impl FnMut(LocalEntry) -> Result<bool>,
    failed: impl Fn(&Path, &str),
) -> Result<()> {
    let metadata = top.metadata().map_err(|e| unreadable(top, &e))?;
    let mut waiting = vec![(top.to_owned(), Some(Vec::new()), metadata)];
    while let Some((local, path, metadata)) = waiting.pop() {
        let mut inside = Vec::new();
        if metadata.is_dir() {
            match std::fs::read_dir(&local) {
                Ok(names) => {
                    for name in names {
                        match name {
                            Ok(name) => inside.push(name),
                            Err(error) => failed(&local, &error.to_string()),
                        }
                    }
                }
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
        let found = LocalEntry { local, below: path, empty: inside.is_empty(), metadata };
        if !each(found)? {
            break;
        }
    }
    Ok(())
}

/// Turns the error of a file that cannot be read into one that ends the upload.
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
        let each = |found: LocalEntry| {
            all.push((String::from_utf8(found.below.unwrap()).unwrap(), found.empty && found.metadata.is_dir()));
            Ok(true)
        };
        walk(dir.path(), each, |path, words| panic!("{}: {words}", path.display())).unwrap();
        let all: Vec<_> = all.iter().map(|(path, empty)| (&**path, *empty)).collect();
        let expected = ["", "a", "b", "b/c", "b/c/d", "b/loop", "empty"].map(|path| (path, path == "empty"));
        assert_eq!(all, expected);
    }
}
