//! A plan shown, saved or checked instead of carried out.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::disk;
use crate::error::fail;
use crate::facts::{Facts, Snapshot};
use crate::image::key::send;
use crate::names::Namespace;
use crate::objects::pretty;
use crate::plan::{Plan, PlannedImage};
use crate::request::SweepRequest;
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::kubectl::{self, Scope};
use crate::ui::{Table, Ui, clean, line};

/// How many points a person is shown.
const SHOWN: usize = 100;

/// Of files that hold no secret, for the umask to narrow.
const MODE: u32 = 0o666;

/// Stands where the Job's uid will, which the cluster gives it.
const UID: &str = "UID-OF-THE-JOB";

/// The variable that holds it in a script.
const SHELL_UID: &str = "$uid";

/// The commands of a plan, in order.
fn commands(plan: &Plan, metadata: &Path) -> Vec<Cmd> {
    let image = plan.login.as_ref().map(|login| login.cmd(None)).into_iter();
    let image = image.chain(plan.build(metadata, false)).chain(plan.load());
    let storage = plan.storage.commands(&plan.kubectl, &plan.namespace).into_iter().map(|(_, cmd)| cmd);
    let objects = plan.make_namespace().into_iter().chain(storage).chain(plan.make_pull_secret(None));
    let owned = plan.make_points(UID).into_iter().chain(plan.make_secret_env(SHELL_UID, None));
    image.chain(objects).chain([plan.submit()]).chain(owned).chain(plan.release()).collect()
}

/// Prints every command and every document: a YAML stream of the manifests, in which the commands,
/// the Dockerfile and the points of a sweep are comments.
pub fn print(ui: &Ui, plan: &Plan, sweep: Option<&SweepRequest>) -> Result<()> {
    let mut text = sweep.map(points).unwrap_or_default();
    if let PlannedImage::ToBuild(build) = &plan.image {
        text.push_str(&comment("Dockerfile", &build.dockerfile));
    }
    if let Some(probe) = &plan.probe {
        text.push_str(&format!(
            "# before the Job, {} pods of `{}` try the volume; if their nodes do not share it, nothing is submitted\n",
            probe["spec"]["completions"],
            probe["metadata"]["name"].as_str().unwrap_or_default()
        ));
    }
    for cmd in commands(plan, Path::new("metadata.json")) {
        text.push_str(&comment_lines(&format!("$ {cmd}")));
        if let Stdin::Document { text: document, .. } = &cmd.stdin {
            text.push_str("---\n");
            text.push_str(document);
        }
    }
    if matches!(plan.image, PlannedImage::ToBuild(_)) && plan.load().is_none() {
        text.push_str("# the Job that is submitted names the image by the digest that its build tells\n");
    }
    ui.answer(text.trim_end())
}

/// The points as a table of comments, as far as a person reads them.
fn points(sweep: &SweepRequest) -> String {
    let names = sweep.points.names();
    let heading = std::iter::once("POINT").chain(names.iter().copied()).map(line).collect();
    let mut rows: Vec<Vec<String>> = vec![heading];
    for (index, point) in sweep.points.points().take(SHOWN).enumerate() {
        let value =
            |name: &&str| point.iter().find(|(known, _)| known == name).map_or("-".to_owned(), |(_, v)| line(&v.text));
        rows.push(std::iter::once(index.to_string()).chain(names.iter().map(value)).collect());
    }
    let more = sweep.points.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("... and {more} more") } else { String::new() };
    let points = if sweep.points.len() == 1 { "point" } else { "points" };
    comment(
        &format!("{} {points}, {} at a time", sweep.points.len(), sweep.parallel),
        &(Table::default().lines(&rows, None) + "\n" + &more),
    )
}

fn comment_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    format!("# {}\n", lines.join("\n# "))
}

fn comment(heading: &str, text: &str) -> String {
    let lines: String = text.lines().map(|line| format!("#   {}", clean(line)).trim_end().to_owned() + "\n").collect();
    format!("# {heading}\n{lines}")
}

/// Saves Dockerfile, build context, manifests, and a script that does by hand what the plan says.
pub fn save(folder: &Path, plan: &Plan, snapshot: Option<&Snapshot>) -> Result<()> {
    let cannot = || format!("failed to save the run in `{}`", folder.display());
    if folder.join("run.sh").symlink_metadata().is_ok() {
        return Err(fail(format!("`{}` holds a saved run already", folder.display()))
            .hint("name another folder with `--out FOLDER`")
            .into());
    }
    fs_err::create_dir_all(folder).with_context(cannot)?;
    // the folder may come from somebody else, who may have put links there
    let put = |name: &str, text: &str| disk::put(&folder.join(name), text.as_bytes(), MODE).with_context(cannot);
    if let (PlannedImage::ToBuild(build), Some(snapshot)) = (&plan.image, snapshot) {
        put("Dockerfile", &build.dockerfile)?;
        let file = disk::empty_own_file(&folder.join("context.tar"), MODE).with_context(cannot)?;
        let mut out = std::io::BufWriter::new(file);
        send(&snapshot.context, &|entry| snapshot.open(entry), &snapshot.key, &mut out).with_context(cannot)?;
        out.flush().with_context(cannot)?;
    }
    for cmd in commands(plan, Path::new("metadata.json")) {
        if let Stdin::Document { name, text } = &cmd.stdin {
            put(name, text)?;
        }
    }
    put("run.sh", &script(plan))
}

/// The script: the commands as they are typed, with the digest put into the Job.
fn script(plan: &Plan) -> String {
    let mut lines = vec![
        "#!/bin/sh".to_owned(),
        format!("# submits the run {}; written by kubectl-mrunner {}", plan.run, env!("CARGO_PKG_VERSION")),
        "set -eu".to_owned(),
        "cd \"$(dirname \"$0\")\"".to_owned(),
    ];
    // what is missing within a document would be taken for empty
    lines.extend(plan.variables().iter().map(|name| format!(": \"${{{name}?holds a secret of this run: set it}}\"")));
    for cmd in commands(plan, Path::new("metadata.json")) {
        lines.push(format!("\n# {}", cmd.why.replace(char::is_control, " ")));
        let line = cmd.script_line();
        if is_owned(&line) && !lines.iter().any(|line| line.starts_with("uid=")) {
            let get = plan.kubectl.cmd(Scope::In(&plan.namespace), "").args(["get", "job", plan.run.as_str()]);
            lines.push(format!("uid=$({} -o jsonpath='{{.metadata.uid}}')", get.script_line()));
        }
        if let Some(put) = line.strip_suffix(" < points.json") {
            lines.push(format!("sed \"s/{UID}/$uid/\" points.json | {put}"));
            continue;
        }
        // a person wants the name of what was made, and not all of it
        let Some(submit) = line.strip_suffix(" -o json < job.json").map(|line| format!("{line} -o name")) else {
            lines.push(line);
            continue;
        };
        let (PlannedImage::ToBuild(build), None) = (&plan.image, plan.load()) else {
            lines.push(format!("{submit} < job.json"));
            continue;
        };
        // the references hold nothing that sed or the shell would take for its own: they were checked
        // against the grammar of image references
        lines.push(
            r#"digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' metadata.json)"#
                .to_owned(),
        );
        lines.push(r#"[ -n "$digest" ] || { echo "error: docker told no digest" >&2; exit 1; }"#.to_owned());
        lines.push(format!(r#"sed "s|{}|{}@$digest|" job.json | {submit}"#, build.tags[0], build.repository));
    }
    lines.push(format!(r#"echo "next: kubectl mrunner logs -f -n {} {}" >&2"#, plan.namespace, plan.run));
    lines.join("\n") + "\n"
}

/// Whether a command makes what the Job owns.
fn is_owned(line: &str) -> bool {
    line.ends_with(" < points.json") || line.contains(SHELL_UID)
}

/// Has the API server check what would be made.
pub fn check_on_server(facts: &Facts, plan: &Plan, namespace_missing: bool) -> Result<()> {
    let default = Namespace::of_project("default");
    let place = if namespace_missing { &default } else { &plan.namespace };
    if namespace_missing {
        facts.ui.say(format!(
            "the namespace `{}` does not exist yet: claim and Job are checked as if for `default`",
            plan.namespace
        ));
    }
    let mut job = plan.final_job();
    job["metadata"]["namespace"] = place.as_str().into();
    let mut claim = plan.storage.claim.clone();
    if let Some(claim) = &mut claim {
        claim["metadata"]["namespace"] = place.as_str().into();
    }
    let documents = [
        ("namespace", plan.new_namespace.clone()),
        ("volume", plan.storage.volume.clone()),
        ("claim", claim),
        ("job", Some(job)),
    ];
    for (what, document) in documents {
        let Some(document) = document else { continue };
        let why = format!("have the API server check the {what}");
        let cmd = plan.kubectl.create(place, &format!("{what}.json"), &pretty(&document), why).arg("--dry-run=server");
        let reply = facts.shell.read(&cmd)?;
        if kubectl::no_dry_run(&reply.stderr) {
            let words = kubectl::in_one_line(&reply.stderr);
            facts.ui.warn(format!("the API server can't check the {what} without creating it: {words}"));
            continue;
        }
        if !reply.succeeded() {
            return Err(facts.kubectl.failure(&reply, &cmd).into());
        }
        for line in reply.stderr.lines() {
            facts.ui.warn(line.strip_prefix("Warning: ").unwrap_or(line));
        }
        facts.ui.tell("checked", format!("the API server would take the {what}"));
    }
    Ok(())
}
