//! Queues simultaneous submissions on one machine: a hundred kubectls that start together slow each other down
//! until the API server seems not to answer.

use std::fs::{File, TryLockError};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::tools::shell::Shell;
use crate::util::files;
use crate::util::ui::Ui;

/// How many submissions run at the same time per processor; each starts a few programs.
const FOR_EACH: usize = 2;

/// How long to wait for a turn: a lock may be held for another reason.
const LONGEST: Duration = Duration::from_secs(60);

/// The approximate pause between two attempts.
const PAUSE: Duration = Duration::from_millis(200);

/// A turn; it ends when this is dropped, or the process ends.
#[derive(Debug)]
pub struct SubmitSlot {
    _lock: File,
}

impl SubmitSlot {
    /// Waits for a turn; `None` if that takes too long or the lock fails.
    ///
    /// # Errors
    /// If the user interrupts.
    pub fn wait(state: &Path, shell: &Shell, ui: &Ui) -> Result<Option<Self>> {
        let folder = state.join("turns");
        if files::make_private(&folder).is_err() {
            return Ok(None);
        }
        let turns = FOR_EACH * thread::available_parallelism().map_or(2, std::num::NonZero::get).max(2);
        let begun = Instant::now();
        let mut told = false;
        while begun.elapsed() < shell.scaled(LONGEST) {
            for number in 0..turns {
                let Ok(lock) = files::lock_file(&folder.join(number.to_string()), true) else { return Ok(None) };
                match lock.try_lock() {
                    Ok(()) => return Ok(Some(Self { _lock: lock })),
                    Err(TryLockError::WouldBlock) => {}
                    Err(TryLockError::Error(_)) => return Ok(None),
                }
            }
            if !told {
                ui.tell("turn", format!("waits for {turns} others that this machine is submitting"));
                told = true;
            }
            shell.pause(PAUSE)?;
        }
        Ok(None)
    }
}
