//! Deletes the objects of a project.

use super::{DeleteArgs, LOOKS, POLL_INTERVAL};
use crate::app::App;
use crate::app::target::typed;
use crate::cli::commands::ls::time;
use crate::cli::commands::storage::place::Project;
use crate::k8s::manifests::{PROJECT, RUN};
use crate::k8s::names::{VolumeName, label_value};
use crate::k8s::object::{Object, Resource};
use crate::ops::facts::storage::{ProjectObjects, released};
use crate::ops::locate_volume::{self, VolumeArgs};
use crate::runs::archive;
use crate::storage::check::foreign;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Patch, Scope};
use crate::tools::shell::was_interrupted;
use crate::transfer::protocol::{Entries, FileKind, Request};
use crate::transfer::records::Records;
use crate::transfer::report::count;
use crate::transfer::session;
use crate::transfer::source::OWN;
use crate::util::error::{Refusal, fail, flatten};
use crate::util::ui::size;
use anyhow::Result;
use serde_json::{Value, json};
use std::ffi::OsString;

/// Removes a folder of the storage. Returns its size, if it could be read.
pub(super) fn remove(session: &session::Session, path: &[u8]) -> Result<session::Sum> {
    let sum = session.sum(path).ok().flatten().unwrap_or_default();
    session.order(&Request::Remove { path }, path)?;
    Ok(sum)
}

/// A project to delete.
pub(super) struct ProjectDeletion<'a> {
    pub(super) app: &'a App,
    pub(super) project: &'a Project<'a>,
}

impl ProjectDeletion<'_> {
    pub(super) fn scope(&self) -> Scope<'_> {
        Scope::In(&self.project.request.namespace)
    }

    pub(super) fn selector(&self) -> String {
        format!("{RUN},{PROJECT}={}", label_value(&self.project.request.project))
    }

    pub(super) fn read(&self, cmd: &Cmd) -> Result<Vec<Value>> {
        let reply = self.app.shell.read(cmd)?;
        if reply.succeeded() {
            return kubectl::objects(&reply, cmd);
        }
        Err(self.project.target.kubectl.failure(&reply, cmd).into())
    }

    pub(super) fn run(&self, cmd: &Cmd) -> Result<()> {
        let reply = self.app.shell.run(cmd)?;
        let gone = [Some(Refusal::NotFound), Some(Refusal::NoNamespace)];
        if reply.succeeded() || gone.contains(&kubectl::refusal(&reply.stderr)) {
            return Ok(());
        }
        Err(self.project.target.kubectl.failure(&reply, cmd).into())
    }

    /// The names of the project's Jobs.
    pub(super) fn runs(&self) -> Result<Vec<String>> {
        let cmd = self.project.target.kubectl.get(self.scope(), &["jobs"], Some(&self.selector()), "read the runs");
        let jobs = self.read(&cmd)?;
        Ok(jobs.iter().map(|job| Object::of(job).name().to_owned()).collect())
    }

    /// An error for data that do not belong to the project.
    pub(super) fn may_lose(&self, standing: &ProjectObjects) -> Result<()> {
        let (request, claim) = (&self.project.request, &self.project.request.storage.claim);
        if request.storage.given {
            return Err(fail(format!("the claim `{claim}` was named by the context, and may hold the data of others"))
                .hint("delete it yourself if it should go; without `--delete-data` only the runs are deleted")
                .into());
        }
        let Some(object) = standing.claim() else { return Ok(()) };
        foreign(object, &request.project).map_or(Ok(()), |error| Err(error.into()))
    }

    /// An error if a run of another project is active in the namespace: it may use the same claim, and would lose
    /// its data or its namespace.
    pub(super) fn require_alone(&self) -> Result<()> {
        let (kubectl, request) = (&self.project.target.kubectl, &self.project.request);
        let cmd = kubectl.get(self.scope(), &["jobs,pods"], Some(RUN), "see who else works in the namespace");
        let own = label_value(&request.project);
        let others: Vec<Value> =
            self.read(&cmd)?.into_iter().filter(|object| Object::of(object).label(PROJECT) != Some(&own)).collect();
        let Some(run) = locate_volume::busy(&others).into_iter().next() else { return Ok(()) };
        let namespace = request.namespace.as_str();
        Err(fail(format!("the run `{run}` of another project goes on in the namespace `{namespace}`"))
            .hint(format!(
                "end it with `{}`",
                typed(self.app, &self.project.target, &["delete", "-n", namespace, &run])
            ))
            .into())
    }

    /// Reports the amount and the age of the data.
    pub(super) fn tell_data(&self, args: &DeleteArgs, standing: &ProjectObjects) {
        let ui = &self.app.ui;
        let Some(claim) = standing.claim() else {
            let released: Vec<String> =
                self.released().unwrap_or_default().iter().map(|name| format!("`{name}`")).collect();
            let words = if released.is_empty() {
                "there is none".to_owned()
            } else {
                format!("no claim, but what it left: {} with all data", released.join(", "))
            };
            ui.tell("storage", words);
            return;
        };
        let volume = claim.volume().map_or("no volume".to_owned(), |name| format!("volume `{name}`"));
        ui.tell("storage", format!("the claim `{}` with its {volume}", self.project.request.storage.claim));
        match self.data(args) {
            Ok(what) => ui.tell("data", what),
            Err(error) => ui.warn(format!("how much data there are is not known: {error:#}")),
        }
    }

    pub(super) fn data(&self, args: &DeleteArgs) -> Result<String> {
        let (place, session) = self.session(args, true)?;
        let (data, own) = (session.sum(&place)?.unwrap_or_default(), session.sum(OWN)?.unwrap_or_default());
        let newest =
            data.newest.max(own.newest).map_or(String::new(), |mtime| format!(", the newest of {}", time(mtime)));
        let what = count(data.files.saturating_add(own.files), data.bytes.saturating_add(own.bytes));
        let kept =
            if own.files > 0 { format!(" ({} of them kept logs and records)", size(own.bytes)) } else { String::new() };
        Ok(format!("{what}{kept}{newest}"))
    }

    pub(super) fn session(&self, args: &DeleteArgs, read_only: bool) -> Result<(Vec<u8>, session::Session)> {
        let word = OsString::from(format!("{}:", args.name));
        let place = VolumeArgs { project: None, image: args.image.clone() };
        let found = locate_volume::find(&word, &place, self.app, &self.project.target, read_only)?;
        let session = session::open(self.project.target.cluster(self.app), found.access.clone(), read_only)?;
        Ok((found.source.path().to_vec(), session))
    }

    /// Deletes the Jobs first, then waits for their pods: a volume in use is not released.
    pub(super) fn delete_runs(&self, runs: &[String]) -> Result<()> {
        let (kubectl, namespace) = (&self.project.target.kubectl, &self.project.request.namespace);
        for some in runs.chunks(500) {
            let names: Vec<&str> = some.iter().map(String::as_str).collect();
            self.run(&kubectl.delete_jobs(namespace, &names))?;
        }
        let cmd = kubectl.get(self.scope(), &["pods"], Some(&self.selector()), "see whether the pods are gone");
        self.wait_for("the runs' pods", || Ok(self.read(&cmd)?.is_empty()))
    }

    /// Deletes the files on a server that does not delete them itself, the claim, its volume and the namespace.
    pub(super) fn delete_data(&self, args: &DeleteArgs, standing: &ProjectObjects) -> Result<()> {
        let (kubectl, request) = (&self.project.target.kubectl, &self.project.request);
        let delete = |scope, kind: &str, name: &str| {
            let why = format!("delete the {kind} `{name}`");
            kubectl
                .cmd(scope, why)
                .args(["delete", kind, name, "--ignore-not-found", "--wait=false", "-o", "name"])
                .deadline(kubectl::REQUEST_TIMEOUT)
        };
        if let Some(claim) = standing.claim() {
            let volume = claim.volume();
            let made_by_hand = standing.volume().is_some_and(|volume| volume.nfs().is_some());
            if made_by_hand {
                self.empty(args)?;
            } else if let Some(name) = volume.as_ref().filter(|_| standing.volume.is_some()) {
                // its provisioner deletes it with the claim; until now, the reclaim policy kept it
                self.delete_with_claim(name)?;
            }
            let name = request.storage.claim.as_str();
            self.run(&delete(self.scope(), "persistentvolumeclaim", name))?;
            let claim = [Resource::Claim.named(name)];
            let cmd = kubectl.get_named(self.scope(), &claim, "see whether the claim is gone");
            self.wait_for("the claim", || Ok(self.read(&cmd)?.is_empty()))?;
            if let Some(name) = volume.filter(|_| made_by_hand) {
                self.run(&delete(Scope::Everywhere, "persistentvolume", name.as_str()))?;
            }
            self.app.ui.tell("storage", "deleted");
        }
        if standing.claim.is_none() {
            for name in self.released()? {
                // its provisioner deletes unclaimed volumes
                self.delete_with_claim(&name)?;
                self.app.ui.tell("storage", format!("the volume `{name}` is deleted"));
            }
        }
        if let Some(namespace) = standing.namespace() {
            if request.own_namespace && namespace.is_from_mrunner() {
                self.run(&delete(Scope::Everywhere, "namespace", request.namespace.as_str()))?;
                self.app.ui.tell("namespace", "deleted; Kubernetes clears it away by and by");
            } else {
                self.app.ui.tell("namespace", format!("`{}` stays, as mrunner did not make it", request.namespace));
            }
        }
        Ok(())
    }

    /// The released volumes with the project's data.
    pub(super) fn released(&self) -> Result<Vec<VolumeName>> {
        let request = &self.project.request;
        released(self.project.cluster(), &request.project, &request.namespace, request.storage.claim.as_str())
    }

    /// Removes all files: an NFS volume has no provisioner that would.
    pub(super) fn empty(&self, args: &DeleteArgs) -> Result<()> {
        let (top, session) = self.session(args, false)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        for entry in Entries(&session.sums(&top)?) {
            let entry = entry?;
            if entry.kind != FileKind::Failed {
                names.push(entry.path.to_vec());
            }
        }
        names.push(b".mrunner".to_vec());
        for path in names {
            match session.order(&Request::Remove { path: &path }, &path) {
                Err(error) if !session::is_missing(&error) => return Err(error),
                _ => {}
            }
        }
        self.app.ui.tell("data", "deleted");
        Ok(())
    }

    /// Removes the logs and records of the project's runs, including runs whose Jobs are gone.
    pub(super) fn delete_kept(&self, args: &DeleteArgs, runs: &[String]) -> Result<()> {
        let (_, session) = self.session(args, false)?;
        let mut folders: Vec<Vec<u8>> = Vec::new();
        let listed = session.list(archive::RUNS.as_bytes(), |entry| {
            if entry.kind == FileKind::Folder && entry.path != archive::RUNS.as_bytes() {
                folders.push(entry.path.to_vec());
            }
            Ok(())
        });
        match listed {
            Err(error) if session::is_missing(&error) => return Ok(()),
            other => other?,
        }
        let (mut bytes, mut files) = (0, 0);
        let mut left: Vec<anyhow::Error> = Vec::new();
        for path in folders {
            // other projects may use the same claim
            let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
            let is_listed = runs.iter().any(|run| run.as_bytes() == name);
            if !is_listed && !self.is_own(&session, &path)? {
                continue;
            }
            match remove(&session, &path) {
                Ok(sum) => (bytes, files) = (bytes + sum.bytes, files + sum.files),
                Err(error) if was_interrupted(&error) || session::is_out_of_reach(&error) => return Err(error),
                Err(error) => left.push(error),
            }
        }
        self.app.ui.tell("storage", format!("deleted {} of kept logs and records", count(files, bytes)));
        if let Some(first) = left.first() {
            let what = if left.len() == 1 { "1 run".to_owned() } else { format!("{} runs", left.len()) };
            self.app.ui.warn(format!("the logs and records of {what} are still there: {}", flatten(first).message));
        }
        Ok(())
    }

    /// Whether the record in a run's folder is of this project.
    pub(super) fn is_own(&self, session: &session::Session, folder: &[u8]) -> Result<bool> {
        let folder = String::from_utf8_lossy(folder);
        let text = match Records::one(session, &folder, archive::RECORD) {
            Err(error) if was_interrupted(&error) || session::is_out_of_reach(&error) => return Err(error),
            // an unreadable record belongs to nobody
            read => read.ok().flatten().unwrap_or_default(),
        };
        Ok(archive::project_in(&text).as_ref() == Some(&self.project.request.project))
    }

    pub(super) fn delete_with_claim(&self, name: &VolumeName) -> Result<()> {
        let patch = json!({ "spec": { "persistentVolumeReclaimPolicy": "Delete" } });
        let why = format!("have the volume `{name}` go with its claim");
        let volume = Resource::Volume.named(name.as_str());
        let cmd = self.project.target.kubectl.patch(Scope::Everywhere, volume, Patch::Merge, &patch, why);
        let reply = self.app.shell.run(&cmd)?;
        if !reply.succeeded() {
            self.app.ui.warn(format!(
                "the volume `{name}` outlives its claim, with all data: {}; have an administrator delete it",
                reply.last_line()
            ));
        }
        Ok(())
    }

    pub(super) fn wait_for(&self, what: &str, gone: impl Fn() -> Result<bool>) -> Result<()> {
        for look in 0..LOOKS {
            if gone()? {
                return Ok(());
            }
            if look == 2 {
                self.app.ui.tell("waiting", format!("until {what} are gone"));
            }
            self.app.shell.sleep(POLL_INTERVAL)?;
        }
        Err(fail(format!("{what} are still there after {LOOKS} s; what comes after them was not deleted"))
            .hint(format!(
                "see what holds them with `{} get pods,pvc`, then type the same command again",
                self.project.target.kubectl.cmd(self.scope(), "")
            ))
            .into())
    }
}
