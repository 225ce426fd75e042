//! Answers of the helper.

use std::io;

use super::wrong;

/// An answer of the helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The token was accepted.
    Welcome {
        /// The size of the volume.
        total: u64,
        /// The free space of the volume.
        free: u64,
    },
    /// Some entries of a list; see [`Entries`].
    Entries(&'a [u8]),
    /// The end of a list.
    End {
        /// The number of entries.
        count: u64,
    },
    /// A piece of a file.
    Piece {
        /// The offset in the file.
        offset: u64,
        /// The content.
        bytes: &'a [u8],
    },
    /// The last piece of a range.
    Last {
        /// The state of the file after the read.
        state: FileStat,
        /// The offset in the file.
        offset: u64,
        /// The content.
        bytes: &'a [u8],
    },
    /// Some small files; see [`Records`].
    Many(Records<'a>),
    /// The sha256 of some blocks, 32 bytes each.
    Digests(&'a [u8]),
    /// The request succeeded.
    Done {
        /// The number of entries that it concerned.
        count: u64,
    },
    /// The request was refused, or failed.
    Refused {
        /// The error number of Linux.
        errno: u32,
        /// The error message.
        words: &'a [u8],
    },
}

/// Size, time and identity of a file, which show whether the file changed while it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileStat {
    /// The size.
    pub size: u64,
    /// The modification time, in nanoseconds since 1970.
    pub mtime: i64,
    /// The inode.
    pub inode: u64,
    /// The mode.
    pub mode: u32,
}

/// Decodes a frame; the number is that of the request.
pub(super) fn decode(kind: u8, body: &[u8]) -> io::Result<(u32, Reply<'_>)> {
    let mut fields = Fields(body);
    if kind == b'W' {
        return Ok((0, Reply::Welcome { total: fields.u64()?, free: fields.u64()? }));
    }
    let id = fields.u32()?;
    let reply = match kind {
        b'E' => Reply::Entries(fields.0),
        b'Z' => Reply::End { count: fields.u64()? },
        b'D' => Reply::Piece { offset: fields.u64()?, bytes: fields.0 },
        b'F' => {
            let (size, mtime, inode, mode) = (fields.u64()?, fields.i64()?, fields.u64()?, fields.u32()?);
            Reply::Last { state: FileStat { size, mtime, inode, mode }, offset: fields.u64()?, bytes: fields.0 }
        }
        b'G' => Reply::Many(Records(fields.0)),
        b'B' => Reply::Digests(fields.0),
        b'A' => Reply::Done { count: fields.u64()? },
        b'X' => Reply::Refused { errno: fields.u32()?, words: fields.0 },
        _ => return Err(wrong("a frame is of an unknown kind")),
    };
    Ok((id, reply))
}

impl FileStat {
    /// Whether size and time say that the content is the same.
    pub(crate) fn has_same_content(&self, other: &Self) -> bool {
        (self.size, self.mtime) == (other.size, other.mtime)
    }
}

/// The kind of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, socket or FIFO.
    Other,
    /// An entry that could not be read.
    Failed,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The kind.
    pub kind: FileKind,
    /// The size.
    pub size: u64,
    /// The modification time, in nanoseconds since 1970.
    pub mtime: i64,
    /// The mode; for a sum, the number of files.
    pub mode: u32,
    /// The path in the volume.
    pub path: &'a [u8],
    /// The target of a link; the message of an error.
    pub extra: &'a [u8],
}

/// The entries in the body of one or more [`Reply::Entries`].
#[derive(Debug, Clone)]
pub struct Entries<'a>(pub &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = io::Result<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let mut fields = Fields(self.0);
        let entry = read_entry(&mut fields);
        self.0 = if entry.is_ok() { fields.0 } else { &[] };
        Some(entry)
    }
}

fn read_entry<'a>(fields: &mut Fields<'a>) -> io::Result<Entry<'a>> {
    let kind = match fields.u8()? {
        b'f' => FileKind::File,
        b'd' => FileKind::Folder,
        b'l' => FileKind::Link,
        b'o' => FileKind::Other,
        b'e' => FileKind::Failed,
        _ => return Err(wrong("an entry is of an unknown kind")),
    };
    let (size, mtime, mode) = (fields.u64()?, fields.i64()?, fields.u32()?);
    let length = fields.u16()?;
    let path = fields.take(length.into())?;
    let length = fields.u16()?;
    Ok(Entry { kind, size, mtime, mode, path, extra: fields.take(length.into())? })
}

/// A small file, or the error of reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The error number of Linux, or 0.
    pub errno: u32,
    /// The state of the file.
    pub state: FileStat,
    /// The content; the message of an error.
    pub bytes: &'a [u8],
}

/// The records in a [`Reply::Many`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    /// Returns the next record.
    pub fn take(&mut self) -> io::Result<Option<Record<'a>>> {
        if self.0.is_empty() {
            return Ok(None);
        }
        let mut fields = Fields(self.0);
        let errno = fields.u32()?;
        let (size, mtime, inode, mode) = (fields.u64()?, fields.i64()?, fields.u64()?, fields.u32()?);
        let length = usize::try_from(fields.u32()?).unwrap_or(usize::MAX);
        let bytes = fields.take(length)?;
        self.0 = fields.0;
        Ok(Some(Record { errno, state: FileStat { size, mtime, inode, mode }, bytes }))
    }
}

/// The rest of a frame; fields are taken off its front.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> io::Result<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(length).ok_or_else(|| wrong("a frame is too short"))?;
        self.0 = rest;
        Ok(field)
    }

    fn array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn u8(&mut self) -> io::Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> io::Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }
}
