//! Preparing a project's storage: making what is missing, keeping what is there, having the nodes try it.

use std::time::Instant;

use anyhow::Result;
use serde_json::Value;

use crate::k8s::manifests::{RAW_PROJECT, volume};
use crate::k8s::names::{ClaimName, Namespace, VolumeName};
use crate::ops::claim_cache;
use crate::ops::facts::Facts;
use crate::ops::storage_probe::{self, ProbeResult, Trial};
use crate::storage::check;
use crate::storage::steps::{StorageStep, StorageSteps};
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::kubectl::{self, Kubectl, Patch, Scope};
use crate::tools::retry::{FIRST_PAUSE, LONGEST, TRIES};
use crate::util::error::{Refusal, fail};

/// A project's storage, and what is to be done to it.
#[derive(Debug, Clone, Copy)]
pub struct Store<'a> {
    /// The cluster.
    pub kubectl: &'a Kubectl,
    /// The project's namespace.
    pub namespace: &'a Namespace,
    /// Its claim.
    pub claim: &'a ClaimName,
    /// Its raw name.
    pub project: Option<&'a str>,
    /// What is to be done.
    pub steps: &'a StorageSteps,
}

/// Whether something was made just now, or was there before: perhaps by somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Made {
    /// Just now.
    Now,
    /// Before.
    Before,
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl Store<'_> {
    /// Does one step. That a volume can't be kept or grown holds nobody up, and is told.
    pub fn prepare(&self, facts: &Facts, step: StorageStep) -> Result<()> {
        let Some(cmd) = self.steps.command(step, self.kubectl, self.namespace) else { return Ok(()) };
        match (step, &self.steps.kept) {
            (StorageStep::Keep, Some((volume, patch))) => {
                storage_probe::keep(facts, self.kubectl, self.namespace, self.claim, volume, patch)?;
            }
            (StorageStep::Keep, None) => {}
            (StorageStep::Grow, _) => self.grow(facts, &cmd)?,
            (StorageStep::Free, _) => self.free(facts, &cmd)?,
            (StorageStep::Folder, _) => _ = self.ensure(facts, cmd)?,
            (StorageStep::Volume, _) => {
                if self.ensure(facts, cmd)? == Made::Before {
                    self.take_volume(facts)?;
                }
            }
            (StorageStep::Claim, _) => {
                if self.ensure(facts, cmd)? == Made::Before {
                    self.take_claim(facts)?;
                }
                facts.ui.tell("storage", "made");
            }
        }
        Ok(())
    }

    fn grow(&self, facts: &Facts, cmd: &Cmd) -> Result<()> {
        let reply = facts.shell.run(cmd)?;
        if reply.succeeded() {
            let size = self.steps.grown.as_ref().map_or("", |(_, size)| size.as_str());
            facts.ui.tell("storage", format!("the claim `{}` grows to {size}, as the context says", self.claim));
            return Ok(());
        }
        facts.ui.warn(format!("failed to {}: {}", cmd.why, kubectl::short_reason(&reply)));
        if let Some((_, size)) = self.steps.grown.as_ref().filter(|_| kubectl::refusal(&reply.stderr).is_some()) {
            let key = claim_cache::key(facts.kubectl, self.namespace, self.claim.as_str());
            claim_cache::note(facts.cache, &key, |known| known.warned_size = size.to_string());
        }
        Ok(())
    }

    /// Frees a volume for its new claim. An earlier try, also of the same run, may have done so.
    fn free(&self, facts: &Facts, cmd: &Cmd) -> Result<()> {
        let Some((name, _)) = &self.steps.freed else { return Ok(()) };
        let reply = facts.shell.run(cmd)?;
        if reply.succeeded() {
            return Ok(());
        }
        let error = facts.kubectl.failure(&reply, cmd);
        let volume = facts.volume(name)?.unwrap_or_default();
        let reference = &volume["spec"]["claimRef"];
        let is_free = reference["uid"].is_null()
            && reference["namespace"] == self.namespace.as_str()
            && reference["name"] == self.claim.as_str();
        if is_free { Ok(()) } else { Err(error.into()) }
    }

    /// Looks at the volume that was there under the name of the one to be made: it must be the same, for the
    /// same project and claim.
    fn take_volume(&self, facts: &Facts) -> Result<()> {
        let wanted = self.steps.volume.clone().unwrap_or_default();
        let name = wanted["metadata"]["name"].as_str().unwrap_or_default();
        let there = VolumeName::given(name).map(|name| facts.volume(&name)).transpose()?.flatten();
        let Some(there) = there else {
            return Err(fail(format!("there is a volume `{name}` that you may not look at"))
                .hint("have an administrator make the project's storage: `kubectl mrunner storage setup`")
                .into());
        };
        let see = format!("see it with `{} describe pv {name}`", self.kubectl.cmd(Scope::Everywhere, ""));
        let owner = |volume: &Value| volume["metadata"]["annotations"][RAW_PROJECT].clone();
        if owner(&there) != owner(&wanted) {
            return Err(fail(format!("there is a volume `{name}`, and it is not this project's")).hint(see).into());
        }
        let (old, new) = (&there["spec"]["nfs"], &wanted["spec"]["nfs"]);
        if old != new {
            let text = |nfs: &Value| format!("`{}` on `{}`", word(&nfs["path"]), word(&nfs["server"]));
            return Err(fail(format!(
                "the volume `{name}` is {}, and the project's should be {}: a volume can't be moved",
                text(old),
                text(new)
            ))
            .hint(format!(
                "if the data are in the new place: `{} delete pv {name}`, which deletes none, and the same again",
                self.kubectl.cmd(Scope::Everywhere, "")
            ))
            .into());
        }
        let reference = &there["spec"]["claimRef"];
        let (Some(uid), true) = (reference["uid"].as_str(), there["status"]["phase"] == "Released") else {
            return Ok(());
        };
        let why = format!("free the volume `{name}` for its new claim");
        let cmd = self.kubectl.patch(Scope::Everywhere, &format!("pv/{name}"), Patch::Json, &volume::freed(uid), why);
        let reply = facts.shell.run(&cmd)?;
        if reply.succeeded() { Ok(()) } else { Err(facts.kubectl.failure(&reply, &cmd).into()) }
    }

    /// Looks at the claim that somebody else made at the same time: it must be this project's.
    fn take_claim(&self, facts: &Facts) -> Result<()> {
        let standing = facts.standing(self.namespace, self.claim.as_str())?;
        let Some(claim) = &standing.claim else { return Ok(()) };
        check::claim(claim, self.project, &self.kubectl.cmd(Scope::In(self.namespace), "").to_string())?;
        Ok(())
    }

    /// Sees to it that the volume of a claim that was just made outlives it.
    pub fn secure(&self, facts: &Facts) -> Result<()> {
        match self.project.filter(|_| self.steps.claim.is_some()) {
            Some(project) => storage_probe::secure(facts, self.kubectl, self.namespace, self.claim, project),
            None => Ok(()),
        }
    }

    /// Has the nodes try a volume, by the Job `probe`. That they can't right now holds nobody up; that they do
    /// not share it is an error.
    pub fn try_volume(&self, facts: &Facts, probe: &Value) -> Result<()> {
        let trial = Trial { kubectl: self.kubectl, job: probe, namespace: self.namespace, claim: self.claim };
        match storage_probe::prove(facts, &trial)? {
            ProbeResult::Proved(_) => {}
            ProbeResult::Unknown(why) => {
                let claim = self.claim;
                facts.ui.warn(format!("nobody knows yet whether the nodes share the claim `{claim}`: {}", why.words));
            }
            ProbeResult::Split(proof, claim) => {
                let project = self.project.unwrap_or_default();
                return Err(facts.is_split(&claim, &proof.nodes, project, self.namespace).into());
            }
        }
        Ok(())
    }

    /// Makes the namespace or the claim. Somebody else may be making it at the same time.
    pub fn ensure(&self, facts: &Facts, mut cmd: Cmd) -> Result<Made> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        let begun = Instant::now();
        loop {
            let reply = facts.shell.run(&cmd)?;
            if reply.succeeded() {
                return Ok(Made::Now);
            }
            if kubectl::refusal(&reply.stderr) == Some(Refusal::AlreadyExists) {
                return Ok(Made::Before);
            }
            // to apply takes the right to patch as well, and a narrow role may give only that to create
            if kubectl::may_not_patch(&reply.stderr)
                && let Stdin::Document { name, text } = &cmd.stdin
            {
                cmd = self.kubectl.make(self.namespace, name, text, &cmd.why);
                continue;
            }
            // the same again does no harm here, so an unclear answer is simply asked for again
            let is_last = tries == TRIES || begun.elapsed() > facts.shell.scaled(LONGEST);
            if is_last || kubectl::refusal(&reply.stderr).is_some() {
                return Err(facts.kubectl.failure(&reply, &cmd).into());
            }
            tries += 1;
            facts.ui.warn(format!("failed to {}, trying again: {}", cmd.why, kubectl::short_reason(&reply)));
            facts.shell.pause(pause)?;
            pause *= 2;
        }
    }
}
