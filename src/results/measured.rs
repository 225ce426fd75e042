//! What an experiment wrote as its metrics: judged here and nowhere else. Pure.

use std::fmt;
use std::io::{self, Read};

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::loose::{self, Lenient};

/// What a line is marked with that reports metrics; what follows the last of them in a line counts.
pub const MARK: &str = "mrunner: ";

/// What of a file that is read piece by piece is kept, in bytes.
const MOST: usize = 1 << 20;

/// The metrics in a `metrics.json`: its one object, or the last of several, such as of JSON lines.
///
/// # Errors
/// If it has none: why, in words.
pub fn file(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err("metrics.json is UTF-16; write it as UTF-8".to_owned());
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err("metrics.json is empty".to_owned());
    }
    let flaw = match loose::read(text) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(other) => return Err(format!("metrics.json is {}, not a JSON object", kind(&other))),
        Err(flaw) => flaw,
    };
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if let Some(Value::Object(object)) = loose::parse(last) {
        return Ok(object);
    }
    last_of(text.as_bytes()).map_err(|_| format!("metrics.json is not a JSON object ({flaw})"))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Array(_) => "a list",
        Value::String(_) => "a text",
        Value::Number(_) => "a number",
        _ => "a single value",
    }
}

/// The last of several objects that follow each other.
fn last_of(text: &[u8]) -> Result<Map<String, Value>, String> {
    let mut last = None;
    for value in serde_json::Deserializer::from_reader(Lenient::new(text)).into_iter::<Map<String, Value>>() {
        last = Some(value.map_err(|error| error.to_string())?);
    }
    last.ok_or_else(String::new)
}

/// The numbers, texts and truth values that stand at the top of a `metrics.json` of any size, or of the last object
/// in it.
///
/// # Errors
/// If it has none: why, in words.
pub fn large(from: impl Read) -> Result<Map<String, Value>, String> {
    let (mut from, mut last) = (Headed { from, head: Vec::new() }, None);
    for top in serde_json::Deserializer::from_reader(Lenient::new(&mut from)).into_iter::<Top>() {
        match top {
            Ok(top) => last = Some(top),
            Err(error) => {
                let flaw = loose::flaw(&error, &String::from_utf8_lossy(&from.head));
                return Err(format!("metrics.json is not a JSON object ({flaw})"));
            }
        }
    }
    last.map(|top| top.0).ok_or_else(|| "metrics.json is empty".to_owned())
}

/// Remembers how what is read begins, where most flaws are.
struct Headed<R> {
    from: R,
    head: Vec<u8>,
}

impl<R: Read> Read for Headed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(into)?;
        let room = 4096_usize.saturating_sub(self.head.len());
        self.head.extend_from_slice(&into[..count.min(room)]);
        Ok(count)
    }
}

/// The top of an object.
struct Top(Map<String, Value>);

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Top;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
                let (mut all, mut size) = (Map::new(), 0);
                while let Some(name) = map.next_key::<String>()? {
                    let Leaf(Some(value)) = map.next_value()? else {
                        // what is said last counts
                        all.remove(&name);
                        continue;
                    };
                    size += name.len() + value.as_str().map_or(8, str::len);
                    if size > MOST {
                        return Err(A::Error::custom("too many names"));
                    }
                    all.insert(name, value);
                }
                Ok(Top(all))
            }
        }
        deserializer.deserialize_map(Of)
    }
}

/// A value that is neither a list nor an object.
struct Leaf(Option<Value>);

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Leaf;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("a value")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Leaf, E> {
                Ok(Leaf(Some(value.into())))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Leaf, E> {
                Ok(Leaf(Some(value.into())))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Leaf, E> {
                Ok(Leaf(Some(value.into())))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Leaf, E> {
                Ok(Leaf(Some(value.into())))
            }

            fn visit_str<E>(self, value: &str) -> Result<Leaf, E> {
                Ok(Leaf(Some(value.into())))
            }

            fn visit_unit<E>(self) -> Result<Leaf, E> {
                Ok(Leaf(Some(Value::Null)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Leaf, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Leaf(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Leaf, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Leaf(None))
            }
        }
        deserializer.deserialize_any(Of)
    }
}

/// The metrics of lines, one after the other: of each name the last value counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    metrics: Map<String, Value>,
    /// How many were meant as metrics and are none, and what is wrong with the first of them.
    broken: Option<(u64, String)>,
    /// How much of a line without an end has come.
    part: Vec<u8>,
    skips: bool,
}

impl Lines {
    /// No line is longer: what follows in it is passed over.
    const LONGEST: usize = 1 << 20;

    /// Takes the next bytes of a log. A bare carriage return ends a line as well: progress bars write it.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            let ends = piece.ends_with(b"\n") || piece.ends_with(b"\r");
            if self.part.len() + piece.len() > Self::LONGEST {
                (self.skips, self.part) = (true, Vec::new());
            }
            if !self.skips {
                self.part.extend_from_slice(piece);
            }
            if ends {
                self.end_line();
            }
        }
    }

    /// What came of the last line is all that comes of it.
    pub fn end_line(&mut self) {
        let line = std::mem::take(&mut self.part);
        if !std::mem::take(&mut self.skips) && !line.is_empty() {
            self.line(&String::from_utf8_lossy(&line));
        }
    }

    /// Passes over what came of the last line: the rest of it is lost.
    pub fn drop_line(&mut self) {
        self.part.clear();
        self.skips = true;
    }

    fn line(&mut self, line: &str) {
        let Some((_, text)) = line.rsplit_once(MARK) else { return };
        let text = without_colours(text.trim());
        match loose::read(text) {
            // a large number of names is none of a report
            Ok(Value::Object(object)) if self.metrics.len() < 10_000 => {
                self.metrics.extend(object);
            }
            // other words may follow the mark as well
            Err(flaw) if text.starts_with('{') => {
                let flaw = flaw.strip_prefix("line 1: ").map(str::to_owned).unwrap_or(flaw);
                let (count, first) = self.broken.take().unwrap_or((0, flaw));
                self.broken = Some((count + 1, first));
            }
            _ => {}
        }
    }

    /// What they say, and why not all of it counts.
    pub fn told(&self) -> (Option<Map<String, Value>>, Option<String>) {
        let why = self.broken.as_ref().map(|(count, flaw)| match count {
            1 => format!("a line `mrunner: ...` has no JSON object ({flaw})"),
            _ => format!("{count} lines `mrunner: ...` have no JSON object ({flaw})"),
        });
        ((!self.metrics.is_empty()).then(|| self.metrics.clone()), why)
    }
}

/// A text without the sequences at its end that set a colour or clear the line, as a coloured logger writes them.
fn without_colours(mut text: &str) -> &str {
    let ends = |sequence: &str| {
        let number = sequence.strip_suffix(['m', 'K']);
        number.is_some_and(|number| number.bytes().all(|b| b.is_ascii_digit() || b == b';'))
    };
    while let Some((rest, _)) = text.rsplit_once("\u{1b}[").filter(|(_, sequence)| ends(sequence)) {
        text = rest.trim_end();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(text: &str) -> Result<Value, String> {
        file(text.as_bytes()).map(Value::Object)
    }

    #[test]
    fn a_file_is_an_object_or_the_last_of_several() {
        for (text, expected) in [
            ("{\"a\": NaN}", json!({"a": "NaN"})),
            ("{\n\t\"a\": [\n1\n],\n\"b\": {\"c\": 2}\n}\r\n", json!({"a": [1], "b": {"c": 2}})),
            ("\u{feff}{\"a\": 1, \"a\": 2}", json!({"a": 2})),
            ("{\"a\": 1}\r\n{\"b\": Infinity}\n\n", json!({"b": "Infinity"})),
            ("{\"a\":\n1}\n{\"b\":\n2\n}\n", json!({"b": 2})),
            // a line that was cut before
            ("{\"a\"\n{\"b\": 2}", json!({"b": 2})),
            ("{}", json!({})),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_taken_has_its_reason() {
        for (text, words) in [
            ("{'accuracy': 0.5, 'ok': True}", "metrics.json is not a JSON object (line 1: single quotes)"),
            ("{\"ok\": True}", "metrics.json is not a JSON object (line 1: `True` is Python's, not JSON's)"),
            ("[1, 2]", "metrics.json is a list, not a JSON object"),
            ("0.5", "metrics.json is a number, not a JSON object"),
            (" \n", "metrics.json is empty"),
            ("{\"a\": 1}\n{\"a\":", "metrics.json is not a JSON object (line 2: trailing characters)"),
            ("{\"a\": \"", "metrics.json is not a JSON object (line 1: it ends too early)"),
        ] {
            assert_eq!(read(text).unwrap_err(), words, "{text}");
        }
        let deep = "{\"a\":".repeat(1000);
        assert!(read(&deep).unwrap_err().contains("recursion limit exceeded"));
        assert_eq!(file(b"\xff\xfe{\0}\0").unwrap_err(), "metrics.json is UTF-16; write it as UTF-8");
    }

    #[test]
    fn of_a_large_file_the_top_is_taken() {
        let history = "{\"step\": 1, \"loss\": NaN},".repeat(50_000);
        let text = format!(
            "{{\"best\": 0.9, \"log\": [{history} 1], \"name\": \"é\", \"ok\": true, \"best\": 0.91, \"inf\": -Infinity, \"none\": null, \"sub\": {{\"x\": 1}}}}"
        );
        let expected = json!({"best": 0.91, "name": "é", "ok": true, "inf": "-Infinity", "none": null});
        assert_eq!(Value::Object(large(text.as_bytes()).unwrap()), expected);
        assert_eq!(large(&b"{\"a\": 1}\n{\"b\": 2}\n"[..]).unwrap()["b"], 2);
        assert_eq!(
            large(&b"{\"a\": 1,\n\"b\" 2}"[..]).unwrap_err(),
            "metrics.json is not a JSON object (line 2: expected `:`)"
        );
        assert_eq!(large(&b"\n"[..]).unwrap_err(), "metrics.json is empty");
        let names: String =
            (0..200_000).flat_map(|n| ["\"name".to_owned(), n.to_string(), "\": 1,".to_owned()]).collect();
        assert!(large(format!("{{{names}").as_bytes()).unwrap_err().contains("too many names"));
    }

    fn told(text: &str) -> (Value, Option<String>) {
        let mut lines = Lines::default();
        // as it comes, in pieces
        text.as_bytes().chunks(7).for_each(|piece| lines.push(piece));
        lines.end_line();
        let (metrics, why) = lines.told();
        (metrics.map_or(Value::Null, Value::Object), why)
    }

    #[test]
    fn what_follows_the_last_mark_of_a_line_counts() {
        let bar =
            "\rsteps:  33%|###  | 1/3 [00:00<00:00]mrunner: {\"a\": 1}\n\r 66%mrunner: mrunner: {\"b\": NaN}\r 100%\n";
        assert_eq!(told(bar), (json!({"a": 1, "b": "NaN"}), None));
        assert_eq!(
            told("mrunner: {\"a\": 1}\nmrunner: {\"c\": 3}\nmrunner: {\"a\": 2}"),
            (json!({"a": 2, "c": 3}), None)
        );
        // as a coloured logger has it
        assert_eq!(told("\u{1b}[32mmrunner: {\"a\": 1}\u{1b}[0m\u{1b}[K\n"), (json!({"a": 1}), None));
        assert!(told("mrunner: {\"a\": 1}\u{1b}[0m and more\n").1.is_some());
        assert_eq!(told(&format!("mrunner: {{\"a\": 1}}{}\n", "\u{1b}[m".repeat(100_000))), (json!({"a": 1}), None));
        assert_eq!(told("mrunner: its time limit of 5 s has passed\nmrunner: 5\nx\n"), (Value::Null, None));
        assert_eq!(
            told("mrunner: {\"a\": 1}\nmrunner: {'a': 2}\n"),
            (json!({"a": 1}), Some("a line `mrunner: ...` has no JSON object (single quotes)".into()))
        );
        assert_eq!(
            told(&"mrunner: {\"a\"\n".repeat(3)).1.unwrap(),
            "3 lines `mrunner: ...` have no JSON object (it ends too early)"
        );
    }

    #[test]
    fn a_line_that_is_cut_is_no_report() {
        let mut lines = Lines::default();
        lines.push(b"mrunner: {\"a\": 1}\nmrunner: {\"b\"");
        lines.drop_line();
        lines.push(b": 2}\nmrunner: {\"c\": 3}\n");
        assert_eq!(lines.told(), (json!({"a": 1, "c": 3}).as_object().cloned(), None));
        let long = format!("{}mrunner: {{\"d\": 1}}\nmrunner: {{\"e\": 1}}\n", "x".repeat(2 << 20));
        lines.push(long.as_bytes());
        assert_eq!(lines.told().0.unwrap().keys().collect::<Vec<_>>(), ["a", "c", "e"]);
    }
}
