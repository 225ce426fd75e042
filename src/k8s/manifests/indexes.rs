//! Sets of indexes as a Job's status has them, such as `0-4,7`. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

/// A set of indexes; as large as its text says, which may be more than any Job has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Indexes {
    /// The first index of each range with its last; no two ranges touch.
    ranges: BTreeMap<u64, u64>,
}

impl Indexes {
    /// Reads what `value` of a Job's status says. Parts that are no range are passed over.
    pub fn of(value: &Value) -> Self {
        let parts = value.as_str().unwrap_or_default().split(',').filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some((first.parse().ok()?, last.parse().ok()?)).filter(|(first, last): &(u64, u64)| first <= last)
        });
        let mut sorted: Vec<(u64, u64)> = parts.collect();
        sorted.sort_unstable();
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for (first, last) in sorted {
            match ranges.last_mut() {
                Some(known) if first <= known.1.saturating_add(1) => known.1 = known.1.max(last),
                _ => ranges.push((first, last)),
            }
        }
        Self { ranges: ranges.into_iter().collect() }
    }

    /// Whether it holds `index`.
    pub fn contains(&self, index: u64) -> bool {
        self.ranges.range(..=index).next_back().is_some_and(|(_, &last)| index <= last)
    }

    /// How many it holds below `end`.
    pub fn count_below(&self, end: u64) -> u64 {
        self.ranges.range(..end).map(|(first, last)| (*last).min(end - 1) - first + 1).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Indexes {
        Indexes::of(&text.into())
    }

    #[test]
    fn ranges_are_read_as_the_job_controller_writes_them() {
        let set = of("0-4,7,9-10");
        let held: Vec<u64> = (0..12).filter(|index| set.contains(*index)).collect();
        assert_eq!(held, [0, 1, 2, 3, 4, 7, 9, 10]);
        assert_eq!((set.count_below(10), set.count_below(0), set.count_below(u64::MAX)), (7, 0, 8));
        assert_eq!((of(""), Indexes::of(&Value::Null)), (Indexes::default(), Indexes::default()));
    }

    #[test]
    fn a_range_without_end_takes_no_time() {
        let most = format!("0-{0},5-6,{0},0-{0}", u64::MAX);
        let set = of(&vec![most; 10_000].join(","));
        assert_eq!((set.count_below(100_000), set.contains(7), set.contains(u64::MAX)), (100_000, true, true));
        assert_eq!(of("9-3,-,-1,1-,x,1-2-3"), Indexes::default());
    }

    proptest! {
        #[test]
        fn each_index_is_as_its_ranges_say(ranges in prop::collection::vec((0u64..60, 0u64..60), 0..8)) {
            let text: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
            let set = of(&text.join(","));
            let within = |index: u64| ranges.iter().any(|(first, last)| (*first..=*last).contains(&index));
            prop_assert!((0..70).all(|index| set.contains(index) == within(index)));
            prop_assert_eq!(set.count_below(50), (0..50).filter(|index| within(*index)).count() as u64);
        }
    }
}
