//! Words as a shell reads them back.

use std::ffi::OsStr;

/// `word` as any shell reads it back; a byte that is no text is lost, as nothing of ours is.
pub(crate) fn quote_posix(word: &OsStr) -> String {
    let text = word.to_string_lossy();
    if is_plain(&text) { text.into_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_=:,./@%+".contains(c))
}

/// `word` as a shell reads it back, with nothing in it that a terminal would obey.
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
