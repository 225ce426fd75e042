//! What a run is, with every default and precedence rule applied once: flag, experiment file,
//! remote context, default. After this no flag is seen again.

mod defaults;
mod image;
mod parameters;
mod secrets;
pub mod sweep;
mod sweep_request;

use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::config::contexts::Nfs;
use crate::config::{Experiment, RemoteContext, Resources};
use crate::k8s::accelerators::Want;
use crate::k8s::manifests::failure::Failure;
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::names::{ClaimName, Namespace, RunId, RunName};
use crate::k8s::provider::Local;
use crate::k8s::quantity::Quantity;
use crate::request::defaults::{accelerators, limits, queue, registry_login, shm, storage};
use crate::request::parameters::ParamTemplate;
use crate::request::sweep::{Factor, Point, Selection, Sweep};
use crate::util::error::{Fail, usage};

pub use image::{BuildRequest, ImageRequest, LOCAL_HOST, Sources};
pub use secrets::SecretVariable;
pub use sweep_request::{PointRequest, SweepRequest};

/// How many points run at the same time if nobody says otherwise: what a namespace of a usual cluster
/// bears without being asked.
const PARALLEL: u32 = 100;

/// User and group of an experiment if nobody says otherwise; not root, for Pod Security `restricted`.
const RUN_AS: (u32, u32) = (1000, 1000);

/// The flags of `run` that describe the experiment.
#[derive(Debug, Clone, Default)]
pub struct RunFlags {
    /// `--name`
    pub name: Option<String>,
    /// `--project`
    pub project: Option<String>,
    /// `--tags`
    pub tags: Vec<String>,
    /// `--requirements`
    pub requirements: Option<PathBuf>,
    /// `--base_image`
    pub base_image: Option<String>,
    /// `--image`
    pub image: Option<String>,
    /// `--registry`
    pub registry: Option<String>,
    /// `--template`
    pub template: Option<PathBuf>,
    /// `--platform`
    pub platform: Option<String>,
    /// `--pull`
    pub pull: bool,
    /// `--storage-class`
    pub storage_class: Option<String>,
    /// `--storage-claim`
    pub storage_claim: Option<String>,
    /// `--cpu`, `--mem`, `--gpu`
    pub resources: Resources,
    /// `--retries`, `--no-retry-on`, `--max-failed`, `--time-limit`, `--deadline`
    pub failure: Failure,
    /// `--env-file`, `--secret-env`, in this order
    pub secret_env: Vec<SecretVariable>,
    /// The files of `--env-file`, by every name below the folder that they have there
    pub secret_files: Vec<String>,
    /// `--build-secret`
    pub build_secrets: Vec<String>,
    /// `--shm`
    pub shm: Option<Quantity>,
    /// `--queue`
    pub queue: Option<String>,
    /// `--grid`, `--zip`, `--sweep`: instead of the experiment file's `sweep`.
    pub factors: Vec<Factor>,
    /// `--shuffle`, `--limit`, `--points`
    pub selection: Selection,
    /// `--parallel`
    pub parallel: Option<u32>,
    /// `--points-per-pod`
    pub per_pod: Option<u32>,
    /// The script, as typed.
    pub script: String,
    /// The script's own arguments.
    pub args: Vec<String>,
}

/// The world that a request is made in.
#[derive(Debug, Clone)]
pub struct RunEnv {
    /// The folder that is taken.
    pub folder: PathBuf,
    /// Random bytes for the run's identity.
    pub random: [u8; 16],
    /// Now.
    pub now: DateTime<Utc>,
    /// The namespace that the user or the remote context names.
    pub namespace: Option<Namespace>,
    /// The cluster, if it is one on this machine that takes images without a registry.
    pub local: Option<Local>,
    /// What this machine's programs are built for, such as `linux/arm64`.
    pub machine: String,
}

/// A run, wholly described.
#[derive(Debug, Clone)]
pub struct RunRequest {
    /// Its identity.
    pub id: RunId,
    /// Its name.
    pub run: RunName,
    /// The experiment's raw name.
    pub experiment: String,
    /// The project's raw name.
    pub project: String,
    /// Whether nobody named the project, so that it has the folder's name.
    pub named_by_folder: bool,
    /// The namespace.
    pub namespace: Namespace,
    /// Whether the namespace is the project's own, to be made if missing.
    pub own_namespace: bool,
    /// Raw tags, in order, none twice.
    pub tags: Vec<String>,
    /// Its image.
    pub image: ImageRequest,
    /// The script, as it is called below the folder.
    pub script: String,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Its parameters, by name.
    pub params: Value,
    /// Its points, where it has several.
    pub sweep: Option<SweepRequest>,
    /// Variables for it.
    pub env: Vec<(String, String)>,
    /// Variables for it that a Secret holds.
    pub secret_env: Vec<SecretVariable>,
    /// The project's storage.
    pub storage: StorageRequest,
    /// Limits, by Kubernetes' names for the resources.
    pub limits: Vec<(String, Quantity)>,
    /// GPUs and TPUs for each pod.
    pub accelerators: Vec<Want>,
    /// User and group.
    pub run_as: (u32, u32),
    /// Labels that a node must have.
    pub node_selector: Vec<(String, String)>,
    /// Taints it tolerates.
    pub tolerations: Vec<Value>,
    /// Labels and annotations of its pods.
    pub pod: PodMetadata,
    /// Size of its `/dev/shm`; as large as its memory limit if nobody says.
    pub shm: Option<Quantity>,
    /// Its queue.
    pub queue: Option<String>,
    /// Its service account.
    pub service_account: Option<String>,
    /// A Secret in the cluster that holds its login for the registry.
    pub image_pull_secret: Option<String>,
    /// The login that docker uses, and that the cluster gets if it has no such Secret.
    pub registry_login: Option<RegistryLogin>,
    /// Whether its logs are kept on the volume; `None` where that costs the experiment nothing.
    pub keep_logs: Option<bool>,
    /// How much of the log of one attempt is kept.
    pub keep_logs_max: Option<Quantity>,
    /// What becomes of a point that fails or takes too long.
    pub failure: Failure,
}

/// The storage of a run's project.
#[derive(Debug, Clone)]
pub struct StorageRequest {
    /// Where it is mounted.
    pub mount: String,
    /// The claim's name.
    pub claim: ClaimName,
    /// Whether the user named the claim, so that it is used as it is.
    pub given: bool,
    /// The class that a new claim should have.
    pub class: Option<String>,
    /// The NFS server that the context names.
    pub nfs: Option<Nfs>,
    /// The size of a new claim.
    pub size: Quantity,
    /// Whether the context says so, so that a smaller claim should grow.
    pub size_is_given: bool,
    /// Whether nodes try a volume that nobody has tried.
    pub probe: bool,
    /// Whether the context pins its pods to one node.
    pub pinned: bool,
}

impl RunRequest {
    /// Applies every rule. Pure.
    pub fn new(
        flags: RunFlags,
        experiment: Option<&Experiment>,
        remote: Option<&RemoteContext>,
        run_env: &RunEnv,
    ) -> Result<Self, Fail> {
        let file = experiment.cloned().unwrap_or_default();
        let id = RunId::from_bytes(run_env.random);
        let Names { experiment, project, named_by_folder, namespace, own_namespace } =
            Names::of(&flags, &file, remote, run_env)?;
        let neptune = remote.is_some_and(|r| r.neptune);
        let mut command = program(&flags.script, neptune);
        let sweep = swept(&flags, &file, &command)?;
        let params = if sweep.is_some() {
            json!({})
        } else {
            let (params, words) = ParamTemplate::new(&file.parameters, &[], &flags.args)?.of(&Point::new())?;
            command.extend(words);
            params
        };
        command.extend(flags.args.iter().cloned());
        let image = image::resolve(&flags, &file, remote, run_env, &project, &experiment)?;
        let registry_login = registry_login(remote, &image)?;
        let limits = limits(&flags.resources, &file.resources, remote.map(|r| &r.resources));
        let node_selector = remote.map(|r| r.node_selector.clone()).unwrap_or_default();
        Ok(Self {
            run: RunName::new(&experiment, &id),
            id,
            accelerators: accelerators(&flags.resources, &file.resources, remote.map(|r| &r.resources)),
            storage: storage(&flags, remote, &project, own_namespace, &node_selector)?,
            experiment,
            project,
            named_by_folder,
            namespace,
            own_namespace,
            tags: tags(&flags, &file, remote),
            image,
            script: flags.script,
            command,
            params,
            sweep,
            env: env(&file, remote),
            secret_env: secrets::resolve(&flags.secret_env)?,
            run_as: remote.and_then(|r| r.run_as.as_ref()).map_or(RUN_AS, |r| (r.user, r.group)),
            node_selector,
            tolerations: remote.map(|r| r.tolerations.clone()).unwrap_or_default(),
            pod: remote.map(|r| PodMetadata::new(&r.pod_labels, &r.pod_annotations)).unwrap_or_default(),
            shm: shm(&limits, flags.shm.clone().or(file.shm).or_else(|| remote.and_then(|r| r.shm.clone())))?,
            limits,
            queue: flags.queue.map(queue).transpose()?.or_else(|| remote.and_then(|r| r.queue.clone())),
            service_account: remote.and_then(|r| r.service_account.clone()),
            image_pull_secret: remote.and_then(|r| r.image_pull_secret.clone()),
            registry_login,
            keep_logs: remote.and_then(|r| r.keep_logs),
            keep_logs_max: remote.and_then(|r| r.keep_logs_max.clone()),
            failure: flags.failure,
        })
    }

    /// The resolved configuration, as the Job's annotation keeps it.
    pub fn config(&self) -> Value {
        let mut limits: Map<_, _> = self.limits.iter().map(|(k, q)| (k.clone(), q.as_str().into())).collect();
        for Want { tpu, kind, count } in &self.accelerators {
            let kind = kind.as_ref().map(|kind| format!("{kind}:")).unwrap_or_default();
            limits.insert(if *tpu { "tpu" } else { "gpu" }.to_owned(), format!("{kind}{count}").into());
        }
        let mut config = Map::new();
        let mut put = |key: &str, value: Value| _ = config.insert(key.to_owned(), value);
        put("command", json!(self.command));
        put("params", self.params.clone());
        put("resources", Value::Object(limits));
        put("storage", self.storage.mount.as_str().into());
        put("claim", self.storage.claim.as_str().into());
        put("failure", self.failure.config());
        if !self.pod.is_empty() {
            put("pod", json!(self.pod));
        }
        if let Some(shm) = &self.shm {
            put("shm", shm.as_str().into());
        }
        if let Some(sweep) = &self.sweep {
            let (points, names) = (sweep.points.len(), sweep.points.names());
            put("sweep", json!({ "points": points, "parameters": names, "perPod": sweep.per_pod }));
        }
        Value::Object(config)
    }
}

/// What a run, its project and its namespace are called.
struct Names {
    experiment: String,
    project: String,
    named_by_folder: bool,
    namespace: Namespace,
    own_namespace: bool,
}

impl Names {
    fn of(flags: &RunFlags, file: &Experiment, remote: Option<&RemoteContext>, run_env: &RunEnv) -> Result<Self, Fail> {
        let folder_name = || run_env.folder.file_name().map_or("default".into(), |n| n.to_string_lossy().into_owned());
        let stem = Path::new(&flags.script).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let experiment = one_of("name", [flags.name.clone(), file.name.clone()])?.unwrap_or(stem);
        let project = [flags.project.clone(), file.project.clone(), remote.and_then(|r| r.project.clone())];
        let project = one_of("project", project)?;
        let named_by_folder = project.is_none();
        let project = project.unwrap_or_else(folder_name);
        let own_namespace = run_env.namespace.is_none();
        let namespace = run_env.namespace.clone().unwrap_or_else(|| Namespace::of_project(&project));
        let taken = namespace.as_str().starts_with("kube-").then_some("Kubernetes' own");
        let taken = taken.or((namespace == Namespace::nfs_server()).then_some("the NFS server's"));
        match taken {
            Some(whose) if own_namespace => Err(usage(format!(
                "the project `{project}` would live in the namespace `{namespace}`, which is {whose}"
            ))
            .hint("name the project otherwise with `--project NAME`")),
            _ => Ok(Self { experiment, project, named_by_folder, namespace, own_namespace }),
        }
    }
}

/// The tags of the flags, the experiment file and the context, in this order, none twice.
fn tags(flags: &RunFlags, file: &Experiment, remote: Option<&RemoteContext>) -> Vec<String> {
    let mut tags: Vec<String> = Vec::new();
    for tag in flags.tags.iter().chain(&file.tags).chain(remote.iter().flat_map(|r| &r.tags)) {
        if !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

/// The variables of the context and of the experiment file, which comes first.
fn env(file: &Experiment, remote: Option<&RemoteContext>) -> Vec<(String, String)> {
    let mut env: Vec<(String, String)> = remote.map(|r| r.env.clone()).unwrap_or_default();
    for (name, value) in &file.env {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    env
}

/// The sweep that the flags describe, else the experiment file.
fn swept(flags: &RunFlags, file: &Experiment, program: &[String]) -> Result<Option<SweepRequest>, Fail> {
    let factors = match &file.sweep {
        Some(table) if flags.factors.is_empty() => crate::request::sweep::factors(table)?,
        _ => flags.factors.clone(),
    };
    if factors.is_empty() {
        let asked = flags.selection != Selection::default() || flags.parallel.is_some() || flags.per_pod.is_some();
        if asked || flags.failure.max_failed.is_some() {
            return Err(usage("there is no sweep to take points of").hint(
                "describe one, such as with `--grid lr=0.1,0.01`, `--sweep FILE`, or `sweep` in the experiment file",
            ));
        }
        return Ok(None);
    }
    let points = Sweep::new(factors, &flags.selection)?;
    let template = ParamTemplate::new(&file.parameters, &points.names(), &flags.args)?;
    let parallel = flags.parallel.unwrap_or(PARALLEL);
    let per_pod = flags.per_pod.unwrap_or(1);
    Ok(Some(SweepRequest { points, parallel, per_pod, template, program: program.to_vec(), args: flags.args.clone() }))
}

/// The first that is given; an empty one is a mistake, not an absence.
fn one_of<const N: usize>(what: &str, candidates: [Option<String>; N]) -> Result<Option<String>, Fail> {
    let first = candidates.into_iter().flatten().next();
    match &first {
        Some(name) if name.trim().is_empty() => {
            Err(usage(format!("the {what} is empty")).hint(format!("give one, such as `--{what} baseline`")))
        }
        Some(name) if name.contains('\0') => Err(usage(format!("the {what} has a NUL character"))),
        _ => Ok(first),
    }
}

/// How a script is started.
fn program(script: &str, neptune: bool) -> Vec<String> {
    let words: &[&str] = match Path::new(script).extension().and_then(|e| e.to_str()) {
        _ if neptune => &["neptune", "run"],
        Some("py") => &["python"],
        Some("sh") => &["sh"],
        _ => &[],
    };
    let mut command: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
    // exec looks a bare name up on PATH, and the script is in the working folder
    let bare = words.is_empty() && !script.contains('/');
    command.push(if bare { format!("./{script}") } else { script.to_owned() });
    command
}
