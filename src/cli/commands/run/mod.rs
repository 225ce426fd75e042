//! `run`: builds the current folder into an image and runs it as a Job.

mod args;
mod failure;
pub(super) mod secrets;
mod sweep;

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;
use chrono::Utc;

use self::args::DryRun;
pub use self::args::RunArgs;
use crate::app::App;
use crate::app::global::TOKEN_USER;
use crate::app::target::{Target, typed};
use crate::cli::commands::{goes_on, tell_unfinished, text};
use crate::config::resources::accelerator;
use crate::config::{self, Resources, Wrong, check};
use crate::image::entry;
use crate::k8s::names::nearest;
use crate::k8s::provider::is_google;
use crate::ops::apply::{apply, retain_volume};
use crate::ops::facts::secrets::Secrets;
use crate::ops::facts::{self, Notices, Snapshot};
use crate::ops::journal::Journal;
use crate::ops::project_request::machine;
use crate::ops::registry::{log_in, published};
use crate::ops::run_ref::run_name;
use crate::ops::submit_limiter::SubmitSlot;
use crate::ops::{claim_cache, outline};
use crate::plan::{Answers, Login, Plan, PlannedImage};
use crate::request::{ImageRequest, RunEnv, RunFlags, RunRequest, SweepRequest};
use crate::runs::follow::Follower;
use crate::runs::informer::Informer;
use crate::runs::lookup::Lookup;
use crate::runs::run_name_cache::{self, Seen};
use crate::tools::cluster::Cluster;
use crate::tools::cmd::quote;
use crate::util::error::{Fail, usage};

/// The experiment file that is read by default.
const EXPERIMENT: &str = "mrunner.yaml";

/// Runs.
pub fn exec(args: RunArgs, app: &App) -> Result<()> {
    if let Some(name) = &args.resume {
        return resume(&args, run_name(name), app);
    }
    tell_unfinished(app);
    let target = Target::resolve(app)?;
    let needs_cluster = args.dry_run != DryRun::Client;
    if needs_cluster {
        target.require_cluster()?;
    }
    let (follow, wait, dry_run, out) = (args.follow, args.wait, args.dry_run, args.out.clone());
    let mut request = request(args, app, &target)?;
    app.ui.tell("context", format!("{}, namespace {}", target.describe(), request.namespace));
    let cluster = target.cluster(app);
    let mut login = login(&request, app);
    let submits = dry_run == DryRun::None && out.is_none();
    if let Some(wanted) = &login
        && submits
    {
        // before the registry is asked for the image, which may need the login
        log_in(&app.shell, wanted)?;
        login = None;
    }
    let slot = if submits { SubmitSlot::wait(&app.places.state, &app.shell, &app.ui)? } else { None };
    let early = |notices: Notices| notices.settle(cluster);
    let facts = if needs_cluster {
        facts::gather(cluster, &request, login.is_none(), &early)
    } else {
        facts::gather_offline(cluster, &request, &early)
    };
    let (mut answers, snapshot) = facts.settle(cluster)?;
    answers.login = login;
    if let Some(snapshot) = &snapshot {
        check_script(&request, snapshot)?;
    }
    tell_first(&request, &answers, snapshot.as_ref(), app);
    request.node_selector.append(&mut answers.platform);
    let mut plan = Plan::new(&request, &answers, &target.kubectl)?;
    plan.fits()?;
    if !submits {
        return show((dry_run, out.as_deref()), cluster, &plan, snapshot.as_ref(), request.sweep.as_ref());
    }
    match &plan.image {
        PlannedImage::Ready { reference } => app.ui.tell("image", format!("{reference}, nothing to build")),
        PlannedImage::ToBuild(build) => app.ui.tell("image", format!("{}, to be built", build.tags[0])),
    }
    plan.kubeconfig = app.kubeconfig();
    let secrets = Secrets::read(&plan, app)?;
    let journal = Journal::begin(&app.places.state, &plan)?;
    // a build may take long, and docker limits builds itself
    let slot = slot.filter(|_| matches!(plan.image, PlannedImage::Ready { .. }));
    apply(cluster, &mut plan, &secrets, snapshot.as_ref(), journal)?;
    drop(slot);
    afterwards(app, cluster, &target, &plan, (follow, wait))
}

/// Saves, checks or prints a plan instead of carrying it out.
fn show(
    (dry_run, out): (DryRun, Option<&Path>),
    cluster: Cluster,
    plan: &Plan,
    snapshot: Option<&Snapshot>,
    sweep: Option<&SweepRequest>,
) -> Result<()> {
    if let Some(folder) = out {
        outline::save(folder, plan, snapshot)?;
        let script = folder.join("run.sh");
        cluster
            .ui
            .tell("saved", format!("in `{}`; submit it with `sh {}`", folder.display(), quote(script.as_os_str())));
    }
    if dry_run == DryRun::Server {
        outline::check_on_server(cluster, plan)?;
    }
    if dry_run == DryRun::None { Ok(()) } else { cluster.ui.answer(plan.text(sweep)) }
}

/// Reports surprising facts before anything is done.
fn tell_first(request: &RunRequest, answers: &Answers, snapshot: Option<&Snapshot>, app: &App) {
    if let (ImageRequest::Built(build), Some(snapshot)) = (&request.image, snapshot)
        && build.sources.requirements.is_none()
        && entry::find(&snapshot.context.code, Path::new("requirements.txt")).is_some()
    {
        app.ui.warn("`requirements.txt` is not installed; if it should be: `--requirements requirements.txt`");
    }
    if answers.storage.namespace_missing && request.named_by_folder {
        app.ui.tell(
            "project",
            format!("`{}` is new, and named after the folder; `--project NAME` names another", request.project),
        );
    }
    if let Some(choice) = &answers.storage.choice {
        app.ui.tell(
            "storage",
            format!("a new claim `{}` of {}: {}", request.storage.claim, request.storage.size, choice.why),
        );
    }
    if let Some(words) = request.sweep.as_ref().and_then(sweep::remark) {
        app.ui.warn(words);
    }
}

/// The request from the flags, the experiment file and the remote context.
fn request(args: RunArgs, app: &App, target: &Target) -> Result<RunRequest> {
    let folder = &app.places.folder;
    let found = || Some(PathBuf::from(EXPERIMENT)).filter(|file| folder.join(file).symlink_metadata().is_ok());
    let file = if args.no_config { None } else { args.config.clone().or_else(found) };
    if let Some(file) = file.as_ref().filter(|_| args.config.is_none()) {
        app.ui.tell("config", format!("`{}` of this folder; `--no-config` does without", file.display()));
    }
    let experiment = file.map(|file| config::read_experiment(&file, folder)).transpose()?;
    let (script, script_args) = words(args.words, args.rest)?;
    let (factors, selection, common) = args.sweep.flags(app)?;
    let flags = RunFlags {
        name: args.name.or(common.name),
        project: args.project,
        tags: args.tags.into_iter().chain(common.tags).collect(),
        requirements: args.requirements,
        base_image: args.base_image,
        image: args.image,
        registry: args.registry,
        template: args.template,
        platform: args.platform,
        pull: args.pull,
        storage_class: args.storage_class,
        storage_claim: args.storage_claim,
        resources: Resources {
            cpu: flag("--cpu", args.cpu, check::quantity)?,
            mem: flag("--mem", args.mem, check::bytes)?,
            gpu: flag("--gpu", args.gpu, accelerator)?,
            tpu: flag("--tpu", args.tpu, accelerator)?,
        },
        failure: args.failure.flags()?,
        secret_env: args.secrets.variables(app)?,
        secret_files: args.secrets.files(folder)?,
        build_secrets: args.secrets.of_the_build()?,
        shm: flag("--shm", args.shm, check::shm)?,
        queue: args.queue,
        factors,
        selection,
        parallel: args.sweep.parallel,
        per_pod: args.sweep.points_per_pod,
        script: relative(&script, &app.places.folder),
        args: script_args,
    };
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("failed to get random bytes: {e}"))?;
    let env = RunEnv {
        folder: app.places.folder.clone(),
        random,
        now: Utc::now(),
        namespace: target.namespace.clone(),
        local: target.local.clone(),
        machine: machine()?,
    };
    Ok(RunRequest::new(flags, experiment.as_ref(), target.remote.as_ref(), &env)?)
}

/// The login for the image's registry, if docker's configuration has none.
pub fn login(request: &RunRequest, app: &App) -> Option<Login> {
    let ImageRequest::Built(build) = &request.image else { return None };
    let host = build.repository.host();
    if build.load.is_some() || config::read_docker(&app.places.docker).serves(host) {
        return None;
    }
    match &request.registry_login {
        Some(login) => Some(Login::Password(login.clone())),
        None => is_google(host).then(|| Login::Google(host.to_owned())),
    }
}

/// Checks the value of a flag like one in a file.
fn flag<T>(name: &str, value: Option<String>, rule: impl Fn(&str) -> Result<T, Wrong>) -> Result<Option<T>, Fail> {
    value.map(|text| rule(&text).map_err(|wrong| wrong.about(name))).transpose()
}

/// Normalizes `./train.py`, `src/../train.py` and similar to the script's path in the folder.
fn relative(script: &str, folder: &Path) -> String {
    let mut path = std::path::PathBuf::new();
    for part in folder.join(script).components() {
        match part {
            Component::ParentDir => _ = path.pop(),
            Component::CurDir => {}
            part => path.push(part),
        }
    }
    path.strip_prefix(folder).map_or_else(|_| script.to_owned(), |below| below.to_string_lossy().into_owned())
}

/// Splits the script from its arguments. The first bare `--` may end mrunner's own flags; the next one after the
/// script separates its arguments; further ones belong to the script.
fn words(before: Vec<OsString>, after: Vec<OsString>) -> Result<(String, Vec<String>), Fail> {
    let mut words = before.into_iter();
    let mut rest = after.into_iter().peekable();
    let script = if let Some(script) = words.next() {
        script
    } else {
        let script = rest.next().ok_or_else(|| {
            usage("no script is named")
                .hint("name one below the current folder, such as `kubectl mrunner run train.py`")
        })?;
        rest.next_if(|word| word == "--");
        script
    };
    if script.is_empty() {
        return Err(usage("the script's name is empty")
            .hint("name one below the current folder, such as `kubectl mrunner run train.py`"));
    }
    let args = words.chain(rest).map(|word| text(&word)).collect::<Result<_, _>>()?;
    Ok((text(&script)?, args))
}

/// An error if the script is not among the files that are sent.
fn check_script(request: &RunRequest, snapshot: &Snapshot) -> Result<(), Fail> {
    let ImageRequest::Built(build) = &request.image else { return Ok(()) };
    let script = request.script.as_str();
    match entry::find(&snapshot.context.code, Path::new(script)).map(|entry| &entry.kind) {
        Some(entry::Kind::Directory) => {
            return Err(usage(format!("the script `{script}` is a folder"))
                .hint(format!("name a file in it, such as `{script}/train.py`")));
        }
        Some(_) => return Ok(()),
        None => {}
    }
    let path = build.sources.folder.join(script);
    Err(if path.exists() && !script.starts_with("..") && !script.starts_with('/') {
        usage(format!("the script `{script}` is left out of the image"))
            .hint("see `.mrunnerignore`, `.dockerignore` and `exclude`")
    } else if path.exists() {
        usage(format!("the script `{script}` is not below the current folder"))
            .hint("`cd` into the folder that holds all that the experiment needs, and run it from there")
    } else {
        let files = snapshot.context.code.iter().filter_map(|entry| entry.path.to_str());
        usage(format!("the script `{script}` does not exist")).hint(match nearest(script, files) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("look with `ls {}`", build.sources.folder.display()),
        })
    })
}

fn resume(args: &RunArgs, name: &str, app: &App) -> Result<()> {
    let target = Target::resolve(app)?;
    let (journal, mut plan) = Journal::take_up(&app.places.state, name)?;
    app.ui.tell("resume", format!("{}, namespace {}", plan.run, plan.namespace));
    plan.kubectl = plan.kubectl.without("--kubeconfig");
    if plan.kubectl.flags.iter().any(|flag| flag == TOKEN_USER) && app.global.kubernetes.token.is_none() {
        return Err(usage(format!("the run `{name}` was submitted with a token, which is kept nowhere"))
            .hint(format!("give it again: `kubectl mrunner run --token TOKEN --resume {name}`"))
            .into());
    }
    let kubectl = plan.kubectl.clone();
    // the files of the first attempt, whatever this shell's environment and folder are
    let shell = app.shell_with_kubeconfig(&plan.kubeconfig);
    let cluster = Cluster { shell: &shell, kubectl: &kubectl, ..target.cluster(app) };
    // the image may have been published before the journal was updated
    if let PlannedImage::ToBuild(build) = &plan.image
        && !build.pull
        && build.load.is_none()
        && let Some(digest) = published(cluster.shell, &build.tags[0], build.plain)?
    {
        plan.image = PlannedImage::Ready { reference: format!("{}@{digest}", build.repository) };
    }
    args.secrets.give_again(&mut plan.secret_env, app)?;
    // checked before the journal is changed: the Job may exist already
    let secrets = Secrets::read(&plan, app)?;
    apply(cluster, &mut plan, &secrets, None, journal)?;
    afterwards(app, cluster, &target, &plan, (args.follow, args.wait))
}

/// After the submission: prints the name and the next commands, and follows the run if requested.
pub(super) fn afterwards(
    app: &App,
    cluster: Cluster,
    target: &Target,
    plan: &Plan,
    (follow, wait): (bool, bool),
) -> Result<()> {
    let (run, namespace) = (plan.run.as_str(), plan.namespace.as_str());
    app.ui.tell("job", format!("{run} submitted"));
    run_name_cache::note(&app.places.cache, [Seen::of(plan)], |_| false);
    let key = claim_cache::key(&plan.kubectl, &plan.namespace, plan.claim.as_str());
    claim_cache::note(&app.places.cache, &key, |known| plan.image.reference().clone_into(&mut known.image));
    if !follow {
        app.ui.answer(run)?;
    }
    retain_volume(cluster, plan);
    let command = |verb: &str| typed(app, target, &[verb, "-n", namespace, run]);
    let logs = typed(app, target, &["logs", "-f", "-n", namespace, run]);
    if follow || wait {
        let follower = Follower::new(cluster, &plan.namespace, run, follow);
        let lookup = Lookup::within(cluster, &plan.namespace);
        let stayed = Informer::open(&lookup, run).and_then(|informer| follower.until_end(None, informer));
        return stayed.map_err(|error| goes_on(error, app, target, namespace, run));
    }
    app.ui.say(format!("next:\n  {logs}\n  {}\n  {}", command("status"), command("delete")));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args;

    #[test]
    fn no_flag_is_ignored_beside_resume() {
        let command = RunArgs::augment_args(clap::Command::new("run"));
        let resume = command.get_arguments().find(|arg| arg.get_id() == "resume").unwrap();
        let refused: Vec<_> = command.get_arg_conflicts_with(resume).iter().map(|arg| arg.get_id().clone()).collect();
        // the flags of `resume`
        let taken = ["resume", "env_file", "follow", "wait"];
        let ignored = command.get_arguments().map(clap::Arg::get_id);
        let ignored: Vec<_> = ignored.filter(|id| !refused.contains(id) && !taken.contains(&id.as_str())).collect();
        assert_eq!(ignored, [""; 0], "refuse them in `conflicts_with_all`, or take them");
    }
}
