//! Prepares a project's storage: creates what is missing, sets the reclaim policy, and tests the volume.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::k8s::claim::Claim;
use crate::k8s::manifests::probe::Probe;
use crate::k8s::manifests::volume as manifest;
use crate::k8s::names::{ClaimName, Namespace, VolumeName};
use crate::k8s::object::Resource;
use crate::k8s::volume::{NfsSource, Volume, VolumePhase};
use crate::ops::claim_cache;
use crate::ops::facts::storage::{not_shared, project_objects, volume};
use crate::ops::storage_probe::{self, ProbeJob, ProbeResult};
use crate::storage::check;
use crate::storage::steps::{StorageStep, StorageSteps};
use crate::tools::cluster::Cluster;
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::kubectl::{self, Patch, Scope};
use crate::tools::retry::{CHANGE, Retry};
use crate::util::error::{Refusal, fail};

/// How often a new claim is checked for its volume after the run was submitted: a class may create the volume for
/// the first pod.
const LOOKS_TO_BIND: u32 = 20;

/// How often the claim is looked at.
const POLL_INTERVAL: Duration = Duration::from_millis(700);

/// A project's storage, and the changes to make.
#[derive(Debug, Clone, Copy)]
pub struct ProjectStorage<'a> {
    /// The cluster.
    pub cluster: Cluster<'a>,
    /// The project's namespace.
    pub namespace: &'a Namespace,
    /// Its claim.
    pub claim: &'a ClaimName,
    /// The project's raw name.
    pub project: Option<&'a str>,
    /// The steps to do.
    pub steps: &'a StorageSteps,
}

/// Whether an object was created by this call or existed before, perhaps from another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ensured {
    /// Created by this call.
    Created,
    /// Existed before.
    Existed,
}

impl ProjectStorage<'_> {
    /// Carries out one step. A failure to keep or resize a volume is only a warning.
    pub fn prepare(&self, step: StorageStep) -> Result<()> {
        let Some(cmd) = self.steps.command(step, self.cluster.kubectl, self.namespace) else { return Ok(()) };
        match (step, &self.steps.kept) {
            (StorageStep::Keep, Some((volume, patch))) => {
                self.retain(volume, patch)?;
            }
            (StorageStep::Keep, None) => {}
            (StorageStep::Grow, _) => self.grow(&cmd)?,
            (StorageStep::Free, _) => self.free(&cmd)?,
            (StorageStep::Folder, _) => _ = self.ensure(cmd)?,
            (StorageStep::Volume, _) => {
                if self.ensure(cmd)? == Ensured::Existed {
                    self.check_existing_volume()?;
                }
            }
            (StorageStep::Claim, _) => {
                if self.ensure(cmd)? == Ensured::Existed {
                    self.check_existing_claim()?;
                }
                self.cluster.ui.tell("storage", "made");
            }
        }
        Ok(())
    }

    fn grow(&self, cmd: &Cmd) -> Result<()> {
        let reply = self.cluster.shell.run(cmd)?;
        if reply.succeeded() {
            let size = self.steps.grown.as_ref().map_or("", |(_, size)| size.as_str());
            self.cluster.ui.tell("storage", format!("the claim `{}` grows to {size}, as the context says", self.claim));
            return Ok(());
        }
        self.cluster.ui.warn(format!("failed to {}: {}", cmd.why, kubectl::short_reason(&reply)));
        if let Some((_, size)) = self.steps.grown.as_ref().filter(|_| kubectl::refusal(&reply.stderr).is_some()) {
            let key = claim_cache::key(self.cluster.kubectl, self.namespace, self.claim.as_str());
            claim_cache::note(self.cluster.cache, &key, |known| known.warned_size = size.to_string());
        }
        Ok(())
    }

    /// Frees a volume for its new claim. An earlier attempt, also of the same run, may have done so.
    fn free(&self, cmd: &Cmd) -> Result<()> {
        let Some((name, _)) = &self.steps.freed else { return Ok(()) };
        let reply = self.cluster.shell.run(cmd)?;
        if reply.succeeded() {
            return Ok(());
        }
        let error = self.cluster.kubectl.failure(&reply, cmd);
        let volume = volume(self.cluster, name)?.unwrap_or_default();
        let holder = Volume::of(&volume).claim();
        let is_free = holder.uid().is_none() && holder.is(self.namespace.as_str(), self.claim.as_str());
        if is_free { Ok(()) } else { Err(error.into()) }
    }

    /// Checks an existing volume with the planned name: it must be the same, for the same project and claim.
    fn check_existing_volume(&self) -> Result<()> {
        let Some(wanted) = self.steps.volume.as_ref().map(Volume::of) else { return Ok(()) };
        let name = wanted.name();
        let there = VolumeName::given(name).map(|name| volume(self.cluster, &name)).transpose()?.flatten();
        let Some(there) = there else {
            return Err(fail(format!("there is a volume `{name}` that you may not look at"))
                .hint("have an administrator make the project's storage: `kubectl mrunner storage setup`")
                .into());
        };
        let see = format!("see it with `{} describe pv {name}`", self.cluster.kubectl.cmd(Scope::Everywhere, ""));
        let there = Volume::of(&there);
        if there.project() != wanted.project() {
            return Err(fail(format!("there is a volume `{name}`, and it is not this project's")).hint(see).into());
        }
        let (old, new) = (there.nfs().unwrap_or_default(), wanted.nfs().unwrap_or_default());
        if old != new {
            let text = |nfs: NfsSource| format!("`{}` on `{}`", nfs.path, nfs.server);
            return Err(fail(format!(
                "the volume `{name}` is {}, and the project's should be {}: a volume can't be moved",
                text(old),
                text(new)
            ))
            .hint(format!(
                "if the data are in the new place: `{} delete pv {name}`, which deletes none, and the same again",
                self.cluster.kubectl.cmd(Scope::Everywhere, "")
            ))
            .into());
        }
        let (Some(uid), Some(VolumePhase::Released)) = (there.claim().uid(), there.phase()) else {
            return Ok(());
        };
        let why = format!("free the volume `{name}` for its new claim");
        let cmd = self.cluster.kubectl.patch(
            Scope::Everywhere,
            Resource::Volume.named(name),
            Patch::Json,
            &manifest::freed(uid),
            why,
        );
        self.cluster.run(&cmd)
    }

    /// Checks a claim that another process created at the same time: it must be this project's.
    fn check_existing_claim(&self) -> Result<()> {
        let standing = project_objects(self.cluster, self.namespace, self.claim.as_str()).settle(self.cluster)?;
        let Some(claim) = standing.claim() else { return Ok(()) };
        check::claim(claim, self.project, &self.cluster.kubectl.cmd(Scope::In(self.namespace), "").to_string())?;
        Ok(())
    }

    /// Sets the reclaim policy of the volume of a new claim.
    pub fn retain_volume(&self) -> Result<()> {
        match self.project.filter(|_| self.steps.claim.is_some()) {
            Some(project) => self.retain_new_volume(project),
            None => Ok(()),
        }
    }

    /// Sets the reclaim policy of a new claim's volume, once there is one and if the user has permission.
    fn retain_new_volume(&self, project: &str) -> Result<()> {
        for _ in 0..LOOKS_TO_BIND {
            let objects = project_objects(self.cluster, self.namespace, self.claim.as_str()).settle(self.cluster)?;
            let Some(claim) = objects.claim() else { return Ok(()) };
            if claim.volume().is_some() {
                let keep = objects.volume().and_then(|volume| check::keep(claim, volume, project));
                return keep.map_or(Ok(()), |(name, patch)| self.retain(&name, &patch));
            }
            self.cluster.shell.sleep(POLL_INTERVAL)?;
        }
        Ok(())
    }

    /// Sets the reclaim policy of a volume; without permission, the user is warned once.
    fn retain(&self, name: &VolumeName, patch: &Value) -> Result<()> {
        let goes = manifest::retains(patch);
        let why = format!("have the volume `{name}` outlive its claim");
        let volume = Resource::Volume.named(name.as_str());
        let cmd = self.cluster.kubectl.patch(Scope::Everywhere, volume, Patch::Merge, patch, why);
        let reply = self.cluster.shell.run(&cmd)?;
        if reply.succeeded() {
            if goes {
                let words = format!("the volume `{name}` would have gone with its claim; it is kept now (Retain)");
                self.cluster.ui.tell("storage", words);
            }
            return Ok(());
        }
        if goes {
            self.cluster.ui.warn(format!(
                "the volume `{name}` goes with its claim, and so do the data: {}; have an administrator type `{cmd}`",
                reply.last_line()
            ));
        }
        let key = claim_cache::key(self.cluster.kubectl, self.namespace, self.claim.as_str());
        claim_cache::note(self.cluster.cache, &key, |known| known.warned_reclaim = name.to_string());
        Ok(())
    }

    /// Tests a volume on the nodes with the Job `probe`. If it can't be tested now, that is a warning; if the nodes
    /// do not share it, an error.
    pub fn try_volume(&self, probe: &Probe) -> Result<()> {
        let probe_job = ProbeJob { probe, namespace: self.namespace, claim: self.claim };
        match storage_probe::run_probe(self.cluster, &probe_job)? {
            ProbeResult::Proved(_) => {}
            ProbeResult::Unknown(why) => {
                let claim = self.claim;
                self.cluster
                    .ui
                    .warn(format!("nobody knows yet whether the nodes share the claim `{claim}`: {}", why.words));
            }
            ProbeResult::Split(proof, claim) => {
                let project = self.project.unwrap_or_default();
                return Err(not_shared(Claim::of(&claim), &proof.nodes, project, self.namespace).into());
            }
        }
        Ok(())
    }

    /// Creates the namespace or the claim. Another process may be creating it at the same time.
    pub fn ensure(&self, mut cmd: Cmd) -> Result<Ensured> {
        let mut retry = Retry::new(self.cluster.shell, CHANGE);
        loop {
            let reply = self.cluster.shell.run(&cmd)?;
            if reply.succeeded() {
                return Ok(Ensured::Created);
            }
            if kubectl::refusal(&reply.stderr) == Some(Refusal::AlreadyExists) {
                return Ok(Ensured::Existed);
            }
            // `apply` needs permission to patch too, and a narrow role may have only permission to create
            if kubectl::may_not_patch(&reply.stderr)
                && let Stdin::Document { name, text } = &cmd.stdin
            {
                cmd = self.cluster.kubectl.create_with_output("name", self.namespace, name, text, &cmd.why);
                continue;
            }
            // repeating the request is harmless, so an unclear answer is retried
            if retry.is_last() || kubectl::refusal(&reply.stderr).is_some() {
                return Err(self.cluster.kubectl.failure(&reply, &cmd).into());
            }
            retry.again(&cmd, &reply)?;
        }
    }
}
