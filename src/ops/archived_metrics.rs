//! Reads metrics that do not fit into the pod's message or the record, from the volume.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use anyhow::Result;
use serde_json::Value;

use crate::ops::archived_logs::{self, ByAttempt, TooLong};
use crate::runs::archive::folder;
use crate::runs::printed::Bounds;
use crate::runs::results::measured::{self, Judged, MetricLines};
use crate::runs::results::report::{MetricsSource, Report};
use crate::tools::shell::was_interrupted;
use crate::transfer::protocol::FileKind;
use crate::transfer::session::{Line, Session, is_missing};
use crate::util::error::flatten;

/// How many pieces of a file may wait to be read.
const AHEAD: usize = 8;

/// Completes the reports of a run from the volume: for each point, the report of the attempt that counts. `kept` is
/// how much of a log is stored, at least.
pub(crate) fn complete(session: &Session, run: &str, kept: u64, reports: &mut Vec<Report>) -> Result<()> {
    // listed once, and only if a log has to be read
    let mut logs: Option<ByAttempt> = None;
    let of_points = Report::of_points(reports.iter().cloned());
    for mut report in of_points.into_values().filter(|report| report.more) {
        let read = match report.source {
            Some((MetricsSource::File, size)) => file(session, run, report.index, size),
            Some((MetricsSource::Lines, _)) => lines(session, run, &report, kept, &mut logs),
            None => continue,
        };
        let (metrics, why) = match read {
            Ok(told) => told,
            Err(error) if was_interrupted(&error) => return Err(error),
            Err(error) => (None, Some(format!("what it measured can't be read: {}", flatten(&error).message))),
        };
        if metrics.is_some() || why.is_some() {
            (report.metrics, report.why, report.more) = (metrics.map(Value::Object), why, false);
            reports.push(report);
        }
    }
    Ok(())
}

/// The top level of a `metrics.json`, if the file is still the one that the attempt left.
fn file(session: &Session, run: &str, index: u64, size: Option<u64>) -> Result<Judged> {
    let path = format!("{run}/{index}/metrics.json");
    let mut found = None;
    let listed = session.list(path.as_bytes(), |entry| {
        found = found.or(Some((entry.kind, entry.size)));
        Ok(())
    });
    let not = |words: &str| Ok((None, Some(format!("metrics.json {words}"))));
    match listed {
        Err(error) if is_missing(&error) => return not("is not in the storage any more"),
        other => other?,
    }
    match found {
        Some((FileKind::File, now)) if size.is_some_and(|size| size != now) => {
            not("was changed after its attempt ended")
        }
        Some((FileKind::File, _)) => streamed(session, path.as_bytes()),
        Some((FileKind::Link, _)) => not("is a link, and too large for the record"),
        _ => not("is not a file"),
    }
}

/// Reads a file of any size as a stream.
fn streamed(session: &Session, path: &[u8]) -> Result<Judged> {
    let (sender, receiver) = sync_channel::<Vec<u8>>(AHEAD);
    thread::scope(|scope| {
        let parser = scope.spawn(move || measured::large(Pieces { from: receiver, piece: Vec::new(), given: 0 }));
        let mut stopped = false;
        let read = Line::new(session).read(path, |bytes| {
            // the parser may stop early, for example because the file is not JSON
            stopped = sender.send(bytes.to_vec()).is_err();
            if stopped { Err(io::Error::from(io::ErrorKind::BrokenPipe).into()) } else { Ok(()) }
        });
        drop(sender);
        let parsed = parser.join().map_err(|_| anyhow::anyhow!("the reader of metrics failed"))?;
        if !stopped {
            read?;
        }
        Ok(parsed)
    })
}

/// A reader of pieces.
struct Pieces {
    from: Receiver<Vec<u8>>,
    piece: Vec<u8>,
    given: usize,
}

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.piece.len() {
            let Ok(piece) = self.from.recv() else { return Ok(0) };
            (self.piece, self.given) = (piece, 0);
        }
        let count = (self.piece.len() - self.given).min(into.len());
        into[..count].copy_from_slice(&self.piece[self.given..self.given + count]);
        self.given += count;
        Ok(count)
    }
}

/// The metrics in the lines of a stored log. The `logs` of the run are listed if they are not yet.
fn lines(session: &Session, run: &str, report: &Report, kept: u64, logs: &mut Option<ByAttempt>) -> Result<Judged> {
    let logs = match logs {
        Some(logs) => logs,
        None => logs.insert(archived_logs::list(session, run)?.unwrap_or_default()),
    };
    let Some(log) = logs.get(&(report.index, report.pod.clone())).filter(|log| log.parts().next().is_some()) else {
        return Ok((None, Some("its log, with lines of metrics, is not in the storage any more".to_owned())));
    };
    let folder = folder(run);
    let (mut lines, mut line, mut last) = (MetricLines::default(), Line::new(session), None);
    let mut room = Bounds { printed: report.printed, kept }.most();
    for part in log.parts() {
        // a dropped part contained the rest of a line
        if last.is_some_and(|last: u64| last + 1 != part) {
            lines.drop_line();
        }
        line.read(archived_logs::path(&folder, report.index, &report.pod, part).as_bytes(), |bytes| {
            room = room.checked_sub(bytes.len() as u64).ok_or(TooLong)?;
            lines.push(bytes);
            Ok(())
        })?;
        last = Some(part);
    }
    lines.end_line();
    Ok(lines.told())
}
