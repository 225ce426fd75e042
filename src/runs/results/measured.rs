//! Parses what an experiment wrote as its metrics; the only place that does. Pure.

use std::fmt;
use std::io::Read;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::bounded::BoundedMetrics;
use super::utf8::{Utf8, is_utf16};
use crate::runs::lenient_json::{self, Lenient};

/// The mark of a line that reports metrics; the text after the last mark in a line is used.
pub const MARK: &str = "mrunner: ";

/// The metrics that were read, and why others were not.
pub type Judged = (Option<Map<String, Value>>, Option<String>);

const UTF16: &str = "metrics.json is UTF-16; write it as UTF-8";

/// The metrics in a `metrics.json`: its only object, or the last of several, for example in JSON lines.
///
/// # Errors If there are none: the reason in words.
pub fn file(bytes: &[u8]) -> Result<Map<String, Value>, String> {
    if is_utf16(bytes) {
        return Err(UTF16.to_owned());
    }
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Err("metrics.json is empty".to_owned());
    }
    let flaw = match lenient_json::read(text) {
        Ok(Value::Object(object)) => return Ok(object),
        Ok(other) => return Err(format!("metrics.json is {}, not a JSON object", kind(&other))),
        Err(flaw) => flaw,
    };
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if let Some(Value::Object(object)) = lenient_json::parse(last) {
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

/// The last of several objects in a row.
fn last_of(text: &[u8]) -> Result<Map<String, Value>, String> {
    let mut last = None;
    for value in serde_json::Deserializer::from_reader(Lenient::new(text)).into_iter::<Map<String, Value>>() {
        last = Some(value.map_err(|error| error.to_string())?);
    }
    last.ok_or_else(String::new)
}

/// The numbers, strings and booleans at the top level of a `metrics.json` of any size, or of the last object in it,
/// within the size limit.
pub fn large(from: impl Read) -> Judged {
    let (mut from, mut last) = (Utf8::new(from), None);
    for top in serde_json::Deserializer::from_reader(Lenient::new(&mut from)).into_iter::<Top>() {
        match top {
            Ok(Top(top)) => last = Some(top),
            Err(_) if from.is_utf16() => return (None, Some(UTF16.to_owned())),
            Err(error) => {
                let flaw = lenient_json::flaw(&error, &from.head());
                return (None, Some(format!("metrics.json is not a JSON object ({flaw})")));
            }
        }
    }
    let Some(top) = last else { return (None, Some("metrics.json is empty".to_owned())) };
    (Some(top.all().clone()), top.why())
}

/// The top level of an object.
struct Top(BoundedMetrics);

impl<'de> Deserialize<'de> for Top {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Of;
        impl<'de> Visitor<'de> for Of {
            type Value = Top;

            fn expecting(&self, to: &mut fmt::Formatter) -> fmt::Result {
                to.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Top, A::Error> {
                let mut all = BoundedMetrics::default();
                while let Some(name) = map.next_key::<String>()? {
                    match map.next_value()? {
                        Leaf(Some(value)) => all.set(name, value),
                        // the last value of a name is used
                        Leaf(None) => all.unset(&name),
                    }
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

/// The metrics from printed lines: the last value of each name is used.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetricLines {
    metrics: BoundedMetrics,
    /// The number of lines that look like metrics but are invalid, and the fault of the first of them.
    broken: Option<(u64, String)>,
    /// The number of lines that were too long.
    too_long: u64,
    /// The current line, as far as it was read.
    part: Vec<u8>,
    /// Whether the text after the last mark of that line was too long.
    is_too_long: bool,
    skips: bool,
}

impl MetricLines {
    /// The longest line that can be a report.
    const LONGEST: usize = 1 << 20;

    /// Takes the next bytes. A carriage return ends a line too: progress bars write it.
    pub fn push(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
            if !self.skips {
                self.part.extend_from_slice(piece);
            }
            if self.part.len() > Self::LONGEST {
                self.shorten();
            }
            if piece.ends_with(b"\n") || piece.ends_with(b"\r") {
                self.end_line();
            }
        }
    }

    /// Keeps the text after the last mark of a long line, or a possible start of a mark.
    fn shorten(&mut self) {
        let mark = MARK.as_bytes();
        if let Some(at) = self.part.windows(mark.len()).rposition(|bytes| bytes == mark) {
            self.part.drain(..at);
            let is_meant = self.part[mark.len()..].trim_ascii_start().starts_with(b"{");
            self.is_too_long = is_meant && self.part.len() > Self::LONGEST;
        }
        if self.part.len() > Self::LONGEST {
            self.part.drain(..=self.part.len() - mark.len());
        }
    }

    /// Handles the last line, which has no line feed.
    pub fn end_line(&mut self) {
        let (line, is_too_long) = (std::mem::take(&mut self.part), std::mem::take(&mut self.is_too_long));
        if std::mem::take(&mut self.skips) {
            return;
        }
        match String::from_utf8_lossy(&line).rsplit_once(MARK) {
            Some((_, text)) => self.line(text),
            None => self.too_long += u64::from(is_too_long),
        }
    }

    /// Drops the current line: the rest of it is lost.
    pub fn drop_line(&mut self) {
        self.part.clear();
        (self.skips, self.is_too_long) = (true, false);
    }

    fn line(&mut self, text: &str) {
        let text = without_colours(text.trim());
        match lenient_json::read(text) {
            Ok(Value::Object(object)) => object.into_iter().for_each(|(name, value)| self.metrics.set(name, value)),
            // other text may follow the mark
            Err(flaw) if text.starts_with('{') => {
                let flaw = flaw.strip_prefix("line 1: ").map(str::to_owned).unwrap_or(flaw);
                let (count, first) = self.broken.take().unwrap_or((0, flaw));
                self.broken = Some((count + 1, first));
            }
            _ => {}
        }
    }

    /// The metrics, and why some were not used.
    pub fn told(&self) -> Judged {
        let broken = self.broken.as_ref().map(|(count, flaw)| match count {
            1 => format!("a line `mrunner: ...` has no JSON object ({flaw})"),
            _ => format!("{count} lines `mrunner: ...` have no JSON object ({flaw})"),
        });
        let too_long = match self.too_long {
            0 => None,
            1 => Some("a line `mrunner: ...` is longer than 1 MiB".to_owned()),
            count => Some(format!("{count} lines `mrunner: ...` are longer than 1 MiB")),
        };
        let why: Vec<String> = [broken, too_long, self.metrics.why()].into_iter().flatten().collect();
        let metrics = self.metrics.all();
        ((!metrics.is_empty()).then(|| metrics.clone()), (!why.is_empty()).then(|| why.join("; ")))
    }
}

/// A text without the escape sequences at its end that set a colour or clear the line, as written by coloured
/// loggers.
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
        let of = |bytes: &[u8]| {
            let (metrics, why) = large(bytes);
            (metrics.map_or(Value::Null, Value::Object), why.unwrap_or_default())
        };
        assert_eq!(of(text.as_bytes()), (expected, String::new()));
        assert_eq!(of(b"{\"a\": 1}\n{\"b\": 2}\n").0, json!({"b": 2}));
        assert_eq!(of(b"{\"a\": 1,\n\"b\" 2}").1, "metrics.json is not a JSON object (line 2: expected `:`)");
        assert_eq!(of(b"\n").1, "metrics.json is empty");
        // the file may be encoded like a small one
        let long = "x".repeat(70_000);
        let of_both = |bytes: &[u8]| {
            let small = file(bytes).map_or_else(|why| (Value::Null, why), |all| (all.into(), String::new()));
            assert_eq!(of(bytes), small);
            small
        };
        assert_eq!(of_both(b"\xef\xbb\xbf{\"a\": \"\xe4\"}").0, json!({"a": "\u{fffd}"}));
        assert_eq!(of_both(b"\xff\xfe{\0}\0").1, "metrics.json is UTF-16; write it as UTF-8");
        let value = |metrics: &Value, name: &str| metrics.get(name).cloned();
        let (metrics, _) = of(format!("\u{feff}{{\"a\": 1, \"b\": \"{long}\"}}").as_bytes());
        assert_eq!(value(&metrics, "a"), Some(json!(1)));
        // a value without room does not remove others
        let names = (0..200_000).map(|n| format!("\"name{n}\": 1,")).collect::<Vec<_>>().concat();
        let (metrics, why) = of(format!("{{\"accuracy\": 0.9, {names} \"accuracy\": 0.97}}").as_bytes());
        assert_eq!(value(&metrics, "accuracy"), Some(json!(0.97)));
        assert!(why.ends_with(" are left out: the metrics of a point are limited to 1 MiB"), "{why}");
    }

    #[test]
    fn of_too_many_lines_the_last_value_of_each_name_is_kept() {
        let names: Vec<String> = (0..10_000).map(|n| format!("\"name{n}\": 1")).collect();
        let many = format!("mrunner: {{\"accuracy\": 0.5, {}}}\n", names.join(","));
        let (metrics, why) = told(&format!("{many}mrunner: {{\"accuracy\": 0.97, \"loss\": 2}}\n"));
        let values = |metrics: &Value, names: [&str; 2]| names.map(|name| metrics.get(name).cloned());
        let both = ["accuracy", "loss"];
        assert_eq!((values(&metrics, both), why), ([Some(json!(0.97)), Some(json!(2))], None));
        let more: String = (0..10).map(|n| many.replace("name", &format!("a_longer_name{n}_"))).collect();
        let (metrics, why) = told(&format!("{more}mrunner: {{\"accuracy\": 0.98, \"loss\": 2}}\n"));
        assert_eq!(values(&metrics, both), [Some(json!(0.98)), None]);
        assert!(why.unwrap().contains(" values such as `a_longer_name3_"));
    }

    #[test]
    fn of_a_line_of_any_length_what_follows_its_last_mark_counts() {
        let long = "x".repeat(2 << 20);
        assert_eq!(told(&format!("{long}mrunner: {{\"a\": 1}}\nmrunner: {{\"b\": 2}}")).0, json!({"a": 1, "b": 2}));
        assert_eq!(told(&format!("mrunner: {{\"a\": \"{long}\"}}mrunner: {{\"a\": 1}}\n")), (json!({"a": 1}), None));
        let plot = format!("mrunner: {{\"plot\": \"{long}\"}}\n");
        let words = "a line `mrunner: ...` is longer than 1 MiB";
        assert_eq!(told(&format!("{plot}mrunner: {{\"a\": 1}}")), (json!({"a": 1}), Some(words.to_owned())));
        assert!(
            told(&format!("{plot}{plot}mrunner: {{"))
                .1
                .unwrap()
                .ends_with("; 2 lines `mrunner: ...` are longer than 1 MiB")
        );
        assert_eq!(told(&format!("{long}\nmrunner: {long}\n")), (Value::Null, None));
    }

    fn told(text: &str) -> (Value, Option<String>) {
        let mut lines = MetricLines::default();
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
        // as written by a coloured logger
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
        let mut lines = MetricLines::default();
        lines.push(b"mrunner: {\"a\": 1}\nmrunner: {\"b\"");
        lines.drop_line();
        lines.push(b": 2}\nmrunner: {\"c\": 3}\n");
        assert_eq!(lines.told(), (json!({"a": 1, "c": 3}).as_object().cloned(), None));
        let long = format!("{}mrunner: {{\"d\": 1}}\nmrunner: {{\"e\": 1}}\n", "x".repeat(2 << 20));
        lines.push(long.as_bytes());
        assert_eq!(lines.told().0.unwrap().keys().collect::<Vec<_>>(), ["a", "c", "d", "e"]);
    }
}
