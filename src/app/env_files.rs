//! The files that `--env-file` names. Each is read once: a pipe, which keeps secrets off the disk, gives what it has only
//! once.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use crate::config::{self, Variable};
use crate::tools::cmd::quote;
use crate::tools::shell::Shell;
use crate::util::error::{Fail, usage};
use crate::util::ui::{Ui, clean};

/// How long a pipe may take to bring all that it has.
const PIPE_TIMEOUT: Duration = Duration::from_secs(300);

/// What files of variables held when they were read.
#[derive(Default)]
pub struct EnvFiles(Mutex<BTreeMap<PathBuf, Vec<Variable>>>);

/// Their values are nobody's business.
impl fmt::Debug for EnvFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvFiles")
    }
}

impl EnvFiles {
    /// The variables of the file at `path`, which may be a pipe.
    ///
    /// # Errors
    /// Why it can't be read, or which line is none of a variable.
    pub fn read(&self, path: &Path, ui: &Ui, shell: &Shell) -> Result<Vec<Variable>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(variables) = known.get(path) {
            return Ok(variables.clone());
        }
        let variables = match kind(path) {
            EnvFileKind::File => config::read_env_file(path)?,
            EnvFileKind::Other(what, hint) => {
                return Err(usage(format!("{} is {what}", named(path))).hint(hint).into());
            }
            #[cfg(unix)]
            EnvFileKind::Pipe => config::parse_env_file(&pipe::text(path, ui, shell.scaled(PIPE_TIMEOUT))?, path)?,
        };
        known.insert(path.to_owned(), variables.clone());
        Ok(variables)
    }
}

/// Whether a path leads to what this process was started with, and no later one has.
pub fn is_passing(path: &Path) -> bool {
    ["/dev/fd", "/proc/self/fd", "/dev/stdin"].iter().any(|folder| path.starts_with(folder))
}

enum EnvFileKind {
    /// Or nothing, or what can't be looked at.
    File,
    #[cfg(unix)]
    Pipe,
    /// In words, and what to do.
    Other(&'static str, String),
}

#[cfg(unix)]
fn kind(path: &Path) -> EnvFileKind {
    use std::os::unix::fs::FileTypeExt;
    let Ok(metadata) = fs::metadata(path) else { return EnvFileKind::File };
    let kind = metadata.file_type();
    let pipe = || format!("name a file or a pipe, such as `--env-file <({})`", "pass show NAME");
    if kind.is_fifo() {
        EnvFileKind::Pipe
    } else if kind.is_socket() {
        EnvFileKind::Other("a socket", pipe())
    } else if is_terminal(path) {
        EnvFileKind::Other(
            "a terminal",
            format!(
                "have a command write to it: `pass show NAME | kubectl mrunner run --env-file {} …`",
                quote(path.as_os_str())
            ),
        )
    } else if kind.is_block_device() || (kind.is_char_device() && path != Path::new("/dev/null")) {
        EnvFileKind::Other("a device, which may never end", pipe())
    } else {
        EnvFileKind::File
    }
}

#[cfg(unix)]
fn is_terminal(path: &Path) -> bool {
    use std::io::IsTerminal;
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_char_device())
        && fs::OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits().cast_signed())
            .open(path)
            .is_ok_and(|file| file.is_terminal())
}

#[cfg(not(unix))]
fn kind(_: &Path) -> EnvFileKind {
    EnvFileKind::File
}

fn named(path: &Path) -> String {
    format!("`{}`", clean(&path.display().to_string()))
}

#[cfg(unix)]
mod pipe {
    use std::fs::OpenOptions;
    use std::io::{ErrorKind, Read};
    use std::os::unix::fs::OpenOptionsExt;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use anyhow::{Context, Result};
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::fs::OFlags;

    use super::{Fail, Ui, named, usage};
    use crate::tools::interrupt::{POLL_INTERVAL, interrupted, is_interrupted};

    /// What has room in a Secret, about.
    const LONGEST: usize = 1 << 20;

    /// When it is told that a pipe is waited for.
    const SILENCE: Duration = Duration::from_secs(2);

    /// All that a pipe brings.
    pub(super) fn text(path: &Path, ui: &Ui, timeout: Duration) -> Result<String> {
        let cannot = || format!("failed to read {}", named(path));
        let glance = Timespec::try_from(POLL_INTERVAL).with_context(cannot)?;
        // opening it does not wait for somebody to write
        let mut pipe = OpenOptions::new();
        let mut pipe = pipe
            .read(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open(path)
            .map_err(|e| cannot_read(path, &e))?;
        let (mut bytes, mut buffer, mut told) = (Vec::new(), [0; 1 << 13], false);
        let begun = Instant::now();
        loop {
            if is_interrupted() {
                return Err(interrupted().into());
            }
            if begun.elapsed() > timeout {
                return Err(usage(format!("{} did not end in {} s", named(path), timeout.as_secs()))
                    .hint("does something write to it, and close it?")
                    .into());
            }
            if !told && begun.elapsed() > SILENCE {
                told = true;
                let what = if bytes.is_empty() { "nothing has been written to it" } else { "it has not ended" };
                ui.say(format!("waiting for {}: {what} yet", named(path)));
            }
            let ready = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&glance));
            if matches!(ready, Ok(0) | Err(rustix::io::Errno::INTR)) {
                continue;
            }
            match pipe.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => bytes.extend_from_slice(&buffer[..read]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(e) => return Err(cannot_read(path, &e).into()),
            }
            if bytes.len() > LONGEST {
                return Err(usage(format!("{} brings more than {} MiB", named(path), LONGEST >> 20))
                    .hint("all variables together have to fit into a Secret")
                    .into());
            }
        }
        if bytes.is_empty() {
            return Err(usage(format!("{} brought nothing", named(path)))
                .hint("try the command that writes to it alone: did it fail?")
                .into());
        }
        let words = |e: std::string::FromUtf8Error| {
            let line = e.as_bytes()[..e.utf8_error().valid_up_to()].split(|byte| *byte == b'\n').count();
            usage(format!("{} line {line}: this is not text in UTF-8", named(path)))
        };
        Ok(String::from_utf8(bytes).map_err(words)?)
    }

    fn cannot_read(path: &Path, error: &std::io::Error) -> Fail {
        usage(format!("{} can't be read: {error}", named(path)))
    }
}
