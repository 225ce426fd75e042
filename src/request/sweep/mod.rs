//! The points of a sweep: which sets of parameters a run tries. Pure.
//!
//! A sweep is a product of factors: each `--grid` is one, all `--zip` together are one, the rows of a
//! file are one. Points are numbered, the last factor fastest, and made one by one when they are asked
//! for, so that a grid of 10^9 points costs nothing until somebody wants them all.

mod factor;
mod rows;
mod select;

pub use factor::Factor;
pub use rows::{Form, factors, read};
pub use select::{Selection, numbers};

use crate::config::Value;
use crate::k8s::job::MOST_POINTS;
use crate::util::error::{Fail, usage};

/// Most points of a run: completions of an Indexed Job that has a back-off for each
/// (kubernetes, `pkg/apis/batch/validation/validation.go`, `maxJobBackoffLimitPerIndexCompletions`).
pub const MOST: u64 = MOST_POINTS;

/// What one point gives to the parameters, in order.
pub type Point = Vec<(String, Value)>;

/// A product of factors, of which some points are selected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sweep {
    factors: Vec<Factor>,
    /// The numbers of the points in the product, in the run's order; `None` stands for all.
    chosen: Option<Vec<u64>>,
}

impl Sweep {
    /// The product of `factors`, of which `selection` is taken.
    ///
    /// # Errors
    /// If a parameter comes twice, if no point is left, or more than [`MOST`].
    pub fn new(factors: Vec<Factor>, selection: &Selection) -> Result<Self, Fail> {
        let mut names: Vec<&str> = Vec::new();
        for name in factors.iter().flat_map(Factor::names) {
            if names.contains(&name) {
                return Err(usage(format!("the parameter `{name}` is swept twice"))
                    .hint("give all its values at one place, such as `--grid lr=0.1,0.01`"));
            }
            names.push(name);
        }
        let all = factors.iter().try_fold(1, |product: u64, factor| product.checked_mul(factor.len()));
        let chosen = selection.of(all.unwrap_or(u64::MAX))?;
        let count = chosen.as_ref().map_or(all, |chosen| Some(chosen.len() as u64));
        match count {
            Some(0) => Err(usage("the sweep has no points").hint("see them with `--dry-run`")),
            Some(count) if count <= MOST => Ok(Self { factors, chosen }),
            _ => {
                let count = count.map_or_else(|| "more than 10^19".to_owned(), |n| n.to_string());
                Err(usage(format!("the sweep has {count} points, and a Job can hold {MOST}"))
                    .hint("try a part of them, drawn by chance: `--shuffle 1 --limit 1000`"))
            }
        }
    }

    /// How many points it has.
    pub fn len(&self) -> usize {
        if let Some(chosen) = &self.chosen {
            return chosen.len();
        }
        let all: u64 = self.factors.iter().map(Factor::len).product();
        // at most MOST, as `new` has seen to it
        usize::try_from(all).unwrap_or(usize::MAX)
    }

    /// Whether it has none, which no sweep that was made by [`Sweep::new`] is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The names that it gives values to, in order.
    pub fn names(&self) -> Vec<&str> {
        self.factors.iter().flat_map(Factor::names).collect()
    }

    /// The point at an index of the run, counted from 0.
    pub fn point(&self, index: usize) -> Point {
        let mut number = self.chosen.as_ref().map_or(index as u64, |chosen| chosen.get(index).copied().unwrap_or(0));
        let mut parts = Vec::with_capacity(self.factors.len());
        for factor in self.factors.iter().rev() {
            parts.push(factor.row(number % factor.len().max(1)));
            number /= factor.len().max(1);
        }
        parts.into_iter().rev().flatten().collect()
    }

    /// All points, in the run's order.
    pub fn points(&self) -> impl Iterator<Item = Point> {
        (0..self.len()).map(|index| self.point(index))
    }
}

#[cfg(test)]
mod tests;
