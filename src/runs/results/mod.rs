//! The metrics of a run's points, beside their parameters. Pure.

mod bounded;
pub mod draw;
pub mod gather;
pub mod measured;
pub mod plot;
pub mod report;
mod utf8;

use std::cmp::Ordering;

use clap::ValueEnum;
use serde_json::{Map, Value, json};

use crate::k8s::names::nearest;
use crate::runs::lenient_json::NO_NUMBERS;
use crate::util::error::{Fail, usage};
use crate::util::width::shorten;

/// The state of a point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PointState {
    /// No node has it yet, or it is not its turn.
    #[default]
    Waiting,
    /// A node prepares the pod.
    Starting,
    /// It runs.
    Running,
    /// The node of the pod does not answer.
    Lost,
    /// It ended well.
    Succeeded,
    /// It failed for good.
    Failed,
}

impl PointState {
    /// The word for the phase.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "Waiting",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Lost => "Lost",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
        }
    }
}

/// A point of a run with its metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// The point's number.
    pub index: u64,
    /// The phase.
    pub state: PointState,
    /// The problem of the point, in words.
    pub why: Option<String>,
    /// The parameters.
    pub params: Map<String, Value>,
    /// The metrics, which may be nested.
    pub metrics: Map<String, Value>,
}

/// The source of a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Point,
    State,
    Param,
    Metric,
    Why,
}

/// A column: its name, and the value that it shows for a point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// The header.
    pub name: String,
    from: From,
    key: String,
}

/// The points of a run with all their metrics.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results {
    rows: Vec<Row>,
    /// The same points with flattened metrics.
    flat: Vec<[Map<String, Value>; 2]>,
    columns: Vec<Column>,
    /// Whether there were more names than columns.
    crowded: bool,
}

/// The most cells of a table, and the most columns for parameters and for metrics: points may use a different name
/// for each value.
const CELLS: usize = 10_000_000;
const FEWEST_COLUMNS: usize = 50;
const MOST_COLUMNS: usize = 1000;

/// The longest name that is made from nested names.
const LONG: usize = 200;

impl Results {
    /// Combines the points, in their order.
    pub fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(|row| row.index);
        let most = (CELLS / rows.len().max(1)).clamp(FEWEST_COLUMNS, MOST_COLUMNS);
        let mut crowded = false;
        // a map, because a sweep has thousands of points, and each may have a new metric
        let mut names: [Map<String, Value>; 2] = Default::default();
        let mut kept = |names: &mut Map<String, Value>, values: &Map<String, Value>| {
            let mut values = flat(values);
            values.retain(|name, _| {
                let has_room = names.len() < most;
                if has_room && !names.contains_key(name) {
                    names.insert(name.clone(), Value::Null);
                }
                let is_known = has_room || names.contains_key(name);
                crowded |= !is_known;
                is_known
            });
            values
        };
        let [params, metrics] = &mut names;
        let flat = rows.iter().map(|row| [kept(params, &row.params), kept(metrics, &row.metrics)]).collect();
        let own = |name: &str, from| Column { name: name.to_owned(), from, key: String::new() };
        let mut columns = vec![own("point", From::Point), own("state", From::State)];
        for (all, from, room) in [(0, From::Param, "params"), (1, From::Metric, "metrics")] {
            for key in names[all].keys() {
                // headers must be unique for readers and programs
                let taken = names[1 - all].contains_key(key) || ["point", "state", "why"].contains(&key.as_str());
                let name = if taken { format!("{room}.{key}") } else { key.clone() };
                columns.push(Column { name, from, key: key.clone() });
            }
        }
        columns.push(own("why", From::Why));
        Self { rows, flat, columns, crowded }
    }

    /// Whether there are more parameters or metrics than columns, so that only JSON has all of them.
    pub fn is_crowded(&self) -> bool {
        self.crowded
    }

    /// Whether any point has metrics.
    pub fn measured(&self) -> bool {
        self.flat.iter().any(|[_, metrics]| !metrics.is_empty())
    }

    /// The number of points.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are no points.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The column `name`; `params.lr` and `metrics.lr` distinguish between a parameter and a metric.
    ///
    /// # Errors If it does not exist: with the existing names.
    pub fn column(&self, name: &str) -> Result<&Column, Fail> {
        let called = |column: &&Column| {
            let room = match column.from {
                From::Param => "params.",
                From::Metric => "metrics.",
                _ => "",
            };
            column.name == name || name.strip_prefix(room).is_some_and(|key| key == column.key && !room.is_empty())
        };
        // of a parameter and a metric with the same name, the metric is used
        let measured = |column: &&Column| column.from == From::Metric && column.key == name;
        let found = self.columns.iter().find(called).or_else(|| self.columns.iter().find(measured));
        found.ok_or_else(|| {
            let names = || self.columns.iter().map(|column| column.name.as_str());
            let unknown = usage(format!("no point has a parameter or metric called `{name}`"));
            if let Some(near) = nearest(name, names()) {
                return unknown.hint(format!("did you mean `{near}`?"));
            }
            let listed: Vec<String> = names().take(20).map(|name| format!("`{name}`")).collect();
            unknown.hint(format!("there are {}", listed.join(", ")))
        })
    }

    /// The values of a column, in the current order of the points.
    pub fn values(&self, column: &Column) -> impl Iterator<Item = Option<Value>> {
        (0..self.rows.len()).map(move |at| self.value(at, column))
    }

    fn value(&self, at: usize, column: &Column) -> Option<Value> {
        let row = &self.rows[at];
        match column.from {
            From::Point => Some(row.index.into()),
            From::State => Some(row.state.as_str().into()),
            From::Param => self.flat[at][0].get(&column.key).cloned(),
            From::Metric => self.flat[at][1].get(&column.key).cloned(),
            From::Why => row.why.as_deref().map(Value::from),
        }
    }

    /// Sorts by a column, descending with a `-` before its name. Equal points keep their order, and points without
    /// a number come last.
    ///
    /// # Errors If there is no such column.
    pub fn sort(&mut self, key: &str) -> Result<(), Fail> {
        let (column, down) = match key.strip_prefix('-') {
            // a metric's name may start with `-`
            Some(name) if self.column(key).is_err() => (self.column(name)?.clone(), true),
            _ => (self.column(key)?.clone(), false),
        };
        let values: Vec<Option<Value>> = self.values(&column).collect();
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| compare(values[a].as_ref(), values[b].as_ref(), down));
        self.rows = order.iter().map(|&at| std::mem::take(&mut self.rows[at])).collect();
        self.flat = order.iter().map(|&at| std::mem::take(&mut self.flat[at])).collect();
        Ok(())
    }

    /// Keeps the first `count` points.
    pub fn top(&mut self, count: usize) {
        self.rows.truncate(count);
        self.flat.truncate(count);
    }

    /// A table with headers. Columns without any value are omitted.
    pub fn table(&self) -> Vec<Vec<String>> {
        let filled = |column: &&Column| {
            matches!(column.from, From::Point | From::State) || self.values(column).any(|value| value.is_some())
        };
        let columns: Vec<&Column> = self.columns.iter().filter(filled).collect();
        let heading = |column: &&Column| match column.from {
            From::Param | From::Metric => cut(&column.name),
            _ => column.name.to_uppercase(),
        };
        let mut table = vec![columns.iter().map(heading).collect()];
        for at in 0..self.rows.len() {
            let cell = |column: &&Column| {
                let text = self.value(at, column).as_ref().map(shown).unwrap_or_default();
                if column.from == From::Why { text } else { cut(&text) }
            };
            table.push(columns.iter().map(cell).collect());
        }
        table
    }

    /// The complete table as CSV.
    ///
    /// # Errors Never in practice: the writer writes to memory.
    pub fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        writer.write_record(self.columns.iter().map(|column| &column.name))?;
        for at in 0..self.rows.len() {
            let cells =
                self.columns.iter().map(|column| self.value(at, column).as_ref().map(shown).unwrap_or_default());
            writer.write_record(cells)?;
        }
        writer.into_inner().map_err(|error| error.into_error().into())
    }

    /// The points as JSON, with unchanged values.
    pub fn json(&self) -> Value {
        let one = |row: &Row| {
            let mut object = json!({ "point": row.index, "state": row.state.as_str(), "params": row.params, "metrics": row.metrics });
            let why = row.why.as_ref().map(|why| ("why".to_owned(), why.as_str().into()));
            object.as_object_mut().into_iter().for_each(|object| object.extend(why.clone()));
            object
        };
        self.rows.iter().map(one).collect()
    }
}

/// Flattens `{"a": {"b": 1}}` to `{"a.b": 1}`; lists are kept.
fn flat(object: &Map<String, Value>) -> Map<String, Value> {
    fn add(prefix: &str, object: &Map<String, Value>, all: &mut Map<String, Value>) {
        for (name, value) in object {
            let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            match value {
                Value::Object(nested) if !nested.is_empty() && name.len() <= LONG => add(&name, nested, all),
                value => _ = all.insert(name, value.clone()),
            }
        }
    }
    let mut all = Map::new();
    add("", object, &mut all);
    all
}

/// A value as shown in a cell.
fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// How many columns of a terminal a value takes in a table.
const WIDEST: usize = 40;

fn cut(text: &str) -> String {
    shorten(text, WIDEST)
}

/// The number in a value.
pub fn number(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite())
}

/// The sort order: numbers by value, then booleans, strings, other values, non-numbers, and missing values.
fn compare(a: Option<&Value>, b: Option<&Value>, down: bool) -> Ordering {
    let class = |value: Option<&Value>| match value {
        Some(Value::Number(_)) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::String(text)) if NO_NUMBERS.contains(&text.as_str()) => 4,
        Some(Value::String(_)) => 2,
        Some(Value::Array(_) | Value::Object(_)) => 3,
        Some(Value::Null) | None => 5,
    };
    let within = match (a, b) {
        (Some(Value::Number(a)), Some(Value::Number(b))) => match (a.as_i128(), b.as_i128()) {
            (Some(a), Some(b)) => a.cmp(&b),
            _ => a.as_f64().unwrap_or(f64::NAN).total_cmp(&b.as_f64().unwrap_or(f64::NAN)),
        },
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        _ => Ordering::Equal,
    };
    class(a).cmp(&class(b)).then(if down { within.reverse() } else { within })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(index: u64, params: Value, metrics: Value) -> Row {
        let object = |value: Value| value.as_object().cloned().unwrap();
        Row { index, state: PointState::Succeeded, why: None, params: object(params), metrics: object(metrics) }
    }

    fn order(results: &Results) -> Vec<u64> {
        results.rows.iter().map(|row| row.index).collect()
    }

    #[test]
    fn names_without_end_make_no_columns_without_end() {
        let many = |row: u64| (0..3000).map(|i| (format!("{row}.{i}"), json!(i))).collect::<Map<_, _>>();
        let rows = (0..100).map(|index| row(index, json!({"lr": index}), many(index).into())).collect();
        let results = Results::new(rows);
        assert!(results.is_crowded());
        assert_eq!(results.columns.len(), 2 + 1 + MOST_COLUMNS + 1);
        assert_eq!(results.table()[100][2], "99");
        let last = json!({"point": 99, "state": "Succeeded", "params": {"lr": 99}, "metrics": many(99)});
        assert!(results.json()[99] == last, "JSON has all");
        assert!(!Results::new(vec![row(0, json!({}), json!({"a": 1}))]).is_crowded());
        // each leaf would contain the names of all its parents
        let deep = (0..60).fold(json!({"x": 1}), |inner, _| json!({"n".repeat(500): inner}));
        let flat = Results::new(vec![row(0, json!({}), deep)]);
        assert!(flat.columns.iter().all(|column| column.name.len() < 1500), "{:?}", flat.columns.len());
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_what_is_none_last() {
        let values =
            [json!(9), json!(10.5), json!("NaN"), Value::Null, json!(-1e3), json!("x"), json!("-Infinity"), json!(10)];
        let rows = (0..).zip(values).map(|(index, value)| row(index, json!({}), json!({"a": value}))).collect();
        let mut results = Results::new(rows);
        results.sort("a").unwrap();
        assert_eq!(order(&results), [4, 0, 7, 1, 5, 6, 2, 3]);
        results.sort("-a").unwrap();
        assert_eq!(order(&results), [1, 7, 0, 4, 5, 2, 6, 3]);
        results.top(2);
        assert_eq!(order(&results), [1, 7]);
        results.sort("point").unwrap();
        assert_eq!(order(&results), [1, 7]);
        assert_eq!(
            results.sort("-accuracy").unwrap_err().message,
            "no point has a parameter or metric called `accuracy`"
        );
    }

    #[test]
    fn big_whole_numbers_are_told_apart() {
        let rows = [9_007_199_254_740_993_u64, 9_007_199_254_740_992];
        let rows = (0..).zip(rows).map(|(index, value)| row(index, json!({}), json!({"a": value}))).collect();
        let mut results = Results::new(rows);
        results.sort("a").unwrap();
        assert_eq!(order(&results), [1, 0]);
    }

    #[test]
    fn what_is_nested_is_flat_in_tables_and_whole_in_json() {
        let mut failed = row(1, json!({"lr": "1"}), json!({}));
        (failed.state, failed.why) = (PointState::Failed, Some("exit code 1".into()));
        let results = Results::new(vec![
            failed,
            row(0, json!({"lr": 0.10}), json!({"val": {"acc": 0.5, "by": [1, 2]}, "e": {}})),
        ]);
        assert_eq!(
            results.table(),
            [
                ["POINT", "STATE", "lr", "val.acc", "val.by", "e", "WHY"],
                ["0", "Succeeded", "0.1", "0.5", "[1,2]", "{}", ""],
                ["1", "Failed", "1", "", "", "", "exit code 1"],
            ]
        );
        let metrics = json!({"val": {"acc": 0.5, "by": [1, 2]}, "e": {}});
        let expected = json!([
            {"point": 0, "state": "Succeeded", "params": {"lr": 0.1}, "metrics": metrics},
            {"point": 1, "state": "Failed", "params": {"lr": "1"}, "metrics": {}, "why": "exit code 1"},
        ]);
        assert_eq!(results.json(), expected);
    }

    #[test]
    fn one_name_for_two_things_is_two_headings() {
        let results = Results::new(vec![row(0, json!({"lr": 1, "point": 7}), json!({"lr": 2}))]);
        assert_eq!(results.table()[0], ["POINT", "STATE", "params.lr", "params.point", "metrics.lr"]);
        let value = |name: &str| results.values(results.column(name).unwrap()).next().unwrap().unwrap();
        assert_eq!((value("params.lr"), value("metrics.lr"), value("lr")), (json!(1), json!(2), json!(2)));
        assert_eq!((value("point"), value("params.point")), (json!(0), json!(7)));
    }

    #[test]
    fn csv_is_quoted_and_nothing_of_it_cut() {
        let long = "é".repeat(300);
        let results = Results::new(vec![row(0, json!({"name": "a,\"b\"\nc"}), json!({"text": long}))]);
        let text = String::from_utf8(results.csv().unwrap()).unwrap();
        assert_eq!(text, format!("point,state,name,text,why\n0,Succeeded,\"a,\"\"b\"\"\nc\",{long},\n"));
        assert_eq!(results.table()[1][3].chars().count(), WIDEST);
    }
}
