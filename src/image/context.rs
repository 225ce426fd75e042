//! The build context: a tar that depends on names, contents and nothing else, made while it is sent.

use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result};
use tar::{EntryType, Header};

use crate::image::entry::{self, Entry, Kind, shown};
use crate::util::error::{Fail, fail};

/// Bytes read at a time.
const CHUNK: usize = 64 * 1024;

/// The size of a block of a tar, and of a header.
const BLOCK: usize = 512;

/// Two blocks of zeros end a tar.
const END: usize = 2 * BLOCK;

/// 1980-01-02: a zip, such as a wheel, can't hold a time before 1980 in any time zone, so an
/// experiment that packs its own code would fail with the more obvious 0.
const TIME: u64 = 315_619_200;

/// Longest name that a header holds; a longer one goes before it.
const NAME_MAX: usize = 100;

/// Everything that decides what the image will be.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContextSpec {
    /// The whole Dockerfile.
    pub dockerfile: String,
    /// Such as `linux/amd64`; empty for what the builder takes by itself.
    pub platform: String,
    /// Whatever else is said to the builder and changes the image, such as `build-arg A=b`.
    pub settings: Vec<String>,
    /// What lands in `requirements/`, sorted; empty if there are none.
    pub requirements: Vec<Entry>,
    /// What lands in `code/`, sorted.
    pub code: Vec<Entry>,
}

/// Opens an entry's file. It makes its own error, as it knows what the user can do about it.
pub type Open<'a> = &'a dyn Fn(&Entry) -> Result<Box<dyn Read>>;

/// Writes the build context as a tar: `requirements/…`, `code/…`, `Dockerfile`.
///
/// The Dockerfile comes last: BuildKit takes a tar that was cut between two entries for a whole one,
/// and without a Dockerfile it makes nothing of it.
///
/// What is written depends on `spec` and the files' content alone. Each file must supply exactly the
/// bytes that were announced for it. Memory does not grow with the files' size.
pub fn write_tar(spec: &ContextSpec, open: Open<'_>, out: &mut dyn Write) -> Result<()> {
    let mut tar = Tar { out, buffer: vec![0; CHUNK] };
    for (part, entries) in [("requirements", &spec.requirements), ("code", &spec.code)] {
        // an empty folder of code is still copied; without requirements nothing asks for their folder
        if part == "code" || !entries.is_empty() {
            tar.entry(Path::new(""), &Entry::directory(part, ""), open)?;
        }
        for entry in entries {
            tar.entry(Path::new(part), entry, open)?;
        }
    }
    let dockerfile = Entry {
        path: "Dockerfile".into(),
        kind: Kind::File { size: spec.dockerfile.len() as u64, executable: false },
        source: "Dockerfile".into(),
    };
    tar.entry(Path::new(""), &dockerfile, &|_| Ok(Box::new(io::Cursor::new(spec.dockerfile.clone()))))?;
    tar.write(&[0; END])
}

/// The length of what [`write_tar`] writes last: the Dockerfile and the end.
pub(super) fn last(spec: &ContextSpec) -> usize {
    BLOCK + spec.dockerfile.len().next_multiple_of(BLOCK) + END
}

/// The error for a file that is not what it was a moment ago.
pub fn changed(path: &Path) -> Fail {
    let name = shown(path);
    fail(format!("`{name}` changed while it was read"))
        .hint("run the same command again")
        .hint("if something writes to it all the time, list it in `.mrunnerignore`")
}

struct Tar<'a> {
    out: &'a mut dyn Write,
    buffer: Vec<u8>,
}

impl Tar<'_> {
    fn entry(&mut self, part: &Path, entry: &Entry, open: Open<'_>) -> Result<()> {
        let path = entry::below(part, &entry.path);
        match &entry.kind {
            Kind::Directory => self.header(EntryType::Directory, &entry::below(&path, Path::new("")), 0, 0o755, None),
            Kind::Symlink { target } => self.header(EntryType::Symlink, &path, 0, 0o777, Some(target)),
            Kind::File { size, executable } => {
                // opened first: a file that can't be opened leaves no half an entry behind
                let mut content = open(entry)?;
                let mode = if *executable { 0o755 } else { 0o644 };
                self.header(EntryType::Regular, &path, *size, mode, None)?;
                self.content(entry, *size, &mut *content)
            }
        }
    }

    fn header(&mut self, kind: EntryType, path: &Path, size: u64, mode: u32, target: Option<&Path>) -> Result<()> {
        let name = entry::bytes(path);
        let link = target.map(entry::bytes).unwrap_or_default();
        self.long_name(EntryType::GNULongName, name)?;
        self.long_name(EntryType::GNULongLink, link)?;
        self.short_header(kind, name, size, mode, link)
    }

    /// A name that no header can hold, in an entry of its own before the one it is for.
    fn long_name(&mut self, kind: EntryType, name: &[u8]) -> Result<()> {
        if name.len() <= NAME_MAX {
            return Ok(());
        }
        let size = name.len() as u64 + 1;
        self.short_header(kind, b"././@LongLink", size, 0o644, b"")?;
        self.write(name)?;
        self.write(&[0])?;
        self.pad(size)
    }

    /// The bytes of the names are put in as they are: `tar`'s own setters would interpret them.
    fn short_header(&mut self, kind: EntryType, name: &[u8], size: u64, mode: u32, link: &[u8]) -> Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        header.set_mode(mode);
        header.set_mtime(TIME);
        header.set_uid(0);
        header.set_gid(0);
        if let Some(gnu) = header.as_gnu_mut() {
            for (field, text) in [(&mut gnu.name, name), (&mut gnu.linkname, link)] {
                let fits = text.len().min(NAME_MAX);
                field[..fits].copy_from_slice(&text[..fits]);
            }
        }
        header.set_cksum();
        self.write(header.as_bytes())
    }

    fn content(&mut self, entry: &Entry, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut seen = 0;
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(read) => read as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let name = shown(&entry.path);
                    return Err(error).with_context(|| fail(format!("`{name}` could not be read")));
                }
            };
            seen += read;
            // looked at before it is passed on, so that no more than was announced is ever sent
            if seen > size || (read == 0 && seen < size) {
                return Err(changed(&entry.path).into());
            }
            if read == 0 {
                return self.pad(size);
            }
            write(self.out, &self.buffer[..usize::try_from(read).unwrap_or(CHUNK)])?;
        }
    }

    fn pad(&mut self, size: u64) -> Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or(0);
        if over == 0 { Ok(()) } else { self.write(&[0; BLOCK][over..]) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        write(self.out, bytes)
    }
}

/// The cause stays in the chain: a reader that has gone (`BrokenPipe`) is not the sender's fault.
fn write(out: &mut dyn Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).context("failed to send the build context")
}
