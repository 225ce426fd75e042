//! Work for several connections, which may bring new work with it.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::Result;

/// Work that waits, bounded so that who plans it does not run ahead.
#[derive(Debug)]
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
    most: usize,
}

#[derive(Debug)]
struct State<T> {
    waiting: VecDeque<T>,
    busy: usize,
    planned: bool,
    failed: Option<anyhow::Error>,
    over: bool,
}

impl<T> Queue<T> {
    /// An empty one, in which at most `most` pieces of work wait for who takes them.
    pub(crate) fn new(most: usize) -> Self {
        let state = State { waiting: VecDeque::new(), busy: 0, planned: false, failed: None, over: false };
        Self { state: Mutex::new(state), changed: Condvar::new(), most }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State<T>>) -> MutexGuard<'a, State<T>> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts work at the end, once there is room; `false` if there is no point any more.
    pub(crate) fn plan(&self, work: T) -> bool {
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

    /// Puts work before all other: what is begun ends before something new begins.
    pub(crate) fn next(&self, work: T) {
        self.state().waiting.push_front(work);
        self.changed.notify_all();
    }

    /// That all work is planned.
    pub(crate) fn planned(&self) {
        self.state().planned = true;
        self.changed.notify_all();
    }

    /// Does work until there is none and none can come, or something fails.
    pub(crate) fn work(&self, mut each: impl FnMut(T) -> Result<()>) {
        while let Some(work) = self.take() {
            let result = each(work);
            let mut state = self.state();
            state.busy -= 1;
            if let Err(error) = result {
                state.over = true;
                // the first is the cause of the others
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

    /// Ends all work for want of a reason to go on.
    pub(crate) fn give_up(&self, error: anyhow::Error) {
        let mut state = self.state();
        state.over = true;
        state.failed.get_or_insert(error);
        self.changed.notify_all();
    }

    /// The first failure, if there was one.
    pub(crate) fn end(self) -> Result<()> {
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.failed.map_or(Ok(()), Err)
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
