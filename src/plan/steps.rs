//! The steps of a plan: the one list that says in which order its effects happen. `run` and its
//! `--dry-run`, `--out` and `--resume`, `rerun` and `storage setup` read it.

use std::path::Path;

use crate::k8s::manifests::job;
use crate::plan::{Goal, Plan, PlannedImage, commands};
use crate::storage::steps::StorageStep;
use crate::tools::cmd::Cmd;

/// One effect of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Let docker into the registry.
    LogIn,
    /// Build the image, and publish it or load it into a cluster on this machine.
    Image,
    /// Create the namespace.
    Namespace,
    /// Prepare the project's storage.
    Storage(StorageStep),
    /// Give the cluster its login for the registry.
    PullSecret,
    /// Have the nodes try the volume.
    TryVolume,
    /// Create the Job.
    Submit,
    /// Create the `ConfigMap`s with the points of a sweep.
    Points,
    /// Create the Secret with the secret variables.
    SecretEnv,
    /// Resume the Job, which was created suspended.
    Resume,
}

/// What is known only while a plan is carried out. A script has placeholders.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// The file in which docker tells the digest.
    pub metadata: &'a Path,
    /// Whether docker shows its progress.
    pub live: bool,
    /// The password of the registry.
    pub password: Option<&'a str>,
    /// The uid that the cluster gave the Job.
    pub uid: &'a str,
    /// The values of the secret variables.
    pub secrets: Option<&'a [(String, String)]>,
}

impl Default for Known<'_> {
    fn default() -> Self {
        Self { metadata: Path::new("metadata.json"), live: false, password: None, uid: "", secrets: None }
    }
}

impl Plan {
    /// The steps, in order.
    pub fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let mut add = |step, is_due: bool| steps.extend(is_due.then_some(step));
        add(Step::LogIn, self.login.is_some());
        add(Step::Image, matches!(self.image, PlannedImage::ToBuild(_)));
        add(Step::Namespace, self.new_namespace.is_some());
        self.storage.steps().into_iter().for_each(|step| add(Step::Storage(step), true));
        add(Step::PullSecret, self.pull_secret.is_some());
        add(Step::TryVolume, self.probe.is_some());
        if self.goal == Goal::Storage {
            return steps;
        }
        add(Step::Submit, true);
        add(Step::Points, self.points.is_some());
        add(Step::SecretEnv, !self.secret_env.is_empty());
        add(Step::Resume, job::release(&self.job).is_some());
        steps
    }

    /// The commands of a step. [`Step::TryVolume`] has none: which ones it needs depends on the answers.
    pub fn commands(&self, step: Step, known: &Known) -> Vec<Cmd> {
        let command = match step {
            Step::LogIn => self.login.as_ref().map(|login| login.cmd(known.password)),
            Step::Image => {
                let PlannedImage::ToBuild(build) = &self.image else { return Vec::new() };
                return std::iter::once(build.cmd(known.metadata, known.live)).chain(build.load()).collect();
            }
            Step::Namespace => self.create_namespace(),
            Step::Storage(step) => self.storage.command(step, &self.kubectl, &self.namespace),
            Step::PullSecret => self
                .pull_secret
                .as_ref()
                .map(|login| commands::pull_secret(&self.kubectl, &self.namespace, login, known.password)),
            Step::TryVolume => None,
            Step::Submit => Some(self.submit()),
            Step::Points => self.create_points(known.uid),
            Step::SecretEnv => self.create_secret_env(known.uid, known.secrets),
            Step::Resume => self.release(),
        };
        command.into_iter().collect()
    }
}

impl Step {
    /// Whether the step makes something that the Job owns, so that its document has the Job's uid.
    pub fn is_owned(self) -> bool {
        matches!(self, Self::Points | Self::SecretEnv)
    }
}
