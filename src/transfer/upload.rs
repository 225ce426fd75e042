//! From this machine to the volume.

use std::collections::VecDeque;
use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::Result;

use crate::transfer::connection::{Connection, Trouble};
use crate::transfer::departure::{Found, There, part_of, unreadable, uploads, walk};
use crate::transfer::download::Options;
use crate::transfer::parts::{self, Comparison, mtime_of, segments};
use crate::transfer::protocol::{BLOCK, Kind, PIECE, PartName, Reply, Request};
use crate::transfer::queue::Queue;
use crate::transfer::report::Report;
use crate::transfer::session::{Line, Session, refused, unexpected};
use crate::transfer::source::below;
use crate::transfer::{DISK_FULL, QUOTA, READ_ONLY, safe, shown};
use crate::util::error::fail;
use crate::util::regular_file;
use crate::util::ui::Ui;

/// Small files are sent together, up to so many and so much.
const BATCH: (usize, u64) = (500, 16 << 20);

/// So many requests, and so many bytes, may be without an answer.
const AHEAD: (usize, u64) = (32, 4 << 20);

/// A file that changes while it is read is read so often again.
const AGAIN: u32 = 2;

/// A file on its way.
#[derive(Debug)]
struct Job {
    local: PathBuf,
    remote: Vec<u8>,
    want: Mutex<Want>,
    left: AtomicUsize,
    tries: AtomicU32,
    failed: AtomicBool,
    file: Mutex<Option<Arc<File>>>,
}

/// How a file was when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Want {
    size: u64,
    mtime: i64,
    mode: u32,
}

/// A range of a file; `at` moves on with each piece that is acknowledged.
#[derive(Debug)]
struct Piece {
    job: Arc<Job>,
    at: u64,
    end: u64,
    /// Whether it is the whole file, so that the file is finished with it.
    whole: bool,
}

#[derive(Debug)]
enum Work {
    /// Look whether a file that is there is the same.
    Compare(Arc<Job>),
    /// See what is there of a large file.
    Begin(Arc<Job>),
    /// Send.
    Pieces(VecDeque<Piece>),
    /// Make the file of its part.
    Finish(Arc<Job>),
    /// Make a folder.
    Folder(Vec<u8>, u32),
}

/// What an answer will be about.
enum Due {
    Put(u64),
    Finish,
    /// The file has changed, and is gone through again.
    Again,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Want {
    fn of(metadata: &Metadata) -> Self {
        let mtime = metadata.modified().map_or(0, mtime_of);
        Self { size: metadata.len(), mtime, mode: mode_of(metadata) }
    }
}

impl Job {
    fn want(&self) -> Want {
        *locked(&self.want)
    }

    fn part(&self) -> PartName {
        let want = self.want();
        part_of(&self.remote, want.size, want.mtime)
    }

    /// Whether it is still as it was looked at.
    fn is_as_wanted(&self) -> bool {
        let want = self.want();
        let same = |now: Want| (now.size, now.mtime) == (want.size, want.mtime);
        !self.failed.load(Ordering::SeqCst) && self.local.metadata().is_ok_and(|now| same(Want::of(&now)))
    }

    fn ask_to_finish(&self, connection: &mut Connection) -> io::Result<u32> {
        let Want { size, mtime, mode } = self.want();
        connection.ask(&Request::Finish { size, mtime, mode, part: &self.part(), path: &self.remote })
    }

    /// Opened once.
    fn file(&self) -> io::Result<Arc<File>> {
        let mut file = locked(&self.file);
        if let Some(file) = &*file {
            return Ok(Arc::clone(file));
        }
        Ok(Arc::clone(file.insert(Arc::new(regular_file::open(&self.local)?))))
    }
}

/// An upload at work.
struct Upload<'a> {
    session: &'a Session,
    options: Options,
    there: There,
    queue: Queue<Work>,
    report: Report,
    /// Links wait for what they lead to.
    links: Mutex<Vec<(Vec<u8>, Vec<u8>)>>,
}

/// Sends the file or folder `local`, which is called `target` there.
pub(crate) fn send(session: &Session, ui: &Ui, local: &Path, target: &[u8], options: Options) -> Result<Report> {
    let metadata = local.metadata().map_err(|e| unreadable(local, &e))?;
    let there = There::look(session, target)?;
    match there.entry(target) {
        Some((Kind::Folder, ..)) if !metadata.is_dir() => {
            return Err(fail(format!("`{}` is a folder in the storage, and here a file", shown(target))).into());
        }
        Some((kind, ..)) if kind != Kind::Folder && metadata.is_dir() => {
            return Err(fail(format!("`{}` is no folder in the storage, and here one", shown(target)))
                .hint("name another place in the storage")
                .into());
        }
        _ => {}
    }
    let queue = Queue::new(2 * options.parallel);
    let upload = Upload { session, options, there, queue, report: Report::default(), links: Mutex::default() };
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.parallel).map(|_| scope.spawn(|| upload.worker())).collect();
        scope.spawn(|| upload.report.show(ui, "sending", &over));
        if let Err(error) = upload.plan(local, target) {
            upload.queue.give_up(error);
        }
        upload.queue.planned();
        for worker in workers {
            drop(worker.join());
        }
        over.store(true, Ordering::Relaxed);
    });
    let Upload { queue, report, links, .. } = upload;
    queue.end()?;
    for (path, target) in links.into_inner().unwrap_or_else(PoisonError::into_inner) {
        if let Err(error) = session.order(&Request::MakeLink { target: &target, path: &path }, &path) {
            report.missed(&path, &format!("{error}"));
        }
    }
    session.order(&Request::Sync, target)?;
    Ok(report)
}

impl Upload<'_> {
    fn plan(&self, local: &Path, target: &[u8]) -> Result<()> {
        let (mut batch, mut bytes) = (VecDeque::new(), 0);
        let name = |path: &Path| path.as_os_str().as_encoded_bytes().to_vec();
        let failed = |path: &Path, words: &str| self.report.missed(&name(path), words);
        let each = |found: Found| {
            let Some(under) = &found.below else {
                failed(&found.local, "its name is no text");
                return Ok(true);
            };
            let path = below(target, under);
            let work = if found.metadata.is_dir() {
                match self.there.entry(&path) {
                    None if found.empty => Work::Folder(path, mode_of(&found.metadata)),
                    // one that is missing is made with what is in it
                    None | Some((Kind::Folder, ..)) => return Ok(true),
                    Some(_) => {
                        failed(&found.local, "something that is no folder is in its place in the storage");
                        return Ok(true);
                    }
                }
            } else if found.metadata.is_symlink() {
                self.link(&found.local, under, path);
                return Ok(true);
            } else if !found.metadata.is_file() {
                self.report.left_out(&name(&found.local), "it is a device, socket or FIFO");
                return Ok(true);
            } else {
                match self.file(&found, path) {
                    None => return Ok(true),
                    Some(Work::Pieces(mut piece)) => {
                        bytes += found.metadata.len();
                        batch.append(&mut piece);
                        if batch.len() < BATCH.0 && bytes < BATCH.1 {
                            return Ok(true);
                        }
                        bytes = 0;
                        Work::Pieces(std::mem::take(&mut batch))
                    }
                    Some(work) => work,
                }
            };
            Ok(self.queue.plan(work))
        };
        walk(local, each, failed)?;
        if !batch.is_empty() {
            self.queue.plan(Work::Pieces(batch));
        }
        Ok(())
    }

    fn link(&self, local: &Path, under: &[u8], path: Vec<u8>) {
        let target = std::fs::read_link(local).ok().and_then(|target| safe::bytes_of(target.as_os_str()));
        let words = match (target, self.there.entry(&path)) {
            (Some(target), None | Some((Kind::Link, ..))) if safe::stays_within(under, &target) => {
                locked(&self.links).push((path, target));
                return;
            }
            (Some(target), None | Some((Kind::Link, ..))) => {
                format!("the link leads to `{}`, out of what is sent", shown(&target))
            }
            _ => "something that is no link is in its place in the storage".to_owned(),
        };
        self.report.missed(&path, &words);
    }

    /// What is to be done about a file, by what is in its place.
    fn file(&self, found: &Found, path: Vec<u8>) -> Option<Work> {
        let want = Want::of(&found.metadata);
        let there = self.there.entry(&path);
        let job = Arc::new(Job {
            local: found.local.clone(),
            remote: path,
            want: Mutex::new(want),
            left: AtomicUsize::new(1),
            tries: AtomicU32::new(0),
            failed: AtomicBool::new(false),
            file: Mutex::new(None),
        });
        match there {
            None => {}
            Some((Kind::File, size, mtime)) => {
                let same = size == want.size && parts::same_time(mtime, want.mtime);
                if same && !self.options.checksum {
                    self.report.there();
                    return None;
                }
                if size == want.size && self.options.checksum {
                    return Some(Work::Compare(job));
                }
                if mtime > want.mtime && !self.options.overwrite {
                    self.report.missed(&job.remote, NEWER);
                    return None;
                }
            }
            Some((Kind::Link | Kind::Other, ..)) if self.options.overwrite => {}
            Some(_) => {
                self.report.missed(&job.remote, "something that is no file is in its place in the storage");
                return None;
            }
        }
        self.report.want(want.size);
        if want.size > BLOCK {
            return Some(Work::Begin(job));
        }
        Some(Work::Pieces([Piece { job, at: 0, end: want.size, whole: true }].into()))
    }

    fn worker(&self) {
        let mut line = Line::new(self.session);
        self.queue.work(|work| match work {
            Work::Compare(job) => self.compare(&mut line, &job),
            Work::Begin(job) => self.begin(&mut line, &job),
            Work::Pieces(mut batch) => line.work(|connection| self.pieces(connection, &mut batch)),
            Work::Finish(job) => self.finish(&mut line, &job),
            Work::Folder(path, mode) => line.work(|connection| {
                connection.ask(&Request::MakeFolder { mode, path: &path })?;
                match connection.reply()?.1 {
                    Reply::Done { .. } => Ok(()),
                    Reply::Refused { errno, words } => self.refused(&path, errno, words),
                    other => Err(unexpected(&path, &other)),
                }
            }),
        });
    }

    fn opened(&self, job: &Job) -> Option<Arc<File>> {
        job.file().map_err(|error| self.report.missed(&job.remote, &format!("it can't be read: {error}"))).ok()
    }

    /// Compares a file that is there with the one here.
    fn compare(&self, line: &mut Line, job: &Arc<Job>) -> Result<()> {
        let Some(file) = self.opened(job) else { return Ok(()) };
        let want = job.want();
        if Self::differences(line, job, &file, &job.remote, want.size)?.is_empty() {
            self.report.there();
            return Ok(());
        }
        let newer = self.there.entry(&job.remote).is_some_and(|(_, _, mtime)| mtime > want.mtime);
        if newer && !self.options.overwrite {
            self.report.missed(&job.remote, NEWER);
            return Ok(());
        }
        self.report.want(want.size);
        self.begin(line, job)
    }

    /// Looks what is there of a large file from a former time, and has the rest sent.
    fn begin(&self, line: &mut Line, job: &Arc<Job>) -> Result<()> {
        let Some(file) = self.opened(job) else { return Ok(()) };
        let (want, part) = (job.want(), job.part());
        let blocks = parts::whole_blocks(self.there.part(&part), want.size);
        let length = (blocks * BLOCK).min(want.size);
        let missing = Self::differences(line, job, &file, &below(&uploads(), &part), length)?;
        self.report.found(want.size - missing.iter().map(|range| range.end - range.start).sum::<u64>());
        if missing.is_empty() && blocks > 0 {
            return self.finish(line, job);
        }
        if missing.is_empty() {
            let piece = Piece { job: Arc::clone(job), at: 0, end: 0, whole: true };
            self.queue.next(Work::Pieces([piece].into()));
        }
        job.left.store(missing.len(), Ordering::SeqCst);
        for range in missing.into_iter().rev() {
            let piece = Piece { job: Arc::clone(job), at: range.start, end: range.end, whole: false };
            self.queue.next(Work::Pieces([piece].into()));
        }
        Ok(())
    }

    /// Which ranges of a file differ from what is at `path` there, of which `length` is compared.
    fn differences(line: &mut Line, job: &Job, file: &File, path: &[u8], length: u64) -> Result<Vec<Range<u64>>> {
        let size = job.want().size;
        if length == 0 {
            return Ok(segments(0..size).collect());
        }
        line.work(|connection| {
            let mut comparison = Comparison::new(file, size);
            connection.ask(&Request::Hash { offset: 0, length, path })?;
            loop {
                match connection.reply()?.1 {
                    Reply::Digests(digests) => {
                        comparison.compare(digests).map_err(|e| Trouble::from(unreadable(&job.local, &e)))?;
                    }
                    // what can't be read there is sent anew
                    Reply::Last { .. } | Reply::Refused { .. } => return Ok(comparison.missing()),
                    other => return Err(unexpected(path, &other)),
                }
            }
        })
    }

    /// Sends; what is left of `batch` after a cut goes on where it was.
    fn pieces(&self, connection: &mut Connection, batch: &mut VecDeque<Piece>) -> Result<(), Trouble> {
        let mut due: VecDeque<(u32, Due)> = VecDeque::new();
        let mut ahead = 0;
        let mut buffer = vec![0; PIECE];
        // the piece that is sent at present, and where in it
        let mut sending = 0;
        let mut at = batch.front().map_or(0, |piece| piece.at);
        loop {
            while due.len() < AHEAD.0
                && ahead < AHEAD.1
                && let Some(piece) = batch.get(sending)
            {
                let end = piece.end;
                if at < end || end == 0 {
                    let (id, bytes) = self.put(connection, piece, at, &mut buffer)?;
                    (ahead, at) = (ahead + bytes, at + bytes);
                    due.push_back((id, Due::Put(bytes)));
                }
                if at >= end {
                    if piece.whole && piece.job.is_as_wanted() {
                        due.push_back((piece.job.ask_to_finish(connection)?, Due::Finish));
                    } else if piece.whole {
                        let nothing = Request::Put { offset: 0, part: &piece.job.part(), bytes: b"" };
                        due.push_back((connection.ask(&nothing)?, Due::Again));
                    }
                    sending += 1;
                    at = batch.get(sending).map_or(0, |piece| piece.at);
                }
            }
            let Some((id, what)) = due.pop_front() else { return Ok(()) };
            let Some(piece) = batch.front_mut() else { return Ok(()) };
            let (answered, reply) = connection.reply()?;
            if answered != id {
                return Err(Trouble::Cut(io::Error::new(io::ErrorKind::InvalidData, "an answer is out of order")));
            }
            let over = match (what, reply) {
                (Due::Put(bytes), Reply::Done { .. }) => {
                    piece.at += bytes;
                    ahead -= bytes;
                    self.session.advance(1 + bytes);
                    self.report.moved(bytes);
                    piece.at >= piece.end && !piece.whole
                }
                (Due::Finish, Reply::Done { .. }) => {
                    self.report.file();
                    true
                }
                (Due::Again, Reply::Done { .. }) => {
                    self.again(&piece.job);
                    true
                }
                (Due::Finish, Reply::Refused { errno, words }) => {
                    self.refused(&piece.job.remote, errno, words)?;
                    true
                }
                (_, other) => return Err(unexpected(&uploads(), &other)),
            };
            if over && let Some(piece) = batch.pop_front() {
                sending -= 1;
                if !piece.whole && piece.job.left.fetch_sub(1, Ordering::SeqCst) == 1 {
                    self.queue.next(Work::Finish(piece.job));
                }
            }
        }
    }

    /// Sends the next bytes of a piece; the number of the request, and how far it leads.
    fn put(&self, connection: &mut Connection, piece: &Piece, at: u64, buffer: &mut [u8]) -> io::Result<(u32, u64)> {
        let left = piece.end - at;
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = piece.job.file().and_then(|file| parts::read_at(&file, &mut buffer[..want], at));
        let read = read.unwrap_or_else(|error| {
            if !piece.job.failed.swap(true, Ordering::SeqCst) {
                self.report.missed(&piece.job.remote, &format!("it can't be read: {error}"));
            }
            0
        });
        let id = connection.ask(&Request::Put { offset: at, part: &piece.job.part(), bytes: &buffer[..read] })?;
        // of one that has become shorter the rest is passed over: it is not finished like that
        Ok((id, if read == 0 { left } else { read as u64 }))
    }

    /// All of a file is there: it becomes one.
    fn finish(&self, line: &mut Line, job: &Arc<Job>) -> Result<()> {
        if !job.is_as_wanted() {
            self.again(job);
            return Ok(());
        }
        line.work(|connection| {
            job.ask_to_finish(connection)?;
            match connection.reply()?.1 {
                Reply::Done { .. } => {
                    self.report.file();
                    Ok(())
                }
                Reply::Refused { errno, words } => self.refused(&job.remote, errno, words),
                other => Err(unexpected(&job.remote, &other)),
            }
        })
    }

    /// A file has changed while it was read: it is read again, but not for ever.
    fn again(&self, job: &Arc<Job>) {
        if job.failed.load(Ordering::SeqCst) {
            return;
        }
        let metadata = job.local.metadata();
        match metadata {
            Ok(metadata) if job.tries.fetch_add(1, Ordering::SeqCst) < AGAIN => {
                *locked(&job.file) = None;
                *locked(&job.want) = Want::of(&metadata);
                self.queue.next(Work::Begin(Arc::clone(job)));
            }
            Ok(_) => self.report.missed(&job.remote, "it changes while it is read, and is not sent"),
            Err(error) => self.report.missed(&job.remote, &format!("it can't be read: {error}")),
        }
    }

    /// Tells of one file that is refused; a volume that takes no file ends it all.
    fn refused(&self, path: &[u8], errno: u32, words: &[u8]) -> Result<(), Trouble> {
        if matches!(errno, DISK_FULL | QUOTA | READ_ONLY) {
            return Err(refused(path, errno, words).into());
        }
        self.report.missed(path, &String::from_utf8_lossy(words));
        Ok(())
    }
}

const NEWER: &str = "what is there is newer; `--overwrite` replaces it";

#[cfg(unix)]
fn mode_of(metadata: &Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o777
}

#[cfg(not(unix))]
fn mode_of(metadata: &Metadata) -> u32 {
    if metadata.is_dir() { 0o755 } else { 0o644 }
}
