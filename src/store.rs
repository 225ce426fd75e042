//! Preparing a project's storage: making what is missing, keeping what is there, having the nodes try it.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::facts::Facts;
use crate::names::{ClaimName, Namespace};
use crate::prove::{self, Outcome, Trial};
use crate::storage::steps::{Step, StorageSteps};
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::kubectl::{self, Kubectl, Refusal};

/// How often an unclear answer is asked for again, and the pause before that, doubled each time: half a
/// minute in all.
pub const TRIES: u32 = 6;
/// The first pause.
pub const FIRST_PAUSE: Duration = Duration::from_millis(500);

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

impl Store<'_> {
    /// Does it. That a volume can't be kept or grown holds nobody up, and is told.
    pub fn prepare(&self, facts: &Facts) -> Result<()> {
        for (step, cmd) in self.steps.commands(self.kubectl, self.namespace) {
            match step {
                Step::Keep => {
                    let (Some((volume, _)), Some(project)) = (&self.steps.kept, self.project) else { continue };
                    prove::keep(facts, self.kubectl, self.namespace, self.claim.as_str(), volume, project)?;
                }
                Step::Grow => {
                    let reply = facts.shell.run(&cmd)?;
                    if reply.succeeded() {
                        let size = self.steps.grown.as_ref().map_or("", |(_, size)| size.as_str());
                        facts.ui.tell(
                            "storage",
                            format!("the claim `{}` grows to {size}, as the context says", self.claim),
                        );
                    } else {
                        facts.ui.warn(format!("failed to {}: {}", cmd.why, reply.last_words()));
                    }
                }
                Step::Folder | Step::Volume | Step::Free | Step::Claim => {
                    self.ensure(facts, cmd)?;
                    if step == Step::Claim {
                        facts.ui.tell("storage", "made");
                    }
                }
            }
        }
        Ok(())
    }

    /// Has the nodes try a volume, by the Job `probe`. That they can't right now holds nobody up; that they do
    /// not share it is an error.
    pub fn try_volume(&self, facts: &Facts, probe: &Value) -> Result<()> {
        let trial = Trial { kubectl: self.kubectl, job: probe, namespace: self.namespace, claim: self.claim };
        match prove::prove(facts, &trial)? {
            Outcome::Proved(_) => {}
            Outcome::Unknown(why) => {
                let claim = self.claim;
                facts.ui.warn(format!("nobody knows yet whether the nodes share the claim `{claim}`: {why}"));
            }
            Outcome::Split(proof, claim) => {
                let project = self.project.unwrap_or_default();
                return Err(facts.is_split(&claim, &proof.nodes, project, self.namespace).into());
            }
        }
        if let Some(project) = self.project.filter(|_| self.steps.claim.is_some()) {
            prove::secure(facts, self.kubectl, self.namespace, self.claim, project)?;
        }
        Ok(())
    }

    /// Makes the namespace or the claim. Somebody else may be making it at the same time.
    pub fn ensure(&self, facts: &Facts, mut cmd: Cmd) -> Result<()> {
        let mut pause = FIRST_PAUSE;
        let mut tries = 1;
        loop {
            let reply = facts.shell.run(&cmd)?;
            if reply.succeeded() || kubectl::refusal(&reply.stderr) == Some(Refusal::AlreadyExists) {
                return Ok(());
            }
            // to apply takes the right to patch as well, and a narrow role may give only that to create
            if kubectl::may_not_patch(&reply.stderr)
                && let Stdin::Document { name, text } = &cmd.stdin
            {
                cmd = self.kubectl.create(self.namespace, name, text, &cmd.why);
                continue;
            }
            // the same again does no harm here, so an unclear answer is simply asked for again
            if tries == TRIES || kubectl::refusal(&reply.stderr).is_some() {
                return Err(facts.kubectl.failure(&reply, &cmd).into());
            }
            tries += 1;
            facts.ui.warn(format!("failed to {}, trying again: {}", cmd.why, reply.last_words()));
            facts.shell.sleep(pause)?;
            pause *= 2;
        }
    }
}
