//! Shows a run as one line that is redrawn: its name, a bar, the number of points in each state. Pure.

use chrono::{DateTime, Utc};

use crate::runs::state::{Run, age};
use crate::runs::throughput::rate;
use crate::util::width::{pad, shorten, width};

/// The number of columns from which a line has a bar of this length.
const BARS: [(usize, usize); 2] = [(100, 20), (50, 10)];

/// The lines of `runs` on a terminal with this many columns; the terminal cuts longer lines.
pub fn lines(runs: &[Run], columns: usize, now: DateTime<Utc>) -> Vec<String> {
    let counts: Vec<String> = runs.iter().map(|run| format!("{}/{}", run.done.0, run.done.1)).collect();
    let widest = counts.iter().map(String::len).max().unwrap_or(0);
    let longest = runs.iter().map(|run| width(&run.name)).max().unwrap_or(0);
    let names = longest.min(columns.saturating_sub(widest + 2).max(1));
    let bar = BARS.iter().find(|(room, _)| columns >= *room).map_or(0, |(_, cells)| *cells);
    let line = |(run, count): (&Run, &String)| {
        let name = pad(&shorten(&run.name, names), names);
        let bar = if bar == 0 { String::new() } else { format!(" [{}]", cells(run, bar)) };
        format!("{name}{bar} {count:>widest$} {}", words(run, now)).trim_end().to_owned()
    };
    runs.iter().zip(&counts).map(line).collect()
}

/// The bar of ended points: `=` for succeeded and `x` for failed, each at least one cell if there is one.
fn cells(run: &Run, width: usize) -> String {
    let total = run.done.1.max(1);
    let share = |count: u64| {
        let cells = u64::try_from(width).unwrap_or(0).saturating_mul(count.min(total)) / total;
        usize::try_from(cells).unwrap_or(0).max(usize::from(count > 0))
    };
    let bad = share(run.failed()).min(width);
    let good = share(run.done.0).min(width - bad);
    format!("{}{}{}", "=".repeat(good), "x".repeat(bad), " ".repeat(width - good - bad))
}

fn words(run: &Run, now: DateTime<Utc>) -> String {
    let mut words = vec![run.phase.as_str().to_lowercase()];
    if run.is_sweep() {
        words.extend(run.others());
        if run.job().packing().1 > 1 {
            words.push("pods of several points".to_owned());
        }
    }
    let ended = usize::try_from(run.done.0.saturating_add(run.failed())).unwrap_or(usize::MAX);
    let all = usize::try_from(run.done.1).unwrap_or(usize::MAX);
    let time = run.span.0.map(|from| age((run.span.1.unwrap_or(now) - from).num_seconds()));
    words.extend(time);
    words.extend(rate(run, ended, all, now).filter(|_| run.is_sweep()));
    words.extend(run.why.clone());
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::state::runs;
    use serde_json::{Value, json};

    fn sweep(name: &str, done: u64, failed: &str) -> Value {
        json!({"kind": "Job", "metadata": {"name": name, "uid": name}, "spec": {"completions": 1000},
            "status": {"succeeded": done, "failedIndexes": failed, "startTime": "2026-11-23T06:00:00Z", "active": 1}})
    }

    fn shown(columns: usize) -> Vec<String> {
        let pod = json!({"kind": "Pod", "metadata": {"ownerReferences": [{"uid": "train-a"}]}, "status": {"phase": "Running"}});
        let all = vec![sweep("train-a", 300, "7"), sweep("a-longer-name", 0, ""), pod];
        lines(&runs(all), columns, "2026-11-23T06:10:00Z".parse().unwrap())
    }

    #[test]
    fn a_line_has_a_bar_where_there_is_room() {
        assert_eq!(
            shown(100),
            [
                "a-longer-name [                    ]   0/1000 pending, 10m",
                "train-a       [======x             ] 300/1000 running, 1 failed, 1 running, 10m, 30 a minute, about 23m left",
            ]
        );
        assert_eq!(
            shown(60)[1],
            "train-a       [===x      ] 300/1000 running, 1 failed, 1 running, 10m, 30 a minute, about 23m left"
        );
    }

    #[test]
    fn twenty_columns_still_hold_the_counts() {
        let lines: Vec<String> = shown(20).iter().map(|line| line.chars().take(20).collect()).collect();
        assert_eq!(lines, ["a-longer-…   0/1000 ", "train-a    300/1000 "]);
        for columns in 0..30 {
            assert_eq!(shown(columns).len(), 2);
        }
    }
}
