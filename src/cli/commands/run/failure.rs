//! The flags for points that fail or take too long.

use clap::Args;

use crate::k8s::manifests::failure::Failure;
use crate::util::error::{Fail, usage};
use crate::util::ui::line;

/// How `run` handles failures.
#[derive(Debug, Args)]
#[command(next_help_heading = "Failure")]
pub struct FailureArgs {
    /// Stop each point after this long, such as `90s`, `2h` or `1d`
    ///
    /// A bare number is seconds.
    #[arg(long, value_name = "TIME")]
    pub time_limit: Option<String>,
    /// Stop the whole run after this long
    #[arg(hide_short_help = true, long, value_name = "TIME")]
    deadline: Option<String>,
    /// Number of retries per point
    #[arg(long, value_name = "N", default_value_t = 0)]
    retries: u32,
    /// Do not retry after these exit codes, such as `2,64-78`
    #[arg(hide_short_help = true, long, value_name = "CODES")]
    no_retry_on: Option<String>,
    /// Stop a sweep once more than N points have failed
    #[arg(hide_short_help = true, long, value_name = "N")]
    max_failed: Option<u32>,
}

impl FailureArgs {
    /// Converts the flags.
    pub fn flags(&self) -> Result<Failure, Fail> {
        if self.no_retry_on.is_some() && self.retries == 0 {
            return Err(usage("`--no-retry-on` says nothing, as nothing is tried again")
                .hint("say how often, such as with `--retries 3`"));
        }
        Ok(Failure {
            retries: self.retries,
            no_retry_on: self.no_retry_on.as_deref().map(codes).transpose()?.unwrap_or_default(),
            max_failed: self.max_failed,
            time_limit: self.time_limit.as_deref().map(seconds).transpose()?,
            deadline: self.deadline.as_deref().map(seconds).transpose()?,
        })
    }
}

/// Parses `2,64-78`: exit codes in order, without duplicates.
fn codes(text: &str) -> Result<Vec<u8>, Fail> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        match (first.trim().parse::<u8>(), last.trim().parse::<u8>()) {
            (Ok(first @ 1..), Ok(last)) if first <= last => all.extend(first..=last),
            _ => {
                return Err(usage(format!("`{}` is no exit code of a failure", line(part)))
                    .hint("they are 1 to 255; write them such as `--no-retry-on 2,64-78`"));
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

fn seconds(text: &str) -> Result<u64, Fail> {
    let wrong = || usage(format!("`{text}` is not a time")).hint("write it such as `90s`, `30m`, `2h` or `1d`");
    let duration = match text.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => humantime::parse_duration(text).map_err(|_| wrong())?.as_secs(),
    };
    if duration == 0 { Err(wrong()) } else { Ok(duration) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_none_is_twice() {
        assert_eq!(codes("64-66, 3,65,255").unwrap(), [3, 64, 65, 66, 255]);
        for wrong in ["", "0", "256", "0-3", "5-3", "x", "3,", "-1", "3-"] {
            assert!(codes(wrong).unwrap_err().message.ends_with("is no exit code of a failure"), "{wrong}");
        }
    }
}
