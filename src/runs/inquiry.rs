//! Asks the cluster why a run waits, if its pod does not say so.

use serde_json::Value;

use crate::k8s::event::Event;
use crate::k8s::kueue;
use crate::k8s::manifests::QUEUE;
use crate::k8s::names::Namespace;
use crate::k8s::object::{Condition, Object};
use crate::k8s::pod::Pod;
use crate::k8s::{fit, platforms, taints};
use crate::runs::diagnosis::{self, Why};
use crate::runs::events::{self, StartProgress, StartStep};
use crate::runs::faults::Hope;
use crate::runs::pods::{self, Stage};
use crate::runs::state::Run;
use crate::tools::cluster::Cluster;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Scope};
use crate::tools::reply::Reply;
use crate::util::ui::line;

/// Asks the cluster. A question that fails only makes the words less specific.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// The cluster.
    pub cluster: Cluster<'a>,
    /// The run's namespace.
    pub namespace: &'a Namespace,
}

impl Inquiry<'_> {
    /// What the events of a waiting run say: those of its pod, of its Job if there is no pod, or of its claim.
    pub fn events_say(&self, run: &Run) -> Option<StartProgress> {
        let pod = run.alive().next_back();
        let (kind, object) = pod.map_or(("Job", *run.job()), |pod| ("Pod", *pod));
        let told = events::told(&self.events(kind, object.name(), object.uid()), pod);
        let placed = pod.is_some_and(|pod| pod.node().is_some());
        if matches!(told, Some(StartProgress::Problem(_))) || placed {
            // a pod with a node has its volume
            return told;
        }
        let claim = run.job().pod_spec().claim()?;
        events::problem_in(&self.events("PersistentVolumeClaim", claim, None)).map(StartProgress::Problem).or(told)
    }

    /// Why the run waits, in words.
    pub fn waits_for(&self, run: &Run) -> Option<String> {
        self.explained(run).0
    }

    /// Why the run waits, and what to do about it: from its pod, or from its events if the pod says too little.
    pub fn explained(&self, run: &Run) -> (Option<String>, Option<String>) {
        let pod = run.alive().next_back();
        let waits = pod.and_then(diagnosis::waits);
        let enough = waits.is_some() && !pod.is_some_and(diagnosis::lacks_cause);
        match if enough { None } else { self.events_say(run) } {
            Some(StartProgress::Problem(why)) => (Some(why.words), why.hint),
            Some(StartProgress::Reached(step)) if doing(step, pod).is_some() => (doing(step, pod), None),
            _ => (run.why.clone(), waits.and_then(|why| why.hint)),
        }
    }

    /// Why the run's pods on unreachable nodes do not end, and what to do; `None` if their nodes answer.
    pub fn lost(&self, run: &Run) -> Option<String> {
        let silent: Vec<Pod> =
            run.alive().filter(|pod| Stage::of(*pod) == Stage::Lost || pods::is_leaving(*pod)).collect();
        silent.first()?;
        let nodes = self.ask(&self.cluster.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes"));
        let node_of = |pod: Pod| nodes.iter().map(Object::of).find(|node| Some(node.name()) == pod.node());
        let away = |pod: &Pod| match node_of(*pod) {
            Some(node) => node.condition("Ready").is_some_and(|ready| !ready.is_true()),
            // without permission to list nodes, only the pod is known
            None => !nodes.is_empty() || Stage::of(*pod) == Stage::Lost,
        };
        let pod = silent.into_iter().find(away)?;
        let (node, name) = (pod.node().unwrap_or_default(), pod.name());
        let found = node_of(pod);
        let since = found.and_then(|node| node.condition("Ready")?.changed_text());
        let what = if run.is_sweep() { run.points_of(pod.index()) } else { "the run".to_owned() };
        let starts = if run.is_sweep() && run.has_several(pod.index()) { "start" } else { "starts" };
        let state = match (found, since) {
            (None, _) if !nodes.is_empty() => {
                return Some(format!(
                    "node `{node}` is gone: {what} {starts} again once the cluster has removed the pod"
                ));
            }
            (_, Some(since)) => format!("node `{node}` has not answered since {since}"),
            (_, None) => format!("node `{node}` does not answer"),
        };
        Some(format!(
            "{state}: {what} {starts} again once the node is back, or once the node (`kubectl delete node {node}`) or the pod \
             (`kubectl delete pod --force -n {} {name}`) is deleted",
            self.namespace
        ))
    }

    /// Why a run failed, with the last line of a container that mrunner did not add, if the cluster has it only in
    /// the log.
    pub fn failed_of(&self, run: &Run) -> Option<String> {
        let why = run.why.clone()?;
        let Some(own) = &run.log else { return Some(why) };
        let cmd = self.cluster.kubectl.last_lines(self.namespace, &own.pod, &own.container);
        let log = self.cluster.read(&cmd).ok().filter(Reply::succeeded);
        Some(log.and_then(|log| own.add_to(&why, &String::from_utf8_lossy(&log.stdout))).unwrap_or(why))
    }

    /// The platforms of the nodes, such as `linux/amd64`.
    pub fn platforms(&self) -> Vec<String> {
        platforms::of_nodes(&self.ask(&self.cluster.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes")))
    }

    /// What Kueue says about a run that waits in a queue.
    pub fn queue_says(&self, run: &Run) -> Option<String> {
        let queue = run.job().label(QUEUE)?;
        let selector = format!("kueue.x-k8s.io/job-uid={}", run.job().uid()?);
        let what = &["workloads.kueue.x-k8s.io"];
        let workloads =
            self.ask(&self.cluster.kubectl.get(Scope::In(self.namespace), what, Some(&selector), "ask Kueue"));
        let workload = workloads.first().map(Object::of)?;
        let open =
            |kind: &str| workload.condition(kind).filter(|condition| !condition.is_true()).map(Condition::message);
        let said = |kind: &str| open(kind).filter(|words| !words.is_empty());
        let words = said("QuotaReserved").or_else(|| said("Admitted"))?;
        let place = match self.before(queue, workload.name()) {
            Some(0) => ", the next in line".to_owned(),
            Some(others) => format!(", with {others} before it"),
            None => String::new(),
        };
        Some(format!("the queue `{queue}` holds it back{place}: {words}"))
    }

    /// The number of workloads before this one, if Kueue has its visibility API
    /// (<https://kueue.sigs.k8s.io/docs/tasks/manage/monitor_pending_workloads/>).
    fn before(&self, queue: &str, workload: &str) -> Option<u64> {
        // the newer version first; an older Kueue has only the other
        let pending = ["v1beta2", "v1beta1"].iter().find_map(|version| {
            let path = format!(
                "/apis/visibility.kueue.x-k8s.io/{version}/namespaces/{}/localqueues/{}/pendingworkloads",
                self.namespace,
                kubectl::encoded(queue)
            );
            let cmd = self.cluster.kubectl.raw(&path, "ask Kueue who waits");
            self.cluster.read(&cmd).ok().filter(Reply::succeeded)?.json::<Value>(&cmd).ok()
        })?;
        kueue::position(&pending, workload)
    }

    /// The reason if no node of the cluster would fit the pod even if it were empty, unless a node is being
    /// created.
    pub fn fits_nowhere(&self, pod: Pod) -> Option<Why> {
        let nodes = self.ask(&self.cluster.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes"));
        let never =
            fit::fits_nowhere(pod, &nodes) && !events::is_scaling_up(&self.events("Pod", pod.name(), pod.uid()));
        // an autoscaler reports new nodes only after a while
        let may_come = platforms::may_grow(&nodes) || fit::lacks_devices(pod, &nodes);
        let hope = if may_come { Hope::Minutes } else { Hope::Little };
        never.then(|| {
            let taints = fit::held_back_by(pod, &nodes);
            if taints.is_empty() {
                let hint = "ask for less with `--cpu`, `--mem`, `--gpu`, or see the nodes with `kubectl get nodes`";
                return Why::new("no node of the cluster would ever fit what it asks for", Some(hint), hope);
            }
            let names: Vec<String> = taints.iter().map(|taint| format!("`{}`", line(&taint.to_string()))).collect();
            let hint = format!("tolerate that in the context with `{}`", taints::tolerations_for(&taints));
            let words =
                format!("every node that would fit it has a taint that it does not tolerate: {}", names.join(", "));
            Why::new(words, Some(&hint), hope)
        })
    }

    fn ask(&self, cmd: &Cmd) -> Vec<Value> {
        self.cluster.read(cmd).and_then(|reply| kubectl::objects(&reply.ok(cmd)?, cmd)).unwrap_or_default()
    }

    /// The events of one object, without those of a deleted object with the same name.
    fn events(&self, kind: &str, name: &str, uid: Option<&str>) -> Vec<Value> {
        let mut events = self.ask(&self.cluster.kubectl.events(self.namespace, kind, name));
        let is_other = |event: Event| event.about_uid().zip(uid).is_some_and(|(about, own)| about != own);
        events.retain(|event| !is_other(Event::of(event)));
        events
    }
}

/// What a pod at this step is doing, in words.
pub fn doing(step: StartStep, pod: Option<Pod>) -> Option<String> {
    let node = pod.and_then(Pod::node).map_or(String::new(), |node| format!(" on {node}"));
    (step == StartStep::Pulling).then(|| format!("pulling image{node}"))
}
