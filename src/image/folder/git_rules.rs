//! Lines by the rules of `.gitignore` (<https://git-scm.com/docs/gitignore>).

use std::path::Path;

use super::glob::{Glob, Syntax, Units};
use super::listing::LineFault;

pub struct GitRules(Vec<Line>);

struct Line {
    keeps: bool,
    is_for_folders: bool,
    glob: Glob,
}

impl GitRules {
    pub fn new<'a>(lines: impl IntoIterator<Item = &'a str>) -> Result<Self, LineFault> {
        let mut rules = Vec::new();
        for (index, line) in lines.into_iter().enumerate() {
            let read = read(line).map_err(|why| (index + 1, format!("`{line}`: {why}")))?;
            rules.extend(read);
        }
        Ok(Self(rules))
    }

    /// What the last line that matches says; `None` if none does.
    pub fn keeps(&self, path: &Path, is_dir: bool) -> Option<bool> {
        if self.0.is_empty() {
            return None;
        }
        let units = Units::new(path);
        let mut matching = self.0.iter().rev().filter(|line| is_dir || !line.is_for_folders);
        matching.find(|line| line.glob.matches(&units)).map(|line| line.keeps)
    }
}

/// `None` for comments and empty lines.
fn read(line: &str) -> Result<Option<Line>, &'static str> {
    let line = if line.ends_with("\\ ") { line } else { line.trim_end() };
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let (keeps, line) = line.strip_prefix('!').map_or((false, line), |line| (true, line));
    let (is_rooted, line) = line.strip_prefix('/').map_or((false, line), |line| (true, line));
    let folders = line.strip_suffix('/');
    // the slash may be written as `\/`
    let pattern = folders.map_or(line, |name| name.strip_suffix('\\').unwrap_or(name));
    // without a slash it is a name, wherever that is
    let glob = if is_rooted || pattern.contains('/') {
        Glob::new(pattern, Syntax::Git)
    } else {
        Glob::new(&format!("**/{pattern}"), Syntax::Git)
    };
    Ok(Some(Line { keeps, is_for_folders: folders.is_some(), glob: glob? }))
}
