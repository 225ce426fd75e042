//! Finds the volume that an argument refers to: from the run's Job, from what this machine remembers of the run, or
//! from the project.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::app::target::{Target, typed};
use crate::k8s::claim::Claim;
use crate::k8s::job::Job;
use crate::k8s::manifests::RUN;
use crate::k8s::manifests::claim::AccessMode;
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::names::{ClaimName, Namespace};
use crate::k8s::object::{Object, Resource};
use crate::k8s::pod::{Pod, PodPhase};
use crate::ops::claim_cache;
use crate::ops::project_request::project_request;
use crate::ops::run_ref::{lookup, run_name};
use crate::request::{ImageRequest, RunFlags, RunRequest};
use crate::runs::run_name_cache;
use crate::runs::state::Run;
use crate::storage::check;
use crate::storage::image::{self, helper_image};
use crate::tools::kubectl::{self, Scope};
use crate::transfer::source::Source;
use crate::transfer::{VolumeAccess, shown};
use crate::util::error::{Fail, fail, usage};

/// The flags of the verbs that access the storage.
#[derive(Debug, Clone, Default, Args)]
pub struct VolumeArgs {
    /// Project whose storage to use
    #[arg(long, value_name = "NAME")]
    pub project: Option<String>,
    /// Image of the helper pod; needs Python 3
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
}

impl VolumeArgs {
    /// Flags with only a project.
    pub fn of_project(project: Option<String>) -> Self {
        Self { project, image: None }
    }

    /// Whether the flags set the project.
    pub fn names_project(&self) -> bool {
        self.project.is_some()
    }
}

/// A path in a volume.
#[derive(Debug)]
pub struct LocatedVolume {
    /// The volume.
    pub access: VolumeAccess,
    /// The parsed argument.
    pub source: Source,
    /// The project.
    pub project: String,
    /// The run, if its Job exists.
    pub run: Option<Run>,
    /// The runs of the namespace that may still write to their folders.
    busy: BTreeSet<String>,
}

impl LocatedVolume {
    /// The path as the user would write it.
    pub fn shown(&self, path: &[u8]) -> String {
        match &self.source {
            Source::Run { .. } => shown(path),
            Source::Project { .. } => shown(&[self.project.as_bytes(), b":", path].concat()),
        }
    }

    /// An error if `path` is in the folder of a run that has not ended, or whose pods have not.
    pub fn require_idle(&self, path: &[u8], app: &App, target: &Target) -> Result<(), Fail> {
        let first = path.split(|&b| b == b'/').next().unwrap_or_default();
        let Some(run) = self.busy.iter().find(|run| run.as_bytes() == first) else { return Ok(()) };
        let namespace = self.access.namespace.as_str();
        let pods = target.kubectl.cmd(Scope::In(&self.access.namespace), "");
        Err(fail(format!("the run `{run}` goes on, and writes there"))
            .hint(format!("end it with `{}`", typed(app, target, &["delete", "-n", namespace, run])))
            .hint(format!("if it was deleted or has ended, wait for its pods: `{pods} get pods -l {RUN}={run}`")))
    }

    /// The error for a path that does not exist.
    pub fn missing(&self, app: &App, target: &Target) -> Fail {
        let (claim, path) = (&self.access.claim, self.source.path());
        let error = fail(format!("there is no `{}` in the storage (claim `{claim}`)", self.shown(path)));
        let root = format!("{}:", self.project);
        let namespace = self.access.namespace.as_str();
        let own = Namespace::of_project(&self.project) == self.access.namespace;
        let words: &[&str] = if own { &["ls", &root] } else { &["ls", "-n", namespace, &root] };
        error.hint(format!("see what there is with `{}`", typed(app, target, words)))
    }
}

/// Parses `word`.
pub fn parse(word: &OsStr) -> Result<Source, Fail> {
    match word.to_str() {
        Some(text) => Source::parse(OsStr::new(run_name(text))),
        None => Source::parse(word),
    }
}

/// How a volume is looked for.
#[derive(Clone, Copy)]
struct Search<'a> {
    args: &'a VolumeArgs,
    app: &'a App,
    target: &'a Target,
    read_only: bool,
}

/// Finds the volume. `read_only` is whether it is only read.
pub fn find(word: &OsString, args: &VolumeArgs, app: &App, target: &Target, read_only: bool) -> Result<LocatedVolume> {
    target.require_cluster()?;
    let search = Search { args, app, target, read_only };
    match parse(word)? {
        Source::Run { run, path } => of_run(Source::Run { run: run.clone(), path }, &run, &search),
        Source::Project { project, path, folder } => {
            let project = project.or_else(|| args.project.clone());
            let source = Source::Project { project: project.clone(), path, folder };
            of_project(source, project, target.namespace.clone(), &search)
        }
    }
}

fn of_run(source: Source, name: &str, search: &Search) -> Result<LocatedVolume> {
    let Search { args, app, target, .. } = *search;
    let lookup = lookup(app, target)?;
    if let Some(run) = lookup.find(name)?.filter(|run| !run.job.is_null()) {
        return of_job(source, run, search);
    }
    let remembered = run_name_cache::all(&app.places.cache).into_iter().find(|seen| seen.run == name);
    let project = args.project.clone().or_else(|| remembered.as_ref().map(|seen| seen.project.clone()));
    let namespace = target.namespace.clone();
    let namespace = namespace.or_else(|| remembered.and_then(|seen| Namespace::given(&seen.namespace)));
    let named = project.is_some() || target.namespace.is_some();
    // the project's own namespace counts as no flag: its claim has the usual name
    let namespace = namespace.filter(|namespace| {
        target.namespace.is_some() || project.as_ref().is_none_or(|p| Namespace::of_project(p) != *namespace)
    });
    let found = of_project(source, project, namespace, search);
    // the run may be in this project
    found.map_err(|error| match lookup.run(name) {
        Err(unknown) if !named => fail("no storage is known to hold it")
            .because(&unknown)
            .fact("storage", crate::util::error::flatten(&error).message)
            .hint("if its Job is gone, name its project with `--project NAME`")
            .into(),
        _ => error,
    })
}

/// The volume of an existing Job: the one that its pods use.
fn of_job(source: Source, run: Run, search: &Search) -> Result<LocatedVolume> {
    let Search { args, app, target, read_only } = *search;
    let pod = Job::of(&run.job).pod_spec();
    let claim = pod.claim().and_then(ClaimName::given);
    let (Some(claim), Some(namespace)) = (claim, Namespace::given(&run.namespace)) else {
        return Err(fail(format!("the run `{}` has no storage", run.name)).into());
    };
    let id = |id: Option<i64>| id.and_then(|id| u32::try_from(id).ok()).unwrap_or(1000);
    let selector = pod.node_selector().into_iter().flatten();
    let access = VolumeAccess {
        namespace,
        claim,
        image: args.image.clone().unwrap_or_else(|| helper_image(std::slice::from_ref(&run.job), None, None)),
        run_as: (id(pod.run_as_user()), id(pod.run_as_group())),
        node_selector: selector.filter_map(|(k, v)| Some((k.clone(), v.as_str()?.to_owned()))).collect(),
        node: None,
        tolerations: pod.tolerations().to_vec(),
        pod: PodMetadata::of(&run.job),
        service_account: pod.service_account().map(str::to_owned),
        image_pull_secret: pod.image_pull_secret().map(str::to_owned),
    };
    let (claim, objects) = look(app, target, &access)?;
    let access = VolumeAccess { node: usable(claim.as_ref(), &objects, None, &access, target, read_only)?, ..access };
    let project = run.project.clone();
    Ok(LocatedVolume { access, source, project, run: Some(run), busy: busy(&objects) })
}

/// The volume of a project, found like in `run`.
fn of_project(
    source: Source,
    project: Option<String>,
    namespace: Option<Namespace>,
    search: &Search,
) -> Result<LocatedVolume> {
    let Search { args, app, read_only, .. } = *search;
    let target = &Target { namespace, ..search.target.clone() };
    let wishes = RunFlags { project, image: Some("none".to_owned()), ..RunFlags::default() };
    let request = project_request(wishes, app, target)?;
    let mut access = VolumeAccess {
        namespace: request.namespace,
        claim: request.storage.claim,
        image: String::new(),
        run_as: request.run_as,
        node_selector: request.node_selector,
        node: None,
        tolerations: request.tolerations,
        pod: request.pod,
        service_account: request.service_account,
        image_pull_secret: request.image_pull_secret,
    };
    let (claim, objects) = look(app, target, &access)?;
    let project = (!request.storage.given).then_some(&*request.project);
    if claim.is_none() {
        let error = fail(format!(
            "the project `{}` has no storage: there is no claim `{}` in the namespace `{}`",
            request.project, access.claim, access.namespace
        ));
        let typed = target.kubectl.cmd(Scope::In(&access.namespace), "");
        let error = if request.named_by_folder {
            error.hint("the project's name is that of this folder: name another one with `--project NAME`")
        } else {
            error
        };
        return Err(error.hint(format!("see the claims with `{typed} get pvc`")).into());
    }
    access.node = usable(claim.as_ref(), &objects, project, &access, target, read_only)?;
    let busy = busy(&objects);
    let is_run = |object: &Value| Object::of(object).kind() == "Job" && Object::of(object).label(RUN).is_some();
    let jobs: Vec<Value> = objects.into_iter().filter(is_run).collect();
    let key = claim_cache::key(&target.kubectl, &access.namespace, access.claim.as_str());
    let found = || image_of(&jobs, claim.as_ref().map(Claim::of), &key, &request.project, app, target);
    access.image = args.image.clone().unwrap_or_else(found);
    Ok(LocatedVolume { access, source, project: request.project, run: None, busy })
}

/// The runs that may still write: their Jobs have not ended, or one of their pods still exists.
pub(crate) fn busy(objects: &[Value]) -> BTreeSet<String> {
    let ended = |object: &Value| match Object::of(object).kind() {
        "Job" => Job::of(object).is_over(),
        _ => Pod::of(object).is_over(),
    };
    let run = |object: &Value| Object::of(object).label(RUN).map(str::to_owned);
    objects.iter().filter(|object| !ended(object)).filter_map(run).collect()
}

/// The image for a pod that needs only a shell and the project's volume.
pub fn image_for(request: &RunRequest, claim: Option<Claim>, app: &App, target: &Target) -> String {
    let why = "see which images the project's runs have";
    let cmd = target.kubectl.get(Scope::In(&request.namespace), &["jobs"], Some(RUN), why);
    let jobs = app.shell.read(&cmd).ok().and_then(|reply| kubectl::objects(&reply, &cmd).ok()).unwrap_or_default();
    let key = claim_cache::key(&target.kubectl, &request.namespace, request.storage.claim.as_str());
    image_of(&jobs, claim, &key, &request.project, app, target)
}

/// The helper's image: by the project's runs and claim, else by what this machine remembers of the claim under `key`,
/// else by what the nodes say they have.
fn image_of(jobs: &[Value], claim: Option<Claim>, key: &str, project: &str, app: &App, target: &Target) -> String {
    let known = helper_image(jobs, claim, None);
    if known != image::USUAL {
        return known;
    }
    let image = claim_cache::of(&app.places.cache, key).image;
    if !image.is_empty() {
        return image;
    }
    let wishes = RunFlags { project: Some(project.to_owned()), ..RunFlags::default() };
    let prefix = project_request(wishes, app, target).ok().and_then(|request| match request.image {
        ImageRequest::Built(build) => build.repository.as_str().rsplit_once('/').map(|(own, _)| format!("{own}/")),
        ImageRequest::Given(_) => None,
    });
    let cmd = target.kubectl.get(Scope::Everywhere, &["nodes"], None, "see which images the nodes have");
    // a user without permission gets the usual image
    let nodes = app.shell.read(&cmd).ok().and_then(|reply| kubectl::objects(&reply, &cmd).ok()).unwrap_or_default();
    let base = target.remote.as_ref().and_then(|remote| remote.base_image.clone());
    image::on_nodes(&nodes, prefix.as_deref()).or(base).unwrap_or(known)
}

/// The claim, and the Jobs and pods of its namespace.
fn look(app: &App, target: &Target, access: &VolumeAccess) -> Result<(Option<Value>, Vec<Value>)> {
    let scope = Scope::In(&access.namespace);
    let named = [Resource::Claim.named(access.claim.as_str())];
    let claim = target.kubectl.get_named(scope, &named, "look at the project's storage");
    let users = target.kubectl.get(scope, &["jobs,pods"], None, "see who uses the project's storage");
    let ask = |cmd| {
        let reply = app.shell.read(cmd)?;
        if reply.succeeded() { kubectl::objects(&reply, cmd) } else { Err(target.kubectl.failure(&reply, cmd).into()) }
    };
    // in parallel
    std::thread::scope(|scope| {
        let users = scope.spawn(|| ask(&users));
        let claim = ask(&claim)?.pop();
        let users = users.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        Ok((claim, users))
    })
}

/// Whether the claim can be used, and the only node on which it can be used, if it is in use there.
fn usable(
    claim: Option<&Value>,
    objects: &[Value],
    project: Option<&str>,
    access: &VolumeAccess,
    target: &Target,
    read_only: bool,
) -> Result<Option<String>, Fail> {
    let Some(claim) = claim.map(Claim::of) else {
        return Err(fail(format!("the claim `{}` in the namespace `{}` is gone", access.claim, access.namespace)));
    };
    let typed = target.kubectl.cmd(Scope::In(&access.namespace), "").to_string();
    let check = if read_only { check::claim_to_read } else { check::claim };
    if check(claim, project, &typed)? == check::Usable::Anywhere {
        return Ok(None);
    }
    if claim.modes().has(AccessMode::ReadWriteOncePod)
        && let Some(user) = users(objects, access).next()
    {
        let name = user.name();
        return Err(usage(format!("the claim `{}` is for one pod at a time, and `{name}` has it", access.claim))
            .hint("wait for its end"));
    }
    Ok(users(objects, access).find_map(Pod::node).map(str::to_owned))
}

/// The pods that use the claim.
fn users<'a>(objects: &'a [Value], access: &'a VolumeAccess) -> impl Iterator<Item = Pod<'a>> {
    objects.iter().map(Pod::of).filter(|pod| {
        matches!(pod.phase(), Some(PodPhase::Running | PodPhase::Pending))
            && pod.spec().volumes().any(|volume| volume.claim() == Some(access.claim.as_str()))
    })
}
