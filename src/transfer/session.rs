//! A way to the files of a volume that is found again when it is cut.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::tools::cluster::Cluster;
use crate::tools::kubectl::forwarded;
use crate::tools::shell::{Held, interrupted, is_interrupted, was_interrupted};
use crate::transfer::connection::{Connection, Trouble};
use crate::transfer::helper::{Helper, Maker};
use crate::transfer::protocol::{Entries, Entry, Kind, Reply, Request, Token};
use crate::transfer::{DISK_FULL, NOT_FOUND, NOT_PERMITTED, Place, QUOTA, READ_ONLY, shown};
use crate::util::error::{Cause, Fail, Refusal, fail, flatten};

/// How often it is tried again without a byte of progress.
const TRIES: u32 = 10;

/// How long is waited before the second try; it doubles with each further one.
const PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long a helper may say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// The files of one volume, while it lasts.
#[derive(Debug)]
pub struct Session {
    maker: Maker,
    token: Token,
    way: Mutex<Way>,
    /// What came and went.
    pub tally: Tally,
}

/// How much is at a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// The size of all files.
    pub bytes: u64,
    /// How many there are.
    pub files: u64,
    /// When the newest was changed, in nanoseconds since 1970.
    pub newest: Option<i64>,
}

/// What came and went.
#[derive(Debug, Default)]
pub struct Tally {
    /// Progress: whatever need not be done again after a cut.
    progress: AtomicU64,
    /// Bytes that came in vain, as what they belong to was cut.
    pub wasted: AtomicU64,
    /// How often a connection was cut.
    pub cuts: AtomicU64,
}

/// How the helper is reached at present.
#[derive(Debug, Default)]
struct Way {
    helper: Option<Helper>,
    forward: Option<(Held, u16)>,
    /// Which way this is: another one after each repair.
    age: u64,
    failures: u32,
    progress: u64,
}

/// Starts a helper for the volume; it ends with the session.
pub(crate) fn open(cluster: Cluster, place: Place, read_only: bool) -> Result<Session> {
    let Cluster { ui, shell, kubectl } = cluster;
    let maker = Maker { ui: ui.clone(), shell: shell.clone(), kubectl: kubectl.clone(), place, read_only };
    let mut token = [0; 32];
    getrandom::fill(&mut token).context("failed to get random bytes")?;
    let helper = Some(maker.make(&token)?);
    let way = Mutex::new(Way { helper, ..Way::default() });
    Ok(Session { maker, token, way, tally: Tally::default() })
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut way = self.way();
        way.forward = None;
        if let Some(helper) = way.helper.take() {
            self.maker.remove(&helper.job);
        }
    }
}

impl Session {
    /// What is at a path: its own entry first, then, if it is a folder, those in it.
    pub fn list(&self, path: &[u8], mut each: impl FnMut(&Entry) -> Result<()>) -> Result<()> {
        let mut whole = Vec::new();
        Line::new(self).work(|connection| {
            whole.clear();
            gather(connection, &Request::List { deep: false, path }, &mut whole)
        })?;
        Entries(&whole).try_for_each(|entry| each(&entry?))
    }

    /// The whole content of a file; `None` if there is none.
    pub fn read_file(&self, path: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut whole = Vec::new();
        let found = Line::new(self).read(path, |bytes| {
            whole.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(found.then_some(whole))
    }

    /// The sums of each entry of a folder, or of a file: see [`Entry`].
    pub fn sums(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        Line::new(self).work(|connection| {
            whole.clear();
            gather(connection, &Request::Sums { path }, &mut whole)
        })?;
        Ok(whole)
    }

    /// The sum of all that is at a path, without what can't be looked at; `None` if nothing is there.
    pub fn sum(&self, path: &[u8]) -> Result<Option<Sum>> {
        let sums = match self.sums(path) {
            Err(error) if is_missing(&error) => return Ok(None),
            other => other?,
        };
        let mut sum = Sum::default();
        for entry in Entries(&sums) {
            let entry = entry?;
            if entry.kind != Kind::Failed {
                sum.bytes += entry.size;
                // the sum of a folder has the number of its files there
                sum.files += u64::from(entry.mode);
                sum.newest = sum.newest.max((entry.mode > 0).then_some(entry.mtime));
            }
        }
        Ok(Some(sum))
    }

    /// A request that is answered by how many it concerned.
    pub fn order(&self, request: &Request, path: &[u8]) -> Result<u64> {
        Line::new(self).work(|connection| {
            connection.ask(request)?;
            match connection.reply()?.1 {
                Reply::Done { count } => Ok(count),
                other => Err(unexpected(path, &other)),
            }
        })
    }

    /// What the entry at a path is; `None` if there is none.
    pub fn kind(&self, path: &[u8]) -> Result<Option<Kind>> {
        let mut kind = None;
        let listed = self.list(path, |entry| {
            kind = kind.or(Some(entry.kind));
            Ok(())
        });
        match listed {
            Err(error) if is_missing(&error) => Ok(None),
            other => other.map(|()| kind),
        }
    }

    /// Notes what need not be done again after a cut.
    pub fn advance(&self, amount: u64) {
        self.tally.progress.fetch_add(amount, Ordering::Relaxed);
    }

    fn way(&self) -> MutexGuard<'_, Way> {
        self.way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection, by whatever it takes.
    fn connect(&self) -> Result<Connection> {
        loop {
            let (age, port) = self.port()?;
            let silence = self.maker.shell.patience(SILENCE);
            match Connection::open(port, &self.token, silence) {
                Ok(connection) => return Ok(connection),
                Err(_) if is_interrupted() => return Err(interrupted().into()),
                Err(error) => {
                    let mut way = self.way();
                    if way.age == age {
                        way.forward = None;
                        way.age += 1;
                        self.count(&mut way, &cut(&error).into())?;
                    }
                }
            }
        }
    }

    /// The port of this machine that leads to the helper, and which way that is.
    fn port(&self) -> Result<(u64, u16)> {
        let mut way = self.way();
        loop {
            if let Some((_, port)) = &way.forward {
                return Ok((way.age, *port));
            }
            if let Err(error) = self.lead(&mut way) {
                if was_interrupted(&error) || is_verdict(&error) {
                    return Err(error);
                }
                self.count(&mut way, &error)?;
            }
        }
    }

    /// Leads a port to the helper, to a new one if the former is gone.
    fn lead(&self, way: &mut Way) -> Result<()> {
        let helper = match &way.helper {
            Some(helper) => helper.clone(),
            None => way.helper.insert(self.maker.make(&self.token)?).clone(),
        };
        let cmd = self.maker.kubectl.port_forward(&self.maker.place.namespace, &helper.pod, helper.port);
        if way.age == 0 && way.failures == 0 {
            self.maker.ui.echo(&cmd);
        }
        match self.maker.shell.hold(&cmd, forwarded) {
            Ok(forward) => {
                way.forward = Some(forward);
                Ok(())
            }
            Err(error) if was_interrupted(&error) => Err(error),
            Err(error) => {
                if !self.maker.is_alive(&helper)? {
                    self.maker.ui.tell("helper", "it is gone: making another one");
                    way.helper = None;
                    self.maker.remove(&helper.job);
                }
                Err(error)
            }
        }
    }

    /// Counts a failure, and pauses; an error after too many without any progress.
    fn count(&self, way: &mut Way, error: &anyhow::Error) -> Result<()> {
        let progress = self.tally.progress.load(Ordering::Relaxed);
        if progress != way.progress {
            (way.progress, way.failures) = (progress, 0);
        }
        way.failures += 1;
        if way.failures > TRIES {
            return Err(gave_up(error));
        }
        let pause = PAUSE.saturating_mul(1 << (way.failures - 1)).min(LONGEST_PAUSE);
        // the first is usually over at once
        if way.failures == 2 {
            self.maker.ui.tell("helper", format!("trying again: {}", flatten(error).message));
        }
        self.maker.shell.sleep(if way.failures == 1 { PAUSE / 4 } else { pause })
    }
}

/// Work over one connection at a time, and over another when that is cut.
#[derive(Debug)]
pub struct Line<'a> {
    session: &'a Session,
    connection: Option<Connection>,
    barren: u32,
    progress: u64,
}

impl<'a> Line<'a> {
    /// None is open yet.
    pub fn new(session: &'a Session) -> Self {
        Self { session, connection: None, barren: 0, progress: 0 }
    }

    /// Reads a file, piece by piece, each verified; `false` if there is none.
    pub fn read(&mut self, path: &[u8], mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<bool> {
        let session = self.session;
        // what was verified before a cut is not asked for again
        let mut offset = 0;
        self.work(|connection| {
            connection.ask(&Request::Read { offset, length: u64::MAX >> 1, path })?;
            loop {
                match connection.reply()?.1 {
                    Reply::Piece { bytes, .. } => {
                        each(bytes).map_err(Trouble::Fatal)?;
                        offset += bytes.len() as u64;
                        session.advance(bytes.len() as u64);
                    }
                    Reply::Last { bytes, .. } => {
                        each(bytes).map_err(Trouble::Fatal)?;
                        return Ok(true);
                    }
                    Reply::Refused { errno: NOT_FOUND, .. } => return Ok(false),
                    other => return Err(unexpected(path, &other)),
                }
            }
        })
    }

    /// Does `work`, again and again as long as it is cut; it goes on where it was.
    pub fn work<T>(&mut self, mut work: impl FnMut(&mut Connection) -> Result<T, Trouble>) -> Result<T> {
        loop {
            let connection = match &mut self.connection {
                Some(connection) => connection,
                None => self.connection.insert(self.session.connect()?),
            };
            let result = work(connection);
            let tally = &self.session.tally;
            let wasted = connection.received().1;
            let error = match result {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Fatal(error)) => {
                    // answers to what was asked may still be under way
                    self.connection = None;
                    return Err(error);
                }
                Err(Trouble::Cut(_)) if is_interrupted() => return Err(interrupted().into()),
                Err(Trouble::Cut(error)) => error,
            };
            self.connection = None;
            tally.cuts.fetch_add(1, Ordering::Relaxed);
            tally.wasted.fetch_add(wasted, Ordering::Relaxed);
            let progress = tally.progress.load(Ordering::Relaxed);
            self.barren = if progress == self.progress { self.barren + 1 } else { 1 };
            self.progress = progress;
            if self.barren > TRIES {
                return Err(gave_up(&cut(&error).into()));
            }
            if self.barren > 1 {
                self.session.maker.shell.sleep(PAUSE * self.barren)?;
            }
        }
    }
}

/// All entries of a list, one behind the other.
pub fn gather(connection: &mut Connection, request: &Request, into: &mut impl io::Write) -> Result<(), Trouble> {
    let path = match request {
        Request::List { path, .. } | Request::Sums { path } => path,
        _ => &b""[..],
    };
    connection.ask(request)?;
    loop {
        match connection.reply()?.1 {
            Reply::Entries(entries) => {
                into.write_all(entries).map_err(|e| Trouble::Fatal(anyhow::anyhow!("failed to keep the list: {e}")))?;
            }
            Reply::End { .. } => return Ok(()),
            other => return Err(unexpected(path, &other)),
        }
    }
}

/// The error of an answer that is none to what was asked.
pub fn unexpected(path: &[u8], reply: &Reply) -> Trouble {
    match reply {
        Reply::Refused { errno: NOT_FOUND, .. } => Trouble::Fatal(Missing(path.to_vec()).into()),
        Reply::Refused { errno, words } => refused(path, *errno, words).into(),
        _ => Trouble::Cut(io::Error::new(io::ErrorKind::InvalidData, "an answer is none to what was asked")),
    }
}

/// The error of a helper that can't or may not.
pub fn refused(path: &[u8], errno: u32, words: &[u8]) -> Fail {
    let error = fail(format!("`{}` in the storage: {}", shown(path), String::from_utf8_lossy(words)));
    match errno {
        DISK_FULL | QUOTA => {
            error.hint("make room with `kubectl mrunner rm`; the same command then goes on from there")
        }
        READ_ONLY => error.hint("the volume can only be read"),
        NOT_PERMITTED => error.hint("does `run_as` in the context fit the owner of the files?"),
        _ => error,
    }
}

/// There is no such file.
#[derive(Debug)]
struct Missing(Vec<u8>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no `{}` in the storage", shown(&self.0))
    }
}

impl std::error::Error for Missing {}

/// Whether an error says that there is no such file.
pub fn is_missing(error: &anyhow::Error) -> bool {
    error.is::<Missing>()
}

fn cut(error: &io::Error) -> Fail {
    let words = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection was cut".to_owned()
        }
        _ => error.to_string(),
    };
    fail(format!("failed to reach the storage through `kubectl port-forward`: {words}"))
}

/// Whether the cluster has answered, and trying again can't help.
fn is_verdict(error: &anyhow::Error) -> bool {
    match flatten(error).known {
        Some(Cause::CannotStart) => true,
        // the namespace and the claim may be on their way
        Some(Cause::Refused(refusal)) => {
            !matches!(refusal, Refusal::AlreadyExists | Refusal::NotFound | Refusal::NoNamespace | Refusal::Conflict)
        }
        _ => false,
    }
}

fn gave_up(error: &anyhow::Error) -> anyhow::Error {
    let words = fail(format!("gave up after {TRIES} tries in a row that brought nothing"));
    anyhow::Error::new(OutOfReach(words.because(error).hint("the same command goes on from there")))
}

/// The storage can't be reached any more.
#[derive(Debug)]
struct OutOfReach(Fail);

impl fmt::Display for OutOfReach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for OutOfReach {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// Whether an error says that the storage can't be reached any more.
pub fn is_out_of_reach(error: &anyhow::Error) -> bool {
    error.is::<OutOfReach>()
}
