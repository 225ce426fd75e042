//! `logs`: prints a run's logs.

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::{goes_on, tell_unfinished};
use crate::k8s::names::Namespace;
use crate::k8s::pod::Pod;
use crate::ops::archived_run::{self, ArchivedRun};
use crate::ops::locate_volume::VolumeArgs;
use crate::ops::log_reader::{LogReader, LogSource};
use crate::ops::run_ref::{lookup, namespace_of, require_point, run_and_point};
use crate::runs::follow::Follower;
use crate::runs::informer::Informer;
use crate::runs::inquiry::Inquiry;
use crate::runs::lines::Label;
use crate::runs::logs::{self, Log, Position};
use crate::runs::lookup::Lookup;
use crate::runs::pods::container_state;
use crate::runs::state::{Phase, Run};
use crate::runs::{gaps, printed};
use crate::tools::retry::{LOG, Retry};
use crate::tools::shell::was_interrupted;
use crate::util::error::{Exit, Fail, fail, flatten};

/// The arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kubectl mrunner logs -f train-3f9k2m1a\n  kubectl mrunner logs train-3f9k2m1a/17")]
pub struct LogsArgs {
    /// Run, or a point of a sweep
    #[arg(value_name = "RUN[/POINT]")]
    run: String,
    /// Stream the logs until the run ends
    ///
    /// Exits with code 3 if the run failed.
    #[arg(short, long)]
    follow: bool,
    /// Where to look for the logs of a run whose Job is gone.
    #[command(flatten)]
    volume: VolumeArgs,
}

/// Prints the logs.
pub fn exec(args: &LogsArgs, app: &App) -> Result<()> {
    tell_unfinished(app);
    let target = Target::resolve(app)?;
    let (name, point) = run_and_point(&args.run)?;
    let lookup = lookup(app, &target)?;
    let follows = args.follow && point.is_none();
    // with many pods that start now, the first must not wait for a separate list
    let mut informer = if follows { Informer::open(&lookup, name)? } else { None };
    let heard = informer.as_mut().map_or(Ok(None), Informer::run)?;
    let Some(run) = heard.map_or_else(|| lookup.find(name), |run| Ok(Some(run)))? else {
        let gone = archived_run::require(name, &args.volume, app, &target, || lookup.unknown(name), drop)?;
        return left(gone, point, args.follow, app);
    };
    require_point(&run, point)?;
    let (_, each) = run.job().packing();
    let namespace = namespace_of(&run)?;
    if let (Some(point), true) = (point, each > 1)
        && let Some(gone) = lines_of(name, args, app, &target)?
    {
        return left(gone, Some(point), false, app);
    }
    let follower = || Follower::new(target.cluster(app), &namespace, name, true);
    if follows && !run.is_settled() {
        let (follower, place) = (follower(), run.namespace.clone());
        return follower.until_end(Some(run), informer).map_err(|error| goes_on(error, app, &target, &place, name));
    }
    let proxy = || LogSource::Known(informer.as_ref().map(|informer| informer.proxy().clone()));
    let way = if follows { proxy() } else { LogSource::Unknown };
    let wanted = |pod: &Pod| point.is_none_or(|point| pod.index() == point / each);
    let begun = |pod: &Pod| container_state(*pod) != (false, false);
    let pods: Vec<Pod> = run.pods().iter().filter(wanted).filter(begun).collect();
    let mut reader = LogReader::new(app, &target, &namespace, &run, &args.volume, way);
    let has_begun = !pods.is_empty();
    if !has_begun {
        // an existing pod that has not started left nothing
        let is_gone = run.phase.is_final() && !run.pods().iter().any(|pod| wanted(&pod));
        let keeps = printed::keeps(run.job());
        if let Some(gone) = if is_gone && keeps { find_left(name, args, app, &target)? } else { None } {
            return left(gone, point, args.follow, app);
        }
        if is_gone && !keeps || !reader.has_lost(point) {
            return Err(nothing_yet(&run, point, app, &target, &namespace).into());
        }
    }
    if run.is_sweep() && point.is_none() {
        reader.show_all()?;
    } else {
        reader.show_lost_of(point.unwrap_or_default())?;
        if pods.is_empty() {
            reader.tell_waiting(&run.pods().iter().filter(wanted).collect::<Vec<_>>());
        }
        let lookup = Lookup::within(target.cluster(app), &namespace);
        show_attempts(pods, &run, &mut reader, args.follow.then_some(&lookup), app)?;
    }
    if !has_begun && reader.found_nothing() {
        return Err(nothing_yet(&run, point, app, &target, &namespace).into());
    }
    let read = reader.end();
    if follows { follower().tell_end(&run).and(read) } else { read }
}

/// The stored logs of a pod with several points: only the volume has the lines by point.
fn lines_of(name: &str, args: &LogsArgs, app: &App, target: &Target) -> Result<Option<ArchivedRun>> {
    let why = match archived_run::find(name, &args.volume, app, target, drop) {
        Ok(Some(gone)) => return Ok(Some(gone)),
        Err(error) if was_interrupted(&error) => return Err(error),
        Err(error) => flatten(&error).message,
        Ok(None) => "the storage has no log of the run".to_owned(),
    };
    app.ui.warn(format!("the lines of the other points of its pod are shown as well: {why}"));
    Ok(None)
}

/// Shows one pod after the other; with `lookup`, the running one is followed.
fn show_attempts(
    mut pods: Vec<Pod>,
    run: &Run,
    reader: &mut LogReader,
    lookup: Option<&Lookup>,
    app: &App,
) -> Result<()> {
    // a followed point is followed in its newest pod, after the others were read
    pods.sort_by_key(|pod| container_state(*pod).0);
    let count = pods.len();
    for (number, pod) in pods.into_iter().enumerate() {
        if count > 1 {
            app.ui.tell("attempt", format!("{} of {count}", number + 1));
        }
        match lookup.filter(|_| container_state(pod).0 && !run.phase.is_final()) {
            Some(lookup) => follow_one(run, pod, lookup)?,
            None => reader.show(pod, &Label::none())?,
        }
    }
    Ok(())
}

/// The records of an ended run whose pods are gone.
fn find_left(name: &str, args: &LogsArgs, app: &App, target: &Target) -> Result<Option<ArchivedRun>> {
    archived_run::find(name, &args.volume, app, target, drop).map_err(|error| {
        if was_interrupted(&error) {
            return error;
        }
        let what =
            format!("the run `{name}` has ended, its pods are gone, and the logs that it kept can't be looked at");
        fail(what).because(&error).into()
    })
}

/// The error for a run or a point without a started pod.
fn nothing_yet(run: &Run, point: Option<u64>, app: &App, target: &Target, namespace: &Namespace) -> Fail {
    let name = &run.name;
    let what = point.map_or(format!("the run `{name}`"), |point| format!("the point {point} of `{name}`"));
    let inquiry = Inquiry { cluster: target.cluster(app), namespace };
    let is_over = run.phase.is_final();
    let why = if is_over { inquiry.failed_of(run) } else { inquiry.waits_for(run) };
    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let error = if is_over && run.pods.is_empty() {
        fail(format!("{what} has ended, and its pods with its logs are gone"))
    } else if is_over {
        run.hint.iter().fold(fail(format!("{what} has printed nothing{why}")), Fail::hint)
    } else if point.is_some() {
        fail(format!("{what} has printed nothing yet"))
    } else {
        fail(format!("{what} has printed nothing yet: it is {}{why}", run.phase.as_str().to_lowercase()))
    };
    error.hint(format!("see how it stands with `kubectl mrunner status -n {} {name}`", run.namespace))
}

/// Follows the pod of one point until its container has ended.
fn follow_one(run: &Run, pod: Pod, lookup: &Lookup) -> Result<()> {
    let name = pod.name();
    let (cluster, namespace) = (lookup.cluster, namespace_of(run)?);
    let mut position = Position::default();
    let (mut follow, mut latest) = (true, None);
    let mut retry = Retry::new(cluster.shell, LOG);
    loop {
        let log = Log { namespace: &namespace, pod: name, follow, label: &Label::none() };
        let before = position.passed();
        let reply = logs::pass_on(cluster, log, &mut position, &mut |bytes: &[u8]| cluster.ui.pass_on(bytes))?;
        if reply.succeeded() && !follow {
            break;
        }
        if position.passed() != before {
            retry = Retry::new(cluster.shell, LOG);
        } else if !reply.succeeded() && retry.is_last() {
            reply.ok(&cluster.kubectl.log(&namespace, name, follow, None))?;
            break;
        }
        retry.pause()?;
        latest = lookup.find(&run.name)?;
        let mut pods = latest.iter().flat_map(Run::pods);
        let Some(pod) = pods.find(|pod| pod.name() == name) else { break };
        // the kubelet also ends a stream when it starts a new file
        follow = !container_state(pod).1;
    }
    let read = std::iter::once((name, &position, !follow));
    if let Some(words) = gaps::missing(latest.as_ref().unwrap_or(run), read) {
        cluster.ui.warn(words);
    }
    Ok(())
}

/// Shows the stored logs of a run; with `follow`, it ends like a followed run.
fn left(archived: ArchivedRun, point: Option<u64>, follow: bool, app: &App) -> Result<()> {
    archived.logs(point, app)?;
    if let Some(unread) = archived.unread {
        return Err(unread.into());
    }
    let run = &archived.run;
    if !follow || run.phase == Phase::Succeeded {
        return Ok(());
    }
    let why = run.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    Err(fail(format!("the run `{}` failed{why}", run.name)).exit(Exit::Experiment).into())
}
