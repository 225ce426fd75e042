//! The points of a plot and their positions. Pure.

use std::ops::Range;

use serde_json::Value;

use super::{Results, compare, number, shown};
use crate::util::error::{Fail, fail, usage};
use crate::util::ui::line;
use crate::util::width::shorten;

/// What to plot, by column names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The horizontal axis.
    pub x: String,
    /// The vertical axis.
    pub y: String,
    /// The column that defines the series.
    pub by: Option<String>,
}

impl Wanted {
    /// Reads `x=lr` and `y=accuracy`, in any order.
    ///
    /// # Errors If the text has another form.
    pub fn parse(words: &[String], by: Option<String>) -> Result<Self, Fail> {
        let of = |axis: &str| {
            let mut named = words.iter().filter_map(|word| word.strip_prefix(axis)).filter(|name| !name.is_empty());
            named.next().map(str::to_owned)
        };
        match (of("x="), of("y=")) {
            (Some(x), Some(y)) => Ok(Self { x, y, by }),
            _ => Err(usage(format!("`{}` names no two axes", words.join(" ")))
                .hint("write them such as `--plot x=lr y=accuracy`")),
        }
    }
}

/// One axis.
#[derive(Debug, Clone, PartialEq)]
pub struct PlotAxis {
    /// The column.
    pub name: String,
    /// Whether the axis is logarithmic.
    pub log: bool,
    /// The labels at 0, 1 and so on, if the values are not numbers.
    pub categories: Vec<String>,
    /// The least and greatest values; on a logarithmic axis, the exponents.
    span: (f64, f64),
}

/// The points by series.
#[derive(Debug, Clone, PartialEq)]
pub struct Plot {
    /// The horizontal axis.
    pub x: PlotAxis,
    /// The vertical axis.
    pub y: PlotAxis,
    /// The names of the series, with their points in axis coordinates.
    pub series: Vec<(String, Vec<(f64, f64)>)>,
    /// How many points of the run are not in the plot.
    pub left_out: usize,
    split: bool,
}

impl Plot {
    /// Computes the plot.
    ///
    /// # Errors If a column does not exist, or there are no points to show.
    pub fn new(results: &Results, wanted: &Wanted) -> Result<Self, Fail> {
        let of = |name: &str| Ok::<_, Fail>(results.values(results.column(name)?).collect::<Vec<_>>());
        let (xs, ys) = (of(&wanted.x)?, of(&wanted.y)?);
        let by = wanted.by.as_deref().map(of).transpose()?;
        let shown_at: Vec<usize> = (0..xs.len())
            .filter(|&at| xs[at].is_some() && ys[at].as_ref().and_then(number).is_some())
            // if other values are numbers, a value that is not a number has no position
            .filter(|&at| !is_no_number(xs[at].as_ref()))
            .collect();
        if shown_at.is_empty() {
            let why = if ys.iter().flatten().any(|y| number(y).is_some()) { &wanted.x } else { &wanted.y };
            return Err(fail(format!("no point has a number under `{why}` to plot")));
        }
        let x_values: Vec<&Value> = shown_at.iter().filter_map(|&at| xs[at].as_ref()).collect();
        let y_values: Vec<f64> = shown_at.iter().filter_map(|&at| ys[at].as_ref().and_then(number)).collect();
        let x = PlotAxis::new(&wanted.x, &x_values);
        let y = PlotAxis::of_numbers(&wanted.y, &y_values);
        let mut keys: Vec<Option<Value>> =
            shown_at.iter().map(|&at| by.as_ref().and_then(|by| by[at].clone())).collect();
        let own = keys.clone();
        keys.sort_by(|a, b| compare(a.as_ref(), b.as_ref(), false));
        keys.dedup();
        let series = keys.iter().map(|key| {
            let name =
                format!("{}={}", wanted.by.as_deref().unwrap_or_default(), key.as_ref().map(shown).unwrap_or_default());
            let points =
                (0..shown_at.len()).filter(|&i| own[i] == *key).map(|i| (x.place(x_values[i]), y.at(y_values[i])));
            (line(&name), points.collect())
        });
        let series = series.collect();
        Ok(Self { series, left_out: xs.len() - shown_at.len(), split: by.is_some(), x, y })
    }

    /// Whether there are series.
    pub fn is_split(&self) -> bool {
        self.split
    }
}

/// `NaN` and similar, which a point may also have written as `null`.
fn is_no_number(value: Option<&Value>) -> bool {
    let word = |value: &Value| value.as_str().is_some_and(|text| super::NO_NUMBERS.contains(&text));
    value.is_some_and(|value| value.is_null() || word(value))
}

impl PlotAxis {
    /// Numbers, or strings if any value is not a number.
    fn new(name: &str, values: &[&Value]) -> Self {
        let numbers: Vec<f64> = values.iter().filter_map(|value| number(value)).collect();
        if numbers.len() == values.len() {
            return Self::of_numbers(name, &numbers);
        }
        let mut sorted = values.to_vec();
        sorted.sort_by(|a, b| compare(Some(a), Some(b), false));
        let mut categories: Vec<String> = sorted.into_iter().map(shown).collect();
        categories.dedup();
        #[allow(clippy::cast_precision_loss, reason = "a run has 100,000 points at most")]
        let span = (-0.5, categories.len() as f64 - 0.5);
        Self { name: line(name), log: false, categories, span }
    }

    fn of_numbers(name: &str, values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        sorted.dedup();
        let (low, high) = (sorted.first().copied().unwrap_or(0.0), sorted.last().copied().unwrap_or(0.0));
        // otherwise, half of the values would be in the first tenth of the axis
        let log = low > 0.0 && high / low >= 100.0 && sorted[(sorted.len() - 1) / 2] <= high / 10.0 * (1.0 + 1e-9);
        let (low, high) = if log { (low.log10(), high.log10()) } else { (low, high) };
        // halved first, because the difference between the largest and the smallest number overflows
        let room = ((high / 2.0 - low / 2.0) * 0.1).max(high.abs().max(low.abs()) * 1e-9).max(f64::MIN_POSITIVE * 1e9);
        let room = if low < high { room } else { (high.abs() * 0.1).max(0.5) };
        let span = ((low - room).max(f64::MIN / 4.0), (high + room).min(f64::MAX / 4.0));
        Self { name: line(name), log, categories: Vec::new(), span }
    }

    /// The position of a number.
    fn at(&self, value: f64) -> f64 {
        if self.log { value.log10() } else { value.clamp(self.span.0, self.span.1) }
    }

    /// The position of any value.
    #[allow(clippy::cast_precision_loss, reason = "a run has 100,000 points at most")]
    fn place(&self, value: &Value) -> f64 {
        if self.categories.is_empty() {
            return number(value).map_or(0.0, |value| self.at(value));
        }
        let text = shown(value);
        self.categories.iter().position(|category| *category == text).unwrap_or(0) as f64
    }

    /// The range of the axis.
    pub fn range(&self) -> Range<f64> {
        self.span.0..self.span.1
    }

    /// The label at a position.
    pub fn label(&self, at: f64) -> String {
        let whole = at.round();
        let is_whole = (at - whole).abs() < 1e-6;
        if self.categories.is_empty() && !self.log {
            return short(at, self.span.1 - self.span.0);
        }
        if !is_whole {
            return String::new();
        }
        if self.log {
            return if (-3.0..=3.0).contains(&whole) {
                short(10_f64.powf(whole), 10_f64.powf(whole))
            } else {
                format!("1e{whole}")
            };
        }
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is looked up")]
        let category = (whole >= 0.0).then(|| self.categories.get(whole as usize)).flatten();
        category.map(|text| line(&shorten(text, 12))).unwrap_or_default()
    }

    /// Some of the possible labels, depending on the axis' width.
    pub fn labels(&self) -> Vec<String> {
        if !self.categories.is_empty() {
            return self.categories.iter().map(|text| line(&shorten(text, 12))).collect();
        }
        let (low, high) = self.span;
        (0..=10)
            .map(|tenth| {
                self.label(if self.log {
                    (low + (high - low) * f64::from(tenth) / 10.0).round()
                } else {
                    low + (high - low) * f64::from(tenth) / 10.0
                })
            })
            .collect()
    }
}

/// A number as the label of an axis of this length, with just enough digits to distinguish it from its neighbours.
pub fn short(value: f64, length: f64) -> String {
    if value.abs() < length.abs() * 1e-9 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&value.abs()) {
        let text = format!("{value:.2e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
        return format!("{digits}e{exponent}");
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is between 0 and 9")]
    let digits = (2.0 - length.abs().log10().floor()).clamp(0.0, 9.0) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::results::{PointState, Row, draw};
    use serde_json::json;

    fn results(points: &[(Value, Value)]) -> Results {
        let row = |(index, (params, metrics)): (usize, &(Value, Value))| Row {
            index: index as u64,
            state: PointState::Succeeded,
            params: params.as_object().cloned().unwrap(),
            metrics: metrics.as_object().cloned().unwrap(),
            ..Row::default()
        };
        Results::new(points.iter().enumerate().map(row).collect())
    }

    fn plot(points: &[(Value, Value)], by: Option<&str>) -> Result<Plot, String> {
        let wanted = Wanted::parse(&["y=acc".into(), "x=lr".into()], by.map(str::to_owned)).unwrap();
        Plot::new(&results(points), &wanted).map_err(|fail| fail.message)
    }

    fn numbers(values: &[f64]) -> Vec<(Value, Value)> {
        values.iter().map(|lr| (json!({"lr": lr}), json!({"acc": 0.5}))).collect()
    }

    #[test]
    fn an_axis_is_logarithmic_where_the_values_span_decades() {
        let log = |values: &[f64]| plot(&numbers(values), None).unwrap().x.log;
        assert!(log(&[0.1, 0.01, 0.001]) && log(&[1e-5, 3e-4, 1e-1]));
        let epochs: Vec<f64> = (1..=200).map(f64::from).collect();
        assert!(
            !log(&epochs)
                && !log(&[0.1, 0.01])
                && !log(&[0.0, 0.001, 1.0])
                && !log(&[-1.0, 0.1, 1000.0])
                && !log(&[5.0])
        );
    }

    #[test]
    fn texts_are_categories_and_series_are_told_apart() {
        let points = [("b", 1, 0.5), ("a", 1, 0.25), ("a", 2, 0.75)]
            .map(|(lr, seed, acc)| (json!({"lr": lr, "seed": seed}), json!({"acc": acc})));
        let plot = plot(&points, Some("seed")).unwrap();
        assert_eq!(plot.x.categories, ["a", "b"]);
        assert_eq!(
            plot.series,
            [("seed=1".to_owned(), vec![(1.0, 0.5), (0.0, 0.25)]), ("seed=2".to_owned(), vec![(0.0, 0.75)])]
        );
        let text = draw::text(&plot, 40, 12).unwrap();
        assert!(text.starts_with("acc\n") && text.ends_with("lr\n● seed=1\n○ seed=2"), "{text}");
        assert_eq!((text.matches('●').count(), text.matches('○').count()), (3, 2), "{text}");
        let svg = draw::svg(&plot).unwrap();
        assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && svg.contains("seed=2"), "{svg}");
    }

    #[test]
    fn what_has_no_number_is_left_out_and_nothing_at_all_is_told() {
        let mut points = numbers(&[0.1, 0.2]);
        points.push((json!({"lr": 1}), json!({"acc": "NaN"})));
        points.push((json!({}), json!({"acc": 1})));
        assert_eq!(plot(&points, None).unwrap().left_out, 2);
        assert_eq!(plot(&points[2..3], None).unwrap_err(), "no point has a number under `acc` to plot");
        assert_eq!(plot(&[], None).unwrap_err(), "no point has a parameter or metric called `lr`");
        assert!(Wanted::parse(&["x=".into(), "y=a".into()], None).is_err());
    }

    #[test]
    fn every_width_holds_it_and_nothing_wild_breaks_it() {
        let wild = [f64::MAX, f64::MIN, 0.0, 1e-300, -1e-300, 1.0];
        for points in [numbers(&wild), numbers(&[3.0]), numbers(&[0.0]), numbers(&[1e-300, 1e300, 1e-200])] {
            let plot = plot(&points, None).unwrap();
            for columns in [0, 1, 20, 21, 80, 300] {
                let text = draw::text(&plot, columns, 20).unwrap();
                assert!(text.lines().all(|line| line.chars().count() <= columns.max(20)), "{text}");
                assert!(text.contains('●'), "{text}");
            }
            assert!(draw::svg(&plot).unwrap().contains("<circle"));
        }
    }

    #[test]
    fn wide_names_move_nothing_to_the_right() {
        let of = |model: &str| {
            let points = [(model, 0.5), ("b", 0.25)].map(|(lr, acc)| (json!({"lr": lr}), json!({"acc": acc})));
            draw::text(&plot(&points, None).unwrap(), 40, 12).unwrap()
        };
        assert!(!of("模型").contains('\0'));
        assert_eq!(of("模型").replace("模型", "wide"), of("wide"));
    }

    #[test]
    fn nobodys_words_break_the_drawing() {
        let points = [(json!({"lr": "\u{1b}[31m</svg>&\n"}), json!({"acc": 1})), (json!({"lr": 1}), json!({"acc": 2}))];
        let plot = plot(&points, None).unwrap();
        let (svg, text) = (draw::svg(&plot).unwrap(), draw::text(&plot, 80, 20).unwrap());
        assert_eq!(svg.matches("</svg>").count(), 1, "{svg}");
        assert!(!svg.contains('\u{1b}') && !text.contains('\u{1b}'));
    }
}
