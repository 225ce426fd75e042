//! The frames that client and helper exchange, see the top of `templates/helper.py`. Pure: over anything
//! that reads and writes.

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

/// The secret that a client shows first.
pub type Token = [u8; 32];

/// The name of a part of an upload: hexadecimal digits.
pub type PartName = [u8; 32];

/// The size of the blocks that are compared by their sha256.
pub const BLOCK: u64 = 4 << 20;

/// How much of a file goes into one frame.
pub const PIECE: usize = 512 << 10;

/// A frame's length, kind and sha256.
const HEAD: usize = 4 + 1 + 32;

/// Files of at most this size are read many at a time.
pub const SMALL: u64 = 64 << 10;

/// No honest frame is larger.
const LARGEST: usize = 4 << 20;

/// What a helper is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// The entry at a path and, if that is a folder, those in it, or all below it.
    List {
        /// Whether all below it.
        deep: bool,
        /// Where.
        path: &'a [u8],
    },
    /// A range of a file.
    Read {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        length: u64,
        /// The file.
        path: &'a [u8],
    },
    /// Files of at most [`SMALL`] bytes, whole.
    ReadMany {
        /// The files.
        paths: &'a [&'a [u8]],
    },
    /// The sha256 of each [`BLOCK`] of a range.
    Hash {
        /// Where it begins.
        offset: u64,
        /// How long it is.
        length: u64,
        /// The file.
        path: &'a [u8],
    },
    /// The sums of each entry of a folder.
    Sums {
        /// The folder.
        path: &'a [u8],
    },
    /// Bytes for a part of an upload.
    Put {
        /// Where they belong.
        offset: u64,
        /// The part.
        part: &'a PartName,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// That a part is whole, and becomes a file.
    Finish {
        /// The file's size.
        size: u64,
        /// When it was changed, in nanoseconds since 1970.
        mtime: i64,
        /// Its mode.
        mode: u32,
        /// The part.
        part: &'a PartName,
        /// The file.
        path: &'a [u8],
    },
    /// A folder, with those above it.
    MakeFolder {
        /// Its mode.
        mode: u32,
        /// Where.
        path: &'a [u8],
    },
    /// A symbolic link.
    MakeLink {
        /// Where it leads.
        target: &'a [u8],
        /// Where it is.
        path: &'a [u8],
    },
    /// That a path and all below it goes.
    Remove {
        /// Which.
        path: &'a [u8],
    },
    /// That all that was written is on the disk.
    Sync,
}

impl Request<'_> {
    /// Sends it under a number that its answers repeat.
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

/// Greets the helper.
pub fn greet(token: &Token, out: &mut impl Write) -> io::Result<()> {
    out.write_all(&[b"MRUNNER1", &token[..]].concat())
}

fn send(out: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.write_all(&u32::try_from(length).map_err(io::Error::other)?.to_be_bytes())?;
    let mut digest = Sha256::new_with_prefix([kind]);
    for part in parts {
        digest.update(part);
    }
    out.write_all(&[kind])?;
    out.write_all(&digest.finalize())?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

/// A helper's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reply<'a> {
    /// The token is right.
    Welcome {
        /// The volume's size.
        total: u64,
        /// What is free of it.
        free: u64,
    },
    /// Some entries of a list, see [`Entries`].
    Entries(&'a [u8]),
    /// The end of a list.
    End {
        /// How many entries it had.
        count: u64,
    },
    /// A piece of a file.
    Piece {
        /// Where it belongs.
        offset: u64,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// The last piece of a range, and how the file is now.
    Last {
        /// How the file is.
        state: State,
        /// Where the piece belongs.
        offset: u64,
        /// Its bytes.
        bytes: &'a [u8],
    },
    /// Some small files, see [`Records`].
    Many(Records<'a>),
    /// The sha256 of some blocks, 32 bytes each.
    Digests(&'a [u8]),
    /// It is done.
    Done {
        /// How many there were.
        count: u64,
    },
    /// It was refused, or failed.
    Refused {
        /// Linux's number for the error.
        errno: u32,
        /// In words.
        words: &'a [u8],
    },
}

/// How a file is, so that one that changes while it is read is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct State {
    /// Its size.
    pub size: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// Its inode.
    pub inode: u64,
    /// Its mode.
    pub mode: u32,
}

/// Reads frames, each checked against its sha256.
#[derive(Debug)]
pub struct Frames<R> {
    /// Where they come from.
    pub reader: R,
    body: Vec<u8>,
    /// How many bytes came in whole frames.
    pub whole: u64,
}

impl<R: Read> Frames<R> {
    /// Frames from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, body: Vec::new(), whole: 0 }
    }

    /// The next answer, with the number of its request.
    pub fn reply(&mut self) -> io::Result<(u32, Reply<'_>)> {
        // that it is still at work is told so that the silence does not grow too long
        let mut kind = self.receive()?;
        while kind == b'T' {
            kind = self.receive()?;
        }
        decode(kind, &self.body)
    }

    fn receive(&mut self) -> io::Result<u8> {
        let mut head = [0; HEAD];
        self.reader.read_exact(&mut head)?;
        let mut head = Fields(&head);
        let length = usize::try_from(head.u32()?).unwrap_or(usize::MAX);
        let kind = head.u8()?;
        if length > LARGEST {
            return Err(wrong("a frame is too large"));
        }
        self.body.resize(length, 0);
        self.reader.read_exact(&mut self.body)?;
        let digest = Sha256::new_with_prefix([kind]).chain_update(&self.body).finalize();
        if digest[..] != *head.0 {
            return Err(wrong("a frame is not what was sent"));
        }
        self.whole += HEAD as u64 + self.body.len() as u64;
        Ok(kind)
    }
}

fn wrong(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
}

fn decode(kind: u8, body: &[u8]) -> io::Result<(u32, Reply<'_>)> {
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
            Reply::Last { state: State { size, mtime, inode, mode }, offset: fields.u64()?, bytes: fields.0 }
        }
        b'G' => Reply::Many(Records(fields.0)),
        b'B' => Reply::Digests(fields.0),
        b'A' => Reply::Done { count: fields.u64()? },
        b'X' => Reply::Refused { errno: fields.u32()?, words: fields.0 },
        _ => return Err(wrong("a frame is of no known kind")),
    };
    Ok((id, reply))
}

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, socket or FIFO.
    Other,
    /// Something that could not be looked at.
    Failed,
}

/// An entry of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its size.
    pub size: u64,
    /// When it was changed, in nanoseconds since 1970.
    pub mtime: i64,
    /// Its mode; of a sum, how many files.
    pub mode: u32,
    /// Where it is in the volume.
    pub path: &'a [u8],
    /// Where a link leads; the words of an error.
    pub extra: &'a [u8],
}

/// The entries in a [`Reply::Entries`], or in several behind each other.
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
        b'f' => Kind::File,
        b'd' => Kind::Folder,
        b'l' => Kind::Link,
        b'o' => Kind::Other,
        b'e' => Kind::Failed,
        _ => return Err(wrong("an entry is of no known kind")),
    };
    let (size, mtime, mode) = (fields.u64()?, fields.i64()?, fields.u32()?);
    let length = fields.u16()?;
    let path = fields.take(length.into())?;
    let length = fields.u16()?;
    Ok(Entry { kind, size, mtime, mode, path, extra: fields.take(length.into())? })
}

/// A small file, or why it can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// Linux's number for the error, 0 for none.
    pub errno: u32,
    /// How the file is.
    pub state: State,
    /// Its bytes; the words of an error.
    pub bytes: &'a [u8],
}

/// The records in a [`Reply::Many`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records<'a>(&'a [u8]);

impl<'a> Records<'a> {
    /// The next record.
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
        Ok(Some(Record { errno, state: State { size, mtime, inode, mode }, bytes }))
    }
}

/// The rest of a frame, from which fields are taken one by one.
struct Fields<'a>(&'a [u8]);

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

    fn u8(&mut self) -> io::Result<u8> {
        Ok(self.array::<1>()?[0])
    }

    fn u16(&mut self) -> io::Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    fn u32(&mut self) -> io::Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    fn u64(&mut self) -> io::Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    fn i64(&mut self) -> io::Result<i64> {
        Ok(i64::from_be_bytes(self.array()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        send(&mut bytes, kind, &[body]).unwrap();
        bytes
    }

    #[test]
    fn a_frame_comes_as_it_was_sent() {
        let body = [&7u32.to_be_bytes()[..], &9u64.to_be_bytes(), b"bytes"].concat();
        let bytes = frame(b'D', &body);
        let mut frames = Frames::new(&bytes[..]);
        assert_eq!(frames.reply().unwrap(), (7, Reply::Piece { offset: 9, bytes: b"bytes" }));
        assert_eq!(frames.whole, bytes.len() as u64);
        assert_eq!(frames.reply().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn no_byte_can_change_and_no_frame_end_early() {
        let body = [&7u32.to_be_bytes()[..], &9u64.to_be_bytes(), b"bytes"].concat();
        let bytes = frame(b'D', &body);
        for at in 4..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            let error = Frames::new(&changed[..]).reply().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}");
        }
        for end in 0..bytes.len() {
            let error = Frames::new(&bytes[..end]).reply().unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "{end} bytes");
        }
    }

    #[test]
    fn a_length_can_not_fill_the_memory() {
        let bytes = [&u32::MAX.to_be_bytes()[..], &[0; 64]].concat();
        let mut frames = Frames::new(&bytes[..]);
        assert_eq!(frames.reply().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(frames.body.capacity() < 1024);
    }

    #[test]
    fn entries_are_any_bytes() {
        let record = |path: &[u8], extra: &[u8]| {
            let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap().to_be_bytes();
            let numbers = [&5u64.to_be_bytes()[..], &(-1i64).to_be_bytes(), &0o644u32.to_be_bytes()].concat();
            [b"l", &numbers[..], &length(path), path, &length(extra), extra].concat()
        };
        let bytes = [record(b"a\n\xff", b"../x"), record(b"", b"")].concat();
        let entries: Vec<_> = Entries(&bytes).map(Result::unwrap).collect();
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].path, entries[0].extra, entries[0].mtime), (&b"a\n\xff"[..], &b"../x"[..], -1));
        let cut: Vec<_> = Entries(&bytes[..bytes.len() - 1]).collect();
        assert!(cut[0].is_ok() && cut[1].is_err() && cut.len() == 2);
    }
}
