//! Whether the nodes run the image of a run: by their labels, which are looked up where they are not at hand only if
//! the platform is in doubt.

use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::Facts;
use crate::error::usage;
use crate::image::ImageRef;
use crate::platforms::{self, Fit};
use crate::remembered;
use crate::request::{ImageRequest, PLATFORM, RunRequest};
use crate::tools::docker;

/// How long the registry of an image that is not ours may take to say for which platforms it is.
const PATIENCE: Duration = Duration::from_secs(5);

impl Facts<'_> {
    /// Remembers the platforms of those nodes that the run may land on.
    pub(super) fn note_platforms<'a>(&self, request: &RunRequest, nodes: impl IntoIterator<Item = &'a Value>) {
        let found = of_selected(request, nodes);
        remembered::note(self.cache, &self.platforms_key(request), |known| known.platforms = found);
    }

    /// The labels that lead the run's pods to the nodes that run its image; none where every node does, or where
    /// nothing is known.
    ///
    /// # Errors
    /// If no node does.
    pub(super) fn platform(&self, request: &RunRequest, image: &[String]) -> Result<Vec<(String, String)>> {
        let known = remembered::of(self.cache, &self.platforms_key(request)).platforms;
        let in_doubt = !image.is_empty() && image != [PLATFORM];
        match platforms::fit(image, &known) {
            Fit::Labelled(labels) => return Ok(labels),
            Fit::Every if !known.is_empty() || !in_doubt => return Ok(Vec::new()),
            // what is remembered may be old
            Fit::Every | Fit::Nowhere => {}
        }
        let Some(nodes) = self.nodes()? else { return Ok(Vec::new()) };
        self.note_platforms(request, &nodes);
        let known = of_selected(request, &nodes);
        match platforms::fit(image, &known) {
            Fit::Every => Ok(Vec::new()),
            Fit::Labelled(labels) => Ok(labels),
            Fit::Nowhere if platforms::may_grow(&nodes) && image.len() == 1 => {
                let wanted = &image[0];
                self.ui.warn(format!("no node is {wanted} now; the cluster may make one for it"));
                Ok(platforms::labels(wanted))
            }
            Fit::Nowhere => {
                let (own, nodes) = (image.join(", "), known.join(", "));
                let error = usage(format!("the image is for {own}, and the nodes are {nodes}"));
                Err(match &request.image {
                    ImageRequest::Built(_) => error.hint(format!("build it for them with `--platform {nodes}`")),
                    ImageRequest::Given(_) => error.hint(format!("choose an image for {nodes}, or build one for it")),
                }
                .into())
            }
        }
    }

    /// The platforms of the run's image, as far as they are known.
    pub(super) fn image_platforms(&self, request: &RunRequest) -> Vec<String> {
        match &request.image {
            // it is built for this machine, and its cluster is on it
            ImageRequest::Built(build) if build.load.is_some() => Vec::new(),
            ImageRequest::Built(build) => build.platform.split(',').map(str::to_owned).collect(),
            ImageRequest::Given(image) => self.platforms_of(image),
        }
    }

    /// The platforms that an image is for, where docker is at hand and its registry tells; remembered, as registries
    /// count such questions.
    fn platforms_of(&self, image: &ImageRef) -> Vec<String> {
        let reference = image.to_string();
        let key = format!("image {reference}");
        let known = remembered::of(self.cache, &key).platforms;
        if !known.is_empty() {
            return known;
        }
        let answer = |cmd| {
            let reply = self.shell.read(&cmd).ok().filter(crate::tools::reply::Reply::succeeded)?;
            serde_json::from_slice::<Value>(&reply.stdout).ok()
        };
        let Some(manifest) = answer(docker::look_again(&reference).deadline(PATIENCE)) else { return Vec::new() };
        let mut found = platforms::of_image(&manifest);
        if found.is_empty() && manifest["config"].is_object() {
            let config = answer(docker::config(&reference).deadline(PATIENCE));
            found = config.map(|config| platforms::of_image(&config)).unwrap_or_default();
        }
        remembered::note(self.cache, &key, |known| known.platforms.clone_from(&found));
        found
    }

    fn platforms_key(&self, request: &RunRequest) -> String {
        let selector: Vec<String> = request.node_selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{} nodes {}", self.kubectl.flags.join(" "), selector.join(","))
    }
}

/// The platforms of the nodes that the run may land on.
fn of_selected<'a>(request: &RunRequest, nodes: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let selected =
        |node: &&Value| request.node_selector.iter().all(|(k, v)| node["metadata"]["labels"][k] == v.as_str());
    platforms::of_nodes(nodes.into_iter().filter(selected))
}
