//! Kubernetes quantities: passed on as they were written, after a check.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::util::error::{Fail, usage};

/// An amount such as `4`, `500m`, `8G` or `1.5Gi`, in the grammar of Kubernetes
/// (apimachinery, `pkg/api/resource/quantity.go`), never negative.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Quantity(String);

const SUFFIXES: &[(&str, f64)] = &[
    ("", 1.0),
    ("n", 1e-9),
    ("u", 1e-6),
    ("m", 1e-3),
    ("k", 1e3),
    ("M", 1e6),
    ("G", 1e9),
    ("T", 1e12),
    ("P", 1e15),
    ("E", 1e18),
    ("Ki", 1024.0),
    ("Mi", 1_048_576.0),
    ("Gi", 1_073_741_824.0),
    ("Ti", 1_099_511_627_776.0),
    ("Pi", 1_125_899_906_842_624.0),
    ("Ei", 1_152_921_504_606_846_976.0),
];

impl Quantity {
    /// Checks `text`.
    ///
    /// # Errors
    /// When it is no quantity; a hint tells what was probably meant (`8GB` -> `8G`).
    pub fn parse(text: &str) -> Result<Self, Fail> {
        if amount(text).is_some() {
            return Ok(Self(text.to_owned()));
        }
        let error = usage(format!("`{text}` is not a Kubernetes quantity"));
        let trimmed = text.trim().trim_end_matches(['b', 'B']).replace('K', "k").replace("ki", "Ki");
        Err(if trimmed != text && amount(&trimmed).is_some() {
            error.hint(format!("did you mean `{trimmed}`?"))
        } else {
            error.hint("write a number and one of `m`, `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi`, `Ti`, such as `500m`, `4` or `8Gi`")
        })
    }

    /// The quantity as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its amount, for comparing: cores, bytes or pieces.
    pub fn amount(&self) -> f64 {
        amount(&self.0).unwrap_or(0.0)
    }
}

/// The amount of a quantity that somebody else wrote, `None` if it is none.
pub fn amount(text: &str) -> Option<f64> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    if !number.contains(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let value: f64 = number.parse().ok()?;
    if let Some((_, factor)) = SUFFIXES.iter().find(|(s, _)| *s == suffix) {
        return Some(value * factor);
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    Some(value * 10f64.powi(exponent))
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_ones_are_kept_verbatim() {
        for text in ["4", "500m", "0.5", ".5", "8G", "8Gi", "1e3", "1E3", "1.5Ti", "100k"] {
            assert_eq!(Quantity::parse(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn amounts_compare() {
        assert!((amount("500m").unwrap() - 0.5).abs() < 1e-9);
        assert!(amount("8Gi").unwrap() > amount("8G").unwrap());
        assert!((amount("1e3").unwrap() - 1000.0).abs() < 1e-9);
    }

    #[test]
    fn bad_ones_say_what_was_meant() {
        for text in ["", "G", "8 G", "-1", "8GiB", "1,5", "ten", "1.2.3", "8\n"] {
            assert!(Quantity::parse(text).is_err(), "{text}");
        }
        assert_eq!(Quantity::parse("8GB").unwrap_err().hints, ["did you mean `8G`?"]);
        assert_eq!(Quantity::parse("8gb").unwrap_err().hints.len(), 1);
    }
}
