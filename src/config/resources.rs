//! What an experiment may use: `resources {cpu, mem, gpu, tpu}`, in both files.

use super::check;
use super::fault::{Wrong, must_be};
use super::section::Section;
use crate::k8s::quantity::Quantity;

/// The keys of `resources`, and what to do with one that stands elsewhere.
pub(super) const KEYS: &[&str] = &["cpu", "mem", "gpu", "tpu"];
pub(super) const INSIDE: &str = "move this key into `resources`";

/// Limits of every experiment; what is not given is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resources {
    /// Cores, such as `4` or `500m`.
    pub cpu: Option<Quantity>,
    /// Bytes of memory, such as `8G`.
    pub mem: Option<Quantity>,
    /// Graphics cards: a number, or `TYPE:NUMBER` such as `a100:2`.
    pub gpu: Option<String>,
    /// Chips of a TPU: a number, or `TYPE:NUMBER` such as `v5e:4`.
    pub tpu: Option<String>,
}

impl Resources {
    pub(super) fn read(section: &mut Section) -> Self {
        section.foreign(&["shm"], "it stands beside `resources`, not in it");
        Self {
            cpu: section.checked("cpu", check::quantity),
            mem: section.checked("mem", check::bytes),
            gpu: section.checked("gpu", accelerator),
            tpu: section.checked("tpu", accelerator),
        }
    }
}

/// Checks a number of accelerators, `2` or `a100:2`. 0 means none, in spite of what the context says.
///
/// # Errors
/// For any other shape. Whether the cluster has such a type is asked later.
pub fn accelerator(text: &str) -> Result<String, Wrong> {
    let (kind, number) = text.split_once(':').map_or((None, text), |(kind, number)| (Some(kind), number));
    let counts = number.len() <= 4 && !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    if counts && kind.is_none_or(is_type) {
        return Ok(text.to_owned());
    }
    let what = must_be("a number or `TYPE:NUMBER`", text);
    Err(if is_type(text) && text.contains(|c: char| c.is_ascii_alphabetic()) {
        what.hint(format!("did you mean `{text}:1`?"))
    } else {
        what.hint("write `2` or `a100:2`")
    })
}

fn is_type(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&text.len()) && text.chars().all(fits) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_with_and_without_a_type() {
        for good in ["2", "0", "a100:2", "NVIDIA-A100-SXM4-40GB:8", "v5e:4"] {
            assert_eq!(accelerator(good).unwrap(), good);
        }
        for bad in ["", ":", ":2", "a100:", "a100:x", "-1", "1.5", "a b:1", "a:1:2", "12345", "a100:-1"] {
            assert!(accelerator(bad).is_err(), "{bad}");
        }
        assert_eq!(accelerator("a100").unwrap_err().hint.unwrap(), "did you mean `a100:1`?");
    }
}
