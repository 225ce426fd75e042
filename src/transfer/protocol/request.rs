//! Requests to the helper.

use std::io::{self, Write};

use super::{BLOCK, PartName, send};

/// A request to the helper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// List the entry at a path and, of a folder, the entries in it.
    List {
        /// List all levels below.
        deep: bool,
        /// The path.
        path: &'a [u8],
    },
    /// Read a range of a file.
    Read {
        /// The start of the range.
        offset: u64,
        /// The length of the range.
        length: u64,
        /// The file.
        path: &'a [u8],
    },
    /// Read whole files of at most [`SMALL`](super::SMALL) bytes.
    ReadMany {
        /// The files.
        paths: &'a [&'a [u8]],
    },
    /// Hash each [`BLOCK`] of a range.
    Hash {
        /// The start of the range.
        offset: u64,
        /// The length of the range.
        length: u64,
        /// The file.
        path: &'a [u8],
    },
    /// Sum up each entry of a folder.
    Sums {
        /// The folder.
        path: &'a [u8],
    },
    /// Write into a part of an upload.
    Put {
        /// The offset in the part.
        offset: u64,
        /// The part.
        part: &'a PartName,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Turn a complete part into the file.
    Finish {
        /// The file's size.
        size: u64,
        /// The modification time, in nanoseconds since 1970.
        mtime: i64,
        /// The mode of the file.
        mode: u32,
        /// The part.
        part: &'a PartName,
        /// The file.
        path: &'a [u8],
    },
    /// Create a folder and its parents.
    MakeFolder {
        /// The mode of the folder.
        mode: u32,
        /// The path.
        path: &'a [u8],
    },
    /// Create a symbolic link.
    MakeLink {
        /// The target of the link.
        target: &'a [u8],
        /// The path of the link.
        path: &'a [u8],
    },
    /// Remove a path and everything below.
    Remove {
        /// The path.
        path: &'a [u8],
    },
    /// Flush everything written to the disk.
    Sync,
}

impl Request<'_> {
    /// Sends the request under a number that its answers repeat.
    pub fn send(&self, id: u32, out: &mut impl Write) -> io::Result<()> {
        let id = id.to_be_bytes();
        match *self {
            Self::List { deep, path } => send(out, b'L', &[&id, &[u8::from(deep)], path]),
            Self::Read { offset, length, path } => {
                send(out, b'R', &[&id, &offset.to_be_bytes(), &length.to_be_bytes(), path])
            }
            Self::ReadMany { paths } => {
                let mut body = Vec::new();
                for path in paths {
                    body.extend(u16::try_from(path.len()).map_err(io::Error::other)?.to_be_bytes());
                    body.extend_from_slice(path);
                }
                send(out, b'N', &[&id, &body])
            }
            Self::Hash { offset, length, path } => {
                let block = u32::try_from(BLOCK).unwrap_or(u32::MAX).to_be_bytes();
                send(out, b'H', &[&id, &block, &offset.to_be_bytes(), &length.to_be_bytes(), path])
            }
            Self::Sums { path } => send(out, b'U', &[&id, path]),
            Self::Put { offset, part, bytes } => send(out, b'P', &[&id, &offset.to_be_bytes(), part, bytes]),
            Self::Finish { size, mtime, mode, part, path } => {
                let numbers = [&size.to_be_bytes()[..], &mtime.to_be_bytes(), &mode.to_be_bytes()].concat();
                send(out, b'M', &[&id, &numbers, part, path])
            }
            Self::MakeFolder { mode, path } => send(out, b'K', &[&id, &mode.to_be_bytes(), path]),
            Self::MakeLink { target, path } => {
                let length = u16::try_from(target.len()).map_err(io::Error::other)?;
                send(out, b'Y', &[&id, &length.to_be_bytes(), target, path])
            }
            Self::Remove { path } => send(out, b'V', &[&id, path]),
            Self::Sync => send(out, b'S', &[&id]),
        }
    }
}
