//! Secret variables by their names and places; what they hold is read when it is needed, and kept nowhere.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::util::error::{Fail, usage};

/// A variable of an experiment whose value is nobody else's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretVariable {
    /// Its name, which a shell could use, too.
    pub name: String,
    /// The file that holds its value; without one it is a variable of this machine's environment.
    pub file: Option<PathBuf>,
}

/// Each once: the last that was named counts.
///
/// # Errors
/// If one is mrunner's own.
pub(super) fn resolve(flags: &[SecretVariable]) -> Result<Vec<SecretVariable>, Fail> {
    let mut all: Vec<SecretVariable> = Vec::new();
    for variable in flags {
        let name = variable.name.as_str();
        if name.starts_with("MRUNNER_") || ["STORAGE_DIR", "JOB_COMPLETION_INDEX"].contains(&name) {
            return Err(
                usage(format!("the variable `{name}` is set by mrunner itself")).hint("give the secret another name")
            );
        }
        all.retain(|known| known.name != variable.name);
        all.push(variable.clone());
    }
    Ok(all)
}
