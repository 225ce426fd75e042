//! The image of a run: ready, or to be built.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::image::ImageSpec;
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::provider::Local;
use crate::request::{BuildRequest, ImageRequest, Sources};
use crate::tools::cmd::Cmd;
use crate::tools::{docker, gcloud, local};

/// What lets docker into a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Login {
    /// gcloud does, for one of Google's registries at this host.
    Google(String),
    /// User and password.
    Password(RegistryLogin),
}

impl Login {
    /// The command; without a password, which only a shell knows then.
    pub fn cmd(&self, password: Option<&str>) -> Cmd {
        match self {
            Self::Google(host) => gcloud::configure_docker(host),
            Self::Password(login) => {
                docker::login(&login.host, &login.user, password.unwrap_or_default(), &login.variable)
            }
        }
    }
}

/// The image of a run, as far as it is there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum PlannedImage {
    /// It needs nothing: this reference is used as it is.
    Ready {
        /// `repository@sha256:…`, or what the user gave.
        reference: String,
    },
    /// It is built and published first.
    ToBuild(Box<Build>),
}

/// An image to be built: all that is needed to make it again from the folder.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Build {
    /// The repository that it is published in.
    pub repository: String,
    /// Its references: by key, and by time.
    pub tags: Vec<String>,
    /// The context's key, by which a folder that has changed is recognised.
    pub key: String,
    /// The whole Dockerfile.
    pub dockerfile: String,
    /// Such as `linux/amd64`.
    pub platform: String,
    /// What else the key covers.
    pub settings: Vec<String>,
    /// Whether the base image's tag is looked up again.
    pub pull: bool,
    /// Whether the registry may be one without TLS.
    pub plain: bool,
    /// The cluster that it is loaded into instead of being published.
    pub load: Option<Local>,
    /// Names of variables that the build may read; what they hold is kept nowhere.
    #[serde(default)]
    pub secrets: Vec<String>,
    /// What goes in.
    pub sources: Sources,
}

impl Build {
    /// The command that builds and publishes it.
    pub fn cmd(&self, metadata: &Path, live: bool) -> Cmd {
        let (tags, platform, pull, secrets) = (&self.tags, &self.platform, self.pull, &self.secrets);
        docker::build(&docker::Build { tags, platform, pull, metadata, live, secrets, push: self.load.is_none() })
    }

    /// The command that loads it into a cluster on this machine, `None` where it is published.
    pub fn load(&self) -> Option<Cmd> {
        Some(local::load(self.load.as_ref()?, &self.tags[0]))
    }
}

impl PlannedImage {
    /// The image that is asked for, and what the registry said of it.
    pub(super) fn new(request: &ImageRequest, answer: Option<&(ImageSpec, Option<String>)>) -> Self {
        let reference = match (request, answer) {
            (ImageRequest::Built(build), Some((spec, None))) => return Self::ToBuild(Box::new(to_build(build, spec))),
            (ImageRequest::Built(build), Some((spec, Some(_)))) if build.load.is_some() => spec.named(),
            (ImageRequest::Built(_), Some((spec, Some(digest)))) => format!("{}@{digest}", spec.repository.as_str()),
            (ImageRequest::Given(image), _) => image.to_string(),
            (ImageRequest::Built(build), None) => build.repository.as_str().to_owned(),
        };
        Self::Ready { reference }
    }

    /// The best reference that is known.
    pub fn reference(&self) -> &str {
        match self {
            Self::Ready { reference } => reference,
            Self::ToBuild(build) => build.tags.first().map_or(&build.repository, |tag| tag),
        }
    }
}

/// An image to be built, as it is asked for.
pub fn to_build(request: &BuildRequest, spec: &ImageSpec) -> Build {
    Build {
        repository: spec.repository.as_str().to_owned(),
        // what is in no registry needs no tag that tells when
        tags: if request.load.is_some() { vec![spec.named()] } else { spec.names(&request.stamp).to_vec() },
        load: request.load.clone(),
        key: spec.key.to_string(),
        dockerfile: spec.context.dockerfile.clone(),
        platform: spec.context.platform.clone(),
        settings: spec.context.settings.clone(),
        pull: request.pull,
        plain: request.plain,
        secrets: request.secrets.clone(),
        sources: request.sources.clone(),
    }
}
