//! What was noticed while facts were gathered, for the caller to tell and to write down.

use anyhow::Result;

use crate::ops::claim_cache::{self, CacheChange};
use crate::tools::cluster::Cluster;

/// Facts that were gathered, and what was noticed meanwhile.
#[derive(Debug)]
#[must_use = "the warnings are lost unless they are told"]
pub struct Facts<T> {
    /// The answer.
    pub result: Result<T>,
    /// The messages and cache entries, also of a failure.
    pub notices: Notices,
}

/// What was noticed while facts were gathered.
#[derive(Debug, Default)]
pub struct Notices {
    /// What the user should know, in the order in which it is told.
    pub messages: Vec<Notice>,
    /// What this machine should remember, with its keys.
    pub cache: Vec<(String, CacheChange)>,
}

/// A message to the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A warning.
    Warning(String),
    /// A line below a warning.
    Line(String),
}

impl<T> Facts<T> {
    /// Tells the messages, writes the cache, and returns the answer.
    pub fn settle(self, cluster: Cluster) -> Result<T> {
        self.notices.settle(cluster);
        self.result
    }
}

impl Notices {
    /// Tells the messages and writes the cache.
    pub fn settle(self, cluster: Cluster) {
        for message in self.messages {
            match message {
                Notice::Warning(words) => cluster.ui.warn(words),
                Notice::Line(words) => cluster.ui.say(words),
            }
        }
        for (key, change) in self.cache {
            claim_cache::write(cluster.cache, &key, change);
        }
    }
}

/// What the caller does with notices that should not wait for the end.
pub type Early<'a> = &'a dyn Fn(Notices);

/// Asks the questions of one fact, and notes what comes up.
pub(super) struct Gatherer<'a> {
    pub(super) cluster: Cluster<'a>,
    notices: Notices,
}

impl<'a> Gatherer<'a> {
    /// Returns what `ask` finds out, with what it noticed.
    pub(super) fn gather<T>(cluster: Cluster<'a>, ask: impl FnOnce(&mut Self) -> Result<T>) -> Facts<T> {
        let mut gatherer = Self { cluster, notices: Notices::default() };
        let result = ask(&mut gatherer);
        Facts { result, notices: gatherer.notices }
    }

    /// Takes over what another question noticed.
    pub(super) fn take<T>(&mut self, facts: Facts<T>) -> Result<T> {
        self.notices.messages.extend(facts.notices.messages);
        self.notices.cache.extend(facts.notices.cache);
        facts.result
    }

    pub(super) fn warn(&mut self, words: impl Into<String>) {
        self.notices.messages.push(Notice::Warning(words.into()));
    }

    /// Hands on what was noticed so far.
    pub(super) fn hand_over(&mut self, early: Early) {
        early(std::mem::take(&mut self.notices));
    }

    pub(super) fn say(&mut self, words: impl Into<String>) {
        self.notices.messages.push(Notice::Line(words.into()));
    }

    pub(super) fn remember(&mut self, key: &str, change: CacheChange) {
        self.notices.cache.push((key.to_owned(), change));
    }
}
