//! Checks whether the nodes can run the image, by their labels. The platforms of the nodes are cached, so that most
//! runs do not list the nodes.

use std::time::Duration;

use anyhow::Result;
use chrono::Utc;
use serde_json::Value;

use super::notices::Gatherer;
use crate::image::ImageRef;
use crate::k8s::accelerators::{Placement, gives};
use crate::k8s::object::Object;
use crate::k8s::platforms::{self, Fit};
use crate::ops::claim_cache::{self, CacheChange};
use crate::request::{ImageRequest, RunRequest};
use crate::tools::docker;
use crate::util::error::usage;

/// How long the registry may take to return the platforms of an image given with `--image`.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(5);

/// How many seconds the platforms of the nodes are cached.
const FRESH: i64 = 3600;

impl Gatherer<'_> {
    /// The nodes that the run can use, if it requests accelerators or the platforms are not cached; `None` if they
    /// are not needed, or if the user can't list them.
    pub(super) fn nodes_of(&mut self, request: &RunRequest) -> Result<Option<Vec<Value>>> {
        let local = matches!(&request.image, ImageRequest::Built(build) if build.load.is_some());
        let needed = !request.accelerators.is_empty() || !local && self.known_platforms(request).is_none();
        if needed { self.list_nodes(request) } else { Ok(None) }
    }

    fn list_nodes(&mut self, request: &RunRequest) -> Result<Option<Vec<Value>>> {
        let mut nodes = self.cluster.nodes()?;
        if let Some(nodes) = &mut nodes {
            nodes.retain(|node| request.node_selector.iter().all(|(k, v)| Object::of(node).label(k) == Some(v)));
        }
        let found = platforms::of_nodes(nodes.iter().flatten());
        // also that the user can't list them
        self.remember(&self.platforms_key(request), CacheChange::NodePlatforms(found, Utc::now().timestamp()));
        Ok(nodes)
    }

    /// The cached platforms of the nodes; `None` if there are none, or if they are too old.
    fn known_platforms(&self, request: &RunRequest) -> Option<Vec<String>> {
        let known = claim_cache::of(self.cluster.cache, &self.platforms_key(request));
        // this machine's clock may have been set back since then
        (0..FRESH).contains(&(Utc::now().timestamp() - known.platforms_at)).then_some(known.platforms)
    }

    /// The labels that select nodes which can run the image; empty if every node can, or if nothing is known.
    /// `nodes` are those of [`Self::nodes_of`].
    ///
    /// # Errors If no node can run the image.
    pub(super) fn platform(
        &mut self,
        request: &RunRequest,
        image: &[String],
        placements: &[Placement],
        nodes: Option<Vec<Value>>,
    ) -> Result<Vec<(String, String)>> {
        let nodes = match nodes {
            Some(nodes) => nodes,
            None => match platforms::fit(image, &self.known_platforms(request).unwrap_or_default()) {
                Fit::Every => return Ok(Vec::new()),
                Fit::Labelled(labels) => return Ok(labels),
                // the cache may be outdated
                Fit::Nowhere => match self.list_nodes(request)? {
                    Some(nodes) => nodes,
                    None => return Ok(Vec::new()),
                },
            },
        };
        // nodes of another kind than requested do not matter; a node of that kind may be added later
        let placed = nodes.iter().filter(|node| placements.iter().all(|placement| gives(placement, node)));
        let known = Some(platforms::of_nodes(placed)).filter(|own| !own.is_empty());
        let known = known.unwrap_or_else(|| platforms::of_nodes(&nodes));
        match platforms::fit(image, &known) {
            Fit::Every => Ok(Vec::new()),
            Fit::Labelled(labels) => Ok(labels),
            Fit::Nowhere if platforms::may_grow(&nodes) && image.len() == 1 => {
                let wanted = &image[0];
                self.warn(format!("no node is {wanted} now; the cluster may make one for it"));
                Ok(platforms::labels(wanted))
            }
            Fit::Nowhere => {
                let error =
                    usage(format!("the image is for {}, and the nodes are {}", image.join(", "), known.join(", ")));
                Err(match &request.image {
                    ImageRequest::Built(_) => {
                        error.hint(format!("build it for them with `--platform {}`", known.join(",")))
                    }
                    ImageRequest::Given(_) => {
                        error.hint(format!("choose an image for {}, or build one for it", known.join(" or ")))
                    }
                }
                .into())
            }
        }
    }

    /// The platforms of the run's image, if they are known.
    pub(super) fn image_platforms(&mut self, request: &RunRequest) -> Vec<String> {
        match &request.image {
            // the image is built for this machine, and the cluster is on it
            ImageRequest::Built(build) if build.load.is_some() => Vec::new(),
            ImageRequest::Built(build) => build.platform.split(',').map(str::to_owned).collect(),
            ImageRequest::Given(image) => self.platforms_of(image),
        }
    }

    /// The platforms of an image, from docker and its registry, if they answer. Registries limit such requests, so
    /// the answer is cached if the image has a digest; a tag can be moved.
    fn platforms_of(&mut self, image: &ImageRef) -> Vec<String> {
        let reference = image.to_string();
        let key = format!("image {reference}");
        let known = claim_cache::of(self.cluster.cache, &key).platforms;
        if !known.is_empty() {
            return known;
        }
        let answer = |cmd| {
            let reply = self.cluster.shell.read(&cmd).ok().filter(crate::tools::reply::Reply::succeeded)?;
            serde_json::from_slice::<Value>(&reply.stdout).ok()
        };
        let Some(manifest) = answer(docker::look_again(&reference).deadline(REGISTRY_TIMEOUT)) else {
            return Vec::new();
        };
        let mut found = platforms::of_image(&manifest);
        if found.is_empty() && platforms::has_config(&manifest) {
            let config = answer(docker::config(&reference).deadline(REGISTRY_TIMEOUT));
            found = config.map(|config| platforms::of_image(&config)).unwrap_or_default();
        }
        if reference.contains("@sha256:") {
            self.remember(&key, CacheChange::Platforms(found.clone()));
        }
        found
    }

    fn platforms_key(&self, request: &RunRequest) -> String {
        let selector: Vec<String> = request.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} nodes {}", self.cluster.kubectl.flags.join(" "), selector.join(","))
    }
}
