//! The commands of a plan.

use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::k8s::manifests::{job, pretty, secret_env};
use crate::k8s::names::Namespace;
use crate::k8s::object::Resource;
use crate::plan::{Plan, PlannedImage};
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, Patch, Scope};

impl Plan {
    /// The command that makes the namespace, `None` where it is there.
    pub fn create_namespace(&self) -> Option<Cmd> {
        let why = format!("make the namespace `{}`", self.namespace);
        let document = pretty(self.new_namespace.as_ref()?);
        Some(self.kubectl.apply(Scope::Everywhere, "namespace.json", &document, why))
    }

    /// The command that puts the points of a sweep beside its Job, whose uid the cluster has told; `None`
    /// where there are none.
    pub fn create_points(&self, uid: &str) -> Option<Cmd> {
        let project = self.project.as_str();
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
    pub fn create_secret_env(&self, uid: &str, values: Option<&[(String, String)]>) -> Option<Cmd> {
        if self.secret_env.is_empty() {
            return None;
        }
        let project = self.project.as_str();
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
        let cmd = self.kubectl.hiding_bodies().create_with_output("name", &self.namespace, "", "", why);
        // to validate takes rights and time of its own
        Some(cmd.arg("--validate=false").hidden(text.unwrap_or_default(), typed))
    }

    /// The command that lets the Job of a sweep go, `None` where it goes by itself.
    pub fn release(&self) -> Option<Cmd> {
        let patch = job::release(&self.job)?;
        let why = format!("let the Job `{}` go", self.run);
        let job = Resource::Job.named(self.run.as_str());
        Some(self.kubectl.patch(Scope::In(&self.namespace), job, Patch::Merge, &patch, why))
    }

    /// The command that submits the Job.
    pub fn submit(&self) -> Cmd {
        self.submit_with_output("json")
    }

    /// The same, with an answer in this form: `json` for a program, `name` for a person.
    pub(super) fn submit_with_output(&self, form: &str) -> Cmd {
        let why = format!("submit the Job `{}`", self.run);
        self.kubectl.create_with_output(form, &self.namespace, "job.json", &pretty(&self.final_job()), why)
    }
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
