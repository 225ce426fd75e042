//! A run whose Job is gone, by what it left on its project's volume.

use std::collections::BTreeSet;
use std::ffi::OsString;

use anyhow::Result;

use crate::app::App;
use crate::commands::kept_logs::KeptLogs;
use crate::commands::measured;
use crate::commands::place::{self, Found, PlaceArgs};
use crate::error::{fail, flatten};
use crate::names::RunName;
use crate::results::report::Report;
use crate::seen;
use crate::target::Target;
use crate::transfer::records::{Records, Skipped};
use crate::transfer::session::{self, Session};
use crate::watch::kept::{self, Kept};
use crate::watch::lines::Label;
use crate::watch::state::Run;

/// Such a run.
pub struct Gone {
    /// As the cluster would have shown it.
    pub run: Run,
    /// What each attempt at a point left.
    pub reports: Vec<Report>,
    logs: KeptLogs,
    kept: Kept,
}

/// Looks for what the run called `name` left, as the cluster has no Job of it, or no pods any more.
/// `None` if it left nothing, or nobody knows where.
pub fn find(name: &str, args: &PlaceArgs, app: &App, target: &Target) -> Result<Option<Gone>> {
    let known = args.names_project() || target.namespace.is_some();
    if RunName::given(name).is_none() || !(known || seen::all(&app.places.cache).iter().any(|s| s.run == name)) {
        return Ok(None);
    }
    let found = place(name, args, app, target)?;
    app.ui.tell("storage", format!("looking for what `{name}` left in the claim `{}`", found.place.claim));
    let session = session::open(app, target, found.place.clone(), true)?;
    let Some(mut records) = records(&session, name, |_| true)? else { return Ok(None) };
    let files = records.files.iter().map(|(file, text)| (file.as_str(), text.as_slice()));
    let kept = Kept::parse(files, |file| records.skipped.add(file.as_bytes()));
    let run = kept.as_ref().and_then(|kept| kept.run(name, found.place.namespace.as_str()));
    tell_skipped(&records.skipped, name, app);
    let reports = reports(&mut records);
    let Some((kept, run)) = kept.zip(run) else { return Ok(None) };
    Ok(KeptLogs::of(session, name)?.map(|logs| Gone { run, reports, logs, kept }))
}

/// The logs that the pods of a run kept whose Job is still there; `None` if they kept none.
pub(crate) fn logs_of(run: &Run, args: &PlaceArgs, app: &App, target: &Target) -> Result<Option<KeptLogs>> {
    let found = place(&run.name, args, app, target)?;
    app.ui.tell("storage", format!("looking for the logs of `{}` in the claim `{}`", run.name, found.place.claim));
    KeptLogs::of(session::open(app, target, found.place, true)?, &run.name)
}

/// What the wrapper wrote of a run; `None` if it has no folder on the volume. What lies there and is no record is
/// passed over.
fn records(session: &Session, name: &str, wanted: impl Fn(&str) -> bool) -> Result<Option<Records>> {
    Records::read(session, &kept::folder(name), |file| kept::is_record(file) && wanted(file))
}

fn tell_skipped(skipped: &Skipped, name: &str, app: &App) {
    if let Some(words) = skipped.words(&kept::folder(name)) {
        app.ui.warn(words);
    }
}

/// The reports in the records; what is none is counted.
fn reports(records: &mut Records) -> Vec<Report> {
    let mut reports = Vec::new();
    for (file, text) in records.files.iter().filter(|(file, _)| file != kept::RECORD) {
        match Report::record(text).filter(|report| kept::is_of(file, report.index)) {
            Some(report) => reports.push(report),
            None => records.skipped.add(file.as_bytes()),
        }
    }
    reports
}

/// What these points of a run that is still there left on its volume.
pub fn of_points(
    run: &Run,
    points: &BTreeSet<u64>,
    args: &PlaceArgs,
    app: &App,
    target: &Target,
) -> Result<Vec<Report>> {
    let found = place(&run.name, args, app, target)?;
    let session = session::open(app, target, found.place, true)?;
    let wanted = |file: &str| kept::index_of(file).is_some_and(|i| points.contains(&i));
    let mut records = records(&session, &run.name, wanted)?.unwrap_or_default();
    let mut reports = reports(&mut records);
    tell_skipped(&records.skipped, &run.name, app);
    measured::complete(&session, &run.name, &mut reports)?;
    Ok(reports)
}

/// Its volume. A namespace that is named may be a project's own, of the same name.
fn place(name: &str, args: &PlaceArgs, app: &App, target: &Target) -> Result<Found> {
    let word = OsString::from(name);
    place::find(&word, args, app, target, true).or_else(|error| {
        let Some(namespace) = target.namespace.as_ref().filter(|_| !args.names_project()) else { return Err(error) };
        let own = PlaceArgs::of_project(Some(namespace.to_string()));
        let anywhere = Target { namespace: None, ..target.clone() };
        place::find(&word, &own, app, &anywhere, true).map_err(|_| error)
    })
}

/// The same, where its absence is an error: that of the cluster, with what could not be looked at.
pub fn require(
    name: &str,
    args: &PlaceArgs,
    app: &App,
    target: &Target,
    gone: impl FnOnce() -> anyhow::Error,
) -> Result<Gone> {
    match find(name, args, app, target) {
        Ok(Some(found)) => Ok(found),
        Ok(None) if args.names_project() || target.namespace.is_some() => Err(gone()),
        Ok(None) => {
            let unknown = flatten(&gone());
            let mistyped = unknown.hints.iter().any(|hint| hint.starts_with("did you mean"));
            let mistyped = mistyped || RunName::given(name).is_none();
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

impl Gone {
    /// Reads from the volume what its points measured, where their records have no room for it.
    pub(crate) fn complete(&mut self) -> Result<()> {
        measured::complete(self.logs.session(), &self.run.name, &mut self.reports)
    }

    /// Passes on what each of its attempts printed, point by point; of `point` alone, if it is given.
    pub fn logs(&self, point: Option<u64>, app: &App) -> Result<()> {
        let wanted = |attempt: &&kept::Attempt| point.is_none_or(|point| attempt.index == point);
        let attempts: Vec<_> = self.kept.attempts().iter().filter(wanted).collect();
        if let (Some(point), true) = (point, attempts.is_empty()) {
            let error = fail(format!("the run `{}` left no log of its point {point}", self.run.name));
            return Err(error.hint("see its points with `kubectl mrunner results RUN`").into());
        }
        let mut unread = 0;
        for (number, attempt) in attempts.iter().enumerate() {
            if attempts.len() > 1 {
                app.ui.tell("attempt", format!("{} of {}, at the point {}", number + 1, attempts.len(), attempt.index));
            }
            let (index, pod) = (attempt.index, attempt.pod.as_str());
            if !self.logs.show(index, pod, attempt.printed, &Label::none(), &app.ui)? {
                unread += 1;
                app.ui.warn(if self.logs.is_odd(index, pod) {
                    format!("what lies in the place of the log of the pod `{pod}` is no file")
                } else {
                    format!("the log of the pod `{pod}` is not there")
                });
            }
        }
        if unread > 0 {
            return Err(fail(format!("{unread} of {} logs could not be read, see above", attempts.len())).into());
        }
        Ok(())
    }
}
