//! What is in a folder of the volume, all of it known before anything moves.

use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom};

use anyhow::{Context, Result};
use tempfile::SpooledTempFile;

use crate::transfer::connection::Trouble;
use crate::transfer::protocol::{Entries, Entry, Request};
use crate::transfer::session::{Line, Session, gather};

/// Up to this much is kept in memory, and a longer list in a file that has no name.
const IN_MEMORY: usize = 4 << 20;

/// The entries below a path, that itself first, each folder's together.
#[derive(Debug)]
pub(crate) struct Manifest {
    list: BufReader<SpooledTempFile>,
    record: Vec<u8>,
}

impl Manifest {
    /// Asks for it; all that is below the path if it is to be `deep`.
    pub(crate) fn fetch(session: &Session, path: &[u8], deep: bool) -> Result<Self> {
        let mut list = tempfile::spooled_tempfile(IN_MEMORY);
        Line::new(session).work(|connection| {
            // a list that was cut begins anew: half of one says nothing
            list = tempfile::spooled_tempfile(IN_MEMORY);
            let mut out = BufWriter::with_capacity(64 << 10, &mut list);
            gather(connection, &Request::List { deep, path }, &mut out)?;
            io::Write::flush(&mut out).context("failed to keep the list").map_err(Trouble::Fatal)
        })?;
        let mut manifest = Self { list: BufReader::new(list), record: Vec::new() };
        manifest.rewind()?;
        Ok(manifest)
    }

    /// Begins anew.
    pub(crate) fn rewind(&mut self) -> Result<()> {
        self.list.seek(SeekFrom::Start(0)).context("failed to read the list")?;
        Ok(())
    }

    /// The next entry.
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
