//! What will be done, whole, before anything is: a value that can be printed, saved, journalled and
//! tested. Pure.

mod answers;
mod commands;
mod image;
mod render;
mod steps;

use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::k8s::accelerators::affinity;
use crate::k8s::job::Job;
use crate::k8s::manifests::helper_pod::{self, HelperPod};
use crate::k8s::manifests::job::JobSweep;
use crate::k8s::manifests::points::{PointFiles, line};
use crate::k8s::manifests::probe::{self, Probe};
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::manifests::{RAW_PROJECT, job, namespace};
use crate::k8s::names::{ClaimName, Namespace, RunId, RunName};
use crate::k8s::pod::Container;
use crate::k8s::quantity::Quantity;
use crate::request::{RunRequest, SecretVariable, SweepRequest};
use crate::storage::steps::StorageSteps;
use crate::tools::kubectl::Kubectl;
use crate::util::error::{Fail, usage};
use crate::util::json;

pub use answers::{Answers, StorageAnswers};
pub use commands::pull_secret;
pub use image::{Build, Login, PlannedImage, to_build};
pub use steps::{Known, Step};

/// All annotations of an object together (kubernetes/apimachinery, `pkg/api/validation/objectmeta.go`).
const ANNOTATIONS_MAX: usize = 256 << 10;

/// The format of journals: another number for each change after which an older program would misread them.
const FORMAT: u64 = 3;

/// The oldest format that can be read. In it the Jobs of sweeps hold their scripts.
const OLDEST_FORMAT: u64 = 2;

/// What a plan is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// To submit a run.
    #[default]
    Run,
    /// To prepare a project's storage.
    Storage,
}

/// The plan of a run, or of a project's storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Plan {
    /// The run's name.
    pub run: RunName,
    /// Its identity.
    pub id: RunId,
    /// What it is for.
    #[serde(default)]
    pub goal: Goal,
    /// The project's raw name.
    pub project: String,
    /// The namespace.
    pub namespace: Namespace,
    /// The project's claim.
    pub claim: ClaimName,
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
    pub probe: Option<Probe>,
    /// The variables that a Secret will hold; what they hold is kept nowhere.
    #[serde(default)]
    pub secret_env: Vec<SecretVariable>,
    /// The points of a sweep, for `ConfigMap`s that its Job owns.
    pub points: Option<PointFiles>,
    /// The Job; its image is final only after [`Plan::final_job`].
    pub job: Value,
}

impl Plan {
    /// Plans.
    ///
    /// # Errors
    /// If a point of a sweep lacks a value, or has no room in the cluster.
    pub fn new(request: &RunRequest, answers: &Answers, kubectl: &Kubectl) -> Result<Self, Fail> {
        let image = PlannedImage::new(&request.image, answers.image.as_ref());
        // by key, not by digest: the hash in the Job must not depend on whether it was built before
        let named = answers.image.as_ref().map(|(spec, _)| spec.named());
        let reference = named.unwrap_or_else(|| image.reference().to_owned());
        let pull_secret = request.registry_login.clone().filter(|_| request.image_pull_secret.is_none());
        let secret_name =
            request.image_pull_secret.clone().or_else(|| pull_secret.as_ref().map(RegistryLogin::secret_name));
        let points = request.sweep.as_ref().map(lines).transpose()?;
        let secret_name = secret_name.as_deref();
        let storage = &answers.storage;
        let new_namespace = || namespace::manifest(&request.namespace, &request.project);
        Ok(Self {
            run: request.run.clone(),
            id: request.id.clone(),
            goal: Goal::Run,
            project: request.project.clone(),
            namespace: request.namespace.clone(),
            claim: request.storage.claim.clone(),
            kubectl: kubectl.clone(),
            kubeconfig: OsString::new(),
            new_namespace: storage.namespace_missing.then(new_namespace),
            storage: storage.steps(request),
            probe: storage.probe.map(|pods| probe_of(request, secret_name, pods)),
            job: job_of(request, answers, &reference, secret_name, points.as_ref()),
            image,
            login: answers.login.clone(),
            pull_secret,
            secret_env: request.secret_env.clone(),
            points,
        })
    }

    /// Plans what makes a project's storage, without a run.
    ///
    /// # Errors
    /// As of [`Plan::new`].
    pub fn for_storage(request: &RunRequest, storage: StorageAnswers, kubectl: &Kubectl) -> Result<Self, Fail> {
        let plan = Self::new(request, &Answers { storage, ..Answers::default() }, kubectl)?;
        Ok(Self { goal: Goal::Storage, ..plan })
    }

    /// Plans to submit the Job that was made of a recorded one: its image and its storage are there.
    pub fn for_rerun(job: Value, run: RunName, id: RunId, namespace: Namespace, kubectl: &Kubectl) -> Self {
        let recorded = Job::of(&job);
        let spec = recorded.pod_spec();
        let image = spec.containers().next().map_or("", Container::image).to_owned();
        // a Job of ours has one
        let claim = spec.claim().and_then(ClaimName::given).unwrap_or_else(ClaimName::storage);
        let project = recorded.annotation(RAW_PROJECT).unwrap_or_default().to_owned();
        Self {
            run,
            id,
            goal: Goal::Run,
            project,
            namespace,
            claim,
            kubectl: kubectl.clone(),
            kubeconfig: OsString::new(),
            image: PlannedImage::Ready { reference: image },
            login: None,
            pull_secret: None,
            new_namespace: None,
            storage: StorageSteps::default(),
            probe: None,
            secret_env: Vec::new(),
            points: None,
            job,
        }
    }

    /// What a journal holds of it.
    ///
    /// # Errors
    /// If a path or an argument is no text.
    pub fn written(&self) -> serde_json::Result<Vec<u8>> {
        let mut written = serde_json::to_value(self)?;
        if let Value::Object(fields) = &mut written {
            fields.insert("format".to_owned(), FORMAT.into());
        }
        serde_json::to_vec_pretty(&written)
    }

    /// Reads what a journal holds.
    ///
    /// # Errors
    /// If it is no plan or one of another format, or its Jobs lack what every Job has.
    pub fn read(text: &[u8]) -> Result<Self, String> {
        let written: Value = serde_json::from_slice(text).map_err(|e| e.to_string())?;
        let format = json::number(&written, &["format"]);
        if format.is_none_or(|format| !(OLDEST_FORMAT..=FORMAT).contains(&format)) {
            let found = format.map_or("no format".to_owned(), |format| format!("the format {format}"));
            return Err(format!(
                "it has {found}, and this version of mrunner reads the formats {OLDEST_FORMAT} to {FORMAT}"
            ));
        }
        let plan: Self = serde_json::from_value(written).map_err(|e| e.to_string())?;
        if job::is_whole(&plan.job) && plan.probe.as_ref().is_none_or(Probe::is_whole) {
            return Ok(plan);
        }
        Err("its Job has no container or no annotations".to_owned())
    }

    /// An error if the API server would refuse the Job for its size, before anything is made for it.
    pub fn fits(&self) -> Result<(), Fail> {
        let annotations = job::annotations_len(&self.final_job());
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

    /// The Job with the image that it will run: the one that is ready, else the tag by which it is
    /// being published.
    pub fn final_job(&self) -> Value {
        job::with_image(self.job.clone(), self.image.reference())
    }
}

/// The Job, with an image that its hash covers.
fn job_of(
    request: &RunRequest,
    answers: &Answers,
    reference: &str,
    secret_name: Option<&str>,
    points: Option<&PointFiles>,
) -> Value {
    let mut limits = request.limits.clone();
    let mut tolerations = request.tolerations.clone();
    for placement in &answers.placements {
        limits.extend(Quantity::parse(&placement.count.to_string()).ok().map(|n| (placement.resource.clone(), n)));
        tolerations.extend(placement.taints.iter().map(|key| json!({ "key": key, "operator": "Exists" })));
    }
    let secret_env: Vec<String> = request.secret_env.iter().map(|variable| variable.name.clone()).collect();
    let sweep = request.sweep.as_ref().zip(points);
    let sweep = sweep.map(|(sweep, lines)| JobSweep {
        points: sweep.points.len(),
        parallel: sweep.parallel,
        per_pod: sweep.per_pod,
        lines,
    });
    job::manifest(&job::JobSpec {
        run: &request.run,
        id: &request.id,
        namespace: &request.namespace,
        project: &request.project,
        experiment: &request.experiment,
        tags: &request.tags,
        image: reference,
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
        image_pull_secret: secret_name,
        keep_logs: request.keep_logs,
        keep_logs_max: request.keep_logs_max.as_ref(),
        failure: &request.failure,
        sweep,
        git_commit: answers.git_commit.as_deref(),
        config: &request.config(),
    })
}

/// The Job that has so many nodes try the project's volume; without an image.
pub fn probe_of(request: &RunRequest, image_pull_secret: Option<&str>, pods: usize) -> Probe {
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
        resources: helper_pod::small(),
        deadline_seconds: 300,
    };
    Probe::new(&spec, &request.namespace, pods)
}

fn lines(sweep: &SweepRequest) -> Result<PointFiles, Fail> {
    let (command, at) = sweep.command();
    let all: Vec<String> =
        sweep.requests()?.iter().map(|point| line(command.len(), at, &point.words, &point.params)).collect();
    Ok(PointFiles::new(&all)?.with_scripts(job::scripts(sweep.per_pod)))
}
