//! The arguments of `run`.

use super::{failure, secrets, sweep};
use clap::{Args, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// The arguments of `run`.
#[derive(Debug, Args)]
#[command(
    override_usage = "kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...",
    after_help = "Examples:\n  kubectl mrunner run train.py -- --epochs 3\n  kubectl mrunner run --config neptune.yaml --follow train.py\n  kubectl mrunner run --dry-run train.py"
)]
pub struct RunArgs {
    /// Script in the current folder, and its arguments
    #[arg(value_name = "SCRIPT")]
    pub(super) words: Vec<OsString>,
    /// The arguments after the first bare `--`.
    #[arg(last = true, hide = true)]
    pub(super) rest: Vec<OsString>,

    /// Experiment file [default: `mrunner.yaml` if it exists]
    #[arg(long, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    /// Ignore `mrunner.yaml`
    #[arg(hide_short_help = true, long, conflicts_with = "config")]
    pub(super) no_config: bool,
    /// Tag; can be repeated
    #[arg(hide_short_help = true, long, alias = "tag", value_name = "TAG")]
    pub(super) tags: Vec<String>,
    /// Experiment name [default: the script's name]
    #[arg(long, value_name = "NAME")]
    pub(super) name: Option<String>,
    /// Project [default: the folder's name]
    ///
    /// Each project has its own namespace and storage.
    #[arg(long, value_name = "NAME")]
    pub(super) project: Option<String>,

    /// Requirements file with the Python packages to install
    #[arg(long, value_name = "FILE", help_heading = "Image")]
    pub(super) requirements: Option<PathBuf>,
    /// Base image [default: python:3]
    #[arg(long, value_name = "IMAGE", help_heading = "Image")]
    pub(super) base_image: Option<String>,
    /// Run this image; build nothing
    #[arg(long, value_name = "IMAGE", help_heading = "Image", conflicts_with_all = ["requirements", "base_image", "template", "pull", "registry"])]
    pub(super) image: Option<String>,
    /// Registry to push the image to
    #[arg(hide_short_help = true, long, value_name = "URL", help_heading = "Image")]
    pub(super) registry: Option<String>,
    /// Dockerfile template to use instead of the built-in one
    #[arg(hide_short_help = true, long, value_name = "FILE", help_heading = "Image")]
    pub(super) template: Option<PathBuf>,
    /// Platform of the cluster's nodes [default: linux/amd64]
    #[arg(hide_short_help = true, long, value_name = "OS/ARCH", help_heading = "Image")]
    pub(super) platform: Option<String>,
    /// Pull the base image again, and rebuild if it changed
    #[arg(hide_short_help = true, long, help_heading = "Image")]
    pub(super) pull: bool,

    /// CPU limit, such as `4` or `500m`
    #[arg(long, value_name = "QUANTITY", help_heading = "Resources")]
    pub(super) cpu: Option<String>,
    /// Memory limit, such as `8Gi`
    #[arg(long, value_name = "QUANTITY", help_heading = "Resources")]
    pub(super) mem: Option<String>,
    /// Size of /dev/shm [default: the memory limit]
    ///
    /// It counts towards the memory limit. `0` keeps the container runtime's 64 MiB.
    #[arg(hide_short_help = true, long, value_name = "QUANTITY", help_heading = "Resources")]
    pub(super) shm: Option<String>,
    /// GPUs, such as `2` or `a100:2`
    #[arg(long, value_name = "[TYPE:]N", help_heading = "Resources")]
    pub(super) gpu: Option<String>,
    /// TPU chips, such as `4` or `v5e:4`
    #[arg(hide_short_help = true, long, value_name = "[TYPE:]N", help_heading = "Resources")]
    pub(super) tpu: Option<String>,
    /// Kueue queue to submit to
    #[arg(hide_short_help = true, long, value_name = "NAME", help_heading = "Resources")]
    pub(super) queue: Option<String>,
    /// Storage class for a new project
    #[arg(hide_short_help = true, long, value_name = "NAME", help_heading = "Resources")]
    pub(super) storage_class: Option<String>,
    /// Existing claim to use as storage
    #[arg(hide_short_help = true, long, value_name = "NAME", help_heading = "Resources")]
    pub(super) storage_claim: Option<String>,

    #[command(flatten)]
    pub(super) sweep: sweep::SweepArgs,
    #[command(flatten)]
    pub(super) failure: failure::FailureArgs,
    #[command(flatten)]
    pub(super) secrets: secrets::SecretArgs,

    /// Print what would be done, and do nothing
    ///
    /// `client` contacts nobody. `server` also lets the API server check the manifests.
    #[arg(long, value_name = "WHERE", num_args = 0..=1, require_equals = true, default_value = "none", default_missing_value = "client", hide_default_value = true, hide_possible_values = true, help_heading = "Submission")]
    pub(super) dry_run: DryRun,
    /// Save the run as a folder with a script that submits it
    #[arg(hide_short_help = true, long, value_name = "FOLDER", help_heading = "Submission")]
    pub(super) out: Option<PathBuf>,
    /// Stream the logs until the run ends
    ///
    /// Exits with code 3 if the run failed.
    #[arg(short, long, help_heading = "Submission")]
    pub(super) follow: bool,
    /// Wait until the run ends
    ///
    /// Exits with code 3 if the run failed.
    #[arg(long, help_heading = "Submission")]
    pub(super) wait: bool,
    /// Finish a submission that was interrupted
    #[arg(hide_short_help = true, long, value_name = "RUN", help_heading = "Submission", conflicts_with_all = ["words", "rest", "config", "no_config", "tags", "name", "project", "requirements", "base_image", "image", "registry", "template", "platform", "pull", "cpu", "mem", "shm", "gpu", "tpu", "time_limit", "deadline", "retries", "no_retry_on", "max_failed", "queue", "storage_class", "storage_claim", "grid", "zip", "sweep", "limit", "shuffle", "points", "parallel", "points_per_pod", "secret_env", "build_secret", "dry_run", "out"])]
    pub(super) resume: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DryRun {
    None,
    Client,
    Server,
}
