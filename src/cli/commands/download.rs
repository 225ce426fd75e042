//! `download`: copies a run's results, or anything in a project's storage, to this machine.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::tell_unfinished;
use crate::ops::locate_volume::{self, VolumeArgs};
use crate::transfer::engine::Options;
use crate::transfer::{download, safe, session};
use crate::util::error::{fail, usage};

/// The arguments of `download`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner download train-3f9k2m1a\n  kubectl mrunner download train-3f9k2m1a/0/metrics.json\n  kubectl mrunner download vision:datasets/small ./small"
)]
pub struct DownloadArgs {
    /// RUN, RUN/POINT, RUN/POINT/PATH or PROJECT:PATH
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Destination [default: the last name of the source, in this folder]
    #[arg(value_name = "DEST", value_hint = ValueHint::AnyPath)]
    dest: Option<PathBuf>,
    /// The storage.
    #[command(flatten)]
    volume: VolumeArgs,
    /// How to copy.
    #[command(flatten)]
    how: TransferArgs,
}

/// The flags of both directions.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// Replace files that are newer at the destination
    #[arg(long)]
    overwrite: bool,
    /// Compare file contents, not only size and time
    #[arg(long)]
    checksum: bool,
    /// Number of connections
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    parallel: u8,
}

impl TransferArgs {
    /// Converts the flags.
    pub(crate) fn options(&self) -> Options {
        Options { overwrite: self.overwrite, checksum: self.checksum, parallel: self.parallel.into() }
    }
}

/// Downloads.
pub fn exec(args: &DownloadArgs, app: &App) -> Result<()> {
    tell_unfinished(app);
    let target = Target::resolve(app)?;
    let source = locate_volume::parse(&args.source)?;
    let own_name = || source.last_name().and_then(|name| safe::local(name).ok());
    let Some(dest) = args.dest.clone().or_else(own_name) else {
        return Err(usage("where to?").hint("name a folder behind the source").into());
    };
    // the author of the folder may have chosen the link's target
    if args.dest.is_none() && dest.is_symlink() {
        let shown = dest.display();
        return Err(usage(format!("`{shown}` in this folder is a link"))
            .hint(format!("to write where it leads, name it behind the source: `{shown}`"))
            .into());
    }
    let found = locate_volume::find(&args.source, &args.volume, app, &target, true)?;
    let session = session::open(target.cluster(app), found.access.clone(), true)?;
    let fetched = download::fetch(&session, &app.ui, found.source.path(), &dest, args.how.options());
    let (report, at) = match fetched {
        Err(error) if session::is_missing(&error) => {
            drop(session);
            return Err(found.missing(app, &target).into());
        }
        other => other?,
    };
    report.tell(&app.ui, "fetched", &session.tally);
    drop(session);
    app.ui.answer(at.display().to_string())?;
    if report.is_incomplete() {
        return Err(fail("not all of it is here, see above")
            .hint("the same command fetches what is missing, once that is mended")
            .into());
    }
    Ok(())
}
