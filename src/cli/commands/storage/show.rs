//! `storage show`: shows which storage a project has, and why.

use anyhow::Result;
use clap::Args;
use serde_json::{Map, Value};

use super::place::{Project, ProjectArgs};
use crate::app::App;
use crate::cli::commands::checks::Format;
use crate::k8s::claim::{Claim, ClaimPhase};
use crate::k8s::volume::{ReclaimPolicy, Volume};
use crate::ops::facts::storage::{answers, proof};
use crate::util::ui::Table;

/// The arguments of `storage show`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner storage show --project vision")]
pub struct ShowArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Shows the storage.
pub fn exec(args: &ShowArgs, app: &App) -> Result<()> {
    let project = Project::find(app, args.project.project.clone(), None)?;
    let document = describe(&project)?;
    match args.output {
        Format::Json => app.ui.answer(serde_json::to_string_pretty(&document)?),
        Format::Yaml => app.ui.answer(serde_yaml::to_string(&document)?.trim_end()),
        Format::Table => {
            let rows: Vec<Vec<String>> = document
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| vec![key.to_uppercase(), shown(value)])
                .collect();
            app.ui.answer(Table::default().lines(&rows, None))
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(shown).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn describe(project: &Project) -> Result<Map<String, Value>> {
    let request = &project.request;
    let standing = project.standing()?;
    let mut document = Map::new();
    let mut put = |key: &str, value: Value| _ = document.insert(key.to_owned(), value);
    put("project", request.project.as_str().into());
    put("namespace", request.namespace.as_str().into());
    put("claim", request.storage.claim.as_str().into());
    put("mounted", request.storage.mount.as_str().into());
    let Some(claim) = standing.claim() else {
        let found = answers(project.cluster(), request).settle(project.cluster())?;
        let choice = found.choice.map(|choice| choice.why).unwrap_or_default();
        put("state", "not there yet".into());
        put("why", format!("the first run would make it: {choice}").into());
        return Ok(document);
    };
    let phase = claim.phase().map_or("", ClaimPhase::as_str);
    put("state", if claim.is_being_deleted() { "Terminating" } else { phase }.into());
    put("why", why(project, claim).into());
    put("class", claim.class().into());
    put("modes", claim.modes().texts().collect());
    put("size", claim.capacity().or(claim.requested()).into());
    put("volume", claim.volume_text().into());
    if let Some(volume) = standing.volume() {
        put("on", origin(volume).into());
        put("reclaim", volume.reclaim_policy().map(ReclaimPolicy::as_str).into());
    }
    if let Some(proof) = proof(project.cluster(), &request.namespace, claim) {
        let nodes = proof.nodes.join(", ");
        let what =
            if proof.shared { "each sees what the other writes" } else { "they do not see what the other writes" };
        put("tried", format!("{}, on {nodes}: {what}", proof.time).into());
    }
    Ok(document)
}

fn why(project: &Project, claim: Claim) -> String {
    if project.request.storage.given {
        return "the context, or a flag, names this claim".to_owned();
    }
    match claim.project() {
        Some(owner) => format!("it is the claim of the project `{owner}`"),
        None => "it has the name of the project's claim".to_owned(),
    }
}

/// The backend of a volume: an NFS server with its folder, a driver, or another kind.
fn origin(volume: Volume) -> String {
    if let Some(nfs) = volume.nfs() {
        return format!("NFS server {}, folder {}", nfs.server, nfs.path);
    }
    if let Some(driver) = volume.driver() {
        return format!("driver {driver}");
    }
    volume.node_folder().map_or("an unknown kind of volume".to_owned(), |(kind, path)| format!("{kind} {path}"))
}
