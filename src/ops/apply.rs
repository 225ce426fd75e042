//! Does what a plan says, step by step, and submits its Job exactly once.

use std::io::Write;
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::image::key::send;
use crate::k8s::manifests::{job, secret_env};
use crate::ops::facts::{Facts, Snapshot};
use crate::ops::journal::Journal;
use crate::ops::provision_storage::Store;
use crate::ops::submitted_runs;
use crate::plan::{Build, Known, Plan, PlannedImage, Step};
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Outcome, Scope};
use crate::tools::reply::Reply;
use crate::tools::retry::{FIRST_PAUSE, LONGEST, TRIES};
use crate::tools::{docker, shell};
use crate::util::error::{Exit, Fail, Refusal, fail, flatten};

/// Why a step failed, as far as the journal must know.
enum Ended {
    /// Nothing was submitted, for certain.
    Without(anyhow::Error),
    /// The Job may be in the cluster.
    Unclear(anyhow::Error),
}

/// Does all of a plan. The journal is closed unless it is unclear what became of the Job.
pub fn apply(facts: &Facts, plan: &mut Plan, snapshot: Option<&Snapshot>, journal: Journal) -> Result<()> {
    match carry_out(facts, plan, snapshot, Some(&journal)) {
        Ok(()) => {
            close(facts, journal);
            Ok(())
        }
        Err(Ended::Without(error)) => {
            close(facts, journal);
            Err(nothing_was_submitted(error))
        }
        Err(Ended::Unclear(error)) => {
            let hint = format!("look and finish it with `kubectl mrunner run --resume {}`", plan.run);
            let said = fail(format!("it is unclear whether the run `{}` was submitted", plan.run)).hint(hint);
            let exit = if shell::was_interrupted(&error) { Exit::Interrupted } else { Exit::Error };
            Err(said.exit(exit).because(&error).into())
        }
    }
}

/// Sees to it, once a plan is carried out, that the volume which its first run gets outlives the claim. That it
/// can't holds nobody up, and is told.
pub fn secure(facts: &Facts, plan: &Plan) {
    if let Err(error) = store(plan).secure(facts)
        && !shell::was_interrupted(&error)
    {
        facts.ui.warn(format!("the project's volume may go with its claim: {error:#}"));
    }
}

/// The storage of a plan's project.
fn store(plan: &Plan) -> Store<'_> {
    let Plan { kubectl, namespace, claim, storage, .. } = plan;
    Store { kubectl, namespace, claim, project: Some(&plan.project), steps: storage }
}

/// What became of the run is told in any case.
fn close(facts: &Facts, journal: Journal) {
    if let Err(error) = journal.close() {
        facts.ui.warn(format!("failed to close the journal: {error:#}"));
    }
}

/// Adds that to the error of an interrupt and of the API server's refusal, where it is not evident.
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

/// Does the steps of a plan. Those of a project's storage alone need no journal.
fn carry_out(
    facts: &Facts,
    plan: &mut Plan,
    snapshot: Option<&Snapshot>,
    journal: Option<&Journal>,
) -> Result<(), Ended> {
    // before anything is built that the cluster could not pull
    let secrets = facts.secrets(plan).map_err(Ended::Without)?;
    let mut job = Submitted::default();
    for step in plan.steps() {
        let password = secrets.password.as_deref();
        match step {
            Step::Submit => job = submit_once(facts, plan, journal)?,
            Step::Points | Step::SecretEnv | Step::Resume => {
                put_beside(facts, plan, step, &job, &secrets.env)?;
            }
            Step::Image => {
                let image = publish(facts, plan, snapshot).map_err(Ended::Without)?;
                plan.image = PlannedImage::Ready { reference: image };
                journal.map_or(Ok(()), |journal| journal.update(plan)).map_err(Ended::Without)?;
            }
            before => prepare(facts, plan, before, password).map_err(Ended::Without)?,
        }
    }
    Ok(())
}

/// Does one of the steps that the Job needs, and that leave nothing of the run behind.
fn prepare(facts: &Facts, plan: &Plan, step: Step, password: Option<&str>) -> Result<()> {
    let store = store(plan);
    let make = |what: &str| -> Result<()> {
        for cmd in plan.commands(step, &Known { password, ..Known::default() }) {
            store.ensure(facts, cmd)?;
        }
        facts.ui.tell(what, "made");
        Ok(())
    };
    match (step, &plan.login, &plan.probe) {
        (Step::LogIn, Some(login), _) => facts.log_in(login),
        (Step::Namespace, ..) => make("namespace"),
        (Step::PullSecret, ..) => make("login"),
        (Step::Storage(step), ..) => store.prepare(facts, step),
        (Step::TryVolume, _, Some(probe)) => {
            store.try_volume(facts, &job::with_container_image(probe.clone(), plan.image.reference()))
        }
        _ => Ok(()),
    }
}

/// Prepares the storage of a project, as far as a plan says.
///
/// # Errors
/// If something could not be made, or the nodes do not share the volume.
pub fn prepare_storage(facts: &Facts, plan: &mut Plan) -> Result<()> {
    carry_out(facts, plan, None, None).map_err(|ended| match ended {
        Ended::Without(error) | Ended::Unclear(error) => error,
    })?;
    store(plan).secure(facts)
}

/// Builds the image and publishes or loads it. Its reference, by digest where it is published.
fn publish(facts: &Facts, plan: &Plan, snapshot: Option<&Snapshot>) -> Result<String> {
    let PlannedImage::ToBuild(build) = &plan.image else { return Ok(plan.image.reference().to_owned()) };
    let again;
    let snapshot = if let Some(snapshot) = snapshot {
        snapshot
    } else {
        again = facts.again(build)?;
        &again
    };
    let send = |out: &mut dyn Write| send(&snapshot.context, &|entry| snapshot.open(entry), &snapshot.key, out);
    let reference = build_image(facts, build, send)?;
    facts.ui.tell("image", format!("{reference} {}", if build.load.is_some() { "loaded" } else { "published" }));
    Ok(reference)
}

/// Builds and publishes what `feed` sends, or loads it. Its reference, by digest where it is published.
pub fn build_image(
    facts: &Facts,
    build: &Build,
    feed: impl FnOnce(&mut dyn Write) -> Result<()> + Send,
) -> Result<String> {
    // a folder: docker writes the file anew, also when it was ended and nobody would remove it then
    let folder = crate::util::files::own_folder().context("failed to make a temporary folder")?;
    let metadata = folder.path().join("metadata.json");
    let cmd = build.cmd(&metadata, facts.ui.is_live());
    let reply = facts.shell.run_fed(&cmd, feed)?;
    if !reply.succeeded() {
        // somebody may have published the very same at the same time, which some registries fail over
        if !build.pull
            && build.load.is_none()
            && let Ok(Some(digest)) = facts.published(&build.tags[0], build.plain)
        {
            return Ok(format!("{}@{digest}", build.repository));
        }
        return Err(build_failed(facts, &reply, &cmd, &build.repository).into());
    }
    if let Some(cmd) = build.load() {
        let reply = facts.shell.run(&cmd)?;
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

fn build_failed(facts: &Facts, reply: &Reply, cmd: &Cmd, repository: &str) -> Fail {
    let error = reply.failure(cmd);
    let host = repository.split('/').next().unwrap_or_default();
    let ask = |cmd: &Cmd| facts.shell.read(cmd);
    match ask(&docker::ping()) {
        // without it docker takes the build's first flag for its own, and says only that
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

/// The Job in the cluster.
#[derive(Debug, Default)]
struct Submitted {
    uid: String,
    /// Whether it was created just now, and not by an earlier try.
    is_new: bool,
}

/// Submits the Job, and notes that this machine did.
fn submit_once(facts: &Facts, plan: &Plan, journal: Option<&Journal>) -> Result<Submitted, Ended> {
    journal.map_or(Ok(()), Journal::hand_down).map_err(Ended::Without)?;
    let (uid, is_new) = submit(facts, plan)?;
    if let Some(journal) = journal {
        submitted_runs::note(journal.state(), plan, &uid);
    }
    Ok(Submitted { uid, is_new })
}

/// Creates the Job; after an unclear answer looks whether it is there and adopts it only if it is
/// this very submission. The uid that the cluster gave it, and whether it was created just now.
fn submit(facts: &Facts, plan: &Plan) -> Result<(String, bool), Ended> {
    let cmd = plan.submit();
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    // whether a try may have got through though its answer did not come
    let mut perhaps = false;
    let begun = Instant::now();
    loop {
        let reply = facts.shell.run(&cmd).map_err(Ended::Unclear)?;
        let is_last = tries == TRIES || begun.elapsed() > facts.shell.patience(LONGEST);
        // kubectl can end well without the server's answer, as when a proxy gives one of its own
        if let Some(stored) =
            reply.json(&cmd).ok().filter(|stored| reply.succeeded() && job::is_same(stored, &plan.job))
        {
            return Ok((keep(facts, plan, &stored)?, true));
        }
        let outcome = if reply.succeeded() { Outcome::Unclear } else { kubectl::outcome(&reply.stderr) };
        perhaps |= outcome == Outcome::Unclear;
        let stands = match outcome {
            // what refuses now could be an earlier try that got through
            Outcome::Refused(refusal) if !perhaps && refusal != Refusal::AlreadyExists => {
                return Err(Ended::Without(facts.kubectl.failure(&reply, &cmd).into()));
            }
            Outcome::NotYet(_) if !perhaps && is_last => {
                return Err(Ended::Without(facts.kubectl.failure(&reply, &cmd).into()));
            }
            Outcome::NotYet(_) if !perhaps => Ok(Standing::Missing),
            _ => standing(facts, plan),
        };
        match stands {
            Ok(Standing::Ours(stored)) => {
                facts.ui.tell("job", "it had been submitted already");
                return Ok((keep(facts, plan, &stored)?, false));
            }
            Ok(Standing::Others) => {
                return Err(Ended::Without(
                    fail(format!("another run is called `{}`", plan.run))
                        .hint("run the same command again: the new run gets another name")
                        .into(),
                ));
            }
            Err(error) if shell::was_interrupted(&error) => return Err(Ended::Unclear(error)),
            // also if it is not there: what was sent last may still be on its way
            Ok(Standing::Missing) | Err(_) if is_last => {
                return Err(Ended::Unclear(facts.kubectl.failure(&reply, &cmd).into()));
            }
            Ok(Standing::Missing) | Err(_) => {}
        }
        tries += 1;
        facts.ui.warn(format!("failed to {}, trying again: {}", cmd.why, kubectl::in_brief(&reply)));
        facts
            .shell
            .pause(pause)
            .map_err(|error| if perhaps { Ended::Unclear(error) } else { Ended::Without(error) })?;
        pause *= 2;
    }
}

/// The uid of a Job that is in the cluster. One that would not be run as promised is taken back; what else the
/// cluster left out of it is told.
fn keep(facts: &Facts, plan: &Plan, stored: &Value) -> Result<String, Ended> {
    let lost = job::left_out(&plan.final_job(), stored);
    let newer = format!("Kubernetes 1.{} or newer keeps it, unless it is switched off there", kubectl::OLDEST_MINOR);
    if lost.iter().any(|field| field == "spec.backoffLimitPerIndex") {
        let error = fail("the cluster does not keep `backoffLimitPerIndex` of a Job, without which a failed point would be tried again and again and end the others")
            .hint(format!("{newer}: see its version with `{} version`", plan.kubectl.cmd(Scope::Everywhere, "")));
        return Err(take_back(facts, plan, error.into()));
    }
    for field in lost {
        facts.ui.warn(format!("the cluster does not keep `{field}` of the Job; {newer}"));
    }
    Ok(stored["metadata"]["uid"].as_str().unwrap_or_default().to_owned())
}

/// What stands in the cluster under the name of a planned Job.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Standing {
    /// The planned Job, as it is kept there.
    Ours(Value),
    Others,
    Missing,
}

fn standing(facts: &Facts, plan: &Plan) -> Result<Standing> {
    let why = format!("look for the Job `{}`", plan.run);
    let name = format!("job/{}", plan.run);
    let cmd = plan.kubectl.get(Scope::In(&plan.namespace), &[&name], None, why);
    let reply = facts.shell.read(&cmd)?.ok(&cmd)?;
    Ok(match kubectl::objects(&reply, &cmd)?.pop() {
        None => Standing::Missing,
        Some(stored) if job::is_same(&stored, &plan.job) => Standing::Ours(stored),
        Some(_) => Standing::Others,
    })
}

/// Puts points and secret variables beside the Job, which owns them, or resumes it.
fn put_beside(
    facts: &Facts,
    plan: &Plan,
    step: Step,
    job: &Submitted,
    secrets: &[(String, String)],
) -> Result<(), Ended> {
    let known = Known { uid: &job.uid, secrets: Some(secrets), ..Known::default() };
    plan.commands(step, &known).iter().try_for_each(|cmd| put(facts, plan, step, cmd, job.is_new, secrets))
}

fn put(
    facts: &Facts,
    plan: &Plan,
    step: Step,
    cmd: &Cmd,
    is_new: bool,
    secrets: &[(String, String)],
) -> Result<(), Ended> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    // whether an earlier try may have got through though its answer did not come
    let mut perhaps = false;
    let begun = Instant::now();
    loop {
        let reply = facts.shell.run(cmd).map_err(Ended::Unclear)?;
        if reply.succeeded() {
            return Ok(());
        }
        if step.is_owned() && kubectl::all_exist(&reply.stderr) {
            let is_first = is_new && !perhaps;
            if is_ours(facts, plan, step, is_first, secrets).map_err(Ended::Unclear)? {
                return Ok(());
            }
            return Err(take_back(facts, plan, others(plan, step).into()));
        }
        let outcome = kubectl::outcome(&reply.stderr);
        let refused = matches!(outcome, Outcome::Refused(refusal) if refusal != Refusal::AlreadyExists);
        perhaps |= outcome == Outcome::Unclear;
        if refused && perhaps && step == Step::Resume && is_resumed(facts, plan) {
            // an earlier try of this very change got through: the run is on its way
            return Ok(());
        }
        let is_last = tries == TRIES || begun.elapsed() > facts.shell.patience(LONGEST);
        if refused || (is_last && !perhaps) {
            return Err(take_back(facts, plan, facts.kubectl.failure(&reply, cmd).into()));
        }
        if is_last {
            return Err(Ended::Unclear(facts.kubectl.failure(&reply, cmd).into()));
        }
        tries += 1;
        facts.ui.warn(format!("failed to {}, trying again: {}", cmd.why, kubectl::in_brief(&reply)));
        facts.shell.pause(pause).map_err(Ended::Unclear)?;
        pause *= 2;
    }
}

/// The error for objects of somebody else.
fn others(plan: &Plan, step: Step) -> Fail {
    let (objects, kind) =
        if step == Step::Points { ("other points", "ConfigMaps") } else { ("another Secret", "Secret") };
    fail(format!("the cluster has {objects} under the name of the run `{}`", plan.run))
        .fact("cause", format!("somebody else created its {kind} at the same moment"))
        .hint(format!("see who may do so with `kubectl get rolebindings -n {}`", plan.namespace))
}

/// Whether what the cluster has under the name of a plan's run is the plan's own. An earlier try may have put it there,
/// or, as everybody can see the name of the Job, somebody who wants to choose what it runs and with which keys. It can't
/// be our own Secret if this is the first try.
fn is_ours(facts: &Facts, plan: &Plan, step: Step, is_first: bool, secrets: &[(String, String)]) -> Result<bool> {
    match (step, &plan.points) {
        (Step::Points, Some(points)) => {
            let names: Vec<String> = points.names(&plan.run).iter().map(|name| format!("configmap/{name}")).collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let why = format!("compare the points of `{}` with those in the cluster", plan.run);
            let cmd = plan.kubectl.get(Scope::In(&plan.namespace), &names, None, why);
            let reply = facts.shell.read(&cmd)?.ok(&cmd)?;
            Ok(points.are_in(&plan.run, &kubectl::objects(&reply, &cmd)?))
        }
        (Step::SecretEnv, _) if !is_first => is_secret_ours(facts, plan, secrets),
        (step, _) => Ok(step != Step::SecretEnv),
    }
}

fn is_secret_ours(facts: &Facts, plan: &Plan, secrets: &[(String, String)]) -> Result<bool> {
    let name = secret_env::name(plan.run.as_str());
    let why = format!("compare the secret variables of `{}` with those in the cluster", plan.run);
    let what = format!("secret/{name}");
    let cmd = plan.kubectl.hiding_bodies().get(Scope::In(&plan.namespace), &[&what], None, why);
    let reply = facts.shell.read(&cmd)?;
    if kubectl::refusal(&reply.stderr) == Some(Refusal::Forbidden) {
        facts.ui.warn(format!("you may not read the Secret `{name}`: it is taken for the one of an earlier try"));
        return Ok(true);
    }
    let stored = kubectl::objects(&reply.ok(&cmd)?, &cmd)?;
    Ok(stored.iter().any(|stored| secret_env::is_same(stored, secrets)))
}

/// Whether the Job, which was submitted suspended, is no longer.
fn is_resumed(facts: &Facts, plan: &Plan) -> bool {
    matches!(standing(facts, plan), Ok(Standing::Ours(stored)) if stored["spec"]["suspend"] != true)
}

/// Deletes the Job: one that was refused its points or its Secret is suspended, and would be so for ever.
fn take_back(facts: &Facts, plan: &Plan, error: anyhow::Error) -> Ended {
    let cmd = plan.kubectl.delete_jobs(&plan.namespace, &[plan.run.as_str()]);
    let mut pause = FIRST_PAUSE;
    for _ in 1..TRIES {
        match facts.shell.run(&cmd) {
            Ok(reply) if reply.succeeded() => return Ended::Without(error),
            Ok(reply) if kubectl::refusal(&reply.stderr).is_some() => {
                let typed = format!("kubectl mrunner delete -n {} {}", plan.namespace, plan.run);
                let words = "the Job is suspended in the cluster and could not be deleted";
                return Ended::Unclear(fail(words).hint(format!("delete it with `{typed}`")).because(&error).into());
            }
            Ok(reply) => {
                facts.ui.warn(format!("failed to {}, trying again: {}", cmd.why, kubectl::in_brief(&reply)));
            }
            Err(_) => return Ended::Unclear(error),
        }
        if facts.shell.pause(pause).is_err() {
            break;
        }
        pause *= 2;
    }
    Ended::Unclear(error)
}
