//! An image's key: the same inputs have the same one on every machine, so that an image which is
//! in the registry already is neither built nor pushed.

use std::fmt;
use std::io::{self, Write};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::image::context::{ContextSpec, Open, last, write_tar};
use crate::k8s::names::base32;
use crate::util::error::fail;

/// Counted up when the same inputs come to mean another image; all images are then built once more.
const FORMAT: &str = "mrunner image 2";

/// 100 bits: two of a million images share a key once in 10^18 times.
const LENGTH: usize = 20;

/// What has gathered before it is passed on.
const GATHERED: usize = 256 * 1024;

/// A hash over the build context, the platform and the build's settings.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(String);

impl Key {
    /// The key of the image that `spec` would make. Reads each file once.
    pub fn of(spec: &ContextSpec, open: Open<'_>) -> Result<Self> {
        let mut hashing = HashingWriter::new(spec, io::sink());
        write_tar(spec, open, &mut hashing)?;
        Ok(hashing.finish().0)
    }

    /// The tag that names what is in the image: `t-` and the key.
    pub fn tag(&self) -> String {
        format!("t-{}", self.0)
    }

    /// The key's characters: lower-case letters and digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Sends the build context, and its end only if what was sent has the key `expected`.
///
/// The Dockerfile and the end of the tar, which come last, are held back until then. On an error the
/// caller stops the reader; should that come too late, or nobody be there any more to do it, what it
/// has is no context to build.
pub fn send(spec: &ContextSpec, open: Open<'_>, expected: &Key, out: &mut dyn Write) -> Result<()> {
    let mut hashing = HashingWriter::new(spec, HoldingBack::new(out, last(spec)));
    write_tar(spec, open, &mut hashing)?;
    let (key, held) = hashing.finish();
    if key != *expected {
        return Err(fail("the folder changed while it was sent").hint("run the same command again").into());
    }
    held.release().context("failed to send the build context")
}

/// Hashes what is written on its way to another writer.
pub struct HashingWriter<W> {
    hash: Sha256,
    out: W,
}

impl<W: Write> HashingWriter<W> {
    /// Starts with what `spec` says beside the context itself.
    pub fn new(spec: &ContextSpec, out: W) -> Self {
        let mut hash = Sha256::new();
        for part in [FORMAT, &spec.platform].into_iter().chain(spec.settings.iter().map(String::as_str)) {
            // the length goes first, so that no two lists read alike
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.update(u64::MAX.to_le_bytes());
        Self { hash, out }
    }

    /// The key of what was written, and the writer behind.
    pub fn finish(self) -> (Key, W) {
        (Key(base32(&self.hash.finalize(), LENGTH)), self.out)
    }
}

impl<W: Write> Write for HashingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Passes on what is written in large pieces, but never the last bytes of it.
struct HoldingBack<'a> {
    out: &'a mut dyn Write,
    held: usize,
    gathered: Vec<u8>,
}

impl<'a> HoldingBack<'a> {
    fn new(out: &'a mut dyn Write, held: usize) -> Self {
        Self { out, held, gathered: Vec::with_capacity(GATHERED + held) }
    }

    fn release(self) -> io::Result<()> {
        self.out.write_all(&self.gathered)?;
        self.out.flush()
    }
}

impl Write for HoldingBack<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = GATHERED + self.held - self.gathered.len();
        let taken = bytes.len().min(room);
        self.gathered.extend_from_slice(&bytes[..taken]);
        if taken == room {
            self.out.write_all(&self.gathered[..GATHERED])?;
            self.gathered.drain(..GATHERED);
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
