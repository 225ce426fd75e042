//! The command line: the verbs and the flags that each of them takes.

pub mod commands;
pub(crate) mod complete;

use std::ffi::OsString;

use clap::{Parser, Subcommand};

use crate::app::global::Global;

/// The root command.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-mrunner",
    bin_name = "kubectl mrunner",
    version,
    about = "Take a local folder to a running experiment on any Kubernetes cluster",
    after_help = "Examples:\n  kubectl mrunner run train.py -- --epochs 3\n  kubectl mrunner --context lab run --config neptune.yaml --follow train.py\n  kubectl mrunner status",
    propagate_version = false,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The flags that go with every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Take the current folder to a running Job
    Run(Box<commands::run::RunArgs>),
    /// Submit a run again, or its failed points
    Rerun(commands::rerun::RerunArgs),
    /// Show runs and how far they are
    #[command(visible_alias = "list", alias = "ps")]
    Status(commands::status::StatusArgs),
    /// Show what a run prints
    Logs(commands::logs::LogsArgs),
    /// Show what the points of a run measured, beside their parameters
    Results(commands::results::ResultsArgs),
    /// Open a shell beside an experiment that runs
    Shell(commands::inside::ShellArgs),
    /// Attach the terminal to an experiment that runs
    Attach(commands::inside::AttachArgs),
    /// Show all that the cluster knows of a run or a point of it
    Describe(commands::inside::DescribeArgs),
    /// Reach a port of an experiment that runs
    PortForward(commands::inside::PortForwardArgs),
    /// Delete runs; their results in the storage stay
    Delete(commands::delete::DeleteArgs),
    /// Fetch what a run left, or anything in a project's storage
    Download(commands::download::DownloadArgs),
    /// Send a file or folder to a project's storage
    Upload(commands::upload::UploadArgs),
    /// List what is in the storage
    Ls(commands::ls::LsArgs),
    /// Show how large what is in the storage is
    Du(commands::du::DuArgs),
    /// Remove something from the storage
    Rm(commands::rm::RmArgs),
    /// Show and change the remote contexts: clusters with their registry, storage and limits
    Context(commands::context::ContextArgs),
    /// Look after the volumes that projects keep their data on
    Storage(commands::storage::StorageArgs),
    /// Look at all that `run` needs, and tell how to mend what is wrong
    Doctor(commands::doctor::DoctorArgs),
    /// Delete a project
    Project(commands::project::ProjectArgs),
    /// Print the smallest Role that works
    Rbac(commands::rbac::RbacArgs),
    /// Complete verbs, flags and names in bash, zsh and fish
    Completion(commands::completion::CompletionArgs),
    /// Show the version
    Version(commands::version::VersionArgs),
}

/// The command line with `--base_image` spelt `--base-image`: in mrunner's own flags, which end at
/// the first bare `--`, both are the same.
pub fn with_dashes(words: impl IntoIterator<Item = OsString>) -> Vec<OsString> {
    let mut own = true;
    let respell = |word: OsString| {
        own &= word != "--";
        let Some(text) = word.to_str().filter(|t| own && t.starts_with("--")) else { return word };
        let (flag, value) = text.split_once('=').map_or((text, None), |(f, v)| (f, Some(v)));
        let flag = flag.replace('_', "-");
        value.map_or(flag.clone(), |value| format!("{flag}={value}")).into()
    };
    words.into_iter().map(respell).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn underscores_are_dashes_in_our_own_flags_only() {
        let words = ["--base_image=a_b", "--dry_run", "x_y", "--", "--learning_rate"].map(OsString::from);
        assert_eq!(with_dashes(words), ["--base-image=a_b", "--dry-run", "x_y", "--", "--learning_rate"]);
    }
}
