//! Reads the logs of a run's pods at the same time, each as a stream over one kubectl, without losing or repeating
//! lines.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::k8s::names::Namespace;
use crate::k8s::pod::{Pod, Pods};
use crate::runs::informer::{Informer, News};
use crate::runs::lines::Label;
use crate::runs::logs::{self, Log, Position};
use crate::runs::lookup::Lookup;
use crate::runs::pods::container_state;
use crate::runs::state::Run;
use crate::tools::cluster::Cluster;
use crate::tools::interrupt::POLL_INTERVAL;
use crate::tools::retry::STREAM;
use crate::tools::shell;
use crate::util::ui::Ui;

/// How many logs are read at the same time; the others follow when one has ended.
const MOST: usize = 500;
/// The stack of a reading thread: long lines are not on the stack.
const STACK: usize = 256 * 1024;
/// How long after the end of a log was reached it is read again, while its container is running.
const MORE_AFTER: Duration = Duration::from_secs(5);

/// The open log streams.
#[derive(Debug)]
pub struct Streams<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    cluster: Cluster<'env>,
    namespace: &'env Namespace,
    informer: Option<Informer>,
    /// Set if no stream can be opened.
    is_closed: bool,
    /// The pods whose logs are being read.
    labels: Option<Labels>,
    /// The changes since the last wait.
    heard: News,
    pods: BTreeMap<String, Stream>,
    ends: (Sender<StreamEnd>, Receiver<StreamEnd>),
}

#[derive(Debug, Default)]
struct Stream {
    position: Position,
    state: StreamState,
    failures: u32,
    /// When to look for more output after there was none.
    next: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum StreamState {
    #[default]
    Unread,
    Reading,
    /// The log could not be read to its end.
    Alone,
    Complete,
}

/// The text before each line of a run's pods: the point, or the first and last of several.
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    points: u64,
    each: u64,
    width: usize,
}

impl Labels {
    /// The width of the label of the run's last pod.
    pub fn of(run: &Run) -> Self {
        let (points, each) = run.job().packing();
        let labels = Self { points, each, width: 0 };
        Self { width: labels.words(run.done.1.saturating_sub(1)).len(), ..labels }
    }

    fn words(self, index: u64) -> String {
        let first = index.saturating_mul(self.each);
        let last = first.saturating_add(self.each).min(self.points).saturating_sub(1);
        if self.each > 1 { format!("{first}-{last}") } else { first.to_string() }
    }

    /// The label of a pod.
    pub fn label(self, ui: &Ui, pod: Pod) -> Label {
        let index = pod.index();
        self.with(ui, &self.words(index), index)
    }

    /// The label of a point.
    pub fn of_point(self, ui: &Ui, point: u64) -> Label {
        self.with(ui, &point.to_string(), point / self.each)
    }

    fn with(self, ui: &Ui, words: &str, index: u64) -> Label {
        let width = self.width;
        let (text, number) = (format!("{words:>width$}"), usize::try_from(index).unwrap_or_default());
        Label { first: ui.label(&text, '|', number) + " ", more: ui.label(&text, '+', number) + " " }
    }
}

/// A log that was read up to its current end.
#[derive(Debug)]
struct StreamEnd {
    pod: String,
    position: Position,
    /// Whether it was complete; an error if the reader of the output is gone.
    whole: Result<bool>,
    /// Whether it had anything new.
    new: bool,
    /// Whether its container had ended before.
    ended: bool,
}

impl<'scope, 'env> Streams<'scope, 'env> {
    /// Creates an empty set of streams; `scope` waits for the threads. If kubectl can't be used as a proxy, there
    /// is no informer, and it is not tried again.
    pub fn new(
        scope: &'scope Scope<'scope, 'env>,
        cluster: Cluster<'env>,
        namespace: &'env Namespace,
        informer: Option<Informer>,
    ) -> Self {
        Self {
            scope,
            cluster,
            namespace,
            is_closed: informer.is_none(),
            informer,
            labels: None,
            heard: News::default(),
            pods: BTreeMap::new(),
            ends: mpsc::channel(),
        }
    }

    /// The run from the informer, or from a new request if its state is in doubt; `None` without an informer, or if
    /// the cluster does not return exactly one run.
    ///
    /// # Errors
    /// If the reader of the output has gone, or the user interrupted.
    pub fn ask(&mut self, in_doubt: bool) -> Result<Option<Run>> {
        self.hear(Duration::ZERO)?;
        let Some(informer) = &mut self.informer else { return Ok(None) };
        let mut run = informer.run()?;
        if run.as_ref().is_some_and(|run| in_doubt || run.phase.is_final()) {
            run = informer.now();
        }
        if run.is_none() {
            // kubectl reports the problem, and a new connection is opened once it finds the run
            self.stop();
        }
        Ok(run)
    }

    /// Starts an informer, if there is none.
    ///
    /// # Errors
    /// If the user interrupted.
    pub fn open(&mut self, name: &str) -> Result<()> {
        if self.informer.is_none() && !self.is_closed {
            let lookup = Lookup::within(self.cluster, self.namespace);
            self.informer = Informer::open(&lookup, name)?;
            self.is_closed = self.informer.is_none();
        }
        Ok(())
    }

    /// Continues to read where a pod of the run has started or has unread output.
    ///
    /// # Errors
    /// If the reader of the output has gone.
    pub fn look(&mut self, run: &Run) -> Result<()> {
        self.collect()?;
        self.labels = Some(Labels::of(run));
        self.begin(run.pods())
    }

    /// Reads the logs of the started pods that are not being read.
    fn begin(&mut self, pods: Pods) -> Result<()> {
        let Some(labels) = self.labels else { return Ok(()) };
        let mut reading = self.pods.values().filter(|pod| pod.state == StreamState::Reading).count();
        for pod in pods {
            let name = pod.name();
            let (started, ended) = container_state(pod);
            let known = self.pods.entry(name.to_owned()).or_default();
            let is_due = ended || started && known.next.is_none_or(|next| next <= Instant::now());
            if is_due && known.state == StreamState::Unread && reading < MOST {
                reading += 1;
                let position = std::mem::take(&mut known.position);
                known.state = StreamState::Reading;
                self.read(name.to_owned(), position, labels.label(self.cluster.ui, pod), ended)?;
            }
        }
        Ok(())
    }

    /// Whether changes are watched.
    pub fn hears(&self) -> bool {
        self.informer.is_some()
    }

    /// Starts to read the logs of pods that start within this time. Returns whether changes are watched.
    fn hear(&mut self, within: Duration) -> Result<bool> {
        let Some(news) = self.informer.as_mut().and_then(|informer| informer.hear(within)) else { return Ok(false) };
        self.heard.job |= news.job;
        self.heard.pod |= news.pod;
        self.begin(Pods::of(&news.begun))?;
        Ok(true)
    }

    /// Waits this long, or until `enough` has happened, and starts to read as soon as a pod has started.
    ///
    /// # Errors
    /// If the user interrupted, or the reader of the output has gone.
    pub fn wait(&mut self, pause: Duration, enough: impl Fn(&News) -> bool) -> Result<()> {
        let end = Instant::now() + self.cluster.shell.scaled(pause);
        let left = || end.saturating_duration_since(Instant::now());
        while !left().is_zero() && !enough(&self.heard) {
            if shell::is_interrupted() {
                return Err(shell::interrupted().into());
            }
            if !self.hear(left().min(POLL_INTERVAL))? {
                thread::sleep(left().min(POLL_INTERVAL));
            }
        }
        self.heard = News::default();
        Ok(())
    }

    /// Runs a slow task, and meanwhile starts to read as soon as a pod has started.
    ///
    /// # Errors
    /// If the reader of the output has gone.
    pub fn meanwhile<T: Send>(&mut self, work: impl FnOnce() -> T + Send) -> Result<T> {
        thread::scope(|scope| {
            let worker = scope.spawn(work);
            while !worker.is_finished() && self.hear(POLL_INTERVAL)? {}
            Ok(worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    fn read(&mut self, pod: String, mut position: Position, label: Label, ended: bool) -> Result<()> {
        let Some(proxy) = self.informer.as_ref().map(|informer| informer.proxy().clone()) else {
            self.pods.insert(pod, Stream { position, state: StreamState::Alone, ..Stream::default() });
            return Ok(());
        };
        let (ui, namespace, sender) = (self.cluster.ui, self.namespace, self.ends.0.clone());
        thread::Builder::new().stack_size(STACK).spawn_scoped(self.scope, move || {
            let mut new = false;
            let log = Log { namespace, pod: &pod, follow: !ended, label: &label };
            let whole = logs::pass_on_from(&proxy, log, &mut position, &mut |bytes: &[u8]| {
                new = true;
                ui.pass_on(bytes)
            });
            let whole = whole.map(|whole| whole.is_ok());
            sender.send(StreamEnd { pod, position, whole, new, ended }).ok();
        })?;
        Ok(())
    }

    fn collect(&mut self) -> Result<()> {
        while let Ok(StreamEnd { pod, position, whole, new, ended }) = self.ends.1.try_recv() {
            let known = self.pods.entry(pod).or_default();
            known.position = position;
            known.state = match whole? {
                // read to its end after the container had ended: the log is complete
                true if ended => StreamState::Complete,
                false if ended => {
                    known.failures += 1;
                    if STREAM.is_over(known.failures) { StreamState::Alone } else { StreamState::Unread }
                }
                // the container ended before that was reported, or its log was rotated
                true => {
                    known.next = (!new).then(|| Instant::now() + self.cluster.shell.scaled(MORE_AFTER));
                    StreamState::Unread
                }
                false => StreamState::Unread,
            };
        }
        Ok(())
    }

    /// The logs that have to be read separately, with their positions. The caller reads the rest.
    pub fn take_alone(&mut self) -> Vec<(String, Position)> {
        let alone = self.pods.iter_mut().filter(|(_, pod)| pod.state == StreamState::Alone);
        alone
            .map(|(name, pod)| {
                pod.state = StreamState::Complete;
                (name.clone(), pod.position.clone())
            })
            .collect()
    }

    /// Whether all output of the run's pods was passed on.
    pub fn is_complete(&self, run: &Run) -> bool {
        let unread = |pod: Pod| {
            container_state(pod).1 && self.pods.get(pod.name()).is_none_or(|pod| pod.state != StreamState::Complete)
        };
        !run.pods().iter().any(unread)
    }

    /// The position of each pod, and whether it is the end.
    pub fn read_so_far(&self) -> impl Iterator<Item = (&str, &Position, bool)> {
        self.pods.iter().map(|(name, pod)| (name.as_str(), &pod.position, pod.state == StreamState::Complete))
    }

    /// Stops all reading; the positions are kept.
    pub fn stop(&mut self) {
        self.informer = None;
    }
}
