//! A project's settings, independent of an experiment.

use anyhow::Result;
use chrono::Utc;

use crate::app::App;
use crate::app::target::Target;
use crate::request::{RunEnv, RunFlags, RunRequest};
use crate::util::error::{Fail, usage};

/// A run of the project that `flags` name, as far as it does not depend on an experiment: where its
/// namespace and storage are, as whom it runs, on which nodes. With `flags.image`, no registry is needed.
pub(crate) fn project_request(flags: RunFlags, app: &App, target: &Target) -> Result<RunRequest> {
    let flags = RunFlags { script: "train.py".to_owned(), ..flags };
    let env = RunEnv {
        folder: app.places.folder.clone(),
        random: [0; 16],
        now: Utc::now(),
        namespace: target.namespace.clone(),
        local: target.local.clone(),
        machine: machine()?,
    };
    Ok(RunRequest::new(flags, None, target.remote.as_ref(), &env)?)
}

/// The platform of containers on this machine.
pub(crate) fn machine() -> Result<String, Fail> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("linux/amd64".to_owned()),
        "aarch64" => Ok("linux/arm64".to_owned()),
        other => Err(usage(format!("no image is built for this machine's processor, `{other}`"))),
    }
}
