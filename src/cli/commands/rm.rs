//! `rm`: removes files from the storage.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::du::sum_of_kept;
use crate::ops::locate_volume::{self, LocatedVolume, VolumeArgs};
use crate::runs::archive;
use crate::transfer::protocol::Request;
use crate::transfer::report::count;
use crate::transfer::session::{self, Session};
use crate::util::error::usage;

/// The arguments of `rm`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner rm train-3f9k2m1a/0/checkpoints\n  kubectl mrunner rm vision:datasets/old --yes"
)]
pub struct RmArgs {
    /// RUN, RUN/POINT, RUN/POINT/PATH or PROJECT:PATH
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
    /// The storage.
    #[command(flatten)]
    volume: VolumeArgs,
}

/// Removes.
pub fn exec(args: &RmArgs, app: &App) -> Result<()> {
    let source = locate_volume::parse(&args.source)?;
    source.may_be_changed()?;
    if source.path().is_empty() {
        return Err(usage("the storage is not removed as a whole")
            .hint("name what should go, such as `vision:datasets/old`")
            .into());
    }
    if !args.yes && !app.ui.can_ask() {
        return Err(usage("nobody can be asked whether it should go").hint("say so with `--yes`").into());
    }
    let target = Target::resolve(app)?;
    let found = locate_volume::find(&args.source, &args.volume, app, &target, false)?;
    found.require_idle(found.source.path(), app, &target)?;
    let session = session::open(target.cluster(app), found.access.clone(), false)?;
    let result = remove(args, app, &found, &session);
    drop(session);
    match result? {
        Removal::Removed => app.ui.answer(format!("{} removed", found.shown(found.source.path()))),
        Removal::Kept => {
            app.ui.say("nothing was removed");
            Ok(())
        }
        Removal::Missing => Err(found.missing(app, &target).into()),
    }
}

/// The result.
enum Removal {
    Removed,
    /// The user declined.
    Kept,
    Missing,
}

/// Removes the path; with a run's folder, also the run's logs and records.
fn remove(args: &RmArgs, app: &App, found: &LocatedVolume, session: &Session) -> Result<Removal> {
    let path = found.source.path();
    let own = archive::of_run(path).unwrap_or_default();
    let sum = session.sum(path)?;
    let kept = sum_of_kept(session, own.as_bytes(), app)?;
    let what = match (sum, kept) {
        (None, None) => return Ok(Removal::Missing),
        (Some(sum), None) => count(sum.files, sum.bytes),
        (sum, Some(kept)) => {
            let sum = sum.unwrap_or_default();
            let kept = count(kept.files, kept.bytes);
            format!("{}, and {kept} of kept logs and records", count(sum.files, sum.bytes))
        }
    };
    if !args.yes {
        let name = found.shown(path);
        let answer = app.ui.ask(&format!("remove `{name}` ({what}) for good? type `yes`"), "");
        if answer.as_deref() != Some("yes") {
            return Ok(Removal::Kept);
        }
    }
    for (path, _) in [(path, sum), (own.as_bytes(), kept)].into_iter().filter(|(_, sum)| sum.is_some()) {
        session.order(&Request::Remove { path }, path)?;
    }
    app.ui.tell("removed", what);
    Ok(Removal::Removed)
}
