//! `storage check`: checks a project's storage, and suggests fixes.

use anyhow::Result;
use clap::Args;

use super::place::{Project, ProjectArgs};
use crate::app::App;
use crate::cli::commands::checks::{self, Check, CheckState, Format, check, failed};
use crate::k8s::claim::{Claim, ClaimPhase};
use crate::k8s::node::Node;
use crate::k8s::volume::Volume;
use crate::ops::facts::storage::{self, ProjectObjects, answers};
use crate::ops::locate_volume::image_for;
use crate::ops::storage_probe::{ProbeJob, ProbeResult, run_probe};
use crate::plan::probe_of;
use crate::storage::check as look;
use crate::storage::proof::Proof;
use crate::tools::cmd::quote;
use crate::tools::kubectl::Scope;

/// The arguments of `storage check`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner storage check --project vision --probe")]
pub struct CheckArgs {
    #[command(flatten)]
    project: ProjectArgs,
    /// Test the volume from two nodes again
    #[arg(long)]
    probe: bool,
    /// Image of the test pods; needs a shell
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Checks.
pub fn exec(args: &CheckArgs, app: &App) -> Result<()> {
    let project = Project::find(app, args.project.project.clone(), None)?;
    let checks = match project.standing() {
        Ok(standing) => of(args, &project, &standing),
        Err(error) => vec![failed("claim", &error)],
    };
    checks::answer(&checks, args.output, app)
}

fn of(args: &CheckArgs, project: &Project, standing: &ProjectObjects) -> Vec<Check> {
    let request = &project.request;
    let Some(claim) = standing.claim() else {
        return vec![match answers(project.cluster(), request).settle(project.cluster()) {
            Ok(answers) => {
                let why = answers.choice.map(|choice| choice.why).unwrap_or_default();
                check(
                    "claim",
                    CheckState::Ok,
                    format!("`{}` is not there yet; the first run makes it: {why}", request.storage.claim),
                )
                .hint(format!(
                    "make it now with `kubectl mrunner storage setup --project {}`",
                    quote(request.project.as_ref())
                ))
            }
            Err(error) => failed("claim", &error),
        }];
    };
    let typed = project.target.kubectl.cmd(Scope::In(&request.namespace), "").to_string();
    let usable = match look::claim(claim, project.owner(), &typed) {
        Ok(usable) => usable,
        Err(error) => return vec![failed("claim", &error.into())],
    };
    let phase = claim.phase().map_or("", ClaimPhase::as_str);
    let words = format!("`{}`, {}, {phase}", request.storage.claim, claim.modes());
    let mut checks = vec![check("claim", CheckState::Ok, words)];
    checks.extend(volume(project, claim, standing.volume()));
    checks.push(size(project, claim));
    let shared = usable == look::Usable::Anywhere;
    checks.push(proof(args, project, claim, shared));
    checks
}

fn volume(project: &Project, claim: Claim, volume: Option<Volume>) -> Vec<Check> {
    let typed = project.target.kubectl.cmd(Scope::Everywhere, "").to_string();
    let Some(name) = claim.volume() else {
        return vec![check("volume", CheckState::Warning, "it has none yet; some classes make it for the first pod")];
    };
    let Some(volume) = volume else {
        return vec![
            check("volume", CheckState::Warning, format!("`{name}`; you may not look at it, or it is gone"))
                .hint(format!("have an administrator look: `{typed} get pv {name} -o yaml`")),
        ];
    };
    if let Err(error) = look::volume(claim, volume, &typed) {
        return vec![failed("volume", &error.into())];
    }
    let mut checks = vec![check("volume", CheckState::Ok, format!("`{name}`, bound to this claim"))];
    if volume.is_being_deleted() {
        checks.push(
            check("volume", CheckState::Warning, format!("`{name}` is being deleted, and goes with its claim"))
                .hint("copy the data away with `kubectl mrunner download PROJECT:`"),
        );
    }
    checks.push(if volume.is_retained() {
        check("reclaim", CheckState::Ok, "the volume outlives its claim (Retain)")
    } else {
        let patch = r#"{"spec":{"persistentVolumeReclaimPolicy":"Retain"}}"#;
        check("reclaim", CheckState::Warning, "the volume goes with its claim, and the data with it (Delete)")
            .hint(format!("keep it with `{typed} patch pv {name} -p '{patch}'`"))
    });
    checks
}

fn size(project: &Project, claim: Claim) -> Check {
    let storage = &project.request.storage;
    let asked = claim.requested().unwrap_or_default();
    if !storage.size_is_given || storage.given || !claim.is_smaller(&storage.size) {
        return check("size", CheckState::Ok, asked);
    }
    check("size", CheckState::Warning, format!("{asked}, and the context says `default_pvc_size: {}`", storage.size))
        .hint("the next run grows it, if its class lets claims grow")
}

/// Whether the nodes share the volume: from the stored result, or tested now.
fn proof(args: &CheckArgs, project: &Project, claim: Claim, shared: bool) -> Check {
    let cluster = project.cluster();
    let request = &project.request;
    let known = storage::proof(cluster, &request.namespace, claim);
    let nodes = match cluster.nodes() {
        Ok(nodes) => nodes,
        Err(error) => return failed("shared", &error),
    };
    let all = nodes.iter().flatten().map(Node::of);
    let names: Vec<&str> = all.filter(|node| node.is_schedulable()).map(|node| node.name()).collect();
    let gone = |proof: &Proof| nodes.is_some() && proof.nodes.iter().any(|node| !names.contains(&node.as_str()));
    // a stored result "not shared" is always tested again: it may be wrong
    if let Some(proof) = known.filter(|proof| !args.probe && proof.shared && !gone(proof)) {
        return told(project, claim, &proof);
    }
    let pods = if shared && names.len() != 1 && !request.storage.pinned { 2 } else { 1 };
    let image = args.image.clone().unwrap_or_else(|| image_for(request, Some(claim), project.app, &project.target));
    let secret = request.image_pull_secret.as_deref();
    let probe = probe_of(request, secret, pods).with_image(&image);
    let probe_job = ProbeJob { probe: &probe, namespace: &request.namespace, claim: &request.storage.claim };
    match run_probe(cluster, &probe_job) {
        Ok(ProbeResult::Proved(proof) | ProbeResult::Split(proof, _)) => told(project, claim, &proof),
        Ok(ProbeResult::Unknown(why)) => {
            let check = check("shared", CheckState::Warning, format!("nobody knows: {}", why.words));
            let image = "name another image for the pods that try it with `--image IMAGE`".to_owned();
            match if why.is_image { Some(image) } else { why.hint } {
                Some(hint) => check.hint(hint),
                None => check,
            }
        }
        Err(error) => failed("shared", &error),
    }
}

fn told(project: &Project, claim: Claim, proof: &Proof) -> Check {
    let nodes: Vec<String> = proof.nodes.iter().map(|node| format!("`{node}`")).collect();
    let nodes = nodes.join(" and ");
    if proof.shared {
        let one = proof.nodes.len() < 2;
        let what = if one { "it can be written to" } else { "each sees what the other writes" };
        return check("shared", CheckState::Ok, format!("{what}: {nodes}, {}", proof.time));
    }
    let request = &project.request;
    failed("shared", &storage::not_shared(claim, &proof.nodes, &request.project, &request.namespace).into())
}
