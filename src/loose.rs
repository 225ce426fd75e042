//! JSON as experiments write it: Python's `json` writes `NaN` and `Infinity`, which JSON has no numbers for.

use std::io::{self, Read};

use serde_json::{Value, error::Category};

/// The words for numbers that are none, as they are shown; in JSON they are texts.
pub const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// No number is written with more characters.
const LONGEST: usize = 400;

/// What of a text is passed on by [`Lenient`], in bytes.
const TEXT: usize = 64 << 10;

/// Reads JSON, in which a number that JSON can't hold becomes its word as text.
pub fn parse(text: &str) -> Option<Value> {
    read(text).ok()
}

/// Reads JSON in the same way.
///
/// # Errors
/// If it is none: with what is wrong with it, and in which line.
pub fn read(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).or_else(|_| {
        let mut quoted = String::with_capacity(text.len() + 16);
        Lenient::new(text.as_bytes()).whole().read_to_string(&mut quoted).map_err(|error| error.to_string())?;
        serde_json::from_str(&quoted).map_err(|error| flaw(&error, &quoted))
    })
}

/// What is wrong with `text`, by the parser's error.
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

/// JSON on its way, with each `NaN`, `Infinity` and number out of range in quotes, and of each text no more than
/// its first 64 KiB, so that whoever reads needs little memory.
#[derive(Debug)]
pub struct Lenient<R> {
    from: R,
    /// How much of a text is passed on.
    most: usize,
    ready: Vec<u8>,
    given: usize,
    /// The word or number that is being read.
    word: Vec<u8>,
    /// How long the text is that is being read.
    text: Option<usize>,
    escaped: bool,
    over: bool,
}

impl<R: Read> Lenient<R> {
    /// Reads from there.
    pub fn new(from: R) -> Self {
        let (ready, word) = (Vec::new(), Vec::new());
        Self { from, most: TEXT, ready, given: 0, word, text: None, escaped: false, over: false }
    }

    /// With texts of any length.
    fn whole(mut self) -> Self {
        self.most = usize::MAX;
        self
    }

    fn take(&mut self, byte: u8) {
        if let Some(length) = &mut self.text {
            *length += 1;
            let ends = byte == b'"' && !self.escaped;
            // a character or an escape is not cut in two
            let whole = !self.escaped && byte & 0xc0 != 0x80;
            if *length > self.most && !ends && (whole || *length > self.most + 8) {
                *length = self.most + 8;
                self.escaped = byte == b'\\' && !self.escaped;
                return;
            }
            self.ready.push(byte);
            self.escaped = byte == b'\\' && !self.escaped;
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
        self.text = (byte == b'"').then_some(0);
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

    #[test]
    fn a_text_on_its_way_has_a_bound_and_stays_text() {
        let long = format!("{}é\\\"\\u00e9{}", "x".repeat(TEXT - 3), "yé\\\\\\\"".repeat(TEXT));
        let text = format!("{{\"a\": \"{long}\", \"b\": -Infinity, \"c\": \"{long}\"}}");
        let mut read = String::new();
        Lenient::new(text.as_bytes()).read_to_string(&mut read).unwrap();
        let value: Value = serde_json::from_str(&read).unwrap();
        assert!((TEXT - 8..TEXT + 8).contains(&value["a"].as_str().unwrap().len()));
        assert_eq!((&value["b"], &value["c"]), (&json!("-Infinity"), &value["a"]));
    }
}
