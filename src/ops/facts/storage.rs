//! Asks the cluster about a project's storage.

use std::thread;

use anyhow::Result;
use chrono::Utc;
use serde_json::Value;

use super::join;
use super::notices::{Facts, Gatherer};
use crate::k8s::claim::Claim;
use crate::k8s::manifests::PROJECT;
use crate::k8s::manifests::nfs_server::NAME;
use crate::k8s::names::{Namespace, VolumeName, label_value};
use crate::k8s::namespace::NamespaceObject;
use crate::k8s::node::Node;
use crate::k8s::object::{Object, Resource};
use crate::k8s::storage_class::StorageClass;
use crate::k8s::volume::Volume;
use crate::ops::claim_cache::{self, CacheChange};
use crate::plan::StorageAnswers;
use crate::request::RunRequest;
use crate::storage::check::{self, Usable};
use crate::storage::choose::{Choice, Class, World, choose, is_released};
use crate::storage::nfs_server::address;
use crate::storage::proof::Proof;
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{self, Scope};
use crate::util::error::{Fail, Refusal, fail};

/// A volume that could not be tested is tested again after a day.
const TRIED_AGAIN: i64 = 24 * 3600;

/// The project's namespace, claim and volume.
#[derive(Debug, Clone, Default)]
pub struct ProjectObjects {
    /// The namespace, if the user can read it.
    pub namespace: Option<Value>,
    /// Whether the namespace does not exist.
    pub namespace_missing: bool,
    /// The claim.
    pub claim: Option<Value>,
    /// Its volume, if the user can read it.
    pub volume: Option<Value>,
}

impl ProjectObjects {
    /// A view of the namespace.
    pub fn namespace(&self) -> Option<NamespaceObject<'_>> {
        self.namespace.as_ref().map(NamespaceObject::of)
    }

    /// A view of the claim.
    pub fn claim(&self) -> Option<Claim<'_>> {
        self.claim.as_ref().map(Claim::of)
    }

    /// A view of its volume.
    pub fn volume(&self) -> Option<Volume<'_>> {
        self.volume.as_ref().map(Volume::of)
    }
}

/// Returns what exists of a project's storage, whether it can be used, and what must be created or changed.
pub fn answers(cluster: Cluster, request: &RunRequest) -> Facts<StorageAnswers> {
    Gatherer::gather(cluster, |gatherer| {
        let objects = project_objects(cluster, &request.namespace, request.storage.claim.as_str());
        let objects = gatherer.take(objects)?;
        gatherer.storage(request, &objects)
    })
}

/// Returns the same for objects that were read already.
pub fn answers_for(cluster: Cluster, request: &RunRequest, objects: &ProjectObjects) -> Facts<StorageAnswers> {
    Gatherer::gather(cluster, |gatherer| gatherer.storage(request, objects))
}

/// Namespace, claim and volume in one question, if it is remembered which volume that is. kubectl prints
/// what it got also where this user may not look at one of them.
pub fn project_objects(cluster: Cluster, namespace: &Namespace, claim: &str) -> Facts<ProjectObjects> {
    Gatherer::gather(cluster, |gatherer| {
        let key = claim_cache::key(cluster.kubectl, namespace, claim);
        let remembered = VolumeName::given(&claim_cache::of(cluster.cache, &key).volume);
        let mut what = vec![Resource::Namespace.named(namespace.as_str()), Resource::Claim.named(claim)];
        what.extend(remembered.iter().map(|name| Resource::Volume.named(name.as_str())));
        let why = format!("read the storage of `{namespace}`");
        let cmd = cluster.kubectl.get_named(Scope::In(namespace), &what, why);
        let reply = cluster.read(&cmd)?;
        if !reply.succeeded()
            && (!kubectl::all_forbidden(&reply.stderr) || kubectl::may_not_see(&reply.stderr, "persistentvolumeclaims"))
        {
            return Err(cluster.kubectl.failure(&reply, &cmd).into());
        }
        let mut objects = kubectl::objects(&reply, &cmd)?;
        let mut take = |kind: &str| {
            let at = objects.iter().position(|object| Object::of(object).kind() == kind)?;
            Some(objects.swap_remove(at))
        };
        let found = ProjectObjects {
            namespace: take("Namespace"),
            claim: take("PersistentVolumeClaim"),
            volume: take("PersistentVolume"),
            namespace_missing: false,
        };
        let namespace_missing = found.namespace.is_none() && !kubectl::may_not_see(&reply.stderr, "namespaces");
        let name = found.claim().and_then(Claim::volume);
        let bound = match &name {
            Some(name) if remembered.as_ref() == Some(name) => found.volume,
            Some(name) => volume(cluster, name)?,
            None => None,
        };
        let name = name.map(|name| name.to_string()).unwrap_or_default();
        gatherer.remember(&key, CacheChange::Volume(name));
        Ok(ProjectObjects { namespace_missing, volume: bound, ..found })
    })
}

/// A volume, `None` if it is gone or the user can't read it.
pub fn volume(cluster: Cluster, name: &VolumeName) -> Result<Option<Value>> {
    let why = format!("read the volume `{name}`");
    let cmd = cluster.kubectl.get_named(Scope::Everywhere, &[Resource::Volume.named(name.as_str())], why);
    Ok(cluster.visible_objects(&cmd)?.pop())
}

/// The result of testing the claim, from the claim or from this machine's cache.
pub fn proof(cluster: Cluster, namespace: &Namespace, claim: Claim) -> Option<Proof> {
    let key = || claim_cache::key(cluster.kubectl, namespace, claim.name());
    let remembered = || claim_cache::of(cluster.cache, &key()).proof;
    let own = || remembered().filter(|proof| proof.is_about(claim));
    match Proof::of(claim) {
        // a user who can't write to the claim tested it again, and found it shared
        Some(proof) if !proof.shared => Some(own().filter(|own| own.shared).unwrap_or(proof)),
        written => written.or_else(own),
    }
}

/// The error for a volume that is not shared between nodes.
pub fn not_shared(claim: Claim, nodes: &[String], project: &str, namespace: &Namespace) -> Fail {
    let name = claim.name();
    let class = claim.class().map_or(String::new(), |class| format!(" of class `{class}`"));
    let nodes = nodes.iter().map(|node| format!("`{node}`")).collect::<Vec<_>>().join(" and ");
    fail(format!("the claim `{name}`{class} says ReadWriteMany, but {nodes} do not see what the other writes"))
        .hint("name a class whose volumes are shared with `--storage-class CLASS`, and another project with `--project NAME`")
        .hint(format!(
            "or try it once more with `kubectl mrunner storage check -n {namespace} --project {}`",
            crate::tools::cmd::quote(project.as_ref())
        ))
}

/// The volumes with the project's label; none if the user can't list them.
fn volumes_of(cluster: Cluster, project: &str) -> Result<Vec<Value>> {
    let selector = format!("{PROJECT}={}", label_value(project));
    let cmd = cluster.kubectl.get(Scope::Everywhere, &["pv"], Some(&selector), "look for the project's volumes");
    cluster.visible_objects(&cmd)
}

/// The released volumes with a project's data.
pub fn released(cluster: Cluster, project: &str, namespace: &Namespace, claim: &str) -> Result<Vec<VolumeName>> {
    let volumes = volumes_of(cluster, project)?;
    let volumes = volumes.iter().map(Volume::of).filter(|volume| is_released(*volume, project, namespace, claim));
    Ok(volumes.filter_map(|volume| VolumeName::given(volume.name())).collect())
}

/// The address of the NFS server in the cluster, if there is one.
pub fn server(cluster: Cluster) -> Result<Option<String>> {
    let what = [Resource::Service.named(NAME)];
    let scope = &Namespace::nfs_server();
    let cmd = cluster.kubectl.get_named(Scope::In(scope), &what, "look for the cluster's NFS server");
    let service = cluster.visible_objects(&cmd)?.pop();
    Ok(service.as_ref().and_then(address).map(str::to_owned))
}

impl Gatherer<'_> {
    /// Returns what the objects mean for the plan.
    fn storage(&mut self, request: &RunRequest, standing: &ProjectObjects) -> Result<StorageAnswers> {
        let (namespace, wanted) = (&request.namespace, &request.storage);
        if let Some(object) = standing.namespace() {
            self.check_namespace(object, request)?;
        } else if standing.namespace_missing && !request.own_namespace {
            return Err(fail(format!("the namespace `{namespace}` does not exist"))
                .hint(format!("make it with `{} create namespace {namespace}`", typed(self.cluster, None)))
                .into());
        }
        let mut answers = StorageAnswers { namespace_missing: standing.namespace_missing, ..StorageAnswers::default() };
        match standing.claim() {
            Some(claim) => self.of_claim(request, claim, standing.volume(), &mut answers)?,
            None if wanted.given => {
                return Err(fail(format!("the namespace `{namespace}` has no claim `{}`", wanted.claim))
                    .hint(format!("see its claims with `{} get pvc`", typed(self.cluster, Some(namespace))))
                    .into());
            }
            None => {
                let (choice, nodes) = self.choose(request)?;
                let shared = choice.mode == crate::k8s::manifests::claim::AccessMode::ReadWriteMany;
                answers.probe = (shared && nodes != Some(1) && !wanted.pinned && wanted.probe).then_some(2);
                answers.choice = Some(choice);
            }
        }
        Ok(answers)
    }

    fn of_claim(
        &mut self,
        request: &RunRequest,
        claim: Claim,
        volume: Option<Volume>,
        answers: &mut StorageAnswers,
    ) -> Result<()> {
        let (namespace, wanted) = (&request.namespace, &request.storage);
        let project = (!wanted.given).then_some(request.project.as_str());
        let usable = check::claim(claim, project, &typed(self.cluster, Some(namespace)))?;
        let key = claim_cache::key(self.cluster.kubectl, namespace, wanted.claim.as_str());
        let known = claim_cache::of(self.cluster.cache, &key);
        let name = claim.volume().map(|name| name.to_string()).unwrap_or_default();
        if let Some(volume) = volume {
            check::volume(claim, volume, &typed(self.cluster, None))?;
            if volume.is_being_deleted() {
                self.warn(format!(
                    "somebody deleted the volume `{name}`: it and its data go as soon as its claim does"
                ));
            }
        } else if !name.is_empty() && !wanted.given && known.warned_hidden != name {
            self.warn(format!(
                "you may not look at the volume `{name}`, so it is not known whether the data outlive the claim; an administrator sees it with `kubectl mrunner storage check`"
            ));
            self.remember(&key, CacheChange::WarnedHidden(name));
        }
        if usable == Usable::OnOneNode && !wanted.pinned {
            let nodes = self.count_nodes()?.unwrap_or(0);
            if nodes != 1 {
                return Err(check::needs_one_node(wanted.claim.as_str(), nodes).into());
            }
        }
        answers.probe = self.probe_of(request, claim, usable, known.tried)?;
        if wanted.given {
            return Ok(());
        }
        answers.keep = volume
            .and_then(|volume| check::keep(claim, volume, &request.project))
            .filter(|(name, _)| known.warned_reclaim != name.as_str());
        if wanted.size_is_given && claim.is_smaller(&wanted.size) && known.warned_size != wanted.size.as_str() {
            answers.grow = self.can_grow(claim, request)?;
            if !answers.grow {
                self.remember(&key, CacheChange::WarnedSize(wanted.size.as_str().to_owned()));
            }
        }
        Ok(())
    }

    /// The number of nodes on which to test the volume; `None` if the result is known or does not matter. `tried`
    /// is when this machine last tested it.
    fn probe_of(
        &mut self,
        request: &RunRequest,
        claim: Claim,
        usable: Usable,
        tried: Option<i64>,
    ) -> Result<Option<usize>> {
        let (namespace, wanted) = (&request.namespace, &request.storage);
        match proof(self.cluster, namespace, claim) {
            // one node shares every volume with itself
            _ if wanted.pinned => Ok(None),
            Some(proof) if !proof.shared => Err(not_shared(claim, &proof.nodes, &request.project, namespace).into()),
            Some(_) => Ok(None),
            None if usable == Usable::OnOneNode || !wanted.probe => Ok(None),
            // by this machine's clock, which may have been set back since then
            None if tried.is_some_and(|then| (0..TRIED_AGAIN).contains(&(Utc::now().timestamp() - then))) => Ok(None),
            None if self.count_nodes()? != Some(1) => Ok(Some(2)),
            None => {
                // the nodes are not counted by each run
                let key = claim_cache::key(self.cluster.kubectl, namespace, wanted.claim.as_str());
                self.remember(&key, CacheChange::Tried(Utc::now().timestamp()));
                Ok(None)
            }
        }
    }

    fn count_nodes(&self) -> Result<Option<usize>> {
        let Some(nodes) = self.cluster.nodes()? else { return Ok(None) };
        Ok(Some(nodes.iter().filter(|node| Node::of(node).is_schedulable()).count()))
    }

    /// Whether the claim's class allows resizing; reports if it does not.
    fn can_grow(&mut self, claim: Claim, request: &RunRequest) -> Result<bool> {
        let Some(class) = claim.class() else { return Ok(false) };
        let what = [Resource::StorageClass.named(class)];
        let why = format!("read the storage class `{class}`");
        let cmd = self.cluster.kubectl.get_named(Scope::Everywhere, &what, why);
        let reply = self.cluster.read(&cmd)?;
        let object = kubectl::objects(&reply, &cmd).ok().and_then(|mut found| found.pop());
        // a user who can't read the class may still be allowed to resize
        let grows = object.is_none_or(|class| StorageClass::of(&class).can_expand());
        if !grows {
            let asked = claim.requested().unwrap_or_default();
            self.warn(format!(
                "the claim `{}` has {asked}, less than the context's `default_pvc_size: {}`, and its class `{class}` lets no claim grow",
                request.storage.claim, request.storage.size
            ));
        }
        Ok(grows)
    }

    fn check_namespace(&self, object: NamespaceObject, request: &RunRequest) -> Result<(), Fail> {
        let namespace = &request.namespace;
        if object.is_being_deleted() {
            return Err(fail(format!("the namespace `{namespace}` is being deleted")).hint(format!(
                "run again when it is gone: `{} get namespace {namespace}`",
                typed(self.cluster, None)
            )));
        }
        match object.project() {
            Some(other) if request.own_namespace && other != request.project => Err(fail(format!(
                "the namespace `{namespace}` belongs to the project `{other}`, not to `{}`",
                request.project
            ))
            .hint("name the project otherwise with `--project NAME`, or a namespace with `-n NAME`")),
            _ => Ok(()),
        }
    }

    /// The claim to create, and on how many nodes pods can run.
    fn choose(&self, request: &RunRequest) -> Result<(Choice, Option<usize>)> {
        let (objects, volumes, server) = thread::scope(|scope| {
            let cluster = self.cluster;
            let volumes = scope.spawn(move || volumes_of(cluster, &request.project));
            let server = scope.spawn(move || server(cluster));
            (self.classes_and_nodes(), join(volumes), join(server))
        });
        let (forbidden, objects) = objects?;
        let classes: Vec<Class> = objects.iter().filter_map(Class::from_object).collect();
        let nodes = objects.iter().map(Node::of).filter(|node| node.kind() == "Node" && node.is_schedulable()).count();
        let wanted = &request.storage;
        let choice = choose(&World {
            project: &request.project,
            namespace: &request.namespace,
            claim: wanted.claim.as_str(),
            wanted: wanted.class.as_deref(),
            nfs: wanted.nfs.as_ref().map(|nfs| (nfs.server.as_str(), nfs.path.as_str())),
            classes: (!forbidden || !classes.is_empty()).then_some(&classes),
            one_node: wanted.pinned || nodes == 1,
            volumes: &volumes?,
            server: server?.as_deref(),
        })?;
        Ok((choice, Some(nodes).filter(|nodes| *nodes > 0)))
    }

    fn classes_and_nodes(&self) -> Result<(bool, Vec<Value>)> {
        let why = "read the storage classes and nodes";
        let cmd = self.cluster.kubectl.get(Scope::Everywhere, &["storageclasses,nodes"], None, why);
        let reply = self.cluster.read(&cmd)?;
        let forbidden = kubectl::refusal(&reply.stderr) == Some(Refusal::Forbidden);
        if !reply.succeeded() && !forbidden {
            return Err(self.cluster.kubectl.failure(&reply, &cmd).into());
        }
        // kubectl prints the objects that the user can read
        Ok((forbidden, kubectl::objects(&reply, &cmd)?))
    }
}

/// kubectl with its flags, as it would be typed.
fn typed(cluster: Cluster, namespace: Option<&Namespace>) -> String {
    cluster.kubectl.cmd(namespace.map_or(Scope::Everywhere, Scope::In), "").to_string()
}
