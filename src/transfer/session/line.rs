//! Work over one connection that is opened again whenever it is cut.

use std::io;
use std::sync::atomic::Ordering;

use anyhow::Result;

use crate::tools::retry::{Failures, REQUEST};
use crate::tools::shell::{interrupted, is_interrupted};
use crate::transfer::NOT_FOUND;
use crate::transfer::connection::{Connection, TransferError};
use crate::transfer::protocol::{Reply, Request};

use super::Session;
use super::errors::{cut, gave_up, unexpected};

/// Does work over one connection at a time, and over a new one after a cut.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    session: &'a Session,
    connection: Option<Connection>,
    /// Cuts in a row without progress of the session.
    failures: Failures,
}

impl<'a> Line<'a> {
    /// Opens no connection yet.
    pub(crate) fn new(session: &'a Session) -> Self {
        Self { session, connection: None, failures: Failures::default() }
    }

    /// Reads a file in verified pieces; `false` if there is no such file.
    pub(crate) fn read(&mut self, path: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let session = self.session;
        // bytes that were verified before a cut are not requested again
        let mut offset = 0;
        self.work(|connection| {
            connection.ask(&Request::Read { offset, length: u64::MAX >> 1, path })?;
            loop {
                match connection.reply()?.1 {
                    Reply::Piece { bytes, .. } => {
                        each(bytes).map_err(TransferError::Fatal)?;
                        offset += bytes.len() as u64;
                        session.advance(bytes.len() as u64);
                    }
                    Reply::Last { bytes, .. } => {
                        each(bytes).map_err(TransferError::Fatal)?;
                        return Ok(true);
                    }
                    Reply::Refused { errno: NOT_FOUND, .. } => return Ok(false),
                    other => return Err(unexpected(path, &other)),
                }
            }
        })
    }

    /// Sends a request that is answered by a count.
    pub(crate) fn order(&mut self, request: &Request, path: &[u8]) -> Result<u64> {
        self.work(|connection| {
            connection.ask(request)?;
            match connection.reply()?.1 {
                Reply::Done { count } => Ok(count),
                other => Err(unexpected(path, &other)),
            }
        })
    }

    /// Does `work`, again after each cut; `work` itself has to continue where it was.
    pub(crate) fn work<T>(&mut self, mut work: impl FnMut(&mut Connection) -> Result<T, TransferError>) -> Result<T> {
        loop {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                None => self.connection.insert(self.session.connect()?),
            };
            let result = work(connection);
            let tally = &self.session.tally;
            let wasted = connection.incomplete();
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(TransferError::Fatal(error)) => {
                    // answers to earlier requests may still arrive
                    self.connection = None;
                    return Err(error);
                }
                Err(TransferError::Cut(_)) if is_interrupted() => return Err(interrupted().into()),
                Err(TransferError::Cut(error)) => error,
            };
            self.connection = None;
            tally.cuts.fetch_add(1, Ordering::Relaxed);
            tally.wasted.fetch_add(wasted, Ordering::Relaxed);
            let failures = self.failures.note(tally.progress.load(Ordering::Relaxed));
            if REQUEST.is_over(failures) {
                return Err(gave_up(&cut(&error).into(), failures));
            }
            REQUEST.pause(failures, &self.session.maker.shell)?;
        }
    }
}

/// Writes all entries of a list into `into`.
pub(crate) fn gather(
    connection: &mut Connection,
    request: &Request,
    into: &mut impl io::Write,
) -> Result<(), TransferError> {
    let path = match request {
        Request::List { path, .. } | Request::Sums { path } => path,
        _ => &b""[..],
    };
    connection.ask(request)?;
    loop {
        match connection.reply()?.1 {
            Reply::Entries(entries) => {
                into.write_all(entries)
                    .map_err(|e| TransferError::Fatal(anyhow::anyhow!("failed to keep the list: {e}")))?;
            }
            Reply::End { .. } => return Ok(()),
            other => return Err(unexpected(path, &other)),
        }
    }
}
