//! Asking the cluster why a run waits, where its pod alone does not say.

use serde_json::Value;

use crate::names::Namespace;
use crate::objects::job::QUEUE;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Kubectl, Scope};
use crate::tools::reply::Reply;
use crate::tools::shell::Shell;
use crate::watch::state::Run;
use crate::watch::why::{self, Hope, Why};

/// Asks. Each question that fails only makes the words poorer.
#[derive(Debug, Clone, Copy)]
pub struct Inquiry<'a> {
    /// Starts the questions.
    pub shell: &'a Shell,
    /// The cluster.
    pub kubectl: &'a Kubectl,
    /// The run's namespace.
    pub namespace: &'a Namespace,
}

impl Inquiry<'_> {
    /// Why the run waits: in the events of its pod, or of its Job where it has none, or of its claim.
    pub fn events_say(&self, run: &Run) -> Option<Why> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let about = run.pods.last().map_or(("Job", name(&run.job)), |pod| ("Pod", name(pod)));
        why::from_events(&self.events(about.0, &about.1)).or_else(|| {
            let volumes = run.job["spec"]["template"]["spec"]["volumes"].as_array()?;
            let claim = volumes.iter().find_map(|v| v["persistentVolumeClaim"]["claimName"].as_str())?;
            why::from_events(&self.events("PersistentVolumeClaim", claim))
        })
    }

    /// Why it waits, in words: as its pod says, and where that says too little, its events.
    pub fn waits_for(&self, run: &Run) -> Option<String> {
        let enough = run.why.is_some() && !run.pods.last().is_some_and(why::lacks_cause);
        let events = (!enough).then(|| self.events_say(run)).flatten().map(|why| why.words);
        events.or_else(|| run.why.clone())
    }

    /// What Kueue says of a run that it holds back.
    pub fn queue_says(&self, run: &Run) -> Option<String> {
        let queue = run.job["metadata"]["labels"][QUEUE].as_str()?;
        let selector = format!("kueue.x-k8s.io/job-uid={}", run.job["metadata"]["uid"].as_str()?);
        let what = &["workloads.kueue.x-k8s.io"];
        let workloads = self.ask(&self.kubectl.get(Scope::In(self.namespace), what, Some(&selector), "ask Kueue"));
        let said = |kind: &str| {
            let condition = crate::objects::condition(workloads.first()?, kind)?;
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
            let cmd = self.kubectl.raw(&path, "ask Kueue who waits");
            self.shell.read(&cmd).ok().filter(Reply::succeeded)?.json::<Value>(&cmd).ok()
        })?;
        let own = pending["items"].as_array()?.iter().find(|item| item["metadata"]["name"] == name)?;
        own["positionInClusterQueue"].as_u64()
    }

    /// The verdict on a pod that no node of the cluster, empty, would fit, unless a node is being made.
    pub fn fits_nowhere(&self, pod: &Value) -> Option<Why> {
        let nodes = self.ask(&self.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes"));
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        let never = why::fits_nowhere(pod, &nodes) && !why::is_scaling_up(&self.events("Pod", name));
        never.then(|| Why {
            words: "no node of the cluster would ever fit what it asks for".to_owned(),
            hint: Some("ask for less with `--cpu`, `--mem`, `--gpu`, or see the nodes with `kubectl get nodes`".into()),
            hope: Hope::Little,
        })
    }

    fn ask(&self, cmd: &Cmd) -> Vec<Value> {
        self.shell.read(cmd).and_then(|reply| kubectl::objects(&reply.ok(cmd)?, cmd)).unwrap_or_default()
    }

    fn events(&self, kind: &str, name: &str) -> Vec<Value> {
        self.ask(&self.kubectl.events(self.namespace, kind, name))
    }
}
