//! What differs from one run to the next, replaced by names.

/// The random word of a run by a name.
pub fn without_mark(text: &str) -> String {
    let mut parts = text.split("MRUNNER_MARK\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let (before, rest) = part.split_once("\"value\"").unwrap();
        let (gap, rest) = rest.split_once('"').unwrap();
        let (mark, rest) = rest.split_once('"').unwrap();
        assert_eq!(mark.len(), 10);
        format!("{all}MRUNNER_MARK\"{before}\"value\"{gap}\"[MARK]\"{rest}")
    })
}

/// Replaces the `length` letters and digits behind each `prefix`.
pub fn replace(text: &str, prefix: &str, length: usize, by: &str) -> String {
    let mut parts = text.split(prefix);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(prefix);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        match part.char_indices().nth(length).map_or(Some(part.len()), |(i, _)| Some(i)) {
            Some(end) if part.len() >= length && part[..end].chars().all(fits) => {
                whole.push_str(by);
                whole.push_str(&part[end..]);
            }
            _ => whole.push_str(part),
        }
    }
    whole
}
