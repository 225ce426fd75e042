//! `logs`: what a run prints.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::commands::kept::{self, Gone};
use crate::commands::place::PlaceArgs;
use crate::commands::{goes_on, lookup, namespace_of, require_point, run_and_point, tell_unfinished};
use crate::error::{Exit, fail};
use crate::names::Namespace;
use crate::objects::RUN;
use crate::objects::again::packing;
use crate::target::Target;
use crate::watch::follow::{Follower, container_state};
use crate::watch::informer::Informer;
use crate::watch::inquiry::Inquiry;
use crate::watch::logs::{self, Position};
use crate::watch::state::{Phase, Run, index_of};
use crate::watch::streams::Labels;

/// The arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kubectl mrunner logs -f train-3f9k2m1a\n  kubectl mrunner logs train-3f9k2m1a/17")]
pub struct LogsArgs {
    /// The run, or a point of it
    #[arg(value_name = "RUN[/POINT]")]
    run: String,
    /// Stay until the run ends, and end with exit code 3 if it failed
    #[arg(short, long)]
    follow: bool,
    /// Where to look for the logs of a run whose Job is gone.
    #[command(flatten)]
    place: PlaceArgs,
}

/// Shows them.
pub fn exec(args: &LogsArgs, app: &App) -> Result<()> {
    tell_unfinished(app);
    let target = Target::resolve(app)?;
    let (name, point) = run_and_point(&args.run)?;
    let lookup = lookup(app, &target)?;
    let follows = args.follow && point.is_none();
    // also of many pods that begin right now, the first is not to wait for what a kubectl of its own would list
    let mut informer = if follows { Informer::open(&lookup, name)? } else { None };
    let heard = informer.as_mut().map_or(Ok(None), Informer::run)?;
    let Some(run) = heard.map_or_else(|| lookup.find(name), |run| Ok(Some(run)))? else {
        let gone = kept::require(name, &args.place, app, &target, || lookup.unknown(name))?;
        return left(&gone, point, args.follow, app);
    };
    require_point(&run, point)?;
    let (_, each) = packing(&run.job);
    let namespace = namespace_of(&run)?;
    if let (Some(point), true) = (point, each > 1) {
        // of a pod with several points, only the volume knows which line is whose
        if let Some(gone) = kept::find(name, &args.place, app, &target)? {
            return left(&gone, Some(point), false, app);
        }
    }
    if follows {
        let follower = Follower::new(&app.ui, &app.shell, &target.kubectl, &namespace, name, true);
        let place = run.namespace.clone();
        return follower.until_end(Some(run), informer).map_err(|error| goes_on(error, app, &target, &place, name));
    }
    let begun = |pod: &&Value| container_state(pod) != (false, false);
    let wanted = |pod: &&Value| point.is_none_or(|point| index_of(pod) == point / each);
    let mut pods: Vec<_> = run.pods.iter().filter(wanted).filter(begun).collect();
    if pods.is_empty() {
        let what = point.map_or(format!("the run `{name}`"), |point| format!("the point {point} of `{name}`"));
        let inquiry = Inquiry { shell: &app.shell, kubectl: &target.kubectl, namespace: &namespace };
        let why = inquiry.waits_for(&run).map_or(String::new(), |why| format!(": {why}"));
        if run.phase.is_final()
            && let Ok(Some(gone)) = kept::find(name, &args.place, app, &target)
        {
            return left(&gone, point, false, app);
        }
        return Err(if run.phase.is_final() {
            fail(format!("{what} has ended, and its pods with its logs are gone"))
        } else if point.is_some() {
            fail(format!("{what} has printed nothing yet"))
        } else {
            fail(format!("{what} has printed nothing yet: it is {}{why}", run.phase.as_str().to_lowercase()))
        }
        .hint(format!("see how it stands with `kubectl mrunner status -n {} {name}`", run.namespace))
        .into());
    }
    if run.is_sweep() && point.is_none() {
        return all(&run, app, &target, &namespace);
    }
    // a point that is followed is followed in its newest pod, once the others have been read
    pods.sort_by_key(|pod| container_state(pod).0);
    let attempts = pods.len();
    for (number, pod) in pods.into_iter().enumerate() {
        if attempts > 1 {
            app.ui.tell("attempt", format!("{} of {attempts}", number + 1));
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let mut position = Position::default();
        let follow = args.follow && container_state(pod).0;
        let reply = logs::pass_on(&app.shell, &target.kubectl, &namespace, name, &mut position, follow, |text| {
            app.ui.pass_on(&[text, b"\n"].concat())
        })?;
        reply.ok(&target.kubectl.logs(&namespace, name, crate::objects::job::CONTAINER, false, None))?;
    }
    Ok(())
}

/// Shows what all points of a run have printed so far, each line with its point.
fn all(run: &Run, app: &App, target: &Target, namespace: &Namespace) -> Result<()> {
    let selector = format!("{}={}", RUN, run.name);
    let of_run = Labels::of(run);
    let label = |pod: &Value| {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        (name, of_run.label(&app.ui, pod))
    };
    let labels: BTreeMap<String, String> = run.pods.iter().map(label).collect();
    let mut positions: BTreeMap<String, Position> =
        labels.keys().map(|name| (name.clone(), Position::default())).collect();
    let (ui, kubectl) = (&app.ui, &target.kubectl);
    let reply = logs::pass_on_all(&app.shell, kubectl, namespace, &selector, &mut positions, |pod, text| {
        ui.pass_on(&[labels[pod].as_bytes(), text, b"\n"].concat())
    })?;
    if !reply.succeeded() {
        app.ui.warn(format!("the logs of some pods can't be had: {}", reply.last_words()));
    }
    Ok(())
}

/// Shows what a run left; with `follow`, it ends as if it had been followed to its end.
fn left(gone: &Gone, point: Option<u64>, follow: bool, app: &App) -> Result<()> {
    gone.logs(point, app)?;
    let run = &gone.run;
    if !follow || run.phase == Phase::Succeeded {
        return Ok(());
    }
    let why = run.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    Err(fail(format!("the run `{}` failed{why}", run.name)).exit(Exit::Experiment).into())
}
