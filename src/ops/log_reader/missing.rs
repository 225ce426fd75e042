//! Messages about incomplete logs.

use super::{KeptPart, LogReader};
use crate::k8s::manifests::CONTAINER;
use crate::k8s::pod::{ContainerStatus, Pod, Waiting};
use crate::runs::gaps::{self};
use crate::runs::lines::VERY_LATE;
use crate::runs::logs::Position;
use crate::runs::printed::{self, Printed};
use crate::util::error::{Fail, fail};
use crate::util::ui::size;
use anyhow::Result;
use std::collections::BTreeMap;

/// The error for a log on the volume.
pub(super) fn not_to_its_end(pod: &str) -> Fail {
    fail(format!("the log that the pod `{pod}` kept could not be read to its end"))
}

/// Lists the pods that have not started, with reasons.
pub(super) fn not_begun(pods: &[Pod]) -> String {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods {
        let waiting = pod.status_of(CONTAINER).and_then(ContainerStatus::waiting);
        let reason = waiting.and_then(Waiting::reason).or(pod.reason()).or(pod.phase_text()).unwrap_or("Pending");
        by_reason.entry(reason.to_owned()).or_default().push(pod.name());
    }
    let named = by_reason.into_iter().map(|(reason, names)| {
        let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
        let more = names.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more} ({reason})", shown.join(", "))
    });
    let pods = if pods.len() == 1 { "1 pod has".to_owned() } else { format!("{} pods have", pods.len()) };
    format!("{pods} not begun: {}", named.collect::<Vec<_>>().join(", "))
}

impl LogReader<'_> {
    /// Reports that the beginning of a log, or more, is missing.
    pub(super) fn tell_missing(&self, pod: Pod, printed: Option<Printed>, position: &Position, before: KeptPart) {
        let (ui, name) = (&self.app.ui, pod.name());
        let (passed, kept) = (position.passed().bytes, self.kept_bytes(pod).unwrap_or_default());
        match printed {
            Some(printed) if before == KeptPart::Beginning => {
                let lacks = printed.bytes.saturating_sub(passed).saturating_sub(kept);
                if lacks > 0 {
                    let (lacks, all) = (size(lacks), size(printed.bytes));
                    ui.warn(format!("the middle of the log of `{name}` is missing: {lacks} of {all}"));
                }
            }
            Some(printed) if printed.bytes > passed => ui.warn(format!(
                "the log of `{name}` is not whole: its node has {} of the {} that it printed{}",
                size(passed),
                size(printed.bytes),
                match &self.kept {
                    Some(Ok(_)) => ", and the storage has no more",
                    Some(Err(_)) | None => "",
                }
            )),
            _ => {
                let late = printed::lateness(pod, position.first());
                let storage = match &self.kept {
                    Some(Ok(_)) => "nothing was kept in the storage",
                    Some(Err(_)) | None => "what the storage kept could not be looked at",
                };
                if late > VERY_LATE && kept == 0 {
                    ui.warn(gaps::begins_late(name, late, storage));
                }
            }
        }
    }

    /// What the storage has of logs that are gone, in words.
    pub(super) fn nothing_kept(&self) -> &'static str {
        match &self.kept {
            _ if !printed::keeps(self.run.job()) => "nothing is kept there (`keep_logs: false`)",
            Some(Ok(_)) => "no log of it was kept there",
            Some(Err(_)) | None => "it could not be looked at",
        }
    }

    /// The error for a log that could not be read to its end, with the state of the storage. `passed` bytes were
    /// shown.
    pub(super) fn with_kept(&self, error: Fail, pod: Pod, passed: u64, before: KeptPart) -> Fail {
        match self.kept_bytes(pod) {
            // passed on as a stream: the storage was not read
            None if self.kept.is_none() && printed::keeps(self.run.job()) => error,
            None => error.fact("storage", self.nothing_kept()),
            Some(_) if before == KeptPart::Beginning => error.fact("storage", "it has only the beginning of the log"),
            Some(kept) if kept > passed => error.fact("storage", format!("{} of the log were kept there", size(kept))),
            Some(_) => error.fact("storage", "it has no more of the log"),
        }
    }

    /// The error for attempts whose pods and logs are gone.
    pub(super) fn gone(&self) -> Option<Fail> {
        let names: Vec<String> = self.gone.iter().take(5).map(|index| self.point_words(*index)).collect();
        let message = match (names.as_slice(), self.gone.len() - names.len()) {
            ([], _) => return None,
            ([one], _) => format!("an attempt at {one} has no log that can be read: its pod is gone"),
            (_, 0) => format!("attempts at {} have no logs that can be read: their pods are gone", names.join(", ")),
            (_, more) => {
                let names = names.join(", ");
                format!("attempts at {names} and {more} more have no logs that can be read: their pods are gone")
            }
        };
        Some(fail(message).fact("storage", self.nothing_kept()))
    }

    pub(super) fn point_words(&self, index: u64) -> String {
        let std::ops::Range { start, end } = self.points(index);
        if end - start > 1 { format!("the points {start}-{}", end - 1) } else { format!("the point {start}") }
    }

    /// An error if a log could not be read: with its cause, if it is the only one.
    pub(crate) fn end(mut self) -> Result<()> {
        let unread = self.unread.len() + self.gone.len();
        let gone = self.gone();
        self.unread.extend(gone);
        if self.read == 1
            && let Some(error) = self.unread.pop()
        {
            return Err(error.into());
        }
        if unread == 0 {
            return Ok(());
        }
        for error in &self.unread {
            let why =
                error.details.last().or(error.facts.iter().find(|(name, _)| name == "storage").map(|(_, words)| words));
            let why = why.map_or(String::new(), |words| format!(": {words}"));
            self.app.ui.warn(format!("{}{why}", error.message));
        }
        Err(fail(format!("{unread} of {} logs could not be read, see above", self.read)).into())
    }
}
