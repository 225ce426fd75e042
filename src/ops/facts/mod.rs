//! What must be asked of the world before a plan can be made, asked side by side.

mod commit;
mod platform;
pub mod queue;
mod secrets;
pub mod storage;

use std::io::ErrorKind::NotFound;
use std::io::Read;
use std::path::Path;
use std::thread;

use anyhow::Result;
use serde_json::Value;

use crate::app::env_files::EnvFiles;
use crate::app::{App, variable};
use crate::image::entry::shown;
use crate::image::folder::{Folder, Level, Requirements, Rules};
use crate::image::{ContextSpec, DockerfileContext, Entry, ImageSpec, Key, Template};
use crate::k8s::accelerators::{Placement, Want, place, place_unlisted};
use crate::k8s::manifests::claim::AccessMode;
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::names::Namespace;
use crate::plan::{Answers, Build, Login, StorageAnswers};
use crate::request::{BuildRequest, ImageRequest, RunRequest, Sources};
use crate::storage::choose::Choice;
use crate::tools::api::Api;
use crate::tools::cmd::{Cmd, quote};
use crate::tools::docker::{self, Published, RegistryProblem};
use crate::tools::kubectl::{self, Kubectl, Scope};
use crate::tools::reply::Reply;
use crate::tools::shell::{Interruptible, Shell, or_interrupted};
use crate::util::error::{Refusal, fail};
use crate::util::regular_file;
use crate::util::ui::{Ui, size};

/// A context larger than this is remarked on, with its largest files.
const LARGE: u64 = 200 << 20;

/// Asks.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// Tells what the user should know.
    pub ui: &'a Ui,
    /// Starts the questions.
    pub shell: &'a Shell,
    /// The cluster.
    pub kubectl: &'a Kubectl,
    /// Where this machine's cache is.
    pub cache: &'a Path,
    /// What a variable of the environment holds.
    pub variable: fn(&str) -> Option<String>,
    /// The files of variables that were read.
    pub env_files: &'a EnvFiles,
    /// A way to the cluster that is open already.
    pub api: Option<&'a Api>,
}

impl<'a> Facts<'a> {
    /// Asks the world for this user, and the cluster by this kubectl.
    pub fn of(app: &'a App, kubectl: &'a Kubectl) -> Self {
        Self {
            ui: &app.ui,
            shell: &app.shell,
            kubectl,
            cache: &app.places.cache,
            variable,
            env_files: &app.env_files,
            api: None,
        }
    }
}

/// The folder as it was looked at: what would be sent, and what opens its files.
#[derive(Debug)]
pub struct Snapshot {
    /// What would be sent.
    pub context: ContextSpec,
    /// Its key.
    pub key: Key,
    /// Where its files are.
    folder: Folder,
}

impl Snapshot {
    /// Opens the file of an entry; reading it ends when the user interrupts.
    pub fn open(&self, entry: &Entry) -> Result<Box<dyn Read>> {
        open(&self.folder, entry)
    }
}

fn open(folder: &Folder, entry: &Entry) -> Result<Box<dyn Read>> {
    Ok(Box::new(Interruptible(folder.open(entry)?)))
}

impl Facts<'_> {
    /// Asks registry, cluster and git at the same time.
    pub fn gather(&self, request: &RunRequest, ask_registry: bool) -> Result<(Answers, Option<Snapshot>)> {
        thread::scope(|scope| {
            let storage = scope.spawn(|| self.storage(request));
            let commit = scope.spawn(|| self.commit(request));
            let queue = scope.spawn(|| self.queue(request));
            let platforms = scope.spawn(|| self.image_platforms(request));
            let nodes = scope.spawn(|| self.nodes_of(request));
            let image = self.image(request, ask_registry);
            let storage = join(storage)?;
            let nodes = join(nodes)?;
            let placements = self.placements(request, nodes.as_deref())?;
            let queue = join(queue)?;
            let (image, snapshot) = image?.unzip();
            let platform = self.platform(request, &join(platforms), &placements, nodes)?;
            let answers =
                Answers { image, storage, git_commit: join(commit), login: None, placements, queue, platform };
            Ok((answers, snapshot))
        })
    }

    /// The answers as far as they need neither cluster nor registry: what is missing there is taken
    /// to be missing.
    pub fn gather_here(&self, request: &RunRequest) -> Result<(Answers, Option<Snapshot>)> {
        thread::scope(|scope| {
            let commit = scope.spawn(|| self.commit(request));
            let (image, snapshot) = self.image(request, false)?.unzip();
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
                self.ui.warn(format!(
                    "on which nodes there is {} is not looked up, as the cluster is not asked",
                    want.shown()
                ));
            }
            let any = |want: &Want| place_unlisted(&Want { kind: None, ..want.clone() });
            let placements = request.accelerators.iter().map(any).collect::<Result<_, _>>()?;
            let queue = request.queue.clone();
            let platform = Vec::new();
            let answers =
                Answers { image, storage, git_commit: join(commit), login: None, placements, queue, platform };
            Ok((answers, snapshot))
        })
    }

    #[allow(clippy::type_complexity)]
    fn image(&self, request: &RunRequest, ask: bool) -> Result<Option<((ImageSpec, Option<String>), Snapshot)>> {
        let ImageRequest::Built(build) = &request.image else { return Ok(None) };
        let snapshot = self.snapshot(build, request.run_as)?;
        let (context, key) = (snapshot.context.clone(), snapshot.key.clone());
        let spec = ImageSpec { context, key, repository: build.repository.clone() };
        // with --pull the base image may have moved, so that the same key means another image
        let digest = match &build.load {
            _ if !ask || build.pull => None,
            Some(_) => self.loaded(&spec.named())?,
            None => self.published(&spec.named(), build.plain)?,
        };
        Ok(Some(((spec, digest), snapshot)))
    }

    /// Something if all nodes say that they have the image. They list 50 at most (kubelet's
    /// `nodeStatusMaxImages`), so their silence means nothing.
    fn loaded(&self, reference: &str) -> Result<Option<String>> {
        let nodes = self.nodes()?.unwrap_or_default();
        let has = |node: &Value| {
            let images = node["status"]["images"].as_array().map(Vec::as_slice).unwrap_or_default();
            images.iter().filter_map(|image| image["names"].as_array()).flatten().any(|name| name == reference)
        };
        Ok((!nodes.is_empty() && nodes.iter().all(has)).then(|| reference.to_owned()))
    }

    /// The password that the login's variable holds.
    pub fn password(&self, login: &RegistryLogin) -> Result<String> {
        (self.variable)(&login.variable).ok_or_else(|| {
            crate::util::error::usage(format!(
                "the variable `{}` holds no password for `{}`",
                login.variable, login.host
            ))
            .hint(format!("set it, such as with `read -rs {0} && export {0}`", login.variable))
            .into()
        })
    }

    /// Lets docker into the registry.
    pub fn log_in(&self, login: &Login) -> Result<()> {
        let password = match login {
            Login::Password(login) => Some(self.password(login)?),
            Login::Google(_) => None,
        };
        let cmd = login.cmd(password.as_deref());
        let reply = self.shell.run(&cmd).map_err(|error| match login {
            Login::Google(host) => crate::util::error::flatten(&error)
                .hint("get gcloud: https://cloud.google.com/sdk/docs/install")
                .hint(format!("or log in to `{host}` by another way with `docker login {host}`"))
                .into(),
            Login::Password(_) => error,
        })?;
        if reply.succeeded() {
            return Ok(());
        }
        Err(match login {
            Login::Google(_) => reply.failure(&cmd).hint("log in with `gcloud auth login`"),
            Login::Password(login) => reply
                .failure(&cmd)
                .hint(format!("does the variable `{}` hold the password of `{}`?", login.variable, login.user)),
        }
        .into())
    }

    /// The digest of what the registry has under `reference`, `None` if it has nothing.
    pub fn published(&self, reference: &str, plain: bool) -> Result<Option<String>> {
        let mut cmd = docker::inspect(reference, plain);
        let mut reply = self.shell.read(&cmd)?;
        if let Some(digest) = docker::digest_of_image(&reply) {
            return Ok(Some(digest));
        }
        // the second question finds only a registry with TLS, or one on this machine
        let said = docker::published(&reply);
        let is_clear = said == Published::Unknown(RegistryProblem::Denied) || (plain && said == Published::No);
        if reply.status.is_some() && !is_clear {
            cmd = docker::look_again(reference);
            reply = self.shell.read(&cmd)?;
        }
        match docker::published(&reply) {
            Published::Yes(digest) => Ok(Some(digest)),
            Published::No => Ok(None),
            Published::Unknown(problem) => {
                let host = reference.split('/').next().unwrap_or_default();
                Err(reply.failure(&cmd).hint(docker::hint(problem, host)).into())
            }
        }
    }

    fn snapshot(&self, build: &BuildRequest, run_as: (u32, u32)) -> Result<Snapshot> {
        let own = build.template.as_ref().map(|file| {
            let source = regular_file::read(file)
                .and_then(|text| String::from_utf8(text).map_err(std::io::Error::other))
                .map_err(|e| {
                    let cause = if e.kind() == NotFound { "it does not exist".to_owned() } else { e.to_string() };
                    crate::util::error::usage(format!("the template `{}` can't be read: {cause}", file.display()))
                        .hint("name a file with `--template FILE`, or leave the flag out for the built-in one")
                })?;
            Ok::<_, anyhow::Error>(Template { name: file.display().to_string(), source })
        });
        let own = own.transpose()?;
        let dockerfile = |requirements: Option<String>| {
            let (user, group) = run_as;
            let values = DockerfileContext {
                base_image: build.base_image.clone(),
                requirements,
                user,
                group,
                neptune: build.neptune,
                secrets: build.secrets.clone(),
            };
            values.render(own.as_ref())
        };
        self.scan(&build.sources, dockerfile, &build.platform, Vec::new())
    }

    /// Looks at the folder of a build that was planned before.
    pub fn rescan(&self, build: &Build) -> Result<Snapshot> {
        let snapshot =
            self.scan(&build.sources, |_| Ok(build.dockerfile.clone()), &build.platform, build.settings.clone())?;
        if snapshot.key.as_str() != build.key {
            return Err(fail(format!("the folder `{}` has changed since", build.sources.folder.display()))
                .hint("submit what it holds now as a new run, with `kubectl mrunner run`")
                .into());
        }
        Ok(snapshot)
    }

    fn scan(
        &self,
        sources: &Sources,
        dockerfile: impl FnOnce(Option<String>) -> Result<String>,
        platform: &str,
        settings: Vec<String>,
    ) -> Result<Snapshot> {
        let requirements = sources.requirements.as_deref().map(Requirements::read).transpose()?;
        let rules = Rules { exclude: sources.exclude.clone(), paths_to_copy: sources.paths_to_copy.clone() };
        let mut folder = Folder::scan(&sources.folder, &rules)?;
        for note in &folder.notes {
            if note.level == Level::Warning {
                self.ui.warn(&note.text);
            }
        }
        if folder.total_bytes > LARGE {
            self.ui.warn(format!("the folder holds {} to be sent; its largest files:", size(folder.total_bytes)));
            let largest = folder.largest(5);
            for entry in largest.iter().filter(|entry| entry.size() >= 1 << 20) {
                self.ui.say(format!("  {:>9}  {}", size(entry.size()), shown(&entry.path)));
            }
            if let Some(first) = largest.first() {
                let pattern = format!("/{}", first.path.display());
                self.ui.say(format!(
                    "  leave out what the experiment does not need, such as with `echo {} >> .mrunnerignore`",
                    quote(pattern.as_ref())
                ));
            }
        }
        let context = ContextSpec {
            dockerfile: dockerfile(requirements.as_ref().map(|r| r.name.clone()))?,
            platform: platform.to_owned(),
            settings,
            requirements: requirements.map(|r| r.entries).unwrap_or_default(),
            code: std::mem::take(&mut folder.entries),
        };
        let key = Key::of(&context, &|entry| open(&folder, entry)).map_err(or_interrupted)?;
        Ok(Snapshot { context, key, folder })
    }

    /// Where the accelerators are.
    fn placements(&self, request: &RunRequest, nodes: Option<&[Value]>) -> Result<Vec<Placement>> {
        if request.accelerators.is_empty() {
            return Ok(Vec::new());
        }
        let Some(nodes) = nodes else {
            self.ui
                .warn("you may not list the nodes, so nobody knows yet whether the cluster has what the run asks for");
            return Ok(request.accelerators.iter().map(place_unlisted).collect::<Result<_, _>>()?);
        };
        let placements: Vec<Placement> = request
            .accelerators
            .iter()
            .map(|want| place(want, nodes, &request.tolerations, request.queue.is_some()))
            .collect::<Result<_, _>>()?;
        for note in placements.iter().filter_map(|placement| placement.note.as_ref()) {
            self.ui.warn(note);
        }
        Ok(placements)
    }

    /// The nodes of the cluster, `None` if this user may not list them.
    pub fn nodes(&self) -> Result<Option<Vec<Value>>> {
        let cmd = self.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes");
        let reply = self.read(&cmd)?;
        if reply.succeeded() {
            return kubectl::objects(&reply, &cmd).map(Some);
        }
        if kubectl::refusal(&reply.stderr) == Some(Refusal::Forbidden) {
            return Ok(None);
        }
        Err(self.kubectl.failure(&reply, &cmd).into())
    }

    /// The cluster's answer, over the open way or by a kubectl.
    pub fn read(&self, cmd: &Cmd) -> Result<Reply> {
        self.api.and_then(|api| api.read(cmd)).map_or_else(|| self.shell.read(cmd), Ok)
    }

    /// kubectl with its flags, as it is typed.
    fn typed(&self, namespace: Option<&Namespace>) -> String {
        self.kubectl.cmd(namespace.map_or(Scope::Everywhere, Scope::In), "").to_string()
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
