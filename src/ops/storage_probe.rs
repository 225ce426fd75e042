//! Tests a volume with pods on two nodes, and records the result.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::k8s::claim::Claim;
use crate::k8s::manifests::helper_pod::{small, state};
use crate::k8s::manifests::probe::Probe;
use crate::k8s::manifests::{HELPER, PROJECT, PROVED, pretty};
use crate::k8s::names::{ClaimName, Namespace, VolumeName};
use crate::k8s::object::{Object, Resource};
use crate::k8s::pod::{Pod, Waiting};
use crate::ops::claim_cache;
use crate::ops::facts::storage::volume;
use crate::runs::diagnosis::{self, Why};
use crate::runs::faults::Hope;
use crate::runs::unstarted;
use crate::storage::proof::{Judgement, LEAST_OVERLAP, ProbeReport, Proof, Verdict, is_running, judge};
use crate::tools::cluster::Cluster;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Patch, Scope};
use crate::tools::retry::{OPTIONAL_CHANGE, Retry};
use crate::util::error::{Refusal, fail};
use crate::util::ui::size;

/// How often the pods are checked.
const POLL_INTERVAL: Duration = Duration::from_millis(700);
/// How many checks the pods may take to start, about a minute, and to end.
const LOOKS_TO_START: u32 = 85;
/// After this many checks without pods, the reason is looked up.
const LOOKS_WITHOUT_PODS: u32 = 5;
const LOOKS: u32 = 330;

/// A test of a volume.
#[derive(Debug, Clone, Copy)]
pub struct ProbeJob<'a> {
    /// The Job, with an image.
    pub probe: &'a Probe,
    /// The namespace.
    pub namespace: &'a Namespace,
    /// The claim.
    pub claim: &'a ClaimName,
}

/// The result of the test.
#[derive(Debug)]
pub enum ProbeResult {
    /// The nodes share the volume, or there is only one node.
    Proved(Proof),
    /// The nodes do not share the volume: the result, and the claim.
    Split(Proof, Value),
    /// The result is unknown.
    Unknown(Unknown),
}

/// Why the result is unknown.
#[derive(Debug)]
pub struct Unknown {
    /// In words.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Whether another image may help.
    pub is_image: bool,
}

impl Unknown {
    fn new(words: impl Into<String>) -> Self {
        Self { words: words.into(), hint: None, is_image: false }
    }

    fn of(why: Why, is_image: bool) -> Self {
        Self { words: why.words, hint: why.hint, is_image }
    }
}

/// The result of one Job.
enum End {
    Verdict(Verdict),
    Unknown(Unknown),
    /// The Job was refused.
    Refused(Unknown),
    /// A `LimitRange` refused its pods; these resources would fit.
    Bounded(Value),
}

/// Tests the volume, reports the result, and records it.
pub fn run_probe(cluster: Cluster, probe_job: &ProbeJob) -> Result<ProbeResult> {
    let end = match run_job(cluster, probe_job, probe_job.probe, true)? {
        End::Bounded(resources) => run_job(cluster, probe_job, &probe_job.probe.fitted(&resources), false)?,
        end => end,
    };
    let (nodes, shared) = match end {
        End::Refused(why) => return Ok(ProbeResult::Unknown(why)),
        End::Unknown(why) => {
            let key = claim_cache::key(cluster.kubectl, probe_job.namespace, probe_job.claim.as_str());
            claim_cache::note(cluster.cache, &key, |known| known.tried = Some(Utc::now().timestamp()));
            return Ok(ProbeResult::Unknown(why));
        }
        End::Bounded(_) => return Ok(ProbeResult::Unknown(Unknown::new("a LimitRange does not allow its pods"))),
        End::Verdict(Verdict::Failed(what)) => {
            return Err(fail(format!("the claim `{}` can't hold the project's data: {what}", probe_job.claim))
                .hint("may the user of the runs write there? see `run_as` of the context, and the volume's own rights")
                .into());
        }
        End::Verdict(Verdict::Split(nodes)) => (nodes, false),
        End::Verdict(Verdict::Proved(found)) => {
            tell(cluster, &found);
            (found.nodes, true)
        }
    };
    let (proof, claim) = record_proof(cluster, probe_job, nodes, shared)?;
    if shared {
        return Ok(ProbeResult::Proved(proof));
    }
    remove_project_label(cluster, &proof.volume);
    Ok(ProbeResult::Split(proof, claim))
}

/// Creates the Job, waits for the result of its pods, and deletes it.
fn run_job(cluster: Cluster, probe_job: &ProbeJob, probe: &Probe, may_fit: bool) -> Result<End> {
    let name = probe.name();
    let why = format!("make pods that try the claim `{}`", probe_job.claim);
    let create =
        cluster.kubectl.create_with_output("name", probe_job.namespace, "probe.json", &pretty(probe.manifest()), why);
    let end = match make(cluster, &create) {
        Ok(ProbeCreated::Yes) => wait(cluster, probe_job, probe, may_fit),
        Ok(ProbeCreated::No(why)) => return Ok(End::Refused(Unknown::new(why))),
        Ok(ProbeCreated::Perhaps(why)) => Ok(End::Unknown(Unknown::new(why))),
        // an interrupt may come after the Job was created
        Err(error) => Err(error),
    };
    let delete = cluster.kubectl.delete_jobs(probe_job.namespace, &[name]);
    // also after an interrupt, which would stop this command too
    if !cluster.shell.ignoring_interrupts().run(&delete).is_ok_and(|reply| reply.succeeded()) {
        cluster.ui.warn(format!("the Job `{name}` could not be removed: `{delete}`"));
    }
    end
}

/// Whether the Job was created.
enum ProbeCreated {
    Yes,
    /// Refused, with the reason.
    No(String),
    /// The API server did not answer, with the reason.
    Perhaps(String),
}

fn make(cluster: Cluster, create: &Cmd) -> Result<ProbeCreated> {
    let mut retry = Retry::new(cluster.shell, OPTIONAL_CHANGE);
    loop {
        let reply = cluster.shell.run(create)?;
        if reply.succeeded() {
            return Ok(ProbeCreated::Yes);
        }
        match kubectl::refusal(&reply.stderr) {
            // an earlier attempt, also of the same run, may have created it
            Some(Refusal::AlreadyExists) => return Ok(ProbeCreated::Yes),
            Some(_) => return Ok(ProbeCreated::No(kubectl::short_reason(&reply))),
            None if retry.is_last() => return Ok(ProbeCreated::Perhaps(kubectl::short_reason(&reply))),
            None => {}
        }
        retry.again(create, &reply)?;
    }
}

/// The verdict, or why there is none.
fn wait(cluster: Cluster, probe_job: &ProbeJob, probe: &Probe, may_fit: bool) -> Result<End> {
    let wanted = probe.pods();
    let selector = format!("{HELPER}={}", probe.name());
    let cmd =
        cluster.kubectl.get(Scope::In(probe_job.namespace), &["pods"], Some(&selector), "see what the pods found");
    let mut why = Unknown::new("its pods did not start");
    let mut overlap = Overlap::default();
    for look in 1..=LOOKS {
        cluster.shell.sleep(POLL_INTERVAL)?;
        let reply = cluster.shell.read(&cmd)?;
        let Ok(pods) = reply.clone().ok(&cmd).and_then(|reply| kubectl::objects(&reply, &cmd)) else {
            why = Unknown::new(reply.last_line());
            continue;
        };
        overlap.look(&pods, wanted, cluster.shell.scaled(LEAST_OVERLAP));
        match judge(&pods, wanted, overlap.long) {
            Some(Judgement::Verdict(verdict)) => return Ok(End::Verdict(verdict)),
            Some(Judgement::Apart) => {
                return Ok(End::Unknown(Unknown::new("its pods did not run at the same time for long enough")));
            }
            None => {}
        }
        if pods.len() < wanted && look % LOOKS_WITHOUT_PODS == 0 {
            match why_missing(cluster, probe_job, probe.name(), may_fit) {
                None => {}
                Some(Missing::Bounded(resources)) => return Ok(End::Bounded(resources)),
                Some(Missing::Because(found)) => {
                    let hopeless = found.hope >= Hope::Little;
                    why = Unknown::of(found, false);
                    if hopeless {
                        return Ok(End::Unknown(why));
                    }
                }
            }
        }
        let ended = |pod: &&Value| state(pod).terminated().is_some();
        if pods.iter().filter(ended).count() >= wanted {
            // in an image without a needed program, such as a shell
            let words = pods.iter().find_map(last_words).unwrap_or_else(|| "its pods told nothing".to_owned());
            return Ok(End::Unknown(Unknown { is_image: true, ..Unknown::new(words) }));
        }
        let begun = |pod: &&Value| is_running(pod) || ended(pod);
        if look > LOOKS_TO_START && pods.iter().filter(begun).count() < wanted {
            let waits = |pod: &Value| Some(Unknown::of(diagnosis::waits(Pod::of(pod))?, is_image_fault(pod)));
            return Ok(End::Unknown(pods.iter().filter(|pod| !begun(pod)).find_map(waits).unwrap_or(why)));
        }
    }
    Ok(End::Unknown(why))
}

/// Why pods are missing.
enum Missing {
    /// A `LimitRange` refused them; these resources would fit.
    Bounded(Value),
    Because(Why),
}

/// Finds the reason in the Job's events.
fn why_missing(cluster: Cluster, probe_job: &ProbeJob, name: &str, may_fit: bool) -> Option<Missing> {
    let cmd = cluster.kubectl.events(probe_job.namespace, "Job", name);
    let events = kubectl::objects(&cluster.shell.read(&cmd).ok()?, &cmd).ok()?;
    let fitted = unstarted::fitted(&events, &small()).filter(|_| may_fit).map(Missing::Bounded);
    fitted.or_else(|| unstarted::why(&events, cluster.kubectl, probe_job.namespace).map(Missing::Because))
}

/// Whether a pod waits because of its image.
fn is_image_fault(pod: &Value) -> bool {
    let reason = state(pod).waiting().and_then(Waiting::reason).unwrap_or_default();
    ["Image", "Registry", "Signature", "CreateContainerError", "RunContainerError"].iter().any(|of| reason.contains(of))
}

/// How long the same pods have been running at the same time, by this machine's monotonic clock.
#[derive(Debug, Default)]
struct Overlap {
    since: Option<(Vec<String>, Instant)>,
    long: bool,
}

impl Overlap {
    fn look(&mut self, pods: &[Value], wanted: usize, long: Duration) {
        if pods.iter().filter(|pod| is_running(pod)).count() < wanted {
            // the pods end one after the other when they have a result
            self.since = None;
            return;
        }
        let names: Vec<String> = pods.iter().map(|pod| Object::of(pod).name().to_owned()).collect();
        match &self.since {
            Some((known, since)) if *known == names => self.long |= since.elapsed() >= long,
            _ => (self.since, self.long) = (Some((names, Instant::now())), false),
        }
    }
}

/// The message of a pod that ended without a result.
fn last_words(pod: &Value) -> Option<String> {
    let ended = state(pod).terminated().filter(|ended| ended.has_failed())?;
    let code = ended.exit_code()?;
    let words = match ended.message().trim() {
        "" => String::new(),
        words => format!(": {words}"),
    };
    Some(format!("a pod ended with exit code {code}{words}"))
}

fn tell(cluster: Cluster, found: &ProbeReport) {
    let nodes: Vec<String> = found.nodes.iter().map(|node| format!("`{node}`")).collect();
    let free = found.free.map_or(String::new(), |free| format!("; {} are free", size(free)));
    let what = if nodes.len() > 1 { "each sees what the other writes" } else { "it can be written to" };
    cluster.ui.tell("storage", format!("tried on {}: {what}{free}", nodes.join(" and ")));
    if let Some((user, owner)) = &found.squashed {
        cluster.ui.warn(format!(
            "what user {user} writes in the storage belongs to user {owner}: the server gives files another owner"
        ));
    }
}

/// Records the result in the claim's annotation, or on this machine if the user lacks permission. The claim is
/// bound now, so its volume's reclaim policy can be set.
fn record_proof(cluster: Cluster, probe_job: &ProbeJob, nodes: Vec<String>, shared: bool) -> Result<(Proof, Value)> {
    let what = Resource::Claim.named(probe_job.claim.as_str());
    let why = format!("read the claim `{}`", probe_job.claim);
    let cmd = cluster.kubectl.get_named(Scope::In(probe_job.namespace), &[what], why);
    let reply = cluster.shell.read(&cmd)?.ok(&cmd)?;
    let claim = kubectl::objects(&reply, &cmd)?.pop().unwrap_or_default();
    let bound = Claim::of(&claim);
    let proof = Proof {
        claim: bound.uid().unwrap_or_default().to_owned(),
        volume: bound.volume_text().unwrap_or_default().to_owned(),
        nodes,
        shared,
        image: probe_job.probe.image().to_owned(),
        time: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    let patch = json!({ "metadata": { "annotations": { PROVED: serde_json::to_string(&proof)? } } });
    let why = "write down that the volume was tried";
    let cmd = cluster.kubectl.patch(Scope::In(probe_job.namespace), what, Patch::Merge, &patch, why);
    let written = cluster.shell.run(&cmd).is_ok_and(|reply| reply.succeeded());
    let key = claim_cache::key(cluster.kubectl, probe_job.namespace, probe_job.claim.as_str());
    let kept = proof.clone();
    claim_cache::note(cluster.cache, &key, |known| {
        known.volume.clone_from(&kept.volume);
        known.proof = (!written).then_some(kept);
    });
    Ok((proof, claim))
}

/// Removes the project's label from a volume that is not shared: a new claim must not get it.
fn remove_project_label(cluster: Cluster, name: &str) {
    let Some(name) = VolumeName::given(name) else { return };
    let Ok(Some(object)) = volume(cluster, &name) else { return };
    if Object::of(&object).label(PROJECT).is_some() {
        let patch = json!({ "metadata": { "labels": { PROJECT: null } } });
        let why = format!("take the project's label off the volume `{name}`");
        let volume = Resource::Volume.named(name.as_str());
        let cmd = cluster.kubectl.patch(Scope::Everywhere, volume, Patch::Merge, &patch, why);
        cluster.shell.run(&cmd).ok();
    }
}
