//! Reads a pod's log as one stream of lines, without losing or repeating lines when the stream is resumed: `kubectl
//! logs -f` ends silently when the kubelet rotates a log (kubernetes#115701) or the connection drops.

use std::io;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::k8s::names::Namespace;
use crate::runs::lines::{Label, LineReader, Piece};
use crate::tools::cluster::Cluster;
use crate::tools::pod_logs;
use crate::tools::proxy::Proxy;
use crate::tools::reply::Reply;

/// How much of a log's beginning is remembered, about.
const BEGINNING: usize = 512;

/// How far the log of one pod has been passed on.
#[derive(Debug, Default, Clone)]
pub struct Position {
    /// The time of the first line.
    first: Option<DateTime<Utc>>,
    /// The time of the last line, as the server wrote it.
    last: Option<(DateTime<Utc>, String)>,
    /// The number of lines with exactly that time that were passed on.
    same: usize,
    /// The number of lines with that time still to be skipped; `None` if the stream was not resumed.
    replay: Option<usize>,
    /// What happens to the rest of the current line.
    rest: Rest,
    /// The number of bytes of the last line that were passed on, if its end was not.
    torn: usize,
    /// What was passed on.
    passed: Passed,
    /// The beginning of the log.
    beginning: Vec<u8>,
    /// Whether the last line did not come again when the stream was resumed.
    is_broken: bool,
    /// Whether that line was incomplete: what came next may be any part of its rest.
    is_torn: bool,
}

/// How much of a log was passed on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Passed {
    /// Bytes, with the line feeds.
    pub bytes: u64,
    /// Lines.
    pub lines: u64,
}

impl Passed {
    /// Whether all that is missing of `printed` bytes is a carriage return in each line, which a node removes.
    pub fn lacks_only_returns(self, printed: u64) -> bool {
        self.lines > 0 && printed.saturating_sub(self.bytes) == self.lines
    }
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Rest {
    #[default]
    New,
    Known,
    /// The known number of bytes.
    KnownUpTo(usize),
}

impl Position {
    /// Prepares for a stream that starts at [`Position::since`].
    fn take_up(&mut self) {
        self.replay = self.last.is_some().then_some(self.same);
    }

    /// Where the next stream should start: the server knows only whole seconds, so lines are repeated.
    fn since(&self) -> Option<&str> {
        self.last.as_ref().map(|(_, text)| text.as_str())
    }

    /// The time of the first line that has one.
    pub fn first(&self) -> Option<DateTime<Utc>> {
        self.first
    }

    /// How much was passed on.
    pub fn passed(&self) -> Passed {
        self.passed
    }

    /// Whether lines may be missing: the resumed stream started after the last known line.
    pub fn was_broken(&self) -> bool {
        self.is_broken
    }

    /// Whether a part of a long line may be missing or repeated.
    pub fn was_torn(&self) -> bool {
        self.is_torn
    }

    /// Whether the log begins like `other`, which may have carriage returns that a node removes from the ends of
    /// lines.
    pub fn begins_as(&self, other: &[u8]) -> bool {
        let other: Vec<u8> = other.iter().copied().filter(|byte| *byte != b'\r').collect();
        let own: Vec<u8> = self.beginning.iter().copied().filter(|byte| *byte != b'\r').collect();
        let common = own.len().min(other.len());
        own[..common] == other[..common]
    }

    /// Adds the new part of a piece to `out`.
    fn accept(&mut self, mut piece: Piece, label: &Label, out: &mut Vec<u8>) {
        if piece.begins {
            piece.text = self.begin(piece.text, label, out);
        }
        match &mut self.rest {
            Rest::New => {}
            Rest::Known => return,
            Rest::KnownUpTo(known) => {
                let skipped = (*known).min(piece.text.len());
                *known -= skipped;
                piece = Piece { text: &piece.text[skipped..], begins: false, ..piece };
                if piece.text.is_empty() && !piece.ends {
                    return;
                }
            }
        }
        if self.beginning.len() < BEGINNING {
            let room = (BEGINNING - self.beginning.len()).min(piece.text.len());
            self.beginning.extend_from_slice(&piece.text[..room]);
            self.beginning.extend(piece.ends.then_some(b'\n'));
        }
        self.passed.bytes += piece.text.len() as u64 + u64::from(piece.ends);
        self.passed.lines += u64::from(piece.ends);
        self.torn = if piece.ends { 0 } else { self.torn + piece.text.len() };
        label.write(piece, out);
    }

    /// Decides about a line by its beginning. Returns the text of the beginning.
    fn begin<'a>(&mut self, line: &'a [u8], label: &Label, out: &mut Vec<u8>) -> &'a [u8] {
        let Some((time, stamp, text)) = split(line) else {
            self.give_up_torn(label, out);
            self.rest = Rest::New;
            return line;
        };
        if let (Some(left), Some((last, _))) = (self.replay, &self.last) {
            if time < *last {
                self.rest = Rest::Known;
                return text;
            }
            if time == *last && left > 0 {
                self.replay = Some(left - 1);
                self.rest = if left == 1 && self.torn > 0 { Rest::KnownUpTo(self.torn) } else { Rest::Known };
                return text;
            }
            self.is_broken |= left == self.same;
            self.replay = None;
        }
        self.give_up_torn(label, out);
        self.rest = Rest::New;
        self.first = self.first.or(Some(time));
        if self.last.as_ref().is_some_and(|(last, _)| *last == time) {
            self.same += 1;
        } else {
            self.same = 1;
            self.last = Some((time, stamp.to_owned()));
        }
        text
    }

    /// Ends a line whose end will not come, so that nothing else is added to it.
    fn give_up_torn(&mut self, label: &Label, out: &mut Vec<u8>) {
        let is_torn = std::mem::take(&mut self.torn) > 0;
        self.is_torn |= is_torn;
        if is_torn && *label == Label::none() {
            out.push(b'\n');
        }
    }
}

/// Parses `2026-11-23T06:00:00.123456789Z text`; no other text has this form.
fn split(line: &[u8]) -> Option<(DateTime<Utc>, &str, &[u8])> {
    let stamp = &line[..line.len().min(64)];
    let end = stamp.iter().position(|b| *b == b' ').unwrap_or(stamp.len());
    let stamp = std::str::from_utf8(&stamp[..end]).ok()?;
    let time = DateTime::parse_from_rfc3339(stamp).ok()?.to_utc();
    Some((time, stamp, line.get(end + 1..).unwrap_or_default()))
}

/// One reading of a log, from a position.
struct Reading<'a> {
    position: &'a mut Position,
    label: &'a Label,
    lines: LineReader,
    out: Vec<u8>,
}

impl<'a> Reading<'a> {
    fn from(position: &'a mut Position, label: &'a Label) -> Self {
        position.take_up();
        Self { position, label, lines: LineReader::default(), out: Vec::new() }
    }

    /// Passes on what is new in these bytes.
    fn take(&mut self, bytes: &[u8], sink: &mut impl Sink) -> Result<()> {
        let Self { position, label, lines, out } = self;
        lines.take(bytes, |piece| {
            position.accept(piece, label, out);
            Ok(())
        })?;
        self.pass_on(sink)
    }

    /// Called at the end of a complete log.
    fn end(&mut self, sink: &mut impl Sink) -> Result<()> {
        let Self { position, label, lines, out } = self;
        lines.end(|piece| {
            position.accept(piece, label, out);
            Ok(())
        })?;
        position.give_up_torn(label, out);
        self.pass_on(sink)
    }

    fn pass_on(&mut self, sink: &mut impl Sink) -> Result<()> {
        if self.out.is_empty() {
            return Ok(());
        }
        let result = sink.take(&self.out, self.position);
        self.out.clear();
        result
    }
}

/// The destination of a log: whole lines, or pieces of a long one.
pub trait Sink {
    /// Takes new bytes and the position after them.
    fn take(&mut self, bytes: &[u8], position: &Position) -> Result<()>;
}

impl<F: FnMut(&[u8]) -> Result<()>> Sink for F {
    fn take(&mut self, bytes: &[u8], _: &Position) -> Result<()> {
        self(bytes)
    }
}

/// The log to read, and how it is shown.
#[derive(Debug, Clone, Copy)]
pub struct Log<'a> {
    /// The pod's namespace.
    pub namespace: &'a Namespace,
    /// The pod.
    pub pod: &'a str,
    /// Whether to keep reading while the container runs.
    pub follow: bool,
    /// The text before its lines.
    pub label: &'a Label,
}

/// Passes on what a pod has printed since `position`, until the stream ends.
///
/// # Errors If kubectl can't be started, or the sink fails.
pub fn pass_on(cluster: Cluster, log: Log, position: &mut Position, sink: &mut impl Sink) -> Result<Reply> {
    let Log { namespace, pod, follow, label } = log;
    let mut reading = Reading::from(position, label);
    let cmd = cluster.kubectl.log(namespace, pod, follow, reading.position.since());
    let reply = cluster.shell.follow(&cmd, |bytes| reading.take(bytes, sink))?;
    // a followed stream may end within a line, which comes again completely
    if !follow && reply.succeeded() {
        reading.end(sink)?;
    }
    Ok(reply)
}

/// The same, from the API server's answer over an open connection. The reply says why it is incomplete.
///
/// # Errors If the sink fails.
pub fn pass_on_from(proxy: &Proxy, log: Log, position: &mut Position, sink: &mut impl Sink) -> Result<io::Result<()>> {
    let Log { namespace, pod, follow, label } = log;
    let mut reading = Reading::from(position, label);
    // an experiment may be silent for any time
    let timeout = (!follow).then_some(crate::tools::kubectl::REQUEST_TIMEOUT);
    let mut answer = match proxy.get(&pod_logs::path(namespace, pod, follow, reading.position.since()), timeout) {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    loop {
        let taken = match answer.fill_buf() {
            Ok([]) => break,
            Ok(bytes) => {
                reading.take(bytes, sink)?;
                bytes.len()
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Ok(Err(error)),
        };
        answer.consume(taken);
    }
    if !follow {
        reading.end(sink)?;
    }
    Ok(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(position: &mut Position, chunks: &[&[u8]], whole: bool) -> String {
        let label = Label::none();
        let mut reading = Reading::from(position, &label);
        let mut shown = Vec::new();
        let mut sink = |bytes: &[u8]| {
            shown.extend_from_slice(bytes);
            Ok(())
        };
        chunks.iter().try_for_each(|chunk| reading.take(chunk, &mut sink)).unwrap();
        if whole {
            reading.end(&mut sink).unwrap();
        }
        String::from_utf8(shown).unwrap()
    }

    fn read(position: &mut Position, lines: &[&str]) -> String {
        take(position, &[lines.join("\n").as_bytes()], true)
    }

    #[test]
    fn taken_up_again_nothing_is_lost_or_doubled() {
        let mut position = Position::default();
        let (a, b, c) = ("2026-11-23T06:00:00.1Z a", "2026-11-23T06:00:00.25Z b", "2026-11-23T06:00:00.25Z b");
        assert_eq!(read(&mut position, &[a, b]), "a\nb\n");
        // the same second comes again, with one more line with the same time, and a text
        assert_eq!(read(&mut position, &[a, b, c, "2026-11-23T06:00:01Z d"]), "b\nd\n");
        assert_eq!(read(&mut position, &["2026-11-23T06:00:01Z d"]), "");
        assert!(!position.was_broken());
        assert_eq!(position.passed(), Passed { bytes: 8, lines: 4 });
        assert_eq!(position.first().unwrap().to_rfc3339(), "2026-11-23T06:00:00.100+00:00");
    }

    #[test]
    fn a_clock_set_back_loses_no_line() {
        let mut position = Position::default();
        assert_eq!(read(&mut position, &["2026-11-23T06:00:05Z a", "2026-11-23T06:00:01Z b"]), "a\nb\n");
    }

    #[test]
    fn text_is_kept_byte_for_byte() {
        let mut position = Position::default();
        assert_eq!(
            read(&mut position, &["2026-11-23T06:00:00Z   two  spaces ", "2026-11-23T06:00:01Z ", "no time\r"]),
            "  two  spaces \n\nno time\r\n"
        );
    }

    #[test]
    fn a_long_line_goes_on_where_it_was_cut() {
        let before = b"2026-11-23T06:00:00Z a\n".as_slice();
        let (start, long) = (b"2026-11-23T06:00:01Z ".as_slice(), "0123456789".repeat(10_000));
        let whole = format!("a\n{long}\nb\n");
        let after = b"\n2026-11-23T06:00:02Z b\n".as_slice();
        for cut in [0, 5, 40_000, 70_000, 99_999, 100_000] {
            let mut position = Position::default();
            let mut shown = take(&mut position, &[before, start, &long.as_bytes()[..cut]], false);
            shown += &take(&mut position, &[before, start, &long.as_bytes()[..cut / 2]], false);
            shown += &take(&mut position, &[before, start, long.as_bytes(), after], true);
            assert!(!position.was_torn());
            assert!(shown == whole, "cut at {cut}: {} bytes", shown.len());
            assert_eq!(position.passed(), Passed { bytes: whole.len() as u64, lines: 3 });
        }
    }

    #[test]
    fn nothing_else_stands_in_a_line_whose_end_is_lost() {
        let (start, long) = (b"2026-11-23T06:00:01Z ".as_slice(), "x".repeat(50_000));
        let mut position = Position::default();
        let shown = take(&mut position, &[start, long.as_bytes()], false);
        let rest = take(&mut position, &[b"2026-11-23T06:00:09Z b\n"], true);
        assert_eq!((shown.len(), rest.as_str()), (50_000, "\nb\n"));
        assert!(position.was_broken() && position.was_torn());
        // the bytes that were passed on are the printed ones
        assert_eq!(position.passed().bytes, 50_002);
    }
}
