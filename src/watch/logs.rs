//! A pod's log as one stream of lines, without losing or doubling any when it has to be taken up
//! again: `kubectl logs -f` ends without a word when the kubelet rotates a log (kubernetes#115701)
//! or the connection drops.

use std::collections::BTreeMap;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::names::Namespace;
use crate::objects::job::CONTAINER;
use crate::tools::kubectl::Kubectl;
use crate::tools::proxy::Proxy;
use crate::tools::reply::Reply;
use crate::tools::shell::Shell;

/// How far the log of one pod has been passed on.
#[derive(Debug, Default)]
pub struct Position {
    /// The time of the last line, as the server wrote it.
    last: Option<(DateTime<Utc>, String)>,
    /// How many lines of that very time were passed on.
    same: usize,
    /// Lines of that time still to be skipped; `None` when not taking up again.
    replay: Option<usize>,
}

impl Position {
    /// Prepares for a stream that begins at [`Position::since`].
    fn take_up(&mut self) {
        self.replay = self.last.is_some().then_some(self.same);
    }

    /// Where the next stream should begin: the server knows only whole seconds, so lines come again.
    fn since(&self) -> Option<&str> {
        self.last.as_ref().map(|(_, text)| text.as_str())
    }

    /// The text of a line, `None` if it was passed on before.
    fn accept<'a>(&mut self, line: &'a [u8]) -> Option<&'a [u8]> {
        let Some((time, stamp, text)) = split(line) else { return Some(line) };
        if let (Some(left), Some((last, _))) = (self.replay, &self.last) {
            if time < *last {
                return None;
            }
            if time == *last && left > 0 {
                self.replay = Some(left - 1);
                return None;
            }
            self.replay = None;
        }
        if self.last.as_ref().is_some_and(|(last, _)| *last == time) {
            self.same += 1;
        } else {
            self.same = 1;
            self.last = Some((time, stamp.to_owned()));
        }
        Some(text)
    }
}

/// `2026-11-23T06:00:00.123456789Z text`; nothing else looks like that.
fn split(line: &[u8]) -> Option<(DateTime<Utc>, &str, &[u8])> {
    let end = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
    let stamp = std::str::from_utf8(&line[..end]).ok()?;
    let time = DateTime::parse_from_rfc3339(stamp).ok()?.to_utc();
    Some((time, stamp, line.get(end + 1..).unwrap_or_default()))
}

/// Passes on what a pod has printed since `position`, until the stream ends.
pub fn pass_on(
    shell: &Shell,
    kubectl: &Kubectl,
    namespace: &Namespace,
    pod: &str,
    position: &mut Position,
    follow: bool,
    mut line: impl FnMut(&[u8]) -> Result<()>,
) -> Result<Reply> {
    position.take_up();
    let cmd = kubectl.logs(namespace, pod, CONTAINER, follow, position.since());
    let mut unfinished = None;
    let reply = shell.follow(&cmd, |bytes| {
        let Some(whole) = bytes.strip_suffix(b"\n") else {
            unfinished = Some(bytes.to_vec());
            return Ok(());
        };
        position.accept(whole).map_or(Ok(()), &mut line)
    })?;
    // a stream that was followed may have been cut within a line, which comes again as a whole
    if let Some(rest) = unfinished.filter(|_| !follow && reply.succeeded()) {
        position.accept(&rest).map_or(Ok(()), &mut line)?;
    }
    Ok(reply)
}

/// The same from what the API server sends, over a way that is open already: whether it came whole.
pub fn pass_on_from(
    proxy: &Proxy,
    namespace: &Namespace,
    pod: &str,
    position: &mut Position,
    follow: bool,
    mut line: impl FnMut(&[u8]) -> Result<()>,
) -> Result<bool> {
    position.take_up();
    let since = position.since().map_or(String::new(), |since| format!("&sinceTime={}", since.replace('+', "%2B")));
    let path = format!(
        "/api/v1/namespaces/{namespace}/pods/{pod}/log?container={CONTAINER}&timestamps=true&follow={follow}{since}"
    );
    // an experiment may be silent for as long as it likes
    let Ok(mut answer) = proxy.get(&path, None) else { return Ok(false) };
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match answer.read_until(b'\n', &mut bytes) {
            Ok(0) => return Ok(true),
            Ok(_) => {}
            Err(_) => return Ok(false),
        }
        // one that was followed may have been cut within a line, which comes again as a whole
        let Some(whole) = bytes.strip_suffix(b"\n").or((!follow).then_some(&*bytes)) else { return Ok(false) };
        position.accept(whole).map_or(Ok(()), &mut line)?;
    }
}

/// Passes on what several pods have printed so far, each line with its pod. Lines of other pods that `selector`
/// matches are left out.
pub fn pass_on_all(
    shell: &Shell,
    kubectl: &Kubectl,
    namespace: &Namespace,
    selector: &str,
    positions: &mut BTreeMap<String, Position>,
    mut line: impl FnMut(&str, &[u8]) -> Result<()>,
) -> Result<Reply> {
    let cmd = kubectl.logs_of(namespace, selector, CONTAINER, positions.len().max(1) * 2);
    shell.follow(&cmd, |bytes| {
        let Some((pod, rest)) = prefixed(bytes.strip_suffix(b"\n").unwrap_or(bytes)) else { return Ok(()) };
        let Some(position) = positions.get_mut(pod) else { return Ok(()) };
        position.accept(rest).map_or(Ok(()), |text| line(pod, text))
    })
}

/// The pod and the rest of `[pod/NAME/CONTAINER] REST`, as kubectl writes it.
fn prefixed(line: &[u8]) -> Option<(&str, &[u8])> {
    let line = line.strip_prefix(b"[pod/")?;
    let end = line.iter().position(|b| *b == b']')?;
    let (pod, _) = std::str::from_utf8(&line[..end]).ok()?.split_once('/')?;
    Some((pod, line[end + 1..].strip_prefix(b" ").unwrap_or(&line[end + 1..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(position: &mut Position, lines: &[&str]) -> Vec<String> {
        position.take_up();
        let accepted = lines.iter().filter_map(|line| position.accept(line.as_bytes()).map(<[u8]>::to_vec));
        accepted.map(|text| String::from_utf8(text).unwrap()).collect()
    }

    #[test]
    fn taken_up_again_nothing_is_lost_or_doubled() {
        let mut position = Position::default();
        let (a, b, c) = ("2026-11-23T06:00:00.1Z a", "2026-11-23T06:00:00.25Z b", "2026-11-23T06:00:00.25Z b");
        assert_eq!(read(&mut position, &[a, b]), ["a", "b"]);
        // the same second comes again, with one more line of the very same time, and text
        assert_eq!(read(&mut position, &[a, b, c, "2026-11-23T06:00:01Z d"]), ["b", "d"]);
        assert_eq!(read(&mut position, &["2026-11-23T06:00:01Z d"]), [""; 0]);
    }

    #[test]
    fn a_clock_set_back_loses_no_line() {
        let mut position = Position::default();
        assert_eq!(read(&mut position, &["2026-11-23T06:00:05Z a", "2026-11-23T06:00:01Z b"]), ["a", "b"]);
    }

    #[test]
    fn a_line_of_several_pods_tells_its_pod() {
        let line = b"[pod/train-0-abc/experiment] 2026-11-23T06:00:00Z [pod/x/y] z";
        assert_eq!(prefixed(line), Some(("train-0-abc", &b"2026-11-23T06:00:00Z [pod/x/y] z"[..])));
        for other in [&b"error: a pod has gone"[..], b"[pod/a] b", b"[pod/a/b"] {
            assert_eq!(prefixed(other), None);
        }
    }

    #[test]
    fn text_is_kept_byte_for_byte() {
        let mut position = Position::default();
        assert_eq!(
            read(&mut position, &["2026-11-23T06:00:00Z   two  spaces ", "2026-11-23T06:00:01Z ", "no time"]),
            ["  two  spaces ", "", "no time"]
        );
    }
}
