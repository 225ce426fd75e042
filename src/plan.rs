//! What will be done, whole, before anything is: a value that can be printed, saved, journalled and
//! tested. Pure.

use std::ffi::OsString;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::accelerators::{Placement, affinity};
use crate::error::{Fail, usage};
use crate::image::ImageSpec;
use crate::names::{ClaimName, Namespace, RunId, RunName, VolumeName};
use crate::objects::helper_pod::HelperPod;
use crate::objects::job::JobSweep;
use crate::objects::points::{Lines, line};
use crate::objects::pull_secret::RegistryLogin;
use crate::objects::{RAW_PROJECT, RAW_TAGS, job, namespace, pretty, probe, secret_env};
use crate::provider::Local;
use crate::quantity::Quantity;
use crate::request::{BuildRequest, ImageRequest, RunRequest, SecretVariable, Sources, SweepRequest};
use crate::seen::Seen;
use crate::storage::choose::Choice;
use crate::storage::steps::{Owner, StorageSteps};
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, Patch, Scope};
use crate::tools::{docker, gcloud, local};

/// All annotations of an object together (kubernetes/apimachinery, `pkg/api/validation/objectmeta.go`).
const ANNOTATIONS_MAX: usize = 256 << 10;

/// The plan of one run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The run's name.
    pub run: RunName,
    /// Its identity.
    pub id: RunId,
    /// Where it goes.
    pub namespace: Namespace,
    /// The cluster.
    pub kubectl: Kubectl,
    /// The kubeconfig's files as `$KUBECONFIG` has them, absolute; set before it is journalled.
    pub kubeconfig: OsString,
    /// Its image.
    pub image: PlannedImage,
    /// What lets docker into the registry, where nothing does.
    pub login: Option<Login>,
    /// The login that the cluster gets.
    pub pull_secret: Option<RegistryLogin>,
    /// The namespace, where it is missing.
    pub new_namespace: Option<Value>,
    /// What is done to the project's storage.
    pub storage: StorageSteps,
    /// The Job that tries the volume first, where nobody has; its image is that of the run.
    pub probe: Option<Value>,
    /// The variables that a Secret will hold; what they hold is kept nowhere.
    #[serde(default)]
    pub secret_env: Vec<SecretVariable>,
    /// The points of a sweep, for `ConfigMap`s that its Job owns.
    pub points: Option<Lines>,
    /// The Job; its image is final only after [`Plan::final_job`].
    pub job: Value,
}

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

/// What the world said, as far as the plan depends on it.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// The image that is to be built, and its digest where the registry has it.
    pub image: Option<(ImageSpec, Option<String>)>,
    /// The project's storage.
    pub storage: StorageAnswers,
    /// What lets docker into the registry, where nothing does yet.
    pub login: Option<Login>,
    /// Where the accelerators are.
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
    /// What is to be done.
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

impl Plan {
    /// Plans.
    ///
    /// # Errors
    /// If a point of a sweep lacks a value, or has no room in the cluster.
    pub fn new(request: &RunRequest, answers: &Answers, kubectl: &Kubectl) -> Result<Self, Fail> {
        let image = match (&request.image, &answers.image) {
            (ImageRequest::Built(build), Some((spec, None))) => PlannedImage::ToBuild(Box::new(to_build(build, spec))),
            (ImageRequest::Built(build), Some((spec, Some(_)))) if build.load.is_some() => {
                PlannedImage::Ready { reference: spec.named() }
            }
            (ImageRequest::Built(_), Some((spec, Some(digest)))) => {
                PlannedImage::Ready { reference: format!("{}@{digest}", spec.repository.as_str()) }
            }
            (ImageRequest::Given(image), _) => PlannedImage::Ready { reference: image.to_string() },
            (ImageRequest::Built(build), None) => {
                PlannedImage::Ready { reference: build.repository.as_str().to_owned() }
            }
        };
        // by key, not by digest: the hash in the Job must not depend on whether it was built before
        let named = answers.image.as_ref().map(|(spec, _)| spec.named());
        let reference = named.unwrap_or_else(|| image.reference().to_owned());
        let pull_secret = request.registry_login.clone().filter(|_| request.image_pull_secret.is_none());
        let secret_name =
            request.image_pull_secret.clone().or_else(|| pull_secret.as_ref().map(RegistryLogin::secret_name));
        let mut limits = request.limits.clone();
        let mut tolerations = request.tolerations.clone();
        for placement in &answers.placements {
            limits.extend(Quantity::parse(&placement.count.to_string()).ok().map(|n| (placement.resource.clone(), n)));
            tolerations.extend(placement.taints.iter().map(|key| json!({ "key": key, "operator": "Exists" })));
        }
        let secret_env: Vec<String> = request.secret_env.iter().map(|variable| variable.name.clone()).collect();
        let points = request.sweep.as_ref().map(lines).transpose()?;
        let sweep = request.sweep.as_ref().zip(points.as_ref());
        let sweep = sweep.map(|(sweep, lines)| JobSweep {
            points: sweep.points.len(),
            parallel: sweep.parallel,
            per_pod: sweep.per_pod,
            lines,
        });
        Ok(Self {
            run: request.run.clone(),
            id: request.id.clone(),
            namespace: request.namespace.clone(),
            kubectl: kubectl.clone(),
            kubeconfig: OsString::new(),
            new_namespace: answers
                .storage
                .namespace_missing
                .then(|| namespace::manifest(&request.namespace, &request.project)),
            storage: answers.storage.steps(request),
            probe: answers.storage.probe.map(|pods| probe_of(request, secret_name.as_deref(), pods)),
            job: job::manifest(&job::JobSpec {
                run: &request.run,
                id: &request.id,
                namespace: &request.namespace,
                project: &request.project,
                experiment: &request.experiment,
                tags: &request.tags,
                image: &reference,
                command: &request.command,
                env: &request.env,
                secret_env: &secret_env,
                params: &request.params,
                storage: &request.storage.mount,
                claim: &request.storage.claim,
                limits: &limits,
                affinity: affinity(&answers.placements).as_ref(),
                run_as: request.run_as,
                node_selector: &request.node_selector,
                tolerations: &tolerations,
                pod: &request.pod,
                shm: request.shm.as_ref(),
                queue: answers.queue.as_deref(),
                service_account: request.service_account.as_deref(),
                image_pull_secret: secret_name.as_deref(),
                keep_logs: request.keep_logs,
                keep_logs_max: request.keep_logs_max.as_ref(),
                failure: &request.failure,
                sweep,
                git_commit: answers.git_commit.as_deref(),
                config: &request.config(),
            }),
            image,
            login: answers.login.clone(),
            pull_secret,
            secret_env: request.secret_env.clone(),
            points,
        })
    }

    /// Reads what a journal holds.
    ///
    /// # Errors
    /// If it is no plan, or its Jobs lack what every Job has.
    pub fn read(text: &[u8]) -> serde_json::Result<Self> {
        let plan: Self = serde_json::from_slice(text)?;
        let has_container = |job: &Value| job["spec"]["template"]["spec"]["containers"][0].is_object();
        let is_whole = has_container(&plan.job) && plan.job["metadata"]["annotations"].is_object();
        if is_whole && plan.probe.as_ref().is_none_or(has_container) {
            return Ok(plan);
        }
        Err(serde::de::Error::custom("its Job has no container or no annotations"))
    }

    /// The project's raw name.
    pub fn project(&self) -> Option<&str> {
        self.job["metadata"]["annotations"][RAW_PROJECT].as_str()
    }

    /// The claim.
    pub fn claim(&self) -> ClaimName {
        let volumes = self.job["spec"]["template"]["spec"]["volumes"].as_array();
        let claim = volumes.and_then(|all| all.iter().find_map(|v| v["persistentVolumeClaim"]["claimName"].as_str()));
        // a Job of ours has one
        claim.and_then(ClaimName::given).unwrap_or_else(ClaimName::storage)
    }

    /// What completion remembers of the run.
    pub fn seen(&self) -> Seen {
        let annotation = |name: &str| self.job["metadata"]["annotations"][name].as_str().unwrap_or_default();
        Seen {
            run: self.run.to_string(),
            namespace: self.namespace.to_string(),
            project: annotation(RAW_PROJECT).to_owned(),
            tags: serde_json::from_str(annotation(RAW_TAGS)).unwrap_or_default(),
        }
    }

    /// An error if the API server would refuse the Job for its size, before anything is made for it.
    pub fn fits(&self) -> Result<(), Fail> {
        let annotations = self.final_job()["metadata"]["annotations"].to_string().len();
        if annotations <= ANNOTATIONS_MAX {
            return Ok(());
        }
        Err(usage(format!(
            "the script's arguments and parameters take {} KiB, and a Job has room for {} KiB of what describes it",
            annotations >> 10,
            ANNOTATIONS_MAX >> 10
        ))
        .hint("pass large values in a file of the folder"))
    }

    /// The command that builds and publishes the image, `None` where it is ready.
    pub fn build(&self, metadata: &Path, live: bool) -> Option<Cmd> {
        let PlannedImage::ToBuild(build) = &self.image else { return None };
        Some(build.cmd(metadata, live))
    }

    /// The command that loads the image into a cluster on this machine, `None` where it is published.
    pub fn load(&self) -> Option<Cmd> {
        let PlannedImage::ToBuild(build) = &self.image else { return None };
        build.load()
    }

    /// The command that gives the cluster its login, `None` where it needs none. Without a password,
    /// which only a shell knows then.
    pub fn make_pull_secret(&self, password: Option<&str>) -> Option<Cmd> {
        Some(pull_secret(&self.kubectl, &self.namespace, self.pull_secret.as_ref()?, password))
    }

    /// The command that makes the namespace, `None` where it is there.
    pub fn make_namespace(&self) -> Option<Cmd> {
        let why = format!("make the namespace `{}`", self.namespace);
        let document = pretty(self.new_namespace.as_ref()?);
        Some(self.kubectl.apply(Scope::Everywhere, "namespace.json", &document, why))
    }

    /// The command that puts the points of a sweep beside its Job, whose uid the cluster has told; `None`
    /// where there are none.
    pub fn make_points(&self, uid: &str) -> Option<Cmd> {
        let project = self.project().unwrap_or_default();
        let list = self.points.as_ref()?.manifest(&self.run, &self.namespace, project, uid);
        let why = format!("put the points of `{}` into the cluster", self.run);
        // compact, as it may be many MiB
        Some(self.kubectl.create_all(&self.namespace, "points.json", &list.to_string(), why))
    }

    /// The variables whose values are needed and kept nowhere, each once.
    pub fn variables(&self) -> Vec<&str> {
        let build = if let PlannedImage::ToBuild(build) = &self.image { build.secrets.as_slice() } else { &[] };
        let env = self.secret_env.iter().map(|variable| variable.name.as_str());
        let login = self.pull_secret.iter().map(|login| login.variable.as_str());
        let mut all: Vec<&str> = env.chain(login).chain(build.iter().map(String::as_str)).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The command that puts the Secret with the secret variables beside the Job; `None` where there are none.
    /// Without their values, which only a shell knows then.
    pub fn make_secret_env(&self, uid: &str, values: Option<&[(String, String)]>) -> Option<Cmd> {
        if self.secret_env.is_empty() {
            return None;
        }
        let project = self.project().unwrap_or_default();
        let manifest = |values: &[(String, String)]| {
            secret_env::manifest(&self.run, &self.namespace, project, uid, values).to_string()
        };
        let encoded = |(name, value): &(String, String)| (name.clone(), secret_env::encoded(value));
        let text = values.map(|values| manifest(&values.iter().map(encoded).collect::<Vec<_>>()));
        // put in behind JSON's quoting, as the shell has its own
        let names = self.secret_env.iter().map(|variable| variable.name.as_str());
        let marked: Vec<_> = names.clone().map(|name| (name.to_owned(), format!("@{name}@"))).collect();
        let typed = names.fold(manifest(&marked), |typed, name| {
            typed.replace(&format!("@{name}@"), &secret_env::encoded_by_shell(name))
        });
        let why = format!("put the secret variables of `{}` into the cluster", self.run);
        let cmd = self.kubectl.hiding_bodies().make(&self.namespace, "", "", why);
        // to validate takes rights and time of its own
        Some(cmd.arg("--validate=false").hidden(text.unwrap_or_default(), typed))
    }

    /// The command that lets the Job of a sweep go, `None` where it goes by itself.
    pub fn release(&self) -> Option<Cmd> {
        let patch = job::release(&self.job)?;
        let why = format!("let the Job `{}` go", self.run);
        Some(self.kubectl.patch(Scope::In(&self.namespace), &format!("job/{}", self.run), Patch::Merge, &patch, why))
    }

    /// The Job with the image that it will run: the one that is ready, else the tag by which it is
    /// being published.
    pub fn final_job(&self) -> Value {
        job::with_image(self.job.clone(), self.image.reference())
    }

    /// The command that submits the Job.
    pub fn submit(&self) -> Cmd {
        let why = format!("submit the Job `{}`", self.run);
        self.kubectl.create(&self.namespace, "job.json", &pretty(&self.final_job()), why)
    }
}

impl PlannedImage {
    /// The best reference that is known.
    pub fn reference(&self) -> &str {
        match self {
            Self::Ready { reference } => reference,
            Self::ToBuild(build) => build.tags.first().map_or(&build.repository, |tag| tag),
        }
    }
}

/// The Job that has so many nodes try the project's volume; without an image.
pub fn probe_of(request: &RunRequest, image_pull_secret: Option<&str>, pods: usize) -> Value {
    // a name of its own, which leads back to the run
    let name = format!("mrunner-probe-{}", &request.id.as_str()[..10]);
    let spec = HelperPod {
        name: &name,
        image: "",
        command: probe::command(),
        env: vec![
            ("MRUNNER_ROOT", request.storage.mount.clone()),
            ("MRUNNER_PROBE", request.id.to_string()),
            ("MRUNNER_PODS", pods.to_string()),
        ],
        claim: &request.storage.claim,
        mount: &request.storage.mount,
        read_only: false,
        run_as: request.run_as,
        node_selector: &request.node_selector,
        affinity: None,
        tolerations: &request.tolerations,
        pod: &request.pod,
        service_account: request.service_account.as_deref(),
        image_pull_secret,
        deadline_seconds: 300,
    };
    probe::job(&spec, &request.namespace, pods)
}

fn lines(sweep: &SweepRequest) -> Result<Lines, Fail> {
    let (command, at) = sweep.command();
    let all: Vec<String> =
        sweep.requests()?.iter().map(|point| line(command.len(), at, &point.words, &point.params)).collect();
    Lines::new(&all)
}

/// The command that gives a namespace the login for a registry. Without a password, which only a shell
/// knows then.
pub fn pull_secret(kubectl: &Kubectl, namespace: &Namespace, login: &RegistryLogin, password: Option<&str>) -> Cmd {
    // put in behind JSON's quoting, as the shell has its own
    let typed = login.manifest(namespace, "@AUTH@").to_string().replace("@AUTH@", &login.auth_by_shell());
    let text = password.map(|password| login.manifest(namespace, &login.auth(password)).to_string());
    let why = format!("make the Secret `{}`, by which the cluster pulls from `{}`", login.secret_name(), login.host);
    kubectl.hiding_bodies().apply(Scope::In(namespace), "", "", why).hidden(text.unwrap_or_default(), typed)
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
