//! `results`: shows the metrics of a run's points, beside their parameters.

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::tell_unfinished;
use crate::k8s::manifests::pretty;
use crate::ops::archived_run;
use crate::ops::locate_volume::VolumeArgs;
use crate::ops::run_ref::{lookup, run_name};
use crate::runs::results::gather::{Gathered, gather};
use crate::runs::results::plot::{Plot, Wanted};
use crate::runs::results::{PointState, Results, draw};
use crate::tools::shell;
use crate::util::error::{Fail, fail, flatten, usage};
use crate::util::ui::{Table, clean};

/// The default size of a plot without a terminal.
const PLOT: (usize, usize) = (80, 20);

/// How to report metrics.
const HOW: &str = "a point reports by writing one JSON object to `$MRUNNER_OUTPUT/metrics.json`, or by printing a \
                   line such as `mrunner: {\"accuracy\": 0.97}`";

/// The arguments of `results`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner results train-3f9k2m1a --sort -accuracy --top 10\n  kubectl mrunner results train-3f9k2m1a -o csv\n  kubectl mrunner results train-3f9k2m1a --plot x=lr y=accuracy --by seed"
)]
pub struct ResultsArgs {
    /// Run
    #[arg(value_name = "RUN")]
    run: String,
    /// Sort by this column; `-NAME` sorts descending
    ///
    /// Can be repeated: rows that are equal in the first column are sorted by the second.
    #[arg(long, value_name = "[-]NAME", allow_hyphen_values = true)]
    sort: Vec<String>,
    /// Show only the first N rows
    #[arg(long, value_name = "N")]
    top: Option<usize>,
    /// Plot two columns, such as `--plot x=lr y=accuracy`
    #[arg(long, value_names = ["x=NAME", "y=NAME"], num_args = 2)]
    plot: Option<Vec<String>>,
    /// Colour the plot by this column
    #[arg(long, value_name = "NAME", requires = "plot")]
    by: Option<String>,
    /// Output format; `svg` with --plot
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Omit headers
    #[arg(long)]
    no_headers: bool,
    /// Where to look for records that are no longer in the cluster.
    #[command(flatten)]
    volume: VolumeArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Csv,
    Json,
    Svg,
}

/// Prints the metrics.
pub fn exec(args: &ResultsArgs, app: &App) -> Result<()> {
    let wanted = args.plot.as_deref().map(|axes| Wanted::parse(axes, args.by.clone())).transpose()?;
    match (&wanted, args.output) {
        (None, Some(Format::Svg)) => {
            return Err(usage("`-o svg` draws, and nothing says what")
                .hint("say it such as with `--plot x=lr y=accuracy`")
                .into());
        }
        (Some(_), Some(Format::Table | Format::Csv | Format::Json)) => {
            return Err(usage("`--plot` draws, and `-o` asks for rows")
                .hint("leave `-o` out for a drawing in the terminal, or write `-o svg`")
                .into());
        }
        _ => {}
    }
    tell_unfinished(app);
    let target = Target::resolve(app)?;
    let (gathered, unread) = find(args, app, &target)?;
    show(args, wanted.as_ref(), gathered, app)?;
    unread.map_or(Ok(()), |unread| Err(unread.into()))
}

fn show(args: &ResultsArgs, wanted: Option<&Wanted>, gathered: Gathered, app: &App) -> Result<()> {
    // for a point that has not failed, WHY is the reason why its report was not read
    let is_refused = gathered.rows.iter().any(|row| row.state != PointState::Failed && row.why.is_some());
    let mut results = Results::new(gathered.rows);
    let measured = results.measured();
    if !measured && is_refused {
        app.ui.say(format!("no report of `{}` could be taken: see the column WHY", run_name(&args.run)));
    } else if !measured {
        app.ui.say(format!("no point of `{}` has reported anything yet\n{HOW}", run_name(&args.run)));
    }
    if results.is_crowded() && args.output != Some(Format::Json) {
        app.ui.warn("there are more parameters and metrics than columns: only `-o json` shows all of them");
    }
    // sorted by the last key first; later sorts keep the order of equal rows
    for key in args.sort.iter().rev() {
        results.sort(key)?;
    }
    results.top(args.top.unwrap_or(usize::MAX));
    if let Some(wanted) = wanted {
        return plot(&results, wanted, args.output == Some(Format::Svg), app);
    }
    match args.output.unwrap_or(Format::Table) {
        Format::Json => app.ui.answer(pretty(&results.json()).trim_end()),
        Format::Csv => {
            let bytes = results.csv()?;
            match app.ui.room() {
                // a program that reads it needs the original bytes
                None => app.ui.pass_on(&bytes),
                Some(_) => app.ui.pass_on(clean(&String::from_utf8_lossy(&bytes)).as_bytes()),
            }
        }
        Format::Table | Format::Svg => {
            let mut rows = results.table();
            if args.no_headers {
                rows.remove(0);
            }
            if rows.is_empty() { Ok(()) } else { app.ui.answer(Table::default().lines(&rows, app.ui.room())) }
        }
    }
}

/// The points, from the cluster where possible and from the volume otherwise, and the error if not all of that was
/// read.
fn find(args: &ResultsArgs, app: &App, target: &Target) -> Result<(Gathered, Option<Fail>)> {
    let name = run_name(&args.run);
    let lookup = lookup(app, target)?;
    let Some((run, maps)) = lookup.find_with_points(name)? else {
        let mut reports = Vec::new();
        let take = |report| reports.push(report);
        let gone = archived_run::require(name, &args.volume, app, target, || lookup.unknown(name), take)?;
        gone.complete(&mut reports)?;
        app.ui.say("its Job is gone; this is what it left in the storage");
        let mut gathered = gather(&gone.run, &[], &reports);
        gathered.explain();
        return Ok((gathered, gone.unread));
    };
    let gathered = gather(&run, &maps, &[]);
    if gathered.missing.is_empty() {
        return Ok((gathered, None));
    }
    app.ui.tell("storage", format!("looking for what {} of its points measured", gathered.missing.len()));
    match archived_run::of_points(&run, &gathered.missing, &args.volume, app, target) {
        Ok((reports, unread)) => {
            let mut gathered = gather(&run, &maps, &reports);
            gathered.explain();
            Ok((gathered, unread))
        }
        Err(error) if shell::was_interrupted(&error) => Err(error),
        Err(error) => {
            // the points from the cluster are shown anyway
            app.ui.warn(format!(
                "what {} of its points measured can't be looked up in the storage: {}",
                gathered.missing.len(),
                flatten(&error).message
            ));
            Ok((gathered, None))
        }
    }
}

fn plot(results: &Results, wanted: &Wanted, svg: bool, app: &App) -> Result<()> {
    let plot = Plot::new(results, wanted)?;
    if plot.left_out > 0 {
        app.ui.say(format!("points left out, as they lack one of the two numbers: {}", plot.left_out));
    }
    let broken = |words: String| -> Fail { fail(format!("the plot can't be drawn: {words}")) };
    if svg {
        return app.ui.answer(draw::svg(&plot).map_err(broken)?.trim_end());
    }
    let columns = app.ui.room().unwrap_or(PLOT.0);
    app.ui.answer(draw::text(&plot, columns, PLOT.1).map_err(broken)?)
}
