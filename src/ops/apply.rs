//! Carries out a plan step by step, and submits its Job exactly once.

mod owned;
mod submit;

use std::io::Write;

use anyhow::{Context, Result};

use self::owned::create_owned;
use self::submit::{Submitted, submit_once};
use crate::image::key::send;
use crate::ops::facts::secrets::Secrets;
use crate::ops::facts::{Snapshot, rescan};
use crate::ops::journal::Journal;
use crate::ops::provision_storage::ProjectStorage;
use crate::ops::registry::{log_in, published};
use crate::plan::{Build, Known, Plan, PlannedImage, Step};
use crate::tools::cluster::Cluster;
use crate::tools::cmd::Cmd;
use crate::tools::reply::Reply;
use crate::tools::{docker, shell};
use crate::util::error::{Exit, Fail, fail, flatten};

/// The kinds of failure that the journal distinguishes.
enum ApplyError {
    /// Nothing was submitted.
    NothingSubmitted(anyhow::Error),
    /// The Job may be in the cluster.
    Unclear(anyhow::Error),
}

/// Carries out a plan. The journal is closed unless it is unknown whether the Job was submitted.
pub fn apply(
    cluster: Cluster,
    plan: &mut Plan,
    secrets: &Secrets,
    snapshot: Option<&Snapshot>,
    journal: Journal,
) -> Result<()> {
    match run_steps(cluster, plan, secrets, snapshot, Some(&journal)) {
        Ok(()) => {
            close(cluster, journal);
            Ok(())
        }
        Err(ApplyError::NothingSubmitted(error)) => {
            close(cluster, journal);
            Err(nothing_was_submitted(error))
        }
        Err(ApplyError::Unclear(error)) => {
            let hint = format!("look and finish it with `kubectl mrunner run --resume {}`", plan.run);
            let said = fail(format!("it is unclear whether the run `{}` was submitted", plan.run)).hint(hint);
            let exit = if shell::was_interrupted(&error) { Exit::Interrupted } else { Exit::Error };
            Err(said.exit(exit).because(&error).into())
        }
    }
}

/// After a plan is carried out, sets the reclaim policy of the volume that the first run gets. A failure is only a
/// warning.
pub fn retain_volume(cluster: Cluster, plan: &Plan) {
    if let Err(error) = store(cluster, plan).retain_volume()
        && !shell::was_interrupted(&error)
    {
        cluster.ui.warn(format!("the project's volume may go with its claim: {error:#}"));
    }
}

/// The storage of a plan's project.
fn store<'a>(cluster: Cluster<'a>, plan: &'a Plan) -> ProjectStorage<'a> {
    let Plan { namespace, claim, storage, .. } = plan;
    ProjectStorage { cluster, namespace, claim, project: Some(&plan.project), steps: storage }
}

/// Closes the journal. A failure is only a warning, so that the result of the run is reported.
fn close(cluster: Cluster, journal: Journal) {
    if let Err(error) = journal.close() {
        cluster.ui.warn(format!("failed to close the journal: {error:#}"));
    }
}

/// Adds that nothing was submitted to the error of an interrupt and of the API server's refusal.
fn nothing_was_submitted(error: anyhow::Error) -> anyhow::Error {
    if shell::was_interrupted(&error) {
        return fail("interrupted: nothing was submitted").exit(Exit::Interrupted).into();
    }
    let mut flat = flatten(&error);
    if flat.known.is_none() {
        return error;
    }
    flat.message += "; nothing was submitted";
    flat.into()
}

/// Carries out the steps of a plan. A plan for a project's storage alone has no journal.
fn run_steps(
    cluster: Cluster,
    plan: &mut Plan,
    secrets: &Secrets,
    snapshot: Option<&Snapshot>,
    journal: Option<&Journal>,
) -> Result<(), ApplyError> {
    let mut job = Submitted::default();
    for step in plan.steps() {
        let password = secrets.password.as_deref();
        match step {
            Step::Submit => job = submit_once(cluster, plan, journal)?,
            Step::Points | Step::SecretEnv | Step::Resume => {
                create_owned(cluster, plan, step, &job, &secrets.env)?;
            }
            Step::Image => {
                let image = publish(cluster, plan, snapshot).map_err(ApplyError::NothingSubmitted)?;
                plan.image = PlannedImage::Ready { reference: image };
                journal.map_or(Ok(()), |journal| journal.update(plan)).map_err(ApplyError::NothingSubmitted)?;
            }
            before => prepare(cluster, plan, before, password).map_err(ApplyError::NothingSubmitted)?,
        }
    }
    Ok(())
}

/// Carries out a step that comes before the Job and leaves nothing of the run behind.
fn prepare(cluster: Cluster, plan: &Plan, step: Step, password: Option<&str>) -> Result<()> {
    let store = store(cluster, plan);
    let make = |what: &str| -> Result<()> {
        for cmd in plan.commands(step, &Known { password, ..Known::default() }) {
            store.ensure(cmd)?;
        }
        cluster.ui.tell(what, "made");
        Ok(())
    };
    match step {
        Step::LogIn => plan.login.as_ref().map_or(Ok(()), |login| log_in(cluster.shell, login)),
        Step::Namespace => make("namespace"),
        Step::PullSecret => make("login"),
        Step::Storage(step) => store.prepare(step),
        Step::TryVolume => plan
            .probe
            .as_ref()
            .map_or(Ok(()), |probe| store.try_volume(&probe.clone().with_image(plan.image.reference()))),
        // `run_steps` does these itself
        Step::Image | Step::Submit | Step::Points | Step::SecretEnv | Step::Resume => Ok(()),
    }
}

/// Prepares the storage of a project, as planned.
///
/// # Errors If something could not be created, or the nodes do not share the volume.
pub fn prepare_storage(cluster: Cluster, plan: &mut Plan, secrets: &Secrets) -> Result<()> {
    run_steps(cluster, plan, secrets, None, None).map_err(|ended| match ended {
        ApplyError::NothingSubmitted(error) | ApplyError::Unclear(error) => error,
    })?;
    store(cluster, plan).retain_volume()
}

/// Builds the image and publishes or loads it. Returns its reference, with the digest if it is published.
fn publish(cluster: Cluster, plan: &Plan, snapshot: Option<&Snapshot>) -> Result<String> {
    let PlannedImage::ToBuild(build) = &plan.image else { return Ok(plan.image.reference().to_owned()) };
    let rescanned;
    let snapshot = if let Some(snapshot) = snapshot {
        snapshot
    } else {
        rescanned = rescan(cluster, build, &|notices| notices.settle(cluster)).settle(cluster)?;
        &rescanned
    };
    let send = |out: &mut dyn Write| send(&snapshot.context, &|entry| snapshot.open(entry), &snapshot.key, out);
    let reference = build_image(cluster, build, send)?;
    cluster.ui.tell("image", format!("{reference} {}", if build.load.is_some() { "loaded" } else { "published" }));
    Ok(reference)
}

/// Builds what `feed` sends, and publishes or loads it. Returns its reference, with the digest if it is published.
pub fn build_image(
    cluster: Cluster,
    build: &Build,
    feed: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
) -> Result<String> {
    // a folder: docker replaces the file, and a docker that was killed leaves it behind
    let folder = crate::util::files::own_folder().context("failed to make a temporary folder")?;
    let metadata = folder.path().join("metadata.json");
    let cmd = build.cmd(&metadata, cluster.ui.is_live());
    let reply = cluster.shell.run_fed(&cmd, feed)?;
    if !reply.succeeded() {
        // another process may have published the same image at the same time, which makes some registries fail
        if !build.pull
            && build.load.is_none()
            && let Ok(Some(digest)) = published(cluster.shell, &build.tags[0], build.plain)
        {
            return Ok(format!("{}@{digest}", build.repository));
        }
        return Err(build_failed(cluster, &reply, &cmd, &build.repository).into());
    }
    if let Some(cmd) = build.load() {
        let reply = cluster.shell.run(&cmd)?;
        if !reply.succeeded() {
            return Err(reply.failure(&cmd).hint(format!("try it by hand: `{cmd}`")).into());
        }
        return Ok(build.tags[0].clone());
    }
    let told = fs_err::read_to_string(&metadata).ok();
    let digest = told.as_deref().and_then(docker::digest_of_build).ok_or_else(|| {
        fail("docker built the image, but did not tell its digest")
            .fact("command", cmd.to_string())
            .hint("is docker's buildx plugin old? see `docker buildx version`; 0.10 or newer is needed")
    })?;
    Ok(format!("{}@{digest}", build.repository))
}

fn build_failed(cluster: Cluster, reply: &Reply, cmd: &Cmd, repository: &str) -> Fail {
    let error = reply.failure(cmd);
    let host = repository.split('/').next().unwrap_or_default();
    let ask = |cmd: &Cmd| cluster.shell.read(cmd);
    match ask(&docker::ping()) {
        // without buildx, docker reads the first flag of the build as its own, and reports only that
        Ok(answer) if answer.succeeded() && ask(&docker::buildx()).is_ok_and(|answer| !answer.succeeded()) => {
            error.hint(docker::BUILDX)
        }
        Ok(answer) if answer.succeeded() => error
            .hint(format!("the words above are docker's; if the registry refused the image, `docker login {host}`")),
        Ok(answer) => error
            .details(answer.stderr.trim_end())
            .hint("start the Docker Engine (`systemctl start docker`, or Docker Desktop) and see `docker info`"),
        Err(_) => error,
    }
}
