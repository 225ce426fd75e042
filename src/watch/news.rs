//! Hears from the API server when a pod of a run begins or ends, over a way that is open: listing a hundred pods
//! anew takes it up to a second while it has much else to do. Whoever may not listen looks more often.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::Scope;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::tools::proxy::Proxy;
use crate::watch::follow::container_state;
use crate::watch::slim;
use crate::watch::state::owner;

/// The pods of one run, as they begin and end.
#[derive(Debug)]
pub struct News(Receiver<Value>);

/// One line of the API server's answer to a watch
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>).
#[derive(Deserialize)]
struct Event {
    object: slim::Pod,
}

impl News {
    /// Listens to what `path` lists of the Job with this uid, until the way is closed or the API server has enough: an
    /// hour, or less.
    pub fn listen<'scope>(scope: &'scope Scope<'scope, '_>, proxy: Arc<Proxy>, path: &str, job: &str) -> Self {
        let (sender, receiver) = mpsc::channel();
        let (path, job) = (format!("{path}&watch=1"), job.to_owned());
        scope.spawn(move || {
            // it may be silent as long as nothing happens
            let Ok(mut answer) = proxy.get(&path, None) else { return };
            let mut line = Vec::new();
            while answer.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
                // an error that ends a watch is no pod, and has no container either
                let Ok(Event { object: slim::Pod(pod) }) = serde_json::from_slice(&line) else { return };
                let has_begun = container_state(&pod) != (false, false);
                if has_begun && owner(&pod) == Some(job.as_str()) && sender.send(pod).is_err() {
                    return;
                }
                line.clear();
            }
        });
        Self(receiver)
    }

    /// The pods that have begun or ended since, none if none does within this time; `None` if nobody listens any
    /// more.
    pub fn heard(&self, within: Duration) -> Option<Vec<Value>> {
        match self.0.recv_timeout(within) {
            Ok(first) => Some([first].into_iter().chain(self.0.try_iter()).collect()),
            Err(RecvTimeoutError::Timeout) => Some(Vec::new()),
            Err(RecvTimeoutError::Disconnected) => None,
        }
    }
}
