//! What a tool logs of itself, told from its words: `kubectl -v 6` writes both to stderr.

/// The log in `stderr`, and the words beside it. A line of the log begins as klog has it, `I1124
/// 13:58:01.000000 ...`; those that go on with one are indented or close it
/// (kubernetes/klog, `internal/serialize`); kubectl's "server response object" ends with `}]`.
pub fn without_log(stderr: &str) -> (String, String) {
    let (mut log, mut words, mut inside) = (String::new(), String::new(), false);
    for line in stderr.split_inclusive('\n') {
        let begins = is_log(line);
        inside = begins || (inside && line.starts_with(['\t', ' ', '}']));
        if inside { &mut log } else { &mut words }.push_str(line);
    }
    (log, words)
}

/// Whether a line begins as klog's do.
pub fn is_log(line: &str) -> bool {
    line.len() > 5
        && matches!(line.as_bytes()[0], b'I' | b'W' | b'E' | b'F')
        && line.as_bytes()[1..5].iter().all(u8::is_ascii_digit)
        && line.as_bytes()[5] == b' '
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_is_told_from_the_words() {
        let (log, words) = without_log(
            "I1124 13:58:01.000001   12 loader.go:402] Config loaded\nI1124 13:58:01.1 12 x.go:1] \"Headers\" headers=<\n\tAccept: x\n >\nError from server (NotFound): no\n  indented\nIt is\n",
        );
        assert_eq!(words, "Error from server (NotFound): no\n  indented\nIt is\n");
        // recorded from kubectl 1.32 with -v 10
        let (_, words) = without_log(
            "I1124 13:58:01.000001   12 helpers.go:246] server response object: %s[{\n  \"a\": {\n  }\n}]\nError\n",
        );
        assert_eq!(words, "Error\n");
        assert!(log.ends_with(" >\n") && log.lines().count() == 4, "{log}");
    }
}
