//! The command line: the verbs and the flags that each of them takes.

use std::ffi::OsString;

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// The root command.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-mrunner",
    bin_name = "kubectl mrunner",
    version,
    about = "Take a local folder to a running experiment on any Kubernetes cluster",
    after_help = "Examples:\n  kubectl mrunner run train.py -- --epochs 3\n  kubectl mrunner --context lab run --config neptune.yaml --follow train.py\n  kubectl mrunner status",
    disable_help_subcommand = true,
    propagate_version = false
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
    /// Show runs and how far they are
    #[command(alias = "list", alias = "ps")]
    Status(commands::status::StatusArgs),
    /// Show what a run prints
    Logs(commands::logs::LogsArgs),
    /// Delete runs; their results in the storage stay
    Delete(commands::delete::DeleteArgs),
    /// Show the version
    Version(commands::version::VersionArgs),
}

/// Flags that can stand anywhere behind `mrunner`.
#[derive(Debug, Clone, Default, Args)]
pub struct Global {
    /// The remote context, else the kubeconfig context of that name
    #[arg(
        long,
        global = true,
        value_name = "NAME",
        help = "The remote context, else the kubeconfig context of that name [env: MRUNNER_CONTEXT]"
    )]
    pub context: Option<String>,
    /// The namespace, instead of the project's own
    #[arg(short, long, global = true, value_name = "NAME")]
    pub namespace: Option<String>,
    /// The flags for kubectl.
    #[command(flatten)]
    pub kubernetes: Kubernetes,
}

/// Flags handed to each kubectl as they were given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Kubernetes options")]
pub struct Kubernetes {
    /// The kubeconfig context to use, whatever the remote context says
    #[arg(long, global = true, value_name = "NAME")]
    pub kube_context: Option<String>,
    /// The kubeconfig file to use
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<String>,
    /// How long to wait for one answer of the API server, such as `5s`
    #[arg(long, global = true, value_name = "TIME")]
    pub request_timeout: Option<String>,
    /// The kubeconfig cluster to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub cluster: Option<String>,
    /// The kubeconfig user to use
    #[arg(long, global = true, value_name = "NAME", hide_short_help = true)]
    pub user: Option<String>,
    /// The user to impersonate
    #[arg(long = "as", global = true, value_name = "USER", hide_short_help = true)]
    pub as_user: Option<String>,
    /// A group to impersonate; can be repeated
    #[arg(long, global = true, value_name = "GROUP", hide_short_help = true)]
    pub as_group: Vec<String>,
    /// The address of the API server
    #[arg(short, long, global = true, value_name = "URL", hide_short_help = true)]
    pub server: Option<String>,
    /// Where kubectl keeps its cache
    #[arg(long, global = true, value_name = "FOLDER", hide_short_help = true)]
    pub cache_dir: Option<String>,
    /// Do not check the API server's certificate
    #[arg(long, global = true, hide_short_help = true)]
    pub insecure_skip_tls_verify: bool,
}

impl Kubernetes {
    /// The flags as kubectl takes them, the context apart.
    pub fn forwarded(&self) -> Vec<String> {
        let mut flags = Vec::new();
        let mut forward = |name: &str, value: &Option<String>| {
            if let Some(value) = value {
                flags.extend([format!("--{name}"), value.clone()]);
            }
        };
        forward("kubeconfig", &self.kubeconfig);
        forward("cluster", &self.cluster);
        forward("user", &self.user);
        forward("as", &self.as_user);
        forward("server", &self.server);
        forward("cache-dir", &self.cache_dir);
        forward("request-timeout", &self.request_timeout);
        for group in &self.as_group {
            flags.extend(["--as-group".to_owned(), group.clone()]);
        }
        if self.insecure_skip_tls_verify {
            flags.push("--insecure-skip-tls-verify".to_owned());
        }
        flags
    }
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
