//! The logs of a run's many pods at once, each on a stream of its own over one kubectl. What a pod printed is
//! passed on line by line, none lost and none doubled.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, TryRecvError};
use std::thread::{self, Scope};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::names::{Namespace, RunName};
use crate::objects::RUN;
use crate::objects::again::packing;
use crate::tools::interrupt::GLANCE;
use crate::tools::kubectl::Kubectl;
use crate::tools::proxy::Proxy;
use crate::tools::shell::{self, Shell};
use crate::ui::Ui;
use crate::watch::follow::container_state;
use crate::watch::logs::{self, Position};
use crate::watch::news::News;
use crate::watch::slim;
use crate::watch::state::{self, Run, index_of};

/// How many logs are read at the same time; of more pods, the others when one of them has ended.
const MOST: usize = 500;
/// What a thread that reads one needs: a line may be long, but is not on its stack.
const STACK: usize = 256 * 1024;
/// How long the API server may be silent before kubectl is asked what is wrong.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is tried anew to read the log of a pod that has ended, before it is left to kubectl alone,
/// which says what is wrong.
const TRIES: u32 = 3;

/// What is read, by whom.
#[derive(Debug)]
pub struct Streams<'scope, 'env> {
    scope: &'scope Scope<'scope, 'env>,
    ui: &'env Ui,
    shell: &'env Shell,
    kubectl: &'env Kubectl,
    namespace: &'env Namespace,
    proxy: Option<Arc<Proxy>>,
    news: Option<(News, Labels)>,
    /// There can be none here.
    is_closed: bool,
    pods: BTreeMap<String, Pod>,
    ends: (Sender<End>, Receiver<End>),
}

#[derive(Debug, Default)]
struct Pod {
    position: Position,
    state: State,
    failures: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Unread,
    Reading,
    /// It could not be read to its end.
    Alone,
    Complete,
}

/// What stands before each line of a run's pods: its point, or the first and last of several.
#[derive(Debug, Clone, Copy)]
pub struct Labels {
    points: u64,
    each: u64,
    width: usize,
}

impl Labels {
    /// As wide as those of the run's last pod.
    pub fn of(run: &Run) -> Self {
        let (points, each) = packing(&run.job);
        let labels = Self { points, each, width: 0 };
        Self { width: labels.words(run.done.1.saturating_sub(1)).len(), ..labels }
    }

    fn words(self, index: u64) -> String {
        let first = index.saturating_mul(self.each);
        let last = first.saturating_add(self.each).min(self.points).saturating_sub(1);
        if self.each > 1 { format!("{first}-{last}") } else { first.to_string() }
    }

    /// That of one pod.
    pub fn label(self, ui: &Ui, pod: &Value) -> String {
        let (index, width) = (index_of(pod), self.width);
        ui.label(&format!("{:>width$}", self.words(index)), usize::try_from(index).unwrap_or_default()) + " "
    }
}

/// A log that was read as far as it went.
#[derive(Debug)]
struct End {
    pod: String,
    position: Position,
    /// Whether it came whole; an error if the reader of the output has gone.
    whole: Result<bool>,
    /// Whether its container had ended before.
    ended: bool,
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
        Self {
            scope,
            ui,
            shell,
            kubectl,
            namespace,
            proxy: None,
            news: None,
            is_closed: false,
            pods: BTreeMap::new(),
            ends: mpsc::channel(),
        }
    }

    /// The run over the way that is open; `None` if none is, or it does not answer with a run. What is heard
    /// meanwhile is seen to: the lists of many pods take a second.
    ///
    /// # Errors
    /// If the reader of the output has gone.
    pub fn ask(&mut self, name: &str) -> Result<Option<Run>> {
        let Some(proxy) = self.proxy.clone() else { return Ok(None) };
        let (namespace, name) = (self.namespace, name.to_owned());
        let (sender, answer) = mpsc::channel();
        self.scope.spawn(move || sender.send(found(&proxy, namespace, &name)).ok());
        let mut run = answer.try_recv();
        while matches!(run, Err(TryRecvError::Empty)) && self.hear(GLANCE)? {
            run = answer.try_recv();
        }
        let run = run.ok().or_else(|| answer.recv().ok()).flatten();
        if run.is_none() {
            // kubectl will say what is wrong, and a new way is opened once it knows the run
            self.stop();
        }
        Ok(run)
    }

    /// Reads on, where a pod of the run has begun or has something left to be read.
    ///
    /// # Errors
    /// If the reader of the output has gone, or the user interrupted.
    pub fn look(&mut self, run: &Run) -> Result<()> {
        self.collect()?;
        let labels = Labels::of(run);
        if self.proxy.is_none() && !self.is_closed {
            // also before the first pod begins, so that it is there by then
            match Proxy::open(self.shell, |socket| self.kubectl.proxy(self.namespace, socket)) {
                Ok(proxy) => {
                    let proxy = Arc::new(proxy);
                    if let (Some(name), Some(job)) = (RunName::given(&run.name), run.job["metadata"]["uid"].as_str()) {
                        let path = pods(self.namespace, &name);
                        self.news = Some((News::listen(self.scope, proxy.clone(), &path, job), labels));
                    }
                    self.proxy = Some(proxy);
                }
                Err(error) if shell::was_interrupted(&error) => return Err(error),
                Err(_) => self.is_closed = true,
            }
        }
        self.begin(&run.pods, labels)
    }

    /// Reads the logs of those of the pods that have begun, unless they are being read.
    fn begin(&mut self, pods: &[Value], labels: Labels) -> Result<()> {
        let mut reading = self.pods.values().filter(|pod| pod.state == State::Reading).count();
        for pod in pods {
            let Some(name) = pod["metadata"]["name"].as_str() else { continue };
            let (started, ended) = container_state(pod);
            let known = self.pods.entry(name.to_owned()).or_default();
            if (started || ended) && known.state == State::Unread && reading < MOST {
                reading += 1;
                let position = std::mem::take(&mut known.position);
                known.state = State::Reading;
                self.read(name.to_owned(), position, labels.label(self.ui, pod), ended)?;
            }
        }
        Ok(())
    }

    /// Whether it is heard at once that a pod begins.
    pub fn hears(&self) -> bool {
        self.news.is_some()
    }

    /// Sees to pods that begin within that time, if one does. Whether anybody listens.
    fn hear(&mut self, within: Duration) -> Result<bool> {
        let Some((news, labels)) = &self.news else { return Ok(false) };
        let (pods, labels) = (news.heard(within), *labels);
        let Some(pods) = pods else {
            self.news = None;
            return Ok(false);
        };
        self.begin(&pods, labels)?;
        Ok(true)
    }

    /// Waits, and begins to read as soon as it is heard that a pod has begun.
    ///
    /// # Errors
    /// If the user interrupted, or the reader of the output has gone.
    pub fn wait(&mut self, pause: Duration) -> Result<()> {
        let end = Instant::now() + self.shell.patience(pause);
        let left = || end.saturating_duration_since(Instant::now());
        while !left().is_zero() && self.hear(left().min(GLANCE))? {
            if shell::is_interrupted() {
                return Err(shell::interrupted().into());
            }
        }
        self.shell.sleep(left())
    }

    fn read(&mut self, pod: String, mut position: Position, label: String, ended: bool) -> Result<()> {
        let Some(proxy) = self.proxy.clone() else {
            self.pods.insert(pod, Pod { position, state: State::Alone, failures: 0 });
            return Ok(());
        };
        let (ui, namespace, sender) = (self.ui, self.namespace, self.ends.0.clone());
        thread::Builder::new().stack_size(STACK).spawn_scoped(self.scope, move || {
            let whole = logs::pass_on_from(&proxy, namespace, &pod, &mut position, !ended, |text| {
                ui.pass_on(&[label.as_bytes(), text, b"\n"].concat())
            });
            sender.send(End { pod, position, whole, ended }).ok();
        })?;
        Ok(())
    }

    fn collect(&mut self) -> Result<()> {
        while let Ok(End { pod, position, whole, ended }) = self.ends.1.try_recv() {
            let known = self.pods.entry(pod).or_default();
            known.position = position;
            known.state = match whole? {
                // read to its end after it had ended: nothing more can come
                true if ended => State::Complete,
                false if ended && known.failures + 1 >= TRIES => State::Alone,
                false if ended => {
                    known.failures += 1;
                    State::Unread
                }
                _ => State::Unread,
            };
        }
        Ok(())
    }

    /// Those that have to be read by themselves, with how far they were read; whoever takes
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

    /// Cuts off all reading; what was read so far is known.
    pub fn stop(&mut self) {
        self.news = None;
        if let Some(proxy) = self.proxy.take() {
            proxy.end();
        }
    }
}

fn selector(name: &RunName) -> String {
    format!("labelSelector={}%3D{name}", RUN.replace('/', "%2F"))
}

/// Where the API server lists the pods of a run.
fn pods(namespace: &Namespace, name: &RunName) -> String {
    format!("/api/v1/namespaces/{namespace}/pods?{}", selector(name))
}

/// The Job and the pods of a run, as the API server lists them.
fn found(proxy: &Proxy, namespace: &Namespace, name: &str) -> Option<Run> {
    let name = RunName::given(name)?;
    let of_run = selector(&name);
    let jobs: Vec<Map<String, Value>> = list(proxy, &format!("/apis/batch/v1/namespaces/{namespace}/jobs?{of_run}"))?;
    let pods: Vec<slim::Pod> = list(proxy, &pods(namespace, &name))?;
    let jobs = jobs.into_iter().map(|mut job| {
        job.insert("kind".to_owned(), "Job".into());
        Value::Object(job)
    });
    state::runs(jobs.chain(pods.into_iter().map(|pod| pod.0)).collect()).pop()
}

fn list<T: DeserializeOwned>(proxy: &Proxy, path: &str) -> Option<Vec<T>> {
    #[derive(Deserialize)]
    struct List<T> {
        items: Vec<T>,
    }
    let mut answer = Vec::new();
    proxy.get(path, Some(PATIENCE)).ok()?.read_to_end(&mut answer).ok()?;
    Some(serde_json::from_slice::<List<T>>(&answer).ok()?.items)
}
