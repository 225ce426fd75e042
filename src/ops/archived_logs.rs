//! The logs that a run's pods stored on the project's volume: `INDEX.POD.log`, and for a log over the limit, its
//! last part in `INDEX.POD.log.1`, `INDEX.POD.log.2` and so on.

use std::collections::BTreeMap;

use std::fmt;

use anyhow::Result;

use crate::request::sweep::MOST;
use crate::runs::archive::folder;
use crate::runs::lines::{Label, LineReader};
use crate::runs::printed::Bounds;
use crate::runs::results::report::Report;
use crate::transfer::protocol::FileKind;
use crate::transfer::records::Records;
use crate::transfer::session::{self, Line, Session};
use crate::util::error::flatten;
use crate::util::ui::{ReaderGone, Ui, size};

/// The stored logs of one run.
pub(crate) struct KeptLogs {
    session: Session,
    folder: String,
    logs: ByAttempt,
}

/// The logs of a run by point and pod.
pub(crate) type ByAttempt = BTreeMap<(u64, String), KeptLog>;

/// The stored log of one attempt at a point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeptLog {
    /// The sizes of its parts, by number.
    parts: BTreeMap<u64, u64>,
    /// When it was last written, in nanoseconds since 1970.
    written: i64,
    /// Whether the path has something that is not a file.
    is_odd: bool,
}

impl KeptLog {
    /// The numbers of its parts, in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = u64> {
        self.parts.keys().copied()
    }

    /// The total size in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.parts.values().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

/// The point, pod and part number of a file in a run's folder; the first part has the number 0.
fn parse(file: &str) -> Option<(u64, &str, u64)> {
    let (index, rest) = file.split_once('.')?;
    let (pod, part) = match rest.rsplit_once(".log") {
        Some((pod, "")) => (pod, 0),
        Some((pod, number)) => (pod, number.strip_prefix('.')?.parse().ok().filter(|number| *number > 0)?),
        None => return None,
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let point = index.parse().ok().filter(|point: &u64| *point < MOST && point.to_string() == index)?;
    (!pod.is_empty() && pod.chars().all(is_name)).then_some((point, pod, part))
}

/// The path of a part of a log, in the folder of its run.
pub(crate) fn path(folder: &str, point: u64, pod: &str, part: u64) -> String {
    let first = format!("{folder}/{point}.{pod}.log");
    if part == 0 { first } else { format!("{first}.{part}") }
}

/// Lists the logs of a run; `None` if the run has no folder on the volume.
pub(crate) fn list(session: &Session, run: &str) -> Result<Option<ByAttempt>> {
    let mut logs = ByAttempt::new();
    let listed = session.list(folder(run).as_bytes(), |entry| {
        let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if let Some((index, pod, part)) = std::str::from_utf8(name).ok().and_then(parse) {
            let log = logs.entry((index, pod.to_owned())).or_default();
            if entry.kind == FileKind::File {
                log.parts.insert(part, entry.size);
                log.written = log.written.max(entry.mtime);
            } else {
                log.is_odd = true;
            }
        }
        Ok(())
    });
    match listed {
        Err(error) if session::is_missing(&error) => Ok(None),
        other => other.map(|()| Some(logs)),
    }
}

impl KeptLogs {
    /// Lists the stored logs; `None` if the run has no folder on the volume.
    pub(crate) fn of(session: Session, run: &str) -> Result<Option<Self>> {
        let listed = list(&session, run)?;
        Ok(listed.map(|logs| Self { session, folder: folder(run), logs }))
    }

    /// The session with the volume.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// The size of an attempt's log in bytes; `None` if there is no log.
    pub(crate) fn bytes(&self, point: u64, pod: &str) -> Option<u64> {
        self.logs.get(&(point, pod.to_owned())).filter(|log| !log.parts.is_empty()).map(KeptLog::bytes)
    }

    /// Whether the path of an attempt's log has something that is not a file.
    pub(crate) fn is_odd(&self, point: u64, pod: &str) -> bool {
        self.logs.get(&(point, pod.to_owned())).is_some_and(|log| log.is_odd)
    }

    /// The point and the pod of each log, and when it was last written, in nanoseconds since 1970.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u64, &str, i64)> {
        let there = self.logs.iter().filter(|(_, log)| !log.parts.is_empty());
        there.map(|((point, pod), log)| (*point, pod.as_str(), log.written))
    }

    /// The pods with a stored log of the point, in the order in which they ended.
    pub(crate) fn pods(&self, point: u64) -> Vec<&str> {
        let of_point = self.logs.range((point, String::new())..(point.saturating_add(1), String::new()));
        let mut found: Vec<_> = of_point.filter(|(_, log)| !log.parts.is_empty()).collect();
        found.sort_by_key(|(_, log)| log.written);
        found.into_iter().map(|((_, pod), _)| pod.as_str()).collect()
    }

    /// Whether an attempt's empty log says nothing about its output, because its image lacks the programs for
    /// storing a log: the attempt ended and did not count its output.
    pub(crate) fn is_unkept(&self, point: u64, pod: &str) -> Result<bool> {
        if self.bytes(point, pod) != Some(0) {
            return Ok(false);
        }
        let record = format!("{point}.{pod}.json");
        let report = Records::one(&self.session, &self.folder, &record)?.and_then(|text| Report::record(&text));
        Ok(report.is_some_and(|report| report.ended.is_some() && report.printed.is_none()))
    }

    /// Passes on an attempt's log, and reports what is missing of the `printed` bytes. An error only if nothing
    /// more can be read or shown.
    pub(crate) fn show(&self, point: u64, pod: &str, bounds: Bounds, label: &Label, ui: &Ui) -> Result<KeptRead> {
        let Some(log) = self.logs.get(&(point, pod.to_owned())).filter(|log| !log.parts.is_empty()) else {
            return Ok(KeptRead::Missing);
        };
        let lacks = bounds.printed.map_or(0, |printed| printed.saturating_sub(log.bytes()));
        let mut reader = Line::new(&self.session);
        let mut shown = Shown { label, ui, lines: LineReader::default(), is_within: false, room: bounds.most() };
        let (mut before, mut has_gap) = (None, false);
        for number in log.parts.keys() {
            let missing = match before {
                None if *number > 0 => Some("the beginning"),
                Some(0) if *number > 1 => Some("the middle"),
                Some(before) if *number > before + 1 => Some("a part"),
                _ => None,
            };
            if let Some(part) = missing {
                has_gap = true;
                shown.end()?;
                ui.warn(gap(pod, lacks, bounds.printed, part));
            }
            let path = path(&self.folder, point, pod, *number);
            match reader.read(path.as_bytes(), |bytes| shown.take_some(bytes)) {
                Ok(true) => {}
                // a growing log has dropped this part
                Ok(false) => {
                    shown.end()?;
                    ui.warn(gap(pod, 0, None, "a part"));
                }
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    shown.end()?;
                    ui.warn(unread(pod, &error));
                    return Ok(KeptRead::Failed);
                }
            }
            before = Some(*number);
        }
        shown.end()?;
        if lacks > 0 && !has_gap {
            ui.warn(gap(pod, lacks, bounds.printed, "the end"));
        }
        Ok(KeptRead::Done)
    }
}

/// The result of reading a stored log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeptRead {
    /// There is no log.
    Missing,
    /// The log could not be read to its end, which was reported.
    Failed,
    /// The log was passed on.
    Done,
}

/// The file is longer than the log can be.
#[derive(Debug)]
pub(crate) struct TooLong;

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it is longer than what was printed, or than `keep_logs_max`")
    }
}

impl std::error::Error for TooLong {}

/// Why a log was not read to its end.
fn unread(pod: &str, error: &anyhow::Error) -> String {
    let why = flatten(error).message;
    if error.is::<TooLong>() {
        format!("the rest of the log that `{pod}` kept is not shown: {why}")
    } else {
        format!("the log that `{pod}` kept can't be read: {why}")
    }
}

/// A log that is being passed on.
struct Shown<'a> {
    label: &'a Label,
    ui: &'a Ui,
    lines: LineReader,
    /// Whether the last line that was passed on has no line feed.
    is_within: bool,
    /// How many more bytes there can be.
    room: u64,
}

impl Shown<'_> {
    /// Passes on bytes up to the limit, and fails if there are more.
    fn take_some(&mut self, bytes: &[u8]) -> Result<()> {
        let taken = bytes.len().min(usize::try_from(self.room).unwrap_or(usize::MAX));
        self.room -= taken as u64;
        self.take(&bytes[..taken])?;
        if taken < bytes.len() { Err(TooLong.into()) } else { Ok(()) }
    }

    fn take(&mut self, bytes: &[u8]) -> Result<()> {
        if *self.label == Label::none() {
            self.is_within = bytes.last().map_or(self.is_within, |last| *last != b'\n');
            return self.ui.pass_on(bytes);
        }
        let mut out = Vec::new();
        self.lines.take(bytes, |piece| {
            self.label.write(piece, &mut out);
            Ok(())
        })?;
        self.ui.pass_on(&out)
    }

    /// Ends the last line.
    fn end(&mut self) -> Result<()> {
        let mut out = Vec::new();
        self.lines.end(|piece| {
            self.label.write(piece, &mut out);
            Ok(())
        })?;
        if std::mem::take(&mut self.is_within) {
            out.push(b'\n');
        }
        self.ui.pass_on(&out)
    }
}

/// The message for a part of a log that was not stored.
fn gap(pod: &str, lacks: u64, printed: Option<u64>, part: &str) -> String {
    match printed.filter(|_| lacks > 0) {
        Some(printed) => {
            format!("{part} of the log of `{pod}` is missing: {} of {} were not kept", size(lacks), size(printed))
        }
        None => format!("{part} of the log of `{pod}` is missing: it was not kept"),
    }
}

/// Whether reading other logs would fail too: the user interrupted, the reader is gone, or the storage can't be
/// reached.
fn is_final(error: &anyhow::Error) -> bool {
    crate::tools::shell::was_interrupted(error) || error.is::<ReaderGone>() || session::is_out_of_reach(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_its_point_pod_and_part() {
        assert_eq!(parse("17.train-x-17-abcde.log"), Some((17, "train-x-17-abcde", 0)));
        assert_eq!(parse("0.a.b.log.12"), Some((0, "a.b", 12)));
        for other in [
            "0.a.json",
            "run.json",
            ".0.a.new",
            "0..log",
            "x.a.log",
            "00.a.log",
            "100000.a.log",
            "0.a.log.",
            "0.a.log.0",
            "0.a.log.-1",
            "0.a b.log",
            "0.a\u{1b}.log",
        ] {
            assert_eq!(parse(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(
            gap("a-0", 1 << 20, Some(3 << 20), "the middle"),
            "the middle of the log of `a-0` is missing: 1.0 MiB of 3.0 MiB were not kept"
        );
        assert_eq!(gap("a-0", 0, Some(7), "the middle"), "the middle of the log of `a-0` is missing: it was not kept");
    }
}
