//! Patterns of paths: what git's and docker's have in common.

use std::ffi::OsStr;
use std::path::Path;

/// A path below the folder as patterns see it, with `/` on every system.
pub(super) fn slashed(path: &Path) -> Vec<u8> {
    path.iter().map(OsStr::as_encoded_bytes).collect::<Vec<_>>().join(&b'/')
}

/// Why a pattern matches nothing. git ignores such a line, and docker refuses it (`path/filepath`, `Match`).
pub(super) fn fault(pattern: &str) -> Option<&'static str> {
    let mut rest = pattern.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\\' if rest.next().is_none() => return Some("nothing follows the last `\\`"),
            '[' => {
                rest.next_if(|c| matches!(c, '!' | '^'));
                // the first character of a class may be a `]`
                let mut is_first = true;
                loop {
                    match rest.next() {
                        None => return Some("`[` without `]`: write `\\[` for the character itself"),
                        Some(']') if !is_first => break,
                        Some('\\') => _ = rest.next(),
                        Some(_) => {}
                    }
                    is_first = false;
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_pattern_that_can_not_match_is_told() {
        for pattern in ["[a", "a/[!]", "[]", "[a\\]", "x\\"] {
            assert!(fault(pattern).is_some(), "{pattern}");
        }
        for pattern in ["[a]", "[!]]", "[]a]", "[\\]]", "\\[a", "a]", "a{b", "x\\\\"] {
            assert_eq!(fault(pattern), None, "{pattern}");
        }
    }
}
