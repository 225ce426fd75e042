//! The verbs, one file each: arguments and `exec`.

pub mod checks;
pub mod completion;
pub mod context;
pub mod delete;
pub mod doctor;
pub mod download;
pub mod du;
pub mod inside;
pub mod logs;
pub mod ls;
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

use crate::app::App;
use crate::app::target::{Target, typed};
use crate::ops::journal;
use crate::tools::cmd::quote;
use crate::tools::shell;
use crate::util::error::{Exit, Fail, fail, usage};

/// Reports unfinished submissions.
fn tell_unfinished(app: &App) {
    for run in journal::unfinished(&app.places.state) {
        let finish = if journal::is_readable(&app.places.state, &run) {
            format!("finish it with `kubectl mrunner run --resume {run}`")
        } else {
            "its journal can't be read here: finish it with the version of mrunner that wrote it".to_owned()
        };
        app.ui.warn(format!(
            "the submission of the run `{run}` was cut off; {finish}, or give it up with `kubectl mrunner delete {run}`"
        ));
    }
}

/// Handles Ctrl-C, the usual way to stop watching.
fn on_leaving(error: anyhow::Error) -> anyhow::Error {
    if shell::was_interrupted(&error) { fail("").exit(Exit::Interrupted).into() } else { error }
}

/// The error of an interrupt while following a run, which stays in the cluster.
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

/// Checks an argument for a manifest, which must be Unicode, and for a command line, which can't contain NUL.
fn text(word: &OsStr) -> Result<String, Fail> {
    word.to_str().map(str::to_owned).ok_or_else(|| {
        usage(format!("the argument {} is not valid UTF-8, and a manifest can hold nothing else", quote(word)))
            .hint("pass it in a file, or encoded, such as in base64")
    })
}
