//! The destination of a download: names, folders, links and the local disk.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::transfer::manifest::Manifest;
use crate::transfer::protocol::{Entry, FileKind};
use crate::transfer::report::Report;
use crate::transfer::safe::{self, Cases, Folders};
use crate::transfer::shown;
use crate::util::error::{Fail, fail, usage};

/// Where a download is written.
#[derive(Debug)]
pub(crate) struct Destination {
    /// The folder that holds all of it.
    pub(crate) top: PathBuf,
    /// The name in `top`, if a single file is downloaded.
    pub(crate) file: Option<Vec<u8>>,
}

/// Decides which names are allowed here, the same way in each pass over a manifest.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    /// The names so far, if the file system ignores case.
    pub(crate) cases: Option<Cases>,
    pub(crate) refused: Vec<Vec<u8>>,
}

impl Gate {
    /// Returns the path here of an entry, or why there is none; `Err("")` below a folder that was refused.
    pub(crate) fn admit(&mut self, below: &[u8], kind: FileKind) -> Result<PathBuf, &'static str> {
        if self.refused.iter().any(|above| below.strip_prefix(&above[..]).is_some_and(|rest| rest.starts_with(b"/"))) {
            return Err("");
        }
        let clashes = self.cases.as_mut().is_some_and(|cases| cases.clashes(below));
        let local = match safe::local(below) {
            Ok(_) if clashes => Err("the file system here ignores case, and another name differs only in case"),
            other => other,
        };
        if local.is_err() && kind == FileKind::Folder {
            self.refused.push(below.to_vec());
        }
        local
    }
}

/// Returns the destination of the source, whose own entry is `first`.
pub(crate) fn destination(first: &Entry, source: &[u8], wanted: &Path) -> Result<Destination, Fail> {
    let name = shown(source);
    match first.kind {
        FileKind::Folder => match wanted.metadata() {
            Ok(found) if !found.is_dir() => {
                Err(usage(format!("`{}` is a file, and `{name}` is a folder", wanted.display()))
                    .hint("name a folder, or a path that does not exist"))
            }
            _ => Ok(Destination { top: wanted.to_owned(), file: None }),
        },
        FileKind::File => {
            let (top, file) = if wanted.is_dir() {
                (wanted.to_owned(), source.rsplit(|&b| b == b'/').next().map(<[u8]>::to_vec))
            } else {
                let above = wanted.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
                (above.to_owned(), wanted.file_name().and_then(safe::bytes_of))
            };
            match file.filter(|file| safe::local(file).is_ok()) {
                Some(file) => Ok(Destination { top, file: Some(file) }),
                None => Err(usage(format!("`{}` can't be the name of a file", wanted.display()))
                    .hint(format!("name a file to save `{name}` as"))),
            }
        }
        FileKind::Link => {
            Err(fail(format!("`{name}` is a link to `{}`", shown(first.extra))).hint("name the target of the link"))
        }
        FileKind::Other => Err(fail(format!("`{name}` is a device, socket or FIFO, and holds no data"))),
        FileKind::Failed => Err(fail(format!("`{name}` can't be read: {}", String::from_utf8_lossy(first.extra)))),
    }
}

/// Creates the links, after everything that they could point to.
pub(crate) fn links(
    manifest: &mut Manifest,
    gate: &mut Gate,
    source: &[u8],
    to: &Destination,
    report: &Report,
) -> Result<()> {
    let mut folders = Folders::below(&to.top);
    manifest.rewind()?;
    while let Some(entry) = manifest.entry()? {
        let below = strip(source, entry.path);
        let admitted = gate.admit(below, entry.kind);
        let (FileKind::Link, Ok(local)) = (entry.kind, admitted) else { continue };
        if !safe::stays_within(below, entry.extra) {
            report.missed(entry.path, &format!("the link points to `{}`, outside of the download", shown(entry.extra)));
        } else if local.parent().is_none_or(|folder| folders.make(folder).is_ok())
            && let Err(words) = make_link(&to.top.join(local), entry.extra)
        {
            report.missed(entry.path, &words);
        }
    }
    Ok(())
}

#[cfg(unix)]
fn make_link(local: &Path, target: &[u8]) -> Result<(), String> {
    use std::os::unix::ffi::OsStrExt;
    let target = Path::new(std::ffi::OsStr::from_bytes(target));
    match local.symlink_metadata() {
        Ok(found) if !found.is_symlink() => return Err("something other than a link is in its place here".to_owned()),
        Ok(_) if std::fs::read_link(local).is_ok_and(|there| there == target) => return Ok(()),
        Ok(_) => std::fs::remove_file(local).map_err(|e| e.to_string())?,
        Err(_) => {}
    }
    std::os::unix::fs::symlink(target, local).map_err(|e| format!("failed to create the link: {e}"))
}

#[cfg(not(unix))]
fn make_link(_: &Path, _: &[u8]) -> Result<(), String> {
    Err("links are not supported on this system".to_owned())
}

/// Sets the mode of a file; its owner can always read and write it.
#[cfg(unix)]
pub(crate) fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode & 0o777 | 0o600))
}

#[cfg(not(unix))]
pub(crate) fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(())
}

/// Returns the path below the source.
pub(crate) fn strip<'a>(source: &[u8], path: &'a [u8]) -> &'a [u8] {
    let rest = path.strip_prefix(source).unwrap_or(path);
    rest.strip_prefix(b"/").unwrap_or(rest)
}

/// Whether the disk is full.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

/// Returns the error of a destination that cannot be created.
pub(crate) fn usable(top: &Path, error: &io::Error) -> Fail {
    match error.kind() {
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
            usage(format!("`{}` can't be a folder: a file is in its place", top.display())).hint("name another place")
        }
        _ => local_failure(top, error),
    }
}

/// Returns the error of the local disk, which ends all work.
pub(crate) fn local_failure(top: &Path, error: &io::Error) -> Fail {
    if is_full(error) {
        return fail(format!("the disk that `{}` is on is full: {error}", top.display()))
            .hint("free some space, and run the same command again to resume");
    }
    fail(format!("failed to write into `{}`: {error}", top.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_refused_folder_is_refused() {
        let mut gate = Gate { cases: Some(Cases::default()), refused: Vec::new() };
        assert!(gate.admit(b"a", FileKind::Folder).is_ok());
        assert!(gate.admit(b"A", FileKind::Folder).unwrap_err().contains("case"));
        assert_eq!(gate.admit(b"A/x", FileKind::File), Err(""));
        assert!(gate.admit(b"a/x", FileKind::File).is_ok());
        assert!(gate.admit(b"Ab", FileKind::File).is_ok());
    }

    #[test]
    fn a_path_is_below_its_source() {
        assert_eq!(strip(b"train-1", b"train-1/0/a"), b"0/a");
        assert_eq!(strip(b"", b"data/a"), b"data/a");
        assert_eq!(strip(b"train-1", b"train-1"), b"");
    }
}
