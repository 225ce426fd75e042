//! Shows a run whose Job is gone, from the records on its project's volume.

use std::collections::BTreeSet;
use std::ffi::OsString;

use anyhow::Result;
use chrono::{DateTime, Utc};

use crate::app::App;
use crate::app::target::Target;
use crate::k8s::names::RunName;
use crate::ops::archived_logs::{KeptLogs, KeptRead};
use crate::ops::archived_metrics;
use crate::ops::locate_volume::{self, LocatedVolume, VolumeArgs};
use crate::runs::archive::{self, Kept, RecordedAttempt};
use crate::runs::lines::Label;
use crate::runs::printed::{self, Bounds};
use crate::runs::results::report::Report;
use crate::runs::run_name_cache;
use crate::runs::state::Run;
use crate::transfer::records::{Records, Skipped};
use crate::transfer::session;
use crate::util::error::{Cause, Fail, fail, flatten};

/// A run whose Job is gone.
pub struct ArchivedRun {
    /// The run as the cluster would have shown it.
    pub run: Run,
    /// The error if not all of its records were read.
    pub unread: Option<Fail>,
    logs: KeptLogs,
    kept: Kept,
    /// How much of a log its pods may have stored, at least, from the context.
    keep_logs_max: Option<u64>,
}

/// An attempt at a point, from its record, its log, or both.
struct Left<'a> {
    point: u64,
    pod: &'a str,
    /// When it started; without a record, when its log was last written.
    at: DateTime<Utc>,
    record: Option<&'a RecordedAttempt>,
}

/// Searches the storage for the records of the run `name`, which has no Job in the cluster, or no pods. `None` if
/// there are none, or if its storage is unknown. Each report of an attempt is passed to `each`.
pub fn find(
    name: &str,
    args: &VolumeArgs,
    app: &App,
    target: &Target,
    mut each: impl FnMut(Report),
) -> Result<Option<ArchivedRun>> {
    let known = args.names_project() || target.namespace.is_some();
    if RunName::given(name).is_none()
        || !(known || run_name_cache::all(&app.places.cache).iter().any(|s| s.run == name))
    {
        return Ok(None);
    }
    let found = place(name, args, app, target)?;
    app.ui.tell("storage", format!("looking for what `{name}` left in the claim `{}`", found.access.claim));
    let session = session::open(target.cluster(app), found.access.clone(), true)?;
    let Some(mut records) = Records::list(&session, &archive::folder(name), archive::is_record)? else {
        return Ok(None);
    };
    // `run.json` decides which of the other files can be records
    let record = records.take(archive::RECORD)?;
    let mut kept = Kept::of(record.as_deref());
    if record.is_some() && !kept.has_record() {
        records.skipped.add(archive::RECORD.as_bytes());
    }
    let of_run = kept.clone();
    records.read(
        |file| of_run.admits(file),
        |file, text| {
            let report = Report::record(text).filter(|report| kept.add(file, report));
            report.map(&mut each).is_some()
        },
    )?;
    tell_skipped(&records.skipped, name, app);
    let (unread, kept) = (unread(&records, name), kept.complete());
    let run = kept.as_ref().and_then(|kept| kept.run(name, found.access.namespace.as_str()));
    drop(records);
    let Some((kept, run)) = kept.zip(run) else { return Ok(None) };
    let keep_logs_max = keep_logs_max(target);
    Ok(KeptLogs::of(session, name)?.map(|logs| ArchivedRun { run, unread, logs, kept, keep_logs_max }))
}

/// `keep_logs_max` in the context, in bytes.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "as many bytes as it can be")]
fn keep_logs_max(target: &Target) -> Option<u64> {
    Some(target.remote.as_ref()?.keep_logs_max.as_ref()?.amount() as u64)
}

/// The stored logs of a run whose Job exists; `None` if there are none.
pub(crate) fn logs_of(run: &Run, args: &VolumeArgs, app: &App, target: &Target) -> Result<Option<KeptLogs>> {
    let found = place(&run.name, args, app, target)?;
    app.ui.tell("storage", format!("looking for the logs of `{}` in the claim `{}`", run.name, found.access.claim));
    KeptLogs::of(session::open(target.cluster(app), found.access, true)?, &run.name)
}

fn tell_skipped(skipped: &Skipped, name: &str, app: &App) {
    if let Some(words) = skipped.words(&archive::folder(name)) {
        app.ui.warn(words);
    }
}

/// The error for a run with too many or too large records.
fn unread(records: &Records, name: &str) -> Option<Fail> {
    let (read, of) = records.unread?;
    let error = fail(format!("read {read} of {of} records of `{name}` in the storage: they are too many or too large"));
    Some(error.hint(format!("remove the files that are not the run's from `{}` in the storage", archive::folder(name))))
}

/// The reports of these points of a run on its volume, and the error if not all of them were read.
pub fn of_points(
    run: &Run,
    points: &BTreeSet<u64>,
    args: &VolumeArgs,
    app: &App,
    target: &Target,
) -> Result<(Vec<Report>, Option<Fail>)> {
    let found = place(&run.name, args, app, target)?;
    let session = session::open(target.cluster(app), found.access, true)?;
    let wanted = |file: &str| archive::index_of(file).is_some_and(|point| points.contains(&point));
    let mut reports = Vec::new();
    let Some(mut records) = Records::list(&session, &archive::folder(&run.name), wanted)? else {
        return Ok((reports, None));
    };
    records.read(wanted, |file, text| {
        let report = Report::record(text).filter(|report| archive::index_of(file) == Some(report.index));
        report.map(|report| reports.push(report)).is_some()
    })?;
    tell_skipped(&records.skipped, &run.name, app);
    archived_metrics::complete(&session, &run.name, printed::kept_at_most(run.job()), &mut reports)?;
    Ok((reports, unread(&records, &run.name)))
}

/// The volume of the run. The namespace may be the project's own, with the same name.
fn place(name: &str, args: &VolumeArgs, app: &App, target: &Target) -> Result<LocatedVolume> {
    let word = OsString::from(name);
    locate_volume::find(&word, args, app, target, true).or_else(|error| {
        let Some(namespace) = target.namespace.as_ref().filter(|_| !args.names_project()) else { return Err(error) };
        let own = VolumeArgs::of_project(Some(namespace.to_string()));
        let anywhere = Target { namespace: None, ..target.clone() };
        locate_volume::find(&word, &own, app, &anywhere, true).map_err(|_| error)
    })
}

/// Like [`find`], but an error if there is nothing: the error of the cluster, with the reason why the storage can't
/// be searched.
pub fn require(
    name: &str,
    args: &VolumeArgs,
    app: &App,
    target: &Target,
    gone: impl FnOnce() -> anyhow::Error,
    each: impl FnMut(Report),
) -> Result<ArchivedRun> {
    match find(name, args, app, target, each) {
        Ok(Some(found)) => Ok(found),
        Ok(None) if args.names_project() || target.namespace.is_some() => Err(gone()),
        Ok(None) => {
            let unknown = flatten(&gone());
            let mistyped = unknown.known == Some(Cause::Mistyped) || RunName::given(name).is_none();
            let hint = "if its Job is gone, what it left is found with `--project NAME`";
            Err(if mistyped { unknown } else { unknown.hint(hint) }.into())
        }
        Err(error) if crate::tools::shell::was_interrupted(&error) => Err(error),
        Err(error) => {
            let what = format!("{}, and what it may have left can't be looked at", flatten(&gone()).message);
            Err(fail(what).because(&error).into())
        }
    }
}

impl ArchivedRun {
    /// Reads the metrics from the volume that do not fit into the records.
    pub(crate) fn complete(&self, reports: &mut Vec<Report>) -> Result<()> {
        let kept = Bounds::of_gone(None, self.keep_logs_max).kept;
        archived_metrics::complete(self.logs.session(), &self.run.name, kept, reports)
    }

    /// The attempts, point by point, the oldest of each point first. A record may be incomplete if the node was
    /// lost.
    fn attempts(&self) -> Vec<Left<'_>> {
        let began = |record: &RecordedAttempt| record.began.parse().unwrap_or_default();
        let recorded = self.kept.attempts().iter();
        let mut all: Vec<Left> = recorded
            .map(|record| Left { point: record.index, pod: &record.pod, at: began(record), record: Some(record) })
            .collect();
        let known: BTreeSet<(u64, &str)> = all.iter().map(|left| (left.point, left.pod)).collect();
        let others = self.logs.all().filter(|(point, pod, _)| !known.contains(&(*point, pod)));
        all.extend(others.map(|(point, pod, written)| Left {
            point,
            pod,
            at: DateTime::from_timestamp_nanos(written),
            record: None,
        }));
        all.sort_by(|a, b| (a.point, a.at, a.pod).cmp(&(b.point, b.at, b.pod)));
        all
    }

    /// Passes on the log of each attempt, point by point; only of `point`, if it is given.
    pub fn logs(&self, point: Option<u64>, app: &App) -> Result<()> {
        let mut attempts = self.attempts();
        attempts.retain(|attempt| point.is_none_or(|point| attempt.point == point));
        if let (Some(point), true) = (point, attempts.is_empty()) {
            let error = fail(format!("the run `{}` left no log of its point {point}", self.run.name));
            let command = format!("kubectl mrunner results -n {} {}", self.run.namespace, self.run.name);
            return Err(error.hint(format!("see its points with `{command}`")).into());
        }
        let mut unread = 0;
        for (number, attempt) in attempts.iter().enumerate() {
            if attempts.len() > 1 {
                app.ui.tell("attempt", format!("{} of {}, at the point {}", number + 1, attempts.len(), attempt.point));
            }
            unread += u64::from(!self.show(attempt, app)?);
        }
        if unread > 0 {
            return Err(fail(format!("{unread} of {} logs could not be read, see above", attempts.len())).into());
        }
        Ok(())
    }

    /// Passes on the log of one attempt, or reports that it can't be read. Returns whether it was read.
    fn show(&self, attempt: &Left, app: &App) -> Result<bool> {
        let (point, pod) = (attempt.point, attempt.pod);
        let printed = attempt.record.and_then(|record| record.printed);
        let bounds = Bounds::of_gone(printed, self.keep_logs_max);
        match self.logs.show(point, pod, bounds, &Label::none(), &app.ui)? {
            KeptRead::Failed => return Ok(false),
            KeptRead::Done => {
                // an ended attempt with a stored log recorded how much it printed
                let is_unkept = printed.is_none() && attempt.record.is_some_and(RecordedAttempt::has_ended);
                if !is_unkept || self.logs.bytes(point, pod) != Some(0) {
                    return Ok(true);
                }
                app.ui.warn(format!("the log of the pod `{pod}` was not kept: its image lacks what that takes"));
            }
            KeptRead::Missing if self.logs.is_odd(point, pod) => {
                app.ui.warn(format!("what lies in the place of the log of the pod `{pod}` is no file"));
            }
            KeptRead::Missing => app.ui.warn(format!("the log of the pod `{pod}` is not there")),
        }
        Ok(false)
    }
}
