//! `ls`: lists the storage.

use std::ffi::OsString;

use anyhow::Result;
use chrono::DateTime;
use clap::{Args, ValueEnum};
use serde_json::{Map, Value};

use crate::app::App;
use crate::app::target::Target;
use crate::ops::locate_volume::{self, LocatedVolume, VolumeArgs};
use crate::transfer::manifest::Manifest;
use crate::transfer::protocol::{Entry, FileKind};
use crate::transfer::{session, shown};
use crate::util::error::fail;
use crate::util::ui::{Table, size};

/// The arguments of `ls`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner ls train-3f9k2m1a/0\n  kubectl mrunner ls -R vision:datasets\n  kubectl mrunner ls vision: -o json"
)]
pub struct LsArgs {
    /// RUN, RUN/POINT, RUN/POINT/PATH or PROJECT:PATH
    #[arg(value_name = "SOURCE")]
    source: OsString,
    /// List folders recursively
    #[arg(short = 'R', long)]
    recursive: bool,
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

/// The number of rows that are aligned with each other.
const PAGE: usize = 1000;

/// Lists.
pub fn exec(args: &LsArgs, app: &App) -> Result<()> {
    let target = Target::resolve(app)?;
    let found = locate_volume::find(&args.source, &args.volume, app, &target, true)?;
    let session = session::open(target.cluster(app), found.access.clone(), true)?;
    let listed = Manifest::fetch(&session, found.source.path(), args.recursive);
    drop(session);
    let mut manifest = match listed {
        Err(error) if session::is_missing(&error) => return Err(found.missing(app, &target).into()),
        other => other?,
    };
    let failed = match args.output {
        Format::Table => table(args, app, &found, &mut manifest)?,
        Format::Json => lines(app, &found, &mut manifest)?,
    };
    if failed > 0 {
        return Err(fail("some of it can't be looked at, see above").into());
    }
    Ok(())
}

/// Whether an entry is listed: the folder itself is not.
fn is_listed(entry: &Entry, found: &LocatedVolume) -> bool {
    entry.path != found.source.path() || !matches!(entry.kind, FileKind::Folder)
}

/// The path below the given folder.
fn name(entry: &Entry, found: &LocatedVolume) -> Vec<u8> {
    let rest = entry.path.strip_prefix(found.source.path()).unwrap_or(entry.path);
    let rest = rest.strip_prefix(b"/").unwrap_or(rest);
    if rest.is_empty() { entry.path.rsplit(|&b| b == b'/').next().unwrap_or_default() } else { rest }.to_vec()
}

fn table(args: &LsArgs, app: &App, found: &LocatedVolume, manifest: &mut Manifest) -> Result<usize> {
    let mut failed = 0;
    let mut table = Table::default();
    let mut rows = Vec::new();
    if !args.no_headers {
        rows.push(["SIZE", "MODIFIED", "NAME"].map(str::to_owned).to_vec());
    }
    while let Some(entry) = manifest.entry()? {
        if entry.kind == FileKind::Failed {
            failed += 1;
            app.ui.warn(format!("`{}`: {}", shown(entry.path), String::from_utf8_lossy(entry.extra)));
            continue;
        }
        if !is_listed(&entry, found) {
            continue;
        }
        let name = shown(&name(&entry, found));
        let (size, name) = match entry.kind {
            FileKind::Folder => ("-".to_owned(), name + "/"),
            FileKind::Link => ("-".to_owned(), format!("{name} -> {}", shown(entry.extra))),
            FileKind::Other | FileKind::Failed => ("-".to_owned(), format!("{name} (device, socket or FIFO)")),
            FileKind::File => (size(entry.size), name),
        };
        rows.push(vec![size, time(entry.mtime), name]);
        if rows.len() == PAGE {
            app.ui.answer(table.lines(&rows, None))?;
            rows.clear();
        }
    }
    if !rows.is_empty() {
        app.ui.answer(table.lines(&rows, None))?;
    }
    Ok(failed)
}

/// Prints one document per line, so that a long list can be read as a stream.
fn lines(app: &App, found: &LocatedVolume, manifest: &mut Manifest) -> Result<usize> {
    let (mut failed, mut first) = (0, true);
    while let Some(entry) = manifest.entry()? {
        if !is_listed(&entry, found) && entry.kind != FileKind::Failed {
            continue;
        }
        let path = String::from_utf8_lossy(entry.path);
        let kind = match entry.kind {
            FileKind::File => "file",
            FileKind::Folder => "folder",
            FileKind::Link => "link",
            FileKind::Other => "other",
            FileKind::Failed => "error",
        };
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| _ = object.insert(key.to_owned(), value);
        put("path", path.into());
        put("type", kind.into());
        if entry.kind == FileKind::Failed {
            failed += 1;
            put("error", String::from_utf8_lossy(entry.extra).into());
        } else {
            put("size", entry.size.into());
            put("modified", time(entry.mtime).into());
            put("mode", format!("{:04o}", entry.mode).into());
        }
        if std::str::from_utf8(entry.path).is_err() {
            // for names that are not valid Unicode, which JSON can't represent
            put("pathHex", data_encoding::HEXLOWER.encode(entry.path).into());
        }
        if entry.kind == FileKind::Link {
            put("target", String::from_utf8_lossy(entry.extra).into());
        }
        let object = Value::Object(object);
        app.ui.pass_on(format!("{}\n{object}", if first { "[" } else { "," }).as_bytes())?;
        first = false;
    }
    app.ui.answer(if first { "[]" } else { "\n]" })?;
    Ok(failed)
}

/// A time in RFC 3339.
pub fn time(mtime: i64) -> String {
    DateTime::from_timestamp_nanos(mtime).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}
