//! A view of events. Pure.

use chrono::{DateTime, Utc};

use crate::k8s::object::{number, text, time, view};

view! {
    /// An event, as often as it was seen.
    Event
}

impl<'a> Event<'a> {
    /// What happened, in one word; empty where it is missing.
    pub fn reason(self) -> &'a str {
        text(self.json(), &["reason"]).unwrap_or_default()
    }

    /// What happened.
    pub fn message(self) -> Option<&'a str> {
        text(self.json(), &["message"])
    }

    /// Whether it is a warning.
    pub fn is_warning(self) -> bool {
        text(self.json(), &["type"]) == Some("Warning")
    }

    /// The name of the object that it is about; empty where it is missing.
    pub fn about(self) -> &'a str {
        text(self.json(), &["involvedObject", "name"]).unwrap_or_default()
    }

    /// The uid of the object that it is about.
    pub fn about_uid(self) -> Option<&'a str> {
        text(self.json(), &["involvedObject", "uid"])
    }

    /// When it was last seen, by the clock of the component that saw it.
    pub fn seen(self) -> Option<DateTime<Utc>> {
        let times: [&[&str]; 4] =
            [&["series", "lastObservedTime"], &["lastTimestamp"], &["eventTime"], &["firstTimestamp"]];
        times.into_iter().filter_map(|path| time(self.json(), path)).max().or(self.created())
    }

    /// The order in which the API server learned of it.
    pub fn version(self) -> Option<u64> {
        self.resource_version()?.parse().ok()
    }

    /// How often it was seen.
    pub fn count(self) -> u64 {
        number(self.json(), &["series", "count"]).max(number(self.json(), &["count"])).unwrap_or(1)
    }
}
