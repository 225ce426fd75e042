//! Downloads a file or folder.
//!
//! Parts are written here, in a folder beside the files. A part becomes the file once every segment has arrived, and
//! only if the file in the volume was one and the same for all of them.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;

use crate::transfer::connection::{Connection, TransferError};
use crate::transfer::destination::{
    Destination, Gate, destination, is_full, links, local_failure, set_mode, strip, usable,
};
use crate::transfer::engine::{self, Direction, Engine, FileTask, Options, Pair, Planner, Segment};
use crate::transfer::manifest::Manifest;
use crate::transfer::parts::{self, Parts};
use crate::transfer::protocol::{Entry, FileKind, FileStat, Record, Reply, Request, SMALL, out_of_order};
use crate::transfer::report::Report;
use crate::transfer::safe::{self, Cases, Folders};
use crate::transfer::session::{Line, Session};
use crate::transfer::{NOT_FOUND, shown};
use crate::util::error::{Fail, fail};
use crate::util::regular_file;
use crate::util::ui::Ui;

/// The most requests, and about the most files, that may be without an answer.
const AHEAD: (usize, usize) = (4, 200);

/// One request is for at most this many small files, bytes and bytes of names.
const AT_ONCE: (usize, u64, usize) = (100, 1 << 20, 16 << 10);

const NEWER: &str = "the file here is newer; pass `--overwrite` to replace it";

struct Download<'a> {
    engine: Engine<'a>,
    source: &'a [u8],
    to: Destination,
    parts: Parts,
}

/// Downloads `source` to `wanted`: the folder that a folder becomes; for a file, its new name or the folder that it
/// is put into. Returns the path here.
pub(crate) fn fetch(
    session: &Session,
    ui: &Ui,
    source: &[u8],
    wanted: &Path,
    options: Options,
) -> Result<(Report, PathBuf)> {
    let mut manifest = Manifest::fetch(session, source, true)?;
    let Some(first) = manifest.entry()? else {
        return Err(fail(format!("the storage does not list `{}`", shown(source))).into());
    };
    let to = destination(&first, source, wanted)?;
    let top = to.top.strip_prefix(".").unwrap_or(&to.top);
    let place = to.file.as_ref().map_or_else(|| to.top.clone(), |name| top.join(safe::local(name).unwrap_or_default()));
    std::fs::create_dir_all(&to.top).map_err(|e| usable(&to.top, &e))?;
    let parts = Parts::make(&to.top)?;
    let ignores_case = safe::ignores_case(parts.folder()).map_err(|e| local_failure(&to.top, &e))?;
    let gate = || Gate { cases: ignores_case.then(Cases::default), refused: Vec::new() };
    let download = Download { engine: Engine::new(session, options, "fetching", NEWER), source, to, parts };
    engine::run(&download, ui, |planner| download.plan(planner, &mut manifest, &mut gate()))?;
    let Download { engine: Engine { report, .. }, to, parts, .. } = download;
    links(&mut manifest, &mut gate(), source, &to, &report)?;
    if !report.is_incomplete() {
        parts.clear();
    }
    Ok((report, place))
}

impl Download<'_> {
    /// Returns the path of an entry below the top.
    fn below<'b>(&'b self, path: &'b [u8]) -> &'b [u8] {
        match &self.to.file {
            Some(name) => name,
            None => strip(self.source, path),
        }
    }

    fn plan(&self, planner: &mut Planner, manifest: &mut Manifest, gate: &mut Gate) -> Result<()> {
        let mut folders = Folders::below(&self.to.top);
        manifest.rewind()?;
        while let Some(entry) = manifest.entry()? {
            let Some(local) = self.admit(&entry, gate) else { continue };
            let folder = if entry.kind == FileKind::Folder { Some(&*local) } else { local.parent() };
            if let Err(error) = folder.map_or(Ok(()), |folder| folders.make(folder)) {
                if is_full(&error) {
                    return Err(local_failure(&self.to.top, &error).into());
                }
                self.engine.report.missed(entry.path, &error.to_string());
                gate.refused.extend((entry.kind == FileKind::Folder).then(|| self.below(entry.path).to_vec()));
            } else if entry.kind == FileKind::File && !self.plan_file(planner, &entry, &local) {
                break;
            }
        }
        Ok(())
    }

    /// Returns the path of an entry below the top; `None` if it is not made here, which is reported.
    fn admit(&self, entry: &Entry, gate: &mut Gate) -> Option<PathBuf> {
        let report = &self.engine.report;
        let below = self.below(entry.path);
        if below.is_empty() && entry.kind == FileKind::Folder {
            return None;
        }
        match (entry.kind, gate.admit(below, entry.kind)) {
            (_, Err("")) => {}
            (FileKind::Failed, _) => report.missed(entry.path, &String::from_utf8_lossy(entry.extra)),
            (FileKind::Other, _) => report.left_out(entry.path, "not copied: a device, socket or FIFO"),
            (_, Err(words)) => report.missed(entry.path, words),
            (_, Ok(local)) => return Some(local),
        }
        None
    }

    fn plan_file(&self, planner: &mut Planner, entry: &Entry, local: &Path) -> bool {
        let local = self.to.top.join(local);
        let existing = match local.symlink_metadata() {
            Ok(found) if found.is_file() => Some((found.len(), found.modified().map_or(0, parts::mtime_of))),
            Ok(found) if found.is_dir() => {
                self.engine.report.missed(entry.path, "a folder is in its place here");
                return true;
            }
            Ok(_) if !self.engine.options.overwrite => {
                let words = "a link or special file is in its place here; pass `--overwrite` to replace it";
                self.engine.report.missed(entry.path, words);
                return true;
            }
            _ => None,
        };
        let want = FileStat { size: entry.size, mtime: entry.mtime, inode: 0, mode: entry.mode };
        planner.file(FileTask::new(entry.path.to_vec(), local, want), existing)
    }

    fn part_of(&self, task: &FileTask) -> PathBuf {
        self.parts.of(self.below(&task.remote))
    }

    fn failed(&self, error: &io::Error) -> Fail {
        local_failure(&self.to.top, error)
    }

    /// Takes the next answer to a request for `most` segments at the front of `batch`; returns how many are done.
    fn answered(&self, batch: &mut VecDeque<Segment>, reply: Reply, most: usize) -> Result<usize, TransferError> {
        let Reply::Many(mut records) = reply else {
            let segment = batch.front_mut().ok_or_else(out_of_order)?;
            let done = self.take(segment, &reply)?;
            return Ok(batch.drain(..usize::from(done)).count());
        };
        let mut done = 0;
        while let Some(Record { errno, state, bytes }) = records.take()? {
            let segment = batch.front_mut().filter(|_| done < most).ok_or_else(out_of_order)?;
            // of a file that has grown, no more is read than was requested
            let room = usize::try_from(segment.end).unwrap_or(usize::MAX);
            let whole = Reply::Last { state, offset: 0, bytes: &bytes[..bytes.len().min(room)] };
            self.take(segment, &if errno == 0 { whole } else { Reply::Refused { errno, words: bytes } })?;
            batch.pop_front();
            done += 1;
        }
        Ok(done)
    }

    /// Takes an answer about a segment; returns whether it was the last one.
    fn take(&self, segment: &mut Segment, reply: &Reply) -> Result<bool, TransferError> {
        let fits = |offset: u64, bytes: &[u8]| offset == segment.at && bytes.len() as u64 <= segment.end - segment.at;
        match *reply {
            Reply::Piece { offset, bytes } if fits(offset, bytes) => {
                self.write(segment, bytes)?;
                return Ok(false);
            }
            Reply::Last { offset, bytes, state } if fits(offset, bytes) => {
                self.write(segment, bytes)?;
                self.arrived(segment, state)?;
            }
            Reply::Refused { errno, words } => self.refused(&segment.task, errno, words),
            _ => return Err(out_of_order().into()),
        }
        Ok(true)
    }

    fn write(&self, segment: &mut Segment, bytes: &[u8]) -> Result<(), Fail> {
        let task = &segment.task;
        // nothing of an earlier attempt is kept for a file that comes as a whole
        let anew = segment.at == 0 && segment.end == task.want().size;
        let file = task.file(|| parts::open(&self.part_of(task), anew));
        file.and_then(|file| parts::write_at(&file, bytes, segment.at)).map_err(|e| self.failed(&e))?;
        segment.at += bytes.len() as u64;
        self.engine.moved(bytes.len() as u64);
        Ok(())
    }

    /// Gives up a file that the helper cannot read.
    fn refused(&self, task: &FileTask, errno: u32, words: &[u8]) {
        if task.fail() {
            let words = String::from_utf8_lossy(words);
            let words = if errno == NOT_FOUND { "the file was removed from the storage meanwhile" } else { &words };
            self.engine.report.missed(&task.remote, words);
        }
        task.segment_done();
    }

    /// Ends a segment. With the last one, the file is complete.
    fn arrived(&self, segment: &Segment, now: FileStat) -> Result<(), Fail> {
        let task = &segment.task;
        let want = task.want();
        let short = segment.at < segment.end;
        if short || !now.has_same_content(&want) {
            task.note_change(now, short);
        }
        if !task.segment_done() || task.has_failed() {
            return Ok(());
        }
        let Some(change) = task.take_change() else { return self.place(task, want) };
        if self.engine.read_again(task, change.now) {
            return Ok(());
        }
        self.engine
            .report
            .missed(&task.remote, "the file kept changing while it was read: the copy mixes several versions");
        // a file that grows is valid up to its old size; one that shrinks is not
        if change.short { Ok(()) } else { self.place(task, want) }
    }

    /// Turns the part into the file.
    fn place(&self, task: &FileTask, want: FileStat) -> Result<(), Fail> {
        let part = self.part_of(task);
        let file = task.file(|| parts::open(&part, false)).and_then(|file| {
            // an earlier attempt may have left a longer part
            if file.metadata()?.len() != want.size {
                file.set_len(want.size)?;
            }
            set_mode(&file, want.mode)?;
            file.set_modified(parts::time_of(want.mtime))
        });
        task.close();
        match file.and_then(|()| std::fs::rename(&part, &task.local)) {
            Ok(()) => self.engine.report.file(),
            Err(error) if is_full(&error) => return Err(self.failed(&error)),
            Err(error) => self.engine.report.missed(&task.remote, &format!("failed to move it into place: {error}")),
        }
        Ok(())
    }
}

impl Direction for Download<'_> {
    fn engine(&self) -> &Engine<'_> {
        &self.engine
    }

    fn existing(&self, task: &FileTask) -> Result<Option<Pair>> {
        match regular_file::open(&task.local) {
            Ok(file) => Ok(Some(Pair { local: Arc::new(file), remote: task.remote.clone(), length: task.want().size })),
            Err(error) => {
                let words = format!("failed to read the file in its place here: {error}");
                self.engine.report.missed(&task.remote, &words);
                Ok(None)
            }
        }
    }

    fn part(&self, task: &FileTask) -> Result<Option<Pair>> {
        let local = task.file(|| parts::open(&self.part_of(task), false)).map_err(|e| self.failed(&e))?;
        let length = local.metadata().map_err(|e| self.failed(&e))?.len();
        Ok(Some(Pair { local, remote: task.remote.clone(), length }))
    }

    fn hash_refused(&self, task: &FileTask, errno: u32, words: &[u8]) -> bool {
        self.refused(task, errno, words);
        false
    }

    fn transfer(&self, connection: &mut Connection, batch: &mut VecDeque<Segment>) -> Result<(), TransferError> {
        // the number of each request, and how many segments it is for
        let mut asked: VecDeque<(u32, usize)> = VecDeque::new();
        let mut ahead = 0;
        loop {
            while ahead < batch.len() && (asked.is_empty() || (asked.len() < AHEAD.0 && ahead < AHEAD.1)) {
                let (id, count) = ask(connection, batch.range(ahead..))?;
                asked.push_back((id, count));
                ahead += count;
            }
            let Some((id, left)) = asked.front_mut() else { return Ok(()) };
            let done = self.answered(batch, connection.answer(*id)?, *left)?;
            *left -= done;
            ahead -= done;
            if *left == 0 {
                asked.pop_front();
            }
        }
    }

    fn finish(&self, _: &mut Line, task: &Arc<FileTask>, now: FileStat) -> Result<()> {
        Ok(self.arrived(&Segment { task: Arc::clone(task), at: 0, end: 0 }, now)?)
    }
}

/// Asks for the first of these segments, or for as many as are whole small files; returns the request's number, and
/// for how many segments it is.
fn ask<'a>(
    connection: &mut Connection,
    segments: impl Iterator<Item = &'a Segment>,
) -> Result<(u32, usize), TransferError> {
    let (mut paths, mut bytes, mut names): (Vec<&[u8]>, u64, usize) = (Vec::new(), 0, 0);
    for segment in segments {
        let (path, at, end) = (&segment.task.remote, segment.at, segment.end);
        if end > SMALL || at > 0 || end != segment.task.want().size {
            if paths.is_empty() {
                return Ok((connection.ask(&Request::Read { offset: at, length: end - at, path })?, 1));
            }
            break;
        }
        paths.push(path);
        bytes += end;
        names += path.len();
        if paths.len() >= AT_ONCE.0 || bytes >= AT_ONCE.1 || names >= AT_ONCE.2 {
            break;
        }
    }
    Ok((connection.ask(&Request::ReadMany { paths: &paths })?, paths.len()))
}
