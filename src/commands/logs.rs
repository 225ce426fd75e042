//! `logs`: what a run prints.

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::commands::kept::{self, Gone};
use crate::commands::place::PlaceArgs;
use crate::commands::{goes_on, lookup, run_name, tell_unfinished};
use crate::error::{Exit, fail};
use crate::names::Namespace;
use crate::target::Target;
use crate::watch::follow::{Follower, container_state};
use crate::watch::inquiry::Inquiry;
use crate::watch::logs::{self, Position};
use crate::watch::state::Phase;

/// The arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner logs -f train-3f9k2m1a")]
pub struct LogsArgs {
    /// The run
    #[arg(value_name = "RUN")]
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
    let name = run_name(&args.run);
    let lookup = lookup(app, &target)?;
    let Some(run) = lookup.find(name)? else {
        let gone = kept::require(name, &args.place, app, &target, || lookup.unknown(name))?;
        return left(&gone, args.follow, app);
    };
    let namespace = Namespace::given(&run.namespace)
        .ok_or_else(|| fail(format!("the cluster names a namespace `{}` that can't be", run.namespace)))?;
    if args.follow {
        let follower = Follower::new(&app.ui, &app.shell, &target.kubectl, &namespace, &run.name, true);
        return follower.until_end().map_err(|error| goes_on(error, app, &target, &run.namespace, &run.name));
    }
    let begun = |pod: &&serde_json::Value| container_state(pod) != (false, false);
    let pods: Vec<_> = run.pods.iter().filter(begun).collect();
    if pods.is_empty() {
        let name = &run.name;
        let inquiry = Inquiry { shell: &app.shell, kubectl: &target.kubectl, namespace: &namespace };
        let why = run.why.clone().or_else(|| inquiry.events_say(&run).map(|why| why.words));
        let why = why.map_or(String::new(), |why| format!(": {why}"));
        if run.phase.is_final()
            && let Ok(Some(gone)) = kept::find(name, &args.place, app, &target)
        {
            return left(&gone, false, app);
        }
        return Err(if run.phase.is_final() {
            fail(format!("the run `{name}` has ended, and its pods with its logs are gone"))
        } else {
            fail(format!("the run `{name}` has printed nothing yet: it is {}{why}", run.phase.as_str().to_lowercase()))
        }
        .hint(format!("see how it stands with `kubectl mrunner status -n {} {name}`", run.namespace))
        .into());
    }
    let attempts = pods.len();
    for (number, pod) in pods.into_iter().enumerate() {
        if attempts > 1 {
            app.ui.tell("attempt", format!("{} of {attempts}", number + 1));
        }
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let mut position = Position::default();
        let reply = logs::pass_on(&app.shell, &target.kubectl, &namespace, name, &mut position, false, |text| {
            app.ui.pass_on(&[text, b"\n"].concat())
        })?;
        reply.ok(&target.kubectl.logs(&namespace, name, crate::objects::job::CONTAINER, false, None))?;
    }
    Ok(())
}

/// Shows what a run left; with `follow`, it ends as if it had been followed to its end.
fn left(gone: &Gone, follow: bool, app: &App) -> Result<()> {
    gone.logs(app)?;
    let run = &gone.run;
    if !follow || run.phase == Phase::Succeeded {
        return Ok(());
    }
    let why = run.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
    Err(fail(format!("the run `{}` failed{why}", run.name)).exit(Exit::Experiment).into())
}
