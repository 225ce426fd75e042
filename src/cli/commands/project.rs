//! `project`: `project delete` deletes a project's runs, and its data only with `--delete-data` and a confirmation.

mod deletion;

use std::time::Duration;

use anyhow::Result;
use clap::{Args, Subcommand};

use self::deletion::ProjectDeletion;
use crate::app::App;
use crate::cli::commands::storage::place::Project;
use crate::k8s::namespace::NamespaceObject;
use crate::runs::run_name_cache;
use crate::tools::shell::was_interrupted;
use crate::util::error::{fail, flatten, usage};
use crate::util::ui::line;

/// How often to check whether an object is gone, and how many times: two minutes in total.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
const LOOKS: u32 = 120;

/// The arguments of `project`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner project delete vision")]
pub struct ProjectArgs {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Delete a project's runs, and its data with --delete-data
    Delete(DeleteArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner project delete vision\n  kubectl mrunner project delete vision --delete-data --confirm vision"
)]
struct DeleteArgs {
    /// Project
    #[arg(value_name = "NAME")]
    name: String,
    /// Delete the storage with all data, and the namespace
    #[arg(long)]
    delete_data: bool,
    /// Project name, to confirm without a terminal
    #[arg(long, value_name = "NAME")]
    confirm: Option<String>,
    /// Image of the helper pod; needs Python 3
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
}

/// Deletes the project.
pub fn exec(args: &ProjectArgs, app: &App) -> Result<()> {
    let Verb::Delete(args) = &args.verb;
    if args.confirm.is_none() && !app.ui.can_ask() {
        return Err(usage("nobody can be asked to type the project's name")
            .hint(format!("say it with `--confirm {}`", crate::tools::cmd::quote(args.name.as_ref())))
            .into());
    }
    let project = Project::find(app, Some(args.name.clone()), None)?;
    let deletion = ProjectDeletion { app, project: &project };
    app.ui.tell("context", format!("{}, namespace {}", project.target.describe(), project.request.namespace));
    let standing = project.standing()?;
    if let Some(owner) = standing.namespace().and_then(NamespaceObject::project)
        && project.request.own_namespace
        && owner != args.name
    {
        return Err(fail(format!(
            "the namespace `{}` belongs to the project `{owner}`, not to `{}`",
            project.request.namespace, args.name
        ))
        .into());
    }
    let runs = deletion.runs()?;
    let what = if runs.len() == 1 { "1 run".to_owned() } else { format!("{} runs", runs.len()) };
    let kept = if args.delete_data { "" } else { ", also the logs and records of it that were kept in the storage" };
    app.ui.tell("runs", format!("{what}, with what they print{kept}"));
    if args.delete_data {
        deletion.may_lose(&standing)?;
        deletion.require_alone()?;
        deletion.tell_data(args, &standing);
    } else {
        app.ui.tell("storage", "stays, with all other data; `--delete-data` would delete it");
    }
    confirm(args, app)?;
    deletion.delete_runs(&runs)?;
    if args.delete_data {
        deletion.delete_data(args, &standing)?;
    } else if standing.claim.is_some() {
        match deletion.delete_kept(args, &runs) {
            Err(error) if !was_interrupted(&error) => app.ui.warn(format!(
                "the logs and records that were kept in the storage may still be there: {}",
                flatten(&error).message
            )),
            other => other?,
        }
    }
    run_name_cache::note(&app.places.cache, [], |seen| {
        seen.namespace == project.request.namespace.as_str() && seen.project == args.name
    });
    app.ui.answer(format!("project {} deleted", args.name))
}

fn confirm(args: &DeleteArgs, app: &App) -> Result<()> {
    let typed = match &args.confirm {
        Some(name) => Some(name.clone()),
        None => app.ui.ask("type the project's name to delete all this for good", ""),
    };
    match typed {
        Some(typed) if typed == args.name => Ok(()),
        Some(typed) if !typed.is_empty() => Err(fail(format!(
            "nothing was deleted: `{}` is not the name of the project, `{}`",
            line(&typed),
            args.name
        ))
        .into()),
        _ => Err(fail("nothing was deleted").into()),
    }
}
