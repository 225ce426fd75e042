//! The command line: the verbs and the common flags.

pub mod commands;
pub(crate) mod complete;

use std::ffi::OsString;

use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::app::global::{Global, Kubernetes};

/// The root command.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-mrunner",
    bin_name = "kubectl mrunner",
    version,
    about = "Run a local folder as an experiment on any Kubernetes cluster",
    after_help = "Examples:\n  kubectl mrunner run train.py -- --epochs 3\n  kubectl mrunner --context lab run --config neptune.yaml --follow train.py\n  kubectl mrunner status",
    propagate_version = false,
    arg_required_else_help = true
)]
pub struct Cli {
    /// The flags of every verb.
    #[command(flatten)]
    pub global: Global,
    /// The verb.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the current folder into an image and run it as a Job
    Run(Box<commands::run::RunArgs>),
    /// Run a run again, or only its failed points
    Rerun(commands::rerun::RerunArgs),
    /// Show runs and their progress
    #[command(visible_alias = "list", alias = "ps")]
    Status(commands::status::StatusArgs),
    /// Print the logs of a run
    Logs(commands::logs::LogsArgs),
    /// Show the metrics of a run beside its parameters
    Results(commands::results::ResultsArgs),
    /// Open a shell in the container of a running experiment
    Shell(commands::inside::ShellArgs),
    /// Attach to a running experiment
    Attach(commands::inside::AttachArgs),
    /// Show details of a run or a point
    Describe(commands::inside::DescribeArgs),
    /// Forward local ports to a running experiment
    PortForward(commands::inside::PortForwardArgs),
    /// Delete runs; their results in the storage are kept
    Delete(commands::delete::DeleteArgs),
    /// Download the results of a run, or files from a project's storage
    Download(commands::download::DownloadArgs),
    /// Upload a file or folder to a project's storage
    Upload(commands::upload::UploadArgs),
    /// List files in the storage
    Ls(commands::ls::LsArgs),
    /// Show the disk usage of the storage
    Du(commands::du::DuArgs),
    /// Remove files from the storage
    Rm(commands::rm::RmArgs),
    /// Manage remote contexts: clusters with their registry, storage and limits
    Context(commands::context::ContextArgs),
    /// Manage project storage
    Storage(commands::storage::StorageArgs),
    /// Check everything `run` needs and suggest fixes
    Doctor(commands::doctor::DoctorArgs),
    /// Manage projects
    Project(commands::project::ProjectArgs),
    /// Print the Role that a user needs
    Rbac(commands::rbac::RbacArgs),
    /// Set up shell completion for bash, zsh and fish
    Completion(commands::completion::CompletionArgs),
    /// List the options that are passed to kubectl
    #[command(after_help = "Examples:\n  kubectl mrunner options\n  kubectl mrunner --as anna status")]
    Options,
    /// Print the version
    Version(commands::version::VersionArgs),
}

/// The end of every verb's help.
const FOOTER: &str = "Use `kubectl mrunner options` to list the options that are passed to kubectl.";

/// The command line as it is parsed and shown: kubectl's own options are only under `options`.
pub fn command() -> clap::Command {
    let mut root = Cli::command();
    for name in kubernetes_options() {
        root = root.mut_arg(name, |option| option.hide(true));
    }
    with_footer(root)
}

fn kubernetes_options() -> Vec<clap::Id> {
    Kubernetes::augment_args(clap::Command::default()).get_arguments().map(|option| option.get_id().clone()).collect()
}

fn with_footer(command: clap::Command) -> clap::Command {
    let before = command.get_after_help().map(|text| format!("{text}\n\n")).unwrap_or_default();
    command.after_help(before + FOOTER).mut_subcommands(with_footer)
}

/// Parses a command line, whose first word is the program.
///
/// # Errors clap's errors, including help and version.
pub fn parse(words: Vec<OsString>) -> Result<Cli, clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(words)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The options that are passed to kubectl, as text.
pub fn kubernetes_help() -> String {
    let options = Kubernetes::augment_args(clap::Command::default()).disable_help_flag(true);
    let shown = options.mut_args(|option| option.hide_short_help(false)).help_template("{options}").render_help();
    format!("These options are passed to kubectl. They can be used with any command.\n\n{shown}")
}

/// Replaces `--base_image` with `--base-image`: in mrunner's own flags, which end at the first bare `--`, both are
/// the same.
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

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn underscores_are_dashes_in_our_own_flags_only() {
        let words = ["--base_image=a_b", "--dry_run", "x_y", "--", "--learning_rate"].map(OsString::from);
        assert_eq!(with_dashes(words), ["--base-image=a_b", "--dry-run", "x_y", "--", "--learning_rate"]);
    }
}
