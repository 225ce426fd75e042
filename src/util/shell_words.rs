//! Quotes words for a shell.

use std::ffi::OsStr;

/// Quotes `word` for any shell; bytes that are not valid text are lost, but mrunner's own words have none.
pub(crate) fn quote_posix(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    if is_plain(&text) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_=:,./@%+".contains(c))
}

/// Quotes `word` for a shell, without control characters.
pub fn quote(word: &OsStr) -> String {
    if let Some(text) = word.to_str().filter(|text| is_plain(text)) {
        return text.to_owned();
    }
    if let Some(text) = word.to_str()
        && !text.contains(char::is_control)
        && let Ok(quoted) = shlex::try_quote(text)
    {
        return quoted.into_owned();
    }
    let mut quoted = String::from("$'");
    for &byte in word.as_encoded_bytes() {
        match byte {
            b'\n' => quoted.push_str("\\n"),
            b'\t' => quoted.push_str("\\t"),
            b'\\' | b'\'' => {
                quoted.push('\\');
                quoted.push(char::from(byte));
            }
            0x20..=0x7e => quoted.push(char::from(byte)),
            _ => {
                quoted.push_str(&format!("\\x{byte:02x}"));
            }
        }
    }
    quoted.push('\'');
    quoted
}
