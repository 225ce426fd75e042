//! Trying again: how often and for how long programs and connections are tried again. Loops count their tries and pause
//! by the policies here. All numbers are choices of this project, unless a source is named.
//!
//! kubectl itself asks again where the answer says when (`Retry-After`), and where the server hangs up on a GET
//! (`IsNextRetry` and `request` in <https://github.com/kubernetes/client-go/tree/master/rest>). A change that was cut off
//! may have been made, so kubectl does not repeat it.
//!
//! Two things look alike and are elsewhere: `ops/submit_limiter.rs` waits for a turn, and `util/files.rs` repeats a file
//! operation at once if another process changed the folder meanwhile.
//!
//! Ctrl-C ends each pause.

use std::time::{Duration, Instant};

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::tools::cmd::Cmd;
use crate::tools::kubectl::short_reason;
use crate::tools::reply::Reply;
use crate::tools::shell::{Shell, was_interrupted};
use crate::util::error::flatten;

/// How often and for how long something is tried.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The number of tries in all.
    pub tries: u32,
    /// After this time there is no further try, however few there were.
    pub longest: Option<Duration>,
    /// The pause before the second try.
    pub first_pause: Duration,
    /// Each pause is this many times as long as the one before.
    pub factor: u32,
    /// No pause is longer.
    pub longest_pause: Duration,
}

/// A change that a run needs. Tried again after an unclear answer, and after a refusal that passes, such as that of a
/// webhook that is not ready. The pauses are 15.5 s together. An answer may take 65 s (`ADMISSION` in `kubectl.rs`):
/// the limit leaves room for a second try after it, which may end later.
pub const CHANGE: Policy = Policy {
    tries: 6,
    longest: Some(Duration::from_secs(90)),
    first_pause: Duration::from_millis(500),
    factor: 2,
    longest_pause: Duration::from_secs(8),
};

/// A change that a run can do without. It holds up the run, so there are fewer tries.
pub const OPTIONAL_CHANGE: Policy = Policy { tries: 3, longest: None, ..CHANGE };

/// A question whose connection broke off, see [`Cmd::retry_on`]. The user waits for the answer and sees nothing
/// meanwhile, so the pauses are 3 s together.
pub const QUESTION: Policy = Policy {
    tries: 4,
    longest: None,
    first_pause: Duration::from_millis(250),
    factor: 3,
    longest_pause: Duration::from_secs(3),
};

/// A log of which nothing comes any more. A second after its container ended, the kubelet may have noticed
/// (`genericPlegRelistPeriod` in <https://github.com/kubernetes/kubernetes/blob/master/pkg/kubelet/kubelet.go>).
pub const LOG: Policy = Policy { tries: 6, longest: None, first_pause: Duration::from_secs(1), factor: 1, ..CHANGE };

/// The log of an ended pod that is read together with others: they are looked at in turn, so there is no pause. After
/// the last failure kubectl reads it and reports the error.
pub const STREAM: Policy = Policy { tries: 3, longest: None, first_pause: Duration::ZERO, ..CHANGE };

/// The way to the helper of a transfer, without progress in between. A single failure is usually over at once, so the
/// first pause is short. The pauses are 54 s together.
pub const RECONNECT: Policy = Policy {
    tries: 10,
    longest: None,
    first_pause: Duration::from_millis(50),
    factor: 3,
    longest_pause: Duration::from_secs(12),
};

/// A request to the helper whose connection was cut, without progress in between. The helper was reached each time, so
/// the pauses are shorter than those of [`RECONNECT`]: 9 s together.
pub const REQUEST: Policy = Policy {
    tries: 10,
    longest: None,
    first_pause: Duration::from_millis(10),
    factor: 3,
    longest_pause: Duration::from_secs(2),
};

/// How long `--follow` and `status -w` go on asking a cluster that does not answer. They change nothing, and the
/// network of a laptop comes and goes; five minutes is the choice of this project.
const OUTAGE: Duration = Duration::from_secs(300);

impl Policy {
    /// Returns whether there is no further try after so many failures.
    pub fn is_over(&self, failures: u32) -> bool {
        failures >= self.tries
    }

    /// Pauses after so many failures.
    ///
    /// # Errors
    /// If the user interrupts.
    pub fn pause(&self, failures: u32, shell: &Shell) -> Result<()> {
        shell.pause(self.pause_after(failures))
    }

    fn pause_after(&self, failures: u32) -> Duration {
        let factor = self.factor.saturating_pow(failures.saturating_sub(1));
        self.first_pause.saturating_mul(factor).min(self.longest_pause)
    }

    /// Whether there is no further try after so many failures in this time.
    fn is_last(&self, failures: u32, elapsed: Duration, scaled: impl Fn(Duration) -> Duration) -> bool {
        self.is_over(failures) || self.longest.is_some_and(|longest| elapsed > scaled(longest))
    }
}

/// The failures in a row of something that gets on meanwhile: progress begins the count anew.
#[derive(Debug, Default)]
pub struct Failures {
    in_a_row: u32,
    progress: u64,
}

impl Failures {
    /// Notes a failure, with all progress until now. Returns how many there were since the last progress.
    pub fn note(&mut self, progress: u64) -> u32 {
        self.in_a_row = if progress == self.progress { self.in_a_row.saturating_add(1) } else { 1 };
        self.progress = progress;
        self.in_a_row
    }

    /// Whether there was no failure yet.
    pub fn is_empty(&self) -> bool {
        self.in_a_row == 0
    }
}

/// The tries of one thing.
#[derive(Debug)]
pub struct Retry<'a> {
    shell: &'a Shell,
    policy: Policy,
    failures: u32,
    begun: Instant,
}

impl<'a> Retry<'a> {
    /// Begins with the first try.
    pub fn new(shell: &'a Shell, policy: Policy) -> Self {
        Self { shell, policy, failures: 0, begun: Instant::now() }
    }

    /// Returns whether the try that was just made is the last one.
    pub fn is_last(&self) -> bool {
        self.policy.is_last(self.failures + 1, self.begun.elapsed(), |longest| self.shell.scaled(longest))
    }

    /// Warns that a command failed and is tried again, and pauses.
    ///
    /// # Errors
    /// If the user interrupts.
    pub fn again(&mut self, cmd: &Cmd, reply: &Reply) -> Result<()> {
        self.shell.ui().warn(format!("failed to {}, trying again: {}", cmd.why, short_reason(reply)));
        self.pause()
    }

    /// Pauses before the next try.
    ///
    /// # Errors
    /// If the user interrupts.
    pub fn pause(&mut self) -> Result<()> {
        self.failures += 1;
        self.policy.pause(self.failures, self.shell)
    }
}

impl Shell {
    /// Asks something: silent, kept, answered within the command's deadline or not at all. Where the command says
    /// so, it is asked again.
    pub fn read(&self, cmd: &Cmd) -> Result<Reply> {
        self.ask(cmd, || self.read_once(cmd), |reply| reply)
    }

    /// The same for an answer that is too large to be held whole: read as JSON while it comes. The reply has the
    /// beginning of it alone; `None` is an answer of nothing at all.
    pub fn read_json<T: DeserializeOwned + Send + 'static>(&self, cmd: &Cmd) -> Result<(Reply, Option<T>)> {
        self.ask(cmd, || self.read_json_once(cmd), |(reply, _)| reply)
    }

    fn ask<T>(&self, cmd: &Cmd, ask: impl Fn() -> Result<T>, reply: impl Fn(&T) -> &Reply) -> Result<T> {
        let mut retry = Retry::new(self, QUESTION);
        loop {
            let answer = ask()?;
            let said = reply(&answer);
            let is_cut = !said.succeeded() && cmd.retry_on.iter().any(|words| said.stderr.contains(words));
            if !is_cut || retry.is_last() {
                return Ok(answer);
            }
            retry.pause()?;
        }
    }
}

/// The time during which a cluster that is watched does not answer.
#[derive(Debug, Default)]
pub struct Outage(Option<Instant>);

impl Outage {
    /// Notes an answer.
    pub fn ends(&mut self) {
        self.0 = None;
    }

    /// Notes that there was no answer, and returns why in words.
    ///
    /// # Errors
    /// The error itself, if there was no answer for five minutes or the user interrupts.
    pub fn bear(&mut self, error: anyhow::Error, shell: &Shell) -> Result<String> {
        let since = *self.0.get_or_insert_with(Instant::now);
        if was_interrupted(&error) || since.elapsed() > shell.scaled(OUTAGE) {
            return Err(error);
        }
        let whole = flatten(&error);
        let cause = whole.details.last().cloned().unwrap_or(whole.message);
        Ok(format!("the cluster does not answer, trying again: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let seconds = |policy: Policy| (1..policy.tries).map(|n| policy.pause_after(n).as_secs_f64()).sum::<f64>();
        assert!((seconds(CHANGE) - 15.5).abs() < 0.01);
        assert!((seconds(QUESTION) - 3.25).abs() < 0.01);
        assert!((seconds(LOG) - 5.0).abs() < 0.01);
        assert!((seconds(RECONNECT) - 54.05).abs() < 0.01);
        assert!((seconds(REQUEST) - 9.21).abs() < 0.01);
        assert!(seconds(STREAM) < 0.01);
        assert_eq!(RECONNECT.pause_after(1), RECONNECT.first_pause);
        assert_eq!(RECONNECT.pause_after(7), RECONNECT.longest_pause);
        assert_eq!(RECONNECT.pause_after(4_000_000_000), RECONNECT.longest_pause);
    }

    #[test]
    fn a_change_ends_after_its_tries_or_its_time() {
        let is_last = |failures, seconds| CHANGE.is_last(failures, Duration::from_secs(seconds), |longest| longest);
        assert_eq!((1..8).position(|failures| is_last(failures, 0)), Some(5));
        assert_eq!([89, 90, 91].map(|seconds| is_last(1, seconds)), [false, false, true]);
        // an answer of 65 s leaves room for a second try
        assert!(!is_last(1, 65));
        assert!(!QUESTION.is_last(1, Duration::from_secs(9_999), |longest| longest));
    }

    #[test]
    fn progress_begins_the_count_of_failures_anew() {
        let mut failures = Failures::default();
        assert!(failures.is_empty());
        assert_eq!([0, 0, 0, 5, 5, 6].map(|progress| failures.note(progress)), [1, 2, 3, 1, 2, 1]);
        assert!(!failures.is_empty());
    }
}
