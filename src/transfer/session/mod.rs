//! Access to the files of one volume: reconnects after a cut, and replaces a helper pod that is gone.

mod errors;
mod line;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::tools::cluster::Cluster;
use crate::tools::kubectl::forwarded;
use crate::tools::retry::{Failures, RECONNECT};
use crate::tools::shell::{BackgroundProcess, interrupted, is_interrupted, was_interrupted};
use crate::transfer::VolumeAccess;
use crate::transfer::connection::Connection;
use crate::transfer::helper::{Helper, Maker};
use crate::transfer::protocol::{Entries, Entry, FileKind, Request, Token};
use crate::util::error::flatten;

use errors::{cut, gave_up, is_verdict};
pub(crate) use errors::{is_missing, is_out_of_reach, refused, unexpected};
pub(crate) use line::Line;
pub(super) use line::gather;

/// How long a helper may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// Access to the files of one volume. Its helper is deleted when it is dropped.
#[derive(Debug)]
pub(crate) struct Session {
    maker: Maker,
    token: Token,
    route: Mutex<Route>,
    pub(crate) tally: Tally,
}

/// The files below a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) bytes: u64,
    pub(crate) files: u64,
    /// The latest modification, in nanoseconds since 1970.
    pub(crate) newest: Option<i64>,
}

/// Counters over all connections of a session.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Grows with all progress that need not be repeated after a cut.
    progress: AtomicU64,
    /// Bytes of frames that a cut left incomplete.
    pub(super) wasted: AtomicU64,
    /// Connections that were cut.
    pub(super) cuts: AtomicU64,
}

/// How to reach the helper.
#[derive(Debug, Default)]
struct Route {
    helper: Option<Helper>,
    forward: Option<(BackgroundProcess, u16)>,
    /// Grows with each repair, so that one cut is repaired once.
    generation: u64,
    failures: Failures,
}

/// Starts a helper for the volume.
pub(crate) fn open(cluster: Cluster, access: VolumeAccess, read_only: bool) -> Result<Session> {
    let Cluster { ui, shell, kubectl, .. } = cluster;
    let maker = Maker { ui: ui.clone(), shell: shell.clone(), kubectl: kubectl.clone(), access, read_only };
    let mut token = [0; 32];
    getrandom::fill(&mut token).context("failed to get random bytes")?;
    let helper = Some(maker.make(&token)?);
    let route = Mutex::new(Route { helper, ..Route::default() });
    Ok(Session { maker, token, route, tally: Tally::default() })
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut route = self.route();
        route.forward = None;
        if let Some(helper) = route.helper.take() {
            self.maker.remove(&helper.job);
        }
    }
}

impl Session {
    /// Lists a path: its own entry first, then the entries of a folder.
    pub(crate) fn list(&self, path: &[u8], mut each: impl FnMut(&Entry) -> Result<()>) -> Result<()> {
        let mut whole = Vec::new();
        Line::new(self).work(|connection| {
            whole.clear();
            gather(connection, &Request::List { deep: false, path }, &mut whole)
        })?;
        Entries(&whole).try_for_each(|entry| each(&entry?))
    }

    /// Sums up each entry of a folder, or a file; see [`Entry`].
    pub(crate) fn sums(&self, path: &[u8]) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        Line::new(self).work(|connection| {
            whole.clear();
            gather(connection, &Request::Sums { path }, &mut whole)
        })?;
        Ok(whole)
    }

    /// Sums up all readable files at a path; `None` if there is nothing.
    pub(crate) fn sum(&self, path: &[u8]) -> Result<Option<Sum>> {
        let sums = match self.sums(path) {
            Err(error) if is_missing(&error) => return Ok(None),
            other => other?,
        };
        let mut sum = Sum::default();
        for entry in Entries(&sums) {
            let entry = entry?;
            if entry.kind != FileKind::Failed {
                sum.bytes += entry.size;
                // the sum of a folder has the number of files as its mode
                sum.files += u64::from(entry.mode);
                sum.newest = sum.newest.max((entry.mode > 0).then_some(entry.mtime));
            }
        }
        Ok(Some(sum))
    }

    /// Sends a request that is answered by a count.
    pub(crate) fn order(&self, request: &Request, path: &[u8]) -> Result<u64> {
        Line::new(self).order(request, path)
    }

    /// Returns the kind of the entry at a path; `None` if there is none.
    pub(crate) fn kind(&self, path: &[u8]) -> Result<Option<FileKind>> {
        let mut kind = None;
        let listed = self.list(path, |entry| {
            kind = kind.or(Some(entry.kind));
            Ok(())
        });
        match listed {
            Err(error) if is_missing(&error) => Ok(None),
            other => other.map(|()| kind),
        }
    }

    /// Records progress that a cut does not undo.
    pub(super) fn advance(&self, amount: u64) {
        self.tally.progress.fetch_add(amount, Ordering::Relaxed);
    }

    fn route(&self) -> MutexGuard<'_, Route> {
        self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens a connection, after any repair that is needed.
    fn connect(&self) -> Result<Connection> {
        loop {
            let (generation, port) = self.port()?;
            let silence = self.maker.shell.scaled(SILENCE);
            match Connection::open(port, &self.token, silence) {
                Ok(connection) => return Ok(connection),
                Err(_) if is_interrupted() => return Err(interrupted().into()),
                Err(error) => {
                    let mut route = self.route();
                    if route.generation == generation {
                        route.forward = None;
                        route.generation += 1;
                        self.pause_after(&mut route, &cut(&error).into())?;
                    }
                }
            }
        }
    }

    /// Returns the local port that leads to the helper, with the route's generation.
    fn port(&self) -> Result<(u64, u16)> {
        let mut route = self.route();
        loop {
            if let Some((_, port)) = &route.forward {
                return Ok((route.generation, *port));
            }
            if let Err(error) = self.forward(&mut route) {
                if was_interrupted(&error) || is_verdict(&error) {
                    return Err(error);
                }
                self.pause_after(&mut route, &error)?;
            }
        }
    }

    /// Forwards a port to the helper, or to a new one if it is gone.
    fn forward(&self, route: &mut Route) -> Result<()> {
        let helper = match &route.helper {
            Some(helper) => helper.clone(),
            None => route.helper.insert(self.maker.make(&self.token)?).clone(),
        };
        let cmd = self.maker.kubectl.port_forward(&self.maker.access.namespace, &helper.pod, helper.port);
        if route.generation == 0 && route.failures.is_empty() {
            self.maker.ui.echo(&cmd);
        }
        match self.maker.shell.start_background(&cmd, forwarded) {
            Ok(forward) => {
                route.forward = Some(forward);
                Ok(())
            }
            Err(error) if was_interrupted(&error) => Err(error),
            Err(error) => {
                if !self.maker.is_alive(&helper)? {
                    self.maker.ui.tell("helper", "the pod is gone; creating another one");
                    route.helper = None;
                    self.maker.remove(&helper.job);
                }
                Err(error)
            }
        }
    }

    /// Pauses after a failure; an error after too many of them without progress.
    fn pause_after(&self, route: &mut Route, error: &anyhow::Error) -> Result<()> {
        let progress = self.tally.progress.load(Ordering::Relaxed);
        let failures = route.failures.note(progress);
        if RECONNECT.is_over(failures) {
            return Err(gave_up(error, failures));
        }
        // a single failure is usually over at once
        if failures == 2 {
            self.maker.ui.tell("helper", format!("trying again: {}", flatten(error).message));
        }
        RECONNECT.pause(failures, &self.maker.shell)
    }
}
