//! Staying with a run until it ends, or until it is clear that it can't start.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use crate::error::{Exit, Fail, fail};
use crate::names::Namespace;
use crate::objects::again::packing;
use crate::objects::job::CONTAINER;
use crate::tools::kubectl::Kubectl;
use crate::tools::shell::Shell;
use crate::ui::Ui;
use crate::watch::informer::Informer;
use crate::watch::inquiry::Inquiry;
use crate::watch::logs::{self, Position};
use crate::watch::lookup::{self, Lookup};
use crate::watch::outage::Outage;
use crate::watch::pace::short;
use crate::watch::state::{Phase, Run};
use crate::watch::streams::{Labels, Streams};
use crate::watch::why::{self, Hope, Why};

/// First and longest pause between two looks at the cluster.
const PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// The first where it is heard what happens.
const HEARING: Duration = Duration::from_secs(1);
/// How long a pod may stay in a state of little hope. The kubelet's second try of a pull comes after 10 s.
const LITTLE_HOPE: Duration = Duration::from_secs(20);
/// How long a pod may wait for a node before the nodes are counted.
const NODES_AFTER: Duration = Duration::from_secs(5);
/// How long a pod may be silent about why it waits before its events are read.
const EVENTS_AFTER: Duration = Duration::from_secs(3);
/// How long it is tried to read the log of a pod that has ended.
const UNREAD: Duration = Duration::from_secs(300);

/// Stays with one run.
#[derive(Debug)]
pub struct Follower<'a> {
    ui: &'a Ui,
    shell: &'a Shell,
    kubectl: &'a Kubectl,
    namespace: &'a Namespace,
    name: &'a str,
    /// Whether what the run prints is passed on to stdout.
    logs: bool,
    logged: BTreeMap<String, PodLog>,
    told: String,
    /// What was heard may not be what is: a log broke off.
    in_doubt: bool,
    /// How many of its attempts are known to have failed.
    failed: usize,
    /// The words of the present obstacle and since when it stands.
    obstacle: Option<(String, Instant)>,
}

#[derive(Debug, Default)]
struct PodLog {
    position: Position,
    complete: bool,
    /// Since when it could not be read, though its container has ended.
    unread: Option<Instant>,
}

impl<'a> Follower<'a> {
    /// Stays with the run `name`.
    pub fn new(
        ui: &'a Ui,
        shell: &'a Shell,
        kubectl: &'a Kubectl,
        namespace: &'a Namespace,
        name: &'a str,
        logs: bool,
    ) -> Self {
        let logged = BTreeMap::new();
        Self {
            ui,
            shell,
            kubectl,
            namespace,
            name,
            logs,
            logged,
            told: String::new(),
            in_doubt: false,
            failed: 0,
            obstacle: None,
        }
    }

    /// Until the end of the run: `Ok` if it succeeded; a failed run, or one that can never start, is
    /// an error with the exit code for that. `known` is the run as it was seen just now, and `informer` listens to it.
    pub fn until_end(self, known: Option<Run>, informer: Option<Informer>) -> Result<()> {
        let (ui, shell, kubectl, namespace) = (self.ui, self.shell, self.kubectl, self.namespace);
        thread::scope(|scope| {
            let mut streams = Streams::new(scope, ui, shell, kubectl, namespace, informer);
            let end = self.stay(&mut streams, known);
            streams.stop();
            end
        })
    }

    fn stay(mut self, streams: &mut Streams, mut known: Option<Run>) -> Result<()> {
        let mut pause = PAUSES.0;
        let mut outage = Outage::default();
        let lookup = Lookup::within(self.shell, self.kubectl, self.namespace);
        loop {
            let begun = Instant::now();
            let run = match known.take() {
                Some(run) => Some(run),
                None => streams.ask(std::mem::take(&mut self.in_doubt))?,
            };
            let mut is_sweep = false;
            let asked = run.map_or_else(|| lookup.find(self.name), |run| Ok(Some(run)));
            let spent = begun.elapsed();
            match asked {
                Ok(Some(run)) => {
                    outage.ends();
                    is_sweep = run.is_sweep();
                    streams.open(self.name)?;
                    let moved = self.look(&run, streams)?;
                    if run.phase.is_final() && self.is_complete(&run, streams) {
                        return self.end(&run);
                    }
                    let hears = streams.hears();
                    let soon = moved || (self.logs && !hears && is_about_to_print(&run));
                    let least = if hears && !run.phase.is_final() { HEARING } else { PAUSES.0 };
                    pause = if soon { least } else { (pause * 3 / 2).clamp(least, PAUSES.1) };
                }
                Ok(None) => return Err(lookup::gone(self.name).into()),
                Err(error) => {
                    let words = outage.bear(error, self.shell)?;
                    self.tell(&words);
                    pause = PAUSES.1;
                }
            }
            // of many pods, the Job counts how many are how far; with thousands a look takes its time
            let calm = Instant::now() + spent * 4;
            streams.wait(pause, |news| (news.job || news.pod && !is_sweep) && calm <= Instant::now())?;
        }
    }

    /// Says what changed, passes logs on, gives up where there is no hope. Whether anything moved.
    fn look(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        if run.is_sweep() {
            return self.look_at_points(run, streams);
        }
        self.tell_of_attempts(run)?;
        let moved = match run.phase {
            Phase::Pending | Phase::Starting => self.obstacle(run, streams)?,
            Phase::Queued => self.queued(run, streams)?,
            // between two attempts
            Phase::Running if run.pods.last().is_some_and(|pod| pod["status"]["phase"] == "Failed") => false,
            Phase::Running => {
                self.obstacle = None;
                let node = run.pods.last().and_then(|pod| pod["spec"]["nodeName"].as_str()).unwrap_or("its node");
                self.tell(&format!("it runs on {node}"))
            }
            Phase::Succeeded | Phase::Failed => true,
            Phase::Deleting => self.tell("it is being deleted"),
        };
        if self.logs {
            for pod in &run.pods {
                self.pass_on(pod, "")?;
            }
        }
        Ok(moved)
    }

    /// The same for a run of several points: how many of them are how far, and what all of them print.
    fn look_at_points(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        if self.logs {
            streams.look(run)?;
            for (name, position) in streams.take_alone() {
                self.logged.insert(name, PodLog { position, ..PodLog::default() });
            }
            let alone =
                |pod: &&Value| pod["metadata"]["name"].as_str().is_some_and(|name| self.logged.contains_key(name));
            let labels = Labels::of(run);
            let alone: Vec<&Value> = run.pods.iter().filter(alone).collect();
            alone.into_iter().try_for_each(|pod| self.pass_on(pod, &labels.label(self.ui, pod)))?;
        }
        let waits = run.waits() && run.done.0 == 0 && run.failed() == 0;
        let moved = match run.phase {
            _ if waits => self.obstacle(run, streams)?,
            Phase::Queued => self.queued(run, streams)?,
            Phase::Deleting => self.tell("it is being deleted"),
            _ => {
                self.obstacle = None;
                self.tell(&run.progress())
            }
        };
        Ok(moved)
    }

    /// Says what holds the run back, in Kueue's words where it has any.
    fn queued(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        let inquiry = self.inquiry();
        let words = match streams.meanwhile(|| inquiry.queue_says(run))? {
            Some(said) => said,
            // for a moment it has let it go, and the Job does not know yet
            None if self.told.starts_with("the queue ") => return Ok(false),
            None => "it is queued: the Job is suspended until its queue lets it go".to_owned(),
        };
        Ok(self.tell(&words))
    }

    fn inquiry(&self) -> Inquiry<'a> {
        Inquiry { shell: self.shell, kubectl: self.kubectl, namespace: self.namespace }
    }

    fn tell(&mut self, words: &str) -> bool {
        let news = self.told != words;
        if news {
            self.ui.tell("run", words);
            words.clone_into(&mut self.told);
        }
        news
    }

    /// An attempt that failed while another follows: what it printed, and why it failed.
    fn tell_of_attempts(&mut self, run: &Run) -> Result<()> {
        let over: Vec<&Value> = run.pods.iter().filter(|pod| pod["status"]["phase"] == "Failed").collect();
        let failed = over.len();
        if failed > self.failed && !run.phase.is_final() && failed < run.attempts() {
            if self.logs {
                over.into_iter().try_for_each(|pod| self.pass_on(pod, ""))?;
            }
            let why = why::failed(&run.job, &run.pods).unwrap_or_default();
            self.tell(&format!("attempt {failed} of {} failed: {why}", run.attempts()));
        }
        self.failed = failed;
        Ok(())
    }

    fn obstacle(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        let pod = run.pods.last();
        let mut found = pod.and_then(why::waits);
        let key = found.as_ref().map_or_else(|| run.phase.as_str().to_owned(), |w| w.words.clone());
        let since = match &self.obstacle {
            // a changed wording of the same trouble must not start the clock again
            Some((known, since)) if *known == key || found.as_ref().is_some_and(|w| w.hope != Hope::Some) => *since,
            _ => Instant::now(),
        };
        self.obstacle = Some((key, since));
        let waited = since.elapsed();
        let inquiry = self.inquiry();
        if pod.is_some_and(why::lacks_cause) || found.is_none() && waited > self.shell.patience(EVENTS_AFTER) {
            found = streams.meanwhile(|| inquiry.events_say(run))?.or(found);
        }
        let unscheduled = pod.filter(|pod| pod["spec"]["nodeName"].is_null());
        if let (Some(why), Some(pod)) = (&found, unscheduled)
            && why.hope == Hope::Some
            && waited > self.shell.patience(NODES_AFTER)
            && let Some(verdict) = streams.meanwhile(|| inquiry.fits_nowhere(pod))?
        {
            if waited > self.shell.patience(LITTLE_HOPE) {
                return Err(self.hopeless(&verdict).into());
            }
            return Ok(self.tell(&format!("it waits: {}", verdict.words)));
        }
        let Some(why) = found else {
            let words = if run.phase == Phase::Starting { "its node prepares it" } else { "it waits for a node" };
            return Ok(self.tell(words));
        };
        let given_up = match why.hope {
            Hope::Some => false,
            Hope::Little => waited > self.shell.patience(LITTLE_HOPE),
            Hope::None => true,
        };
        if given_up {
            return Err(self.hopeless(&why).into());
        }
        Ok(self.tell(&format!("it waits: {}", why.words)))
    }

    fn hopeless(&self, why: &Why) -> Fail {
        let error = fail(format!("the run `{}` can't start: {}", self.name, why.words)).exit(Exit::Experiment);
        let error = why.hint.iter().fold(error, Fail::hint);
        error.hint(format!(
            "it stays in the cluster; remove it with `kubectl mrunner delete -n {} {}`",
            self.namespace, self.name
        ))
    }

    /// Passes on a pod's log as far as it goes: to its end, if it still runs. `label` stands before each line.
    fn pass_on(&mut self, pod: &Value, label: &str) -> Result<()> {
        let Some(name) = pod["metadata"]["name"].as_str() else { return Ok(()) };
        let (started, ended) = container_state(pod);
        let log = self.logged.entry(name.to_owned()).or_default();
        if log.complete || !(started || ended) {
            return Ok(());
        }
        let ui = self.ui;
        let reply = logs::pass_on(self.shell, self.kubectl, self.namespace, name, &mut log.position, !ended, |text| {
            ui.pass_on(&[label.as_bytes(), text, b"\n"].concat())
        })?;
        // read to its end after the container had ended: nothing more can come
        log.complete = ended && reply.succeeded();
        if reply.succeeded() {
            return Ok(());
        }
        self.in_doubt = true;
        let words = reply.stderr.trim().to_owned();
        let hopeless = ended && {
            let since = *log.unread.get_or_insert_with(Instant::now);
            since.elapsed() > self.shell.patience(UNREAD) || words.contains("not found") || words.contains("NotFound")
        };
        if hopeless {
            log.complete = true;
            self.ui.warn(format!("the rest of the log of the pod `{name}` can't be had: {words}"));
        } else if !words.is_empty() {
            self.tell(&format!("the log was cut, taking it up again: {words}"));
        }
        Ok(())
    }

    fn is_complete(&self, run: &Run, streams: &Streams) -> bool {
        if run.is_sweep() {
            return !self.logs || (streams.is_complete(run) && self.logged.values().all(|log| log.complete));
        }
        let unread = |pod: &Value| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            container_state(pod).1 && !self.logged.get(name).is_some_and(|log| log.complete)
        };
        !self.logs || !run.pods.iter().any(unread)
    }

    fn end(&mut self, run: &Run) -> Result<()> {
        if let Some(words) = short(run) {
            self.ui.tell("points", words);
        }
        if run.phase == Phase::Succeeded {
            self.tell("it succeeded");
            return Ok(());
        }
        let why = run.why.as_deref().unwrap_or("the cluster does not say why");
        if run.is_sweep() && run.failed() > 0 {
            let pods = if packing(&run.job).1 > 1 { "pods" } else { "points" };
            let what = format!("{} of its {} {pods} failed, one of them: {why}", run.failed(), run.done.1);
            let status = format!("kubectl mrunner status -n {} {}", run.namespace, run.name);
            return Err(failed(&run.name, &run.namespace, &what, true)
                .hint(format!("see which with `{status}`"))
                .into());
        }
        Err(failed(&run.name, &run.namespace, why, self.logs).into())
    }
}

/// The error of a run that failed.
pub fn failed(name: &str, namespace: &str, why: &str, logs_were_shown: bool) -> Fail {
    let error = fail(format!("the run `{name}` failed: {why}")).exit(Exit::Experiment);
    if logs_were_shown {
        error
    } else {
        error.hint(format!("see what it printed with `kubectl mrunner logs -n {namespace} {name}`"))
    }
}

/// Whether a node has a pod whose container has not begun.
fn is_about_to_print(run: &Run) -> bool {
    let is_near = |pod: &Value| pod["spec"]["nodeName"].is_string() && container_state(pod) == (false, false);
    run.pods.is_empty() || run.pods.iter().any(is_near)
}

/// Whether the experiment's container has started, and whether it has ended.
pub fn container_state(pod: &Value) -> (bool, bool) {
    let statuses = pod["status"]["containerStatuses"].as_array();
    let state = statuses.and_then(|all| all.iter().find(|c| c["name"] == CONTAINER)).map(|c| &c["state"]);
    let is = |name: &str| state.is_some_and(|s| s[name].is_object());
    (is("running"), is("terminated"))
}
