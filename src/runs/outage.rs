//! A cluster that does not answer is asked again: nothing of a run is lost by that, and the network of a laptop comes
//! and goes.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::tools::shell::{self, Shell};
use crate::util::error::flatten;

/// How long it is asked again.
const UNREACHABLE: Duration = Duration::from_secs(300);

/// Since when there is no answer.
#[derive(Debug, Default)]
pub struct Outage(Option<Instant>);

impl Outage {
    /// There was an answer.
    pub fn ends(&mut self) {
        self.0 = None;
    }

    /// Why there is none, in words.
    ///
    /// # Errors
    /// The error itself, if there was none for five minutes or the user interrupted.
    pub fn bear(&mut self, error: anyhow::Error, shell: &Shell) -> Result<String> {
        let since = *self.0.get_or_insert_with(Instant::now);
        if shell::was_interrupted(&error) || since.elapsed() > shell.scaled(UNREACHABLE) {
            return Err(error);
        }
        let whole = flatten(&error);
        let cause = whole.details.last().cloned().unwrap_or(whole.message);
        Ok(format!("the cluster does not answer, trying again: {cause}"))
    }
}
