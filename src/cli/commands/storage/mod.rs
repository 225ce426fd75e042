//! `storage`: the volumes that projects keep their data on.

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
    /// Show which storage a project has, and why
    Show(show::ShowArgs),
    /// Look at all that can be wrong with it, and have the nodes try it if nobody has
    Check(check::CheckArgs),
    /// Make a project's storage now, or an NFS server for all projects
    Setup(SetupArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner storage setup --project vision --storage-class nfs\n  kubectl mrunner storage setup --nfs-server\n  kubectl mrunner storage setup --remove-nfs-server"
)]
struct SetupArgs {
    /// The project whose storage is made [default: the folder's name]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["nfs_server", "remove_nfs_server"])]
    project: Option<String>,
    /// The image of the pods that try the volume; it must have a shell
    #[arg(long, value_name = "IMAGE", conflicts_with_all = ["nfs_server", "remove_nfs_server"])]
    image: Option<String>,
    #[command(flatten)]
    nfs_server: nfs_server::NfsServerArgs,
}

/// Does it.
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
