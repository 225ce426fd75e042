//! Moves files over several connections at once, in either direction.
//!
//! A planner fills the queue and workers empty it, each over its own connection. Small files move in batches. Of a
//! larger file, the blocks that are already there are compared, and only ranges that differ move. After a cut, a
//! segment continues at its last verified byte. A file that changes while it is read is read again.
//!
//! [`Direction`] is what differs between an upload and a download.

mod file_task;
mod queue;

use std::collections::VecDeque;
use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;

use crate::tools::shell::is_interrupted;
use crate::transfer::connection::{Connection, TransferError};
use crate::transfer::parts::{Comparison, same_time, segments, whole_blocks};
use crate::transfer::protocol::{BLOCK, FileStat, Reply, Request};
use crate::transfer::report::Report;
use crate::transfer::session::{Line, Session, unexpected};
use crate::util::error::fail;
use crate::util::ui::Ui;

pub(super) use file_task::{FileTask, Segment};
use queue::Queue;

/// A batch of small files ends at this many files or bytes.
const BATCH: (usize, u64) = (500, 16 << 20);

/// How often a file that changes while it is read is read again.
const REREADS: u32 = 2;

/// How files are moved.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Replace files that are newer at the destination.
    pub(crate) overwrite: bool,
    /// Compare contents, not only size and time.
    pub(crate) checksum: bool,
    /// The number of connections.
    pub(crate) parallel: usize,
}

/// What differs between an upload and a download.
pub(super) trait Direction: Sync {
    fn engine(&self) -> &Engine<'_>;

    /// Opens both sides of a file that exists at the destination; `None` if that failed and was reported.
    fn existing(&self, task: &FileTask) -> Result<Option<Pair>>;

    /// Opens the source and the part that an earlier attempt left; `None` if that failed and was reported.
    fn part(&self, task: &FileTask) -> Result<Option<Pair>>;

    /// Decides about a file of the volume that cannot be hashed: `true` moves all of it, `false` skips it.
    fn hash_refused(&self, task: &FileTask, errno: u32, words: &[u8]) -> bool;

    /// Moves the segments of a batch, and removes those that are done. After a cut, it is called again.
    fn transfer(&self, connection: &mut Connection, batch: &mut VecDeque<Segment>) -> Result<(), TransferError>;

    /// Turns a complete part into the file. `now` is the file in the volume as the comparison found it.
    fn finish(&self, line: &mut Line, task: &Arc<FileTask>, now: FileStat) -> Result<()>;
}

/// A local file and one in the volume, which agree in some blocks.
pub(super) struct Pair {
    pub(super) local: Arc<File>,
    pub(super) remote: Vec<u8>,
    /// How many bytes of the incomplete side there are.
    pub(super) length: u64,
}

#[derive(Debug)]
enum Work {
    /// Compare with the file at the destination, which has this modification time.
    Compare(Arc<FileTask>, i64),
    /// Find the ranges of a large file that are missing.
    Begin(Arc<FileTask>),
    Move(VecDeque<Segment>),
    Finish(Arc<FileTask>),
}

/// What both directions share.
pub(super) struct Engine<'a> {
    pub(super) session: &'a Session,
    pub(super) options: Options,
    pub(super) report: Report,
    queue: Queue<Work>,
    /// Names the direction on the progress line.
    progress: &'static str,
    /// Warns that the file at the destination is newer.
    newer: &'static str,
}

impl<'a> Engine<'a> {
    pub(super) fn new(session: &'a Session, options: Options, progress: &'static str, newer: &'static str) -> Self {
        let queue = Queue::new(2 * options.parallel);
        Self { session, options, report: Report::default(), queue, progress, newer }
    }

    /// Marks a file as finished whose segments have all moved.
    pub(super) fn finish_next(&self, task: &Arc<FileTask>) {
        // a whole batch may wait for this
        task.close();
        self.queue.next(Work::Finish(Arc::clone(task)));
    }

    /// Requests a file that changed to be read again as `now`; `false` if it changes too often.
    pub(super) fn read_again(&self, task: &Arc<FileTask>, now: FileStat) -> bool {
        let again = task.reread(now, REREADS);
        if again {
            self.queue.next(Work::Begin(Arc::clone(task)));
        }
        again
    }

    /// Counts verified bytes.
    pub(super) fn moved(&self, bytes: u64) {
        // an empty piece counts as progress too
        self.session.advance(1 + bytes);
        self.report.moved(bytes);
    }
}

/// Moves the files that `plan` gives to the planner.
pub(super) fn run(direction: &dyn Direction, ui: &Ui, plan: impl FnOnce(&mut Planner<'_>) -> Result<()>) -> Result<()> {
    let Engine { queue, report, options, progress, .. } = direction.engine();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.parallel).map(|_| scope.spawn(|| work(direction))).collect();
        scope.spawn(|| report.show(ui, progress, &over));
        let mut planner = Planner { direction, batch: VecDeque::new(), bytes: 0 };
        if let Err(error) = plan(&mut planner) {
            queue.give_up(error);
        }
        planner.end_batch();
        queue.planned();
        for worker in workers {
            drop(worker.join());
        }
        over.store(true, Ordering::Relaxed);
    });
    // messages about single files are kept if the rest fails
    queue.end().inspect_err(|_| report.tell(ui, progress, &direction.engine().session.tally))
}

/// Decides what a file needs, and queues it.
pub(super) struct Planner<'a> {
    direction: &'a dyn Direction,
    batch: VecDeque<Segment>,
    bytes: u64,
}

impl Planner<'_> {
    /// Plans a file. `existing` is the size and time of a file at the destination. Returns `false` once all work has
    /// failed.
    pub(super) fn file(&mut self, task: Arc<FileTask>, existing: Option<(u64, i64)>) -> bool {
        let Engine { options, report, queue, newer, .. } = self.direction.engine();
        let want = task.want();
        if let Some((size, mtime)) = existing {
            if size == want.size && options.checksum {
                return queue.plan(Work::Compare(task, mtime));
            }
            if size == want.size && same_time(mtime, want.mtime) {
                report.there();
                return !queue.is_over() && !is_interrupted();
            }
            if mtime > want.mtime && !options.overwrite {
                report.missed(&task.remote, newer);
                return !queue.is_over() && !is_interrupted();
            }
        }
        report.want(want.size);
        if want.size > BLOCK {
            return queue.plan(Work::Begin(task));
        }
        self.batch.push_back(Segment { task, at: 0, end: want.size });
        self.bytes += want.size;
        if self.batch.len() < BATCH.0 && self.bytes < BATCH.1 { true } else { self.end_batch() }
    }

    fn end_batch(&mut self) -> bool {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        batch.is_empty() || self.direction.engine().queue.plan(Work::Move(batch))
    }
}

fn work(direction: &dyn Direction) {
    let Engine { session, queue, .. } = direction.engine();
    let mut line = Line::new(session);
    queue.work(|work| match work {
        Work::Compare(task, mtime) => compare(direction, &mut line, &task, mtime),
        Work::Begin(task) => begin(direction, &mut line, &task),
        Work::Move(mut batch) => line.work(|connection| direction.transfer(connection, &mut batch)),
        Work::Finish(task) => direction.finish(&mut line, &task, task.want()),
    });
}

/// Compares a file with the one at the destination, of time `mtime`, and moves what differs.
fn compare(direction: &dyn Direction, line: &mut Line, task: &Arc<FileTask>, mtime: i64) -> Result<()> {
    let Engine { options, report, newer, .. } = direction.engine();
    let Some(pair) = direction.existing(task)? else { return Ok(()) };
    let want = task.want();
    match differences(direction, line, task, &pair)? {
        None => return Ok(()),
        Some((missing, _)) if missing.is_empty() => report.there(),
        Some(_) if mtime > want.mtime && !options.overwrite => report.missed(&task.remote, newer),
        Some(_) => {
            report.want(want.size);
            return begin(direction, line, task);
        }
    }
    Ok(())
}

/// Keeps what an earlier attempt left of a file, and queues the rest.
fn begin(direction: &dyn Direction, line: &mut Line, task: &Arc<FileTask>) -> Result<()> {
    let Engine { report, queue, .. } = direction.engine();
    let Some(mut pair) = direction.part(task)? else { return Ok(()) };
    let size = task.want().size;
    pair.length = (whole_blocks(pair.length, size) * BLOCK).min(size);
    let Some((mut missing, now)) = differences(direction, line, task, &pair)? else { return Ok(()) };
    report.found(size - missing.iter().map(|range| range.end - range.start).sum::<u64>());
    if missing.is_empty() && size > 0 {
        task.split_into(1);
        return direction.finish(line, task, now);
    }
    if missing.is_empty() {
        missing.push(0..0);
    }
    task.split_into(missing.len());
    for range in missing.into_iter().rev() {
        let segment = Segment { task: Arc::clone(task), at: range.start, end: range.end };
        queue.next(Work::Move([segment].into()));
    }
    Ok(())
}

/// Ranges of a file, and its state in the volume.
type Differences = (Vec<Range<u64>>, FileStat);

/// Returns which ranges of a file are missing or differ, and how the file in the volume is after the comparison; `None`
/// if the file was given up.
fn differences(
    direction: &dyn Direction,
    line: &mut Line,
    task: &FileTask,
    pair: &Pair,
) -> Result<Option<Differences>> {
    let want = task.want();
    if pair.length == 0 {
        return Ok(Some((segments(0..want.size).collect(), want)));
    }
    line.work(|connection| {
        let mut comparison = Comparison::new(&pair.local, want.size);
        connection.ask(&Request::Hash { offset: 0, length: pair.length, path: &pair.remote })?;
        loop {
            match connection.reply()?.1 {
                Reply::Digests(digests) => {
                    let failed = |e| fail(format!("failed to read `{}`: {e}", task.local.display()));
                    comparison.compare(digests).map_err(failed)?;
                }
                Reply::Last { state, .. } => return Ok(Some((comparison.missing(), state))),
                Reply::Refused { errno, words } => {
                    let moves = direction.hash_refused(task, errno, words);
                    return Ok(moves.then(|| (comparison.missing(), want)));
                }
                other => return Err(unexpected(&pair.remote, &other)),
            }
        }
    })
}
