//! Follows a run until it ends, or until it can't start.

mod end;

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

pub use self::end::failed;
use self::end::is_kept;
use crate::k8s::manifests::QUEUE;
use crate::k8s::names::Namespace;
use crate::k8s::pod::Pod;
use crate::runs::attempts::{Attempts, in_vain};
use crate::runs::diagnosis::{self, Why};
use crate::runs::events::{StartProgress, StartStep};
use crate::runs::faults::{Hope, brief};
use crate::runs::gaps::{self, Doubt, Onward};
use crate::runs::informer::Informer;
use crate::runs::inquiry::{self, Inquiry};
use crate::runs::lines::Label;
use crate::runs::logs::{self, Log, Position};
use crate::runs::lookup::{self, Lookup};
use crate::runs::obstacle::{Linger, Obstacle, without_names};
use crate::runs::pods::{Disruption, Stage, container_state, is_leaving};
use crate::runs::state::{Phase, Run, suspended};
use crate::runs::streams::{Labels, Streams};
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::has_no_log;
use crate::tools::retry::Outage;
use crate::util::error::{Exit, Fail, fail};

/// First and longest pause between two requests to the cluster.
const PAUSES: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(3));
/// The first pause while changes are watched.
const HEARING: Duration = Duration::from_secs(1);
/// How long a pod may wait for a node before the nodes are counted.
const NODES_AFTER: Duration = Duration::from_secs(5);
/// How long a pod may wait without a reason before its events are read.
const EVENTS_AFTER: Duration = Duration::from_secs(3);
/// How long reading the log of an ended pod is retried.
const UNREAD: Duration = Duration::from_secs(300);

/// Follows one run.
#[derive(Debug)]
pub struct Follower<'a> {
    cluster: Cluster<'a>,
    namespace: &'a Namespace,
    name: &'a str,
    /// Whether the run's output is passed to stdout.
    logs: bool,
    logged: BTreeMap<String, PodLog>,
    told: String,
    /// Whether that was what holds the run back in a queue.
    is_queue_told: bool,
    /// Whether the known state may be outdated, because a log was interrupted.
    in_doubt: bool,
    attempts: Attempts,
    obstacle: Obstacle,
    linger: Linger,
    /// Pods whose log may have lost its beginning: they started before the run was followed.
    began_before: BTreeMap<String, Doubt>,
}

#[derive(Debug, Default)]
struct PodLog {
    position: Position,
    complete: bool,
    /// Why the log was last interrupted, so that the same reason is reported once.
    trouble: String,
    /// Since when the log could not be read after its container had ended.
    unread: Option<Instant>,
}

impl<'a> Follower<'a> {
    /// Follows the run `name`.
    pub fn new(cluster: Cluster<'a>, namespace: &'a Namespace, name: &'a str, logs: bool) -> Self {
        let logged = BTreeMap::new();
        Self {
            cluster,
            namespace,
            name,
            logs,
            logged,
            told: String::new(),
            is_queue_told: false,
            in_doubt: false,
            attempts: Attempts::default(),
            obstacle: Obstacle::default(),
            linger: Linger::default(),
            began_before: BTreeMap::new(),
        }
    }

    /// Follows the run to its end. `Ok` if the run succeeded; a run that failed or can never start is an error with
    /// its exit code. `known` is the run as it was just seen, and `informer` watches it.
    pub fn until_end(self, known: Option<Run>, informer: Option<Informer>) -> Result<()> {
        let (cluster, namespace) = (self.cluster, self.namespace);
        thread::scope(|scope| {
            let mut streams = Streams::new(scope, cluster, namespace, informer);
            let end = self.stay(&mut streams, known);
            streams.stop();
            end
        })
    }

    fn stay(mut self, streams: &mut Streams, mut known: Option<Run>) -> Result<()> {
        let mut pause = PAUSES.0;
        let mut outage = Outage::default();
        let lookup = Lookup::within(self.cluster, self.namespace);
        if let Some(run) = known.as_ref().filter(|_| self.logs) {
            self.began_before = gaps::doubts(run, self.cluster);
        }
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
                    if self.linger.has_ended(&run, self.cluster.shell) && self.is_complete(&run, streams) {
                        self.tell_missing(&run, streams);
                        return self.end(&run);
                    }
                    let hears = streams.hears();
                    let soon = moved || (self.logs && !hears && is_about_to_print(&run));
                    let least = if hears && !run.phase.is_final() { HEARING } else { PAUSES.0 };
                    pause = if soon { least } else { (pause * 3 / 2).clamp(least, PAUSES.1) };
                }
                Ok(None) => return Err(lookup::gone(self.name).into()),
                Err(error) => {
                    let words = outage.bear(error, self.cluster.shell)?;
                    self.tell(&words);
                    pause = PAUSES.1;
                }
            }
            // the Job has the number of pods in each state; with thousands of pods, each look takes time
            let calm = Instant::now() + spent * 4;
            streams.wait(pause, |news| (news.job || news.pod && !is_sweep) && calm <= Instant::now())?;
        }
    }

    /// Reports what changed, passes logs on, and gives up if there is no hope. Returns whether anything changed.
    fn look(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        if run.is_sweep() {
            return self.look_at_points(run, streams);
        }
        self.tell_of_attempts(run)?;
        let moved = match run.phase {
            Phase::Pending | Phase::Starting => self.obstacle(run, streams)?,
            Phase::Running if is_kept(run) => self.obstacle(run, streams)?,
            Phase::Queued => self.queued(run, streams)?,
            Phase::Running | Phase::Lost => self.running(run, streams)?,
            Phase::Succeeded | Phase::Failed => match &run.held {
                Some(held) => self.tell(held),
                None => true,
            },
            Phase::Deleting => self.tell("The run is being deleted"),
        };
        if self.logs {
            // the log of a pod on an unreachable node can't be read
            let readable = run.pods().iter().filter(|pod| Stage::of(*pod) != Stage::Lost);
            for pod in readable {
                self.pass_on(pod, &Label::none())?;
            }
        }
        Ok(moved)
    }

    /// Reports where a run of one point runs, and whether its node answers.
    fn running(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        self.obstacle = Obstacle::default();
        let Some(pod) = run.alive().next_back() else { return Ok(false) };
        let node = pod.node().unwrap_or("its node");
        if run.phase == Phase::Lost || is_leaving(pod) {
            let inquiry = self.inquiry();
            if let Some(words) = streams.meanwhile(|| inquiry.lost(run))? {
                return Ok(self.tell(&words));
            }
            let why = Disruption::of(pod).map_or("the pod is being deleted".to_owned(), |d| brief(d.message));
            return Ok(self.tell(&format!("Stopping on {node}: {why}")));
        }
        // the container has ended, and the Job controller has not reacted yet
        if container_state(pod).1 { Ok(false) } else { Ok(self.tell(&format!("Running on {node}"))) }
    }

    /// Reports the progress of a run of several points, and passes on their logs.
    fn look_at_points(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        if self.logs {
            streams.look(run)?;
            for (name, position) in streams.take_alone() {
                self.logged.insert(name, PodLog { position, ..PodLog::default() });
            }
            let labels = Labels::of(run);
            let alone: Vec<Pod> = run.pods().iter().filter(|pod| self.logged.contains_key(pod.name())).collect();
            alone.into_iter().try_for_each(|pod| self.pass_on(pod, &labels.label(self.cluster.ui, pod)))?;
        }
        self.tell_of_attempts(run)?;
        let moved = match run.phase {
            // no point runs: the run has not started, or the others can't start
            Phase::Pending | Phase::Starting => self.obstacle(run, streams)?,
            Phase::Running if is_kept(run) => self.obstacle(run, streams)?,
            Phase::Queued => self.queued(run, streams)?,
            Phase::Deleting => self.tell("The run is being deleted"),
            Phase::Lost => {
                let inquiry = self.inquiry();
                let words = streams.meanwhile(|| inquiry.lost(run))?.or_else(|| run.why.clone()).unwrap_or_default();
                self.tell(&format!("{}; {words}", run.progress()))
            }
            Phase::Running | Phase::Succeeded | Phase::Failed => {
                self.obstacle = Obstacle::default();
                let held = run.held.as_ref().filter(|_| run.phase.is_final());
                let held = held.map_or(String::new(), |held| format!("; {held}"));
                self.tell(&format!("{}{held}", run.progress()))
            }
        };
        Ok(moved)
    }

    /// Reports what keeps the run in its queue, in Kueue's words if there are any.
    fn queued(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        let inquiry = self.inquiry();
        let words = match streams.meanwhile(|| inquiry.queue_says(run))? {
            Some(said) => said,
            // Kueue has just admitted the run, and the Job does not show it yet
            None if self.is_queue_told => return Ok(false),
            None => suspended(run.job()),
        };
        let moved = self.tell(&words);
        self.is_queue_told = run.job().label(QUEUE).is_some();
        Ok(moved)
    }

    fn inquiry(&self) -> Inquiry<'a> {
        Inquiry { cluster: self.cluster, namespace: self.namespace }
    }

    /// Reports news. The same problem of another pod is not news.
    fn tell(&mut self, words: &str) -> bool {
        let plain = without_names(words, self.name);
        let news = self.told != plain;
        if news {
            self.cluster.ui.tell("run", words);
            self.told = plain;
            self.is_queue_told = false;
        }
        news
    }

    /// Reports attempts that ended while others follow: their logs, and why they ended.
    fn tell_of_attempts(&mut self, run: &Run) -> Result<()> {
        let news = self.attempts.news(run);
        if !news.is_empty() && self.logs && !run.is_sweep() {
            let mut over = run.pods().iter().filter(|pod| !Stage::of(*pod).is_alive());
            over.try_for_each(|pod| self.pass_on(pod, &Label::none()))?;
        }
        for words in news {
            // the same may happen twice
            self.told.clear();
            self.tell(&words);
        }
        let Some(ending) = self.attempts.used_up(run) else { return Ok(()) };
        let error = fail(format!("the run `{}` can't go on: {}", self.name, in_vain(&ending)));
        let error = ending.hint.iter().fold(error.exit(Exit::Experiment), Fail::hint);
        Err(error.hint(format!("it stays in the cluster and is started again; {}", self.removal())).into())
    }

    fn obstacle(&mut self, run: &Run, streams: &mut Streams) -> Result<bool> {
        let pod = run.alive().next_back();
        let mut found = pod.and_then(diagnosis::waits).or_else(|| {
            let words = run.held.as_ref()?;
            // the other container may end at any time, and then the run continues
            Some(Why::new(words.as_str(), run.hint.as_deref(), Hope::Minutes))
        });
        let mut doing = None;
        let waited = self.obstacle.holds(found.as_ref().map_or(run.phase.as_str(), |why| &why.words));
        let inquiry = self.inquiry();
        let is_unsaid = pod.is_some_and(diagnosis::lacks_cause);
        if is_unsaid || found.is_none() && waited > self.cluster.shell.scaled(EVENTS_AFTER) {
            match streams.meanwhile(|| inquiry.events_say(run))? {
                Some(StartProgress::Problem(why)) => found = Some(why),
                Some(StartProgress::Reached(step)) => doing = inquiry::doing(step, pod),
                None => {}
            }
        }
        let unscheduled = pod.filter(|pod| pod.node().is_none());
        if let (Some(Why { hope: Hope::Some, .. }), Some(pod)) = (&found, unscheduled)
            && waited > self.cluster.shell.scaled(NODES_AFTER)
            && let Some(verdict) = streams.meanwhile(|| inquiry.fits_nowhere(pod))?
        {
            found = Some(verdict);
        }
        if doing.is_none() && self.obstacle.is_hopeless(found.as_ref().map(|why| why.hope), self.cluster.shell) {
            // a kubelet shows the last failure while it tries again
            match streams.meanwhile(|| inquiry.events_say(run))? {
                Some(StartProgress::Reached(step)) if step >= StartStep::Pulling => doing = inquiry::doing(step, pod),
                _ => {}
            }
            if let (Some(why), None) = (&found, &doing) {
                let why = streams.meanwhile(|| with_platforms(why, &inquiry))?;
                return Err(self.hopeless(run, &why).into());
            }
        }
        let words = match (doing, found) {
            (Some(doing), _) => {
                self.obstacle.is_hopeless(None, self.cluster.shell);
                if has_begun(run) { waiting_words(run, &doing) } else { doing.replacen('p', "P", 1) }
            }
            (None, Some(why)) => waiting_words(run, &why.words),
            (None, None) if has_begun(run) => run.progress(),
            // between two attempts, or after the last one
            (None, None) if pod.is_none() && run.has_had_pods() => return Ok(false),
            (None, None) => match pod.and_then(Pod::node) {
                Some(node) => format!("Preparing the pod on {node}"),
                None => "Waiting for a node".to_owned(),
            },
        };
        Ok(self.tell(&words))
    }

    /// Passes on a pod's log up to its current end, or to its last line while the pod runs. `label` is printed
    /// before each line.
    fn pass_on(&mut self, pod: Pod, label: &Label) -> Result<()> {
        let name = pod.name();
        let (started, ended) = container_state(pod);
        let log = self.logged.entry(name.to_owned()).or_default();
        if log.complete || !(started || ended) {
            return Ok(());
        }
        let wanted = Log { namespace: self.namespace, pod: name, follow: !ended, label };
        let mut onward = Onward { ui: self.cluster.ui, doubt: self.began_before.get_mut(name) };
        let reply = logs::pass_on(self.cluster, wanted, &mut log.position, &mut onward)?;
        // read to its end after the container had ended: the log is complete
        log.complete = ended && reply.succeeded();
        if reply.succeeded() {
            return Ok(());
        }
        self.in_doubt = true;
        let words = reply.stderr.trim().to_owned();
        let hopeless = ended && {
            let since = *log.unread.get_or_insert_with(Instant::now);
            since.elapsed() > self.cluster.shell.scaled(UNREAD) || has_no_log(&words)
        };
        if hopeless {
            log.complete = true;
            self.cluster.ui.warn(format!("the rest of the log of the pod `{name}` can't be had: {words}"));
        } else if !words.is_empty() {
            let plain = without_names(&words, self.name);
            if let Some(log) = self.logged.get_mut(name).filter(|log| log.trouble != plain) {
                log.trouble = plain;
                self.cluster.ui.tell("run", format!("the log was cut, taking it up again: {words}"));
            }
        }
        Ok(())
    }
}

/// Whether some points have ended.
fn has_begun(run: &Run) -> bool {
    run.is_sweep() && (run.done.0 > 0 || run.failed() > 0)
}

/// The words for a waiting run, or for the waiting points of a run.
fn waiting_words(run: &Run, words: &str) -> String {
    if has_begun(run) { format!("{}; the others wait: {words}", run.progress()) } else { format!("Waiting: {words}") }
}

/// Adds the platforms of the nodes, if the image is for another one.
fn with_platforms(why: &Why, inquiry: &Inquiry) -> Why {
    let mut why = why.clone();
    if why.is_platform
        && let nodes @ [_, ..] = inquiry.platforms().as_slice()
    {
        why.hint =
            Some(format!("the nodes are {}: build or choose the image for that (`--platform`)", nodes.join(", ")));
    }
    why
}

/// Whether a node has a pod whose container has not started.
fn is_about_to_print(run: &Run) -> bool {
    let is_near = |pod: Pod| pod.node().is_some() && container_state(pod) == (false, false);
    run.pods.is_empty() || run.pods().iter().any(is_near)
}
