//! `rm`: removes something from the storage, for good.

use std::ffi::OsString;

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::commands::place::{self, Found, PlaceArgs};
use crate::error::usage;
use crate::target::Target;
use crate::transfer::protocol::{Entries, Kind, Request};
use crate::transfer::report::count;
use crate::transfer::session::{self, Session};

/// The arguments of `rm`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner rm train-3f9k2m1a/0/checkpoints\n  kubectl mrunner rm vision:datasets/old --yes"
)]
pub struct RmArgs {
    /// RUN, RUN/POINT, RUN/POINT/PATH, or PROJECT:PATH
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    /// The storage.
    #[command(flatten)]
    place: PlaceArgs,
}

/// Removes.
pub fn exec(args: &RmArgs, app: &App) -> Result<()> {
    let source = place::parse(&args.source)?;
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
    let found = place::find(&args.source, &args.place, app, &target, false)?;
    found.require_idle(found.source.path(), app, &target)?;
    let session = session::open(app, &target, found.place.clone(), false)?;
    let result = remove(args, app, &found, &session);
    drop(session);
    match result {
        Err(error) if session::is_missing(&error) => Err(found.missing(app, &target).into()),
        Ok(true) => app.ui.answer(format!("{} removed", found.shown(found.source.path()))),
        other => other.map(|_| app.ui.say("nothing was removed")),
    }
}

/// Whether it was removed: the user may not want it.
fn remove(args: &RmArgs, app: &App, found: &Found, session: &Session) -> Result<bool> {
    let path = found.source.path();
    let (mut bytes, mut files) = (0, 0);
    for entry in Entries(&session.sums(path)?) {
        let entry = entry?;
        if entry.kind != Kind::Failed {
            bytes += entry.size;
            files += u64::from(entry.mode);
        }
    }
    let (name, what) = (found.shown(path), count(files, bytes));
    if !args.yes {
        let answer = app.ui.ask(&format!("remove `{name}` ({what}) for good? type `yes`"), "");
        if answer.as_deref() != Some("yes") {
            return Ok(false);
        }
    }
    session.order(&Request::Remove { path }, path)?;
    app.ui.tell("removed", what);
    Ok(true)
}
