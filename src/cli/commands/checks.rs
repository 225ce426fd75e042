//! The list of checks of `doctor` and `storage check`.

use anyhow::Result;
use clap::ValueEnum;
use serde_json::json;

use crate::app::App;
use crate::tools::kubectl::in_one_line;
use crate::util::error::{Cause, Exit, Fail, fail, flatten};
use crate::util::ui::Table;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For both.
    Yaml,
}

/// The state of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckState {
    /// Passed.
    Ok,
    /// A problem that does not keep a run from working.
    Warning,
    /// A run would fail.
    Failed,
    /// Not checked.
    Skipped,
}

impl CheckState {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// A check.
#[derive(Debug)]
pub struct Check {
    /// The subject.
    pub name: &'static str,
    /// The state.
    pub state: CheckState,
    /// The result.
    pub message: String,
    /// What to do.
    pub hints: Vec<String>,
}

/// Creates a check.
pub fn check(name: &'static str, state: CheckState, message: impl Into<String>) -> Check {
    Check { name, state, message: message.into(), hints: Vec::new() }
}

impl Check {
    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

/// Creates a failed check from an error.
pub fn failed(name: &'static str, error: &anyhow::Error) -> Check {
    let Fail { message, details, hints, known, .. } = flatten(error);
    if matches!(known, Some(Cause::Refused(_) | Cause::NotYet)) {
        // a policy may need many lines
        let words = in_one_line(&details.join("\n"));
        return Check { name, state: CheckState::Failed, message: format!("{message}: {words}"), hints };
    }
    // the last line of a tool that looks like an error is the cause, or else its last line
    let says_so = |line: &&String| {
        ["error", "unable to ", "the connection "].iter().any(|begin| line.to_lowercase().starts_with(begin))
    };
    let cause = details.iter().rev().find(says_so).or(details.last());
    let cause = cause.map(|line| format!(": {line}")).unwrap_or_default();
    Check { name, state: CheckState::Failed, message: message + &cause, hints }
}

/// Prints all checks; exit code 1 if a run would fail.
pub fn answer(checks: &[Check], output: Format, app: &App) -> Result<()> {
    let fine = checks.iter().all(|check| check.state != CheckState::Failed);
    let one = |c: &Check| json!({ "name": c.name, "state": c.state.word(), "message": c.message, "hints": c.hints });
    let document = json!({ "ok": fine, "checks": checks.iter().map(one).collect::<Vec<_>>() });
    match output {
        Format::Json => app.ui.answer(serde_json::to_string_pretty(&document)?),
        Format::Yaml => app.ui.answer(serde_yaml::to_string(&document)?.trim_end()),
        Format::Table => {
            let mut rows = Vec::new();
            for check in checks {
                rows.push(vec![check.state.word().to_owned(), check.name.to_owned(), check.message.clone()]);
                rows.extend(check.hints.iter().map(|hint| vec![String::new(), String::new(), format!("hint: {hint}")]));
            }
            app.ui.answer(Table::default().lines(&rows, None))
        }
    }?;
    if fine { Ok(()) } else { Err(fail("").exit(Exit::Error).into()) }
}
