//! The list of a folder in the volume, complete before anything moves.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use tempfile::SpooledTempFile;

use crate::transfer::connection::TransferError;
use crate::transfer::protocol::{Entries, Entry, Request};
use crate::transfer::session::{Line, Session, gather};

/// A longer list is kept in an unnamed temporary file.
const IN_MEMORY: usize = 4 << 20;

/// The entries at and below a path: itself first, then the entries of each folder together.
#[derive(Debug)]
pub(crate) struct Manifest {
    list: BufReader<SpooledTempFile>,
    record: Vec<u8>,
}

impl Manifest {
    /// Lists a path, with all levels below if `deep`.
    pub(crate) fn fetch(session: &Session, path: &[u8], deep: bool) -> Result<Self> {
        let mut list = tempfile::spooled_tempfile(IN_MEMORY);
        Line::new(session).work(|connection| {
            // a list that was cut is fetched again from its beginning
            list = tempfile::spooled_tempfile(IN_MEMORY);
            let mut out = BufWriter::with_capacity(64 << 10, &mut list);
            gather(connection, &Request::List { deep, path }, &mut out)?;
            io::Write::flush(&mut out).context("failed to keep the list").map_err(TransferError::Fatal)
        })?;
        let mut manifest = Self { list: BufReader::new(list), record: Vec::new() };
        manifest.rewind()?;
        Ok(manifest)
    }

    /// Starts over at the first entry.
    pub(crate) fn rewind(&mut self) -> Result<()> {
        self.list.seek(SeekFrom::Start(0)).context("failed to read the list")?;
        Ok(())
    }

    /// Returns the next entry.
    pub(crate) fn entry(&mut self) -> Result<Option<Entry<'_>>> {
        self.read().context("failed to read the list")
    }

    fn read(&mut self) -> io::Result<Option<Entry<'_>>> {
        // kind, size, mtime, mode; then two lengths with what they are of
        self.record.resize(1 + 8 + 8 + 4, 0);
        match self.list.read_exact(&mut self.record[..1]) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        self.list.read_exact(&mut self.record[1..])?;
        for _ in 0..2 {
            let mut length = [0; 2];
            self.list.read_exact(&mut length)?;
            self.record.extend_from_slice(&length);
            let at = self.record.len();
            self.record.resize(at + usize::from(u16::from_be_bytes(length)), 0);
            self.list.read_exact(&mut self.record[at..])?;
        }
        Entries(&self.record).next().transpose()
    }
}
