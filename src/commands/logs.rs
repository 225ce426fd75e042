//! `logs`: what a run prints.

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::commands::{lookup, tell_unfinished};
use crate::error::fail;
use crate::names::Namespace;
use crate::target::Target;
use crate::watch::follow::{Follower, container_state};
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
}

/// Shows them.
pub fn exec(args: &LogsArgs, app: &App) -> Result<()> {
    tell_unfinished(app);
    let target = Target::resolve(app)?;
    let run = lookup(app, &target)?.run(&args.run)?;
    let namespace = Namespace::given(&run.namespace)
        .ok_or_else(|| fail(format!("the cluster names a namespace `{}` that can't be", run.namespace)))?;
    if args.follow {
        return Follower::new(&app.ui, &app.shell, &target.kubectl, &namespace, &run.name, true).until_end();
    }
    let begun = |pod: &&serde_json::Value| container_state(pod) != (false, false);
    let pods: Vec<_> = run.pods.iter().filter(begun).collect();
    if pods.is_empty() {
        let name = &run.name;
        return Err(match (run.phase, &run.why) {
            (Phase::Succeeded | Phase::Failed, _) => {
                fail(format!("the run `{name}` has ended, and its pods with its logs are gone"))
            }
            (phase, None) => fail(format!("the run `{name}` has printed nothing yet: it is {}", phase.as_str())),
            (phase, Some(why)) => {
                fail(format!("the run `{name}` has printed nothing yet: it is {}: {why}", phase.as_str()))
            }
        }
        .hint(format!("see how it stands with `kubectl mrunner status -n {} {name}`", run.namespace))
        .into());
    }
    for pod in pods {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let mut position = Position::default();
        let reply = logs::pass_on(&app.shell, &target.kubectl, &namespace, name, &mut position, false, |text| {
            app.ui.pass_on(&[text, b"\n"].concat())
        })?;
        reply.ok(&target.kubectl.logs(&namespace, name, crate::objects::job::CONTAINER, false, None))?;
    }
    Ok(())
}
