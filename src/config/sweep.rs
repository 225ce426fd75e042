//! A sweep as a file describes it: a list of points, or a mapping with `grid`, `zip` and `points`.

use std::path::Path;
use std::rc::Rc;

use super::Value;
use super::fault::{Fault, Faults, Spot, Wrong, must_be, wrong};
use super::parameters::{check_name, read_value};
use super::section::{LocatedNode, Section};
use super::yaml::{self, Data, Node};

/// What the file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    /// Parameters of which each value goes with each of the others'.
    pub grid: Vec<Axis>,
    /// Parameters whose first values go together, and their second, and so on.
    pub zip: Vec<Axis>,
    /// Points as they are.
    pub points: Vec<Vec<(String, Value)>>,
}

/// A parameter with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// The parameter.
    pub name: String,
    /// Its values.
    pub values: Values,
}

/// The values of a parameter.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// One by one.
    Listed(Vec<Value>),
    /// A range of whole numbers, such as `1..5`.
    Range(String),
}

/// Reads a file that holds nothing but a sweep.
///
/// # Errors
/// All faults of the file.
pub fn parse(text: &str, file: &Path) -> Result<Table, Vec<Fault>> {
    let (root, mut faults) = yaml::parse(text, file)?;
    let Some(root) = root else {
        faults.add_whole(wrong("has no points"));
        return faults.finish(None);
    };
    let found = LocatedNode { spot: Spot { line: root.line, key: String::new() }, node: &root };
    let table = read(&found, &mut faults);
    faults.finish(Some(table))
}

/// Reads what stands under `sweep`.
pub(super) fn read(found: &LocatedNode, faults: &mut Faults) -> Table {
    match &found.node.data {
        Data::List(_) => Table { points: points(found, faults), ..Table::default() },
        Data::Map(_) => Section::read(found.node, found.spot.clone(), faults, |section| Table {
            grid: section.find("grid").map(|found| axes(&found, section.faults)).unwrap_or_default(),
            zip: section.find("zip").map(|found| axes(&found, section.faults)).unwrap_or_default(),
            points: section.find("points").map(|found| points(&found, section.faults)).unwrap_or_default(),
        })
        .unwrap_or_default(),
        Data::Scalar { .. } => {
            let what = wrong(format!("must be a list of points or a mapping, not {}", found.node.what()));
            faults.add(&found.spot, what.hint("write it such as `grid: {lr: [0.1, 0.01], seed: 1..5}`"));
            Table::default()
        }
    }
}

fn axes(found: &LocatedNode, faults: &mut Faults) -> Vec<Axis> {
    let mut axes = Vec::new();
    for (name, found) in found.entries(faults) {
        if let Err(what) = check_name(name) {
            faults.add(&found.spot, what);
        }
        let values = match &found.node.data {
            Data::Scalar { text, plain: true } if text.contains("..") => Values::Range(text.clone()),
            Data::List(_) => Values::Listed(values(&found, faults)),
            _ => {
                faults.add(&found.spot, must_be("a list, or a range such as `1..5`", &found.node.what()));
                continue;
            }
        };
        axes.push(Axis { name: name.to_owned(), values });
    }
    axes
}

fn values(found: &LocatedNode, faults: &mut Faults) -> Vec<Value> {
    let mut all = Vec::new();
    for item in found.items(faults) {
        if item.node.is_null() {
            faults.add(&item.spot, wrong("has no value").hint("write `\"\"` for an empty one"));
        }
        all.extend(read_value(item.node, None, &item.spot, faults));
    }
    if all.is_empty() {
        faults.add(&found.spot, wrong("has no values"));
    }
    all
}

fn points(found: &LocatedNode, faults: &mut Faults) -> Vec<Vec<(String, Value)>> {
    let mut points = Vec::new();
    for item in found.items(faults) {
        let mut point = Vec::new();
        for (name, value) in item.entries(faults) {
            if let Err(what) = check_name(name) {
                faults.add(&value.spot, what);
            }
            point.extend(read_value(value.node, None, &value.spot, faults).map(|value| (name.to_owned(), value)));
        }
        points.push(point);
    }
    points
}

/// The values in `0.1,0.01`, as a list of YAML has them: quotes keep text, brackets make lists.
///
/// # Errors
/// What is wrong with the text.
pub fn values_of(text: &str) -> Result<Vec<Value>, Wrong> {
    let no_list = || wrong("is no list of values").hint("put a value that holds a comma, a bracket or `: ` in quotes");
    let told = |faults: Vec<Fault>| faults.into_iter().next().map_or_else(no_list, |fault| wrong(fault.message));
    let (root, mut faults) = yaml::parse(&format!("[{text}]"), Path::new("")).map_err(|_| no_list())?;
    let root: Rc<Node> = root.ok_or_else(no_list)?;
    let found = LocatedNode { spot: Spot { line: 1, key: String::new() }, node: &root };
    if !matches!(root.data, Data::List(_)) {
        return Err(no_list());
    }
    let values = values(&found, &mut faults);
    faults.finish(Some(values)).map_err(told)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn json_of(text: &str) -> Result<Vec<serde_json::Value>, String> {
        values_of(text).map(|all| all.into_iter().map(|value| value.json).collect()).map_err(|what| what.message)
    }

    #[test]
    fn values_keep_their_types_and_spelling() {
        assert_eq!(
            json_of("1,\"1\",1.0,true,a b,[64, 32],''").unwrap(),
            [json!(1), json!("1"), json!(1.0), json!(true), json!("a b"), json!([64, 32]), json!("")]
        );
        let texts: Vec<String> = values_of("1e-3,0.10,[64, 32]").unwrap().into_iter().map(|v| v.text).collect();
        assert_eq!(texts, ["1e-3", "0.10", "[64,32]"]);
        assert_eq!(values_of("\"a,b\",'it''s'").unwrap().len(), 2);
    }

    #[test]
    fn what_is_no_list_is_told() {
        for text in ["a,,b", "]", "a]", "[", "a, ]: b", "", "~"] {
            assert!(json_of(text).is_err(), "{text}: {:?}", json_of(text));
        }
    }

    #[test]
    fn a_file_is_a_list_or_a_grid() {
        let table =
            parse("grid: {lr: [0.1, 0.01], seed: 1..5}\nzip: {a: [1, 2], b: [3, 4]}", "s.yaml".as_ref()).unwrap();
        assert_eq!(table.grid[1].values, Values::Range("1..5".into()));
        assert_eq!((table.grid.len(), table.zip.len(), table.points.len()), (2, 2, 0));
        let table = parse("- {lr: 0.1}\n- {lr: 0.2, seed: 1}", "s.yaml".as_ref()).unwrap();
        assert_eq!(table.points[1].len(), 2);
        for (text, message) in [
            ("grid: {lr: 0.1}", "must be a list"),
            ("grid: {lr: []}", "has no values"),
            ("gird: {}", "is not a known key"),
            ("lr", "must be a list of points"),
            ("- 1", "must be a mapping"),
            ("- {'a b': 1}", "no name of a parameter"),
        ] {
            let faults = parse(text, "s.yaml".as_ref()).unwrap_err();
            assert!(faults[0].message.contains(message), "{text}: {faults:?}");
        }
    }
}
