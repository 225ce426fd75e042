//! Splits a stream into lines, and a long line into pieces of bounded size. Pure.

use std::time::Duration;

use anyhow::Result;

/// The largest piece of a line; shorter lines are passed on whole.
pub const PIECE: usize = 32 * 1024;

/// How many bytes of a log may be buffered before they are passed on: more than the 10 MiB after which a kubelet
/// starts a new file by default.
pub const HELD: usize = 12 << 20;

/// How late a log may start after its container before its beginning is searched elsewhere.
pub const LATE: Duration = Duration::from_secs(1);

/// How late a log may start before the user is warned, if it is unknown whether its beginning is lost.
pub const VERY_LATE: Duration = Duration::from_secs(10);

/// A line, or a piece of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes, without the line feed.
    pub text: &'a [u8],
    /// Whether it starts the line.
    pub begins: bool,
    /// Whether it ends the line.
    pub ends: bool,
}

/// Splits a stream into lines.
#[derive(Debug, Default)]
pub struct LineReader {
    pending: Vec<u8>,
    /// Whether pieces of the current line were passed on.
    within: bool,
}

impl LineReader {
    /// Passes on what these bytes complete: lines, and pieces of a line that is too long to buffer.
    pub fn take(&mut self, mut bytes: &[u8], mut each: impl FnMut(Piece) -> Result<()>) -> Result<()> {
        while let Some(at) = memchr(bytes) {
            let (line, rest) = (&bytes[..at], &bytes[at + 1..]);
            let text = if self.pending.is_empty() {
                line
            } else {
                self.pending.extend_from_slice(line);
                &self.pending
            };
            let result = each(Piece { text, begins: !self.within, ends: true });
            self.pending.clear();
            self.within = false;
            result?;
            bytes = rest;
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE {
            let result = each(Piece { text: &self.pending, begins: !self.within, ends: false });
            self.pending.clear();
            self.within = true;
            result?;
        }
        Ok(())
    }

    /// Passes on the last line, if it has no line feed.
    pub fn end(&mut self, mut each: impl FnMut(Piece) -> Result<()>) -> Result<()> {
        if self.pending.is_empty() && !self.within {
            return Ok(());
        }
        let pending = std::mem::take(&mut self.pending);
        let begins = !std::mem::take(&mut self.within);
        each(Piece { text: &pending, begins, ends: true })
    }
}

fn memchr(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

/// The text before each line of one of several pods, and before a further piece of a long line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Label {
    /// Before a line.
    pub first: String,
    /// Before a further piece.
    pub more: String,
}

impl Label {
    /// No label, for a single log.
    pub fn none() -> Self {
        Self::default()
    }

    /// Adds a piece as it is shown. If lines of others may come between, each piece is on its own line.
    pub fn write(&self, piece: Piece, out: &mut Vec<u8>) {
        out.extend_from_slice(if piece.begins { self.first.as_bytes() } else { self.more.as_bytes() });
        out.extend_from_slice(piece.text);
        if piece.ends || !self.first.is_empty() {
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces as `[text]`, with `+` before one that does not begin a line and after one that does not end it.
    fn cut(chunks: &[&[u8]]) -> Vec<String> {
        let (mut lines, mut all) = (LineReader::default(), Vec::new());
        let mut note = |piece: Piece| {
            let text = String::from_utf8_lossy(piece.text);
            let text = if text.len() > 10 { format!("{} bytes", text.len()) } else { text.into_owned() };
            let (before, after) = (if piece.begins { "" } else { "+" }, if piece.ends { "" } else { "+" });
            all.push(format!("{before}{text}{after}"));
            Ok(())
        };
        chunks.iter().try_for_each(|chunk| lines.take(chunk, &mut note)).unwrap();
        lines.end(&mut note).unwrap();
        all
    }

    #[test]
    fn lines_are_whole_wherever_the_stream_is_cut() {
        let text = b"a\n\nbc\r\nd\0\xff\ne";
        for at in 0..text.len() {
            assert_eq!(cut(&[&text[..at], &text[at..]]), ["a", "", "bc\r", "d\0\u{fffd}", "e"], "cut at {at}");
        }
        assert_eq!(cut(&[b"a\n"]), ["a"]);
        assert_eq!(cut(&[b""]), [""; 0]);
    }

    #[test]
    fn a_long_line_comes_in_pieces() {
        let long = vec![b'x'; PIECE];
        assert_eq!(cut(&[&long, &long, b"yz\nnext\n"]), ["32768 bytes+", "+32768 bytes+", "+yz", "next"]);
        // the end of the line comes separately
        assert_eq!(cut(&[&long, b"\n", b"\n"]), ["32768 bytes+", "+", ""]);
        assert_eq!(cut(&[&long]), ["32768 bytes+", "+"]);
    }

    #[test]
    fn pieces_of_one_of_several_pods_are_marked() {
        let label = Label { first: "3 | ".into(), more: "3 + ".into() };
        let pieces = [("ab", true, false), ("cd", false, false), ("", false, true), ("next", true, true)];
        let shown = |label: &Label| {
            let mut out = Vec::new();
            for (text, begins, ends) in pieces {
                label.write(Piece { text: text.as_bytes(), begins, ends }, &mut out);
            }
            String::from_utf8(out).unwrap()
        };
        assert_eq!(shown(&label), "3 | ab\n3 + cd\n3 + \n3 | next\n");
        assert_eq!(shown(&Label::none()), "abcd\nnext\n");
    }
}
