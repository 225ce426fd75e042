//! The flags that pass secrets to an experiment and to the build of its image.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::config::check;
use crate::request::SecretVariable;
use crate::tools::cmd::quote;
use crate::util::error::{Fail, usage};

/// The secrets of `run`, by name: a value on the command line could be read by other users of this machine.
#[derive(Debug, Args)]
#[command(next_help_heading = "Secrets")]
pub struct SecretArgs {
    /// Pass this environment variable in a Secret; can be repeated
    ///
    /// The Secret is deleted together with the run.
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// Pass the `NAME=VALUE` lines of this file in a Secret; can be repeated
    ///
    /// The file may be a pipe, such as `<(pass show wandb)`.
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Pass this environment variable to the image build; can be repeated
    ///
    /// pip sees it while it installs the requirements, which may name it as `${NAME}`, such as the token of a private index. It does not become part of the image.
    #[arg(hide_short_help = true, long, value_name = "NAME", conflicts_with = "image")]
    build_secret: Vec<String>,
}

impl SecretArgs {
    /// The experiment's secret variables, those of files first.
    ///
    /// # Errors If a name is invalid, or a file can't be read.
    pub fn variables(&self, app: &App) -> Result<Vec<SecretVariable>> {
        let typed = named("--secret-env", &self.secret_env)?;
        let mut variables = in_files(&self.env_file, app, &typed)?;
        variables.extend(typed.into_iter().map(|name| SecretVariable { name, file: None }));
        Ok(variables)
    }

    /// Replaces the files of an unfinished run's variables with the ones that are passed now: a pipe can't be read
    /// again. The list of environment variables does not change: a line with only a name adds none.
    ///
    /// # Errors
    /// If a file can't be read.
    pub fn give_again(&self, variables: &mut [SecretVariable], app: &App) -> Result<()> {
        for file in &self.env_file {
            let file = app.places.folder.join(file);
            let read = app.env_files.read(&file, &app.ui, &app.shell)?;
            let given: BTreeSet<String> = read.into_iter().filter(|(_, v)| v.is_some()).map(|(name, _)| name).collect();
            for known in variables.iter_mut().filter(|known| known.file.is_some() && given.contains(&known.name)) {
                known.file = Some(file.clone());
            }
        }
        Ok(())
    }

    /// The paths of secret files in the folder, with and without following links.
    ///
    /// # Errors If a name is not valid Unicode, and so can't be excluded.
    pub fn files(&self, folder: &Path) -> Result<Vec<String>, Fail> {
        let mut names = Vec::new();
        let real_folder = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        for file in &self.env_file {
            let file = folder.join(file);
            let real = fs::canonicalize(&file).unwrap_or_else(|_| file.clone());
            let below = [file.strip_prefix(folder).ok(), real.strip_prefix(&real_folder).ok()];
            for path in below.into_iter().flatten() {
                // a path that leads out of the folder and back is known by its real name
                let parts = path.components().filter(|part| *part != Component::CurDir);
                let parts: Vec<_> = parts.map(|part| part.as_os_str().to_str()).collect();
                let Some(parts) = parts.into_iter().collect::<Option<Vec<_>>>() else {
                    return Err(usage(format!("the name of the file of variables `{}` is not UTF-8", path.display()))
                        .hint("give it another name"));
                };
                names.push(parts.join("/"));
            }
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The names of the build's secrets.
    ///
    /// # Errors If a name is invalid.
    pub fn of_the_build(&self) -> Result<Vec<String>, Fail> {
        let mut names = named("--build-secret", &self.build_secret)?;
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// The variables of some files. As in docker, a line with only a name means the environment. Because a file may be
/// from someone else, the name must be in `allowed`, which the user passed.
///
/// # Errors If a file can't be read, or names an environment variable that is not allowed.
pub fn in_files(files: &[PathBuf], app: &App, allowed: &[String]) -> Result<Vec<SecretVariable>> {
    let mut variables = Vec::new();
    for file in files {
        let file = app.places.folder.join(file);
        let read = app.env_files.read(&file, &app.ui, &app.shell)?;
        let bare = read.iter().filter(|(_, value)| value.is_none()).map(|(name, _)| name);
        let refused: BTreeSet<&String> = bare.filter(|name| !allowed.contains(name)).collect();
        if !refused.is_empty() {
            let names: Vec<String> = refused.iter().map(|name| format!("`{name}`")).collect();
            return Err(usage(format!("`{}` names {} without a value", file.display(), names.join(", ")))
                .hint(format!("to pass your own variables, name them: `{}`", flags(refused)))
                .into());
        }
        for (name, value) in read {
            variables.push(SecretVariable { name, file: value.map(|_| file.clone()) });
        }
    }
    Ok(variables)
}

/// The flags that pass these variables.
pub fn flags<'a>(names: impl IntoIterator<Item = &'a String>) -> String {
    let flag = |name: &String| format!("--secret-env {}", quote(name.as_ref()));
    names.into_iter().map(flag).collect::<Vec<_>>().join(" ")
}

/// The names in a flag.
///
/// # Errors If a name is invalid.
pub fn named(flag: &str, names: &[String]) -> Result<Vec<String>, Fail> {
    names.iter().map(|name| check::secret_env_name(name).map_err(|wrong| wrong.about(flag))).collect()
}
