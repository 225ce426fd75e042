//! JSON as experiments write it: Python's `json` writes `NaN` and `Infinity`, which JSON has no numbers for.

use serde_json::Value;

/// The words for numbers that are none, as they are shown; in JSON they are texts.
pub const NO_NUMBERS: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

/// Reads JSON, in which a number that JSON can't hold becomes its word as text.
pub fn parse(text: &str) -> Option<Value> {
    serde_json::from_str(text).or_else(|_| serde_json::from_str(&quoted(text))).ok()
}

/// `text` with each `NaN`, `Infinity` and number out of range in quotes.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '"' => string(rest),
            '-' | '0'..='9' | 'a'..='z' | 'A'..='Z' => {
                let word = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
                rest.find(word).unwrap_or(rest.len())
            }
            other => other.len_utf8(),
        };
        let (part, behind) = rest.split_at(length);
        match part.parse::<f64>() {
            Ok(number) if number.is_nan() => out.push_str(r#""NaN""#),
            Ok(number) if number.is_infinite() => {
                out.push_str(if number > 0.0 { r#""Infinity""# } else { r#""-Infinity""# });
            }
            _ => out.push_str(part),
        }
        rest = behind;
    }
    out
}

/// How long the string is that `text` begins with, its quotes included.
fn string(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !escaped => return at + 1,
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    text.len()
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
}
