//! Lines by the rules of `.gitignore` (<https://git-scm.com/docs/gitignore>).

use std::path::Path;

use gix_ignore::glob::Pattern;
use gix_ignore::glob::pattern::Case;
use gix_ignore::glob::wildmatch::Mode;

use super::listing::LineFault;
use super::patterns::{fault, slashed};

pub(super) struct GitRules(Vec<Pattern>);

impl GitRules {
    pub(super) fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, LineFault> {
        let mut patterns = Vec::new();
        for (index, line) in lines.into_iter().enumerate() {
            // each alone, as a text of many could begin with a byte order mark
            for (pattern, ..) in gix_ignore::parse(line.as_bytes(), false) {
                if let Some(fault) = fault(line) {
                    return Err((index + 1, format!("`{line}`: {fault}")));
                }
                patterns.push(pattern);
            }
        }
        Ok(Self(patterns))
    }

    /// Whether the last pattern that matches keeps `path`; `None` if none matches.
    pub(super) fn keeps(&self, path: &Path, is_dir: bool) -> Option<bool> {
        if self.0.is_empty() {
            return None;
        }
        let path = slashed(path);
        let name = path.iter().rposition(|byte| *byte == b'/').map(|slash| slash + 1);
        let matches = |pattern: &&Pattern| {
            pattern.matches_repo_relative_path(
                path.as_slice().into(),
                name,
                Some(is_dir),
                Case::Sensitive,
                Mode::NO_MATCH_SLASH_LITERAL,
            )
        };
        self.0.iter().rev().find(matches).map(Pattern::is_negative)
    }
}
