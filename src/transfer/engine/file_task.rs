//! A file that moves, and the ranges it moves in.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::transfer::protocol::FileStat;

/// A file that moves. Several connections may work on it.
#[derive(Debug)]
pub(crate) struct FileTask {
    /// The path in the volume.
    pub(crate) remote: Vec<u8>,
    /// The path on this machine.
    pub(crate) local: PathBuf,
    /// The file at the source, as last seen before it was read.
    want: Mutex<FileStat>,
    change: Mutex<Option<Change>>,
    segments_left: AtomicUsize,
    rereads: AtomicU32,
    failed: AtomicBool,
    /// The local file that is read or written, once it is open.
    file: Mutex<Option<Arc<File>>>,
}

/// A change of a file while it was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change {
    /// The file after the change.
    pub(crate) now: FileStat,
    /// Fewer bytes came than were asked for.
    pub(crate) short: bool,
}

/// A range of a file. `at` moves on with each verified piece, so that a retry continues there.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) task: Arc<FileTask>,
    pub(crate) at: u64,
    pub(crate) end: u64,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl FileTask {
    pub(crate) fn new(remote: Vec<u8>, local: PathBuf, want: FileStat) -> Arc<Self> {
        Arc::new(Self {
            remote,
            local,
            want: Mutex::new(want),
            change: Mutex::default(),
            segments_left: AtomicUsize::new(1),
            rereads: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            file: Mutex::default(),
        })
    }

    pub(crate) fn want(&self) -> FileStat {
        *locked(&self.want)
    }

    /// Returns the local file, which `open` opens the first time.
    pub(crate) fn file(&self, open: impl FnOnce() -> io::Result<File>) -> io::Result<Arc<File>> {
        let mut file = locked(&self.file);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        Ok(Arc::clone(file.insert(Arc::new(open()?))))
    }

    pub(crate) fn close(&self) {
        *locked(&self.file) = None;
    }

    pub(super) fn split_into(&self, segments: usize) {
        self.segments_left.store(segments, Ordering::SeqCst);
    }

    /// Counts a segment as done; `true` if it was the last one.
    pub(crate) fn segment_done(&self) -> bool {
        self.segments_left.fetch_sub(1, Ordering::SeqCst) == 1
    }

    /// Gives the file up; `true` the first time.
    pub(crate) fn fail(&self) -> bool {
        !self.failed.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    pub(crate) fn note_change(&self, now: FileStat, short: bool) {
        let mut change = locked(&self.change);
        let short = short || change.is_some_and(|before| before.short);
        *change = Some(Change { now, short });
    }

    pub(crate) fn take_change(&self) -> Option<Change> {
        locked(&self.change).take()
    }

    /// Wants the file as it is `now`; `false` after `most` times.
    pub(super) fn reread(&self, now: FileStat, most: u32) -> bool {
        if self.rereads.fetch_add(1, Ordering::SeqCst) >= most {
            return false;
        }
        *locked(&self.want) = now;
        self.close();
        true
    }
}
