//! Reading what the pods of a run have printed so far, each log whole: from its node, or from the volume where that
//! has more of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::app::App;
use crate::commands::kept;
use crate::commands::kept_logs::{KeptLogs, KeptRead};
use crate::commands::place::PlaceArgs;
use crate::error::{Fail, fail, flatten};
use crate::names::Namespace;
use crate::objects::again::packing;
use crate::objects::job::CONTAINER;
use crate::target::Target;
use crate::tools::proxy::Proxy;
use crate::tools::shell::was_interrupted;
use crate::ui::{Ui, size};
use crate::watch::follow::container_state;
use crate::watch::gaps::FirstPart;
use crate::watch::lines::{HELD, LATE, Label};
use crate::watch::logs::{self, Log, Passed, Position, Sink};
use crate::watch::pods::Stage;
use crate::watch::printed::{self, Bounds, Printed};
use crate::watch::state::{Run, index_of};
use crate::watch::streams::Labels;

/// How much of a log may still be under way to its node.
const UNDER_WAY: u64 = 256 << 10;
/// After how long a beginning is said to be late of which nobody knows whether it is one.
const VERY_LATE: Duration = Duration::from_secs(10);
/// Of how many running pods is asked how much they have kept; of more, the volume is looked at.
const ASKED: usize = 8;

/// The way to the logs of many pods.
pub(crate) enum Way {
    /// It was not tried to open one.
    Unknown,
    /// This one; where there can be none, each pod is asked for by itself.
    Known(Option<Arc<Proxy>>),
}

/// Reads the logs of one run.
pub(crate) struct LogReader<'a> {
    app: &'a App,
    target: &'a Target,
    namespace: &'a Namespace,
    run: &'a Run,
    args: &'a PlaceArgs,
    way: Way,
    /// What the volume has, or why it can't be looked at; looked for once.
    kept: Option<Result<Option<KeptLogs>, String>>,
    /// Nodes that do not answer.
    away: BTreeMap<String, Fail>,
    unread: Vec<Fail>,
    read: usize,
    asked: usize,
    /// Whether the logs of several pods are read.
    is_many: bool,
}

/// Holds a log back as long as it may be better to show another one.
struct Held<'a> {
    ui: &'a Ui,
    bytes: Vec<u8>,
    is_passing: bool,
    /// Whether it is told how much there is to come.
    is_counted: bool,
    pod: &'a Value,
}

impl Sink for Held<'_> {
    fn take(&mut self, bytes: &[u8], position: &Position) -> Result<()> {
        if self.is_passing {
            return self.ui.pass_on(bytes);
        }
        self.bytes.extend_from_slice(bytes);
        let is_late = printed::lateness(self.pod, position.first()) > LATE;
        match self.bytes.len() > HELD {
            // more than was printed is all
            true if self.is_counted => self.pass_on(),
            true => Err(TooMuch.into()),
            false if !self.is_counted && !is_late => self.pass_on(),
            false => Ok(()),
        }
    }
}

/// More came of a log than can be held back.
#[derive(Debug)]
struct TooMuch;

impl fmt::Display for TooMuch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log is too long to be held back")
    }
}

impl std::error::Error for TooMuch {}

impl Held<'_> {
    fn pass_on(&mut self) -> Result<()> {
        self.is_passing = true;
        self.ui.pass_on(&std::mem::take(&mut self.bytes))
    }
}

impl<'a> LogReader<'a> {
    /// Nothing is read yet.
    pub(crate) fn new(
        app: &'a App,
        target: &'a Target,
        namespace: &'a Namespace,
        run: &'a Run,
        args: &'a PlaceArgs,
        way: Way,
    ) -> Self {
        let (away, unread) = (BTreeMap::new(), Vec::new());
        Self { app, target, namespace, run, args, way, kept: None, away, unread, read: 0, asked: 0, is_many: false }
    }

    /// Shows what all points of the run have printed, each line with its point.
    pub(crate) fn show_all(&mut self) -> Result<()> {
        let mut pods: Vec<&Value> = self.run.pods.iter().collect();
        pods.sort_by_key(|pod| index_of(pod));
        let (begun, waiting): (Vec<&Value>, Vec<&Value>) =
            pods.into_iter().partition(|pod| container_state(pod) != (false, false));
        self.is_many = begun.len() > 1;
        let labels = Labels::of(self.run);
        let mut lost = self.lost().into_iter().peekable();
        for pod in begun {
            while let Some(index) = lost.next_if(|index| *index <= index_of(pod)) {
                self.show_lost(index, |reader, point| labels.of_point(&reader.app.ui, point))?;
            }
            self.show(pod, &labels.label(&self.app.ui, pod))?;
        }
        for index in lost {
            self.show_lost(index, |reader, point| labels.of_point(&reader.app.ui, point))?;
        }
        if !waiting.is_empty() {
            self.app.ui.tell("waiting", not_begun(&waiting));
        }
        Ok(())
    }

    /// The indexes whose pods are gone, or some of them; only if the volume may have their logs.
    fn lost(&self) -> Vec<u64> {
        if printed::keeps(&self.run.job) { printed::with_lost_attempts(self.run) } else { Vec::new() }
    }

    /// Shows the logs of those attempts at the points of an index whose pods are gone.
    fn show_lost(&mut self, index: u64, label: impl Fn(&Self, u64) -> Label) -> Result<()> {
        self.look()?;
        let Some(Ok(Some(kept))) = &self.kept else { return Ok(()) };
        let there: Vec<&str> = self.run.pods.iter().filter_map(|pod| pod["metadata"]["name"].as_str()).collect();
        for point in self.points(index) {
            for pod in kept.pods(point).into_iter().filter(|pod| !there.contains(pod)) {
                kept.show(point, pod, self.bounds(None), &label(self, point), &self.app.ui)?;
            }
        }
        Ok(())
    }

    /// The same for one point, if there were any.
    pub(crate) fn show_lost_of(&mut self, point: u64) -> Result<()> {
        let index = point / packing(&self.run.job).1;
        if self.lost().contains(&index) { self.show_lost(index, |_, _| Label::none()) } else { Ok(()) }
    }

    /// The points of an index.
    fn points(&self, index: u64) -> std::ops::Range<u64> {
        let (points, each) = packing(&self.run.job);
        let first = index.saturating_mul(each);
        first..first.saturating_add(each).min(points.max(first.saturating_add(1)))
    }

    /// How long a kept log can be of which so much was printed.
    fn bounds(&self, printed: Option<u64>) -> Bounds {
        Bounds { printed, kept: printed::kept_at_most(&self.run.job) }
    }

    /// Shows the log of one pod.
    pub(crate) fn show(&mut self, pod: &Value, label: &Label) -> Result<()> {
        self.read += 1;
        let printed = printed::printed(&self.run.job, pod);
        // of so much the node has only the end, but for one that is told to keep more; one that does not answer is
        // asked last
        let is_lost = Stage::of(pod) == Stage::Lost;
        if (is_lost || printed.is_some_and(|printed| printed.bytes > HELD as u64))
            && self.show_kept(pod, label, 0, &mut Vec::new())?
        {
            return Ok(());
        }
        let mut position = Position::default();
        let mut held =
            Held { ui: &self.app.ui, bytes: Vec::new(), is_passing: false, is_counted: printed.is_some(), pod };
        let outcome = match self.read(pod, label, &mut position, &mut held) {
            Err(error) if error.is::<TooMuch>() => {
                held.bytes = Vec::new();
                if self.show_kept(pod, label, HELD as u64, &mut Vec::new())? {
                    return Ok(());
                }
                // then it is read once more, as it comes
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
        if is_doubted && !held.is_passing && self.show_kept(pod, label, passed.bytes, &mut held.bytes)? {
            return Ok(());
        }
        held.pass_on()?;
        match outcome {
            Err(error) => self.unread.push(self.with_kept(error)),
            Ok(()) if is_doubted => self.tell_missing(pod, printed, &position),
            Ok(()) => {}
        }
        Ok(())
    }

    /// Opens a way to the logs of many pods; where there can be none, each pod is asked for by itself.
    fn open(&mut self) -> Result<()> {
        let open = |socket: &_| self.target.kubectl.proxy(Some(self.namespace), socket);
        self.way = match Proxy::open(&self.app.shell, open) {
            Err(error) if was_interrupted(&error) => return Err(error),
            opened => Way::Known(opened.ok().map(Arc::new)),
        };
        Ok(())
    }

    /// Reads what the node has; in the answer, why it could not be read to its end.
    fn read(
        &mut self,
        pod: &Value,
        label: &Label,
        position: &mut Position,
        held: &mut Held,
    ) -> Result<Result<(), Fail>> {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let node = pod["spec"]["nodeName"].as_str().unwrap_or_default();
        if let Some(known) = self.away.get(node) {
            let words = format!("the log of the pod `{name}` can't be read");
            return Ok(Err(Fail { message: words, ..known.clone() }));
        }
        let log = Log { namespace: self.namespace, pod: name, follow: false, label };
        if self.is_many && matches!(self.way, Way::Unknown) {
            self.open()?;
        }
        if let Way::Known(Some(proxy)) = &self.way
            && logs::pass_on_from(proxy, log, position, held)?.is_ok()
        {
            return Ok(Ok(()));
        }
        let kubectl = &self.target.kubectl;
        let reply = logs::pass_on(&self.app.shell, kubectl, log, position, held)?;
        if reply.succeeded() {
            return Ok(Ok(()));
        }
        let error = reply.failure(&kubectl.log(self.namespace, name, false, None));
        if !node.is_empty() && is_away(&reply.stderr) {
            self.away.insert(node.to_owned(), error.clone());
        }
        Ok(Err(error))
    }

    /// Whether a pod that runs has kept no more than its node has. It is asked itself, which is soon done.
    fn is_whole(&mut self, pod: &Value, position: &Position) -> Result<bool> {
        if !printed::keeps(&self.run.job) {
            return Ok(false);
        }
        let is_one = packing(&self.run.job).1 == 1 && container_state(pod).0;
        if self.kept.is_some() || !is_one || self.asked >= ASKED {
            return Ok(false);
        }
        self.asked += 1;
        let first = FirstPart::ask(&self.app.shell, &self.target.kubectl, self.namespace, pod)?;
        let Passed { bytes, lines } = position.passed();
        Ok(first.is_some_and(|first| first.size <= bytes + lines + UNDER_WAY && position.begins_as(&first.beginning)))
    }

    /// Looks at the volume, once.
    fn look(&mut self) -> Result<()> {
        if self.kept.is_some() {
            return Ok(());
        }
        let found = if printed::keeps(&self.run.job) {
            kept::logs_of(self.run, self.args, self.app, self.target)
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

    /// Shows what the pod kept, if that is more than so many bytes, and forgets what was held back. Whether it is more.
    fn show_kept(&mut self, pod: &Value, label: &Label, bytes: u64, held: &mut Vec<u8>) -> Result<bool> {
        self.look()?;
        let Some(Ok(Some(kept))) = &self.kept else { return Ok(false) };
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let points = self.points(index_of(pod));
        let sizes: Vec<u64> = points.clone().filter_map(|point| kept.bytes(point, name)).collect();
        // one without a byte is a log as well, if it is all that can be read
        if sizes.is_empty() || (bytes > 0 && sizes.iter().sum::<u64>() <= bytes) {
            return Ok(false);
        }
        *held = Vec::new();
        let is_packed = points.end - points.start > 1;
        let printed = printed::printed(&self.run.job, pod).filter(|_| !is_packed).map(|printed| printed.bytes);
        // each point of a pod has a label of its own, where there are labels
        let labels = (is_packed && *label != Label::none()).then(|| Labels::of(self.run));
        let mut is_shown = true;
        for point in points {
            let own = labels.map(|labels| labels.of_point(&self.app.ui, point));
            let label = own.as_ref().unwrap_or(label);
            if kept.bytes(point, name).is_some() {
                is_shown &= kept.show(point, name, self.bounds(printed), label, &self.app.ui)? == KeptRead::Done;
            }
        }
        if !is_shown {
            self.unread.push(fail(format!("the log that the pod `{name}` kept could not be read to its end")));
        }
        Ok(true)
    }

    /// Says that the beginning of a log, or more, is gone.
    fn tell_missing(&self, pod: &Value, printed: Option<Printed>, position: &Position) {
        let (ui, name) = (&self.app.ui, pod["metadata"]["name"].as_str().unwrap_or_default());
        let passed = position.passed().bytes;
        match printed {
            Some(printed) if printed.bytes > passed => ui.warn(format!(
                "the log of `{name}` is not whole: its node has {} of the {} that it printed, and the storage has no more",
                size(passed),
                size(printed.bytes)
            )),
            _ => {
                let late = printed::lateness(pod, position.first());
                if late > VERY_LATE && !matches!(&self.kept, Some(Ok(Some(_)))) {
                    ui.warn(format!(
                        "the log of `{name}` begins {} s after its start: what it may have printed before is gone, \
                         as its node keeps only the last part of a long log and nothing was kept in the storage",
                        late.as_secs()
                    ));
                }
            }
        }
    }

    /// The error of a log that could not be read, with what the volume has.
    fn with_kept(&self, error: Fail) -> Fail {
        match &self.kept {
            Some(Err(_)) => error,
            _ if !printed::keeps(&self.run.job) => error.fact("storage", "nothing is kept there (`keep_logs: false`)"),
            _ => error.fact("storage", "no log of it was kept there"),
        }
    }

    /// An error if a log could not be read: with its cause, if it is the only one.
    pub(crate) fn end(mut self) -> Result<()> {
        if self.unread.is_empty() {
            return Ok(());
        }
        if self.read == 1
            && let Some(error) = self.unread.pop()
        {
            return Err(error.into());
        }
        let unread = self.unread.len();
        for error in &self.unread {
            let why = error.details.last().map_or(String::new(), |words| format!(": {words}"));
            self.app.ui.warn(format!("{}{why}", error.message));
        }
        Err(fail(format!("{unread} of {} logs could not be read, see above", self.read)).into())
    }
}

/// Whether kubectl says that a node does not answer.
fn is_away(words: &str) -> bool {
    ["dial tcp", "i/o timeout", "no route to host", "TLS handshake", "no answer in", "502 Bad Gateway"]
        .iter()
        .any(|sign| words.contains(sign))
}

/// Which pods have printed nothing yet, and why.
fn not_begun(pods: &[&Value]) -> String {
    let mut by_reason: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for pod in pods {
        let statuses = pod["status"]["containerStatuses"].as_array();
        let own = statuses.and_then(|all| all.iter().find(|c| c["name"] == CONTAINER));
        let reason = own.and_then(|c| c["state"]["waiting"]["reason"].as_str()).or(pod["status"]["reason"].as_str());
        let reason = reason.or(pod["status"]["phase"].as_str()).unwrap_or("Pending");
        by_reason.entry(reason.to_owned()).or_default().push(pod["metadata"]["name"].as_str().unwrap_or_default());
    }
    let named = by_reason.into_iter().map(|(reason, names)| {
        let shown: Vec<String> = names.iter().take(3).map(|name| format!("`{name}`")).collect();
        let more = names.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{}{more} ({reason})", shown.join(", "))
    });
    let pods = if pods.len() == 1 { "1 pod has".to_owned() } else { format!("{} pods have", pods.len()) };
    format!("{pods} not begun: {}", named.collect::<Vec<_>>().join(", "))
}
