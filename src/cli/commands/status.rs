//! `status`: shows runs and their progress.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::{on_leaving, points, tell_unfinished};
use crate::k8s::manifests::{KEPT, RUN, pretty, tag_label};
use crate::k8s::names::Namespace;
use crate::k8s::pod::Pod;
use crate::ops::archived_run;
use crate::ops::locate_volume::VolumeArgs;
use crate::ops::run_ref::{lookup, run_name};
use crate::runs::inquiry::Inquiry;
use crate::runs::lookup::gone;
use crate::runs::obstacle::Linger;
use crate::runs::results::PointState;
use crate::runs::state::{Phase, Run, age};
use crate::runs::{progress, run_name_cache};
use crate::tools::retry::Outage;
use crate::util::error::Fail;
use crate::util::ui::{Screen, Table, line};

/// The pause of `-w`.
const POLL_INTERVAL: Duration = Duration::from_secs(2);

/// The arguments of `status`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner status\n  kubectl mrunner status -w train-3f9k2m1a\n  kubectl mrunner status --tag baseline -o json"
)]
pub struct StatusArgs {
    /// Run [default: all runs]
    #[arg(value_name = "RUN")]
    run: Option<String>,
    /// Watch for changes
    #[arg(short, long)]
    watch: bool,
    /// Only show runs with this tag; can be repeated
    #[arg(long, alias = "tags", value_name = "TAG")]
    tag: Vec<String>,
    /// Only show runs of this project
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Show runs of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Only show runs that match this label selector
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// Show the points of the run and their parameters
    #[arg(long)]
    points: bool,
    /// Only show points in this state
    #[arg(long, value_name = "STATE")]
    state: Option<PointState>,
    /// Omit headers
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

/// Prints the runs.
pub fn exec(args: &StatusArgs, app: &App) -> Result<()> {
    points::require(args.run.as_ref(), args.points, args.state)?;
    tell_unfinished(app);
    let mut target = Target::resolve(app)?;
    if args.all_namespaces {
        target.namespace = None;
    } else if let (Some(project), None) = (&args.project, &target.namespace) {
        target.namespace = Some(Namespace::of_project(project));
    }
    let (runs, unread) = match find(args, app, &target)? {
        Ok(runs) => (runs, None),
        Err(name) => left(name, args, app, &target)?,
    };
    show_all(args, app, &target, runs)?;
    unread.map_or(Ok(()), |unread| Err(unread.into()))
}

fn show_all(args: &StatusArgs, app: &App, target: &Target, runs: Vec<Run>) -> Result<()> {
    let whole = args.run.is_none() && args.tag.is_empty() && args.selector.is_none() && args.project.is_none();
    let place = target.namespace.as_ref().map(Namespace::as_str);
    run_name_cache::note(&app.places.cache, runs.iter().map(Run::seen), |seen| match place {
        // runs that are missing in a list of the whole namespace are gone
        Some(place) => whole && seen.namespace == place,
        None => false,
    });
    if runs.is_empty() && args.output != Format::Json && args.output != Format::Yaml {
        let place = target.namespace.as_ref().map_or(String::new(), |n| format!(" in the namespace `{n}`"));
        app.ui.say(format!("no runs found{place}"));
    }
    if let ([run], true) = (runs.as_slice(), args.points) {
        let json = matches!(args.output, Format::Json | Format::Yaml);
        return points::list(run, args.state, json, !args.no_headers, app, target);
    }
    if args.watch && app.ui.can_redraw() && matches!(args.output, Format::Table | Format::Wide) {
        return draw(args, app, target, runs).map_err(on_leaving);
    }
    let mut view = View::of(&runs, args);
    show(args, app, &runs, &mut view)?;
    if let ([run], Some(_), Format::Table | Format::Wide, false) = (runs.as_slice(), &args.run, args.output, args.watch)
        && run.is_sweep()
        && run.job().annotation(KEPT).is_none()
    {
        points::tell(run, app, target)?;
    }
    if let ([Run { hint: Some(hint), .. }], Some(_), Format::Table | Format::Wide) =
        (runs.as_slice(), &args.run, args.output)
    {
        app.ui.say(format!("hint: {}", line(hint)));
    }
    if !args.watch {
        return Ok(());
    }
    watch(args, app, target, &runs, &mut view).map_err(on_leaving)
}

/// On a terminal: redraws one line per run, until the user interrupts or the given run has ended, which is then
/// reported as without `-w`.
fn draw(args: &StatusArgs, app: &App, target: &Target, mut runs: Vec<Run>) -> Result<()> {
    let (mut screen, mut poller) = (Screen::default(), Poller::default());
    let (mut trouble, mut linger) = (None, Linger::default());
    loop {
        screen.show(&app.ui, |columns| {
            progress::lines(&runs, columns, Utc::now()).into_iter().chain(trouble).collect()
        })?;
        let ended = runs.iter().all(|run| linger.has_ended(run, &app.shell));
        if let (Some(_), [run], true) = (&args.run, runs.as_slice(), ended) {
            return if run.is_sweep() { points::tell(run, app, target) } else { Ok(()) };
        }
        trouble = match poller.find(args, app, target)? {
            Ok(found) => {
                runs = found;
                None
            }
            Err(words) => Some(words),
        };
    }
}

/// Reads the same runs repeatedly.
#[derive(Default)]
struct Poller {
    pause: Duration,
    outage: Outage,
}

impl Poller {
    /// Reads the runs after a pause, which grows with the duration of the answer, because of thousands of pods.
    /// Returns words if the cluster does not answer.
    fn find(&mut self, args: &StatusArgs, app: &App, target: &Target) -> Result<Result<Vec<Run>, String>> {
        app.shell.sleep(self.pause.max(POLL_INTERVAL))?;
        let begun = Instant::now();
        let found = find(args, app, target);
        self.pause = begun.elapsed() * 4;
        match found {
            Ok(found) => {
                self.outage.ends();
                // the user has seen the run, and wants to know that it is gone
                found.map(Ok).map_err(|name| gone(name).into())
            }
            Err(error) => self.outage.bear(error, &app.shell).map(Err),
        }
    }
}

/// The run `name` whose Job is gone, from its records, and the error if not all of them were read.
fn left(name: &str, args: &StatusArgs, app: &App, target: &Target) -> Result<(Vec<Run>, Option<Fail>)> {
    let lookup = lookup(app, target)?;
    // a new target, because the other one has the project's namespace
    let (target, place) = (Target::resolve(app)?, VolumeArgs::of_project(args.project.clone()));
    let left = archived_run::require(name, &place, app, &target, || lookup.unknown(name), drop)?;
    app.ui.say("its Job is gone; this is what it left in the storage");
    Ok((vec![left.run], left.unread))
}

/// The requested runs; the name of the given run, if it does not exist.
fn find<'a>(args: &'a StatusArgs, app: &App, target: &Target) -> Result<Result<Vec<Run>, &'a str>> {
    let lookup = lookup(app, target)?;
    if let Some(name) = &args.run {
        let name = run_name(name);
        let Some(mut run) = lookup.find(name)? else { return Ok(Err(name)) };
        if let Some(namespace) = Namespace::given(&run.namespace) {
            let inquiry = Inquiry { cluster: target.cluster(app), namespace: &namespace };
            // for a single run, another request is worth it
            if run.phase == Phase::Queued {
                run.why = inquiry.queue_says(&run).or(run.why);
            } else if run.waits() {
                (run.why, run.hint) = inquiry.explained(&run);
            } else if run.log.is_some() {
                run.why = inquiry.failed_of(&run);
            } else if let Some(words) = inquiry.lost(&run) {
                if run.phase == Phase::Running && !run.is_sweep() {
                    run.phase = Phase::Lost;
                }
                run.why = Some(words);
            }
        }
        return Ok(Ok(vec![run]));
    }
    let selector = std::iter::once(RUN.to_owned()).chain(args.tag.iter().map(|tag| tag_label(tag)));
    let selector = selector.chain(args.selector.iter().cloned()).collect::<Vec<_>>().join(",");
    let mut runs = lookup.runs(&selector)?;
    if let Some(project) = &args.project {
        runs.retain(|run| run.project == *project);
    }
    Ok(Ok(runs))
}

/// Prints changes, as `kubectl get -w` does, until the user interrupts or the given run has ended.
fn watch(args: &StatusArgs, app: &App, target: &Target, first: &[Run], view: &mut View) -> Result<()> {
    let row_of = |run: &Run| (format!("{}/{}", run.namespace, run.name), (run.phase, run.done, run.why.clone()));
    let mut known: BTreeMap<_, _> = first.iter().map(row_of).collect();
    let mut linger = Linger::default();
    let mut ended = args.run.is_some() && first.iter().all(|run| linger.has_ended(run, &app.shell));
    let (mut poller, mut trouble) = (Poller::default(), String::new());
    while !ended {
        let runs = match poller.find(args, app, target)? {
            Ok(runs) => runs,
            Err(words) if words == trouble => continue,
            Err(words) => {
                app.ui.tell("status", &words);
                trouble = words;
                continue;
            }
        };
        trouble.clear();
        let moved: Vec<Run> =
            runs.iter().filter(|run| known.get(&row_of(run).0) != Some(&row_of(run).1)).cloned().collect();
        known = runs.iter().map(row_of).collect();
        ended = args.run.is_some() && runs.iter().all(|run| linger.has_ended(run, &app.shell));
        if !moved.is_empty() {
            show(args, app, &moved, view)?;
        }
    }
    Ok(())
}

/// The layout of a table, from its first rows.
struct View {
    table: Table,
    headings: bool,
    wide: bool,
    /// Only if it differs from the project.
    namespaces: bool,
}

impl View {
    fn of(runs: &[Run], args: &StatusArgs) -> Self {
        let wide = args.output == Format::Wide;
        let namespaces = wide || runs.is_empty() || runs.iter().any(|run| run.namespace != run.project);
        Self { table: Table::default(), headings: !args.no_headers, wide, namespaces }
    }
}

fn show(args: &StatusArgs, app: &App, runs: &[Run], view: &mut View) -> Result<()> {
    match args.output {
        Format::Table | Format::Wide if runs.is_empty() => Ok(()),
        Format::Table | Format::Wide => {
            // the reasons of a single run are not cut
            let room = app.ui.room().filter(|_| args.run.is_none() && !view.wide);
            let rows = rows(runs, view, Utc::now());
            view.headings = false;
            app.ui.answer(view.table.lines(&rows, room))
        }
        Format::Name => runs.iter().try_for_each(|run| app.ui.answer(format!("job.batch/{}", run.name))),
        Format::Json | Format::Yaml => {
            let document = match (&args.run, runs) {
                (Some(_), [run]) => run.job.clone(),
                _ => {
                    json!({ "apiVersion": "v1", "kind": "List", "items": runs.iter().map(|r| &r.job).collect::<Vec<_>>() })
                }
            };
            if args.output == Format::Json {
                app.ui.answer(pretty(&document).trim_end())
            } else {
                app.ui.answer(format!("---\n{}", serde_yaml::to_string(&document)?.trim_end()))
            }
        }
    }
}

fn rows(runs: &[Run], view: &View, now: DateTime<Utc>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    if view.headings {
        let namespace = if view.namespaces { &["NAMESPACE"][..] } else { &[] };
        let more = if view.wide { &["NODE", "TAGS", "IMAGE"][..] } else { &[] };
        let all = [&["RUN", "PROJECT"], namespace, &["STATE", "DONE", "TIME", "AGE"], more, &["WHY"]].concat();
        rows.push(all.into_iter().map(str::to_owned).collect());
    }
    for run in runs {
        let seconds = |from: DateTime<Utc>, to: DateTime<Utc>| age((to - from).num_seconds());
        let mut row = vec![run.name.clone(), run.project.clone()];
        row.extend(view.namespaces.then(|| run.namespace.clone()));
        row.extend([
            run.phase.as_str().to_owned(),
            format!("{}/{}", run.done.0, run.done.1),
            run.span.0.map_or(String::new(), |from| seconds(from, run.span.1.unwrap_or(now))),
            run.created.map_or(String::new(), |from| seconds(from, now)),
        ]);
        if view.wide {
            let node = run.pods().iter().next_back().and_then(Pod::node);
            row.extend([node.unwrap_or_default().to_owned(), run.tags.join(","), run.image.clone()]);
        }
        row.push(run.why.clone().unwrap_or_default());
        rows.push(row);
    }
    rows
}
