//! Reads a file of any size as text: without a byte order mark, and with invalid UTF-8 replaced.

use std::io::{self, Read};

/// How much of the beginning is remembered.
const HEAD: usize = 4096;

/// A file that is read in pieces.
pub(super) struct Utf8<R> {
    from: R,
    /// Bytes that were read and are not decoded yet.
    raw: Vec<u8>,
    ready: Vec<u8>,
    given: usize,
    /// The beginning of the text, where most faults are.
    head: Vec<u8>,
    has_begun: bool,
    is_utf16: bool,
}

/// Whether a file starts with the byte order mark of UTF-16.
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff])
}

impl<R: Read> Utf8<R> {
    /// Reads from there.
    pub(super) fn new(from: R) -> Self {
        let (raw, ready, head) = Default::default();
        Self { from, raw, ready, given: 0, head, has_begun: false, is_utf16: false }
    }

    /// Whether the file is UTF-16, and so can't be read.
    pub(super) fn is_utf16(&self) -> bool {
        self.is_utf16
    }

    /// The beginning of the text.
    pub(super) fn head(&self) -> String {
        String::from_utf8_lossy(&self.head).into_owned()
    }

    /// Decodes the next bytes. Returns whether to continue.
    fn fill(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 8192];
        let count = self.from.read(&mut bytes)?;
        let is_over = count == 0;
        self.raw.extend_from_slice(&bytes[..count]);
        (self.given, self.ready) = (0, Vec::with_capacity(self.raw.len()));
        let enough = self.has_begun || is_over || self.raw.len() >= 3;
        if enough {
            self.decode(is_over);
        }
        Ok(!is_over)
    }

    fn decode(&mut self, is_over: bool) {
        let raw = std::mem::take(&mut self.raw);
        let mut rest = raw.as_slice();
        if !std::mem::replace(&mut self.has_begun, true) {
            self.is_utf16 = is_utf16(rest);
            rest = rest.strip_prefix("\u{feff}".as_bytes()).unwrap_or(rest);
        }
        while let Err(error) = std::str::from_utf8(rest) {
            let (text, bad) = rest.split_at(error.valid_up_to());
            self.ready.extend_from_slice(text);
            rest = bad;
            if error.error_len().is_none() && !is_over {
                // the rest of the character comes with the next piece
                self.raw = std::mem::take(&mut rest).to_vec();
                break;
            }
            self.ready.extend_from_slice("\u{fffd}".as_bytes());
            rest = &bad[error.error_len().unwrap_or(bad.len())..];
        }
        self.ready.extend_from_slice(rest);
        let room = HEAD.saturating_sub(self.head.len());
        self.head.extend_from_slice(&self.ready[..self.ready.len().min(room)]);
    }
}

impl<R: Read> Read for Utf8<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && self.fill()? {}
        let rest = &self.ready[self.given..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Limits each read to this many bytes.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let most = into.len().min(self.1);
            self.0.read(&mut into[..most])
        }
    }

    fn decoded(bytes: &[u8], at_once: usize) -> String {
        let mut text = String::new();
        Utf8::new(Slow(bytes, at_once)).read_to_string(&mut text).unwrap();
        text
    }

    #[test]
    fn a_byte_order_mark_is_left_out_at_the_beginning_only() {
        for at_once in 1..9 {
            assert_eq!(decoded("\u{feff}é\u{feff}".as_bytes(), at_once), "é\u{feff}");
            assert_eq!(decoded(b"a", at_once), "a");
            assert_eq!(decoded(b"\xef\xbb", at_once), "\u{fffd}");
        }
        let mut utf16 = Utf8::new(&b"\xff\xfe{\0}\0"[..]);
        io::copy(&mut utf16, &mut io::sink()).unwrap();
        assert!(utf16.is_utf16());
    }

    proptest! {
        #[test]
        fn in_pieces_it_is_the_same_as_at_once(
            bytes in prop::collection::vec(prop_oneof![any::<u8>(), Just(0xe4), Just(0xbd), Just(0xa0)], 0..40),
            at_once in 1_usize..9,
        ) {
            let whole = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert_eq!(decoded(&bytes, at_once), whole.strip_prefix('\u{feff}').unwrap_or(&whole));
        }
    }
}
