//! Which names and links of a volume may be created here.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use crate::transfer::parts::PARTS;

/// Returns the local form of a path below the source, or why there is none.
pub fn local(path: &[u8]) -> Result<PathBuf, &'static str> {
    let mut local = PathBuf::new();
    for (depth, name) in path.split(|&b| b == b'/').enumerate() {
        if matches!(name, b"" | b"." | b"..") || name.contains(&0) {
            return Err("its name points elsewhere");
        }
        if depth == 0 && name == PARTS.as_bytes() {
            return Err("its name is reserved for incomplete downloads");
        }
        local.push(one_name(name)?);
    }
    Ok(local)
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "other systems refuse names")]
fn one_name(name: &[u8]) -> Result<&Path, &'static str> {
    use std::os::unix::ffi::OsStrExt;
    Ok(Path::new(std::ffi::OsStr::from_bytes(name)))
}

/// <https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file>
#[cfg(not(unix))]
fn one_name(name: &[u8]) -> Result<&Path, &'static str> {
    let text = std::str::from_utf8(name).map_err(|_| "its name is not valid Unicode")?;
    let forbidden = |c: char| c.is_control() || r#"<>:"/\|?*"#.contains(c);
    let stem = text.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let device = matches!(stem.as_str(), "CON" | "PRN" | "AUX" | "NUL")
        || (stem.len() == 4 && (stem.starts_with("COM") || stem.starts_with("LPT")));
    if text.contains(forbidden) || text.ends_with(['.', ' ']) || device {
        return Err("this system does not allow such a name");
    }
    Ok(Path::new(text))
}

/// Returns the bytes of a local name.
#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "on other systems a name may have no bytes")]
pub fn bytes_of(name: &std::ffi::OsStr) -> Option<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    Some(name.as_bytes().to_vec())
}

/// Returns the bytes of a local name, if it is valid Unicode.
#[cfg(not(unix))]
pub fn bytes_of(name: &std::ffi::OsStr) -> Option<Vec<u8>> {
    Some(name.to_str()?.as_bytes().to_vec())
}

/// Whether a link at `link` points below the top. No folder above `link` may be a link.
///
/// A `..` after a name is refused: the name may be a link itself, so that `..` leads elsewhere.
pub fn stays_within(link: &[u8], target: &[u8]) -> bool {
    let mut depth = link.split(|&b| b == b'/').count() - 1;
    let mut down = false;
    if target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
        return false;
    }
    for name in target.split(|&b| b == b'/') {
        match name {
            b"" | b"." => {}
            b".." if down || depth == 0 => return false,
            b".." => depth -= 1,
            _ => down = true,
        }
    }
    true
}

/// Finds names that are equal on a file system that ignores case. Needs each folder's names together.
#[derive(Debug, Default)]
pub struct Cases {
    folder: Vec<u8>,
    names: HashSet<String>,
}

impl Cases {
    /// Whether an earlier entry of the folder has the same name but for case.
    pub fn clashes(&mut self, path: &[u8]) -> bool {
        let at = path.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let (folder, name) = path.split_at(at);
        if folder != self.folder {
            self.folder = folder.to_vec();
            self.names.clear();
        }
        !self.names.insert(String::from_utf8_lossy(name).to_lowercase())
    }
}

/// Whether the file system ignores case: a new file in `folder` is also found under another spelling. Its name is
/// random, so that nobody can have put it there before.
pub fn ignores_case(folder: &Path) -> io::Result<bool> {
    let probe = tempfile::Builder::new().prefix("case-").tempfile_in(folder)?;
    let name = probe.path().file_name().unwrap_or_default().to_string_lossy().replacen("case", "CASE", 1);
    Ok(folder.join(name).symlink_metadata().is_ok())
}

/// Creates folders below a top, and never through an existing link.
#[derive(Debug)]
pub struct Folders {
    top: PathBuf,
    last: Option<PathBuf>,
}

impl Folders {
    /// Creates folders below `top`, which has to exist.
    pub fn below(top: &Path) -> Self {
        Self { top: top.to_owned(), last: None }
    }

    /// Creates `folder` and its parents below the top.
    pub fn make(&mut self, folder: &Path) -> io::Result<()> {
        if self.last.as_deref() == Some(folder) {
            return Ok(());
        }
        let mut whole = self.top.clone();
        for name in folder.components() {
            whole.push(name);
            match whole.symlink_metadata() {
                Ok(found) if found.is_dir() => {}
                Ok(found) => {
                    let what = if found.is_symlink() { "a link" } else { "no folder" };
                    return Err(io::Error::other(format!("`{}` is {what}", whole.display())));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => std::fs::create_dir(&whole)?,
                Err(error) => return Err(error),
            }
        }
        self.last = Some(folder.to_owned());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_leads_elsewhere_is_none() {
        for path in [&b""[..], b"/etc/passwd", b"..", b"a/../b", b"a//b", b"a/.", b"a\0b", b".mrunner-part/x"] {
            assert!(local(path).is_err(), "{path:?}");
        }
        assert_eq!(local(b"a/b..c/...").unwrap(), Path::new("a/b..c/..."));
        assert!(local(&[b'n'; 255]).is_ok());
    }

    #[test]
    fn a_link_stays_within_or_is_not_made() {
        for (link, target, stays) in [
            ("a", "b", true),
            ("a", "./b/c", true),
            ("a/b", "../c", true),
            ("a/b/c", "../../d", true),
            ("a", "..", false),
            ("a/b", "../../c", false),
            ("a", "/etc/passwd", false),
            ("a", "", false),
            // `b` may be a link to `.`
            ("a", "b/..", false),
            ("a/b", "c/../../d", false),
            ("a", "a", true),
        ] {
            assert_eq!(stays_within(link.as_bytes(), target.as_bytes()), stays, "{link} -> {target}");
        }
    }

    #[test]
    fn names_that_differ_in_case_clash_in_one_folder_only() {
        let mut cases = Cases::default();
        let met: Vec<bool> =
            ["a", "A", "b", "x/a", "x/Ä", "x/ä", "y/ä"].iter().map(|path| cases.clashes(path.as_bytes())).collect();
        assert_eq!(met, [false, true, false, false, false, true, false]);
    }

    #[cfg(unix)]
    #[test]
    fn no_folder_is_made_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
        std::fs::create_dir(&top).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::os::unix::fs::symlink("../outside", top.join("link")).unwrap();
        let mut folders = Folders::below(&top);
        assert!(folders.make(Path::new("link/x")).unwrap_err().to_string().ends_with("link` is a link"));
        assert!(!outside.join("x").exists());
        folders.make(Path::new("a/b")).unwrap();
        assert!(top.join("a/b").is_dir());
        std::fs::write(top.join("file"), "").unwrap();
        assert!(folders.make(Path::new("file/x")).is_err());
    }
}
