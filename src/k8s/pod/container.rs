//! What the status of a pod says of its containers.

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::k8s::object::{at, is_true, text, time};

/// The status of one container of a pod.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ContainerStatus<'a>(pub(super) &'a Value);

impl<'a> ContainerStatus<'a> {
    /// Its name; empty where it is missing.
    pub fn name(self) -> &'a str {
        text(self.0, &["name"]).unwrap_or_default()
    }

    /// Its image; empty where it is missing.
    pub fn image(self) -> &'a str {
        text(self.0, &["image"]).unwrap_or_default()
    }

    /// Whether it passes its readiness probe.
    pub fn is_ready(self) -> bool {
        is_true(self.0, &["ready"])
    }

    /// Whether it passed its startup probe.
    pub fn has_started(self) -> bool {
        is_true(self.0, &["started"])
    }

    /// What it does now.
    pub fn state(self) -> ContainerState<'a> {
        ContainerState::of(at(self.0, &["state"]))
    }

    /// How it ended before it was started again.
    pub fn last_end(self) -> Option<Terminated<'a>> {
        ContainerState::of(at(self.0, &["lastState"])).terminated()
    }

    /// Why it waits, if it does.
    pub fn waiting(self) -> Option<Waiting<'a>> {
        self.state().waiting()
    }

    /// How it ended, if it has.
    pub fn terminated(self) -> Option<Terminated<'a>> {
        self.state().terminated()
    }

    /// Whether it runs.
    pub fn is_running(self) -> bool {
        matches!(self.state(), ContainerState::Running(_))
    }
}

/// What a container does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ContainerState<'a> {
    /// It waits to be started.
    Waiting(Waiting<'a>),
    /// It runs, since then.
    Running(Option<DateTime<Utc>>),
    /// It has ended.
    Terminated(Terminated<'a>),
    /// The kubelet has not said it.
    Unset,
}

impl<'a> ContainerState<'a> {
    fn of(state: &'a Value) -> Self {
        let field = |name: &str| Some(at(state, &[name])).filter(|field| field.is_object());
        if let Some(ended) = field("terminated") {
            Self::Terminated(Terminated(ended))
        } else if let Some(running) = field("running") {
            Self::Running(time(running, &["startedAt"]))
        } else {
            field("waiting").map_or(Self::Unset, |waiting| Self::Waiting(Waiting(waiting)))
        }
    }

    /// Why it waits, if it does.
    pub fn waiting(self) -> Option<Waiting<'a>> {
        if let Self::Waiting(waiting) = self { Some(waiting) } else { None }
    }

    /// How it ended, if it has.
    pub fn terminated(self) -> Option<Terminated<'a>> {
        if let Self::Terminated(ended) = self { Some(ended) } else { None }
    }

    /// When the container was started.
    pub fn started(self) -> Option<DateTime<Utc>> {
        match self {
            Self::Running(started) => started,
            Self::Terminated(ended) => ended.started(),
            Self::Waiting(_) | Self::Unset => None,
        }
    }
}

/// Why a container waits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Waiting<'a>(&'a Value);

impl<'a> Waiting<'a> {
    /// In one word.
    pub fn reason(self) -> Option<&'a str> {
        text(self.0, &["reason"])
    }

    /// In the kubelet's words; empty where it has none.
    pub fn message(self) -> &'a str {
        text(self.0, &["message"]).unwrap_or_default()
    }
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Terminated<'a>(&'a Value);

impl<'a> Terminated<'a> {
    /// Its exit code.
    pub fn exit_code(self) -> Option<i64> {
        at(self.0, &["exitCode"]).as_i64()
    }

    /// Whether its exit code is known and not 0.
    pub fn has_failed(self) -> bool {
        self.exit_code().is_some_and(|code| code != 0)
    }

    /// Why it ended, in one word; empty where that is not said.
    pub fn reason(self) -> &'a str {
        text(self.0, &["reason"]).unwrap_or_default()
    }

    /// Its termination message, or the kubelet's words; empty where there are none.
    pub fn message(self) -> &'a str {
        text(self.0, &["message"]).unwrap_or_default()
    }

    /// When it was started.
    pub fn started(self) -> Option<DateTime<Utc>> {
        time(self.0, &["startedAt"])
    }

    /// The same as the kubelet writes it; empty where it is missing.
    pub fn started_text(self) -> &'a str {
        text(self.0, &["startedAt"]).unwrap_or_default()
    }

    /// When it ended.
    pub fn finished(self) -> Option<DateTime<Utc>> {
        time(self.0, &["finishedAt"])
    }

    /// The same as the kubelet writes it.
    pub fn finished_text(self) -> Option<&'a str> {
        text(self.0, &["finishedAt"])
    }
}
