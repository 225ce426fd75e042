//! `status`: runs, and how far they are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app::App;
use crate::commands::{lookup, tell_unfinished};
use crate::names::Namespace;
use crate::objects::{RUN, tag_label};
use crate::target::Target;
use crate::ui::table;
use crate::watch::state::{Run, age};

/// How often `-w` looks.
const GLANCE: Duration = Duration::from_secs(2);

/// The arguments of `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner status\n  kubectl mrunner status -w train-3f9k2m1a\n  kubectl mrunner status --tag baseline -o json"
)]
pub struct StatusArgs {
    /// The run; without it, all runs that can be seen
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Go on, and show a run again whenever it has moved
    #[arg(short, long)]
    watch: bool,
    /// Runs with this tag; repeated: with all of them
    #[arg(long, value_name = "TAG")]
    tag: Vec<String>,
    /// Runs of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Runs in all namespaces, also where -n or the context names one
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Runs whose labels match, as kubectl takes it
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// As a table, wide table, json, yaml, or names
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Leave the headings of a table out
    #[arg(long)]
    no_headers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Wide,
    Json,
    Yaml,
    Name,
}

/// Shows them.
pub fn exec(args: &StatusArgs, app: &App) -> Result<()> {
    tell_unfinished(app);
    let mut target = Target::resolve(app)?;
    if args.all_namespaces {
        target.namespace = None;
    } else if let (Some(project), None) = (&args.project, &target.namespace) {
        target.namespace = Some(Namespace::of_project(project));
    }
    let runs = find(args, app, &target)?;
    if runs.is_empty() && args.output != Format::Json && args.output != Format::Yaml {
        let place = target.namespace.as_ref().map_or(String::new(), |n| format!(" in the namespace `{n}`"));
        app.ui.say(format!("no runs found{place}"));
    }
    show(args, app, &runs, !args.no_headers)?;
    if args.watch { watch(args, app, &target, &runs) } else { Ok(()) }
}

fn find(args: &StatusArgs, app: &App, target: &Target) -> Result<Vec<Run>> {
    let lookup = lookup(app, target)?;
    if let Some(name) = &args.run {
        return Ok(vec![lookup.run(name)?]);
    }
    let selector = std::iter::once(RUN.to_owned()).chain(args.tag.iter().map(|tag| tag_label(tag)));
    let selector = selector.chain(args.selector.iter().cloned()).collect::<Vec<_>>().join(",");
    let mut runs = lookup.runs(&selector)?;
    if let Some(project) = &args.project {
        runs.retain(|run| run.project == *project);
    }
    Ok(runs)
}

/// Shows again whatever moved, until the user interrupts, as `kubectl get -w` does.
fn watch(args: &StatusArgs, app: &App, target: &Target, first: &[Run]) -> Result<()> {
    let row_of = |run: &Run| (format!("{}/{}", run.namespace, run.name), (run.phase, run.done, run.why.clone()));
    let mut known: BTreeMap<_, _> = first.iter().map(row_of).collect();
    loop {
        app.shell.sleep(GLANCE)?;
        let runs = find(args, app, target)?;
        let moved: Vec<Run> =
            runs.iter().filter(|run| known.get(&row_of(run).0) != Some(&row_of(run).1)).cloned().collect();
        known = runs.iter().map(row_of).collect();
        if !moved.is_empty() {
            show(args, app, &moved, false)?;
        }
    }
}

fn show(args: &StatusArgs, app: &App, runs: &[Run], headings: bool) -> Result<()> {
    match args.output {
        Format::Table | Format::Wide if runs.is_empty() => Ok(()),
        Format::Table | Format::Wide => app.ui.answer(rows(runs, args.output == Format::Wide, headings, Utc::now())),
        Format::Name => runs.iter().try_for_each(|run| app.ui.answer(format!("job.batch/{}", run.name))),
        Format::Json | Format::Yaml => {
            let document = match (&args.run, runs) {
                (Some(_), [run]) => run.job.clone(),
                _ => {
                    json!({ "apiVersion": "v1", "kind": "List", "items": runs.iter().map(|r| &r.job).collect::<Vec<_>>() })
                }
            };
            if args.output == Format::Json {
                app.ui.answer(serde_json::to_string_pretty(&document)?)
            } else {
                app.ui.answer(format!("---\n{}", serde_yaml::to_string(&document)?.trim_end()))
            }
        }
    }
}

fn rows(runs: &[Run], wide: bool, headings: bool, now: DateTime<Utc>) -> String {
    let mut rows = Vec::new();
    if headings {
        let mut heading = vec!["RUN", "PROJECT", "NAMESPACE", "STATE", "DONE", "TIME", "AGE"];
        if wide {
            heading.extend(["NODE", "IMAGE", "TAGS"]);
        }
        heading.push("WHY");
        rows.push(heading.into_iter().map(str::to_owned).collect());
    }
    for run in runs {
        let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| age((to - from).num_seconds());
        let mut row = vec![
            run.name.clone(),
            run.project.clone(),
            run.namespace.clone(),
            run.phase.as_str().to_owned(),
            format!("{}/{}", run.done.0, run.done.1),
            run.span.0.map_or(String::new(), |from| seconds(from, run.span.1.unwrap_or(now))),
            run.created.map_or(String::new(), |from| seconds(from, now)),
        ];
        if wide {
            let node = run.pods.last().and_then(|pod| pod["spec"]["nodeName"].as_str());
            row.extend([node.unwrap_or_default().to_owned(), run.image.clone(), run.tags.join(",")]);
        }
        row.push(run.why.clone().unwrap_or_default());
        rows.push(row);
    }
    table(&rows)
}
