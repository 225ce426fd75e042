//! The points of one run, for `status`: how many are in each state, and which failed.

use anyhow::Result;
use chrono::Utc;

use crate::app::App;
use crate::app::target::{Target, typed};
use crate::k8s::manifests::pretty;
use crate::ops::run_ref::lookup;
use crate::runs::results::gather::gather;
use crate::runs::results::{PointState, Results, Row};
use crate::runs::state::Run;
use crate::runs::throughput::{rate, short};
use crate::util::error::usage;
use crate::util::ui::{Table, line};

/// How many failed points are listed without `--points`.
const FAILED: usize = 10;

fn rows(run: &Run, app: &App, target: &Target) -> Result<Vec<Row>> {
    let mut rows = gather(run, &lookup(app, target)?.points_of(run)?, &[]).rows;
    // `results` shows the metrics
    for row in &mut rows {
        row.metrics.clear();
    }
    Ok(rows)
}

/// Prints the points of a run as a table or as JSON, only those in `state` if it is given.
pub fn list(
    run: &Run,
    state: Option<PointState>,
    json: bool,
    headings: bool,
    app: &App,
    target: &Target,
) -> Result<()> {
    let mut rows = rows(run, app, target)?;
    rows.retain(|row| state.is_none_or(|state| state == row.state));
    let results = Results::new(rows);
    if json {
        return app.ui.answer(pretty(&results.json()).trim_end());
    }
    if results.is_empty() {
        app.ui.say("no point is in that state");
        return Ok(());
    }
    let mut table = results.table();
    if !headings {
        table.remove(0);
    }
    app.ui.answer(Table::default().lines(&table, app.ui.room()))
}

/// Reports how many points of a run are in each state, and which failed.
pub fn tell(run: &Run, app: &App, target: &Target) -> Result<()> {
    let rows = rows(run, app, target)?;
    let states = [
        PointState::Succeeded,
        PointState::Failed,
        PointState::Running,
        PointState::Lost,
        PointState::Starting,
        PointState::Waiting,
    ];
    let counts = states.map(|state| (rows.iter().filter(|row| row.state == state).count(), state));
    let words = counts.iter().filter(|(count, _)| *count > 0);
    let words: Vec<String> = words.map(|(count, state)| format!("{count} {}", state.as_str().to_lowercase())).collect();
    let ended = counts[0].0 + counts[1].0;
    let rate = rate(run, ended, rows.len(), Utc::now()).map_or(String::new(), |rate| format!("; {rate}"));
    app.ui.tell("points", format!("{} in all: {}{rate}", rows.len(), words.join(", ")));
    let failed: Vec<&Row> = rows.iter().filter(|row| row.state == PointState::Failed).collect();
    for row in failed.iter().take(FAILED) {
        let params: Vec<String> = row.params.iter().map(|(name, value)| format!("{name}={}", shown(value))).collect();
        let why = row.why.as_ref().map_or(String::new(), |why| format!(": {why}"));
        app.ui.tell("failed", format!("{} ({}){why}", row.index, params.join(", ")));
    }
    if let Some(words) = short(run) {
        app.ui.tell("points", words);
    }
    if failed.len() > FAILED {
        let command = typed(app, target, &["status", "-n", &run.namespace, &run.name, "--points", "--state", "failed"]);
        app.ui.say(format!("and {} more: {command}", failed.len() - FAILED));
    }
    Ok(())
}

fn shown(value: &serde_json::Value) -> String {
    const MOST: usize = 40;
    let text = line(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    if text.chars().count() > MOST { text.chars().take(MOST).chain(['…']).collect() } else { text }
}

/// An error if options for points are given without a run.
pub fn require(run: Option<&String>, points: bool, state: Option<PointState>) -> Result<()> {
    if points && run.is_none() {
        return Err(usage("`--points` are those of one run")
            .hint("name it: `kubectl mrunner status RUN --points`")
            .into());
    }
    if state.is_some() && !points {
        return Err(usage("`--state` chooses among points").hint("add `--points`").into());
    }
    Ok(())
}
