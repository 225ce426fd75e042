//! Frames between client and helper, specified at the top of `templates/helper.py`. Pure: works over anything that
//! reads and writes.

mod reply;
mod request;

use std::io::{self, Read, Write};

use sha2::{Digest, Sha256};

pub use reply::{Entries, Entry, FileKind, FileStat, Record, Records, Reply};
use reply::{Fields, decode};
pub use request::Request;

/// The secret that a client has to send first.
pub type Token = [u8; 32];

/// The name of a part of an upload: hexadecimal digits.
pub type PartName = [u8; 32];

/// The size of a block, the unit of comparison by sha256.
pub const BLOCK: u64 = 4 << 20;

/// The most bytes of a file in one frame.
pub const PIECE: usize = 512 << 10;

/// A frame's length, kind and sha256.
const HEAD: usize = 4 + 1 + 32;

/// Files of at most this size can be read many at a time.
pub const SMALL: u64 = 64 << 10;

/// The largest body of a frame.
const LARGEST: usize = 4 << 20;

/// Sends the greeting, which has no frame.
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

/// Reads frames and checks each against its sha256.
#[derive(Debug)]
pub struct Frames<R> {
    /// Where the frames come from.
    pub reader: R,
    body: Vec<u8>,
    /// Bytes of the complete frames.
    pub whole: u64,
}

impl<R: Read> Frames<R> {
    /// Reads frames from `reader`.
    pub fn new(reader: R) -> Self {
        Self { reader, body: Vec::new(), whole: 0 }
    }

    /// Returns the next answer with the number of its request.
    pub fn reply(&mut self) -> io::Result<(u32, Reply<'_>)> {
        // the helper sends `T` frames so that a long request is not taken for a dead connection
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
            return Err(wrong("a frame was damaged on the way"));
        }
        self.whole += HEAD as u64 + self.body.len() as u64;
        Ok(kind)
    }
}

/// Returns the error of an answer that does not fit the request.
pub(super) fn out_of_order() -> io::Error {
    wrong("an answer fits no request")
}

fn wrong(words: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, words)
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
