//! Keeps the state of one run up to date over one `kubectl proxy`: its Job and its pods are listed once and then
//! watched, as the informers of controllers do. Listing a hundred pods again takes a busy API server up to a
//! second.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::k8s::manifests::RUN;
use crate::k8s::names::{Namespace, RunName};
use crate::k8s::object::Object;
use crate::k8s::pod::Pod;
use crate::k8s::prune::{JobItem, PodItem, Pruned};
use crate::runs::lookup::{Lookup, called};
use crate::runs::pods::container_state;
use crate::runs::state::Run;
use crate::tools::interrupt::POLL_INTERVAL;
use crate::tools::kubectl::selecting;
use crate::tools::proxy::Proxy;
use crate::tools::shell;

/// How long the API server may be silent before kubectl is asked for the reason.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the API server keeps a watch open, at most.
const WATCH: Duration = Duration::from_secs(300);
/// The pause between two lists if the watch is refused or was interrupted.
const ANEW: Duration = Duration::from_secs(2);

/// The Job and the pods of one run.
#[derive(Debug)]
pub struct Informer {
    proxy: Arc<Proxy>,
    scopes: Vec<Option<Namespace>>,
    name: RunName,
    changes: Receiver<(ObjectKind, ObjectChange)>,
    /// `None` until they are listed.
    jobs: Option<Objects>,
    pods: Option<Objects>,
    /// Set once the API server could not be asked.
    listeners: Vec<(Sender<()>, JoinHandle<()>)>,
}

/// By UID, with the scope that each is in.
type Objects = (usize, BTreeMap<String, Value>);

#[derive(Debug, Clone, Copy)]
enum ObjectKind {
    Job,
    Pod,
}

/// A change to the objects of a kind.
#[derive(Debug)]
enum ObjectChange {
    /// The scope has exactly these objects.
    Listed(usize, Vec<Value>),
    Is(Value),
    Gone(Value),
}

/// What is new.
#[derive(Debug, Default)]
pub struct News {
    /// Whether the Job has changed.
    pub job: bool,
    /// Whether a pod has changed.
    pub pod: bool,
    /// The pods whose container has started or ended.
    pub begun: Vec<Value>,
}

impl Informer {
    /// Starts to watch the run `name` where `lookup` would look. `None` if kubectl can't be used as a proxy, or if
    /// no run can have this name.
    ///
    /// # Errors
    /// If the user interrupted.
    pub fn open(lookup: &Lookup, name: &str) -> Result<Option<Self>> {
        let Some(name) = RunName::given(name) else { return Ok(None) };
        let proxy =
            match Proxy::open(lookup.cluster.shell, |socket| lookup.cluster.kubectl.proxy(lookup.namespace, socket)) {
                Ok(proxy) => Arc::new(proxy),
                Err(error) if shell::was_interrupted(&error) => return Err(error),
                Err(_) => return Ok(None),
            };
        let scopes = match lookup.namespace {
            Some(namespace) => vec![Some(namespace.clone())],
            None => vec![None, Some(lookup.fallback.clone())],
        };
        let (sender, changes) = mpsc::channel();
        let listener = |kind: ObjectKind| {
            let (stop, stopped) = mpsc::channel();
            let paths = scopes.iter().map(|scope| kind.path(scope.as_ref(), &name)).collect();
            let source = Watcher {
                proxy: proxy.clone(),
                kind,
                paths,
                anew: lookup.cluster.shell.scaled(ANEW),
                to: sender.clone(),
            };
            (stop, thread::spawn(move || source.keep_up(&stopped)))
        };
        let listeners = [ObjectKind::Job, ObjectKind::Pod].map(listener).into();
        Ok(Some(Self { proxy, scopes, name, changes, jobs: None, pods: None, listeners }))
    }

    /// The connection to the API server.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// Takes in changes, waiting up to this long; `None` once the API server could not be asked.
    pub fn hear(&mut self, within: Duration) -> Option<News> {
        let mut news = News::default();
        let first = self.changes.recv_timeout(within).ok();
        for change in first.into_iter().chain(self.changes.try_iter().collect::<Vec<_>>()) {
            self.take(change, &mut news);
        }
        // pods of another Job are not ours
        let is_ours = |pod: &Value| {
            Pod::of(pod).owner_uid().is_some_and(|job| self.jobs.iter().any(|(_, jobs)| jobs.contains_key(job)))
        };
        news.begun.retain(is_ours);
        (!self.is_lost()).then_some(news)
    }

    fn is_lost(&self) -> bool {
        self.listeners.iter().any(|(_, listener)| listener.is_finished())
    }

    fn take(&mut self, (kind, mut change): (ObjectKind, ObjectChange), news: &mut News) {
        // anyone with permission to create Jobs can give theirs the label of this run
        let is_other =
            |object: &Value| matches!(kind, ObjectKind::Job) && Object::of(object).name() != self.name.as_str();
        match &mut change {
            ObjectChange::Listed(_, all) => all.retain(|object| !is_other(object)),
            ObjectChange::Is(object) | ObjectChange::Gone(object) if is_other(object) => return,
            ObjectChange::Is(_) | ObjectChange::Gone(_) => {}
        }
        let known = match kind {
            ObjectKind::Job => {
                news.job = true;
                &mut self.jobs
            }
            ObjectKind::Pod => {
                news.pod = true;
                &mut self.pods
            }
        };
        let uid = |object: &Value| Object::of(object).uid().unwrap_or_default().to_owned();
        let mut begun = |object: &Value| {
            if container_state(Pod::of(object)) != (false, false) {
                news.begun.push(object.clone());
            }
        };
        match change {
            ObjectChange::Listed(scope, all) => {
                all.iter().for_each(&mut begun);
                *known = Some((scope, all.into_iter().map(|object| (uid(&object), object)).collect()));
            }
            ObjectChange::Is(object) => {
                begun(&object);
                known.get_or_insert_default().1.insert(uid(&object), object);
            }
            ObjectChange::Gone(object) => drop(known.get_or_insert_default().1.remove(&uid(&object))),
        }
    }

    /// The run once it is known; `None` if it does not exist, if there are several, or if the API server can't be
    /// asked: kubectl reports which.
    ///
    /// # Errors
    /// If the user interrupted.
    pub fn run(&mut self) -> Result<Option<Run>> {
        loop {
            if shell::is_interrupted() {
                return Err(shell::interrupted().into());
            }
            if let (Some((scope, jobs)), Some((other, pods)), false) = (&self.jobs, &self.pods, self.is_lost()) {
                // a user who can list only one of the two kinds in all namespaces sees no run
                let all = jobs.values().chain(pods.values()).cloned();
                return Ok(if scope == other { self.only(all.collect()) } else { None });
            }
            if self.hear(POLL_INTERVAL).is_none() {
                return Ok(None);
            }
        }
    }

    /// The run as it is now. The Job's end may be known before that of its last pods.
    pub fn now(&self) -> Option<Run> {
        let all = |scope: &Option<Namespace>| {
            let list = |kind: ObjectKind| kind.list(&self.proxy, &kind.path(scope.as_ref(), &self.name));
            // the Job before its pods, so that the pods are never behind it
            let ((jobs, _), (pods, _)) = (list(ObjectKind::Job)?, list(ObjectKind::Pod)?);
            Some(jobs.into_iter().chain(pods).collect())
        };
        self.only(self.scopes.iter().find_map(all)?)
    }

    /// The only run with this name in these objects.
    fn only(&self, objects: Vec<Value>) -> Option<Run> {
        let mut runs = called(self.name.as_str(), objects);
        runs.pop().filter(|_| runs.is_empty())
    }
}

impl Drop for Informer {
    fn drop(&mut self) {
        self.proxy.end();
        for (stop, thread) in self.listeners.drain(..) {
            drop(stop);
            thread.join().ok();
        }
    }
}

/// The source of the objects of one kind.
struct Watcher {
    proxy: Arc<Proxy>,
    kind: ObjectKind,
    /// The first scope that the user has permission to list.
    paths: Vec<String>,
    anew: Duration,
    to: Sender<(ObjectKind, ObjectChange)>,
}

/// One line of the API server's answer to a watch
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes>).
#[derive(Deserialize)]
struct WatchEvent {
    #[serde(rename = "type")]
    what: String,
    object: Pruned,
}

impl Watcher {
    /// Reports all changes until the receiver is gone or the API server does not answer.
    fn keep_up(&self, stopped: &Receiver<()>) {
        loop {
            let begun = Instant::now();
            let list = |scope: usize| Some((scope, self.kind.list(&self.proxy, &self.paths[scope])?));
            let Some((scope, (objects, version))) = (0..self.paths.len()).find_map(list) else { return };
            if self.tell(ObjectChange::Listed(scope, objects)).is_err() {
                return;
            }
            // the reason does not matter: the next list has what was missed
            self.watch(&self.paths[scope], &version).ok();
            let left = self.anew.saturating_sub(begun.elapsed());
            if stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout) {
                return;
            }
        }
    }

    fn tell(&self, change: ObjectChange) -> io::Result<()> {
        self.to.send((self.kind, change)).map_err(io::Error::other)
    }

    fn watch(&self, path: &str, version: &str) -> io::Result<()> {
        let limit = WATCH.as_secs();
        let path = format!("{path}&watch=1&resourceVersion={version}&timeoutSeconds={limit}");
        // a watch is silent while nothing happens
        let mut answer = self.proxy.get(&path, Some(WATCH + ANSWER_TIMEOUT))?;
        let mut line = Vec::new();
        while answer.read_until(b'\n', &mut line)? > 0 {
            let WatchEvent { what, object: Pruned(object) } = serde_json::from_slice(&line)?;
            match what.as_str() {
                "ADDED" | "MODIFIED" if Object::of(&object).uid().is_some() => self.tell(ObjectChange::Is(object))?,
                "DELETED" => self.tell(ObjectChange::Gone(object))?,
                // the API server no longer has that version
                "ERROR" => break,
                _ => {}
            }
            line.clear();
        }
        Ok(())
    }
}

impl ObjectKind {
    /// The path under which the API server lists the objects of the run `name`.
    fn path(self, namespace: Option<&Namespace>, name: &RunName) -> String {
        let (group, resource) = match self {
            Self::Job => ("/apis/batch/v1", "jobs"),
            Self::Pod => ("/api/v1", "pods"),
        };
        let place = namespace.map_or(String::new(), |namespace| format!("/namespaces/{namespace}"));
        format!("{group}{place}/{resource}?{}", selecting(&format!("{RUN}={name}")))
    }

    /// The listed objects and their version.
    fn list(self, proxy: &Proxy, path: &str) -> Option<(Vec<Value>, String)> {
        match self {
            Self::Job => list(proxy, path, |JobItem(job)| job),
            Self::Pod => list(proxy, path, |PodItem(pod)| pod),
        }
    }
}

fn list<T: DeserializeOwned>(proxy: &Proxy, path: &str, object: fn(T) -> Value) -> Option<(Vec<Value>, String)> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Meta {
        resource_version: String,
    }
    #[derive(Deserialize)]
    struct ItemList<T> {
        metadata: Meta,
        items: Vec<T>,
    }
    let mut answer = Vec::new();
    proxy.get(path, Some(ANSWER_TIMEOUT)).ok()?.read_to_end(&mut answer).ok()?;
    let list: ItemList<T> = serde_json::from_slice(&answer).ok()?;
    Some((list.items.into_iter().map(object).collect(), list.metadata.resource_version))
}
