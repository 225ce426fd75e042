//! The logs of a run's many pods at once, by few kubectls: each follows those that had begun when it was
//! started. What one pod of them printed is passed on line by line, none lost and none doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::Scope;

use anyhow::Result;
use serde_json::Value;

use crate::names::Namespace;
use crate::objects::RUN;
use crate::objects::again::packing;
use crate::tools::kubectl::Kubectl;
use crate::tools::shell::{self, Reply, Shell};
use crate::ui::Ui;
use crate::watch::follow::container_state;
use crate::watch::logs::{self, Position};
use crate::watch::state::{INDEX, Run, index_of};

/// How many kubectls follow at the same time before one takes over the pods of all: each holds some 20 MiB.
const MOST: usize = 3;
/// How many pods one of them reads.
const PODS: usize = 500;

/// What is read, by whom.
#[derive(Debug)]
pub struct Streams<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    ui: &'env Ui,
    shell: &'env Shell,
    kubectl: &'env Kubectl,
    namespace: &'env Namespace,
    pods: BTreeMap<String, Pod>,
    followers: Vec<Arc<AtomicBool>>,
    ends: (Sender<End>, Receiver<End>),
}

#[derive(Debug, Default)]
struct Pod {
    position: Position,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Unread,
    Reading,
    /// With others it could not be read to its end.
    Alone,
    Complete,
}

/// What stands before each line of a pod: its point, or the first and last of several.
pub fn label(ui: &Ui, run: &Run, pod: &Value) -> String {
    let (points, each) = packing(&run.job);
    let words = |index: u64| {
        let first = index.saturating_mul(each);
        let last = first.saturating_add(each).min(points).saturating_sub(1);
        if each > 1 { format!("{first}-{last}") } else { first.to_string() }
    };
    let (index, width) = (index_of(pod), words(run.done.1.saturating_sub(1)).len());
    ui.label(&format!("{:>width$}", words(index)), usize::try_from(index).unwrap_or_default()) + " "
}

/// A kubectl that has ended.
struct End {
    positions: BTreeMap<String, Position>,
    reply: Result<Reply>,
    /// Whether all its pods had ended before.
    ended: bool,
    follower: Option<Arc<AtomicBool>>,
}

impl<'scope, 'env> Streams<'scope, 'env> {
    /// Nothing is read yet; `scope` waits for what will be.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        ui: &'env Ui,
        shell: &'env Shell,
        kubectl: &'env Kubectl,
        namespace: &'env Namespace,
    ) -> Self {
        let (pods, followers, ends) = (BTreeMap::new(), Vec::new(), mpsc::channel());
        Self { scope, ui, shell, kubectl, namespace, pods, followers, ends }
    }

    /// Reads on, where a pod of the run has begun or has something left to be read.
    ///
    /// # Errors
    /// If the reader of the output has gone, or the user interrupted.
    pub fn look(&mut self, run: &Run) -> Result<()> {
        self.collect()?;
        let mut batches: BTreeMap<(bool, bool), Vec<&Value>> = BTreeMap::new();
        for pod in &run.pods {
            let Some(name) = pod["metadata"]["name"].as_str() else { continue };
            let (started, ended) = container_state(pod);
            let known = self.pods.entry(name.to_owned()).or_default();
            if (started || ended) && known.state == State::Unread {
                batches.entry((ended, known.position.is_begun())).or_default().push(pod);
            }
        }
        for ((ended, _), pods) in &batches {
            if !ended && self.followers.len() >= MOST {
                // each gives back how far it has come, and the next look has one read them all
                self.followers.iter().for_each(|stop| stop.store(true, Ordering::SeqCst));
                continue;
            }
            for pods in pods.chunks(PODS) {
                self.read(run, pods, *ended);
            }
        }
        Ok(())
    }

    fn read(&mut self, run: &Run, pods: &[&Value], ended: bool) {
        let (mut positions, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for pod in pods {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            if let Some(known) = self.pods.get_mut(name) {
                known.state = State::Reading;
                positions.insert(name.to_owned(), std::mem::take(&mut known.position));
                labels.insert(name.to_owned(), label(self.ui, run, pod));
            }
        }
        let indexes: Vec<String> = pods.iter().map(|pod| index_of(pod).to_string()).collect();
        let selector = format!("{RUN}={},{INDEX} in ({})", run.name, indexes.join(","));
        let stop = Arc::new(AtomicBool::new(false));
        let follower = (!ended).then(|| Arc::clone(&stop));
        self.followers.extend(follower.clone());
        let (ui, kubectl, namespace, sender) = (self.ui, self.kubectl, self.namespace, self.ends.0.clone());
        let shell = self.shell.stopped_by(&stop);
        self.scope.spawn(move || {
            let reply =
                logs::pass_on_all(&shell, kubectl, namespace, &selector, &mut positions, !ended, |pod, text| {
                    ui.pass_on(&[labels[pod].as_bytes(), text, b"\n"].concat())
                });
            sender.send(End { positions, reply, ended, follower }).ok();
        });
    }

    fn collect(&mut self) -> Result<()> {
        while let Ok(end) = self.ends.1.try_recv() {
            let stopped = end.follower.as_ref().is_some_and(|stop| stop.load(Ordering::SeqCst));
            self.followers.retain(|stop| !end.follower.as_ref().is_some_and(|own| Arc::ptr_eq(own, stop)));
            let state = match &end.reply {
                // read to their ends after they had ended: nothing more can come
                Ok(reply) if reply.succeeded() && end.ended => State::Complete,
                Ok(_) if end.ended => State::Alone,
                _ => State::Unread,
            };
            for (name, position) in end.positions {
                self.pods.insert(name, Pod { position, state });
            }
            match end.reply {
                Err(_) if stopped && !shell::is_interrupted() => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    /// Those that have ended and have to be read by themselves, with how far they were read; whoever takes
    /// them sees to the rest.
    pub fn take_alone(&mut self) -> Vec<(String, Position)> {
        let alone = self.pods.iter_mut().filter(|(_, pod)| pod.state == State::Alone);
        alone
            .map(|(name, pod)| {
                pod.state = State::Complete;
                (name.clone(), std::mem::take(&mut pod.position))
            })
            .collect()
    }

    /// Whether all that the run's pods printed was passed on.
    pub fn is_complete(&self, run: &Run) -> bool {
        let unread = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            container_state(pod).1 && self.pods.get(name).is_none_or(|pod| pod.state != State::Complete)
        };
        !run.pods.iter().any(unread)
    }

    /// Ends all reading: nobody wants the rest.
    pub fn stop(&self) {
        self.followers.iter().for_each(|stop| stop.store(true, Ordering::SeqCst));
    }
}
