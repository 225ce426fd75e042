//! Files of variables with their values, as `docker run --env-file` reads them. Nothing of a line is told in an error:
//! it may be a secret.

use std::path::Path;

use super::check::secret_env_name;
use super::fault::visible;
use crate::util::error::{Fail, usage};

/// A variable, and its value; without one it is to be had from the environment.
pub type Variable = (String, Option<String>);

/// The variables of a file called `path`.
///
/// # Errors
/// If a line is none of a variable.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Variable>, Fail> {
    let fault = |(line, words): (usize, &str)| {
        usage(format!("`{}` line {line}: {words}", visible(&path.display().to_string())))
            .hint("write `NAME=VALUE`, one to a line, the value as it is")
    };
    lines(text).map_err(fault)
}

fn lines(text: &str) -> Result<Vec<Variable>, (usize, &'static str)> {
    let mut variables = Vec::new();
    for (number, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line.trim_end(), None), |(name, value)| (name, Some(value)));
        let wrong = |words| Err((number + 1, words));
        if name.starts_with("export ") {
            return wrong("begins with `export`, which only a shell knows");
        }
        if secret_env_name(name).is_err() {
            return wrong("does not begin with the name of a variable");
        }
        if value.is_some_and(|value| value.contains('\0')) {
            return wrong("has a NUL character");
        }
        // docker would make them a part of the value, others would not
        let in_quotes = |value: &str| {
            ['"', '\''].iter().any(|quote| value.len() > 1 && value.starts_with(*quote) && value.ends_with(*quote))
        };
        if value.is_some_and(|value| in_quotes(value.trim_end())) {
            return wrong("has a value in quotes, which would be a part of it");
        }
        variables.push((name.to_owned(), value.map(str::to_owned)));
    }
    Ok(variables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_are() {
        let text = "\u{feff}# keys\n\nA=b c \r\n  B=x=\"$y\" # z\nC=\nD\nE='\n";
        let read = lines(text).unwrap();
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let expected =
            [("A", Some("b c ")), ("B", Some("x=\"$y\" # z")), ("C", Some("")), ("D", None), ("E", Some("'"))];
        assert_eq!(read, expected);
    }

    #[test]
    fn a_wrong_line_is_named_and_not_repeated() {
        for (text, line) in [
            ("A=1\nexport B=canary", 2),
            ("canary here", 1),
            ("1A=canary", 1),
            ("\n=canary", 2),
            ("A=\"canary\"", 1),
            ("A='canary' ", 1),
            ("A=x\0canary", 1),
            ("-----BEGIN KEY-----", 1),
        ] {
            let (number, words) = lines(text).unwrap_err();
            assert!(number == line && !words.contains("canary"), "{text}: {number} {words}");
        }
    }
}
