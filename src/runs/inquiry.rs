//! Asking the cluster why a run waits, where its pod alone does not say.

use serde_json::Value;

use crate::k8s::manifests::{QUEUE, condition};
use crate::k8s::names::Namespace;
use crate::k8s::{platforms, taints};
use crate::runs::diagnosis::{self, Why};
use crate::runs::endings::with_log;
use crate::runs::events::{self, Step, Told};
use crate::runs::faults::Hope;
use crate::runs::pods::{self, Stage, index_of};
use crate::runs::state::Run;
use crate::tools::cluster::Cluster;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Scope};
use crate::tools::reply::Reply;
use crate::util::ui::line;

/// Asks. Each question that fails only makes the words poorer.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// The cluster.
    pub cluster: Cluster<'a>,
    /// The run's namespace.
    pub namespace: &'a Namespace,
}

impl Inquiry<'_> {
    /// What the events say of a run that waits: those of its pod, or of its Job where it has none, or of its claim.
    pub fn events_say(&self, run: &Run) -> Option<Told> {
        let pod = run.alive().next_back();
        let (kind, object) = pod.map_or(("Job", &run.job), |pod| ("Pod", pod));
        let told = events::told(&self.events(kind, object), pod);
        let placed = pod.is_some_and(|pod| pods::node(pod).is_some());
        if matches!(told, Some(Told::Problem(_))) || placed {
            // a pod that has a node has its volume
            return told;
        }
        let volumes = run.job["spec"]["template"]["spec"]["volumes"].as_array()?;
        let claim = volumes.iter().find_map(|v| v["persistentVolumeClaim"]["claimName"].as_str())?;
        let claim = serde_json::json!({ "metadata": { "name": claim } });
        events::problem_in(&self.events("PersistentVolumeClaim", &claim)).map(Told::Problem).or(told)
    }

    /// Why it waits, in words.
    pub fn waits_for(&self, run: &Run) -> Option<String> {
        self.explained(run).0
    }

    /// Why it waits, in words, and what to do about it: as its pod says, and where that says too little, its events.
    pub fn explained(&self, run: &Run) -> (Option<String>, Option<String>) {
        let pod = run.alive().next_back();
        let waits = pod.and_then(diagnosis::waits);
        let enough = waits.is_some() && !pod.is_some_and(diagnosis::lacks_cause);
        match if enough { None } else { self.events_say(run) } {
            Some(Told::Problem(why)) => (Some(why.words), why.hint),
            Some(Told::Reached(step)) if doing(step, pod).is_some() => (doing(step, pod), None),
            _ => (run.why.clone(), waits.and_then(|why| why.hint)),
        }
    }

    /// Why those of the run's pods that nobody answers for do not end, with the way out; `None` if their nodes answer.
    pub fn lost(&self, run: &Run) -> Option<String> {
        let silent: Vec<&Value> =
            run.alive().filter(|pod| Stage::of(pod) == Stage::Lost || pods::is_leaving(pod)).collect();
        silent.first()?;
        let nodes = self.ask(&self.cluster.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes"));
        let away = |pod: &&&Value| {
            let node = pods::node(pod).unwrap_or_default();
            match nodes.iter().find(|n| n["metadata"]["name"] == node) {
                Some(node) => condition(node, "Ready").is_some_and(|ready| ready["status"] != "True"),
                // without the right to see any, the pod alone tells
                None => !nodes.is_empty() || Stage::of(pod) == Stage::Lost,
            }
        };
        let pod = *silent.iter().find(away)?;
        let (node, name) = (pods::node(pod).unwrap_or_default(), pods::name(pod));
        let found = nodes.iter().find(|n| n["metadata"]["name"] == node);
        let since = found.and_then(|node| condition(node, "Ready")?["lastTransitionTime"].as_str());
        let what = if run.is_sweep() { run.points_of(index_of(pod)) } else { "the run".to_owned() };
        let starts = if what.starts_with("points ") { "start" } else { "starts" };
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

    /// Why a run failed, with what a container that is not ours said at last, where the cluster shows only its log.
    pub fn failed_of(&self, run: &Run) -> Option<String> {
        let why = run.why.clone()?;
        let Some((pod, container)) = &run.log else { return Some(why) };
        let cmd = self.cluster.kubectl.last_lines(self.namespace, pod, container);
        let log = self.cluster.read(&cmd).ok().filter(Reply::succeeded);
        Some(log.and_then(|log| with_log(&why, &String::from_utf8_lossy(&log.stdout))).unwrap_or(why))
    }

    /// The platforms of the nodes, such as `linux/amd64`.
    pub fn platforms(&self) -> Vec<String> {
        platforms::of_nodes(&self.ask(&self.cluster.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes")))
    }

    /// What Kueue says of a run that it holds back.
    pub fn queue_says(&self, run: &Run) -> Option<String> {
        let queue = run.job["metadata"]["labels"][QUEUE].as_str()?;
        let selector = format!("kueue.x-k8s.io/job-uid={}", run.job["metadata"]["uid"].as_str()?);
        let what = &["workloads.kueue.x-k8s.io"];
        let workloads =
            self.ask(&self.cluster.kubectl.get(Scope::In(self.namespace), what, Some(&selector), "ask Kueue"));
        let said = |kind: &str| {
            let condition = crate::k8s::manifests::condition(workloads.first()?, kind)?;
            condition["message"].as_str().filter(|words| !words.is_empty() && condition["status"] != "True")
        };
        let words = said("QuotaReserved").or_else(|| said("Admitted"))?;
        let place = match self.before(queue, workloads.first()?) {
            Some(0) => ", the next in line".to_owned(),
            Some(others) => format!(", with {others} before it"),
            None => String::new(),
        };
        Some(format!("the queue `{queue}` holds it back{place}: {words}"))
    }

    /// How many stand before a workload, where Kueue has its API of who waits
    /// (<https://kueue.sigs.k8s.io/docs/tasks/manage/monitor_pending_workloads/>).
    fn before(&self, queue: &str, workload: &Value) -> Option<u64> {
        let name = workload["metadata"]["name"].as_str()?;
        // the newer version first; an older Kueue has the other
        let pending = ["v1beta2", "v1beta1"].iter().find_map(|version| {
            let path = format!(
                "/apis/visibility.kueue.x-k8s.io/{version}/namespaces/{}/localqueues/{queue}/pendingworkloads",
                self.namespace
            );
            let cmd = self.cluster.kubectl.raw(&path, "ask Kueue who waits");
            self.cluster.read(&cmd).ok().filter(Reply::succeeded)?.json::<Value>(&cmd).ok()
        })?;
        let own = pending["items"].as_array()?.iter().find(|item| item["metadata"]["name"] == name)?;
        own["positionInClusterQueue"].as_u64()
    }

    /// The verdict on a pod that no node of the cluster, empty, would fit, unless a node is being made.
    pub fn fits_nowhere(&self, pod: &Value) -> Option<Why> {
        let nodes = self.ask(&self.cluster.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes"));
        let never = diagnosis::fits_nowhere(pod, &nodes) && !events::is_scaling_up(&self.events("Pod", pod));
        // an autoscaler says only after a while what it makes
        let may_come = platforms::may_grow(&nodes) || diagnosis::lacks_devices(pod, &nodes);
        let hope = if may_come { Hope::Minutes } else { Hope::Little };
        never.then(|| {
            let taints = diagnosis::held_back_by(pod, &nodes);
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

    /// The events about one object, without those about a former one of its name.
    fn events(&self, kind: &str, object: &Value) -> Vec<Value> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut events = self.ask(&self.cluster.kubectl.events(self.namespace, kind, name));
        let other = |about: &Value, own: &Value| about.is_string() && own.is_string() && about != own;
        events.retain(|event| !other(&event["involvedObject"]["uid"], &object["metadata"]["uid"]));
        events
    }
}

/// What a pod that has come so far is at, in words.
pub fn doing(step: Step, pod: Option<&Value>) -> Option<String> {
    let node = pod.and_then(pods::node).map_or(String::new(), |node| format!(" on {node}"));
    (step == Step::Pulling).then(|| format!("pulling image{node}"))
}
