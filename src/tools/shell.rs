//! The one place that starts a process.
//!
//! Five verbs: [`Shell::run`] has an effect and is echoed, [`Shell::read`] in `retry.rs` asks and is silent,
//! [`Shell::follow`] passes on what comes while it comes, [`Shell::start_background`] keeps one in the background; each
//! gives up when the user interrupts. [`Shell::attach`] gives the terminal away.

mod wait;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, PipeWriter, Read, Write};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use self::wait::could_not_start;
use crate::tools::cmd::Cmd;
use crate::tools::ends_with_parent::ends_with_parent;
use crate::tools::environment::{self, Variables};
use crate::tools::interrupt::{self, POLL_INTERVAL};
use crate::tools::reply::{BEGINNING, Reply};
use crate::util::ui::Ui;

pub use crate::tools::interrupt::{Interruptible, interrupted, is_interrupted, or_interrupted, was_interrupted};

/// How long a command that the user watches may take to end by itself after an interrupt.
const GRACE: Duration = Duration::from_secs(1);

/// What a test's patience leaves of a deadline at least: a busy machine needs that to answer at all.
const LEAST: Duration = Duration::from_secs(4);

/// How much is read at once of what a command writes while it runs, and how many of these pieces may wait.
const PIECE: usize = 64 * 1024;
const PIECES: usize = 32;

/// Starts processes, tells what has an effect, and stops them when the user does.
#[derive(Debug, Clone)]
pub struct Shell {
    ui: Ui,
    inherited: Variables,
    env: Vec<(String, OsString)>,
    time_scale: f64,
    logs: bool,
    ignores_interrupts: bool,
    low_gc: bool,
}

/// A process, and the thread that passes on what it says.
struct Started {
    handle: duct::Handle,
    passing_on: Option<mpsc::Receiver<()>>,
}

/// A reader that keeps the beginning of what is read.
struct Tee<R> {
    from: R,
    beginning: Vec<u8>,
}

impl<R: Read> Read for Tee<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.from.read(buffer)?;
        let room = BEGINNING - self.beginning.len();
        self.beginning.extend_from_slice(&buffer[..read.min(room)]);
        Ok(read)
    }
}

/// A process in the background; it ends with this, also when this process is killed.
#[derive(Debug)]
pub struct BackgroundProcess {
    handle: duct::Handle,
    leash: Mutex<Option<PipeWriter>>,
}

impl BackgroundProcess {
    /// Ends it, whoever holds it.
    pub fn end(&self) {
        drop(self.leash.lock().map(|mut leash| leash.take()));
        self.handle.kill().ok();
    }
}

impl Drop for BackgroundProcess {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shell {
    /// A shell whose children inherit `variables`, as far as these look for nothing in the current folder, are given
    /// `env` beside them, and wait the part `time_scale` of all pauses and deadlines. Interrupts (Ctrl-C, SIGTERM, SIGHUP)
    /// are caught from here on.
    pub fn new(
        ui: Ui,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        env: Vec<(String, OsString)>,
        time_scale: f64,
    ) -> Result<Self> {
        interrupt::listen().context("failed to catch interrupts")?;
        let inherited = environment::without_relative_entries(variables);
        Ok(Self { ui, inherited, env, time_scale, logs: false, ignores_interrupts: false, low_gc: false })
    }

    /// Prints for it.
    pub(super) fn ui(&self) -> &Ui {
        &self.ui
    }

    /// Where a program is on PATH.
    pub fn find_program(&self, program: impl AsRef<OsStr>) -> Option<PathBuf> {
        which::which_in(program, environment::value(&self.inherited, "PATH"), ".").ok()
    }

    /// The same shell, giving each child one more variable.
    #[must_use]
    pub fn with_env(&self, name: &str, value: &OsStr) -> Self {
        let mut shell = self.clone();
        shell.env.push((name.to_owned(), value.to_owned()));
        shell
    }

    /// The same shell, in which brief commands do not tidy their memory. kubectl and docker are programs of Go, which
    /// do so four times while they start: a fifth of what a brief question costs
    /// (GOGC: <https://go.dev/doc/gc-guide>).
    #[must_use]
    pub fn with_low_gc(mut self) -> Self {
        self.low_gc = true;
        self
    }

    /// The same shell, passing on what children log of themselves instead of keeping it with their
    /// words: `kubectl -v 6` writes both to stderr.
    #[must_use]
    pub fn showing_logs(mut self) -> Self {
        self.logs = true;
        self
    }

    /// The same shell, which goes on after an interrupt: for tidying up.
    #[must_use]
    pub fn ignoring_interrupts(&self) -> Self {
        Self { ignores_interrupts: true, ..self.clone() }
    }

    /// Runs a command that changes something: echoed; what it writes is shown if the command says
    /// so, else kept.
    pub fn run(&self, cmd: &Cmd) -> Result<Reply> {
        self.ui.echo(cmd);
        self.wait(cmd, &self.start(cmd, None)?)
    }

    /// The same for a command that reads a stream, which `feed` writes. Should `feed` fail, the
    /// command is killed before it sees the end of its input, and `feed`'s error is the answer.
    pub fn run_fed(&self, cmd: &Cmd, feed: impl FnOnce(&mut dyn Write) -> Result<()> + Send) -> Result<Reply> {
        self.ui.echo(cmd);
        let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
        let mut writer = Interruptible(writer);
        writer.never_block().context("failed to make a pipe")?;
        let started = self.start(cmd, Some(reader))?;
        thread::scope(|scope| {
            // in a thread of its own, as a command that does not read would hold it up for ever
            let feeding = scope.spawn(|| {
                let sent = feed(&mut writer);
                if sent.as_ref().is_err_and(|error| !is_broken_pipe(error)) {
                    started.handle.kill().ok();
                }
                drop(writer);
                sent
            });
            let reply = self.wait(cmd, &started);
            match feeding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
                // it stopped reading: its own words say why
                Err(error) if !is_broken_pipe(&error) => Err(or_interrupted(error)),
                _ => reply,
            }
        })
    }

    /// Asks something once.
    pub(super) fn read_once(&self, cmd: &Cmd) -> Result<Reply> {
        self.wait(cmd, &self.start(cmd, None)?)
    }

    /// Asks something once, and reads the answer as JSON while it comes.
    pub(super) fn read_json_once<T: DeserializeOwned + Send + 'static>(&self, cmd: &Cmd) -> Result<(Reply, Option<T>)> {
        let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
        let expression = self.expression(cmd, None)?.stdout_file(writer).stderr_capture();
        let handle = expression.start().map_err(|e| could_not_start(cmd, &e))?;
        drop(expression);
        let (sender, parsed) = mpsc::channel();
        thread::spawn(move || {
            let mut answer = BufReader::with_capacity(1 << 16, Tee { from: reader, beginning: Vec::new() });
            let value = serde_json::from_reader(&mut answer);
            // to its end, as the command would die of a pipe that nobody reads
            std::io::copy(&mut answer, &mut std::io::sink()).ok();
            sender.send((answer.into_inner().beginning, value))
        });
        let begun = Instant::now();
        let mut reply = self.wait(cmd, &Started { handle, passing_on: None })?;
        while reply.status.is_some() {
            match parsed.recv_timeout(POLL_INTERVAL) {
                Ok((beginning, value)) => {
                    reply.stdout = beginning;
                    return Ok(match value {
                        Ok(value) => (reply, Some(value)),
                        Err(_) if reply.stdout.is_empty() || !reply.succeeded() => (reply, None),
                        Err(error) => return Err(reply.invalid_json(cmd, &error).into()),
                    });
                }
                // a child of its own may hold the pipe open
                Err(_) if self.is_over(cmd, begun) => break,
                Err(_) if is_interrupted() => return Err(interrupted().into()),
                Err(_) => {}
            }
        }
        Ok((Reply::timed_out(cmd), None))
    }

    /// Asks something whose answer has at most so many bytes; `None` if it failed or wrote more, or did not end within
    /// its deadline. What it says on stderr is dropped.
    pub fn read_at_most(&self, cmd: &Cmd, most: usize) -> Result<Option<Vec<u8>>> {
        let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
        let expression = self.expression(cmd, None)?.stdout_file(writer).stderr_null();
        let handle = expression.start().map_err(|e| could_not_start(cmd, &e))?;
        drop(expression);
        let (sender, answer) = mpsc::channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.take(most as u64 + 1).read_to_end(&mut bytes).ok();
            sender.send(bytes)
        });
        let begun = Instant::now();
        let bytes = loop {
            match answer.recv_timeout(POLL_INTERVAL) {
                Ok(bytes) if bytes.len() <= most => break bytes,
                Err(RecvTimeoutError::Timeout) if !is_interrupted() && !self.is_over(cmd, begun) => {}
                _ => {
                    handle.kill().ok();
                    return if is_interrupted() { Err(interrupted().into()) } else { Ok(None) };
                }
            }
        };
        let reply = self.wait(cmd, &Started { handle, passing_on: None })?;
        Ok(reply.succeeded().then_some(bytes))
    }

    /// Hands on what a command writes while it runs, as it comes, until the command ends or `each` fails.
    pub fn follow(&self, cmd: &Cmd, mut each: impl FnMut(&[u8]) -> Result<()>) -> Result<Reply> {
        let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
        let expression = self.expression(cmd, None)?.stdout_file(writer).stderr_capture();
        let handle = expression.start().map_err(|e| could_not_start(cmd, &e))?;
        drop(expression);
        // bounded, so that a slow reader of ours slows the command and not our memory
        let (sender, pieces) = mpsc::sync_channel::<Vec<u8>>(PIECES);
        thread::spawn(move || {
            let mut reader = reader;
            let mut buffer = vec![0; PIECE];
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..read].to_vec()).is_err() {
                    return;
                }
            }
        });
        let mut heard = Instant::now();
        loop {
            let passed = match pieces.recv_timeout(POLL_INTERVAL) {
                // also between two pieces: a command may never pause
                _ if is_interrupted() => Err(interrupted().into()),
                Ok(bytes) => {
                    heard = Instant::now();
                    each(&bytes)
                }
                Err(RecvTimeoutError::Timeout) if self.is_over(cmd, heard) => {
                    handle.kill().ok();
                    return Ok(Reply::timed_out(cmd));
                }
                Err(RecvTimeoutError::Timeout) => Ok(()),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if let Err(error) = passed {
                handle.kill().ok();
                return Err(error);
            }
        }
        self.wait(cmd, &Started { handle, passing_on: None })
    }

    /// Starts a command that stays in the background, and waits for the line that tells `ready` that it
    /// is at work, within the command's deadline.
    pub fn start_background<T>(&self, cmd: &Cmd, ready: impl Fn(&str) -> Option<T>) -> Result<(BackgroundProcess, T)> {
        let (reader, writer) = std::io::pipe().context("failed to make a pipe")?;
        let (end, leash) = std::io::pipe().context("failed to make a pipe")?;
        let expression = self.expression(&ends_with_parent(cmd), Some(end))?.stdout_file(writer).stderr_capture();
        let handle = expression.start().map_err(|e| could_not_start(cmd, &e))?;
        let held = BackgroundProcess { handle, leash: Mutex::new(Some(leash)) };
        drop(expression);
        let (sender, lines) = mpsc::channel();
        // read to their end also when nobody waits for one any more
        thread::spawn(move || {
            BufReader::new(reader).lines().map_while(Result::ok).for_each(|line| drop(sender.send(line)));
        });
        let begun = Instant::now();
        loop {
            match lines.recv_timeout(POLL_INTERVAL) {
                _ if is_interrupted() => return Err(interrupted().into()),
                Ok(line) => {
                    if let Some(answer) = ready(&line) {
                        return Ok((held, answer));
                    }
                }
                Err(RecvTimeoutError::Timeout) if self.is_over(cmd, begun) => {
                    return Err(Reply::timed_out(cmd).failure(cmd).into());
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let output = held.handle.wait().with_context(|| format!("failed to {}", cmd.why))?;
                    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
                    return Err(Reply { status: Some(output.status), stdout: Vec::new(), stderr }.failure(cmd).into());
                }
            }
        }
    }

    /// Gives the terminal to a command, such as an editor, until it ends. Ctrl-C is for it alone.
    pub fn attach(&self, cmd: &Cmd) -> Result<ExitStatus> {
        let status = self.program(cmd)?.run().map_err(|e| could_not_start(cmd, &e))?.status;
        interrupt::forget();
        Ok(status)
    }

    /// How long a pause, deadline or delay of `duration` really is.
    pub fn scaled(&self, duration: Duration) -> Duration {
        duration.mul_f64(self.time_scale)
    }

    /// Sleeps, unless the user interrupts.
    pub fn sleep(&self, duration: Duration) -> Result<()> {
        let end = Instant::now() + self.scaled(duration);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            if is_interrupted() {
                return Err(interrupted().into());
            }
            thread::sleep(left.min(POLL_INTERVAL));
        }
        Ok(())
    }

    /// Sleeps about that long: many who failed at once shall not all come back at once.
    pub fn pause(&self, about: Duration) -> Result<()> {
        let mut chance = [0];
        getrandom::fill(&mut chance).ok();
        self.sleep(spread(about, chance[0]))
    }
}

/// Half to one and a half times this long, by chance.
fn spread(about: Duration, chance: u8) -> Duration {
    about.mul_f64(0.5 + f64::from(chance) / 255.0)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .any(|c| c.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_failed_at_once_come_back_at_different_times() {
        let second = Duration::from_secs(1);
        assert_eq!(spread(second, 0), second / 2);
        assert_eq!(spread(second, 255), second * 3 / 2);
        assert!((0..255).all(|chance| spread(second, chance) < spread(second, chance + 1)));
    }
}
