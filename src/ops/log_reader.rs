//! Reads the complete logs of a run's pods up to now: from the nodes, or from the volume if it has more.

mod missing;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;

use self::missing::{not_begun, not_to_its_end};
use crate::app::App;
use crate::app::target::Target;
use crate::k8s::names::Namespace;
use crate::k8s::pod::Pod;
use crate::ops::archived_logs::{KeptLogs, KeptRead};
use crate::ops::archived_run;
use crate::ops::held_log::{Held, TooMuch};
use crate::ops::locate_volume::VolumeArgs;
use crate::runs::gaps::{FirstPart, first_part_of};
use crate::runs::lines::{HELD, LATE, Label};
use crate::runs::logs::{self, Log, Passed, Position};
use crate::runs::pods::{Stage, container_state};
use crate::runs::printed::{self, Bounds, Printed};
use crate::runs::state::Run;
use crate::runs::streams::Labels;
use crate::tools::kubectl::is_node_silent;
use crate::tools::proxy::Proxy;
use crate::tools::shell::was_interrupted;
use crate::util::error::{Fail, flatten};
use crate::util::ui::Ui;

/// How much of a log may still be on its way to the node.
const UNDER_WAY: u64 = 256 << 10;
/// How many running pods are asked how much they have stored; if there are more, the volume is read.
const ASKED: usize = 8;

/// The connection for the logs of many pods.
pub(crate) enum LogSource {
    /// Not tried yet.
    Unknown,
    /// The known connection; without one, each pod is read with its own kubectl.
    Known(Option<Arc<Proxy>>),
}

/// Reads the logs of one run.
pub(crate) struct LogReader<'a> {
    app: &'a App,
    target: &'a Target,
    namespace: &'a Namespace,
    run: &'a Run,
    args: &'a VolumeArgs,
    way: LogSource,
    /// The stored logs, or why they can't be read; looked up once.
    kept: Option<Result<Option<KeptLogs>, String>>,
    /// Nodes that do not answer.
    away: BTreeMap<String, Fail>,
    unread: Vec<Fail>,
    /// The indexes of attempts whose pod and log are gone.
    gone: Vec<u64>,
    read: usize,
    asked: usize,
    /// Whether the logs of several pods are read.
    is_many: bool,
}

/// How much of a log was stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeptPart {
    /// Nothing, or no more than the node has.
    None,
    /// Everything except the end: the volume was full.
    Beginning,
    Whole,
}

impl<'a> LogReader<'a> {
    /// Creates a reader.
    pub(crate) fn new(
        app: &'a App,
        target: &'a Target,
        namespace: &'a Namespace,
        run: &'a Run,
        args: &'a VolumeArgs,
        way: LogSource,
    ) -> Self {
        let (away, unread, gone) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (kept, read, asked, is_many) = (None, 0, 0, false);
        Self { app, target, namespace, run, args, way, kept, away, unread, gone, read, asked, is_many }
    }

    /// Shows the logs of all points of the run, each line with its point.
    pub(crate) fn show_all(&mut self) -> Result<()> {
        let mut pods: Vec<Pod> = self.run.pods().iter().collect();
        pods.sort_by_key(|pod| pod.index());
        let (begun, waiting): (Vec<Pod>, Vec<Pod>) =
            pods.into_iter().partition(|pod| container_state(*pod) != (false, false));
        self.is_many = begun.len() > 1;
        let labels = Labels::of(self.run);
        let mut lost = printed::with_lost_attempts(self.run).into_iter().peekable();
        for pod in begun {
            while let Some(attempts) = lost.next_if(|(index, _)| *index <= pod.index()) {
                self.show_lost(attempts, |ui, point| labels.of_point(ui, point))?;
            }
            self.show(pod, &labels.label(&self.app.ui, pod))?;
        }
        for attempts in lost {
            self.show_lost(attempts, |ui, point| labels.of_point(ui, point))?;
        }
        self.tell_waiting(&waiting);
        Ok(())
    }

    /// Reports pods that have not started.
    pub(crate) fn tell_waiting(&self, pods: &[Pod]) {
        if !pods.is_empty() {
            self.app.ui.tell("waiting", not_begun(pods));
        }
    }

    /// Whether there were attempts whose pods are gone, at one point or at any.
    pub(crate) fn has_lost(&self, point: Option<u64>) -> bool {
        let each = self.run.job().packing().1;
        let lost = printed::with_lost_attempts(self.run);
        point.map_or(!lost.is_empty(), |point| lost.iter().any(|(index, _)| *index == point / each))
    }

    /// Whether there was no log, and none was expected.
    pub(crate) fn found_nothing(&self) -> bool {
        self.read == 0
    }

    /// Shows the logs of attempts at the points of an index whose pods are gone; `count` is how many there were.
    fn show_lost(&mut self, (index, count): (u64, u64), label: impl Fn(&Ui, u64) -> Label) -> Result<()> {
        self.look()?;
        let mut shown = BTreeSet::new();
        if let Some(Ok(Some(kept))) = &self.kept {
            let there: Vec<&str> = self.run.pods().iter().map(|pod| pod.name()).collect();
            for point in self.points(index) {
                for pod in kept.pods(point).into_iter().filter(|pod| !there.contains(pod)) {
                    match kept.show(point, pod, self.bounds(None), &label(&self.app.ui, point), &self.app.ui)? {
                        KeptRead::Done if kept.is_unkept(point, pod)? => continue,
                        KeptRead::Failed => self.unread.push(not_to_its_end(pod)),
                        KeptRead::Done | KeptRead::Missing => {}
                    }
                    shown.insert(pod);
                }
            }
        }
        let is_missing = (shown.len() as u64) < count;
        self.read += shown.len() + usize::from(is_missing);
        self.gone.extend(is_missing.then_some(index));
        Ok(())
    }

    /// The same for one point, if there were any.
    pub(crate) fn show_lost_of(&mut self, point: u64) -> Result<()> {
        let index = point / self.run.job().packing().1;
        let lost = printed::with_lost_attempts(self.run).into_iter().find(|(lost, _)| *lost == index);
        lost.map_or(Ok(()), |attempts| self.show_lost(attempts, |_, _| Label::none()))
    }

    /// The points of an index.
    fn points(&self, index: u64) -> std::ops::Range<u64> {
        let (points, each) = self.run.job().packing();
        let first = index.saturating_mul(each);
        first..first.saturating_add(each).min(points.max(first.saturating_add(1)))
    }

    /// The longest stored log for this much output.
    fn bounds(&self, printed: Option<u64>) -> Bounds {
        Bounds { printed, kept: printed::kept_at_most(self.run.job()) }
    }

    /// Shows the log of one pod.
    pub(crate) fn show(&mut self, pod: Pod, label: &Label) -> Result<()> {
        self.read += 1;
        let printed = printed::printed(self.run.job(), pod);
        // a node usually has only the end of such a long log; a node that does not answer is asked last
        let is_lost = Stage::of(pod) == Stage::Lost;
        let mut before = KeptPart::None;
        if is_lost || printed.is_some_and(|printed| printed.bytes > HELD as u64) {
            before = self.show_kept(pod, label, 0, &mut Vec::new())?;
            if before == KeptPart::Whole {
                return Ok(());
            }
        }
        let mut position = Position::default();
        let is_passing = before != KeptPart::None;
        let mut held = Held { ui: &self.app.ui, bytes: Vec::new(), is_passing, is_counted: printed.is_some(), pod };
        let outcome = match self.read(pod, label, &mut position, &mut held) {
            Err(error) if error.is::<TooMuch>() => {
                held.bytes = Vec::new();
                if self.show_kept(pod, label, HELD as u64, &mut Vec::new())? != KeptPart::None {
                    return Ok(());
                }
                // then the log is read again as a stream
                (position, held.is_passing) = (Position::default(), true);
                self.read(pod, label, &mut position, &mut held)?
            }
            outcome => outcome?,
        };
        let passed = position.passed();
        let is_doubted = match printed {
            _ if outcome.is_err() => true,
            Some(Printed { bytes, .. }) if bytes > passed.bytes => !passed.lacks_only_returns(bytes),
            Some(Printed { is_all: true, .. }) => false,
            _ => printed::lateness(pod, position.first()) > LATE && !self.is_whole(pod, &position)?,
        };
        if is_doubted && !held.is_passing {
            before = self.show_kept(pod, label, passed.bytes, &mut held.bytes)?;
            if before == KeptPart::Whole {
                return Ok(());
            }
        }
        held.pass_on()?;
        match outcome {
            Err(error) => self.unread.push(self.with_kept(error, pod, passed.bytes, before)),
            Ok(()) if is_doubted => self.tell_missing(pod, printed, &position, before),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Opens a connection for the logs of many pods; without one, each pod is read with its own kubectl.
    fn open(&mut self) -> Result<()> {
        let open = |socket: &_| self.target.kubectl.proxy(Some(self.namespace), socket);
        self.way = match Proxy::open(&self.app.shell, open) {
            Err(error) if was_interrupted(&error) => return Err(error),
            opened => LogSource::Known(opened.ok().map(Arc::new)),
        };
        Ok(())
    }

    /// Reads the log on the node; the reply says why it could not be read to its end.
    fn read(&mut self, pod: Pod, label: &Label, position: &mut Position, held: &mut Held) -> Result<Result<(), Fail>> {
        let (name, node) = (pod.name(), pod.node().unwrap_or_default());
        if let Some(known) = self.away.get(node) {
            let words = format!("the log of the pod `{name}` can't be read");
            return Ok(Err(Fail { message: words, ..known.clone() }));
        }
        let log = Log { namespace: self.namespace, pod: name, follow: false, label };
        if self.is_many && matches!(self.way, LogSource::Unknown) {
            self.open()?;
        }
        if let LogSource::Known(Some(proxy)) = &self.way
            && logs::pass_on_from(proxy, log, position, held)?.is_ok()
        {
            return Ok(Ok(()));
        }
        let kubectl = &self.target.kubectl;
        let reply = logs::pass_on(self.target.cluster(self.app), log, position, held)?;
        if reply.succeeded() {
            return Ok(Ok(()));
        }
        let error = reply.failure(&kubectl.log(self.namespace, name, false, None));
        if !node.is_empty() && is_node_silent(&reply.stderr) {
            self.away.insert(node.to_owned(), error.clone());
        }
        Ok(Err(error))
    }

    /// Whether a running pod has stored no more than its node has. The pod itself is asked, which is fast.
    fn is_whole(&mut self, pod: Pod, position: &Position) -> Result<bool> {
        if !printed::keeps(self.run.job()) {
            return Ok(false);
        }
        let is_one = self.run.job().packing().1 == 1 && container_state(pod).0;
        if self.kept.is_some() || !is_one || self.asked >= ASKED {
            return Ok(false);
        }
        self.asked += 1;
        let first = FirstPart::ask(&self.app.shell, &first_part_of(pod, &self.target.kubectl, self.namespace))?;
        let Passed { bytes, lines } = position.passed();
        let first = first.filter(|first| first.size > 0 && first.size <= bytes + lines + UNDER_WAY);
        Ok(first.is_some_and(|first| position.begins_as(&first.beginning)))
    }

    /// Reads the list of stored logs, once.
    fn look(&mut self) -> Result<()> {
        if self.kept.is_some() {
            return Ok(());
        }
        let found = if printed::keeps(self.run.job()) {
            archived_run::logs_of(self.run, self.args, self.app, self.target)
        } else {
            Ok(None)
        };
        self.kept = Some(match found {
            Err(error) if was_interrupted(&error) => return Err(error),
            Err(error) => {
                let words = flatten(&error).message;
                self.app.ui.warn(format!("the logs that were kept in the storage can't be looked at: {words}"));
                Err(words)
            }
            Ok(found) => Ok(found),
        });
        Ok(())
    }

    /// How many bytes of a pod's log were stored; `None` if there is no log, or the storage was not read.
    fn kept_bytes(&self, pod: Pod) -> Option<u64> {
        let Some(Ok(Some(kept))) = &self.kept else { return None };
        self.points(pod.index()).filter_map(|point| kept.bytes(point, pod.name())).reduce(u64::saturating_add)
    }

    /// Shows the stored log of the pod, if it is longer than this or has parts that the node lacks, and drops the
    /// buffered log if it is no longer needed.
    fn show_kept(&mut self, pod: Pod, label: &Label, bytes: u64, held: &mut Vec<u8>) -> Result<KeptPart> {
        self.look()?;
        let Some(own) = self.kept_bytes(pod) else { return Ok(KeptPart::None) };
        let Some(Ok(Some(kept))) = &self.kept else { return Ok(KeptPart::None) };
        let name = pod.name();
        let points = self.points(pod.index());
        let told = printed::by_point(self.run.job(), pod);
        let lacks_end = |point: &u64| {
            let bounds = self.bounds(told.get(point).copied());
            kept.bytes(*point, name).is_some_and(|bytes| bounds.lacks_end(bytes))
        };
        let is_beginning = points.clone().any(|point| lacks_end(&point));
        // an empty log counts, if it is all that can be read
        if (is_beginning && own == 0) || (!is_beginning && bytes > 0 && own <= bytes) {
            return Ok(KeptPart::None);
        }
        if !is_beginning {
            *held = Vec::new();
        }
        // each point of a pod has its own label, if there are labels
        let is_packed = points.end - points.start > 1;
        let labels = (is_packed && *label != Label::none()).then(|| Labels::of(self.run));
        let mut is_shown = true;
        for point in points {
            let own = labels.map(|labels| labels.of_point(&self.app.ui, point));
            let label = own.as_ref().unwrap_or(label);
            let bounds = self.bounds(told.get(&point).copied());
            is_shown &= kept.show(point, name, bounds, label, &self.app.ui)? != KeptRead::Failed;
        }
        if !is_shown {
            self.unread.push(not_to_its_end(name));
        }
        if is_beginning {
            self.app
                .ui
                .tell("log", format!("the log of `{name}` goes on with what its node has; lines may come twice"));
        }
        Ok(if is_beginning { KeptPart::Beginning } else { KeptPart::Whole })
    }
}
