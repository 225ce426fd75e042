//! From the volume to this machine.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;

use crate::transfer::connection::{Connection, Trouble};
use crate::transfer::incoming::{Job, Piece, ask, locked};
use crate::transfer::landing::{
    Destination, Gate, destination, is_full, links, local_failure, set_mode, strip, usable,
};
use crate::transfer::manifest::Manifest;
use crate::transfer::parts::{self, Comparison, Parts, segments};
use crate::transfer::protocol::{BLOCK, FileStat, Kind, Record, Reply, Request};
use crate::transfer::queue::Queue;
use crate::transfer::report::Report;
use crate::transfer::safe::{self, Cases, Folders};
use crate::transfer::session::{Line, Session, unexpected};
use crate::transfer::{NOT_FOUND, shown};
use crate::util::error::{Fail, fail};
use crate::util::regular_file;
use crate::util::ui::Ui;

/// Small files are fetched together, up to so many and so much.
const BATCH: (usize, u64) = (500, 16 << 20);

/// So many requests, and about so many files, are under way at a time.
const AHEAD: usize = 4;
const MANY: usize = 200;

/// A file that changes while it is read is read so often again.
const AGAIN: u32 = 2;

/// How it is done.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// Replace also what is newer on the other side.
    pub(crate) overwrite: bool,
    /// Compare contents, not only size and time.
    pub(crate) checksum: bool,
    /// How many connections.
    pub(crate) parallel: usize,
}

#[derive(Debug)]
enum Work {
    /// Look whether a file that is there is the same.
    Compare(Arc<Job>),
    /// See what is here of a large file.
    Begin(Arc<Job>),
    /// Fetch.
    Pieces(VecDeque<Piece>),
}

/// A download at work.
struct Download<'a> {
    session: &'a Session,
    options: Options,
    source: &'a [u8],
    to: Destination,
    parts: Parts,
    queue: Queue<Work>,
    report: Report,
}

/// Fetches `source` to `wanted`: the folder that a folder becomes; for a file, its new name or the folder
/// that it is put into.
pub(crate) fn fetch(
    session: &Session,
    ui: &Ui,
    source: &[u8],
    wanted: &Path,
    options: Options,
) -> Result<(Report, PathBuf)> {
    let mut manifest = Manifest::fetch(session, source, true)?;
    let Some(first) = manifest.entry()? else {
        return Err(fail(format!("the storage does not show `{}`", shown(source))).into());
    };
    let to = destination(&first, source, wanted)?;
    let top = to.top.strip_prefix(".").unwrap_or(&to.top);
    let place = to.file.as_ref().map_or_else(|| to.top.clone(), |name| top.join(safe::local(name).unwrap_or_default()));
    std::fs::create_dir_all(&to.top).map_err(|e| usable(&to.top, &e))?;
    let parts = Parts::make(&to.top)?;
    let cases = safe::ignores_case(parts.folder()).map_err(|e| local_failure(&to.top, &e))?.then(Cases::default);
    let mut gate = Gate { cases, refused: Vec::new() };
    let queue = Queue::new(2 * options.parallel);
    let download = Download { session, options, source, to, parts, queue, report: Report::default() };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.parallel).map(|_| scope.spawn(|| download.worker())).collect();
        scope.spawn(|| download.report.show(ui, "fetching", &over));
        if let Err(error) = download.plan(&mut manifest, &mut gate) {
            download.queue.give_up(error);
        }
        download.queue.planned();
        for worker in workers {
            drop(worker.join());
        }
        over.store(true, Ordering::Relaxed);
    });
    let Download { queue, report, parts, to, .. } = download;
    queue.end()?;
    links(
        &mut manifest,
        &mut Gate { cases: gate.cases.map(|_| Cases::default()), refused: Vec::new() },
        source,
        &to,
        &report,
    )?;
    if !report.is_incomplete() {
        parts.clear();
    }
    Ok((report, place))
}

impl Download<'_> {
    /// The path of an entry below the top.
    fn below<'b>(&'b self, path: &'b [u8]) -> &'b [u8] {
        match &self.to.file {
            Some(name) => name,
            None => strip(self.source, path),
        }
    }

    fn plan(&self, manifest: &mut Manifest, gate: &mut Gate) -> Result<()> {
        let mut folders = Folders::below(&self.to.top);
        let (mut batch, mut bytes) = (VecDeque::new(), 0);
        manifest.rewind()?;
        while let Some(entry) = manifest.entry()? {
            let below = self.below(entry.path);
            if below.is_empty() && entry.kind == Kind::Folder {
                continue;
            }
            let local = match (entry.kind, gate.admit(below, entry.kind)) {
                (_, Err("")) => continue,
                (Kind::Failed, _) => {
                    self.report.missed(entry.path, &String::from_utf8_lossy(entry.extra));
                    continue;
                }
                (Kind::Other, _) => {
                    self.report.left_out(entry.path, "it is a device, socket or FIFO");
                    continue;
                }
                (_, Err(words)) => {
                    self.report.missed(entry.path, words);
                    continue;
                }
                (_, Ok(local)) => local,
            };
            let folder = if entry.kind == Kind::Folder { Some(&*local) } else { local.parent() };
            if let Err(error) = folder.map_or(Ok(()), |folder| folders.make(folder)) {
                if is_full(&error) {
                    return Err(local_failure(&self.to.top, &error).into());
                }
                self.report.missed(entry.path, &error.to_string());
                gate.refused.extend((entry.kind == Kind::Folder).then(|| below.to_vec()));
                continue;
            }
            if entry.kind != Kind::File {
                continue;
            }
            let job = Job::new(&entry, self.to.top.join(&local), self.parts.of(below));
            let work = match self.standing(&job) {
                Standing::There => {
                    self.report.there();
                    continue;
                }
                Standing::Kept(words) => {
                    self.report.missed(entry.path, &words);
                    continue;
                }
                Standing::Unclear => Work::Compare(job),
                Standing::Wanted if entry.size > BLOCK => {
                    self.report.want(entry.size);
                    Work::Begin(job)
                }
                Standing::Wanted => {
                    self.report.want(entry.size);
                    batch.push_back(Piece { job, at: 0, end: entry.size });
                    bytes += entry.size;
                    if batch.len() < BATCH.0 && bytes < BATCH.1 {
                        continue;
                    }
                    bytes = 0;
                    Work::Pieces(std::mem::take(&mut batch))
                }
            };
            if !self.queue.plan(work) {
                return Ok(());
            }
        }
        if !batch.is_empty() {
            self.queue.plan(Work::Pieces(batch));
        }
        Ok(())
    }

    /// What is to be done about a file, by what is in its place.
    fn standing(&self, job: &Job) -> Standing {
        let Ok(found) = job.local.symlink_metadata() else { return Standing::Wanted };
        let want = job.want();
        let mtime = found.modified().map_or(0, parts::mtime_of);
        if found.is_dir() {
            return Standing::Kept("a folder is in its place here".to_owned());
        }
        if !found.is_file() {
            return if self.options.overwrite {
                Standing::Wanted
            } else {
                Standing::Kept("a link or something else is in its place here; `--overwrite` replaces it".to_owned())
            };
        }
        let same = found.len() == want.size && parts::same_time(mtime, want.mtime);
        match (same, self.options.checksum) {
            (true, false) => Standing::There,
            (_, true) if found.len() == want.size => Standing::Unclear,
            _ if mtime > want.mtime && !self.options.overwrite => Standing::Kept(NEWER.to_owned()),
            _ => Standing::Wanted,
        }
    }

    fn worker(&self) {
        let mut line = Line::new(self.session);
        self.queue.work(|work| match work {
            Work::Compare(job) => self.compare(&mut line, &job),
            Work::Begin(job) => self.begin(&mut line, &job),
            Work::Pieces(mut batch) => line.work(|connection| self.pieces(connection, &mut batch)),
        });
    }

    /// Compares a file that is here with the one there.
    fn compare(&self, line: &mut Line, job: &Arc<Job>) -> Result<()> {
        let want = job.want();
        let file = match regular_file::open(&job.local) {
            Ok(file) => file,
            Err(error) => {
                self.report.missed(&job.remote, &format!("what is in its place here can't be read: {error}"));
                return Ok(());
            }
        };
        let Some((missing, _)) = self.differences(line, job, &file, want.size)? else { return Ok(()) };
        if missing.is_empty() {
            self.report.there();
            return Ok(());
        }
        let mtime = file.metadata().and_then(|found| found.modified()).map_or(0, parts::mtime_of);
        if mtime > want.mtime && !self.options.overwrite {
            self.report.missed(&job.remote, NEWER);
            return Ok(());
        }
        self.report.want(want.size);
        self.begin(line, job)
    }

    /// Looks what is here of a large file from a former time, and has the rest fetched.
    fn begin(&self, line: &mut Line, job: &Arc<Job>) -> Result<()> {
        let want = job.want();
        let failed = |error: io::Error| local_failure(&self.to.top, &error);
        job.resumed.store(true, Ordering::SeqCst);
        let file = job.file(false).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let blocks = parts::whole_blocks(length, want.size);
        let Some((missing, state)) = self.differences(line, job, &file, (blocks * BLOCK).min(want.size))? else {
            return Ok(());
        };
        self.report.found(want.size - missing.iter().map(|range| range.end - range.start).sum::<u64>());
        match (missing.is_empty(), state) {
            (true, Some(state)) => {
                job.left.store(1, Ordering::SeqCst);
                Ok(self.over(&Piece { job: Arc::clone(job), at: 0, end: 0 }, state)?)
            }
            (true, None) => {
                job.left.store(1, Ordering::SeqCst);
                self.queue.next(Work::Pieces([Piece { job: Arc::clone(job), at: 0, end: 0 }].into()));
                Ok(())
            }
            (false, _) => {
                job.left.store(missing.len(), Ordering::SeqCst);
                for range in missing.into_iter().rev() {
                    let piece = Piece { job: Arc::clone(job), at: range.start, end: range.end };
                    self.queue.next(Work::Pieces([piece].into()));
                }
                Ok(())
            }
        }
    }

    /// Which ranges of a file differ from the one there, as far as `length` is compared, and how that
    /// one is; `None` if it can't be read.
    #[allow(clippy::type_complexity, reason = "ranges, and perhaps a state")]
    fn differences(
        &self,
        line: &mut Line,
        job: &Job,
        file: &File,
        length: u64,
    ) -> Result<Option<(Vec<std::ops::Range<u64>>, Option<FileStat>)>> {
        let want = job.want();
        if length == 0 {
            return Ok(Some((segments(0..want.size).collect(), None)));
        }
        line.work(|connection| {
            let mut comparison = Comparison::new(file, want.size);
            connection.ask(&Request::Hash { offset: 0, length, path: &job.remote })?;
            loop {
                match connection.reply()?.1 {
                    Reply::Digests(digests) => {
                        comparison.compare(digests).map_err(|e| local_failure(&self.to.top, &e))?;
                    }
                    Reply::Last { state, .. } => return Ok(Some((comparison.missing(), Some(state)))),
                    Reply::Refused { errno, words } => {
                        self.refused(job, errno, words);
                        return Ok(None);
                    }
                    other => return Err(unexpected(&job.remote, &other)),
                }
            }
        })
    }

    /// Fetches; what is left of `batch` after a cut goes on where it was.
    fn pieces(&self, connection: &mut Connection, batch: &mut VecDeque<Piece>) -> Result<(), Trouble> {
        // the requests under way: their numbers, and how many pieces each is about
        let mut asked: VecDeque<(u32, usize)> = VecDeque::new();
        let mut ahead = 0;
        loop {
            while ahead < batch.len() && (asked.is_empty() || (asked.len() < AHEAD && ahead < MANY)) {
                let (id, count) = ask(connection, batch.range(ahead..))?;
                asked.push_back((id, count));
                ahead += count;
            }
            let Some((id, left)) = asked.front_mut() else { return Ok(()) };
            let (answered, reply) = connection.reply()?;
            if answered != *id {
                return Err(out_of_order());
            }
            let mut over = 0;
            match reply {
                Reply::Many(mut records) => {
                    while let Some(record) = records.take()? {
                        let piece = batch.front_mut().filter(|_| over < *left).ok_or_else(out_of_order)?;
                        self.small(piece, &record)?;
                        batch.pop_front();
                        over += 1;
                    }
                }
                other => {
                    let piece = batch.front_mut().ok_or_else(out_of_order)?;
                    if self.ranged(piece, &other)? {
                        batch.pop_front();
                        over = 1;
                    }
                }
            }
            *left -= over;
            ahead -= over;
            if *left == 0 {
                asked.pop_front();
            }
        }
    }

    /// A small file is here whole.
    fn small(&self, piece: &mut Piece, record: &Record) -> Result<(), Trouble> {
        if record.errno != 0 {
            self.refused(&piece.job, record.errno, record.bytes);
            return Ok(());
        }
        let room = usize::try_from(piece.end - piece.at).unwrap_or(usize::MAX);
        self.write(piece, &record.bytes[..record.bytes.len().min(room)])?;
        Ok(self.over(piece, record.state)?)
    }

    /// A piece of a range is here; whether it was the last one.
    fn ranged(&self, piece: &mut Piece, reply: &Reply) -> Result<bool, Trouble> {
        let fits = |offset: u64, bytes: &[u8]| offset == piece.at && bytes.len() as u64 <= piece.end - piece.at;
        match *reply {
            Reply::Piece { offset, bytes } if fits(offset, bytes) => {
                self.write(piece, bytes)?;
                Ok(false)
            }
            Reply::Last { offset, bytes, state } if fits(offset, bytes) => {
                self.write(piece, bytes)?;
                self.over(piece, state)?;
                Ok(true)
            }
            Reply::Refused { errno, words } => {
                self.refused(&piece.job, errno, words);
                Ok(true)
            }
            _ => Err(out_of_order()),
        }
    }

    fn write(&self, piece: &mut Piece, bytes: &[u8]) -> Result<(), Trouble> {
        // a part that is opened for its only piece is begun anew
        let anew = piece.at == 0 && piece.job.left.load(Ordering::SeqCst) == 1;
        let written = piece.job.file(anew).and_then(|file| parts::write_at(&file, bytes, piece.at));
        written.map_err(|e| local_failure(&self.to.top, &e))?;
        piece.at += bytes.len() as u64;
        self.session.advance(1 + bytes.len() as u64);
        self.report.moved(bytes.len() as u64);
        Ok(())
    }

    fn refused(&self, job: &Job, errno: u32, words: &[u8]) {
        if !job.failed.swap(true, Ordering::SeqCst) {
            let words = String::from_utf8_lossy(words);
            let gone = if errno == NOT_FOUND { "it has been removed meanwhile" } else { &words };
            self.report.missed(&job.remote, gone);
        }
        job.left.fetch_sub(1, Ordering::SeqCst);
    }

    /// A range is here; with the last one, so is the file.
    fn over(&self, piece: &Piece, state: FileStat) -> Result<(), Fail> {
        let job = &piece.job;
        let want = job.want();
        let short = piece.at < piece.end;
        if short || (state.size, state.mtime) != (want.size, want.mtime) {
            *locked(&job.seen) = state;
            job.changed.store(true, Ordering::SeqCst);
            job.short.fetch_or(short, Ordering::SeqCst);
        }
        if job.left.fetch_sub(1, Ordering::SeqCst) > 1 || job.failed.load(Ordering::SeqCst) {
            return Ok(());
        }
        if !job.changed.swap(false, Ordering::SeqCst) {
            return self.place(job, want);
        }
        let short = job.short.swap(false, Ordering::SeqCst);
        if job.tries.fetch_add(1, Ordering::SeqCst) < AGAIN {
            *locked(&job.want) = *locked(&job.seen);
            self.queue.next(Work::Begin(Arc::clone(job)));
            return Ok(());
        }
        self.report.missed(&job.remote, "it changes while it is read: what came is not of one moment");
        // as far as it goes, what grows is as good as it was; what shrinks is not
        if short { Ok(()) } else { self.place(job, want) }
    }

    /// Makes the file of its part.
    fn place(&self, job: &Job, want: FileStat) -> Result<(), Fail> {
        let file = job.file(false).and_then(|file| {
            // of a part that was begun anew nothing can stand behind the end
            if job.resumed.load(Ordering::SeqCst) {
                file.set_len(want.size)?;
            }
            set_mode(&file, want.mode)?;
            file.set_modified(parts::time_of(want.mtime))
        });
        *locked(&job.file) = None;
        match file.and_then(|()| std::fs::rename(&job.part, &job.local)) {
            Ok(()) => self.report.file(),
            Err(error) if is_full(&error) => return Err(local_failure(&self.to.top, &error)),
            Err(error) => self.report.missed(&job.remote, &format!("it can't be put in its place: {error}")),
        }
        Ok(())
    }
}

const NEWER: &str = "what is here is newer; `--overwrite` replaces it";

enum Standing {
    There,
    Wanted,
    Unclear,
    Kept(String),
}

fn out_of_order() -> Trouble {
    Trouble::Cut(io::Error::new(io::ErrorKind::InvalidData, "an answer is none to what was asked"))
}
