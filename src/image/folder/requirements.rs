//! The requirements file and the files it includes, as they go into the image.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{cause, complete};
use crate::image::entry::{Entry, Kind, shown, within};
use crate::image::requirements::{Mention, mentions};
use crate::util::error::usage;
use crate::util::regular_file;

/// A requirements file with all that it includes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// Its own name, below `requirements/`.
    pub name: String,
    /// All files and the folders they are in, relative to the folder of the first, sorted.
    pub entries: Vec<Entry>,
}

impl Requirements {
    /// Reads the file, and those it includes by `-r` and `-c`, wherever it is on this machine.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file
            .file_name()
            .and_then(|n| n.to_str())
            .ok_or_else(|| usage(format!("`{}` is not a name for a requirements file", shown(file))))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let real_folder = fs::canonicalize(if folder == Path::new("") { Path::new(".") } else { folder })?;
        let mut entries = Vec::new();
        let mut known = HashSet::from([PathBuf::from(name)]);
        let mut ahead = vec![(PathBuf::from(name), None::<String>)];
        while let Some((path, mentioned)) = ahead.pop() {
            let source = folder.join(&path);
            let shown_source = shown(&source);
            let place = mentioned.map(|m| format!("{m}: ")).unwrap_or_default();
            let bytes = regular_file::read(&source).map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => {
                    usage(format!("{place}the requirements file `{shown_source}` does not exist"))
                }
                _ => {
                    usage(format!("{place}the requirements file `{shown_source}` could not be read: {}", cause(&error)))
                }
            })?;
            // a link is followed: pip needs what is in it
            let source = fs::canonicalize(&source).unwrap_or(source);
            if !place.is_empty() && !source.starts_with(&real_folder) {
                return Err(usage(format!("{place}`{shown_source}` is a link that leads out of its folder"))
                    .hint("put the file itself beside the requirements file")
                    .into());
            }
            entries.push(Entry {
                path: path.clone(),
                kind: Kind::File { size: bytes.len() as u64, executable: false },
                source,
            });
            for (line, mention) in mentions(&String::from_utf8_lossy(&bytes)) {
                let place = format!("`{shown_source}` line {line}");
                let included = match mention {
                    Mention::File(file) => file,
                    Mention::Package(what) => {
                        return Err(usage(format!("{place}: `{what}` is a package on this machine, which the image does not have"))
                            .hint("remove the line, and bring the package along with the code: name its folder in `paths_to_copy`")
                            .into());
                    }
                };
                let beside = path.parent().unwrap_or(Path::new(""));
                let target = within(beside, Path::new(&included)).ok_or_else(|| {
                    usage(format!("{place}: `{included}` is not in the folder of `{}`", shown(file)))
                        .hint("put it beside the requirements file, or into a folder below")
                })?;
                if known.insert(target.clone()) {
                    ahead.push((target, Some(place)));
                }
            }
        }
        complete(&mut entries);
        Ok(Self { name: name.to_owned(), entries })
    }
}
