//! JSON as experiments write it: Python's `json` writes `NaN` and `Infinity`, which JSON does not have.

use std::io::{self, Read};

use serde_json::{Value, error::Category};

/// The words that Python writes for special numbers; in JSON they become strings.
pub const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// The longest number.
const LONGEST: usize = 400;

/// How many bytes of a string [`Lenient`] passes on.
const TEXT: usize = 64 << 10;

/// Reads JSON; a number that JSON can't represent becomes a string.
pub fn parse(text: &str) -> Option<Value> {
    read(text).ok()
}

/// Reads JSON in the same way from a reader.
///
/// # Errors If it is not JSON: with the reason and the line.
pub fn read(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).or_else(|_| {
        let mut quoted = String::with_capacity(text.len() + 16);
        Lenient::new(text.as_bytes()).whole().read_to_string(&mut quoted).map_err(|error| error.to_string())?;
        serde_json::from_str(&quoted).map_err(|error| flaw(&error, &quoted))
    })
}

/// The reason why `text` is not JSON, from the parser's error.
pub fn flaw(error: &serde_json::Error, text: &str) -> String {
    let line = text.split('\n').nth(error.line().saturating_sub(1)).unwrap_or_default();
    let bytes = line.as_bytes().get(error.column().saturating_sub(1)..).unwrap_or_default();
    let rest = String::from_utf8_lossy(bytes);
    let python = ["True", "False", "None"].into_iter().find(|word| rest.starts_with(word));
    let words = match (error.classify(), python) {
        (_, Some(word)) => format!("`{word}` is Python's, not JSON's"),
        _ if rest.starts_with('\'') => "single quotes".to_owned(),
        (Category::Eof, _) => "it ends too early".to_owned(),
        _ => error.to_string().split(" at line ").next().unwrap_or_default().to_owned(),
    };
    format!("line {}: {words}", error.line().max(1))
}

/// JSON as a stream, with each `NaN`, `Infinity` and number out of range in quotes, and each string shortened to
/// its first 64 KiB, so that the reader needs little memory.
#[derive(Debug)]
pub struct Lenient<R> {
    from: R,
    /// How much of a string is passed on.
    most: usize,
    ready: Vec<u8>,
    given: usize,
    /// The word or number that is being read.
    word: Vec<u8>,
    text: Option<Text>,
    over: bool,
}

/// A string that is being read.
#[derive(Debug, Default)]
struct Text {
    /// How many bytes of it were passed on.
    length: usize,
    /// The escape sequence that has started, as far as it was read.
    escape: Vec<u8>,
    /// Whether the last escape sequence was the first half of a character: `\ud83d` of `\ud83d\ude00`.
    half: bool,
    is_cut: bool,
}

impl Text {
    /// The most bytes of one character.
    const WIDEST: usize = r"\ud83d\ude00".len();

    /// Whether the next byte is passed on: about `most` bytes are, and no character or escape sequence is split.
    fn passes(&mut self, byte: u8, most: usize) -> bool {
        let continues = byte & 0xc0 == 0x80 || (self.half && byte == b'\\');
        let is_whole = self.escape.is_empty() && !continues;
        self.is_cut |= self.length >= most && (is_whole || self.length - most > Self::WIDEST);
        self.length += usize::from(!self.is_cut);
        if self.escape.is_empty() {
            self.half &= byte == b'\\';
        }
        self.escape(byte);
        !self.is_cut
    }

    /// Records whether the byte starts, continues or ends an escape sequence.
    fn escape(&mut self, byte: u8) {
        let belongs = match self.escape.as_slice() {
            [] => byte == b'\\',
            [_] => true,
            _ => byte.is_ascii_hexdigit(),
        };
        if belongs {
            self.escape.push(byte);
        }
        let ends = match self.escape.as_slice() {
            [] | [_] => false,
            [_, b'u', digits @ ..] => digits.len() == 4 || !belongs,
            _ => true,
        };
        if ends {
            let first = matches!(self.escape[1..], [b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', ..]);
            self.half = first && !self.half;
            self.escape.clear();
        }
    }
}

impl<R: Read> Lenient<R> {
    /// Reads from there.
    pub fn new(from: R) -> Self {
        let (ready, word) = (Vec::new(), Vec::new());
        Self { from, most: TEXT, ready, given: 0, word, text: None, over: false }
    }

    /// With strings of any length.
    fn whole(mut self) -> Self {
        self.most = usize::MAX;
        self
    }

    fn take(&mut self, byte: u8) {
        if let Some(text) = &mut self.text {
            let ends = byte == b'"' && text.escape.is_empty();
            if text.passes(byte, self.most) || ends {
                self.ready.push(byte);
            }
            if ends {
                self.text = None;
            }
            return;
        }
        if byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.') {
            self.word.push(byte);
            if self.word.len() > LONGEST {
                self.ready.append(&mut self.word);
            }
            return;
        }
        self.end_word();
        self.text = (byte == b'"').then(Text::default);
        self.ready.push(byte);
    }

    fn end_word(&mut self) {
        match std::str::from_utf8(&self.word).ok().and_then(|word| word.parse::<f64>().ok()) {
            Some(number) if number.is_nan() => self.ready.extend(br#""NaN""#),
            Some(number) if number.is_infinite() && number > 0.0 => self.ready.extend(br#""Infinity""#),
            Some(number) if number.is_infinite() => self.ready.extend(br#""-Infinity""#),
            _ => self.ready.extend(&self.word),
        }
        self.word.clear();
    }
}

impl<R: Read> Read for Lenient<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.given == self.ready.len() && !self.over {
            self.ready.clear();
            self.given = 0;
            let mut bytes = [0; 8192];
            let count = self.from.read(&mut bytes)?;
            bytes[..count].iter().for_each(|&byte| self.take(byte));
            if count == 0 {
                self.over = true;
                self.end_word();
            }
        }
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
    use serde_json::Map;
    use serde_json::json;

    #[test]
    fn numbers_that_are_none_become_words() {
        let text = r#"{"loss": NaN, "a": [-Infinity, Infinity, 1e999, -1e999], "nan": "NaN, \"NaN", "ok": 1.5, "t": true, "n": null}"#;
        assert_eq!(
            parse(text).unwrap(),
            json!({"loss": "NaN", "a": ["-Infinity", "Infinity", "Infinity", "-Infinity"], "nan": "NaN, \"NaN", "ok": 1.5, "t": true, "n": null})
        );
    }

    #[test]
    fn what_is_no_json_stays_none() {
        for text in ["", "{", "{\"a\": NaNs}", "{\"a\": \"b", "NaN NaN", "{\"a\\\": NaN}", "é"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        for (text, words) in [
            ("{'a': 1}", "line 1: single quotes"),
            ("{\"a\": NaN,\n 'b': 1}", "line 2: single quotes"),
            ("{\"a\": 'b'}", "line 1: single quotes"),
            ("{\"a\": True}", "line 1: `True` is Python's, not JSON's"),
            ("{\"a\":\n1,\n\"b\": None}", "line 3: `None` is Python's, not JSON's"),
            ("{\"a\": 1,\n", "line 2: it ends too early"),
            ("{\"a\": 1,}", "line 1: trailing comma"),
            ("{} {}", "line 1: trailing characters"),
        ] {
            assert_eq!(read(text).unwrap_err(), words, "{text}");
        }
    }

    /// What is passed on of a string, at most about `most` bytes, as JSON.
    fn passed_on(text: &str, most: usize) -> String {
        let json = format!("{{\"a\": \"{text}\", \"b\": -Infinity, \"c\": \"{text}\"}}");
        let mut read = String::new();
        let mut from = Lenient { most, ..Lenient::new(json.as_bytes()) };
        from.read_to_string(&mut read).unwrap_or_else(|error| panic!("{error}: {json}"));
        let value: Map<String, Value> = serde_json::from_str(&read).unwrap_or_else(|error| panic!("{error}: {read}"));
        let [first, infinite, last] = value.values().collect::<Vec<_>>()[..] else { panic!("{read}") };
        assert_eq!((infinite, first), (&json!("-Infinity"), last));
        let passed = read[7..].split("\", \"b\"").next().unwrap().to_owned();
        assert!(text.starts_with(&passed), "{passed}");
        let room = if passed == text { 0..most + 12 } else { most..most + 12 };
        assert!(room.contains(&passed.len()), "{} of {most}: {passed}", passed.len());
        passed
    }

    #[test]
    fn a_text_on_its_way_has_a_bound_and_stays_text() {
        // non-ASCII text as Python writes it, at each place where the cut may be
        for long in [r"\u4f60\u597d", r"\ud83d\ude00", r"\uD83D\uDE00x", "é你😀", r#"y\\\""#, r"\n\u00e9"] {
            for before in 0..12 {
                passed_on(&format!("{}{}", "x".repeat(before), long.repeat(TEXT / 4)), TEXT);
            }
        }
        assert_eq!(passed_on(r"ab\u4f60", 2), "ab");
        assert_eq!(passed_on(r"ab\u4f60z", 3), r"ab\u4f60");
        assert_eq!(passed_on(r"a\ud83d\ude00\n", 2), r"a\ud83d\ude00");
        assert_eq!(passed_on(r"a\ud83d\ude00\n", 7), r"a\ud83d\ude00");
    }

    #[test]
    fn what_is_no_text_has_a_bound_as_well() {
        for (bad, most) in [(&b"\x80"[..], 20), (br"\ud83d", 20), (br"\u", 20)] {
            let (mut read, json) = (Vec::new(), [b"\"", &bad.repeat(1000)[..]].concat());
            Lenient { most, ..Lenient::new(&json[..]) }.read_to_end(&mut read).unwrap();
            assert!(read.len() < most + 16, "{}", read.len());
        }
    }

    proptest! {
        #[test]
        fn no_character_is_cut_in_two(text in any::<String>(), most in 2_usize..40, ascii in any::<bool>()) {
            let mut quoted = json!(text).to_string();
            if ascii {
                let escaped = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect::<Vec<_>>().concat();
                quoted = quoted.chars().map(|c| if c.is_ascii() { c.to_string() } else { escaped(c) }).collect();
            }
            passed_on(&quoted[1..quoted.len() - 1], most);
        }
    }
}
