//! Finds a project's storage for `storage` and `doctor`.

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::app::target::Target;
use crate::ops::facts::storage::{ProjectObjects, project_objects};
use crate::ops::project_request::project_request;
use crate::request::{RunFlags, RunRequest};
use crate::tools::cluster::Cluster;

/// The flags that select the project.
#[derive(Debug, Args)]
pub struct ProjectArgs {
    /// Project [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
}

/// A project's storage.
pub struct Project<'a> {
    /// What every verb works with.
    pub app: &'a App,
    /// The cluster.
    pub target: Target,
    /// A request for the project with a new identity, independent of an experiment.
    pub request: RunRequest,
}

impl<'a> Project<'a> {
    /// Finds the project, by the rules of `run`.
    pub fn find(app: &'a App, project: Option<String>, storage_class: Option<String>) -> Result<Self> {
        let target = Target::resolve(app)?;
        target.require_cluster()?;
        // no image is built
        let flags = RunFlags { project, storage_class, image: Some("none".to_owned()), ..RunFlags::default() };
        let mut request = project_request(flags, app, &target)?;
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(|e| anyhow::anyhow!("failed to get random bytes: {e}"))?;
        request.id = crate::k8s::names::RunId::from_bytes(random);
        Ok(Self { app, target, request })
    }

    /// Returns its cluster.
    pub fn cluster(&self) -> Cluster<'_> {
        self.target.cluster(self.app)
    }

    /// The project's objects.
    pub fn standing(&self) -> Result<ProjectObjects> {
        let (cluster, request) = (self.cluster(), &self.request);
        project_objects(cluster, &request.namespace, request.storage.claim.as_str()).settle(cluster)
    }

    /// The project's raw name, if the claim is its own.
    pub fn owner(&self) -> Option<&str> {
        (!self.request.storage.given).then_some(self.request.project.as_str())
    }
}

/// A text of an object, empty if it has none.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
