//! What the world said, as far as a plan depends on it.

use serde_json::Value;

use crate::image::ImageSpec;
use crate::k8s::accelerators::Placement;
use crate::k8s::names::VolumeName;
use crate::plan::image::Login;
use crate::request::RunRequest;
use crate::storage::choose::Choice;
use crate::storage::steps::{Owner, StorageSteps};

/// What the world said, as far as the plan depends on it.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// The image that is to be built, and its digest where the registry has it.
    pub image: Option<(ImageSpec, Option<String>)>,
    /// The project's storage.
    pub storage: StorageAnswers,
    /// What lets docker into the registry, where nothing does yet.
    pub login: Option<Login>,
    /// The nodes with the requested accelerators.
    pub placements: Vec<Placement>,
    /// The queue that it will wait in.
    pub queue: Option<String>,
    /// The labels of the nodes that run the image, where not all do.
    pub platform: Vec<(String, String)>,
    /// git's commit.
    pub git_commit: Option<String>,
}

/// What the cluster said of the project's storage.
#[derive(Debug, Clone, Default)]
pub struct StorageAnswers {
    /// Whether the namespace is missing.
    pub namespace_missing: bool,
    /// The claim to be made, where it is missing.
    pub choice: Option<Choice>,
    /// The volume that would go with its claim, or not be found again, and the change that sees to it.
    pub keep: Option<(VolumeName, Value)>,
    /// Whether the claim is smaller than the context says, and can grow.
    pub grow: bool,
    /// On how many nodes the volume is to be tried first, as nobody has yet.
    pub probe: Option<usize>,
}

impl StorageAnswers {
    /// The steps to do.
    pub fn steps(&self, request: &RunRequest) -> StorageSteps {
        let mut steps = self.choice.as_ref().map_or_else(StorageSteps::default, |choice| {
            StorageSteps::new(
                choice,
                &Owner {
                    project: &request.project,
                    namespace: &request.namespace,
                    claim: &request.storage.claim,
                    uid: request.id.as_str(),
                    size: &request.storage.size,
                    run_as: request.run_as,
                },
            )
        });
        steps.kept.clone_from(&self.keep);
        steps.grown = self.grow.then(|| (request.storage.claim.clone(), request.storage.size.clone()));
        steps
    }
}
