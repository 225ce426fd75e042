//! The user's own Python.

use std::path::Path;
use std::time::Duration;

use crate::tools::cmd::Cmd;
use crate::tools::shell;

/// Stands in for the modules that a script with experiments imports, and tells their parameters.
const EXPERIMENTS: &str = include_str!("../../templates/experiments.py");

/// Asks `script` for its experiments; the answer is a JSON object in each line, the first of what they have in
/// common.
pub fn experiments(script: &Path, patience: Duration) -> Cmd {
    // on Windows it has no number
    let python =
        if shell::place_of("python3").is_none() && shell::place_of("python").is_some() { "python" } else { "python3" };
    Cmd::new(python, format!("ask `{}` for its experiments", script.display()))
        .arg("-")
        .arg(script)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .document("experiments.py", EXPERIMENTS)
        .deadline(patience)
}
