//! One file, folder or link of a build context, as plain data.

use std::path::{Component, Path, PathBuf};

/// Something that goes into the build context.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it lands, relative to its part of the context, with `/` between the names on every system.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// Where it is read from.
    pub source: PathBuf,
}

/// What an [`Entry`] is. Owners, times and modes other than "may be executed" are left behind, so
/// that two checkouts of the same commit make the same image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File {
        /// Its length when it was looked at; it must still have it when it is read.
        size: u64,
        /// Whether its owner may execute it.
        executable: bool,
    },
    /// A folder, possibly an empty one.
    Directory,
    /// A symbolic link that stays inside.
    Symlink {
        /// As it was written, with `/` between the names.
        target: PathBuf,
    },
}

impl Entry {
    /// A folder.
    pub fn directory(path: impl Into<PathBuf>, source: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: Kind::Directory, source: source.into() }
    }

    /// Its bytes of content.
    pub fn size(&self) -> u64 {
        match self.kind {
            Kind::File { size, .. } => size,
            Kind::Directory | Kind::Symlink { .. } => 0,
        }
    }
}

/// Puts entries into the order of the bytes of their paths, which no locale, file system or
/// [`Path`]'s own order (it compares component by component) has a say in.
pub fn sort(entries: &mut [Entry]) {
    entries.sort_by(|a, b| bytes(&a.path).cmp(bytes(&b.path)));
}

/// Finds the entry at `path` among sorted ones.
pub fn find<'a>(sorted: &'a [Entry], path: &Path) -> Option<&'a Entry> {
    sorted.binary_search_by(|e| bytes(&e.path).cmp(bytes(path))).ok().map(|i| &sorted[i])
}

/// The bytes of a path; on Unix exactly those the file system has.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// `name` below `folder`, with `/` between them on every system.
pub fn below(folder: &Path, name: &Path) -> PathBuf {
    if folder.as_os_str().is_empty() {
        return name.to_path_buf();
    }
    let mut path = folder.as_os_str().to_owned();
    path.push("/");
    path.push(name);
    path.into()
}

/// `target` as seen from `folder`, without `.` and `..`, or `None` if it is absolute or leaves.
pub fn within(folder: &Path, target: &Path) -> Option<PathBuf> {
    let mut names: Vec<&Path> = Vec::new();
    for component in folder.components().chain(target.components()) {
        match component {
            Component::Normal(name) => names.push(Path::new(name)),
            Component::CurDir => {}
            Component::ParentDir => _ = names.pop()?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(names.iter().fold(PathBuf::new(), |path, name| below(&path, name)))
}

/// A path for a message: as it is if every character of it can be seen, else quoted and escaped, so
/// that no name forges a line or a colour.
#[allow(clippy::unnecessary_debug_formatting, reason = "its escapes are what is wanted")]
pub fn shown(path: &Path) -> String {
    let escaped = format!("{:?}", path.as_os_str());
    match path.to_str() {
        Some(text) if escaped.len() == text.len() + 2 => text.to_owned(),
        _ => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_the_bytes() {
        let mut entries = ["b", "a/b", "a-b", "a", "B", "é"].map(|p| Entry::directory(p, "")).to_vec();
        sort(&mut entries);
        let order: Vec<_> = entries.iter().map(|e| e.path.to_str().unwrap()).collect();
        assert_eq!(order, ["B", "a", "a-b", "a/b", "b", "é"]);
        assert_eq!(find(&entries, Path::new("a/b")), Some(&entries[3]));
        assert_eq!(find(&entries, Path::new("a/c")), None);
    }

    #[test]
    fn a_path_stays_within_or_is_none() {
        let within = |folder: &str, target: &str| within(Path::new(folder), Path::new(target));
        assert_eq!(within("a/b", "../c/./d"), Some("a/c/d".into()));
        assert_eq!(within("", "./a//b/"), Some("a/b".into()));
        assert_eq!(within("a", ".."), Some("".into()));
        assert_eq!(within("a", "../.."), None);
        assert_eq!(within("a", "../../a"), None);
        assert_eq!(within("a", "/a"), None);
    }

    #[test]
    fn a_name_is_shown_on_one_line() {
        assert_eq!(shown(Path::new("my file.py")), "my file.py");
        assert_eq!(shown(Path::new("ünï/🦀")), "ünï/🦀");
        assert_eq!(shown(Path::new("a\nerror: b")), r#""a\nerror: b""#);
        assert_eq!(shown(Path::new("\u{1b}[31m")), r#""\u{1b}[31m""#);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_no_text_is_shown() {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"a\xff");
        assert_eq!(shown(Path::new(name)), r#""a\xFF""#);
    }
}
