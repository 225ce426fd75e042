//! `storage`: manages the volumes of projects.

mod check;
pub mod nfs_server;
pub mod place;
mod setup;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::app::App;

/// The arguments of `storage`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner storage show --project vision\n  kubectl mrunner storage check --project vision\n  kubectl mrunner storage setup --nfs-server"
)]
pub struct StorageArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Show the storage of a project
    Show(show::ShowArgs),
    /// Check the storage of a project, also from two nodes
    Check(check::CheckArgs),
    /// Create a project's storage, or an NFS server for all projects
    Setup(SetupArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner storage setup --project vision --storage-class nfs\n  kubectl mrunner storage setup --nfs-server\n  kubectl mrunner storage setup --remove-nfs-server"
)]
struct SetupArgs {
    /// Project [default: the folder's name]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["nfs_server", "remove_nfs_server"])]
    project: Option<String>,
    /// Image of the test pods; needs a shell
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["nfs_server", "remove_nfs_server"])]
    image: Option<String>,
    #[command(flatten)]
    nfs_server: nfs_server::NfsServerArgs,
}

/// Runs the command.
pub fn exec(args: &StorageArgs, app: &App) -> Result<()> {
    match &args.verb {
        Verb::Show(args) => show::exec(args, app),
        Verb::Check(args) => check::exec(args, app),
        Verb::Setup(args) if args.nfs_server.are_meant() => nfs_server::exec(&args.nfs_server, app),
        Verb::Setup(args) => {
            setup::exec(args.project.clone(), args.nfs_server.storage_class.clone(), args.image.clone(), app)
        }
    }
}
