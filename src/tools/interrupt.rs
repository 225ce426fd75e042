//! The user's interrupts: Ctrl-C, SIGTERM, SIGHUP. They are noted, and whoever waits looks.

use std::io::{PipeWriter, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use signal_hook::flag;

use crate::util::error::{Exit, Fail, fail};

/// How often a waiting thread looks whether the user has interrupted; an answer is seen at once.
pub const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(unix)]
const INTERRUPTS: &[i32] = &[signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const INTERRUPTS: &[i32] = &[signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

static INTERRUPTED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// From now on interrupts are noted and end nobody.
///
/// # Errors
/// If the system does not allow it.
pub fn listen() -> std::io::Result<()> {
    INTERRUPTS.iter().try_for_each(|&signal| flag::register(signal, Arc::clone(&INTERRUPTED)).map(drop))
}

/// Forgets an interrupt that was meant for somebody else.
pub fn forget() {
    INTERRUPTED.store(false, Ordering::SeqCst);
}

/// Whether the user has interrupted.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// A reader, or a pipe's end to write to, that fails once the user has interrupted.
#[derive(Debug)]
pub struct Interruptible<R>(pub R);

impl<R: Read> Read for Interruptible<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if is_interrupted() {
            return Err(std::io::Error::other(interrupted()));
        }
        self.0.read(buffer)
    }
}

impl Interruptible<PipeWriter> {
    #[cfg(unix)]
    pub(super) fn never_block(&self) -> std::io::Result<()> {
        let flags = rustix::fs::fcntl_getfl(&self.0)?;
        Ok(rustix::fs::fcntl_setfl(&self.0, flags | rustix::fs::OFlags::NONBLOCK)?)
    }

    #[cfg(unix)]
    fn wait(&self) -> std::io::Result<()> {
        let mut pipe = [rustix::event::PollFd::new(&self.0, rustix::event::PollFlags::OUT)];
        let glance = rustix::event::Timespec::try_from(POLL_INTERVAL).map_err(std::io::Error::other)?;
        match rustix::event::poll(&mut pipe, Some(&glance)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    #[cfg(not(unix))]
    pub(super) fn never_block(&self) -> std::io::Result<()> {
        Ok(())
    }

    #[cfg(not(unix))]
    fn wait(&self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Write for Interruptible<PipeWriter> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        loop {
            // a reader that never reads would else be waited for also after an interrupt
            if is_interrupted() {
                return Err(std::io::Error::other(interrupted()));
            }
            match self.0.write(bytes) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => self.wait()?,
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// The error of an interrupted command.
pub fn interrupted() -> Fail {
    fail("interrupted").exit(Exit::Interrupted)
}

/// `error`, unless it comes of the user's interrupt.
pub fn or_interrupted(error: anyhow::Error) -> anyhow::Error {
    if is_interrupted() { interrupted().into() } else { error }
}

/// Whether `error` is a user's interrupt.
pub fn was_interrupted(error: &anyhow::Error) -> bool {
    error.chain().any(|c| c.downcast_ref::<Fail>().is_some_and(|f| f.exit == Exit::Interrupted))
}
