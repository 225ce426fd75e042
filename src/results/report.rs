//! What a point left behind: a line of its pod's termination message, or its record on the volume.

use serde_json::Value;

use crate::loose;

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which point.
    pub index: u64,
    /// Its exit code; none while it runs, or if it was killed before it could be noted.
    pub code: Option<i64>,
    /// When the attempt began, in a record.
    pub began: String,
    /// Its parameters, in a record.
    pub params: Option<Value>,
    /// What it measured.
    pub metrics: Option<Value>,
    /// Whether its metrics stand only on the volume.
    pub more: bool,
    /// Whether what it wrote as its metrics is no JSON.
    pub broken: bool,
}

impl Report {
    /// Reads one. What the point wrote is passed on as it is, so broken metrics may break the whole:
    /// then what stands before them still counts.
    pub fn parse(text: &str) -> Option<Self> {
        let (value, broken) = if let Some(value) = loose::parse(text) {
            (value, false)
        } else {
            let before = text.find(r#","metrics":"#).map(|at| format!("{}}}", &text[..at]))?;
            (loose::parse(&before)?, true)
        };
        let given = |name: &str| value.get(name).filter(|given| !given.is_null()).cloned();
        let metrics = given("metrics");
        let is_object = metrics.as_ref().is_none_or(Value::is_object);
        Some(Self {
            index: value["index"].as_u64()?,
            code: value["code"].as_i64(),
            began: value["began"].as_str().unwrap_or_default().to_owned(),
            params: given("params"),
            metrics: metrics.filter(|_| is_object),
            more: value["more"] == true,
            broken: broken || !is_object,
        })
    }

    /// Those in a pod's termination message, which may be the end of a log instead.
    pub fn all(message: &str) -> Vec<Self> {
        message.lines().filter(|line| line.starts_with('{')).filter_map(Self::parse).collect()
    }

    /// What both tell of one point: the attempt that succeeded counts, else the last one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let outdone = (self.code == Some(0), &self.began) <= (other.code == Some(0), &other.began);
        let (mut best, rest) = if outdone { (other, self) } else { (self, other) };
        if best.code == rest.code && best.metrics.is_none() {
            best.metrics = rest.metrics;
        }
        best.params = best.params.or(rest.params);
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_message_is_a_line_for_each_point() {
        let all = Report::all(
            "{\"index\":4,\"code\":0,\"metrics\":{\"loss\":NaN}}\n{\"index\":5,\"code\":1}\n{\"index\":6,\"code\":0,\"more\":true}\n",
        );
        assert_eq!(
            all.iter().map(|r| (r.index, r.code, r.more)).collect::<Vec<_>>(),
            [(4, Some(0), false), (5, Some(1), false), (6, Some(0), true)]
        );
        assert_eq!(all[0].metrics, Some(json!({"loss": "NaN"})));
        assert_eq!(Report::all("Traceback (most recent call last):\n{'a': 1}\nValueError: {\n"), []);
    }

    #[test]
    fn broken_metrics_break_nothing_else() {
        for text in [
            r#"{"index":3,"code":0,"metrics":{"accuracy": }}"#,
            r#"{"index":3,"code":0,"metrics":[1]}"#,
            r#"{"index":3,"code":0,"metrics":0.5}"#,
            r#"{"index":3,"code":0,"metrics":}}}"#,
        ] {
            let report = Report::parse(text).unwrap();
            assert_eq!((report.index, report.code, report.metrics, report.broken), (3, Some(0), None, true), "{text}");
        }
        let none = Report::parse(r#"{"index":3,"code":0,"metrics":null}"#).unwrap();
        assert!(none.metrics.is_none() && !none.broken);
        assert_eq!(Report::parse("{\"code\":0}"), None);
    }

    #[test]
    fn the_attempt_that_succeeded_counts() {
        let of = |code: &str, began: &str| Report::parse(&format!(r#"{{"index":0,"began":"{began}"{code}}}"#)).unwrap();
        let (good, late) = (of(r#","code":0"#, "1"), of(r#","code":1"#, "2"));
        assert_eq!((good.clone().with(late.clone()), late.clone().with(good.clone())), (good.clone(), good));
        assert_eq!(of("", "1").with(late.clone()), late);
        let (short, long) =
            (Report::parse(r#"{"index":0,"code":0,"metrics":{"a":1}}"#).unwrap(), of(r#","code":0"#, "2"));
        assert_eq!(short.with(long).metrics, Some(json!({"a": 1})));
    }
}
