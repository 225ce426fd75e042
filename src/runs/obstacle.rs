//! How long to wait for a run that does not start, continue or end.

use std::time::{Duration, Instant};

use crate::runs::faults::Hope;
use crate::runs::state::Run;
use crate::tools::shell::Shell;

/// How long a pod may stay in a state of little hope. The kubelet's second try of a pull comes after 10 s.
const LITTLE_HOPE: Duration = Duration::from_secs(20);
/// How long a fault may last that usually passes. The kubelet retries pulling an image after 10, 20, 40, 80, 160
/// and then every 300 s, so a fault that was fixed within five minutes is noticed within eleven.
const MINUTES: Duration = Duration::from_secs(15 * 60);
/// How long a container may run after the experiment has ended before the run counts as ended.
const LINGER: Duration = Duration::from_secs(20);

/// What keeps a run from starting, and since when.
#[derive(Debug, Default)]
pub struct Obstacle {
    /// The words, and since when they are the same.
    known: Option<(String, Instant)>,
    /// Since when the obstacle is at least one that usually passes.
    passing: Option<Instant>,
    /// Since when there is little or no hope.
    little: Option<Instant>,
}

impl Obstacle {
    /// How long the words have been the same.
    pub fn holds(&mut self, words: &str) -> Duration {
        match &self.known {
            Some((known, since)) if known == words => since.elapsed(),
            _ => {
                self.known = Some((words.to_owned(), Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// Records how much hope there is, `None` if nothing is wrong. Returns whether to give up. Another wording of
    /// the same trouble does not restart the clock; a lesser trouble does.
    pub fn is_hopeless(&mut self, hope: Option<Hope>, shell: &Shell) -> bool {
        let since = |from: Hope, clock: Option<Instant>| {
            hope.filter(|hope| *hope >= from).map(|_| clock.unwrap_or_else(Instant::now))
        };
        self.passing = since(Hope::Minutes, self.passing);
        self.little = since(Hope::Little, self.little);
        let over = |clock: Option<Instant>, limit| clock.is_some_and(|since| since.elapsed() > shell.scaled(limit));
        hope == Some(Hope::None) || over(self.little, LITTLE_HOPE) || over(self.passing, MINUTES)
    }
}

/// Since when a run's experiment has ended while another container keeps its pod.
#[derive(Debug, Default)]
pub struct Linger(Option<Instant>);

impl Linger {
    /// Whether a run has ended. A run whose pod is kept by another container counts once that container has had
    /// some time to end.
    pub fn has_ended(&mut self, run: &Run, shell: &Shell) -> bool {
        if !run.phase.is_final() {
            self.0 = None;
            return false;
        }
        run.is_settled() || self.0.get_or_insert_with(Instant::now).elapsed() > shell.scaled(LINGER)
    }
}

/// The cluster's words without parts that differ between the pods of a run: the ends of names, and the IDs of
/// sandboxes.
pub fn without_names(words: &str, run: &str) -> String {
    let is_sandbox = |word: &str| word.len() >= 12 && word.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
    let is_pod = |word: &str| {
        // RUN-INDEX-abcde, or JOB-abcde of a helper
        let rest = word.strip_prefix(run).and_then(|rest| rest.strip_prefix('-')).unwrap_or_default();
        let end = rest.split_once('-').filter(|(index, _)| index.bytes().all(|b| b.is_ascii_digit()));
        end.map_or(rest, |(_, end)| end).len() == 5
    };
    let is_inside = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let mut plain = String::with_capacity(words.len());
    let mut rest = words;
    while !rest.is_empty() {
        let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
        let (word, more) = rest.split_at(end);
        plain.push_str(if is_pod(word) || is_sandbox(word) { "*" } else { word });
        let gap = more.find(is_inside).unwrap_or(more.len());
        plain.push_str(&more[..gap]);
        rest = &more[gap..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_the_same_for_each_pod() {
        let quota = |pod: &str| format!("pods \"{pod}\" is forbidden: exceeded quota: q, requested: pods=1");
        let same = |a: &str, b: &str| without_names(a, "nap-3f9k2m1a") == without_names(b, "nap-3f9k2m1a");
        assert!(same(&quota("nap-3f9k2m1a-2-x7k2p"), &quota("nap-3f9k2m1a-13-aaaaa")));
        assert!(same(&quota("nap-3f9k2m1a-x7k2p"), &quota("nap-3f9k2m1a-aaaaa")));
        assert!(!same(&quota("nap-3f9k2m1a-2-x7k2p"), &quota("other-3f9k2m1a-2-x7k2p")));
        let sandbox = |id: &str| format!("failed to setup network for sandbox \"{id}\": no more addresses");
        assert!(same(&sandbox("0123456789abcdef0123456789abcdef"), &sandbox("fedcba9876543210fedcba9876543210")));
        assert!(!same("0/2 nodes are available", "1/2 nodes are available"));
        assert_eq!(without_names("é: \"a\"", "r"), "é: \"a\"");
    }
}
