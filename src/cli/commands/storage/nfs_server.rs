//! `storage setup --nfs-server`: creates an NFS server in the cluster, for clusters without shared storage.
//! `--remove-nfs-server` removes it.

mod remove;
mod wait;

use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::run;
use crate::image::key::send;
use crate::image::nfs_server::{BASE_IMAGE, context, open};
use crate::image::{ImageSpec, Key};
use crate::k8s::manifests::nfs_server::{self as server, NAME, Server};
use crate::k8s::manifests::pretty;
use crate::k8s::names::Namespace;
use crate::k8s::namespace::NamespaceObject;
use crate::k8s::object::Object;
use crate::ops::apply::build_image;
use crate::ops::project_request::project_request;
use crate::ops::registry::{log_in, password, published};
use crate::plan::{pull_secret, to_build};
use crate::request::{ImageRequest, RunFlags, RunRequest};
use crate::storage::nfs_server::address;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::Scope;
use crate::util::error::fail;

/// How long the server may take to be ready, including its image and volume.
const SOON: Duration = Duration::from_secs(300);

/// How long to wait for faults that only a person can fix.
const NOT_LONG: Duration = Duration::from_secs(60);

/// How often to check.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

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
    /// Whether the flags are about the server, not about a project.
    pub fn are_meant(&self) -> bool {
        self.nfs_server || self.remove_nfs_server || self.nfs_image.is_some() || self.registry.is_some()
    }
}

/// Runs the command.
pub fn exec(args: &NfsServerArgs, app: &App) -> Result<()> {
    let target = Target::resolve(app)?;
    target.require_cluster()?;
    app.ui.tell("context", format!("{}, namespace {}", target.describe(), Namespace::nfs_server()));
    let admin = Admin { app, target: &target };
    if args.remove_nfs_server { admin.remove(args.delete_data) } else { admin.set_up(args) }
}

/// The administrator's access to the server.
struct Admin<'a> {
    app: &'a App,
    target: &'a Target,
}

/// The objects in the server's namespace.
#[derive(Debug, Default)]
struct ServerObjects {
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
            self.allows(NamespaceObject::of(namespace))?;
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
            let password = password(login)?;
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

    /// The settings of the server, by the same rules as for an experiment's image and storage.
    fn request(&self, args: &NfsServerArgs) -> Result<RunRequest> {
        let image = args.nfs_image.clone().or_else(|| self.target.remote.as_ref().and_then(|r| r.nfs_image.clone()));
        let flags = RunFlags {
            project: Some("mrunner".to_owned()),
            name: Some(NAME.to_owned()),
            image,
            base_image: Some(args.base_image.clone()),
            registry: args.registry.clone(),
            storage_class: args.storage_class.clone(),
            ..RunFlags::default()
        };
        let mut request = project_request(flags, self.app, self.target)?;
        if args.storage_class.is_none() {
            // the context's class is for shared volumes of projects
            request.storage.class = None;
        }
        Ok(request)
    }

    fn standing(&self) -> Result<ServerObjects> {
        let own = Namespace::nfs_server();
        let names = [format!("namespace/{own}")];
        let kinds = ["persistentvolumeclaim", "service", "deployment.apps"].map(|kind| format!("{kind}/{NAME}"));
        let what: Vec<&str> = names.iter().chain(&kinds).map(String::as_str).collect();
        let mut standing = ServerObjects::default();
        for object in self.ask(&self.target.kubectl.get(Scope::In(&own), &what, None, "look for the NFS server"))? {
            match Object::of(&object).kind() {
                "Namespace" => standing.namespace = Some(object),
                "PersistentVolumeClaim" => standing.claim = Some(object),
                "Service" => standing.service = Some(object),
                "Deployment" => standing.deployment = Some(object),
                _ => {}
            }
        }
        Ok(standing)
    }

    /// The server's image, built and published if it does not exist.
    fn image(&self, request: &RunRequest) -> Result<String> {
        let build = match &request.image {
            ImageRequest::Given(image) => return Ok(image.to_string()),
            ImageRequest::Built(build) => build,
        };
        let context = context(&build.base_image, &build.platform)?;
        let key = Key::of(&context, &open)?;
        let spec = ImageSpec { context, key, repository: build.repository.clone() };
        if let Some(login) = run::login(request, self.app) {
            log_in(&self.app.shell, &login)?;
        }
        if build.load.is_none()
            && let Some(digest) = published(&self.app.shell, &spec.named(), build.plain)?
        {
            self.app.ui.tell("image", format!("{} unchanged", spec.named()));
            return Ok(format!("{}@{digest}", spec.repository.as_str()));
        }
        let planned = to_build(build, &spec);
        let reference = build_image(self.target.cluster(self.app), &planned, |out| send(&spec.context, &open, &spec.key, out))
            .map_err(|error| {
                fail("the NFS server was not made").because(&error).hint(
                    "its base image must be a Debian or Ubuntu: `--base-image IMAGE`, or a ready one with `--nfs-image IMAGE`",
                )
            })?;
        self.app.ui.tell("image", format!("{reference} {}", if build.load.is_some() { "loaded" } else { "published" }));
        Ok(reference)
    }

    fn put(&self, file: &str, object: &Value, why: &str) -> Result<()> {
        self.apply(Scope::In(&Namespace::nfs_server()), file, object, why)
    }

    fn apply(&self, scope: Scope, file: &str, object: &Value, why: &str) -> Result<()> {
        self.run(&self.target.kubectl.apply(scope, file, &pretty(object), why))
    }

    fn run(&self, cmd: &Cmd) -> Result<()> {
        self.target.cluster(self.app).run(cmd)
    }

    fn ask(&self, cmd: &Cmd) -> Result<Vec<Value>> {
        self.target.cluster(self.app).objects(cmd)
    }

    fn typed(&self, words: &[&str]) -> String {
        let own = Namespace::nfs_server();
        self.target.kubectl.cmd(Scope::In(&own), "").args(words.iter().copied()).to_string()
    }
}
