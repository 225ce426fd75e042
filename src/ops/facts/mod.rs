//! What must be asked of the world before a plan can be made, asked side by side. Gathering changes nothing and tells
//! nothing: what comes up is in the answer.

mod commit;
mod notices;
mod platform;
pub mod queue;
pub mod secrets;
mod snapshot;
pub mod storage;

use std::thread;

use anyhow::Result;
use serde_json::Value;

use self::commit::commit;
use self::notices::Gatherer;
pub use self::notices::{Early, Facts, Notice, Notices};
pub use self::snapshot::{Snapshot, rescan};
use crate::image::ImageSpec;
use crate::k8s::accelerators::{Placement, Want, place, place_unlisted};
use crate::k8s::manifests::claim::AccessMode;
use crate::k8s::node::Node;
use crate::ops::registry::published;
use crate::plan::{Answers, StorageAnswers};
use crate::request::{ImageRequest, RunRequest};
use crate::storage::choose::Choice;
use crate::tools::cluster::Cluster;

/// What a plan depends on, and the folder that would be sent.
pub type RunFacts = Facts<(Answers, Option<Snapshot>)>;

/// Asks registry, cluster and git at the same time. `early` is given what was noticed of the folder before its files are
/// read, which may take long.
pub fn gather(cluster: Cluster, request: &RunRequest, ask_registry: bool, early: Early) -> RunFacts {
    thread::scope(|scope| {
        let storage = scope.spawn(move || storage::answers(cluster, request));
        let commit = scope.spawn(move || commit(cluster.shell, request));
        let queue = scope.spawn(move || Gatherer::gather(cluster, |gatherer| gatherer.queue(request)));
        let image_platforms =
            scope.spawn(move || Gatherer::gather(cluster, |gatherer| Ok(gatherer.image_platforms(request))));
        let nodes = scope.spawn(move || Gatherer::gather(cluster, |gatherer| gatherer.nodes_of(request)));
        let image = Gatherer::gather(cluster, |gatherer| gatherer.image(request, ask_registry, early));
        Gatherer::gather(cluster, |all| {
            let image = all.take(image);
            let storage = all.take(join(storage));
            let queue = all.take(join(queue));
            let image_platforms = all.take(join(image_platforms));
            let nodes = all.take(join(nodes));
            let (storage, nodes) = (storage?, nodes?);
            let placements = all.placements(request, nodes.as_deref())?;
            let queue = queue?;
            let (image, snapshot) = image?.unzip();
            let platform = all.platform(request, &image_platforms?, &placements, nodes)?;
            let git_commit = join(commit);
            Ok((Answers { image, storage, git_commit, login: None, placements, queue, platform }, snapshot))
        })
    })
}

/// Returns the answers as far as they need neither cluster nor registry: what is missing there is taken to be missing.
pub fn gather_offline(cluster: Cluster, request: &RunRequest, early: Early) -> RunFacts {
    Gatherer::gather(cluster, |gatherer| {
        thread::scope(|scope| {
            let commit = scope.spawn(move || commit(cluster.shell, request));
            let (image, snapshot) = gatherer.image(request, false, early)?.unzip();
            let class = request.storage.class.clone();
            let choice = (!request.storage.given).then(|| Choice {
                class,
                volume: None,
                mode: if request.storage.pinned { AccessMode::ReadWriteOnce } else { AccessMode::ReadWriteMany },
                why: "the cluster was not asked".to_owned(),
            });
            let storage =
                StorageAnswers { namespace_missing: request.own_namespace, choice, ..StorageAnswers::default() };
            for want in request.accelerators.iter().filter(|want| want.kind.is_some()) {
                gatherer.warn(format!(
                    "on which nodes there is {} is not looked up, as the cluster is not asked",
                    want.shown()
                ));
            }
            let any = |want: &Want| place_unlisted(&Want { kind: None, ..want.clone() });
            let placements = request.accelerators.iter().map(any).collect::<Result<_, _>>()?;
            let queue = request.queue.clone();
            let git_commit = join(commit);
            let answers = Answers { image, storage, git_commit, login: None, placements, queue, platform: Vec::new() };
            Ok((answers, snapshot))
        })
    })
}

impl Gatherer<'_> {
    #[allow(clippy::type_complexity)]
    fn image(
        &mut self,
        request: &RunRequest,
        ask: bool,
        early: Early,
    ) -> Result<Option<((ImageSpec, Option<String>), Snapshot)>> {
        let ImageRequest::Built(build) = &request.image else { return Ok(None) };
        let snapshot = self.snapshot(build, request.run_as, early)?;
        let (context, key) = (snapshot.context.clone(), snapshot.key.clone());
        let spec = ImageSpec { context, key, repository: build.repository.clone() };
        // with --pull, the base image may have changed, so the same key may mean another image
        let digest = match &build.load {
            _ if !ask || build.pull => None,
            Some(_) => self.loaded(&spec.named())?,
            None => published(self.cluster.shell, &spec.named(), build.plain)?,
        };
        Ok(Some(((spec, digest), snapshot)))
    }

    /// Returns the reference if all nodes report that they have the image. They list at most 50 images (kubelet's
    /// `nodeStatusMaxImages`), so a missing one means nothing.
    fn loaded(&self, reference: &str) -> Result<Option<String>> {
        let nodes = self.cluster.nodes()?.unwrap_or_default();
        let has = |node: &Value| Node::of(node).images().any(|name| name == reference);
        Ok((!nodes.is_empty() && nodes.iter().all(has)).then(|| reference.to_owned()))
    }

    /// Finds the nodes with the requested accelerators.
    fn placements(&mut self, request: &RunRequest, nodes: Option<&[Value]>) -> Result<Vec<Placement>> {
        if request.accelerators.is_empty() {
            return Ok(Vec::new());
        }
        let Some(nodes) = nodes else {
            self.warn("you may not list the nodes, so nobody knows yet whether the cluster has what the run asks for");
            return Ok(request.accelerators.iter().map(place_unlisted).collect::<Result<_, _>>()?);
        };
        let placements: Vec<Placement> = request
            .accelerators
            .iter()
            .map(|want| place(want, nodes, &request.tolerations, request.queue.is_some()))
            .collect::<Result<_, _>>()?;
        for note in placements.iter().filter_map(|placement| placement.note.as_ref()) {
            self.warn(note);
        }
        Ok(placements)
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
