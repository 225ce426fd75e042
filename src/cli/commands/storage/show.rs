//! `storage show`: which storage a project has, and why.

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::place::{Project, ProjectArgs, text};
use crate::app::App;
use crate::cli::commands::checks::Format;
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

/// Shows it.
pub fn exec(args: &ShowArgs, app: &App) -> Result<()> {
    let project = Project::find(app, args.project.project.clone(), None)?;
    let document = describe(&project)?;
    match args.output {
        Format::Json => app.ui.answer(serde_json::to_string_pretty(&document)?),
        Format::Yaml => app.ui.answer(serde_yaml::to_string(&document)?.trim_end()),
        Format::Table => {
            let rows: Vec<Vec<String>> = document
                .as_object()
                .into_iter()
                .flatten()
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

fn describe(project: &Project) -> Result<Value> {
    let request = &project.request;
    let standing = project.standing()?;
    let mut document = json!({
        "project": request.project,
        "namespace": request.namespace.as_str(),
        "claim": request.storage.claim.as_str(),
        "mounted": request.storage.mount,
    });
    let Some(claim) = &standing.claim else {
        let found = answers(project.cluster(), request).settle(project.cluster())?;
        let choice = found.choice.map(|choice| choice.why).unwrap_or_default();
        document["state"] = "not there yet".into();
        document["why"] = format!("the first run would make it: {choice}").into();
        return Ok(document);
    };
    document["state"] = match &claim["metadata"]["deletionTimestamp"] {
        Value::Null => text(&claim["status"]["phase"]).into(),
        _ => "Terminating".into(),
    };
    document["why"] = why(project, claim).into();
    document["class"] = claim["spec"]["storageClassName"].as_str().filter(|class| !class.is_empty()).into();
    document["modes"] = claim["spec"]["accessModes"].clone();
    let capacity = &claim["status"]["capacity"]["storage"];
    document["size"] =
        if capacity.is_null() { &claim["spec"]["resources"]["requests"]["storage"] } else { capacity }.clone();
    document["volume"] = claim["spec"]["volumeName"].clone();
    if let Some(volume) = &standing.volume {
        document["on"] = origin(&volume["spec"]).into();
        document["reclaim"] = volume["spec"]["persistentVolumeReclaimPolicy"].clone();
    }
    if let Some(proof) = proof(project.cluster(), &request.namespace, claim) {
        let nodes = proof.nodes.join(", ");
        let what =
            if proof.shared { "each sees what the other writes" } else { "they do not see what the other writes" };
        document["tried"] = format!("{}, on {nodes}: {what}", proof.time).into();
    }
    Ok(document)
}

fn why(project: &Project, claim: &Value) -> String {
    if project.request.storage.given {
        return "the context, or a flag, names this claim".to_owned();
    }
    match claim["metadata"]["annotations"][crate::k8s::manifests::RAW_PROJECT].as_str() {
        Some(owner) => format!("it is the claim of the project `{owner}`"),
        None => "it has the name of the project's claim".to_owned(),
    }
}

/// What a volume is on: an NFS server with its folder, a driver, or another kind.
fn origin(spec: &Value) -> String {
    if let (Some(server), Some(path)) = (spec["nfs"]["server"].as_str(), spec["nfs"]["path"].as_str()) {
        return format!("NFS server {server}, folder {path}");
    }
    if let Some(driver) = spec["csi"]["driver"].as_str() {
        return format!("driver {driver}");
    }
    ["hostPath", "local"]
        .iter()
        .find_map(|kind| Some(format!("{kind} {}", spec[*kind]["path"].as_str()?)))
        .unwrap_or_else(|| "an unknown kind of volume".to_owned())
}
