//! A plan as text: for people who want to see it, and as a script that does by hand what the plan says.

use crate::plan::{Known, Plan, PlannedImage, Step};
use crate::request::SweepRequest;
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::kubectl::Scope;
use crate::util::ui::{Table, clean, line};

/// How many points a person is shown.
const SHOWN: usize = 100;

/// Stands in a document where the Job's uid will, which the cluster gives it.
const UID: &str = "UID-OF-THE-JOB";

/// The variable that holds it in a script.
const SHELL_UID: &str = "$uid";

/// What a person knows who has the plan alone.
fn placeholders(step: Step) -> Known<'static> {
    // the shell puts the values of secrets in, and what is between them; a file is edited
    let uid = if step == Step::SecretEnv { SHELL_UID } else { UID };
    Known { uid, ..Known::default() }
}

impl Plan {
    /// Every command and every document: a YAML stream of the manifests, in which the commands, the Dockerfile and
    /// the points of a sweep are comments.
    pub fn text(&self, sweep: Option<&SweepRequest>) -> String {
        let mut text = sweep.map(points).unwrap_or_default();
        if let PlannedImage::ToBuild(build) = &self.image {
            text.push_str(&comment("Dockerfile", &build.dockerfile));
        }
        for step in self.steps() {
            if let (Step::TryVolume, Some(probe)) = (step, &self.probe) {
                text.push_str(&format!(
                    "# before the Job, {} pods of `{}` try the volume; if their nodes do not share it, nothing is submitted\n",
                    probe.pods(),
                    probe.name()
                ));
            }
            for cmd in self.commands(step, &placeholders(step)) {
                text.push_str(&comment_lines(&format!("$ {cmd}")));
                if let Stdin::Document { text: document, .. } = &cmd.stdin {
                    text.push_str("---\n");
                    text.push_str(document.trim_end());
                    text.push('\n');
                }
            }
        }
        if matches!(&self.image, PlannedImage::ToBuild(build) if build.load.is_none()) {
            text.push_str("# the Job that is submitted names the image by the digest that its build tells\n");
        }
        text.trim_end().to_owned()
    }

    /// The documents that the script of [`Plan::script`] reads: each file's name and text.
    pub fn documents(&self) -> Vec<(String, String)> {
        let commands = self.steps().into_iter().flat_map(|step| self.commands(step, &placeholders(step)));
        commands
            .filter_map(|cmd| match cmd.stdin {
                Stdin::Document { name, text } => Some((name, text)),
                _ => None,
            })
            .collect()
    }

    /// The script: the commands as they are typed, with the digest put into the Job.
    pub fn script(&self) -> String {
        let mut lines = vec![
            "#!/bin/sh".to_owned(),
            format!("# submits the run {}; written by kubectl-mrunner {}", self.run, env!("CARGO_PKG_VERSION")),
            "set -eu".to_owned(),
            "cd \"$(dirname \"$0\")\"".to_owned(),
        ];
        // what is missing within a document would be taken for empty
        let secrets = self.variables();
        lines.extend(secrets.iter().map(|name| format!(": \"${{{name}?holds a secret of this run: set it}}\"")));
        let mut knows_uid = false;
        for step in self.steps() {
            for cmd in self.commands(step, &placeholders(step)) {
                lines.push(format!("\n# {}", cmd.why.replace(char::is_control, " ")));
                if step.is_owned() && !knows_uid {
                    knows_uid = true;
                    let get = self.kubectl.cmd(Scope::In(&self.namespace), "").args(["get", "job", self.run.as_str()]);
                    lines.push(format!("uid=$({} -o jsonpath='{{.metadata.uid}}')", get.script_line()));
                }
                match step {
                    // a person wants the name of what was made, and not all of it
                    Step::Submit => lines.extend(self.submit_lines(&self.submit_with_output("name"))),
                    // each of several objects, and no value of a point that has the same words
                    Step::Points => {
                        let owner = |uid: &str| format!(r#"\"uid\":\"{uid}\""#);
                        lines.push(edited(&format!("s/{}/{}/g", owner(UID), owner(SHELL_UID)), &cmd));
                    }
                    _ => lines.push(cmd.script_line()),
                }
            }
        }
        lines.push(format!(r#"echo "next: kubectl mrunner logs -f -n {} {}" >&2"#, self.namespace, self.run));
        lines.join("\n") + "\n"
    }

    /// The lines that submit the Job: with the image by its digest, where the script builds it.
    fn submit_lines(&self, cmd: &Cmd) -> Vec<String> {
        let build = match &self.image {
            PlannedImage::ToBuild(build) if build.load.is_none() => build,
            _ => return vec![cmd.script_line()],
        };
        // the references hold nothing that sed or the shell would take for its own: they were checked
        // against the grammar of image references
        vec![
            r#"digest=$(sed -n 's/.*"containerimage.digest": *"\(sha256:[0-9a-f]*\)".*/\1/p' metadata.json)"#
                .to_owned(),
            r#"[ -n "$digest" ] || { echo "error: docker told no digest" >&2; exit 1; }"#.to_owned(),
            edited(&format!("s|{}|{}@$digest|", build.tags[0], build.repository), cmd),
        ]
    }
}

/// A command whose document is edited by sed first.
fn edited(edit: &str, cmd: &Cmd) -> String {
    match &cmd.stdin {
        Stdin::Document { name, .. } => {
            format!("sed \"{edit}\" {name} | {}", Cmd { stdin: Stdin::Null, ..cmd.clone() }.script_line())
        }
        _ => cmd.script_line(),
    }
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
