//! The flags that hand secrets to an experiment and to the build of its image.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::config::{check, read_env_file};
use crate::error::Fail;
use crate::request::SecretVariable;

/// What `run` takes that is nobody else's business. Names alone: a value on the command line could be read by everybody
/// on this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretArgs {
    /// Hand the experiment this variable of yours, by a Secret that goes with the run; can be repeated
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// Hand it the variables of this file, lines `NAME=VALUE`, by the same Secret; can be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Let pip use this variable of yours while the requirements are installed, such as a token for a
    /// private index that they name as `${NAME}`; it is no part of the image; can be repeated
    #[arg(long, value_name = "NAME", conflicts_with = "image")]
    build_secret: Vec<String>,
}

impl SecretArgs {
    /// The experiment's secret variables, those of files first.
    ///
    /// # Errors
    /// If a name is none, or a file can't be read.
    pub fn variables(&self, folder: &Path) -> Result<Vec<SecretVariable>> {
        let mut variables = in_files(&self.env_file, folder)?;
        for name in named("--secret-env", &self.secret_env)? {
            variables.push(SecretVariable { name, file: None });
        }
        Ok(variables)
    }

    /// The names of the build's secrets.
    ///
    /// # Errors
    /// If one is no name.
    pub fn of_the_build(&self) -> Result<Vec<String>, Fail> {
        let mut names = named("--build-secret", &self.build_secret)?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// The variables of some files. A line with a name alone means the environment, as docker has it.
///
/// # Errors
/// If a file can't be read.
pub fn in_files(files: &[PathBuf], folder: &Path) -> Result<Vec<SecretVariable>> {
    let mut variables = Vec::new();
    for file in files {
        let file = folder.join(file);
        for (name, value) in read_env_file(&file)? {
            variables.push(SecretVariable { name, file: value.map(|_| file.clone()) });
        }
    }
    Ok(variables)
}

fn named(flag: &str, names: &[String]) -> Result<Vec<String>, Fail> {
    names.iter().map(|name| check::secret_env_name(name).map_err(|wrong| wrong.about(flag))).collect()
}
