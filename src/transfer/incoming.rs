//! A file on its way here, and how it is asked for.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::transfer::connection::{Connection, Trouble};
use crate::transfer::parts;
use crate::transfer::protocol::{Entry, FileStat, Request, SMALL};

/// Of small files, so many with so many bytes are asked for at once, by names of so many bytes.
const AT_ONCE: (usize, u64, usize) = (100, 1 << 20, 16 << 10);

/// A file on its way.
#[derive(Debug)]
pub(crate) struct Job {
    /// Where it is in the volume.
    pub(crate) remote: Vec<u8>,
    /// Where it belongs here.
    pub(crate) local: PathBuf,
    /// Its part.
    pub(crate) part: PathBuf,
    /// As it was listed, or seen last.
    pub(crate) want: Mutex<FileStat>,
    /// As it is now, if that is something else.
    pub(crate) seen: Mutex<FileStat>,
    /// How many ranges are under way.
    pub(crate) left: AtomicUsize,
    /// Whether it was another one when it was read.
    pub(crate) changed: AtomicBool,
    /// Whether less came than was asked for.
    pub(crate) short: AtomicBool,
    /// Whether it was given up.
    pub(crate) failed: AtomicBool,
    /// Whether its part may be of a former time.
    pub(crate) resumed: AtomicBool,
    /// How often it was begun anew.
    pub(crate) tries: AtomicU32,
    /// Its part, once that is open.
    pub(crate) file: Mutex<Option<Arc<File>>>,
}

/// A range of a file; `at` moves on with each verified piece.
#[derive(Debug)]
pub(crate) struct Piece {
    /// The file.
    pub(crate) job: Arc<Job>,
    /// Where it begins, or goes on.
    pub(crate) at: u64,
    /// Where it ends.
    pub(crate) end: u64,
}

/// What a mutex holds; what somebody left half-way is as good as whole here.
pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Job {
    /// The file of an entry.
    pub(crate) fn new(entry: &Entry, local: PathBuf, part: PathBuf) -> Arc<Self> {
        let want = FileStat { size: entry.size, mtime: entry.mtime, inode: 0, mode: entry.mode };
        Arc::new(Self {
            remote: entry.path.to_vec(),
            local,
            part,
            want: Mutex::new(want),
            seen: Mutex::new(want),
            left: AtomicUsize::new(1),
            changed: AtomicBool::new(false),
            short: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            resumed: AtomicBool::new(false),
            tries: AtomicU32::new(0),
            file: Mutex::new(None),
        })
    }

    /// As it should be.
    pub(crate) fn want(&self) -> FileStat {
        *locked(&self.want)
    }

    /// Its part, opened once.
    pub(crate) fn file(&self, anew: bool) -> io::Result<Arc<File>> {
        let mut file = locked(&self.file);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        Ok(Arc::clone(file.insert(Arc::new(parts::open(&self.part, anew)?))))
    }
}

/// Asks for the first of these pieces, or for as many as are small files; for how many.
pub(crate) fn ask<'a>(
    connection: &mut Connection,
    pieces: impl Iterator<Item = &'a Piece>,
) -> Result<(u32, usize), Trouble> {
    let (mut paths, mut bytes, mut names): (Vec<&[u8]>, u64, usize) = (Vec::new(), 0, 0);
    for piece in pieces {
        let (path, job) = (&piece.job.remote, &piece.job);
        if piece.end > SMALL || piece.at > 0 || piece.end != job.want().size {
            if paths.is_empty() {
                let (offset, length) = (piece.at, piece.end - piece.at);
                return Ok((connection.ask(&Request::Read { offset, length, path })?, 1));
            }
            break;
        }
        paths.push(path);
        bytes += piece.end;
        names += path.len();
        if paths.len() >= AT_ONCE.0 || bytes >= AT_ONCE.1 || names >= AT_ONCE.2 {
            break;
        }
    }
    Ok((connection.ask(&Request::ReadMany { paths: &paths })?, paths.len()))
}
