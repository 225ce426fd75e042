//! A bounded queue of work for several workers, which may add new work.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// A queue that blocks a planner that is too far ahead.
#[derive(Debug)]
pub(super) struct Queue<T> {
    state: Mutex<QueueState<T>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct QueueState<T> {
    waiting: VecDeque<T>,
    busy: usize,
    planned: bool,
    failed: Option<anyhow::Error>,
    over: bool,
}

impl<T> Queue<T> {
    /// Creates a queue that holds at most `most` pieces of planned work.
    pub(super) fn new(most: usize) -> Self {
        let state = QueueState { waiting: VecDeque::new(), busy: 0, planned: false, failed: None, over: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    fn state(&self) -> MutexGuard<'_, QueueState<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, QueueState<T>>) -> MutexGuard<'a, QueueState<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends work once there is room; `false` if the work has failed.
    pub(super) fn plan(&self, work: T) -> bool {
        let mut state = self.state();
        while state.waiting.len() >= self.most && !state.over {
            state = self.wait(state);
        }
        if !state.over {
            state.waiting.push_back(work);
            self.changed.notify_all();
        }
        !state.over
    }

    /// Whether the work has failed or is done.
    pub(super) fn is_over(&self) -> bool {
        self.state().over
    }

    /// Puts work first, so that a file that was begun is done before a new one begins.
    pub(super) fn next(&self, work: T) {
        self.state().waiting.push_front(work);
        self.changed.notify_all();
    }

    /// Ends planning.
    pub(super) fn planned(&self) {
        self.state().planned = true;
        self.changed.notify_all();
    }

    /// Does work until all is done, or something fails.
    pub(super) fn work(&self, mut each: impl FnMut(T) -> Result<()>) {
        while let Some(work) = self.take() {
            let result = each(work);
            let mut state = self.state();
            state.busy -= 1;
            if let Err(error) = result {
                state.over = true;
                // the first failure causes the others
                state.failed.get_or_insert(error);
            }
            self.changed.notify_all();
        }
    }

    fn take(&self) -> Option<T> {
        let mut state = self.state();
        loop {
            if state.over {
                return None;
            }
            if let Some(work) = state.waiting.pop_front() {
                state.busy += 1;
                self.changed.notify_all();
                return Some(work);
            }
            if state.planned && state.busy == 0 {
                return None;
            }
            state = self.wait(state);
        }
    }

    /// Ends all work with an error.
    pub(super) fn give_up(&self, error: anyhow::Error) {
        let mut state = self.state();
        state.over = true;
        state.failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// Returns the first failure, if there was one.
    pub(super) fn end(&self) -> Result<()> {
        self.state().failed.take().map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    #[test]
    fn all_work_is_done_also_what_other_work_brings() {
        let queue = Queue::new(2);
        let sum = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    queue.work(|n: u32| {
                        sum.fetch_add(n, Ordering::SeqCst);
                        if n > 10 {
                            queue.next(n - 10);
                        }
                        Ok(())
                    });
                });
            }
            (0..100).for_each(|_| assert!(queue.plan(25)));
            queue.planned();
        });
        assert_eq!(sum.into_inner(), 100 * (25 + 15 + 5));
        queue.end().unwrap();
    }

    #[test]
    fn a_failure_ends_it_for_all() {
        let queue = Queue::new(1);
        thread::scope(|scope| {
            scope.spawn(|| queue.work(|()| anyhow::bail!("no")));
            while queue.plan(()) {}
        });
        assert_eq!(queue.end().unwrap_err().to_string(), "no");
    }
}
