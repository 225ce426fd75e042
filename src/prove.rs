//! Having pods on two nodes try a volume, and writing down what they found.

use std::time::{Duration, Instant};

use anyhow::Result;
use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::error::fail;
use crate::facts::Facts;
use crate::names::{ClaimName, Namespace, VolumeName};
use crate::objects::{HELPER, PROJECT, PROVED, pretty};
use crate::remembered;
use crate::storage::check;
use crate::storage::proof::{Found, Judgement, Proof, UNSEEN, Verdict, is_running, judge};
use crate::store::FIRST_PAUSE;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Kubectl, Patch, Refusal, Scope};
use crate::ui::size;
use crate::watch::why;

/// How often an unclear answer is asked for again.
const TRIES_TO_MAKE: u32 = 3;
/// How often the pods are looked at.
const GLANCE: Duration = Duration::from_millis(700);
/// How many looks they may take to start, about a minute, and to end.
const LOOKS_TO_START: u32 = 85;
const LOOKS: u32 = 330;

/// A trial of a volume.
#[derive(Debug, Clone, Copy)]
pub struct Trial<'a> {
    /// The cluster.
    pub kubectl: &'a Kubectl,
    /// The Job, see [`crate::objects::probe`], with an image.
    pub job: &'a Value,
    /// Where it goes.
    pub namespace: &'a Namespace,
    /// The claim.
    pub claim: &'a ClaimName,
}

/// What came of it.
#[derive(Debug)]
pub enum Outcome {
    /// The nodes share the volume, or it was tried on the only one.
    Proved(Proof),
    /// They do not: the nodes, and the claim.
    Split(Proof, Value),
    /// It is not known: why, in words.
    Unknown(String),
}

/// Tries it, tells what was found, and writes it down.
pub fn prove(facts: &Facts, trial: &Trial) -> Result<Outcome> {
    let name = trial.job["metadata"]["name"].as_str().unwrap_or_default();
    let create = trial.kubectl.make(
        trial.namespace,
        "probe.json",
        &pretty(trial.job),
        format!("make pods that try the claim `{}`", trial.claim),
    );
    let judged = match make(facts, &create) {
        Ok(Made::Yes) => wait(facts, trial, name),
        Ok(Made::No(why)) => return Ok(Outcome::Unknown(why)),
        Ok(Made::Perhaps(why)) => Ok(Err(why)),
        // an interrupt may have come when the Job was there already
        Err(error) => Err(error),
    };
    let delete = trial.kubectl.delete_jobs(trial.namespace, &[name]);
    // also after an interrupt, which would end this command with the others
    if !facts.shell.deaf().run(&delete).is_ok_and(|reply| reply.succeeded()) {
        facts.ui.warn(format!("the Job `{name}` could not be removed: `{delete}`"));
    }
    let (nodes, shared) = match judged? {
        Err(why) => {
            let key = remembered::key(facts.kubectl, trial.namespace, trial.claim.as_str());
            remembered::note(facts.cache, &key, |known| known.tried = Some(Utc::now().timestamp()));
            return Ok(Outcome::Unknown(why));
        }
        Ok(Verdict::Failed(what)) => {
            return Err(fail(format!("the claim `{}` can't hold the project's data: {what}", trial.claim))
                .hint("may the user of the runs write there? see `run_as` of the context, and the volume's own rights")
                .into());
        }
        Ok(Verdict::Split(nodes)) => (nodes, false),
        Ok(Verdict::Proved(found)) => {
            tell(facts, &found);
            (found.nodes, true)
        }
    };
    let (proof, claim) = write_down(facts, trial, nodes, shared)?;
    if shared {
        return Ok(Outcome::Proved(proof));
    }
    disown(facts, trial, &proof.volume);
    Ok(Outcome::Split(proof, claim))
}

/// Whether the Job is there.
enum Made {
    Yes,
    /// It was refused: why.
    No(String),
    /// The API server's answer never came: why.
    Perhaps(String),
}

fn make(facts: &Facts, create: &Cmd) -> Result<Made> {
    let mut pause = FIRST_PAUSE;
    let mut tries = 1;
    loop {
        let reply = facts.shell.run(create)?;
        if reply.succeeded() {
            return Ok(Made::Yes);
        }
        match kubectl::refusal(&reply.stderr) {
            // an earlier try, also of the same run, may have made it
            Some(Refusal::AlreadyExists) => return Ok(Made::Yes),
            Some(_) => return Ok(Made::No(kubectl::in_brief(&reply))),
            None if tries == TRIES_TO_MAKE => return Ok(Made::Perhaps(kubectl::in_brief(&reply))),
            None => {}
        }
        tries += 1;
        facts.ui.warn(format!("failed to {}, trying again: {}", create.why, kubectl::in_brief(&reply)));
        facts.shell.sleep(pause)?;
        pause *= 2;
    }
}

/// The verdict, or why there is none.
fn wait(facts: &Facts, trial: &Trial, name: &str) -> Result<Result<Verdict, String>> {
    let wanted = usize::try_from(trial.job["spec"]["completions"].as_u64().unwrap_or(1)).unwrap_or(1);
    let selector = format!("{HELPER}={name}");
    let cmd = trial.kubectl.get(Scope::In(trial.namespace), &["pods"], Some(&selector), "see what the pods found");
    let mut why = "its pods did not start".to_owned();
    let mut together = Together::default();
    for look in 0..LOOKS {
        facts.shell.sleep(GLANCE)?;
        let reply = facts.shell.read(&cmd)?;
        let Ok(pods) = reply.clone().ok(&cmd).and_then(|reply| kubectl::objects(&reply, &cmd)) else {
            reply.last_words().clone_into(&mut why);
            continue;
        };
        together.look(&pods, wanted, facts.shell.patience(UNSEEN));
        match judge(&pods, wanted, together.long) {
            Some(Judgement::Verdict(verdict)) => return Ok(Ok(verdict)),
            Some(Judgement::Apart) => {
                return Ok(Err("its pods did not run at the same time for long enough".to_owned()));
            }
            None => {}
        }
        let begun = |pod: &&Value| {
            pod["status"]["containerStatuses"][0]["state"]["waiting"].is_null()
                && pod["status"]["containerStatuses"].is_array()
        };
        let ended = |pod: &&Value| pod["status"]["containerStatuses"][0]["state"]["terminated"].is_object();
        if pods.iter().filter(ended).count() >= wanted {
            // in an image that has not all that it takes, such as a shell
            return Ok(Err(pods.iter().find_map(last_words).unwrap_or_else(|| "its pods told nothing".to_owned())));
        }
        if look >= LOOKS_TO_START && pods.iter().filter(begun).count() < wanted {
            why = pods.iter().filter(|pod| !begun(pod)).find_map(why::waits).map_or(why, |why| why.words);
            return Ok(Err(why));
        }
    }
    Ok(Err(why))
}

/// For how long the same pods have been seen to run at the same time: by this machine's monotonic clock, which nobody
/// sets.
#[derive(Debug, Default)]
struct Together {
    since: Option<(Vec<String>, Instant)>,
    long: bool,
}

impl Together {
    fn look(&mut self, pods: &[Value], wanted: usize, long: Duration) {
        let name = |pod: &Value| pod["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if pods.iter().filter(|pod| is_running(pod)).count() < wanted {
            // what they have found ends them one after the other
            self.since = None;
            return;
        }
        let names: Vec<String> = pods.iter().map(name).collect();
        match &self.since {
            Some((known, since)) if *known == names => self.long |= since.elapsed() >= long,
            _ => (self.since, self.long) = (Some((names, Instant::now())), false),
        }
    }
}

/// What is left of a pod that ended without an answer.
fn last_words(pod: &Value) -> Option<String> {
    let ended = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    let code = ended["exitCode"].as_i64().filter(|code| *code != 0)?;
    let words = ended["message"].as_str().map_or(String::new(), |words| format!(": {}", words.trim()));
    Some(format!("a pod ended with exit code {code}{words}"))
}

fn tell(facts: &Facts, found: &Found) {
    let nodes: Vec<String> = found.nodes.iter().map(|node| format!("`{node}`")).collect();
    let free = found.free.map_or(String::new(), |free| format!("; {} are free", size(free)));
    let what = if nodes.len() > 1 { "each sees what the other writes" } else { "it can be written to" };
    facts.ui.tell("storage", format!("tried on {}: {what}{free}", nodes.join(" and ")));
    if let Some((user, owner)) = &found.squashed {
        facts.ui.warn(format!(
            "what user {user} writes in the storage belongs to user {owner}: the server gives files another owner"
        ));
    }
}

/// Writes down what was found, in the claim's annotation if this user may, else on this machine. The claim is
/// bound now, so that its volume can be made to outlive it.
fn write_down(facts: &Facts, trial: &Trial, nodes: Vec<String>, shared: bool) -> Result<(Proof, Value)> {
    let what = format!("pvc/{}", trial.claim);
    let cmd =
        trial.kubectl.get(Scope::In(trial.namespace), &[&what], None, format!("read the claim `{}`", trial.claim));
    let reply = facts.shell.read(&cmd)?.ok(&cmd)?;
    let claim = kubectl::objects(&reply, &cmd)?.pop().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let proof = Proof {
        claim: text(&claim["metadata"]["uid"]),
        volume: text(&claim["spec"]["volumeName"]),
        nodes,
        shared,
        image: text(&trial.job["spec"]["template"]["spec"]["containers"][0]["image"]),
        time: Utc::now().to_rfc3339_opts(SecondsFormat::Secs, true),
    };
    let patch = json!({ "metadata": { "annotations": { PROVED: serde_json::to_string(&proof)? } } });
    let why = "write down that the volume was tried";
    let cmd = trial.kubectl.patch(Scope::In(trial.namespace), &what, Patch::Merge, &patch, why);
    let written = facts.shell.run(&cmd).is_ok_and(|reply| reply.succeeded());
    let key = remembered::key(facts.kubectl, trial.namespace, trial.claim.as_str());
    let kept = proof.clone();
    remembered::note(facts.cache, &key, |known| {
        known.volume.clone_from(&kept.volume);
        known.proof = (!written).then_some(kept);
    });
    Ok((proof, claim))
}

/// How often a new claim is looked at until it has its volume, after the run was submitted: a class may make
/// it for the first pod.
const LOOKS_TO_BIND: u32 = 20;

/// Has the volume that a new claim got outlive it, as soon as there is one and if this user may.
pub fn secure(facts: &Facts, kubectl: &Kubectl, namespace: &Namespace, claim: &ClaimName, project: &str) -> Result<()> {
    for _ in 0..LOOKS_TO_BIND {
        let standing = facts.standing(namespace, claim.as_str())?;
        let Some(found) = &standing.claim else { return Ok(()) };
        if check::volume_of(found).is_some() {
            let keep = standing.volume.as_ref().and_then(|volume| check::keep(found, volume, project));
            return keep.map_or(Ok(()), |(name, patch)| self::keep(facts, kubectl, namespace, claim, &name, &patch));
        }
        facts.shell.sleep(GLANCE)?;
    }
    Ok(())
}

/// Has a volume outlive its claim; where this user may not, that is told once.
pub fn keep(
    facts: &Facts,
    kubectl: &Kubectl,
    namespace: &Namespace,
    claim: &ClaimName,
    name: &VolumeName,
    patch: &Value,
) -> Result<()> {
    let goes = !patch["spec"].is_null();
    let why = format!("have the volume `{name}` outlive its claim");
    let cmd = kubectl.patch(Scope::Everywhere, &format!("pv/{name}"), Patch::Merge, patch, why);
    let reply = facts.shell.run(&cmd)?;
    if reply.succeeded() {
        if goes {
            let words = format!("the volume `{name}` would have gone with its claim; it is kept now (Retain)");
            facts.ui.tell("storage", words);
        }
        return Ok(());
    }
    if goes {
        facts.ui.warn(format!(
            "the volume `{name}` goes with its claim, and so do the data: {}; have an administrator type `{cmd}`",
            reply.last_words()
        ));
    }
    let key = remembered::key(facts.kubectl, namespace, claim.as_str());
    remembered::note(facts.cache, &key, |known| known.careless = name.to_string());
    Ok(())
}

/// Takes a volume that the nodes do not share from the project: it is none that a new claim should get.
fn disown(facts: &Facts, trial: &Trial, name: &str) {
    let Some(name) = VolumeName::given(name) else { return };
    let Ok(Some(volume)) = facts.volume(&name) else { return };
    if !volume["metadata"]["labels"][PROJECT].is_null() {
        let patch = json!({ "metadata": { "labels": { PROJECT: null } } });
        let why = format!("take the project's label off the volume `{name}`");
        let cmd = trial.kubectl.patch(Scope::Everywhere, &format!("pv/{name}"), Patch::Merge, &patch, why);
        facts.shell.run(&cmd).ok();
    }
}
