//! Errors of a session, and what may be decided by them.

use std::fmt;
use std::io;

use crate::transfer::connection::TransferError;
use crate::transfer::protocol::{Reply, out_of_order};
use crate::transfer::{DISK_FULL, NOT_FOUND, NOT_PERMITTED, QUOTA, READ_ONLY, shown};
use crate::util::error::{Cause, Fail, Refusal, fail, flatten};

/// Turns an answer that does not fit the request into an error.
pub(crate) fn unexpected(path: &[u8], reply: &Reply) -> TransferError {
    match reply {
        Reply::Refused { errno: NOT_FOUND, .. } => TransferError::Fatal(Missing(path.to_vec()).into()),
        Reply::Refused { errno, words } => refused(path, *errno, words).into(),
        _ => TransferError::Cut(out_of_order()),
    }
}

/// Turns a refusal of the helper into an error.
pub(crate) fn refused(path: &[u8], errno: u32, words: &[u8]) -> Fail {
    let error = fail(format!("`{}` in the storage: {}", shown(path), String::from_utf8_lossy(words)));
    match errno {
        DISK_FULL | QUOTA => {
            error.hint("free some space with `kubectl mrunner rm`, and run the same command again to resume")
        }
        READ_ONLY => error.hint("the volume is read-only"),
        NOT_PERMITTED => error.hint("set `run_as` in the context to the owner of the files"),
        _ => error,
    }
}

/// The path does not exist.
#[derive(Debug)]
struct Missing(Vec<u8>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there is no `{}` in the storage", shown(&self.0))
    }
}

impl std::error::Error for Missing {}

/// Whether an error says that the path does not exist.
pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
    error.is::<Missing>()
}

pub(super) fn cut(error: &io::Error) -> Fail {
    let words = match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            "the connection was cut".to_owned()
        }
        _ => error.to_string(),
    };
    fail(format!("failed to reach the storage through `kubectl port-forward`: {words}"))
}

/// Whether the cluster has answered with a failure that a retry cannot change.
pub(super) fn is_verdict(error: &anyhow::Error) -> bool {
    match flatten(error).known {
        Some(Cause::CannotStart) => true,
        // the namespace and the claim may be created a moment later
        Some(Cause::Refused(refusal)) => {
            !matches!(refusal, Refusal::AlreadyExists | Refusal::NotFound | Refusal::NoNamespace | Refusal::Conflict)
        }
        _ => false,
    }
}

pub(super) fn gave_up(error: &anyhow::Error, tries: u32) -> anyhow::Error {
    let words = fail(format!("no progress in {tries} attempts"));
    anyhow::Error::new(OutOfReach(words.because(error).hint("run the same command again to resume")))
}

/// The storage cannot be reached.
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

/// Whether an error says that the storage cannot be reached.
pub(crate) fn is_out_of_reach(error: &anyhow::Error) -> bool {
    error.is::<OutOfReach>()
}
