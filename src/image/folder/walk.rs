//! Finds what is in a folder.

use std::collections::HashSet;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::links::{self, End};
use super::listing::{Inherited, Listed, Verdict};
use super::rules::{Ignore, OURS, Rules};
use super::{FolderPaths, Level, Note, complete, never};
use crate::image::context::changed;
use crate::image::entry::{self, Entry, Kind, below, shown};
use crate::util::error::{Fail, usage};

/// Something that comes along because the user says so, or the folder itself.
struct Tree {
    /// Where it lands.
    landing: PathBuf,
    /// Where it is read from, without links.
    source: PathBuf,
    /// Whether it was already in the folder.
    is_inside: bool,
    /// Whether the landing is a link, replaced by what it points to.
    is_link: bool,
}

/// A symbolic link that was found, to be followed when all is known.
struct Link {
    path: PathBuf,
    /// Where the tree that it must not leave lands, and is on the disk.
    landing: PathBuf,
    top: PathBuf,
    target: PathBuf,
}

pub(super) fn scan(place: &FolderPaths, rules: &Rules) -> Result<(Vec<Entry>, Vec<Note>)> {
    let ignore = Ignore::new(place, rules)?;
    let trees = rules.paths_to_copy.iter().map(|path| tree(place, path)).collect::<Result<Vec<_>>>()?;
    let mut walk = Walk {
        place,
        forced: trees.iter().filter(|t| t.is_inside).map(|t| t.landing.clone()).collect(),
        entries: Vec::new(),
        links: Vec::new(),
        notes: Vec::new(),
    };
    let whole = Tree { landing: PathBuf::new(), source: place.root.clone(), is_inside: true, is_link: false };
    let takes_all = walk.forced.contains(Path::new(""));
    walk.tree(&whole, (!takes_all).then_some(&ignore))?;
    for tree in trees.iter().filter(|t| !t.landing.as_os_str().is_empty()) {
        walk.tree(tree, None)?;
    }
    let mut entries = walk.entries;
    complete(&mut entries);
    without_doubles(place, &mut entries)?;
    let replaced = trees.into_iter().filter(|t| t.is_link).map(|t| t.landing).collect();
    let nothing = HashSet::new();
    walk.links.sort_by(|a, b| a.path.cmp(&b.path));
    for link in &walk.links {
        // the paths are the folder's; another tree has its own
        let replaced = if link.landing.as_os_str().is_empty() { &replaced } else { &nothing };
        walk.notes.extend(check(place, link, &entries, replaced)?);
    }
    // a folder lists its files in no order
    walk.notes.sort_by(|a, b| a.text.cmp(&b.text));
    Ok((entries, walk.notes))
}

struct Walk<'a> {
    place: &'a FolderPaths,
    /// Paths in the folder that are trees of their own.
    forced: HashSet<PathBuf>,
    entries: Vec<Entry>,
    links: Vec<Link>,
    notes: Vec<Note>,
}

impl Walk<'_> {
    /// Walks through one tree; without `ignore` only what never belongs into an image is left out.
    fn tree(&mut self, tree: &Tree, ignore: Option<&Ignore>) -> Result<()> {
        let metadata = fs::symlink_metadata(&tree.source).map_err(|e| self.failed(&tree.source, &e))?;
        if !metadata.is_dir() {
            return self.leaf(tree, &tree.landing, &tree.source, metadata.file_type(), || Ok(metadata));
        }
        let mut folders = vec![(tree.landing.clone(), tree.source.clone(), Verdict::Keep, Inherited::nothing())];
        while let Some((path, source, verdict, inherited)) = folders.pop() {
            let listed = list(&source).map_err(|e| self.failed(&source, &e))?;
            if path != tree.landing
                && let Some(what) = never::by_content(&source, &listed)
            {
                if verdict == Verdict::Keep {
                    self.note(Level::Info, format!("`{}` is left out: {what}", shown(&path)));
                }
                continue;
            }
            // one that is only looked into comes along if something in it does, see `complete`
            if !path.as_os_str().is_empty() && verdict == Verdict::Keep {
                self.entries.push(Entry::directory(path.clone(), source.clone()));
            }
            for Listed { name, kind, entry } in listed {
                let child = below(&path, Path::new(&name));
                let is_ours = path.as_os_str().is_empty() && name == OURS;
                if never::by_name(&name) || is_ours || self.forced.contains(&child) {
                    continue;
                }
                let (verdict, inherited) = match ignore {
                    Some(ignore) => ignore.judge(&child, kind.is_dir(), &inherited),
                    None => (Verdict::Keep, inherited.clone()),
                };
                if kind.is_dir() && verdict != Verdict::LeaveOut {
                    folders.push((child, source.join(&name), verdict, inherited));
                } else if verdict == Verdict::Keep {
                    self.leaf(tree, &child, &source.join(&name), kind, || entry.metadata())?;
                }
            }
        }
        Ok(())
    }

    /// Anything but a folder.
    fn leaf(
        &mut self,
        tree: &Tree,
        path: &Path,
        source: &Path,
        kind: FileType,
        metadata: impl FnOnce() -> io::Result<Metadata>,
    ) -> Result<()> {
        let kind = if kind.is_file() {
            let metadata = metadata().map_err(|e| self.lost(source, &e))?;
            Kind::File { size: metadata.len(), executable: is_executable(&metadata) }
        } else if kind.is_symlink() {
            let target = fs::read_link(source).map_err(|e| self.lost(source, &e))?;
            // a tree in the folder is part of it, so its links may lead anywhere in there
            let (landing, top) = if tree.is_inside && !tree.is_link {
                (PathBuf::new(), self.place.root.clone())
            } else {
                (tree.landing.clone(), tree.source.clone())
            };
            self.links.push(Link { path: path.to_path_buf(), landing, top, target: target.clone() });
            Kind::Symlink { target: with_slashes(target) }
        } else {
            let text = format!("`{}` is left out: it is a {}", shown(path), special(kind));
            self.note(Level::Warning, text);
            return Ok(());
        };
        self.entries.push(Entry { path: path.to_path_buf(), kind, source: source.to_path_buf() });
        Ok(())
    }

    fn note(&mut self, level: Level, text: String) {
        self.notes.push(Note { level, text });
    }

    /// A thing in a folder whose names can be read, but nothing else.
    fn lost(&self, source: &Path, error: &io::Error) -> Fail {
        match (error.kind(), source.parent()) {
            (io::ErrorKind::PermissionDenied, Some(folder)) => self.failed(folder, error),
            _ => self.failed(source, error),
        }
    }

    fn failed(&self, source: &Path, error: &io::Error) -> Fail {
        match error.kind() {
            io::ErrorKind::NotFound => changed(&self.place.typed(source)),
            _ => self.place.unreadable(source, "u+rx", error),
        }
    }
}

fn list(folder: &Path) -> io::Result<Vec<Listed>> {
    let listed = |entry: io::Result<fs::DirEntry>| {
        let entry = entry?;
        Ok(Listed { name: entry.file_name(), kind: entry.file_type()?, entry })
    };
    fs::read_dir(folder)?.map(listed).collect()
}

/// Finds what an entry of `paths_to_copy` means.
fn tree(place: &FolderPaths, given: &str) -> Result<Tree> {
    let fault = |why: &str| usage(format!("`{}` in `paths_to_copy` {why}", shown(Path::new(given))));
    if given.is_empty() {
        return Err(fault("names nothing").into());
    }
    let path = place.root.join(given);
    let source = fs::canonicalize(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => fault("does not exist"),
        _ => fault(&format!("can't be opened: {}", super::cause(&error))),
    })?;
    // by its own place, not by where it points to: a link in the folder is replaced
    if let Some(landing) = inside(place, &path, &source) {
        let is_link = fs::symlink_metadata(place.root.join(&landing)).is_ok_and(|m| m.is_symlink());
        if is_link && place.root.starts_with(&source) {
            return Err(fault("points to the folder itself").into());
        }
        return Ok(Tree { landing, source, is_inside: true, is_link });
    }
    if place.root.starts_with(&source) {
        return Err(fault("contains the folder itself").into());
    }
    // `x/..` has no name of its own; what it is has one
    let name = path.file_name().or_else(|| source.file_name());
    let landing = name.map(PathBuf::from).ok_or_else(|| fault("has no name"))?;
    Ok(Tree { landing, source, is_inside: false, is_link: false })
}

/// The path below the folder, if it is there, with its parents' links resolved but not its own.
fn inside(place: &FolderPaths, path: &Path, source: &Path) -> Option<PathBuf> {
    let real = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => fs::canonicalize(parent).ok()?.join(name),
        _ => source.to_path_buf(),
    };
    real.strip_prefix(&place.root).ok().map(|p| with_slashes(p.to_path_buf()))
}

/// Two things from different places can't land in one.
fn without_doubles(place: &FolderPaths, sorted: &mut Vec<Entry>) -> Result<(), Fail> {
    for pair in sorted.windows(2) {
        if pair[0].path == pair[1].path && pair[0].source != pair[1].source {
            let [one, other] = [&pair[0], &pair[1]].map(|e| shown(&place.typed(&e.source)));
            return Err(usage(format!("`{one}` and `{other}` would both be `{}` in the image", shown(&pair[0].path)))
                .hint("rename one of them, or take it out of `paths_to_copy`"));
        }
    }
    sorted.dedup_by(|a, b| a.path == b.path);
    Ok(())
}

/// What there is to say about a link: an error if it leaves, a note if it leads to nothing.
fn check(
    place: &FolderPaths,
    link: &Link,
    entries: &[Entry],
    replaced: &HashSet<PathBuf>,
) -> Result<Option<Note>, Fail> {
    let name = shown(&link.path);
    let to = shown(&link.target);
    let own = link.path.strip_prefix(&link.landing).unwrap_or(&link.path);
    let why = match links::follow(&link.top, own, &link.target, replaced) {
        End::Inside(end) => {
            let end = below(&link.landing, &end);
            if end.as_os_str().is_empty() || end == link.landing || entry::find(entries, &end).is_some() {
                return Ok(None);
            }
            "which is left out"
        }
        End::Missing(_) => "which does not exist",
        End::Circle => "and so on in a circle",
        End::Outside => {
            let fault = usage(format!("the link `{name}` leaves the folder: it points to `{to}`"));
            if link.top != place.root {
                return Err(fault.fact("folder", shown(&link.top)));
            }
            let fault = fault.hint(format!("leave it out with `{}`", place.leave_out(&link.path)));
            if !place.root.join(&link.path).exists() {
                return Err(fault);
            }
            return Err(fault.hint(format!("or take what it points to: `paths_to_copy: [{}]`", yaml(&link.path))));
        }
    };
    Ok(Some(Note { level: Level::Warning, text: format!("the link `{name}` points to `{to}`, {why}") }))
}

/// A path as an item of a YAML list; a JSON string is one.
fn yaml(path: &Path) -> String {
    let text = path.to_string_lossy();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '-');
    let plain = text.chars().all(is_plain) && text.starts_with(|c: char| c.is_ascii_alphabetic());
    if plain { text.into_owned() } else { serde_json::Value::from(text).to_string() }
}

fn with_slashes(path: PathBuf) -> PathBuf {
    if cfg!(windows) { path.to_string_lossy().replace('\\', "/").into() } else { path }
}

#[cfg(unix)]
fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    // the owner's bit, as git takes it: the others depend on the umask
    metadata.permissions().mode() & 0o100 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &Metadata) -> bool {
    false
}

#[cfg(unix)]
fn special(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match () {
        () if kind.is_socket() => "socket",
        () if kind.is_fifo() => "named pipe",
        () => "device",
    }
}

#[cfg(not(unix))]
fn special(_: FileType) -> &'static str {
    "special file"
}
