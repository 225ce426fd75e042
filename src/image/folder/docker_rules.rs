//! `.dockerignore`, by docker's rules
//! (<https://docs.docker.com/build/concepts/context/#dockerignore-files>).
//!
//! They differ from git's: a pattern is rooted, matches a path or any folder above it, and `!`
//! re-includes also below a folder that is left out. The last pattern that matches decides, more or
//! less: what docker really does is what counts (`MatchesUsingParentResults` in moby/patternmatcher).

use std::path::{Path, PathBuf};

use gix_ignore::glob::wildmatch;
use gix_ignore::glob::wildmatch::Mode;

use super::listing::{Inherited, LineFault, Verdict};
use super::patterns::{fault, slashed};

/// The characters with a meaning in a pattern.
const SPECIAL: [char; 5] = ['*', '?', '[', ']', '\\'];

pub(super) struct DockerRules(Vec<Pattern>);

struct Pattern {
    keeps: bool,
    /// git's patterns that match together what docker's matches.
    globs: Vec<String>,
    /// The leading folders that are written out, such as `a/b` of `a/b/*.py`.
    fixed: PathBuf,
}

impl DockerRules {
    pub(super) fn new(text: &str) -> Result<Self, LineFault> {
        let mut patterns = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let Some((keeps, pattern)) = pattern(line) else { continue };
            if let Some(fault) = fault(&pattern) {
                return Err((index + 1, format!("`{line}`: {fault}")));
            }
            let fixed = pattern.split('/').take_while(|name| !name.contains(SPECIAL)).collect();
            patterns.push(Pattern { keeps, globs: globs(&pattern), fixed });
        }
        Ok(Self(patterns))
    }

    /// See [`super::rules::Ignore::judge`]. What is handed down is which patterns matched.
    pub(super) fn judge(&self, path: &Path, is_dir: bool, above: &Inherited) -> (Verdict, Inherited) {
        let bytes = slashed(path);
        let matches =
            |glob: &String| wildmatch(glob.as_bytes().into(), bytes.as_slice().into(), Mode::NO_MATCH_SLASH_LITERAL);
        let mut matching = vec![false; self.0.len()];
        let mut left_out = false;
        for (index, pattern) in self.0.iter().enumerate() {
            // A pattern that would change nothing is not asked, and then has not matched for what is
            // below either: docker does it so, and it shows. By `*/x` and then `!d`, `d/x` stays out.
            let is_asked = pattern.keeps == left_out;
            let was_above = above.0.get(index).copied().unwrap_or_default();
            matching[index] = was_above || (is_asked && pattern.globs.iter().any(matches));
            if matching[index] {
                left_out = !pattern.keeps;
            }
        }
        let may_keep = |p: &Pattern| p.keeps && (p.fixed.starts_with(path) || path.starts_with(&p.fixed));
        let verdict = if !left_out {
            Verdict::Keep
        } else if is_dir && self.0.iter().any(may_keep) {
            Verdict::LookInside
        } else {
            Verdict::LeaveOut
        };
        (verdict, Inherited(matching.into()))
    }
}

/// A line's pattern and whether it re-includes; `None` for comments and lines without meaning.
fn pattern(line: &str) -> Option<(bool, String)> {
    if line.starts_with('#') {
        return None;
    }
    let line = line.trim();
    let (keeps, line) = match line.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, line),
    };
    let cleaned = cleaned(line);
    (!cleaned.is_empty()).then_some((keeps, cleaned))
}

/// Without `.`, `..`, double and leading slashes, as Go's `filepath.Clean` does it. A pattern that
/// leaves the folder stays and matches nothing; `.` is ignored, "for historical reasons".
fn cleaned(pattern: &str) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in pattern.split('/') {
        match name {
            "" | "." => {}
            ".." if names.last().is_some_and(|n| *n != "..") => _ = names.pop(),
            ".." if pattern.starts_with('/') => {}
            name => names.push(name),
        }
    }
    names.join("/")
}

/// docker's pattern in git's words; each of them will do.
///
/// docker's `**` means any number of folders also beside other characters, `a**b` is `ab` or
/// `aX/Y/b`, but a simple word behind a leading `**` is a mere ending: `**.py` is `**/*.py`.
fn globs(pattern: &str) -> Vec<String> {
    match pattern.strip_prefix("**") {
        Some(ending) if !ending.is_empty() && !ending.starts_with('/') && !ending.contains(SPECIAL) => {
            vec![format!("**/*{ending}")]
        }
        _ => expanded(String::new(), pattern),
    }
}

fn expanded(done: String, pattern: &str) -> Vec<String> {
    let Some(at) = pattern.find("**") else { return vec![done + pattern] };
    let done = done + &pattern[..at];
    let rest = &pattern[at + 2..];
    let rest = rest.strip_prefix('/').unwrap_or(rest);
    let starts_name = done.is_empty() || done.ends_with('/');
    match (starts_name, rest.is_empty()) {
        (true, true) => vec![done + "**"],
        (true, false) => expanded(done + "**/", rest),
        (false, true) => vec![format!("{done}*"), format!("{done}*/**")],
        (false, false) => [expanded(done.clone(), rest), expanded(done + "*/**/", rest)].concat(),
    }
}
