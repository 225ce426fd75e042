//! `delete`: deletes runs from the cluster. Data in the storage are kept.

use std::collections::BTreeMap;

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::app::target::Target;
use crate::k8s::manifests::{RUN, tag_label};
use crate::k8s::names::{Namespace, RunName};
use crate::ops::journal::{self, Journal};
use crate::ops::run_ref::{lookup, run_name};
use crate::runs::run_name_cache;
use crate::runs::state::Run;
use crate::tools::kubectl::Kubectl;
use crate::util::error::{fail, usage};

/// The arguments of `delete`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner delete train-3f9k2m1a")]
pub struct DeleteArgs {
    /// Runs
    #[arg(value_name = "RUN")]
    runs: Vec<String>,
    /// Delete the runs with this tag; can be repeated
    #[arg(long, alias = "tags", value_name = "TAG", conflicts_with = "runs")]
    tag: Vec<String>,
    /// Delete all runs of the namespace or project
    #[arg(long, conflicts_with_all = ["runs", "tag"])]
    all: bool,
    /// Project, for --tag and --all
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
}

/// Deletes runs.
pub fn exec(args: &DeleteArgs, app: &App) -> Result<()> {
    if args.runs.is_empty() && args.tag.is_empty() && !args.all {
        return Err(usage("no run is named")
            .hint("name one, or say `--tag TAG` or `--all` with `--project NAME`")
            .into());
    }
    let mut target = Target::resolve(app)?;
    if let (Some(project), None) = (&args.project, &target.namespace) {
        target.namespace = Some(Namespace::of_project(project));
    }
    if args.runs.is_empty() && target.namespace.is_none() {
        let flag = if args.all { "--all" } else { "--tag" };
        return Err(usage(format!("`{flag}` of which project?"))
            .hint("say it with `--project NAME` or `-n NAMESPACE`")
            .into());
    }
    let lookup = lookup(app, &target)?;
    let found = if args.runs.is_empty() {
        let tags = args.tag.iter().map(|tag| tag_label(tag));
        lookup.runs(&std::iter::once(RUN.to_owned()).chain(tags).collect::<Vec<_>>().join(","))?
    } else {
        let holds = |name: &str| RunName::given(name).is_some_and(|run| journal::holds(&app.places.state, &run));
        let mut found = Vec::new();
        for name in args.runs.iter().map(|word| run_name(word)) {
            match lookup.find(name)? {
                Some(run) => found.push(run),
                None if holds(name) => {}
                None => found.push(lookup.run(name).map_err(|error| fail("nothing was deleted").because(&error))?),
            }
        }
        found
    };
    let given_up = give_up(args, app)?;
    let mut by_namespace: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in &found {
        by_namespace.entry(&run.namespace).or_default().push(run);
    }
    for (namespace, runs) in by_namespace {
        let Some(namespace) = Namespace::given(namespace) else { continue };
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        delete(app, &target.kubectl, &namespace, &names)?;
        run_name_cache::note(&app.places.cache, [], |seen| {
            seen.namespace == namespace.as_str() && names.contains(&seen.run.as_str())
        });
        for name in names {
            app.ui.answer(format!("job.batch/{name} deleted from {namespace}"))?;
        }
    }
    if found.is_empty() && given_up.is_empty() {
        app.ui.say("no runs found");
    } else if !found.is_empty() {
        app.ui.say("what they left in the storage stays");
    }
    Ok(())
}

/// Deletes unfinished submissions, with the Jobs that they created, in the cluster to which they were submitted.
fn give_up(args: &DeleteArgs, app: &App) -> Result<Vec<String>> {
    let mut given_up = Vec::new();
    for name in args.runs.iter().map(|word| run_name(word)) {
        let Some(run) = RunName::given(name).filter(|run| journal::holds(&app.places.state, run)) else { continue };
        if journal::forget_unreadable(&app.places.state, &run)? {
            app.ui.warn(format!("the journal of `{name}` can't be read; if a Job came of it, it is still there"));
        } else {
            let (journal, plan) = Journal::take_up(&app.places.state, name)?;
            delete(app, &plan.kubectl, &plan.namespace, &[name])?;
            journal.close()?;
        }
        app.ui.say(format!("the unfinished submission of `{name}` is given up"));
        given_up.push(name.to_owned());
    }
    Ok(given_up)
}

fn delete(app: &App, kubectl: &Kubectl, namespace: &Namespace, names: &[&str]) -> Result<()> {
    let cmd = kubectl.delete_jobs(namespace, names);
    let reply = app.shell.run(&cmd)?;
    if reply.succeeded() {
        return Ok(());
    }
    Err(kubectl.failure(&reply, &cmd).into())
}
