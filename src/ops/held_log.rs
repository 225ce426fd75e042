//! Buffers a log while another source may turn out to be better.

use std::fmt;

use anyhow::Result;

use crate::k8s::pod::Pod;
use crate::runs::lines::{HELD, LATE};
use crate::runs::logs::{Position, Sink};
use crate::runs::printed;
use crate::util::ui::Ui;

/// Buffers a log while another source may turn out to be better.
pub(super) struct Held<'a> {
    pub(super) ui: &'a Ui,
    pub(super) bytes: Vec<u8>,
    pub(super) is_passing: bool,
    /// Whether the expected size is known.
    pub(super) is_counted: bool,
    pub(super) pod: Pod<'a>,
}

impl Sink for Held<'_> {
    fn take(&mut self, bytes: &[u8], position: &Position) -> Result<()> {
        if self.is_passing {
            return self.ui.pass_on(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        let is_late = printed::lateness(self.pod, position.first()) > LATE;
        match self.bytes.len() > HELD {
            // more than was printed is everything
            true if self.is_counted => self.pass_on(),
            true => Err(TooMuch.into()),
            false if !self.is_counted && !is_late => self.pass_on(),
            false => Ok(()),
        }
    }
}

/// The log is larger than the buffer.
#[derive(Debug)]
pub(super) struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log is too long to be held back")
    }
}

impl std::error::Error for TooMuch {}

impl Held<'_> {
    /// Passes on the buffered bytes, and everything that follows.
    pub(super) fn pass_on(&mut self) -> Result<()> {
        self.is_passing = true;
        self.ui.pass_on(&std::mem::take(&mut self.bytes))
    }
}
