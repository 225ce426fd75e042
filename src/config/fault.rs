//! What is wrong in a file, and where: collected first, told at once.

use std::path::{Path, PathBuf};

use crate::util::error::{Fail, usage};

/// Faults that are told one by one; a file with more is no file of ours.
const TOLD: usize = 50;

/// Characters of a user's text that a message repeats.
const QUOTED: usize = 60;

/// One thing that is wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, as it was named to us.
    pub file: PathBuf,
    /// Counted from 1; `None` if it is about the file as a whole.
    pub line: Option<usize>,
    /// The path of the key, such as `contexts.lab.resources.cpu`; empty if it is about none.
    pub key: String,
    /// Words that follow the key: `is required`, `must be …`. Without a key, a sentence.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Where a value stands.
#[derive(Debug, Clone, Default)]
pub struct Spot {
    /// Counted from 1.
    pub line: usize,
    /// The path of the key.
    pub key: String,
}

impl Spot {
    /// The spot of `key` in the mapping that stands here.
    pub(super) fn key(&self, key: &str, line: usize) -> Self {
        // escaped here already, so that a dotted path is one line wherever it is shown
        let key = shown(key);
        let key = if self.key.is_empty() { key } else { format!("{}.{key}", self.key) };
        Self { line, key }
    }

    /// The spot of an item of the list that stands here, counted from 0 as in kubectl's paths.
    pub(super) fn item(&self, index: usize, line: usize) -> Self {
        Self { line, key: format!("{}[{index}]", self.key) }
    }
}

/// What is wrong with a value, said without knowing where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Words that follow the name of the key or flag.
    pub message: String,
    /// What to write instead.
    pub hint: Option<String>,
}

/// Starts a [`Wrong`] with words that follow the name of the key or flag.
pub fn wrong(message: impl Into<String>) -> Wrong {
    Wrong { message: message.into(), hint: None }
}

/// A [`Wrong`] that says what the value must be and repeats what it is.
pub(super) fn must_be(what: &str, text: &str) -> Wrong {
    wrong(format!("must be {what}, not `{}`", shown(text)))
}

impl Wrong {
    /// Adds what to write instead.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The failure when the value came by a flag, such as `--registry`.
    pub fn about(self, flag: &str) -> Fail {
        let fail = usage(format!("`{flag}` {}", self.message));
        match self.hint {
            Some(hint) => fail.hint(hint),
            None => fail,
        }
    }
}

/// The faults of one file, while it is read.
#[derive(Debug)]
pub struct Faults {
    file: PathBuf,
    list: Vec<Fault>,
}

impl Faults {
    /// None yet.
    pub fn of(file: &Path) -> Self {
        Self { file: file.to_owned(), list: Vec::new() }
    }

    /// Adds what is wrong with the value at `spot`.
    pub fn add(&mut self, spot: &Spot, wrong: Wrong) {
        let Wrong { message, hint } = wrong;
        self.list.push(Fault { file: self.file.clone(), line: Some(spot.line), key: spot.key.clone(), message, hint });
    }

    /// Adds what is wrong with the file as a whole.
    pub fn add_whole(&mut self, wrong: Wrong) {
        let Wrong { message, hint } = wrong;
        self.list.push(Fault { file: self.file.clone(), line: None, key: String::new(), message, hint });
    }

    /// Whether there are so many that working out one more hint helps nobody.
    pub(super) fn are_plenty(&self) -> bool {
        self.list.len() >= TOLD
    }

    /// The value if nothing is wrong, else all faults in the order of the file.
    ///
    /// A reader gives `None` only after it has added a fault.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Vec<Fault>> {
        match value {
            Some(value) if self.list.is_empty() => Ok(value),
            _ => {
                self.list.sort_by_key(|fault| fault.line);
                self.list.dedup();
                Err(self.list)
            }
        }
    }
}

/// All faults as one failure: a single one in the message, more as a line each.
impl From<Vec<Fault>> for Fail {
    fn from(faults: Vec<Fault>) -> Self {
        if let [fault] = faults.as_slice() {
            let fail = usage(visible(&fault.sentence()));
            return match &fault.hint {
                Some(hint) => fail.hint(visible(hint)),
                None => fail,
            };
        }
        let mut files: Vec<&Path> = faults.iter().map(|fault| fault.file.as_path()).collect();
        files.dedup();
        let mut fail = match files.as_slice() {
            [file] => usage(format!("`{}` has {} faults", visible(&file.display().to_string()), faults.len())),
            _ => usage(format!("{} files have {} faults", files.len(), faults.len())),
        };
        for fault in faults.iter().take(TOLD) {
            let detail = fault.detail();
            let file = fault.file.display();
            fail.details.push(visible(&if files.len() == 1 { detail } else { format!("{file}: {detail}") }));
        }
        if let Some(more @ 1..) = faults.len().checked_sub(TOLD) {
            fail.details.push(format!("and {more} more"));
        }
        fail
    }
}

impl Fault {
    /// The fault alone: `` `config.yaml` line 4: `storage` is required ``.
    fn sentence(&self) -> String {
        let Self { line, key, message, .. } = self;
        let file = self.file.display();
        match (line, key.as_str()) {
            (None, "") => format!("`{file}` {message}"),
            (None, key) => format!("`{file}`: `{key}` {message}"),
            (Some(line), "") => format!("`{file}` line {line}: {message}"),
            (Some(line), key) => format!("`{file}` line {line}: `{key}` {message}"),
        }
    }

    /// The fault of a text that is in no file yet.
    pub(super) fn without_place(&self) -> String {
        let hint = self.hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default();
        let key = if self.key.is_empty() { String::new() } else { format!("`{}` ", self.key) };
        visible(&format!("{key}{}{hint}", self.message))
    }

    /// The fault among others: `line 4: contexts.lab.storage: is required`.
    pub(super) fn detail(&self) -> String {
        let line = self.line.map(|line| format!("line {line}: ")).unwrap_or_default();
        let key = if self.key.is_empty() { String::new() } else { format!("{}: ", self.key) };
        let hint = self.hint.as_ref().map(|hint| format!(", {hint}")).unwrap_or_default();
        format!("{line}{key}{}{hint}", self.message)
    }
}

/// `text` in one line that says what it is: whatever would break or turn a line is escaped, so
/// that nobody's key can look like a line of ours.
pub(super) fn visible(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        // the direction marks and line separators of Unicode are no control characters to char
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns { line.extend(c.escape_default()) } else { line.push(c) }
    }
    line
}

/// A user's text as a message repeats it: visible, and cut.
pub(super) fn shown(text: &str) -> String {
    let cut: String = text.chars().take(QUOTED).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    visible(&cut) + more
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::error::Exit;

    fn fault(line: Option<usize>, key: &str, message: &str, hint: Option<&str>) -> Fault {
        let hint = hint.map(str::to_owned);
        Fault { file: "/home/a/config.yaml".into(), line, key: key.into(), message: message.into(), hint }
    }

    #[test]
    fn a_single_fault_is_the_message() {
        let fail = Fail::from(vec![fault(Some(4), "a.b", "is not a known key", Some("did you mean `c`?"))]);
        assert_eq!(fail.message, "`/home/a/config.yaml` line 4: `a.b` is not a known key");
        assert_eq!(fail.hints, ["did you mean `c`?"]);
        assert_eq!((fail.details.len(), fail.exit), (0, Exit::Usage));
        assert_eq!(Fail::from(vec![fault(None, "", "is empty", None)]).message, "`/home/a/config.yaml` is empty");
        let fail = Fail::from(vec![fault(Some(2), "", "this is not YAML", None)]);
        assert_eq!(fail.message, "`/home/a/config.yaml` line 2: this is not YAML");
        assert_eq!(Fail::from(vec![fault(None, "a", "is bad", None)]).message, "`/home/a/config.yaml`: `a` is bad");
    }

    #[test]
    fn more_are_a_line_each() {
        let fail = Fail::from(vec![
            fault(Some(4), "contexts.lab.registry_uri", "is not a known key", Some("did you mean `registry_url`?")),
            fault(Some(5), "contexts.lab.storage", "is required", None),
            fault(None, "", "is too long", None),
        ]);
        assert_eq!(fail.message, "`/home/a/config.yaml` has 3 faults");
        let expected = [
            "line 4: contexts.lab.registry_uri: is not a known key, did you mean `registry_url`?",
            "line 5: contexts.lab.storage: is required",
            "is too long",
        ];
        assert_eq!(fail.details, expected);
        assert_eq!(fail.exit, Exit::Usage);
    }

    #[test]
    fn several_files_are_named_in_each_line() {
        let other = Fault { file: "/b".into(), ..fault(Some(1), "x", "is bad", None) };
        let fail = Fail::from(vec![fault(Some(2), "y", "is bad", None), other]);
        assert_eq!(fail.message, "2 files have 2 faults");
        assert_eq!(fail.details, ["/home/a/config.yaml: line 2: y: is bad", "/b: line 1: x: is bad"]);
    }

    #[test]
    fn no_text_can_forge_a_line() {
        let evil = "x\nline 9: y: is fine\u{1b}[2J\u{202e}";
        let fail = Fail::from(vec![fault(Some(1), evil, evil, Some(evil)), fault(Some(2), "b", "is bad", None)]);
        assert_eq!(fail.details.len(), 2);
        let escaped = "x\\nline 9: y: is fine\\u{1b}[2J\\u{202e}";
        assert_eq!(fail.details[0], format!("line 1: {escaped}: {escaped}, {escaped}"));
    }

    #[test]
    fn a_flood_is_cut() {
        let fail = Fail::from(vec![fault(Some(1), "a", "is bad", None); 60]);
        assert_eq!(fail.message, "`/home/a/config.yaml` has 60 faults");
        assert_eq!(fail.details.len(), 51);
        assert_eq!(fail.details[50], "and 10 more");
        assert_eq!(shown(&"é".repeat(100)), "é".repeat(60) + "…");
    }

    #[test]
    fn the_same_words_serve_a_flag() {
        let fail = wrong("must be a number").hint("write `2`").about("--gpu");
        assert_eq!((fail.message.as_str(), fail.exit), ("`--gpu` must be a number", Exit::Usage));
        assert_eq!(fail.hints, ["write `2`"]);
    }
}
