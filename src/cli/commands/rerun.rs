//! `rerun`: submits a run again, from the objects in the cluster.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::app::target::{Target, typed};
use crate::cli::commands::run::secrets::{flags, in_files, named};
use crate::cli::commands::{run, tell_unfinished};
use crate::config::check;
use crate::k8s::manifests::points::PointFiles;
use crate::k8s::manifests::{POINTS_HASH, RAW_EXPERIMENT, rerun, secret_env};
use crate::k8s::names::{Namespace, RunId, RunName};
use crate::k8s::object::{ObjectRef, Resource};
use crate::ops::apply::apply;
use crate::ops::facts::secrets::Secrets;
use crate::ops::journal::Journal;
use crate::ops::run_ref::{lookup, run_name};
use crate::ops::submitted_runs::{self, SubmittedFrom};
use crate::plan::Plan;
use crate::request::SecretVariable;
use crate::request::sweep::numbers;
use crate::runs::results::report::succeeded;
use crate::runs::state::Run;
use crate::tools::kubectl::{self, Scope};
use crate::util::error::{Fail, fail, usage};

/// The arguments of `rerun`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner rerun train-3f9k2m1a --failed\n  kubectl mrunner rerun train-3f9k2m1a --points 3,7-9"
)]
pub struct RerunArgs {
    /// Run that has ended
    #[arg(value_name = "RUN")]
    run: String,
    /// Run only the points that have not succeeded
    #[arg(long)]
    failed: bool,
    /// Run only these points, such as `3,7-9`
    #[arg(long, value_name = "NUMBERS")]
    points: Option<String>,
    /// Pass this secret variable from your environment; can be repeated
    #[arg(long, value_name = "NAME")]
    secret_env: Vec<String>,
    /// Pass secret variables from the `NAME=VALUE` lines of this file; can be repeated
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Print what would be submitted, and submit nothing
    #[arg(long)]
    dry_run: bool,
    /// Stream the logs until the run ends
    ///
    /// Exits with code 3 if the run failed.
    #[arg(short, long)]
    follow: bool,
    /// Wait until the run ends
    ///
    /// Exits with code 3 if the run failed.
    #[arg(long)]
    wait: bool,
}

/// Submits the run again.
pub fn exec(args: &RerunArgs, app: &App) -> Result<()> {
    tell_unfinished(app);
    let wanted = args.points.as_deref().map(numbers).transpose()?;
    let target = Target::resolve(app)?;
    let run = lookup(app, &target)?.run(run_name(&args.run))?;
    if !run.phase.is_final() {
        let state = run.phase.as_str().to_lowercase();
        return Err(fail(format!("the run `{}` has not ended: it is {state}", run.name))
            .hint(format!(
                "wait for it with `{}`",
                typed(app, &target, &["logs", "-f", "-n", &run.namespace, &run.name])
            ))
            .hint(format!("or end it with `{}`", typed(app, &target, &["delete", "-n", &run.namespace, &run.name])))
            .into());
    }
    let namespace = Namespace::given(&run.namespace)
        .ok_or_else(|| fail(format!("the cluster names a namespace `{}` that can't be", run.namespace)))?;
    let chosen = chosen(&run, args.failed, wanted.as_deref())?;
    let (points, hash) = lines(&run, &namespace, &chosen, app, &target)?.unzip();

    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("failed to get random bytes: {e}"))?;
    let id = RunId::from_bytes(random);
    let experiment = run.job().annotation(RAW_EXPERIMENT).unwrap_or(&run.name);
    let name = RunName::new(experiment, &id);
    let job = rerun::manifest(&run.job, &name, &id, points.as_ref().map(|lines| (chosen.len(), lines)));
    let mut plan = Plan {
        secret_env: secret_env(args, &run, hash.as_deref(), app, &target)?,
        points,
        ..Plan::for_rerun(job, name, id, namespace, &target.kubectl)
    };
    plan.fits()?;
    app.ui.tell("context", format!("{}, namespace {}", target.describe(), plan.namespace));
    app.ui.tell("rerun", told(&run, &chosen));
    app.ui.tell("image", plan.image.reference());
    if args.dry_run {
        return app.ui.answer(plan.text(None));
    }
    plan.kubeconfig = app.kubeconfig();
    let secrets = Secrets::read(&plan, app)?;
    let journal = Journal::begin(&app.places.state, &plan)?;
    apply(target.cluster(app), &mut plan, &secrets, None, journal)?;
    run::afterwards(app, target.cluster(app), &target, &plan, (args.follow, args.wait))
}

/// The secret variables of the run, and the source of their values: a file, or the environment under a name that
/// was typed, now or when this machine submitted the run. The names in the Job alone are not trusted.
fn secret_env(
    args: &RerunArgs,
    run: &Run,
    points: Option<&str>,
    app: &App,
    target: &Target,
) -> Result<Vec<SecretVariable>> {
    let wanted = secret_env::names(&run.job);
    if let Some(odd) = wanted.iter().find(|name| check::secret_env_name(name).is_err()) {
        return Err(fail(format!(
            "the Job of the run `{}` has a secret variable with an invalid name: `{odd}`",
            run.name
        ))
        .fact("cause", "mrunner creates no such Job: somebody else created or replaced it")
        .hint(format!("submit the run anew from its folder, with `{}`", typed(app, target, &["run"])))
        .into());
    }
    let typed = named("--secret-env", &args.secret_env)?;
    if let Some(other) = typed.iter().find(|name| !wanted.contains(name)) {
        let names = wanted.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let has = if names.is_empty() { "none".to_owned() } else { names };
        return Err(usage(format!("the run `{}` has no secret variable `{other}`", run.name))
            .hint(format!("its secret variables: {has}"))
            .into());
    }
    let origin = submitted_runs::origin(&app.places.state, &target.kubectl, run.job(), points);
    let before = if let SubmittedFrom::Here(names) = &origin { names.as_slice() } else { &[] };
    let allowed: Vec<String> = typed.iter().chain(before).cloned().collect();
    let given = in_files(&args.env_file, app, &allowed)?;
    let (mut found, mut lacking) = (Vec::new(), Vec::new());
    for name in &wanted {
        let last = given.iter().rev().find(|variable| variable.name == *name && !typed.contains(name));
        match (last, allowed.contains(name)) {
            (Some(last), _) => found.push(last.clone()),
            (None, true) => found.push(SecretVariable { name: name.clone(), file: None }),
            (None, false) => lacking.push(name),
        }
    }
    if lacking.is_empty() {
        return Ok(found);
    }
    Err(unnamed(run, &lacking, &origin, app, target).into())
}

/// The error for secret variables that were not passed.
fn unnamed(run: &Run, names: &[&String], origin: &SubmittedFrom, app: &App, target: &Target) -> Fail {
    let listed = names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let error = usage(format!("nothing was submitted: the run `{}` asks for secret variables: {listed}", run.name));
    let error = match origin {
        SubmittedFrom::Here(_) => error.fact("cause", "their values came from a file, and are kept nowhere"),
        SubmittedFrom::Replaced => error
            .fact("cause", "the Job of this name is not the one that this machine submitted: somebody has replaced it"),
        SubmittedFrom::OtherPoints => error.fact(
            "cause",
            "the points in the cluster are not those that this machine submitted: somebody has replaced them",
        ),
        SubmittedFrom::OtherConfig => error.fact(
            "cause",
            "the annotation `mrunner/config` of the Job is not the one that this machine submitted: somebody has changed it",
        ),
        SubmittedFrom::Unknown => error.fact("cause", "this machine has no record of submitting the run"),
    };
    let command = typed_rerun(run, app, target);
    error
        .hint(format!(
            "if the run may have your own variables, name them: `{command} {}`",
            flags(names.iter().copied())
        ))
        .hint(format!("or give the values in a file: `{command} --env-file FILE`"))
}

fn typed_rerun(run: &Run, app: &App, target: &Target) -> String {
    typed(app, target, &["rerun", "-n", &run.namespace, &run.name])
}

/// The numbers of the requested points.
fn chosen(run: &Run, failed: bool, wanted: Option<&[u64]>) -> Result<Vec<u64>, Fail> {
    let (count, _) = run.job().packing();
    if let Some(outside) = wanted.and_then(|wanted| wanted.iter().find(|point| **point >= count)) {
        return Err(usage(format!("the run `{}` has no point {outside}", run.name))
            .hint(format!("its points are 0 to {}", count.saturating_sub(1))));
    }
    let mut chosen: Vec<u64> = wanted.map_or_else(|| (0..count).collect(), <[u64]>::to_vec);
    if failed {
        let succeeded = succeeded(run.job(), run.pods());
        chosen.retain(|point| !succeeded.contains(point));
        if chosen.is_empty() {
            let which = if wanted.is_some() { "these points" } else { "its points" };
            return Err(fail(format!("nothing of the run `{}` failed: {which} have all succeeded", run.name))
                .hint(format!("submit it as a whole with `kubectl mrunner rerun {}`", run.name)));
        }
    }
    Ok(chosen)
}

/// The lines of these points, from the cluster, and the hash of all lines; `None` for a run without a sweep.
fn lines(
    run: &Run,
    namespace: &Namespace,
    chosen: &[u64],
    app: &App,
    target: &Target,
) -> Result<Option<(PointFiles, String)>> {
    let names: Vec<&str> = run.job().maps().collect();
    if names.is_empty() {
        return Ok(None);
    }
    let what: Vec<ObjectRef> = names.iter().map(|name| Resource::ConfigMap.named(name)).collect();
    let why = format!("read the points of `{}`", run.name);
    let cmd = target.kubectl.get_named(Scope::In(namespace), &what, why);
    let reply = app.shell.read(&cmd)?;
    if !reply.succeeded() {
        return Err(target.kubectl.failure(&reply, &cmd).into());
    }
    let maps = kubectl::objects(&reply, &cmd)?;
    let count = run.job().packing().0;
    let Some(stored) = PointFiles::stored(&names, &maps).filter(|stored| stored.lines().count() as u64 == count) else {
        return Err(fail(format!("the points of the run `{}` are not all in the cluster any more", run.name))
            .hint(format!("see what is there with `kubectl get configmaps -n {namespace}`"))
            .into());
    };
    let hash = stored.hash();
    // The pods run the lines and scripts. A user who may change `ConfigMap`s need not have the right to create Jobs.
    if run.job().annotation(POINTS_HASH).is_some_and(|told| told != hash) {
        return Err(replaced(run, app, target).into());
    }
    let all: Vec<&str> = stored.lines().collect();
    let own = chosen.iter().filter_map(|point| all.get(usize::try_from(*point).ok()?));
    let own: Vec<String> = own.map(|line| (*line).to_owned()).collect();
    // the run's own scripts, which know the variables that its pods have
    Ok(Some((PointFiles::new(&own)?.with_scripts(stored.scripts().clone()), hash)))
}

/// The error for points that differ from those of the submitted Job.
fn replaced(run: &Run, app: &App, target: &Target) -> Fail {
    fail(format!("the points of the run `{}` are not those that it was submitted with", run.name))
        .fact("cause", "somebody has replaced its ConfigMaps, which hold commands that its pods run")
        .hint(format!("submit the run anew from its folder, with `{}`", typed(app, target, &["run"])))
}

/// What is submitted again, in words.
fn told(run: &Run, chosen: &[u64]) -> String {
    let (count, _) = run.job().packing();
    if chosen.len() as u64 == count {
        let many = if count == 1 { String::new() } else { format!(", all {count} points") };
        return format!("{}{many}", run.name);
    }
    let numbers: Vec<String> = chosen.iter().take(10).map(u64::to_string).collect();
    let more = if chosen.len() > numbers.len() { ", ..." } else { "" };
    let last = chosen.len() - 1;
    let new = if last == 0 { "as point 0".to_owned() } else { format!("as points 0 to {last}") };
    format!("{}, {} of {count} points: {}{more}, {new}", run.name, chosen.len(), numbers.join(", "))
}
