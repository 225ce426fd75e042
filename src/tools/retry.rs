//! Trying again: what is tried again, how often and for how long. All loops that try something again use this file.
//!
//! kubectl itself asks again only where the server says when to (`Retry-After`), or hangs up on a GET
//! (<https://github.com/kubernetes/client-go/blob/master/rest/with_retry.go>). So everything else is tried again here,
//! for as long as an API server or a webhook takes to start: half a minute. A webhook may take 30 s for one answer
//! (<https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#timeouts>).
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
/// webhook that is not ready. The pauses are 15 s together; the limit leaves room for one answer of 65 s, the longest
/// that is waited for (`ADMISSION` in `kubectl.rs`), and a second try.
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

/// A log of which nothing comes any more. The kubelet looks at its containers each second, so one is a pause after
/// which there may be more.
pub const LOG: Policy = Policy { tries: 6, longest: None, first_pause: Duration::from_secs(1), factor: 1, ..CHANGE };

/// The helper of a transfer, after a cut without progress. The pauses are 52 s together: a node that restarts its
/// network, or a new pod of the helper, is there again by then.
pub const RECONNECT: Policy = Policy {
    tries: 10,
    longest: None,
    first_pause: Duration::from_millis(200),
    factor: 2,
    longest_pause: Duration::from_secs(10),
};

/// How long `--follow` and `status -w` go on asking a cluster that does not answer. They change nothing, and the
/// network of a laptop comes and goes; five minutes is the choice of this project.
const OUTAGE: Duration = Duration::from_secs(300);

impl Policy {
    /// Returns the pause after so many failures.
    pub fn pause_after(&self, failures: u32) -> Duration {
        let factor = self.factor.saturating_pow(failures.saturating_sub(1));
        self.first_pause.saturating_mul(factor).min(self.longest_pause)
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
        let is_late = |longest| self.begun.elapsed() > self.shell.scaled(longest);
        self.failures + 1 >= self.policy.tries || self.policy.longest.is_some_and(is_late)
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
        self.shell.pause(self.policy.pause_after(self.failures))
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
        assert_eq!(RECONNECT.pause_after(1), RECONNECT.first_pause);
        assert_eq!(RECONNECT.pause_after(7), RECONNECT.longest_pause);
        assert_eq!(RECONNECT.pause_after(4_000_000_000), RECONNECT.longest_pause);
    }
}
