//! `storage setup --nfs-server`: an NFS server in the cluster, for clusters whose own storage can't be shared
//! between nodes. `--remove-nfs-server` takes it away.

use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::run;
use crate::image::key::send;
use crate::image::nfs_server::{BASE_IMAGE, context, open};
use crate::image::{ImageSpec, Key};
use crate::k8s::manifests::helper_pod::fitted;
use crate::k8s::manifests::nfs_server::{self as server, NAME, POD_SECURITY, Server};
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::{condition, pretty};
use crate::k8s::names::Namespace;
use crate::ops::apply::build_image;
use crate::ops::facts::Facts;
use crate::ops::project_request::project_request;
use crate::plan::{pull_secret, to_build};
use crate::request::{ImageRequest, RunRequest, Wishes};
use crate::runs::diagnosis::{self, Why};
use crate::runs::faults::Hope;
use crate::runs::{events, unstarted};
use crate::storage::choose::Class;
use crate::storage::nfs_server::{address, users};
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, PATIENCE, Scope};
use crate::util::error::{Fail, Refusal, fail, usage};

/// How long the server may take to be ready, its image and its volume included.
const SOON: Duration = Duration::from_secs(300);

/// How long is waited for what can be mended only by somebody.
const NOT_LONG: Duration = Duration::from_secs(60);

/// How often is looked.
const GLANCE: Duration = Duration::from_secs(1);

/// The arguments of `storage setup` that are about the server.
#[derive(Debug, Args)]
pub struct NfsServerArgs {
    /// Create an NFS server in the namespace `mrunner-nfs`
    #[arg(long, conflicts_with = "remove_nfs_server")]
    pub nfs_server: bool,
    /// Remove the NFS server; its data are kept
    ///
    /// Refused while a volume uses it.
    #[arg(long)]
    pub remove_nfs_server: bool,
    /// Also delete the NFS server's data
    #[arg(long, requires = "remove_nfs_server")]
    pub delete_data: bool,
    /// Storage class of the project's storage, or of the NFS server's own volume
    #[arg(long, value_name = "NAME", conflicts_with = "remove_nfs_server")]
    pub storage_class: Option<String>,
    /// Image of the NFS server; build nothing
    #[arg(long, value_name = "IMAGE", conflicts_with = "remove_nfs_server")]
    pub nfs_image: Option<String>,
    /// Debian image to build the NFS server's image on
    #[arg(long, value_name = "IMAGE", default_value = BASE_IMAGE, conflicts_with = "remove_nfs_server")]
    pub base_image: String,
    /// Registry to push the NFS server's image to
    #[arg(long, value_name = "URL", conflicts_with = "remove_nfs_server")]
    pub registry: Option<String>,
}

impl NfsServerArgs {
    /// Whether they are about the server, and not about a project.
    pub fn are_meant(&self) -> bool {
        self.nfs_server || self.remove_nfs_server || self.nfs_image.is_some() || self.registry.is_some()
    }
}

/// Does it.
pub fn exec(args: &NfsServerArgs, app: &App) -> Result<()> {
    let target = Target::resolve(app)?;
    target.require_cluster()?;
    app.ui.tell("context", format!("{}, namespace {}", target.describe(), Namespace::nfs_server()));
    let admin = Admin { app, target: &target, facts: Facts::of(app, &target.kubectl) };
    if args.remove_nfs_server { admin.remove(args.delete_data) } else { admin.set_up(args) }
}

/// Somebody who may make and remove the server.
struct Admin<'a> {
    app: &'a App,
    target: &'a Target,
    facts: Facts<'a>,
}

/// What stands in the server's namespace.
#[derive(Debug, Default)]
struct Standing {
    namespace: Option<Value>,
    claim: Option<Value>,
    service: Option<Value>,
    deployment: Option<Value>,
    pods: Vec<Value>,
}

impl Admin<'_> {
    fn set_up(&self, args: &NfsServerArgs) -> Result<()> {
        let ui = &self.app.ui;
        let request = self.request(args)?;
        let standing = self.standing()?;
        if let Some(namespace) = &standing.namespace {
            self.allows(namespace)?;
        }
        if standing.claim.is_none() {
            self.has_class(request.storage.class.as_deref())?;
        }
        let image = self.image(&request)?;
        if standing.namespace.is_none() {
            self.apply(Scope::Everywhere, "namespace.json", &server::namespace(), "make the namespace `mrunner-nfs`")?;
            ui.tell("namespace", "made");
        }
        let resources = self.try_pod(&image, &request.pod)?;
        let login = request.registry_login.clone().filter(|_| request.image_pull_secret.is_none());
        if let Some(login) = &login {
            let password = self.facts.password(login)?;
            self.run(&pull_secret(&self.target.kubectl, &Namespace::nfs_server(), login, Some(&password)))?;
        }
        if standing.claim.is_none() {
            let claim = server::claim(request.storage.class.as_deref(), &request.storage.size);
            self.put("claim.json", &claim, "make the claim `nfs-server`")?;
            ui.tell("storage", format!("a new claim `{NAME}` of {} for all data", request.storage.size));
        }
        let secret = request.image_pull_secret.clone().or_else(|| login.map(|login| login.secret_name()));
        self.put("service.json", &server::service(), "make the service `nfs-server`")?;
        let own = Server { image: &image, pull_secret: secret.as_deref(), pod: &request.pod, resources: &resources };
        self.put("deployment.json", &server::deployment(&own), "make the NFS server")?;
        let ready = self.wait()?;
        self.keep_volume(ready.claim.as_ref());
        let service = ready.service.as_ref().and_then(address);
        let service = service.ok_or_else(|| fail("the service of the NFS server has no address"))?;
        ui.tell("server", format!("ready, at {service}"));
        ui.answer(service)
    }

    /// What is asked for, by the rules that hold for an experiment's image and storage.
    fn request(&self, args: &NfsServerArgs) -> Result<RunRequest> {
        let image = args.nfs_image.clone().or_else(|| self.target.remote.as_ref().and_then(|r| r.nfs_image.clone()));
        let wishes = Wishes {
            project: Some("mrunner".to_owned()),
            name: Some(NAME.to_owned()),
            image,
            base_image: Some(args.base_image.clone()),
            registry: args.registry.clone(),
            storage_class: args.storage_class.clone(),
            ..Wishes::default()
        };
        let mut request = project_request(wishes, self.app, self.target)?;
        if args.storage_class.is_none() {
            // the context's class is for what projects share
            request.storage.class = None;
        }
        Ok(request)
    }

    fn standing(&self) -> Result<Standing> {
        let own = Namespace::nfs_server();
        let names = [format!("namespace/{own}")];
        let kinds = ["persistentvolumeclaim", "service", "deployment.apps"].map(|kind| format!("{kind}/{NAME}"));
        let what: Vec<&str> = names.iter().chain(&kinds).map(String::as_str).collect();
        let mut standing = Standing::default();
        for object in self.ask(&self.target.kubectl.get(Scope::In(&own), &what, None, "look for the NFS server"))? {
            match object["kind"].as_str().unwrap_or_default() {
                "Namespace" => standing.namespace = Some(object),
                "PersistentVolumeClaim" => standing.claim = Some(object),
                "Service" => standing.service = Some(object),
                "Deployment" => standing.deployment = Some(object),
                _ => {}
            }
        }
        Ok(standing)
    }

    /// An error if Pod Security would refuse the server in this namespace.
    fn allows(&self, namespace: &Value) -> Result<(), Fail> {
        let labels = &namespace["metadata"]["labels"];
        let own = Namespace::nfs_server();
        if !namespace["metadata"]["deletionTimestamp"].is_null() {
            return Err(fail(format!("the namespace `{own}` is being deleted"))
                .hint(format!("see what holds it with `{}`", self.typed(&["get", "all,pvc"]))));
        }
        match labels[POD_SECURITY].as_str() {
            Some(level @ ("baseline" | "restricted")) => Err(fail(format!(
                "the namespace `{own}` enforces Pod Security `{level}`, which forbids an NFS server: it opens files by \
                 their handles (CAP_DAC_READ_SEARCH)"
            ))
            .hint(format!(
                "an administrator may allow it: `{}`",
                self.typed(&["label", "namespace", own.as_str(), &format!("{POD_SECURITY}=privileged"), "--overwrite"])
            ))
            .hint("or name a class that gives ReadWriteMany volumes, or a server outside the cluster, in the context")),
            _ => Ok(()),
        }
    }

    /// An error if the server's claim would get no volume.
    fn has_class(&self, wanted: Option<&str>) -> Result<()> {
        let cmd = self.target.kubectl.get(Scope::Everywhere, &["storageclasses"], None, "read the storage classes");
        // somebody who may not list them hears of it when the claim stays without a volume
        let Ok(objects) = self.ask(&cmd) else { return Ok(()) };
        let classes: Vec<Class> = objects.iter().filter_map(Class::from_object).collect();
        let names: Vec<String> = classes.iter().map(|class| format!("`{}`", class.name)).collect();
        let told = if names.is_empty() { "it has none".to_owned() } else { format!("it has {}", names.join(", ")) };
        let error = match wanted {
            Some(name) if classes.iter().any(|class| class.name == name) => return Ok(()),
            Some(name) => fail(format!("the cluster has no storage class `{name}`; {told}")),
            None if classes.iter().any(|class| class.default) => return Ok(()),
            None => fail(format!("the cluster has no default storage class for the server's own volume; {told}")),
        };
        Err(error.hint("name one with `--storage-class NAME`").into())
    }

    /// The server's image, built and published unless it is there.
    fn image(&self, request: &RunRequest) -> Result<String> {
        let build = match &request.image {
            ImageRequest::Given(image) => return Ok(image.to_string()),
            ImageRequest::Built(build) => build,
        };
        let context = context(&build.base_image, &build.platform)?;
        let key = Key::of(&context, &open)?;
        let spec = ImageSpec { context, key, repository: build.repository.clone() };
        if let Some(login) = run::login(request, self.app) {
            self.facts.log_in(&login)?;
        }
        if build.load.is_none()
            && let Some(digest) = self.facts.published(&spec.named(), build.plain)?
        {
            self.app.ui.tell("image", format!("{} unchanged", spec.named()));
            return Ok(format!("{}@{digest}", spec.repository.as_str()));
        }
        let planned = to_build(build, &spec);
        let reference = build_image(&self.facts, &planned, |out| send(&spec.context, &open, &spec.key, out))
            .map_err(|error| {
                fail("the NFS server was not made").because(&error).hint(
                    "its base image must be a Debian or Ubuntu: `--base-image IMAGE`, or a ready one with `--nfs-image IMAGE`",
                )
            })?;
        self.app.ui.tell("image", format!("{reference} {}", if build.load.is_some() { "loaded" } else { "published" }));
        Ok(reference)
    }

    /// Has the API server judge the server's pod, as no Deployment would tell what it says. Returns the resources with
    /// which it is allowed.
    fn try_pod(&self, image: &str, pod: &PodMetadata) -> Result<Value> {
        let own = Namespace::nfs_server();
        let ask = |resources: &Value| {
            let trial = server::trial(&Server { image, pull_secret: None, pod, resources });
            let why = "have the cluster check the server's pod";
            let cmd = self.target.kubectl.create(&own, "pod.json", &pretty(&trial), why).arg("--dry-run=server");
            self.app.shell.read(&cmd).map(|reply| (reply, cmd))
        };
        let mut resources = server::usual();
        let (mut reply, mut cmd) = ask(&resources)?;
        if kubectl::refusal(&reply.stderr) == Some(Refusal::LimitRange)
            && let Some(fitted) = fitted(&resources, &reply.stderr)
        {
            (reply, cmd) = ask(&fitted)?;
            resources = fitted;
        }
        // whoever may not make pods may still make a Deployment
        let refusal = kubectl::refusal(&reply.stderr);
        if reply.succeeded() || refusal == Some(Refusal::Forbidden) {
            return Ok(resources);
        }
        let error = unstarted::failure(&self.target.kubectl, &own, &reply, &cmd);
        let forbidden = matches!(
            refusal,
            Some(
                Refusal::Denied
                    | Refusal::PodSecurity
                    | Refusal::LimitRange
                    | Refusal::QuotaExceeded
                    | Refusal::QuotaUnnamed
            )
        );
        Err(if forbidden { fail("the cluster forbids an NFS server in it").because(&error.into()) } else { error }
            .into())
    }

    /// Waits until the server gives its export to clients.
    fn wait(&self) -> Result<Standing> {
        let begun = Instant::now();
        let mut told = None;
        loop {
            let mut standing = self.standing()?;
            let status = standing.deployment.as_ref().map(|d| (&d["status"], &d["metadata"]["generation"]));
            if status.is_some_and(|(s, generation)| {
                s["readyReplicas"] == 1 && s["updatedReplicas"] == 1 && s["observedGeneration"] == *generation
            }) {
                return Ok(standing);
            }
            let own = Namespace::nfs_server();
            let selector = format!("app.kubernetes.io/name={NAME}");
            let pods = self.target.kubectl.get(Scope::In(&own), &["pods"], Some(&selector), "look at the server's pod");
            standing.pods = self.ask(&pods)?;
            let why = self.why(&standing);
            let words = why.as_ref().map(|why| why.words.clone());
            if words.is_some() && words != told {
                self.app.ui.tell("server", format!("it waits: {}", words.as_deref().unwrap_or_default()));
                told = words;
            }
            let patience = match why.as_ref().map(|why| why.hope) {
                Some(Hope::None) => Duration::ZERO,
                Some(Hope::Little) => NOT_LONG,
                _ => SOON,
            };
            if begun.elapsed() > self.app.shell.patience(patience) {
                return Err(self.not_ready(why).into());
            }
            self.app.shell.sleep(GLANCE)?;
        }
    }

    fn why(&self, standing: &Standing) -> Option<Why> {
        let of_pod = standing.pods.last().and_then(|pod| {
            let name = pod["metadata"]["name"].as_str().unwrap_or_default();
            let starting = pod["status"]["phase"] == "Pending";
            diagnosis::waits(pod)
                .filter(|why| why.hope != Hope::Some)
                .or_else(|| starting.then(|| self.events("Pod", name))?)
        });
        let claimed = standing.claim.as_ref().is_some_and(|claim| claim["status"]["phase"] == "Bound");
        of_pod
            .or_else(|| self.not_created(standing))
            .or_else(|| (!claimed).then(|| self.events("PersistentVolumeClaim", NAME))?)
            .or_else(|| standing.pods.last().and_then(diagnosis::waits))
    }

    /// Why there is no pod: its `ReplicaSet` has the events, and the Deployment repeats the last one.
    fn not_created(&self, standing: &Standing) -> Option<Why> {
        let deployment = standing.deployment.as_ref().filter(|_| standing.pods.is_empty())?;
        let failed = condition(deployment, "ReplicaFailure").filter(|failed| failed["status"] == "True")?;
        let event = json!({ "type": "Warning", "reason": failed["reason"], "message": failed["message"] });
        unstarted::why(&[event], &self.target.kubectl, &Namespace::nfs_server())
    }

    fn events(&self, kind: &str, name: &str) -> Option<Why> {
        let own = Namespace::nfs_server();
        let events = self.target.kubectl.events(&own, kind, name);
        events::trouble_in(&self.ask(&events).ok()?)
    }

    fn not_ready(&self, why: Option<Why>) -> Fail {
        let own = Namespace::nfs_server();
        let logs = self
            .target
            .kubectl
            .cmd(Scope::In(&own), "read the server's log")
            .args(["logs", &format!("deployment/{NAME}"), "--tail=200"])
            .deadline(PATIENCE);
        let log = self.app.shell.read(&logs).map(|reply| String::from_utf8_lossy(&reply.stdout).into_owned());
        let log = log.unwrap_or_default();
        let words = why.as_ref().map_or("it does not give its export".to_owned(), |why| why.words.clone());
        let error = fail(format!("the NFS server does not become ready: {words}"));
        let error = match why.and_then(|why| why.hint) {
            Some(hint) => error.hint(hint),
            None if log.contains("Could not get handle for path") => error.hint(
                "the file system of its volume, or the cluster's seccomp profile, gives no file handles; try another `--storage-class`",
            ),
            None => error,
        };
        let critical: Vec<&str> =
            log.lines().filter(|line| line.contains(":EXPORT :CRIT") || line.contains(":FSAL :CRIT")).collect();
        error.details(&critical.join("\n")).hint(format!("see `{}`", self.typed(&["logs", "deployment/nfs-server"])))
    }

    /// Sees to it that the server's volume outlives its claim.
    fn keep_volume(&self, claim: Option<&Value>) {
        let Some(volume) = claim.and_then(|claim| claim["spec"]["volumeName"].as_str()) else { return };
        if let Err(error) = self.reclaim(volume, "Retain") {
            self.app.ui.warn(format!(
                "the volume `{volume}` goes when its claim is deleted, and all data with it: {error:#}; an administrator can \
                 set `persistentVolumeReclaimPolicy: Retain`"
            ));
        }
    }

    fn reclaim(&self, volume: &str, policy: &str) -> Result<()> {
        let patch = format!(r#"{{"spec":{{"persistentVolumeReclaimPolicy":"{policy}"}}}}"#);
        let cmd = self
            .target
            .kubectl
            .cmd(Scope::Everywhere, format!("set the reclaim policy of the volume `{volume}` to {policy}"))
            .args(["patch", "persistentvolume", volume, "--field-manager=mrunner", "-p", &patch, "-o", "name"])
            .deadline(PATIENCE);
        self.run(&cmd)
    }

    fn remove(&self, delete_data: bool) -> Result<()> {
        let ui = &self.app.ui;
        let standing = self.standing()?;
        if standing.deployment.is_none() && standing.service.is_none() && (!delete_data || standing.claim.is_none()) {
            ui.say("there is no NFS server in the cluster");
            return Ok(());
        }
        let address = standing.service.as_ref().and_then(address);
        let cmd = self.target.kubectl.get(
            Scope::Everywhere,
            &["persistentvolumes"],
            None,
            "see which volumes are on the server",
        );
        let users = users(&self.ask(&cmd)?, address);
        if !users.is_empty() {
            return Err(fail(format!("the NFS server is in use: {}", users.join(", ")))
                .hint("pods that use it would hang, and could not even be deleted: remove these projects first, with `kubectl mrunner project delete`")
                .into());
        }
        self.confirm(delete_data)?;
        let own = Namespace::nfs_server();
        self.delete(
            Scope::In(&own),
            &[&format!("deployment/{NAME}"), &format!("service/{NAME}")],
            "remove the NFS server",
        )?;
        ui.tell("server", "removed");
        if !delete_data {
            ui.say(format!(
                "its data stay in the claim `{NAME}` of the namespace `{own}`: a new server finds them there"
            ));
            return Ok(());
        }
        if let Some(volume) = standing.claim.as_ref().and_then(|claim| claim["spec"]["volumeName"].as_str()) {
            // else the volume would stay, and with it what is paid for it
            self.reclaim(volume, "Delete")?;
        }
        self.delete(Scope::In(&own), &[&format!("persistentvolumeclaim/{NAME}")], "delete the server's data")?;
        self.delete(Scope::Everywhere, &[&format!("namespace/{own}")], "delete the namespace `mrunner-nfs`")?;
        ui.tell("data", "deleted");
        Ok(())
    }

    /// Has it typed; there is no flag that stands for it where data go.
    fn confirm(&self, delete_data: bool) -> Result<(), Fail> {
        let what = if delete_data { "the NFS server and ALL DATA ON IT" } else { "the NFS server" };
        let own = Namespace::nfs_server();
        if !self.app.ui.can_ask() {
            return Err(usage(format!("removing {what} has to be confirmed, and nobody can be asked here"))
                .hint(format!("do it in a terminal, and type `{own}` when asked")));
        }
        let answer = self.app.ui.ask(&format!("type `{own}` to remove {what}"), "");
        if answer.as_deref() == Some(own.as_str()) { Ok(()) } else { Err(fail("nothing was removed")) }
    }

    fn delete(&self, scope: Scope, what: &[&str], why: &str) -> Result<()> {
        let cmd = self.target.kubectl.cmd(scope, why).args(["delete"]).args(what.iter().copied());
        self.run(&cmd.args(["--ignore-not-found", "--wait=true", "--timeout=90s", "-o", "name"]).deadline(4 * PATIENCE))
    }

    fn put(&self, file: &str, object: &Value, why: &str) -> Result<()> {
        self.apply(Scope::In(&Namespace::nfs_server()), file, object, why)
    }

    fn apply(&self, scope: Scope, file: &str, object: &Value, why: &str) -> Result<()> {
        self.run(&self.target.kubectl.apply(scope, file, &pretty(object), why))
    }

    fn run(&self, cmd: &Cmd) -> Result<()> {
        let reply = self.app.shell.run(cmd)?;
        if reply.succeeded() { Ok(()) } else { Err(self.target.kubectl.failure(&reply, cmd).into()) }
    }

    fn ask(&self, cmd: &Cmd) -> Result<Vec<Value>> {
        let reply = self.app.shell.read(cmd)?;
        if !reply.succeeded() {
            return Err(self.target.kubectl.failure(&reply, cmd).into());
        }
        kubectl::objects(&reply, cmd)
    }

    fn typed(&self, words: &[&str]) -> String {
        let own = Namespace::nfs_server();
        self.target.kubectl.cmd(Scope::In(&own), "").args(words.iter().copied()).to_string()
    }
}
