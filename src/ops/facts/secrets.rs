//! Reads secrets that a plan needs and that are not stored: passwords, and the values of secret variables.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::app::env_files::is_passing;
use crate::app::{App, variable};
use crate::config::Variable;
use crate::k8s::manifests::secret_env::MOST;
use crate::k8s::names::RunName;
use crate::ops::registry::password;
use crate::plan::{Plan, PlannedImage};
use crate::request::SecretVariable;
use crate::util::error::{Fail, flatten, usage};

/// The longest string that Linux passes to a process, with the NUL at its end (execve(2), `MAX_ARG_STRLEN`).
const LONGEST: usize = 128 << 10;

/// The secrets of a plan. They are not part of the plan, so that its journal has none.
pub struct Secrets {
    /// The password for the registry's login, if the cluster gets one.
    pub password: Option<String>,
    /// The experiment's secret variables.
    pub env: Vec<(String, String)>,
}

impl Secrets {
    /// Reads all secrets of a plan, before the first step that needs them.
    ///
    /// # Errors If one no longer exists, or does not fit into a Secret.
    pub fn read(plan: &Plan, app: &App) -> Result<Secrets> {
        let password = plan.pull_secret.as_ref().map(password).transpose()?;
        if let PlannedImage::ToBuild(build) = &plan.image {
            // docker reads them itself
            build.secrets.iter().try_for_each(|name| env_value(name).map(drop))?;
        }
        Ok(Secrets { password, env: secret_values(plan, app)? })
    }
}

fn secret_values(plan: &Plan, app: &App) -> Result<Vec<(String, String)>> {
    let variables = &plan.secret_env;
    let mut files: BTreeMap<&PathBuf, Vec<(String, Option<String>)>> = BTreeMap::new();
    for file in variables.iter().filter_map(|variable| variable.file.as_ref()) {
        if !files.contains_key(file) {
            files.insert(file, env_file(file, &plan.run, app)?);
        }
    }
    let mut values = Vec::new();
    for SecretVariable { name, file } in variables {
        let value = match file {
            None => env_value(name)?,
            Some(file) => {
                let last = files[file].iter().rev().find(|(known, _)| known == name);
                last.and_then(|(_, value)| value.clone()).ok_or_else(|| {
                    usage(format!("the file `{}` holds no `{name}` any more", file.display()))
                        .hint(format!("put it back as a line `{name}=VALUE`"))
                })?
            }
        };
        if name.len() + value.len() + 2 > LONGEST {
            return Err(usage(format!("the variable `{name}` is longer than Linux hands to a process, 128 KiB"))
                .hint("put it into a file of the project's storage, with `kubectl mrunner upload`")
                .into());
        }
        values.push((name.clone(), value));
    }
    let total: usize = values.iter().map(|(name, value)| name.len() + value.len()).sum();
    if total > MOST {
        return Err(usage(format!("the secret variables take {} KiB, and a Secret has room for 1024", total >> 10))
            .hint("put what is large into the project's storage, with `kubectl mrunner upload`")
            .into());
    }
    Ok(values)
}

fn env_file(file: &Path, run: &RunName, app: &App) -> Result<Vec<Variable>> {
    app.env_files.read(file, &app.ui, &app.shell).map_err(|error| {
        if !is_passing(file) {
            return error;
        }
        // the variables of a run whose submission was interrupted
        flatten(&error)
            .hint(format!(
                "the variables came through a pipe that is gone, give them again: \
                 `kubectl mrunner run --resume {run} --env-file FILE`"
            ))
            .into()
    })
}

/// Returns the value of an environment variable.
fn env_value(name: &str) -> Result<String, Fail> {
    variable(name).ok_or_else(|| {
        usage(format!("the variable `{name}` is empty or not set"))
            .hint(format!("set it, such as with `read -rs {name} && export {name}`"))
    })
}
