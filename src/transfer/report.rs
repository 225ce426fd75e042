//! What a transfer moved, what it did not, and its progress.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::transfer::session::Tally;
use crate::transfer::shown;
use crate::util::ui::{Ui, size};

/// This many messages about single files are kept; the rest are counted.
const MOST_TOLD: usize = 20;

/// How often progress is shown.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// What moved, and what did not. Shared by all workers.
#[derive(Debug)]
pub(crate) struct Report {
    begun: Instant,
    /// Files that were moved.
    files: AtomicU64,
    /// Verified bytes that were moved.
    bytes: AtomicU64,
    /// Files that were already present.
    there: AtomicU64,
    /// Bytes of the files planned so far.
    wanted: AtomicU64,
    /// Bytes of them that have moved or were present.
    done: AtomicU64,
    told: Mutex<Vec<String>>,
    untold: AtomicU64,
    incomplete: AtomicBool,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            files: AtomicU64::default(),
            bytes: AtomicU64::default(),
            there: AtomicU64::default(),
            wanted: AtomicU64::default(),
            done: AtomicU64::default(),
            told: Mutex::default(),
            untold: AtomicU64::default(),
            incomplete: AtomicBool::default(),
        }
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

impl Report {
    /// Counts a planned file.
    pub(crate) fn want(&self, bytes: u64) {
        add(&self.wanted, bytes);
    }

    /// Counts a moved file.
    pub(crate) fn file(&self) {
        add(&self.files, 1);
    }

    /// Counts moved and verified bytes.
    pub(crate) fn moved(&self, bytes: u64) {
        add(&self.bytes, bytes);
        add(&self.done, bytes);
    }

    /// Counts bytes of an earlier attempt.
    pub(crate) fn found(&self, bytes: u64) {
        add(&self.done, bytes);
    }

    /// Counts a file that was already present.
    pub(crate) fn there(&self) {
        add(&self.there, 1);
    }

    /// Records an entry that is skipped on purpose.
    pub(crate) fn left_out(&self, path: &[u8], words: &str) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_TOLD {
            told.push(format!("`{}`: {words}", shown(path)));
        } else {
            add(&self.untold, 1);
        }
    }

    /// Records an entry that should have been moved and was not.
    pub(crate) fn missed(&self, path: &[u8], words: &str) {
        self.incomplete.store(true, Ordering::Relaxed);
        self.left_out(path, words);
    }

    /// Whether something was missed.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.incomplete.load(Ordering::Relaxed)
    }

    /// Shows progress until `over` is set.
    pub(crate) fn show(&self, ui: &Ui, heading: &str, over: &AtomicBool) {
        while ui.is_live() && !over.load(Ordering::Relaxed) {
            let (done, wanted) = (self.done.load(Ordering::Relaxed), self.wanted.load(Ordering::Relaxed));
            let files = self.files.load(Ordering::Relaxed);
            let speed = rate(self.bytes.load(Ordering::Relaxed), self.begun.elapsed());
            ui.live(heading, &format!("{files} files, {} of {}, {speed}", size(done), size(wanted)));
            thread::sleep(POLL_INTERVAL);
        }
        ui.settle();
    }

    /// Prints the messages and a summary.
    pub(crate) fn tell(&self, ui: &Ui, heading: &str, tally: &Tally) {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.iter().for_each(|line| ui.warn(line));
        let untold = self.untold.load(Ordering::Relaxed);
        if untold > 0 {
            ui.warn(format!("and {untold} more"));
        }
        let time = self.begun.elapsed();
        let bytes = self.bytes.load(Ordering::Relaxed);
        let mut text = format!(
            "{} in {:.1} s ({})",
            count(self.files.load(Ordering::Relaxed), bytes),
            time.as_secs_f64(),
            rate(bytes, time)
        );
        let there = self.there.load(Ordering::Relaxed);
        if there > 0 {
            text.push_str(&format!("; {there} already present"));
        }
        let cuts = tally.cuts.load(Ordering::Relaxed);
        if cuts > 0 {
            let wasted = size(tally.wasted.load(Ordering::Relaxed));
            let s = if cuts == 1 { "" } else { "s" };
            text.push_str(&format!("; {cuts} reconnect{s}, {wasted} sent again"));
        }
        ui.tell(heading, text);
    }
}

/// Formats a number of files and bytes.
pub(crate) fn count(files: u64, bytes: u64) -> String {
    format!("{files} file{}, {}", if files == 1 { "" } else { "s" }, size(bytes))
}

fn rate(bytes: u64, time: Duration) -> String {
    // a rate need not be exact
    #[allow(clippy::cast_precision_loss, clippy::cast_sign_loss, clippy::cast_possible_truncation)]
    let per_second = (bytes as f64 / time.as_secs_f64().max(0.001)) as u64;
    format!("{}/s", size(per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(size(3 << 30), "3.0 GiB");
        assert_eq!(count(1, 10), "1 file, 10 B");
    }
}
