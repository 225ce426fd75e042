//! A factor of a sweep's product: rows of values for the same parameters, or a range of whole numbers.

use crate::config::Value;
use crate::config::parameters::check_name;
use crate::config::sweep::values_of;
use crate::request::sweep::Point;
use crate::util::error::{Fail, usage};

/// Longest argument that a process can be given on Linux, less its end (`MAX_ARG_STRLEN`, 32 pages).
pub const LONGEST: usize = (128 << 10) - 1;

/// A factor.
#[derive(Debug, Clone, PartialEq)]
pub enum Factor {
    /// Rows as they are; they need not all name the same parameters.
    Rows(Vec<Point>),
    /// `first`, `first + step`, and so on: `count` values of one parameter.
    Range {
        /// The parameter.
        name: String,
        /// The first value.
        first: i64,
        /// From one value to the next.
        step: i64,
        /// How many.
        count: u64,
    },
}

impl Factor {
    /// What `--grid NAME=VALUE,...` says.
    pub fn grid(text: &str) -> Result<Self, Fail> {
        axis("--grid", text)
    }

    /// What all `--zip NAME=VALUE,...` say together: the first values of each are one row.
    pub fn zip(texts: &[String]) -> Result<Self, Fail> {
        let axes = texts.iter().map(|text| axis("--zip", text)).collect::<Result<Vec<_>, _>>()?;
        zipped(&axes).map_err(|what| {
            usage(what).hint("what is zipped has as many values each, such as `--zip a=1,2 --zip b=3,4`")
        })
    }

    /// How many rows it has.
    pub fn len(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.len() as u64,
            Self::Range { count, .. } => *count,
        }
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The parameters that it gives values to.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Self::Range { name, .. } => vec![name],
            Self::Rows(rows) => {
                let mut names = Vec::new();
                let mut known = std::collections::HashSet::new();
                for (name, _) in rows.iter().flatten() {
                    if known.insert(name.as_str()) {
                        names.push(name.as_str());
                    }
                }
                names
            }
        }
    }

    /// One row, counted from 0.
    pub fn row(&self, number: u64) -> Point {
        let at = usize::try_from(number).unwrap_or(usize::MAX);
        match self {
            Self::Rows(rows) => rows.get(at).cloned().unwrap_or_default(),
            Self::Range { name, first, step, .. } => {
                // the last value is an i64, so none before it is not
                let value = first.wrapping_add(step.wrapping_mul(number.cast_signed()));
                vec![(name.clone(), Value { text: value.to_string(), json: value.into() })]
            }
        }
    }
}

/// The rows of several factors beside each other; words for what is wrong.
pub(super) fn zipped(axes: &[Factor]) -> Result<Factor, String> {
    let count = axes.first().map_or(0, Factor::len);
    if let Some(other) = axes.iter().find(|axis| axis.len() != count) {
        return Err(format!(
            "`{}` has {count} values and `{}` has {}, and they are zipped",
            axes[0].names().join(", "),
            other.names().join(", "),
            other.len()
        ));
    }
    if count > super::MOST {
        return Err(format!("what is zipped has {count} values, and a Job can hold {} points", super::MOST));
    }
    Ok(Factor::Rows((0..count).map(|n| axes.iter().flat_map(|axis| axis.row(n)).collect()).collect()))
}

fn axis(flag: &str, text: &str) -> Result<Factor, Fail> {
    let example = format!("write it such as `{flag} lr=0.1,0.01` or `{flag} seed=1..5`");
    let Some((name, values)) = text.split_once('=') else {
        return Err(usage(format!("`{flag}` has no `=` in `{}`", crate::util::ui::line(text))).hint(example));
    };
    check_name(name)
        .map_err(|what| usage(format!("`{}` {}", crate::util::ui::line(name), what.message)).hint(example.clone()))?;
    if values.trim().is_empty() {
        return Err(usage(format!("`{flag}` gives no value to `{name}`")).hint(example));
    }
    if let Some(range) = range(name, values) {
        return range.map_err(|what| usage(format!("`{flag}`: {what}")).hint(example));
    }
    let values = values_of(values).map_err(|what| what.about(&format!("{flag} {name}")))?;
    values.iter().try_for_each(|value| fits(name, value))?;
    Ok(Factor::Rows(values.into_iter().map(|value| vec![(name.to_owned(), value)]).collect()))
}

/// An error for a value that no process can be given.
pub(super) fn fits(name: &str, value: &Value) -> Result<(), Fail> {
    if value.text.contains('\0') {
        return Err(usage(format!("a value of `{name}` holds a NUL character, which no argument can")));
    }
    if value.text.len() > LONGEST {
        return Err(usage(format!(
            "a value of `{name}` is {} KiB long, and no argument can be longer than {} KiB",
            value.text.len() >> 10,
            LONGEST.div_ceil(1 << 10)
        ))
        .hint("put it into a file of the folder, and sweep over the file's name"));
    }
    Ok(())
}

/// `1..5`, both ends included, or `0..100..10` with a step; `None` if the text is no range.
pub(super) fn range(name: &str, text: &str) -> Option<Result<Factor, String>> {
    let parts: Vec<&str> = text.split("..").map(str::trim).collect();
    let (first, last, step) = match parts[..] {
        [first, last] => (first, last, None),
        [first, last, step] => (first, last, Some(step)),
        _ => return None,
    };
    let (first, last) = (first.parse::<i64>().ok()?, last.parse::<i64>().ok()?);
    let step = match step {
        Some(step) => step.parse().ok()?,
        None if last < first => -1,
        None => 1_i64,
    };
    let span = i128::from(last) - i128::from(first);
    if step == 0 || (span != 0 && (span < 0) != (step < 0)) {
        return Some(Err(format!("the range `{text}` of `{name}` never ends")));
    }
    let count = u64::try_from(span / i128::from(step) + 1).unwrap_or(u64::MAX);
    Some(Ok(Factor::Range { name: name.to_owned(), first, step, count }))
}
