//! Which words may be shown to a shell. Some shells expand the candidates (cobra's script for bash, with `compgen
//! -W`), and all of them parse the inserted text again.

/// The longest word.
const LONGEST: usize = 512;

/// Whether `word` is the same quoted and unquoted in bash, zsh and fish, with any options, and is not a line with a
/// meaning in cobra's scripts.
pub fn is_plain(word: &str) -> bool {
    let mut before = '=';
    (1..=LONGEST).contains(&word.len())
        && word.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'))
        && word.chars().all(|c| {
            // zsh looks up the text after an `=` at the beginning of a word, or of a part of it, as a program
            let fits = if c == '=' { !matches!(before, '=' | ':' | ',') } else { is_plain_char(c) };
            before = c;
            fits
        })
}

/// Whether `word` is plain and can't be read as a flag.
pub fn is_plain_value(word: &str) -> bool {
    is_plain(word) && !word.starts_with('-')
}

/// A description for a word: shells show it, and insert the common beginning of two such lines.
pub fn description(text: &str) -> String {
    let text = text.lines().next().unwrap_or_default();
    let text = text.split([';', '[', '(']).next().unwrap_or_default();
    let told = |c: char| match c {
        '\'' => Some('’'),
        c if c == ' ' || is_plain_char(c) => Some(c),
        _ => None,
    };
    text.chars().filter_map(told).take(LONGEST).collect::<String>().trim().to_owned()
}

fn is_plain_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_./:@%+=,-".contains(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_plain() {
        for word in ["train-3f9k2m1a", "gke_a_b_c", "anna/vision", "--output=json", "lr=0.1", "a@b.c", "v1.2+x", "50%"]
        {
            assert!(is_plain(word), "{word}");
        }
        assert!(is_plain_value("a-b") && !is_plain_value("--yes") && !is_plain_value("-n"));
    }

    #[test]
    fn what_any_shell_reads_otherwise_is_not() {
        let long = "a".repeat(513);
        for word in [
            "",
            " ",
            "a b",
            "$(id)",
            "`id`",
            "$HOME",
            "~",
            "~root",
            "a~",
            "{a,b}",
            "[a]",
            "*",
            "a?",
            "!!",
            "#",
            "a\\b",
            "'a'",
            "\"a\"",
            "a;b",
            "a|b",
            "a&b",
            "<(id)",
            ">a",
            "=ls",
            "a==ls",
            "a=b:=ls",
            ":4",
            ":",
            "%self",
            "%1",
            "@a",
            "+a",
            ",a",
            "^a^b",
            "a\tb",
            "a\nb",
            "a\rb",
            "\u{1b}[31m",
            "é",
            "\u{a0}",
            "\u{202e}a",
            &long,
        ] {
            assert!(!is_plain(word), "{word:?}");
        }
    }

    #[test]
    fn a_description_is_text() {
        assert_eq!(description("Look at `run`'s $(id) {a}; more"), "Look at run’s");
        assert_eq!(description("A name [default: the script's]"), "A name");
        assert_eq!(description("a\tb\n$(id)"), "ab");
        assert_eq!(description("project $x"), "project x");
    }
}
