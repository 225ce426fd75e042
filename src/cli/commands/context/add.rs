//! `context add`: takes the given settings, and proposes others.

use std::time::Duration;

use anyhow::Result;
use clap::Args;

use super::pair;
use crate::app::App;
use crate::app::target::{self, Target};
use crate::config::edit::{Change, scalar};
use crate::config::save::Held;
use crate::config::{ContextsFile, KubeConfig};
use crate::k8s::provider::{Local, google_registry};
use crate::storage::choose::Class;
use crate::tools::cmd::quote;
use crate::tools::kubectl::{self, Scope};
use crate::util::error::{Fail, usage};

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner context add lab --registry-url https://registry.example.com/team\n  kubectl mrunner context add big --kube-context gke_rl_europe-west4_train --set queue=a --use"
)]
pub(super) struct AddArgs {
    /// Name of the context
    name: String,
    /// Registry to push images to; the cluster must reach it too
    #[arg(long, value_name = "URL")]
    registry_url: Option<String>,
    /// Mount path of the project's volume
    #[arg(long, value_name = "FOLDER", default_value = "/storage")]
    storage: String,
    /// Storage class for new projects
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,
    /// Google project of the registry
    #[arg(long, value_name = "ID")]
    google_project_id: Option<String>,
    /// Set another key, its value in YAML; can be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Make it the current context
    #[arg(long = "use")]
    make_current: bool,
}

/// Adds a context.
pub(super) fn exec(args: &AddArgs, app: &App) -> Result<()> {
    let kubeconfig = target::kubeconfig(app)?;
    let given = &app.global.kubernetes.kube_context;
    let same = kubeconfig.contexts.iter().find(|c| c.name == args.name).map(|c| c.name.clone());
    let mut kube = given.clone().or(same).or_else(|| kubeconfig.current.clone());
    let others = args.set.iter().map(|text| pair(text)).collect::<Result<Vec<_>, _>>()?;
    let has = |key: &str| others.iter().any(|(known, _)| known == key);
    if given.is_none() && !has("kube_context") && app.ui.can_ask() && kube.as_deref() != Some(args.name.as_str()) {
        kube = app.ui.ask("kube context", kube.as_deref().unwrap_or_default()).filter(|name| !name.is_empty());
    }
    if let Some(name) = kube.as_ref().filter(|name| kubeconfig.contexts.iter().all(|c| c.name != **name)) {
        return Err(target::unknown_kube(name, "`--kube-context`", &kubeconfig).into());
    }
    let known = kube.as_ref().and_then(|name| kubeconfig.get(name));
    let is_local = known.is_some_and(|kube| Local::of(&kube.name, kube.by_minikube).is_some());
    let mut keys: Vec<(String, String)> =
        vec![("type".into(), "kubernetes".into()), ("storage".into(), scalar(&args.storage))];
    let mut put = |key: &str, value: &Option<String>| {
        if let Some(value) = value.as_ref().filter(|value| !value.is_empty() && !has(key)) {
            keys.push((key.to_owned(), scalar(value)));
        }
    };
    let registry =
        if has("registry_url") || is_local { args.registry_url.clone() } else { registry(args, kube.as_deref(), app)? };
    put("registry_url", &registry);
    put("google_project_id", &args.google_project_id);
    put("kube_context", &kube.clone().filter(|name| *name != args.name));
    put("namespace", &app.global.namespace);
    let may_propose = !has("storage_class") && !has("storage_claim");
    let class = args.storage_class.clone().or_else(|| may_propose.then(|| class(app, kube.as_deref(), &kubeconfig))?);
    put("storage_class", &class);
    keys.extend(others.iter().cloned());

    let mut file = Held::take(&app.places.contexts)?;
    let after = file.change(&Change::Add(&args.name, &keys))?;
    let first = after.contexts.len() == 1 && after.current_context.is_none();
    if args.make_current || first {
        file.change(&Change::Use(&args.name))?;
    }
    file.save()?;
    let which =
        kube.map_or_else(|| "the kubeconfig's current context".to_owned(), |kube| format!("the kube context `{kube}`"));
    let current = if args.make_current || first { ", and the current context now" } else { "" };
    app.ui.say(format!("`{}` added to `{}`, for {which}{current}", args.name, app.places.contexts.display()));
    if !(args.make_current || first) {
        app.ui.say(format!("next:\n  kubectl mrunner context use {}", quote(args.name.as_ref())));
    }
    Ok(())
}

/// The given registry, or the one that the user types.
fn registry(args: &AddArgs, kube: Option<&str>, app: &App) -> Result<Option<String>, Fail> {
    if args.registry_url.is_some() {
        return Ok(args.registry_url.clone());
    }
    let proposal = kube.and_then(google_registry);
    let ask = || app.ui.ask("registry to publish images in (a URL)", proposal.as_deref().unwrap_or_default());
    let named = app.ui.can_ask().then(ask).flatten().filter(|url| !url.is_empty());
    if named.is_some() {
        return Ok(named);
    }
    Err(usage("no registry is named, in which images are published").hint(match &proposal {
        Some(url) => format!("for this cluster such as `--registry-url {url}`"),
        None => "name it with `--registry-url URL`; the cluster must reach it as well".to_owned(),
    }))
}

/// The storage class that is proposed and accepted.
fn class(app: &App, kube: Option<&str>, kubeconfig: &KubeConfig) -> Option<String> {
    let mut class = shared_class(app, kube, kubeconfig);
    if let Some(name) = class.as_ref().filter(|_| app.ui.can_ask()) {
        class = app.ui.ask("storage class, which must give ReadWriteMany volumes", name);
    }
    if let Some(name) = &class {
        app.ui.tell("storage", format!("the class `{name}` is known to share volumes between nodes"));
    }
    class
}

/// The only class of the cluster that is known to share volumes. If the cluster does not answer, that is reported,
/// and there is no proposal.
fn shared_class(app: &App, kube: Option<&str>, kubeconfig: &KubeConfig) -> Option<String> {
    let target = Target::named(app, kube?, &ContextsFile::default(), kubeconfig).ok()?;
    let mut cmd = target.kubectl.get(Scope::Everywhere, &["storageclasses"], None, "ask for the storage classes");
    cmd.deadline = Some(Duration::from_secs(5));
    let answer = app.shell.read(&cmd).and_then(|reply| {
        if reply.succeeded() {
            kubectl::objects(&reply, &cmd)
        } else {
            Err(target.kubectl.failure(&reply, &cmd).into())
        }
    });
    match answer {
        Err(error) => {
            app.ui.warn(format!("the cluster did not tell its storage classes, so none is proposed: {error:#}"));
            None
        }
        Ok(objects) => {
            let mut shared = objects.iter().filter_map(Class::from_object).filter(Class::is_shared);
            let first = shared.next()?;
            shared.next().is_none().then_some(first.name)
        }
    }
}
