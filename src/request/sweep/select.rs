//! Which points of a sweep are taken, and in which order.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand::seq::{SliceRandom, index};

use crate::request::sweep::MOST;
use crate::util::error::{Fail, usage};

/// What the flags say: first the order, then how many, then which of these.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// `--shuffle SEED`: in an order drawn by chance, the same for the same seed.
    pub shuffle: Option<u64>,
    /// `--limit N`: no more than the first of them.
    pub limit: Option<u64>,
    /// `--points 3,7-9`: only these, as `--dry-run` numbers them.
    pub points: Option<Vec<u64>>,
}

impl Selection {
    /// The numbers of the points that are taken out of `all`; `None` stands for all of them in order.
    pub(super) fn of(&self, all: u64) -> Result<Option<Vec<u64>>, Fail> {
        let count = self.limit.map_or(all, |limit| limit.min(all));
        if let (Some(points), None) = (&self.points, self.shuffle) {
            return within(points, count).map(|()| Some(points.clone()));
        }
        if self.shuffle.is_none() && count == all {
            return Ok(None);
        }
        if count > MOST {
            // told by whoever counts them
            return if self.shuffle.is_some() { Err(too_many(count)) } else { Ok(None) };
        }
        let drawn = self.shuffle.map_or_else(|| (0..count).collect(), |seed| draw(seed, all, count));
        let Some(points) = &self.points else { return Ok(Some(drawn)) };
        within(points, count)?;
        Ok(Some(points.iter().filter_map(|n| drawn.get(usize::try_from(*n).ok()?).copied()).collect()))
    }
}

/// `count` different numbers below `all`, in an order drawn by chance. A generator with a specified
/// output, as the same seed must mean the same points tomorrow.
fn draw(seed: u64, all: u64, count: u64) -> Vec<u64> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let (Ok(all_here), Ok(count)) = (usize::try_from(all), usize::try_from(count)) else { return Vec::new() };
    if all <= MOST {
        // so that a larger limit only adds points behind the others
        let mut order: Vec<u64> = (0..all).collect();
        order.shuffle(&mut random);
        order.truncate(count);
        return order;
    }
    index::sample(&mut random, all_here, count).into_iter().map(|n| n as u64).collect()
}

fn too_many(count: u64) -> Fail {
    usage(format!("the sweep has {count} points, and a Job can hold {MOST}"))
        .hint("take a part of them: `--limit 1000`")
}

fn within(points: &[u64], count: u64) -> Result<(), Fail> {
    match points.iter().find(|number| **number >= count) {
        Some(number) => Err(usage(format!("the sweep has no point {number}"))
            .hint(format!("its points are 0 to {}; see them with `--dry-run`", count.saturating_sub(1)))),
        None => Ok(()),
    }
}

/// What `3,7-9` says: numbers in order, none twice.
pub fn numbers(text: &str) -> Result<Vec<u64>, Fail> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (Ok(first), Ok(last)) = (first.trim().parse::<u64>(), last.trim().parse::<u64>()) else {
            return Err(usage(format!("`{}` is no number of a point", crate::util::ui::line(part)))
                .hint("write them such as `--points 3,7-9`"));
        };
        if last < first || last - first >= MOST {
            return Err(usage(format!("`{part}` is no range of points")).hint("write it such as `--points 7-9`"));
        }
        all.extend(first..=last);
        if all.len() as u64 > 2 * MOST {
            return Err(too_many(all.len() as u64));
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}
