//! Metrics of bounded size. Pure.

use serde_json::{Map, Value};

use super::cut;

/// How many bytes of metrics are kept per point, names and values together.
const MOST: usize = 1 << 20;

/// The size that a number counts as, in bytes; for a string, its length is added.
const LIGHTEST: usize = 8;

/// Metrics by name. If there are too many, long values are dropped first, then new names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct BoundedMetrics {
    all: Map<String, Value>,
    size: usize,
    /// The longest value that is kept, in bytes.
    longest: usize,
    /// How many values were dropped, and the name of the first.
    left_out: Option<(u64, String)>,
}

impl Default for BoundedMetrics {
    fn default() -> Self {
        Self { all: Map::new(), size: 0, longest: MOST, left_out: None }
    }
}

impl BoundedMetrics {
    /// Sets the value of a name.
    pub(super) fn set(&mut self, name: String, value: Value) {
        let (known, size) = (self.all.get(&name).map(size), size(&value));
        let grown = self.size + size + if known.is_none() { name.len() } else { 0 };
        let is_full = known.is_none() && self.longest == LIGHTEST && grown > MOST;
        if size > self.longest || is_full {
            self.unset(&name);
            self.leave_out(&name);
            return;
        }
        self.size = grown - known.unwrap_or(0);
        self.all.insert(name, value);
        while self.size > MOST && self.longest > LIGHTEST {
            self.shorten();
        }
    }

    /// Removes the value of a name.
    pub(super) fn unset(&mut self, name: &str) {
        if let Some(value) = self.all.remove(name) {
            self.size -= name.len() + size(&value);
        }
    }

    /// Drops the longest values.
    fn shorten(&mut self) {
        self.longest /= 2;
        let (all, longest) = (std::mem::take(&mut self.all), self.longest);
        let (kept, long): (Map<_, _>, Map<_, _>) = all.into_iter().partition(|(_, value)| size(value) <= longest);
        for (name, value) in &long {
            self.size -= name.len() + size(value);
            self.leave_out(name);
        }
        self.all = kept;
    }

    fn leave_out(&mut self, name: &str) {
        self.left_out.get_or_insert_with(|| (0, cut(name))).0 += 1;
    }

    /// The kept metrics.
    pub(super) fn all(&self) -> &Map<String, Value> {
        &self.all
    }

    /// Says that metrics were dropped, in words.
    pub(super) fn why(&self) -> Option<String> {
        const LIMIT: &str = "the metrics of a point are limited to 1 MiB";
        self.left_out.as_ref().map(|(count, first)| match count {
            1 => format!("the value of `{first}` is left out: {LIMIT}"),
            _ => format!("{count} values such as `{first}` are left out: {LIMIT}"),
        })
    }
}

/// The approximate size of a value in bytes.
fn size(value: &Value) -> usize {
    LIGHTEST
        + match value {
            Value::String(text) => text.len(),
            Value::Array(list) => list.iter().map(size).sum(),
            Value::Object(object) => object.iter().map(|(name, value)| name.len() + size(value)).sum(),
            _ => 0,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn kept(values: impl IntoIterator<Item = (String, Value)>) -> BoundedMetrics {
        let mut bounded = BoundedMetrics::default();
        values.into_iter().for_each(|(name, value)| bounded.set(name, value));
        let size: usize = bounded.all.iter().map(|(name, value)| name.len() + size(value)).sum();
        assert_eq!(bounded.size, size);
        assert!(size <= MOST + 100, "{size}");
        bounded
    }

    #[test]
    fn long_values_are_left_out_before_short_ones() {
        let long = |number: usize| (format!("plot{number}"), json!("x".repeat(64 << 10)));
        let short = [("accuracy".to_owned(), json!(0.9)), ("note".to_owned(), json!("best"))];
        let first = kept(short.clone().into_iter().chain((0..17).map(long)));
        let last = kept((0..17).map(long).chain(short.clone()));
        for bounded in [first, last] {
            assert!(short.iter().all(|(name, value)| bounded.all.get(name) == Some(value)));
            let why = bounded.why().unwrap();
            assert_eq!(why, "17 values such as `plot0` are left out: the metrics of a point are limited to 1 MiB");
        }
        assert_eq!(kept((0..15).map(long)).why(), None);
        let one = kept([("a".to_owned(), json!(["x".repeat(MOST)])), ("b".to_owned(), json!(1))]);
        let why = "the value of `a` is left out: the metrics of a point are limited to 1 MiB";
        assert_eq!((one.why().as_deref(), one.all.len()), (Some(why), 1));
    }

    #[test]
    fn of_too_many_names_the_first_are_kept_with_their_last_values() {
        let many = |value: u64| (0..25_000).map(move |number| (format!("metric_{number:045}"), json!(value)));
        let bounded = kept([("accuracy".to_owned(), json!(0.9))].into_iter().chain(many(1)).chain(many(2)));
        assert_eq!(bounded.all.iter().next(), Some((&"accuracy".to_owned(), &json!(0.9))));
        assert!(bounded.all.len() > 15_000 && bounded.all.values().skip(1).all(|value| *value == 2));
        assert!(bounded.why().unwrap().contains(" values such as `metric_0"), "{:?}", bounded.why());
        // a dropped value leaves no older value behind
        let text = ("accuracy".to_owned(), json!("x".repeat(100)));
        assert_eq!(
            kept(many(1).chain([("metric_".to_owned() + &"0".repeat(45), text.1)]))
                .all
                .get(&("metric_".to_owned() + &"0".repeat(45))),
            None
        );
    }
}
