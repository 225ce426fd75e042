//! How following a run ends.

use super::Follower;
use super::has_begun;
use crate::k8s::pod::Pod;
use crate::runs::diagnosis::Why;
use crate::runs::faults::Hope;
use crate::runs::gaps::{self};
use crate::runs::pods::{self, Stage, container_state};
use crate::runs::state::{Phase, Run, age};
use crate::runs::streams::Streams;
use crate::runs::throughput::short;
use crate::util::error::{Exit, Fail, fail};
use anyhow::Result;

/// The error of a run that failed.
pub fn failed(name: &str, namespace: &str, why: &str, logs_were_shown: bool) -> Fail {
    let error = fail(format!("the run `{name}` failed: {why}")).exit(Exit::Experiment);
    if logs_were_shown {
        error
    } else {
        error.hint(format!("see what it printed with `kubectl mrunner logs -n {namespace} {name}`"))
    }
}

/// Whether no experiment runs, and another container keeps a pod whose place the next one needs.
pub(super) fn is_kept(run: &Run) -> bool {
    let goes_on = |pod: Pod| Stage::of(pod) == Stage::Running || pods::is_leaving(pod);
    run.held.is_some() && !run.pods().iter().any(goes_on)
}

impl Follower<'_> {
    pub(super) fn is_complete(&self, run: &Run, streams: &Streams) -> bool {
        if run.is_sweep() {
            // a deleted pod can't be read
            let own = run.pods().iter().filter_map(|pod| self.logged.get(pod.name()));
            return !self.logs || (streams.is_complete(run) && own.into_iter().all(|log| log.complete));
        }
        let unread = |pod: Pod| container_state(pod).1 && !self.logged.get(pod.name()).is_some_and(|log| log.complete);
        !self.logs || !run.pods().iter().any(unread)
    }

    /// Warns about output that was not shown.
    pub(super) fn tell_missing(&self, run: &Run, streams: &Streams) {
        let own = self.logged.iter().map(|(pod, log)| (pod.as_str(), &log.position, log.complete));
        if let Some(words) = gaps::missing(run, streams.read_so_far().chain(own)).filter(|_| self.logs) {
            self.cluster.ui.warn(words);
        }
    }

    /// Reports how an ended run ended: an error if it failed.
    pub fn tell_end(mut self, run: &Run) -> Result<()> {
        self.end(run)
    }

    pub(super) fn end(&mut self, run: &Run) -> Result<()> {
        if let Some(words) = short(run) {
            self.cluster.ui.tell("points", words);
        }
        if run.phase == Phase::Succeeded {
            let took = run.span.0.zip(run.span.1).map(|(from, to)| age((to - from).num_seconds()));
            self.tell(&took.map_or("Succeeded".to_owned(), |took| format!("Succeeded in {took}")));
            if let Some(held) = &run.held {
                self.cluster.ui.warn(held);
                run.hint.iter().for_each(|hint| self.cluster.ui.say(format!("hint: {hint}")));
                self.cluster.ui.say(format!("hint: {}", self.removal()));
            }
            return Ok(());
        }
        let why = self.inquiry().failed_of(run);
        let why = why.as_deref().unwrap_or("the cluster does not say why");
        if run.is_sweep() && run.failed() > 0 {
            let pods = if run.job().packing().1 > 1 { "pods" } else { "points" };
            let what = format!("{} of its {} {pods} failed, one of them: {why}", run.failed(), run.done.1);
            let status = format!("kubectl mrunner status -n {} {}", run.namespace, run.name);
            return Err(failed(&run.name, &run.namespace, &what, true)
                .hint(format!("see which with `{status}`"))
                .into());
        }
        let error = run.hint.iter().fold(failed(&run.name, &run.namespace, why, self.logs), Fail::hint);
        Err(if run.held.is_some() { error.hint(self.removal()) } else { error }.into())
    }

    pub(super) fn removal(&self) -> String {
        format!("remove it with `kubectl mrunner delete -n {} {}`", self.namespace, self.name)
    }

    pub(super) fn hopeless(&self, run: &Run, why: &Why) -> Fail {
        let (name, words) = (self.name, &why.words);
        let begun = has_begun(run);
        let words = if begun { format!("{}; the others wait: {words}", run.progress()) } else { words.clone() };
        let error = match (why.hope, begun) {
            // the run may still start one day
            (Hope::Minutes | Hope::Some, false) if run.held.is_none() => {
                fail(format!("the run `{name}` did not start within 15 minutes: {words}"))
            }
            (Hope::Minutes | Hope::Some, _) => fail(format!("the run `{name}` did not go on for 15 minutes: {words}")),
            (_, false) => fail(format!("the run `{name}` can't start: {words}")).exit(Exit::Experiment),
            (_, true) => fail(format!("the run `{name}` can't go on: {words}")).exit(Exit::Experiment),
        };
        let error = why.hint.iter().fold(error, Fail::hint);
        error.hint(format!("it stays in the cluster; {}", self.removal()))
    }
}
