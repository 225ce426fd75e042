//! The image of a run: one that is there, or one to be made from the folder.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{RunEnv, RunFlags};
use crate::config::{Experiment, Registry, RemoteContext};
use crate::image::reference::ImageRef;
use crate::image::repository::Repository;
use crate::k8s::provider::{Local, is_google};
use crate::util::error::{Fail, usage};

/// The base image if nobody says otherwise.
const BASE_IMAGE: &str = "python:3";
/// What images are built for if nobody says otherwise: what most clusters' nodes are.
/// What images are built for, if nobody says otherwise.
const PLATFORM: &str = "linux/amd64";

/// Stands where a registry's host would, in the names of images that are in none. `.local` is nobody's
/// (RFC 6762), so that nothing is ever pulled from there.
pub const LOCAL_HOST: &str = "mrunner.local";

/// The image of a run.
#[derive(Debug, Clone)]
pub enum ImageRequest {
    /// One that exists.
    Given(ImageRef),
    /// One to be made from the folder.
    Built(Box<BuildRequest>),
}

/// An image to be made from the folder.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// Where it is published.
    pub repository: Repository,
    /// Whether the registry may be one without TLS.
    pub plain: bool,
    /// The tag that tells when, beside the one that tells what.
    pub stamp: String,
    /// The cluster that it is loaded into instead of being published.
    pub load: Option<Local>,
    /// What it is made on.
    pub base_image: ImageRef,
    /// The user's own template for the Dockerfile.
    pub template: Option<PathBuf>,
    /// Such as `linux/amd64`.
    pub platform: String,
    /// Whether the base image's tag is looked up again.
    pub pull: bool,
    /// Whether the script is started by `neptune run`, for templates that care.
    pub neptune: bool,
    /// Names of variables that the build may read.
    pub secrets: Vec<String>,
    /// What goes in.
    pub sources: Sources,
}

/// What goes into an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Sources {
    /// The folder.
    pub folder: PathBuf,
    /// The requirements file.
    pub requirements: Option<PathBuf>,
    /// Patterns of what is left out.
    pub exclude: Vec<String>,
    /// Files and folders that come along.
    pub paths_to_copy: Vec<String>,
}

/// What docker takes: `linux/arm64`, `linux/arm/v7`, several with commas between them.
fn platform(text: &str) -> Result<String, Fail> {
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    let one = |platform: &str| (2..=3).contains(&platform.split('/').count()) && platform.split('/').all(word);
    if text.split(',').all(one) {
        return Ok(text.to_owned());
    }
    Err(usage(format!("`{text}` is not a platform")).hint("write it such as `linux/amd64` or `linux/arm64`"))
}

/// docker speaks without TLS to a registry on this machine, whatever its address says.
fn is_loopback(host: &str) -> bool {
    host.starts_with("127.") || host.starts_with("[::1]") || host.split(':').next() == Some("localhost")
}

/// The pattern for one file of the folder, whatever its name is.
fn literally(file: &str) -> String {
    let escaped =
        |c: char| if c.is_ascii() && !c.is_ascii_alphanumeric() && c != '/' { vec!['\\', c] } else { vec![c] };
    std::iter::once('/').chain(file.chars().flat_map(escaped)).collect()
}

/// Where the image is published, or the cluster on this machine that takes it without a registry.
fn registry(
    flags: &RunFlags,
    remote: Option<&RemoteContext>,
    run_env: &RunEnv,
) -> Result<(Registry, Option<Local>), Fail> {
    let flag = flags.registry.as_deref().map(|url| Registry::parse(url).map_err(|wrong| wrong.about("--registry")));
    let flag = flag.transpose()?;
    let named = flag.or_else(|| remote.and_then(|r| r.registry_url.clone()));
    let load = if named.is_none() { run_env.local.clone() } else { None };
    let nowhere = || Registry { host: LOCAL_HOST.to_owned(), path: String::new(), insecure_scheme: false };
    let Some(registry) = named.or_else(|| load.is_some().then(nowhere)) else {
        return Err(usage("no registry is known to publish the image in")
            .hint(
                "name one with `--registry URL`, or as `registry_url` of a context in `~/.config/mrunner/config.yaml`",
            )
            .hint("or run an image that exists already with `--image IMAGE`"));
    };
    Ok((registry, load))
}

/// The image that flag, experiment file and remote context ask for.
pub(super) fn resolve(
    flags: &RunFlags,
    file: &Experiment,
    remote: Option<&RemoteContext>,
    run_env: &RunEnv,
    project: &str,
    experiment: &str,
) -> Result<ImageRequest, Fail> {
    if let Some(image) = &flags.image {
        return Ok(ImageRequest::Given(ImageRef::parse(image)?));
    }
    let (registry, load) = registry(flags, remote, run_env)?;
    let google = remote.and_then(|r| r.google_project_id.as_deref()).filter(|_| load.is_none());
    if is_google(&registry.host) && registry.path.is_empty() && google.is_none() {
        return Err(usage(format!("in which project of Google's `{}`?", registry.host))
            .hint("set it in the context: `google_project_id: MY-PROJECT`")
            .hint(format!("or in the registry's address: `https://{}/MY-PROJECT/MY-REPOSITORY`", registry.host)));
    }
    let base = [flags.base_image.clone(), file.base_image.clone(), remote.and_then(|r| r.base_image.clone())];
    let base = base.into_iter().flatten().next().unwrap_or_else(|| BASE_IMAGE.to_owned());
    let requirements = flags.requirements.clone().or_else(|| file.requirements.as_ref().map(PathBuf::from));
    if !flags.build_secrets.is_empty() && requirements.is_none() && flags.template.is_none() {
        return Err(usage("nothing in the build would use `--build-secret`: there are no requirements to install")
            .hint("name them with `--requirements FILE`, or a Dockerfile of your own with `--template FILE`"));
    }
    let mut exclude = remote.map(|r| r.exclude.clone()).unwrap_or_default();
    exclude.extend(file.exclude.iter().cloned());
    // whoever can pull an image can read it
    exclude.extend(flags.secret_files.iter().map(|file| literally(file)));
    let mut paths_to_copy = remote.map(|r| r.paths_to_copy.clone()).unwrap_or_default();
    paths_to_copy.extend(file.paths_to_copy.iter().cloned());
    Ok(ImageRequest::Built(Box::new(BuildRequest {
        repository: Repository::new(&registry.host, &registry.path, google, project, experiment)?,
        plain: registry.insecure_scheme || is_loopback(&registry.host),
        stamp: run_env.now.format("%Y%m%d-%H%M%S").to_string(),
        base_image: ImageRef::parse(&base)?,
        template: flags.template.clone(),
        // a cluster on this machine has this machine's processor
        platform: platform(flags.platform.as_deref().unwrap_or(if load.is_some() {
            &run_env.machine
        } else {
            PLATFORM
        }))?,
        load,
        pull: flags.pull,
        neptune: remote.is_some_and(|r| r.neptune),
        secrets: flags.build_secrets.clone(),
        sources: Sources { folder: run_env.folder.clone(), requirements, exclude, paths_to_copy },
    })))
}
