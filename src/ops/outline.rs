//! Shows, saves or checks a plan instead of carrying it out.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::image::key::send;
use crate::k8s::manifests::{in_namespace, pretty};
use crate::k8s::names::Namespace;
use crate::ops::facts::Snapshot;
use crate::plan::{Plan, PlannedImage};
use crate::tools::cluster::Cluster;
use crate::tools::kubectl;
use crate::util::error::fail;
use crate::util::files;

/// The mode of files without secrets; the umask narrows it.
const MODE: u32 = 0o666;

/// Saves Dockerfile, build context, manifests, and a script that carries out the plan.
pub fn save(folder: &Path, plan: &Plan, snapshot: Option<&Snapshot>) -> Result<()> {
    let cannot = || format!("failed to save the run in `{}`", folder.display());
    if folder.join("run.sh").symlink_metadata().is_ok() {
        return Err(fail(format!("`{}` holds a saved run already", folder.display()))
            .hint("name another folder with `--out FOLDER`")
            .into());
    }
    fs_err::create_dir_all(folder).with_context(cannot)?;
    // the folder may be from someone else, who may have put links there
    let put = |name: &str, text: &str| files::put(&folder.join(name), text.as_bytes(), MODE).with_context(cannot);
    if let (PlannedImage::ToBuild(build), Some(snapshot)) = (&plan.image, snapshot) {
        put("Dockerfile", &build.dockerfile)?;
        let file = files::empty_own_file(&folder.join("context.tar"), MODE).with_context(cannot)?;
        let mut out = std::io::BufWriter::new(file);
        send(&snapshot.context, &|entry| snapshot.open(entry), &snapshot.key, &mut out).with_context(cannot)?;
        out.flush().with_context(cannot)?;
    }
    for (name, text) in plan.documents() {
        put(&name, &text)?;
    }
    put("run.sh", &plan.script())
}

/// Lets the API server check the manifests.
pub fn check_on_server(cluster: Cluster, plan: &Plan) -> Result<()> {
    let default = Namespace::of_project("default");
    let namespace_missing = plan.new_namespace.is_some();
    let place = if namespace_missing { &default } else { &plan.namespace };
    if namespace_missing {
        cluster.ui.say(format!(
            "the namespace `{}` does not exist yet: claim and Job are checked as if for `default`",
            plan.namespace
        ));
    }
    let claim = plan.storage.claim.clone().map(|claim| in_namespace(claim, place));
    let documents = [
        ("namespace", plan.new_namespace.clone()),
        ("volume", plan.storage.volume.clone()),
        ("claim", claim),
        ("job", Some(in_namespace(plan.final_job(), place))),
    ];
    for (what, document) in documents {
        let Some(document) = document else { continue };
        let why = format!("have the API server check the {what}");
        let cmd = plan.kubectl.create(place, &format!("{what}.json"), &pretty(&document), why).arg("--dry-run=server");
        let reply = cluster.shell.read(&cmd)?;
        if kubectl::no_dry_run(&reply.stderr) {
            let words = kubectl::in_one_line(&reply.stderr);
            cluster.ui.warn(format!("the API server can't check the {what} without creating it: {words}"));
            continue;
        }
        if !reply.succeeded() {
            return Err(cluster.kubectl.failure(&reply, &cmd).into());
        }
        for line in reply.stderr.lines() {
            cluster.ui.warn(line.strip_prefix("Warning: ").unwrap_or(line));
        }
        cluster.ui.tell("checked", format!("the API server would take the {what}"));
    }
    Ok(())
}
