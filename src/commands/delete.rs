//! `delete`: removes runs from the cluster. What they left in the storage stays.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::commands::lookup;
use crate::error::{Fail, usage};
use crate::journal;
use crate::names::{Namespace, RunName};
use crate::objects::{RUN, tag_label};
use crate::target::Target;
use crate::tools::kubectl;
use crate::watch::state::Run;

/// The arguments of `delete`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner delete train-3f9k2m1a")]
pub struct DeleteArgs {
    /// The runs
    #[arg(value_name = "RUN")]
    runs: Vec<String>,
    /// All runs with this tag; repeated: with all of them
    #[arg(long, value_name = "TAG", conflicts_with = "runs")]
    tag: Vec<String>,
    /// All runs of the namespace, or of the project
    #[arg(long, conflicts_with_all = ["runs", "tag"])]
    all: bool,
    /// The project whose runs are meant, with --tag or --all
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

/// Deletes.
pub fn exec(args: &DeleteArgs, app: &App) -> Result<()> {
    if args.runs.is_empty() && args.tag.is_empty() && !args.all {
        return Err(usage("no run is named").hint("name one, or say `--tag TAG` or `--all`").into());
    }
    let mut target = Target::resolve(app)?;
    if let (Some(project), None) = (&args.project, &target.namespace) {
        target.namespace = Some(Namespace::of_project(project));
    }
    if args.all && target.namespace.is_none() {
        return Err(usage("`--all` of which project?").hint("say it with `--project NAME` or `-n NAMESPACE`").into());
    }
    let forgotten = forget(args, app)?;
    let lookup = lookup(app, &target)?;
    let found = if args.runs.is_empty() {
        let tags = args.tag.iter().map(|tag| tag_label(tag));
        lookup.runs(&std::iter::once(RUN.to_owned()).chain(tags).collect::<Vec<_>>().join(","))?
    } else {
        let mut found = Vec::new();
        for name in &args.runs {
            match lookup.find(name)? {
                Some(run) => found.push(run),
                None if forgotten.contains(name) => {}
                None => found.push(lookup.run(name)?),
            }
        }
        found
    };
    let mut by_namespace: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &found {
        by_namespace.entry(&run.namespace).or_default().push(run);
    }
    for (namespace, runs) in by_namespace {
        let Some(namespace) = Namespace::given(namespace) else { continue };
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        let cmd = target.kubectl.delete_jobs(&namespace, &names);
        let reply = app.shell.run(&cmd)?;
        if !reply.succeeded() {
            let mut error: Fail = reply.failure(&cmd);
            error.hints.extend(kubectl::hint(&target.kubectl, &reply.stderr));
            return Err(error.into());
        }
        for name in names {
            app.ui.answer(format!("job.batch/{name} deleted"))?;
        }
    }
    if found.is_empty() && forgotten.is_empty() {
        app.ui.say("no runs found");
    } else if !found.is_empty() {
        app.ui.say("what they left in the storage stays");
    }
    Ok(())
}

/// Forgets runs whose submission was cut off.
fn forget(args: &DeleteArgs, app: &App) -> Result<Vec<String>> {
    let mut forgotten = Vec::new();
    for name in &args.runs {
        let Some(run) = RunName::given(name) else { continue };
        if journal::forget(&app.places.state, &run)? {
            app.ui.say(format!("the unfinished submission of `{name}` is given up"));
            forgotten.push(name.clone());
        }
    }
    Ok(forgotten)
}
