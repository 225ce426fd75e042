//! Uploads a file or folder.
//!
//! The helper writes the parts. It is asked to turn a part into the file once all of it is acknowledged, and only if
//! the file here is still the one that was read.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;

use crate::transfer::connection::{Connection, TransferError};
use crate::transfer::engine::{self, Direction, Engine, FileTask, Options, Pair, Planner, Segment};
use crate::transfer::parts::{self, mtime_of};
use crate::transfer::protocol::{FileKind, FileStat, PIECE, PartName, Reply, Request};
use crate::transfer::remote_index::{RemoteIndex, part_of, uploads};
use crate::transfer::report::Report;
use crate::transfer::session::{Line, Session, refused, unexpected};
use crate::transfer::source::below;
use crate::transfer::walk::{LocalEntry, unreadable, walk};
use crate::transfer::{DISK_FULL, QUOTA, READ_ONLY, safe, shown};
use crate::util::error::fail;
use crate::util::regular_file;
use crate::util::ui::Ui;

/// The most requests and bytes that may be without an answer.
const AHEAD: (usize, u64) = (32, 4 << 20);

const NEWER: &str = "the file in the storage is newer; pass `--overwrite` to replace it";

struct Upload<'a> {
    engine: Engine<'a>,
    index: RemoteIndex,
}

/// An empty folder or a link. They are created last, so that the target of a link exists.
enum Extra {
    Folder { mode: u32, path: Vec<u8> },
    Link { target: Vec<u8>, path: Vec<u8> },
}

impl Extra {
    fn request(&self) -> (Request<'_>, &[u8]) {
        match self {
            Self::Folder { mode, path } => (Request::MakeFolder { mode: *mode, path }, path),
            Self::Link { target, path } => (Request::MakeLink { target, path }, path),
        }
    }
}

/// Uploads the file or folder `local` to the path `target`.
pub(crate) fn send(session: &Session, ui: &Ui, local: &Path, target: &[u8], options: Options) -> Result<Report> {
    let metadata = local.metadata().map_err(|e| unreadable(local, &e))?;
    let index = RemoteIndex::fetch(session, target)?;
    match index.entry(target) {
        Some((FileKind::Folder, ..)) if !metadata.is_dir() => {
            return Err(fail(format!("`{}` is a folder in the storage and a file here", shown(target))).into());
        }
        Some((kind, ..)) if kind != FileKind::Folder && metadata.is_dir() => {
            return Err(fail(format!("`{}` is a folder here, but not in the storage", shown(target)))
                .hint("name another path in the storage")
                .into());
        }
        _ => {}
    }
    let upload = Upload { engine: Engine::new(session, options, "sending", NEWER), index };
    let mut extras = Vec::new();
    engine::run(&upload, ui, |planner| upload.plan(planner, local, target, &mut extras))?;
    let mut line = Line::new(session);
    for extra in &extras {
        line.work(|connection| upload.make(connection, extra))?;
    }
    line.order(&Request::Sync, target)?;
    Ok(upload.engine.report)
}

impl Upload<'_> {
    fn plan(&self, planner: &mut Planner, local: &Path, target: &[u8], extras: &mut Vec<Extra>) -> Result<()> {
        let report = &self.engine.report;
        let name = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let failed = |path: &Path, words: &str| report.missed(&name(path), words);
        let each = |entry: LocalEntry| {
            let Some(under) = &entry.below else {
                failed(&entry.local, "its name is not valid Unicode");
                return Ok(true);
            };
            let path = below(target, under);
            if entry.metadata.is_file() {
                return Ok(self.plan_file(planner, &entry, path));
            }
            if entry.metadata.is_dir() {
                match self.index.entry(&path) {
                    None if entry.empty => extras.push(Extra::Folder { mode: mode_of(&entry.metadata), path }),
                    // the first file in a folder creates it
                    None | Some((FileKind::Folder, ..)) => {}
                    Some(_) => failed(&entry.local, "the storage has something other than a folder in its place"),
                }
            } else if entry.metadata.is_symlink() {
                extras.extend(self.plan_link(&entry.local, under, path));
            } else {
                report.left_out(&name(&entry.local), "not copied: a device, socket or FIFO");
            }
            Ok(true)
        };
        walk(local, each, failed)
    }

    fn plan_link(&self, local: &Path, under: &[u8], path: Vec<u8>) -> Option<Extra> {
        let target = std::fs::read_link(local).ok().and_then(|target| safe::bytes_of(target.as_os_str()));
        let words = match (target, self.index.entry(&path)) {
            (Some(target), None | Some((FileKind::Link, ..))) if safe::stays_within(under, &target) => {
                return Some(Extra::Link { target, path });
            }
            (Some(target), None | Some((FileKind::Link, ..))) => {
                format!("the link points to `{}`, outside of the upload", shown(&target))
            }
            _ => "the storage has something other than a link in its place".to_owned(),
        };
        self.engine.report.missed(&path, &words);
        None
    }

    fn plan_file(&self, planner: &mut Planner, entry: &LocalEntry, path: Vec<u8>) -> bool {
        let existing = match self.index.entry(&path) {
            Some((FileKind::File, size, mtime)) => Some((size, mtime)),
            Some((FileKind::Link | FileKind::Other, ..)) if self.engine.options.overwrite => None,
            None => None,
            Some(_) => {
                self.engine.report.missed(&path, "the storage has something other than a file in its place");
                return true;
            }
        };
        planner.file(FileTask::new(path, entry.local.clone(), stat_of(&entry.metadata)), existing)
    }

    fn make(&self, connection: &mut Connection, extra: &Extra) -> Result<(), TransferError> {
        let (request, path) = extra.request();
        connection.ask(&request)?;
        self.is_done(path, &connection.reply()?.1).map(|_| ())
    }

    /// Returns the source, or reports that it cannot be read.
    fn open(&self, task: &FileTask) -> Option<Arc<File>> {
        open(task).map_err(|error| self.unreadable(task, &error)).ok()
    }

    fn unreadable(&self, task: &FileTask, error: &io::Error) {
        if task.fail() {
            self.engine.report.missed(&task.remote, &format!("it can't be read: {error}"));
        }
    }

    /// Requests puts and finishes, as far ahead as allowed.
    fn ask_ahead(&self, connection: &mut Connection, batch: &VecDeque<Segment>, asked: &mut Asked) -> io::Result<()> {
        while asked.due.len() < AHEAD.0
            && asked.bytes < AHEAD.1
            && let Some(segment) = batch.get(asked.segments)
        {
            let task = &segment.task;
            let mut at = asked.at.unwrap_or(segment.at);
            // only the finish has no answer yet
            let is_sent = at == segment.end && at > 0 && is_unchanged(task);
            if !is_sent {
                let (id, bytes) = self.put(connection, segment, at, &mut asked.buffer)?;
                asked.due.push_back((id, Due::Put(bytes)));
                asked.bytes += bytes;
                at += bytes;
            }
            if at < segment.end {
                asked.at = Some(at);
                continue;
            }
            if is_sent || (is_one_put(segment) && is_unchanged(task)) {
                asked.due.push_back((ask_to_finish(connection, task)?, Due::Finish));
            }
            (asked.segments, asked.at) = (asked.segments + 1, None);
        }
        Ok(())
    }

    /// Sends the next bytes of a segment; returns the request's number, and how far it leads.
    fn put(
        &self,
        connection: &mut Connection,
        segment: &Segment,
        at: u64,
        buffer: &mut [u8],
    ) -> io::Result<(u32, u64)> {
        let (task, left) = (&segment.task, segment.end - at);
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = open(task).and_then(|file| parts::fill_at(&file, &mut buffer[..want], at));
        let read = read.unwrap_or_else(|error| {
            self.unreadable(task, &error);
            0
        });
        let id = connection.ask(&Request::Put { offset: at, part: &part(task), bytes: &buffer[..read] })?;
        // the rest of a file that became shorter is skipped: such a file is not finished
        Ok((id, if read == 0 { left } else { read as u64 }))
    }

    /// Takes an answer about the first segment of the batch; returns whether that segment is done.
    fn answered(
        &self,
        segment: &mut Segment,
        due: &Due,
        reply: &Reply,
        asked: &mut Asked,
    ) -> Result<bool, TransferError> {
        let task = &segment.task;
        match (due, reply) {
            (Due::Finish, reply) => self.finished(task, reply)?,
            (Due::Put(bytes), Reply::Done { .. }) => {
                segment.at += bytes;
                asked.bytes -= bytes;
                self.engine.moved(*bytes);
                if segment.at < segment.end || matches!(asked.due.front(), Some((_, Due::Finish))) {
                    return Ok(false);
                }
                if task.segment_done() {
                    self.engine.finish_next(task);
                }
            }
            (Due::Put(_), other) => return Err(unexpected(&uploads(), other)),
        }
        Ok(true)
    }

    fn finished(&self, task: &FileTask, reply: &Reply) -> Result<(), TransferError> {
        if self.is_done(&task.remote, reply)? {
            self.engine.report.file();
        }
        Ok(())
    }

    /// Returns whether a request about a path succeeded, and reports a refusal. A volume that takes no file at all ends
    /// all work.
    fn is_done(&self, path: &[u8], reply: &Reply) -> Result<bool, TransferError> {
        match *reply {
            Reply::Done { .. } => return Ok(true),
            Reply::Refused { errno: errno @ (DISK_FULL | QUOTA | READ_ONLY), words } => {
                return Err(refused(path, errno, words).into());
            }
            Reply::Refused { words, .. } => self.engine.report.missed(path, &String::from_utf8_lossy(words)),
            _ => return Err(unexpected(path, reply)),
        }
        Ok(false)
    }

    /// Reads a file again that changed, but not forever.
    fn resend(&self, task: &Arc<FileTask>) {
        if task.has_failed() {
            return;
        }
        match task.local.metadata() {
            Ok(metadata) if self.engine.read_again(task, stat_of(&metadata)) => {}
            Ok(_) => self.engine.report.missed(&task.remote, "not sent: the file kept changing while it was read"),
            Err(error) => self.unreadable(task, &error),
        }
    }
}

/// Requests without an answer.
#[derive(Default)]
struct Asked {
    due: VecDeque<(u32, Due)>,
    bytes: u64,
    /// The segments of the batch that are requested completely.
    segments: usize,
    /// How far the next segment is requested.
    at: Option<u64>,
    buffer: Vec<u8>,
}

/// What an answer will be about.
enum Due {
    Put(u64),
    Finish,
}

impl Direction for Upload<'_> {
    fn engine(&self) -> &Engine<'_> {
        &self.engine
    }

    fn existing(&self, task: &FileTask) -> Result<Option<Pair>> {
        let pair = |local| Pair { local, remote: task.remote.clone(), length: task.want().size };
        Ok(self.open(task).map(pair))
    }

    fn part(&self, task: &FileTask) -> Result<Option<Pair>> {
        let part = part(task);
        let pair = |local| Pair { local, remote: below(&uploads(), &part), length: self.index.part(&part) };
        Ok(self.open(task).map(pair))
    }

    fn hash_refused(&self, _: &FileTask, _: u32, _: &[u8]) -> bool {
        true
    }

    fn transfer(&self, connection: &mut Connection, batch: &mut VecDeque<Segment>) -> Result<(), TransferError> {
        let mut asked = Asked { buffer: vec![0; PIECE], ..Asked::default() };
        loop {
            self.ask_ahead(connection, batch, &mut asked)?;
            let (Some((id, due)), Some(segment)) = (asked.due.pop_front(), batch.front_mut()) else { return Ok(()) };
            if self.answered(segment, &due, &connection.answer(id)?, &mut asked)? {
                batch.pop_front();
                asked.segments -= 1;
            }
        }
    }

    fn finish(&self, line: &mut Line, task: &Arc<FileTask>, _: FileStat) -> Result<()> {
        if !is_unchanged(task) {
            self.resend(task);
            return Ok(());
        }
        line.work(|connection| {
            ask_to_finish(connection, task)?;
            self.finished(task, &connection.reply()?.1)
        })
    }
}

/// Whether a segment is a whole file that one put carries, so that its finish needs not wait for the answer. With
/// several puts, a retry would send only the rest into a new part, should just the answer to the finish be lost.
fn is_one_put(segment: &Segment) -> bool {
    segment.end <= PIECE as u64 && segment.end == segment.task.want().size
}

fn open(task: &FileTask) -> io::Result<Arc<File>> {
    task.file(|| regular_file::open(&task.local))
}

fn part(task: &FileTask) -> PartName {
    let want = task.want();
    part_of(&task.remote, want.size, want.mtime)
}

fn ask_to_finish(connection: &mut Connection, task: &FileTask) -> io::Result<u32> {
    let FileStat { size, mtime, mode, .. } = task.want();
    connection.ask(&Request::Finish { size, mtime, mode, part: &part(task), path: &task.remote })
}

/// Whether the file here is still the one that was read.
fn is_unchanged(task: &FileTask) -> bool {
    !task.has_failed() && task.local.metadata().is_ok_and(|now| stat_of(&now).has_same_content(&task.want()))
}

fn stat_of(metadata: &Metadata) -> FileStat {
    let mtime = metadata.modified().map_or(0, mtime_of);
    FileStat { size: metadata.len(), mtime, inode: 0, mode: mode_of(metadata) }
}

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode_of(metadata: &Metadata) -> u32 {
    if metadata.is_dir() { 0o755 } else { 0o644 }
}
