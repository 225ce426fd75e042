//! Points that a file lists: CSV, JSON lines, or YAML.

use std::collections::BTreeSet;
use std::path::Path;

use saphyr_parser::{Event, Parser};
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value as Json;

use crate::config::Value;
use crate::config::parameters::{check_name, typed};
use crate::config::sweep::{self, Axis, Table, Values};
use crate::config::yaml::MAX_BYTES;
use crate::request::sweep::factor::{fits, range, zipped};
use crate::request::sweep::{Factor, MOST, Point};
use crate::util::error::{Fail, usage};

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Names in the first line, a point in each other.
    Csv,
    /// A JSON object in each line.
    JsonLines,
    /// A list of mappings, or a mapping with `grid`, `zip` and `points`.
    Yaml,
}

impl Form {
    /// By the file's name, else, as of what is read from a pipe, by how the text begins.
    pub fn of(file: &Path, text: &str) -> Self {
        match file.extension().and_then(|e| e.to_str()).map(str::to_ascii_lowercase).as_deref() {
            Some("csv") => Self::Csv,
            Some("jsonl" | "ndjson") => Self::JsonLines,
            Some("yaml" | "yml" | "json") => Self::Yaml,
            _ if text.trim_start().starts_with('{') => Self::JsonLines,
            _ if looks_like_yaml(text) => Self::Yaml,
            _ => Self::Csv,
        }
    }
}

/// Whether the text begins with a list or a mapping, which no header of names does.
fn looks_like_yaml(text: &str) -> bool {
    // at an error it stands still, and would tell it for ever
    let first = Parser::new_from_str(text).map_while(Result::ok).find_map(|event| match event.0 {
        Event::SequenceStart(..) | Event::MappingStart(..) => Some(true),
        Event::Scalar(..) => Some(false),
        _ => None,
    });
    first == Some(true)
}

/// The factors that the text of `file` lists.
pub fn read(text: &str, file: &Path) -> Result<Vec<Factor>, Fail> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rows = match Form::of(file, text) {
        Form::Csv => csv(text, file)?,
        Form::JsonLines => json_lines(text, file)?,
        Form::Yaml => return yaml_file(text, file),
    };
    if rows.is_empty() {
        return Err(usage(format!("`{}` has no points", file.display())));
    }
    Ok(vec![Factor::Rows(rows)])
}

fn at(file: &Path, line: u64, what: impl std::fmt::Display) -> Fail {
    usage(format!("{}:{line}: {what}", file.display()))
}

fn point(file: &Path, line: u64, row: Point) -> Result<Point, Fail> {
    for (name, value) in &row {
        check_name(name)
            .map_err(|wrong| at(file, line, format!("`{}` {}", crate::util::ui::line(name), wrong.message)))?;
        fits(name, value).map_err(|fail| at(file, line, fail.message))?;
    }
    Ok(row)
}

fn add(rows: &mut Vec<Point>, row: Point, file: &Path) -> Result<(), Fail> {
    rows.push(row);
    if rows.len() as u64 > MOST {
        return Err(usage(format!("`{}` has more than {MOST} points, and a Job can hold no more", file.display())));
    }
    Ok(())
}

fn csv(text: &str, file: &Path) -> Result<Vec<Point>, Fail> {
    // a ragged row is told by us, with what it lacks
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::Headers).from_reader(text.as_bytes());
    let broken = |error: &csv::Error| at(file, error.position().map_or(1, csv::Position::line), "is no CSV");
    let names: Vec<String> = reader.headers().map_err(|e| broken(&e))?.iter().map(str::to_owned).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(at(file, 1, format!("the column `{}` comes twice", crate::util::ui::line(name))));
        }
    }
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|e| broken(&e))?;
        let line = record.position().map_or(1, csv::Position::line);
        if record.len() != names.len() {
            let values = if record.len() == 1 { "value" } else { "values" };
            return Err(at(file, line, format!("has {} {values}, and line 1 names {}", record.len(), names.len()))
                .hint("put a value with a comma or a line's end in double quotes"));
        }
        let cells = names.iter().zip(&record).filter(|(_, cell)| !cell.is_empty());
        let row = cells.map(|(name, cell)| (name.clone(), typed(cell))).collect();
        add(&mut rows, point(file, line, row)?, file)?;
    }
    Ok(rows)
}

fn json_lines(text: &str, file: &Path) -> Result<Vec<Point>, Fail> {
    let mut rows = Vec::new();
    for (line, text) in (1..).zip(text.lines()).filter(|(_, text)| !text.trim().is_empty()) {
        let object: Json = serde_json::from_str(text).map_err(|e| at(file, line, format!("is no JSON: {e}")))?;
        let Json::Object(object) = object else {
            return Err(at(file, line, "is no JSON object").hint(r#"write a point such as `{"lr": 0.1, "seed": 1}`"#));
        };
        if let Some(name) = said_twice(text) {
            return Err(at(file, line, format!("`{}` is there twice", crate::util::ui::line(&name))));
        }
        let row = object.into_iter().filter(|(_, value)| !value.is_null()).map(|(name, json)| (name, of_json(json)));
        add(&mut rows, point(file, line, row.collect())?, file)?;
    }
    Ok(rows)
}

/// A name that comes twice in a JSON object, of which a reader would keep the last.
fn said_twice(object: &str) -> Option<String> {
    struct Names(BTreeSet<String>);
    impl<'de> Visitor<'de> for Names {
        type Value = Option<String>;

        fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut twice = None;
            while let Some((name, IgnoredAny)) = map.next_entry::<String, _>()? {
                if !self.0.insert(name.clone()) {
                    twice = Some(name);
                }
            }
            Ok(twice)
        }
    }
    serde_json::Deserializer::from_str(object).deserialize_map(Names(BTreeSet::new())).ok().flatten()
}

fn of_json(json: Json) -> Value {
    let text = json.as_str().map_or_else(|| json.to_string(), str::to_owned);
    Value { text, json }
}

fn yaml_file(text: &str, file: &Path) -> Result<Vec<Factor>, Fail> {
    if text.len() > MAX_BYTES {
        return Err(usage(format!("`{}` is longer than {} MiB", file.display(), MAX_BYTES >> 20))
            .hint("list so many points in a CSV file, or as a JSON object in each line of a `.jsonl` file"));
    }
    let factors = factors(&sweep::parse(text, file)?)?;
    if factors.is_empty() {
        return Err(usage(format!("`{}` has no points", file.display())));
    }
    Ok(factors)
}

/// The factors of a sweep that a file describes.
pub fn factors(table: &Table) -> Result<Vec<Factor>, Fail> {
    let axis = |axis: &Axis| match &axis.values {
        Values::Listed(values) => {
            values.iter().try_for_each(|value| fits(&axis.name, value))?;
            Ok(Factor::Rows(values.iter().map(|value| vec![(axis.name.clone(), value.clone())]).collect()))
        }
        Values::Range(text) => match range(&axis.name, text) {
            Some(range) => range.map_err(usage),
            None => Err(usage(format!("`{text}` is no range for `{}`", axis.name)).hint("write it such as `1..5`")),
        },
    };
    let mut factors = Vec::new();
    if !table.points.is_empty() {
        table.points.iter().flatten().try_for_each(|(name, value)| fits(name, value))?;
        factors.push(Factor::Rows(table.points.clone()));
    }
    if !table.zip.is_empty() {
        let zip = table.zip.iter().map(axis).collect::<Result<Vec<_>, Fail>>()?;
        factors.push(zipped(&zip).map_err(usage)?);
    }
    for one in &table.grid {
        factors.push(axis(one)?);
    }
    Ok(factors)
}
