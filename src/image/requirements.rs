//! What a requirements file mentions, as pip reads it
//! (<https://pip.pypa.io/en/stable/reference/requirements-file-format/>).

/// Something on this machine that a requirements file refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mention {
    /// Another requirements or constraints file, relative to the one that mentions it.
    File(String),
    /// A package on this machine, which is not there yet when requirements are installed.
    Package(String),
}

/// Everything that `text` mentions, with the number of the line where the mention starts.
pub fn mentions(text: &str) -> Vec<(usize, Mention)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    logical_lines(text)
        .into_iter()
        .flat_map(|(number, line)| of_line(&line).into_iter().map(move |m| (number, m)))
        .collect()
}

/// Lines with their continuations joined and their comments cut, as pip does it: a comment ends a
/// continued line, whatever stands at its own end.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut joined: Option<(usize, String)> = None;
    for (index, line) in text.lines().enumerate() {
        let (number, mut whole) = joined.take().unwrap_or((index + 1, String::new()));
        let is_comment = line.trim_start().starts_with('#');
        if let Some(continued) = line.strip_suffix('\\')
            && !is_comment
        {
            whole.push_str(continued);
            joined = Some((number, whole));
            continue;
        }
        if is_comment {
            whole.push(' ');
        }
        whole.push_str(line);
        lines.push((number, whole));
    }
    lines.extend(joined);
    lines.into_iter().map(|(number, line)| (number, without_comment(&line).trim().to_owned())).collect()
}

/// A `#` starts a comment at the start of a line or behind a space; others belong to addresses.
fn without_comment(line: &str) -> &str {
    let starts = |i: usize| line[..i].chars().next_back().is_none_or(char::is_whitespace);
    line.match_indices('#').find(|(i, _)| starts(*i)).map_or(line, |(i, _)| &line[..i])
}

fn of_line(line: &str) -> Vec<Mention> {
    if !line.starts_with('-') {
        return if is_local(line) { vec![Mention::Package(line.to_owned())] } else { Vec::new() };
    }
    let words = shlex::split(line).unwrap_or_else(|| line.split_whitespace().map(str::to_owned).collect());
    let mut words = words.into_iter();
    let mut mentions = Vec::new();
    while let Some(word) = words.next() {
        let Some((option, value)) = option(&word) else { continue };
        let Some(value) = value.map(str::to_owned).or_else(|| words.next()) else { break };
        mentions.extend(match option {
            Named::File if is_file_url(&value) => Some(Mention::Package(value)),
            Named::File if value.contains("://") => None,
            Named::File => Some(Mention::File(value)),
            Named::Editable if value.contains("://") && !is_file_url(&value) => None,
            // a folder named from the root may well be in the base image
            Named::Links if value.contains("://") || value.starts_with('/') => None,
            Named::Editable | Named::Links => Some(Mention::Package(value)),
        });
    }
    mentions
}

enum Named {
    File,
    Editable,
    Links,
}

/// The option that a word is, with the value that is in the same word.
fn option(word: &str) -> Option<(Named, Option<&str>)> {
    let (name, value) = match word.strip_prefix("--") {
        Some(_) => word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value))),
        None if word.is_char_boundary(2) && word.len() > 2 => (&word[..2], Some(&word[2..])),
        None => (word, None),
    };
    let named = match name {
        "-r" | "--requirement" | "-c" | "--constraint" => Named::File,
        "-e" | "--editable" => Named::Editable,
        "-f" | "--find-links" => Named::Links,
        _ => return None,
    };
    Some((named, value))
}

/// pip's rule for what is a path, without its look at the disk: the requirement has a slash, starts
/// with a dot, or ends like an archive.
fn is_local(requirement: &str) -> bool {
    if let Some((name, address)) = requirement.split_once('@')
        && !name.contains(['/', ':'])
    {
        return is_file_url(address.trim());
    }
    let first = requirement.split([' ', '\t', ';']).next().unwrap_or_default();
    if is_file_url(first) {
        return true;
    }
    let archive = [".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz"];
    let path = first.split('[').next().unwrap_or_default();
    !first.contains("://")
        && (first.starts_with('.') || first.contains(['/', '\\']) || archive.iter().any(|a| path.ends_with(a)))
}

fn is_file_url(text: &str) -> bool {
    text.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("file:"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str) -> Mention {
        Mention::File(name.into())
    }

    fn package(name: &str) -> Mention {
        Mention::Package(name.into())
    }

    #[test]
    fn every_way_to_name_a_file() {
        let text = "\u{feff}-r base.txt\n--requirement a/b.txt\n--requirement=c.txt\n-c d.txt\n--constraint=e.txt\n\
                    --constraint f.txt\n-rg.txt\n-r 'with space.txt'\n  -r h.txt # why\n-r i#j.txt\n";
        let names =
            ["base.txt", "a/b.txt", "c.txt", "d.txt", "e.txt", "f.txt", "g.txt", "with space.txt", "h.txt", "i#j.txt"];
        let expected: Vec<_> = names.iter().enumerate().map(|(i, name)| (i + 1, file(name))).collect();
        assert_eq!(mentions(text), expected);
    }

    #[test]
    fn lines_are_continued() {
        assert_eq!(mentions("numpy \\\n  >=1\n-r \\\r\nb.txt\n"), [(3, file("b.txt"))]);
        assert_eq!(mentions("-r \\\n# -r a.txt \\\n-r b.txt"), [(3, file("b.txt"))]);
        assert_eq!(mentions("-r a.txt \\"), [(1, file("a.txt"))]);
    }

    #[test]
    fn what_pip_gets_from_elsewhere_is_no_concern() {
        let text = "# -r no.txt\nnumpy==1.26.4 ; python_version < '3.13'\nrequests[security]>=2 # ./x\n\
                    pip @ https://example.org/pip.whl\ngit+https://example.org/a/b.git@main#egg=x\n\
                    https://example.org/a.tar.gz\n-e git+ssh://git@example.org/a/b\n-r https://example.org/r.txt\n\
                    --index-url https://example.org/simple\n-f /opt/wheels\n--find-links https://example.org/w\n--pre\n-i x\n\
                    torch --hash=sha256:00\n\n";
        assert_eq!(mentions(text), []);
    }

    #[test]
    fn packages_of_this_machine_are_seen() {
        for line in [
            ".",
            "./a.whl",
            "../a",
            "/abs/a",
            "a.whl",
            "sub/dir",
            "a.tar.gz[x]",
            "file:///a",
            "a @ file:///b",
            "a@file:b",
        ] {
            assert_eq!(mentions(line), [(1, package(line))], "{line}");
        }
        assert_eq!(mentions("-e ."), [(1, package("."))]);
        assert_eq!(mentions("--editable=./a[x]"), [(1, package("./a[x]"))]);
        assert_eq!(mentions("-f wheels/"), [(1, package("wheels/"))]);
        assert_eq!(mentions("-r file:///a"), [(1, package("file:///a"))]);
    }

    #[test]
    fn nothing_makes_it_panic() {
        for text in ["-", "-é", "--", "-r", "-r=", "\\", "-r '", "@", "[", "#", "\r\n\\\r\n"] {
            mentions(text);
        }
    }
}
