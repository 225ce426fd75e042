//! `du`: shows the sizes in the storage.

use std::ffi::OsString;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::ls::time;
use crate::ops::locate_volume::{self, VolumeArgs};
use crate::runs::archive;
use crate::tools::shell::was_interrupted;
use crate::transfer::protocol::{Entries, FileKind};
use crate::transfer::session::{self, Session, Sum};
use crate::transfer::shown;
use crate::transfer::source::OWN;
use crate::util::error::{fail, flatten};
use crate::util::ui::{Table, size};

/// The arguments of `du`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kubectl mrunner du vision:\n  kubectl mrunner du train-3f9k2m1a -o json")]
pub struct DuArgs {
    /// RUN, RUN/POINT, RUN/POINT/PATH or PROJECT:PATH
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Omit headers
    #[arg(long)]
    no_headers: bool,
    /// The storage.
    #[command(flatten)]
    volume: VolumeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
}

/// Shows the sizes.
pub fn exec(args: &DuArgs, app: &App) -> Result<()> {
    let target = Target::resolve(app)?;
    let found = locate_volume::find(&args.source, &args.volume, app, &target, true)?;
    let session = session::open(target.cluster(app), found.access.clone(), true)?;
    let summed = session.sums(found.source.path());
    let own = own(found.source.path()).unwrap_or_default();
    let kept = sum_of_kept(&session, &own, app)?;
    drop(session);
    let sums = match summed {
        // only the logs and records of a run may be left
        Err(error) if session::is_missing(&error) && kept.is_some() => Vec::new(),
        Err(error) if session::is_missing(&error) => return Err(found.missing(app, &target).into()),
        other => other?,
    };
    let mut rows = Vec::new();
    let mut objects = Vec::new();
    let (mut bytes, mut files, mut failed) = (0, 0, false);
    for entry in Entries(&sums) {
        let entry = entry?;
        let name = entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        if entry.kind == FileKind::Failed {
            failed = true;
            app.ui.warn(format!("`{}`: {}", shown(entry.path), String::from_utf8_lossy(entry.extra)));
            continue;
        }
        bytes += entry.size;
        files += u64::from(entry.mode);
        let slash = if entry.kind == FileKind::Folder { "/" } else { "" };
        let newest = if entry.mode > 0 { time(entry.mtime) } else { "-".to_owned() };
        rows.push(vec![size(entry.size), entry.mode.to_string(), newest.clone(), shown(name) + slash]);
        objects.push(json!({ "path": String::from_utf8_lossy(entry.path), "bytes": entry.size, "files": entry.mode, "newest": newest }));
    }
    if let Some(sum) = kept {
        bytes += sum.bytes;
        files += sum.files;
        let newest = sum.newest.map_or("-".to_owned(), time);
        rows.push(vec![size(sum.bytes), sum.files.to_string(), newest.clone(), format!("{} {KEPT}", shown(&own))]);
        objects.push(
            json!({ "path": String::from_utf8_lossy(&own), "bytes": sum.bytes, "files": sum.files, "newest": newest }),
        );
    }
    if args.output == Format::Json {
        let whole = json!({ "bytes": bytes, "files": files, "entries": Value::from(objects) });
        app.ui.answer(format!("{whole:#}"))?;
    } else {
        if !args.no_headers {
            rows.insert(0, ["SIZE", "FILES", "NEWEST", "NAME"].map(str::to_owned).to_vec());
        }
        rows.push(vec![size(bytes), files.to_string(), "-".to_owned(), "total".to_owned()]);
        app.ui.answer(Table::default().lines(&rows, None))?;
    }
    if failed {
        return Err(fail("some of it can't be looked at, see above").into());
    }
    Ok(())
}

/// The size of mrunner's own files below `path`. If it can't be read, that is reported, and the rest is shown.
pub(super) fn sum_of_kept(session: &Session, path: &[u8], app: &App) -> Result<Option<Sum>> {
    if path.is_empty() {
        return Ok(None);
    }
    match session.sum(path) {
        Err(error) if was_interrupted(&error) || session::is_out_of_reach(&error) => Err(error),
        Err(error) => {
            app.ui.warn(format!("kept logs and records are passed over: {}", flatten(&error).message));
            Ok(None)
        }
        sum => sum,
    }
}

/// The name of mrunner's own files in the list.
const KEPT: &str = "(kept logs and records)";

/// The path of mrunner's own files that belong to a path; `None` if there are none, or if the path is among them.
fn own(path: &[u8]) -> Option<Vec<u8>> {
    match path {
        [] => Some(OWN.to_vec()),
        path => archive::of_run(path).map(String::into_bytes),
    }
}
