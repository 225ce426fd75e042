//! The user's own Python.

use std::path::Path;
use std::time::Duration;

use crate::tools::cmd::Cmd;
use crate::tools::shell::Shell;

/// Stands in for the modules that a script with experiments imports, and tells their parameters.
const EXPERIMENTS: &str = include_str!("../../templates/experiments.py");

/// Asks `script` for its experiments; the answer is a JSON object in each line, the first of what they have in
/// common.
///
/// In Python's isolated mode: no variable and no module that happens to lie in the folder comes before our own lines,
/// which add what a script finds.
pub fn experiments(script: &Path, timeout: Duration, shell: &Shell) -> Cmd {
    // on Windows it has no number
    let python = if shell.find_program("python3").is_none() && shell.find_program("python").is_some() {
        "python"
    } else {
        "python3"
    };
    Cmd::new(python, format!("ask `{}` for its experiments", script.display()))
        .without(&["PYTHON"])
        // isolated, and without writing bytecode beside the script
        .args(["-I", "-B", "-"])
        .arg(script)
        .document("experiments.py", EXPERIMENTS)
        .deadline(timeout)
}
