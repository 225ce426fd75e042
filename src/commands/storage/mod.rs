//! `storage`: the volumes that projects keep their data on.

pub mod nfs_server;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::app::App;

/// The arguments of `storage`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner storage setup --nfs-server")]
pub struct StorageArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Set the storage up
    Setup(SetupArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner storage setup --nfs-server\n  kubectl mrunner storage setup --remove-nfs-server"
)]
struct SetupArgs {
    #[command(flatten)]
    nfs_server: nfs_server::NfsServerArgs,
}

/// Does it.
pub fn exec(args: &StorageArgs, app: &App) -> Result<()> {
    match &args.verb {
        Verb::Setup(setup) => nfs_server::exec(&setup.nfs_server, app),
    }
}
