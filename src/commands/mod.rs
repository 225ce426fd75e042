//! The verbs, one file each: its arguments, then what it does.

pub mod checks;
pub mod completion;
pub mod context;
pub mod delete;
pub mod doctor;
pub mod download;
pub mod du;
mod held_log;
pub mod inside;
mod kept;
mod kept_logs;
mod log_reader;
pub mod logs;
pub mod ls;
mod measured;
pub mod place;
pub mod points;
pub mod project;
pub mod rbac;
pub mod rerun;
pub mod results;
pub mod rm;
pub mod run;
pub mod status;
pub mod storage;
pub mod upload;
pub mod version;

use std::ffi::OsStr;

use anyhow::Result;
use chrono::Utc;

use crate::app::App;
use crate::error::{Exit, Fail, fail, usage};
use crate::journal;
use crate::names::Namespace;
use crate::objects::again::packing;
use crate::request::{Moment, RunRequest, Wishes};
use crate::target::Target;
use crate::tools::cmd::quote;
use crate::tools::shell;
use crate::watch::lookup::Lookup;
use crate::watch::state::Run;

/// The lookup that the flags describe.
fn lookup<'a>(app: &'a App, target: &'a Target) -> Result<Lookup<'a>> {
    target.require_cluster()?;
    let namespace: Option<&Namespace> = target.namespace.as_ref();
    Ok(Lookup { shell: &app.shell, kubectl: &target.kubectl, namespace, fallback: &target.kube_namespace })
}

/// Tells of runs whose submission died half-way.
fn tell_unfinished(app: &App) {
    for run in journal::unfinished(&app.places.state) {
        app.ui.warn(format!(
            "the submission of the run `{run}` was cut off; finish it with `kubectl mrunner run --resume {run}`, \
             or give it up with `kubectl mrunner delete {run}`"
        ));
    }
}

/// Ctrl-C is the usual way to leave what stays until then.
fn on_leaving(error: anyhow::Error) -> anyhow::Error {
    if shell::was_interrupted(&error) { fail("").exit(Exit::Interrupted).into() } else { error }
}

/// The namespace that the cluster names for a run.
fn namespace_of(run: &Run) -> Result<Namespace> {
    let error = || fail(format!("the cluster names a namespace `{}` that can't be", run.namespace));
    Namespace::given(&run.namespace).ok_or_else(|| error().into())
}

/// That the run has the point, if one is named.
fn require_point(run: &Run, point: Option<u64>) -> Result<()> {
    let (points, _) = packing(&run.job);
    match point.filter(|point| *point >= points) {
        None => Ok(()),
        Some(point) => Err(fail(format!("the run `{}` has no point {point}", run.name))
            .hint(format!("its points are 0 to {}", points.saturating_sub(1)))
            .into()),
    }
}

/// A run as the user calls it: `status -o name` and kubectl put the kind before the name.
fn run_name(word: &str) -> &str {
    ["job.batch/", "jobs.batch/", "job/", "jobs/"].iter().find_map(|kind| word.strip_prefix(kind)).unwrap_or(word)
}

/// A run, or one point of it: `RUN` or `RUN/POINT`.
fn run_and_point(word: &str) -> Result<(&str, Option<u64>), Fail> {
    let word = run_name(word);
    let Some((run, point)) = word.split_once('/') else { return Ok((word, None)) };
    match point.parse() {
        Ok(point) => Ok((run, Some(point))),
        Err(_) => Err(usage(format!("`{word}` names no point of a run"))
            .hint(format!("its points have numbers, from 0 on: `{}/0`", crate::ui::line(run)))),
    }
}

/// The error of an interrupt while staying with a run, which goes on.
fn goes_on(error: anyhow::Error, app: &App, target: &Target, namespace: &str, run: &str) -> anyhow::Error {
    if !shell::was_interrupted(&error) {
        return error;
    }
    fail(format!("interrupted; the run `{run}` goes on"))
        .exit(Exit::Interrupted)
        .hint(format!("come back to it with `{}`", typed(app, target, &["logs", "-f", "-n", namespace, run])))
        .hint(format!("or end it with `{}`", typed(app, target, &["delete", "-n", namespace, run])))
        .into()
}

/// A run of the project that `wishes` name, as far as it does not depend on an experiment: where its
/// namespace and storage are, as whom it runs, on which nodes. With `wishes.image`, no registry is needed.
fn project_request(wishes: Wishes, app: &App, target: &Target) -> Result<RunRequest> {
    let wishes = Wishes { script: "train.py".to_owned(), ..wishes };
    let moment = Moment {
        folder: app.places.folder.clone(),
        random: [0; 16],
        now: Utc::now(),
        namespace: target.namespace.clone(),
        local: target.local.clone(),
        machine: run::machine()?,
    };
    Ok(RunRequest::new(wishes, None, target.remote.as_ref(), &moment)?)
}

/// One of our own commands as it is typed, for the same cluster.
fn typed(app: &App, target: &Target, words: &[&str]) -> String {
    let flags = target.flags(app);
    let words = flags.iter().map(String::as_str).chain(words.iter().copied());
    words.fold("kubectl mrunner".to_owned(), |line, word| line + " " + &quote(OsStr::new(word)))
}

/// An argument that reaches a manifest, which can hold nothing but Unicode, and a command line,
/// which can't hold NUL.
fn text(word: &OsStr) -> Result<String, Fail> {
    word.to_str().map(str::to_owned).ok_or_else(|| {
        usage(format!("the argument {} is not valid UTF-8, and a manifest can hold nothing else", quote(word)))
            .hint("pass it in a file, or encoded, such as in base64")
    })
}
