//! `upload`: copies a local file or folder to a project's storage.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueHint};

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::download::TransferArgs;
use crate::ops::locate_volume::{self, VolumeArgs};
use crate::transfer::protocol::FileKind;
use crate::transfer::source::{OWN, Source, below};
use crate::transfer::{safe, session, upload, walk};
use crate::util::error::{Fail, fail, usage};

/// The arguments of `upload`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner upload ./small vision:datasets/small\n  kubectl mrunner upload words.txt vision:datasets/"
)]
pub struct UploadArgs {
    /// Local file or folder
    #[arg(value_name = "LOCAL", value_hint = ValueHint::AnyPath)]
    local: PathBuf,
    /// PROJECT:PATH; with a `/` at the end, the folder to put it in
    #[arg(value_name = "PROJECT:PATH")]
    target: OsString,
    /// The storage.
    #[command(flatten)]
    volume: VolumeArgs,
    /// How to copy.
    #[command(flatten)]
    how: TransferArgs,
}

/// Uploads.
pub fn exec(args: &UploadArgs, app: &App) -> Result<()> {
    let source = locate_volume::parse(&args.target)?;
    source.may_be_changed()?;
    let Source::Project { path, folder, .. } = &source else {
        return Err(usage("`upload` wants a project and a path in its storage")
            .hint("write it such as `vision:datasets/small`")
            .into());
    };
    let metadata = args.local.metadata().map_err(|e| walk::unreadable(&args.local, &e))?;
    let target = Target::resolve(app)?;
    let found = locate_volume::find(&args.target, &args.volume, app, &target, false)?;
    found.require_idle(path, app, &target)?;
    let session = session::open(target.cluster(app), found.access.clone(), false)?;
    let into = path.is_empty() || *folder || (metadata.is_file() && session.kind(path)? == Some(FileKind::Folder));
    let path = if into { below(path, &own_name(args)?) } else { path.clone() };
    found.require_idle(&path, app, &target)?;
    let report = upload::send(&session, &app.ui, &args.local, &path, args.how.options())?;
    report.tell(&app.ui, "sent", &session.tally);
    drop(session);
    app.ui.answer(found.shown(&path))?;
    if report.is_incomplete() {
        return Err(fail("not all of it is there, see above")
            .hint("the same command sends what is missing, once that is mended")
            .into());
    }
    Ok(())
}

/// The local name, also if the path is `.`.
fn own_name(args: &UploadArgs) -> Result<Vec<u8>, Fail> {
    let whole = args.local.canonicalize().map_err(|e| walk::unreadable(&args.local, &e))?;
    let name = args.local.file_name().or(whole.file_name()).and_then(safe::bytes_of);
    name.filter(|name| name != OWN).ok_or_else(|| {
        usage(format!("`{}` has no name that it could have in the storage", args.local.display()))
            .hint("name it, such as `vision:datasets/small`")
    })
}
