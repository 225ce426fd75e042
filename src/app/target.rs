//! Which cluster, which settings: from the flags, the contexts' file and the kubeconfig.

use std::ffi::OsStr;

use anyhow::Result;

use crate::app::App;
use crate::app::global::TOKEN_USER;
use crate::config::{self, ContextsFile, KubeConfig, RemoteContext};
use crate::k8s::names::{Namespace, nearest};
use crate::k8s::provider::Local;
use crate::tools::cluster::Cluster;
use crate::tools::cmd::quote;
use crate::tools::kubectl::Kubectl;
use crate::util::error::{Fail, usage};

/// The pair that a command works with: a remote context and a kube context.
#[derive(Debug, Clone)]
pub struct Target {
    /// The settings; those of no remote context are all absent.
    pub remote: Option<RemoteContext>,
    /// The kubeconfig context, if the kubeconfig has any.
    pub kube_context: Option<String>,
    /// The cluster, if it is one on this machine that takes images without a registry.
    pub local: Option<Local>,
    /// kubectl with the flags for that cluster.
    pub kubectl: Kubectl,
    /// What to do where the kubeconfig has no context at all.
    pub(crate) lack: Option<String>,
    /// The namespace that `-n` or the remote context names.
    pub namespace: Option<Namespace>,
    /// The namespace that the kube context names, else `default`.
    pub kube_namespace: Namespace,
}

/// The remote contexts' file, empty if there is none and nobody named one.
pub fn contexts(app: &App) -> Result<ContextsFile> {
    let file = &app.places.contexts;
    match config::read_contexts(file)? {
        Some(contexts) => Ok(contexts),
        None if app.places.contexts_named => {
            Err(usage(format!("there is no file `{}`, which `MRUNNER_CONFIG` names", file.display()))
                .hint("do without it by `unset MRUNNER_CONFIG`")
                .into())
        }
        None => Ok(ContextsFile::default()),
    }
}

/// The names in the user's kubeconfig.
pub fn kubeconfig(app: &App) -> Result<KubeConfig> {
    match &app.global.kubernetes.kubeconfig {
        Some(file) => config::read_explicit_kubeconfig(file.as_ref()),
        None => config::read_kubeconfig(&app.places.kubeconfig),
    }
}

/// The kube context of a remote context: its own, that of the same name, the current one.
pub fn kube_context_of(remote: &RemoteContext, kubeconfig: &KubeConfig) -> Option<String> {
    let same_name = kubeconfig.get(&remote.name).map(|kube| kube.name.clone());
    remote.kube_context.clone().or(same_name).or_else(|| kubeconfig.current.clone())
}

impl Target {
    /// Returns the cluster without the settings of its context.
    pub fn cluster<'a>(&'a self, app: &'a App) -> Cluster<'a> {
        Cluster { ui: &app.ui, shell: &app.shell, kubectl: &self.kubectl, cache: &app.places.cache, api: None }
    }

    /// Finds it. Reads files, starts no process.
    pub fn resolve(app: &App) -> Result<Self> {
        Ok(Self::choose(app, &contexts(app)?, &kubeconfig(app)?)?)
    }

    /// The one that flags and environment ask for, else the current one.
    pub fn choose(app: &App, contexts: &ContextsFile, kubeconfig: &KubeConfig) -> Result<Self, Fail> {
        let variable = app.places.context.as_ref().filter(|_| app.global.context.is_none());
        let wanted = app.global.context.as_ref().or(variable).or(contexts.current_context.as_ref());
        match wanted {
            Some(name) => Self::named(app, name, contexts, kubeconfig).map_err(|error| match variable {
                Some(_) => error.fact("named by", "the variable `MRUNNER_CONTEXT`"),
                None => error,
            }),
            None => Self::of(app, None, kubeconfig.current.clone(), kubeconfig),
        }
    }

    /// The one of this name: a remote context, else a kube context.
    pub fn named(app: &App, name: &str, contexts: &ContextsFile, kubeconfig: &KubeConfig) -> Result<Self, Fail> {
        match (contexts.get(name), kubeconfig.get(name)) {
            (Some(remote), _) => {
                let kube = kube_context_of(remote, kubeconfig);
                Self::of(app, Some(remote.clone()), kube, kubeconfig)
            }
            (None, Some(kube)) => Self::of(app, None, Some(kube.name.clone()), kubeconfig),
            (None, None) => Err(unknown(name, contexts, kubeconfig)),
        }
    }

    /// The pair of these two, unless a flag names another kube context.
    fn of(
        app: &App,
        remote: Option<RemoteContext>,
        kube_context: Option<String>,
        kubeconfig: &KubeConfig,
    ) -> Result<Self, Fail> {
        let kube_named = |name: &str| kubeconfig.get(name);
        let overridden = app.global.kubernetes.kube_context.clone();
        if let Some(name) = &overridden
            && kube_named(name).is_none()
        {
            return Err(unknown_kube(name, "`--kube-context`", kubeconfig));
        }
        let kube_context = overridden.or(kube_context);
        if let (Some(name), Some(remote)) = (&kube_context, &remote)
            && kube_named(name).is_none()
            && remote.kube_context.as_ref() == Some(name)
        {
            return Err(unknown_kube(name, &format!("the context `{}`", remote.name), kubeconfig));
        }
        let mut flags: Vec<String> = kube_context.iter().flat_map(|name| named("--context", name)).collect();
        flags.extend(app.global.kubernetes.forwarded());
        let namespace = app.global.namespace.as_deref().map(|name| {
            Namespace::given(name).ok_or_else(|| {
                usage(format!("`{name}` can't be a namespace"))
                    .hint("lower-case letters, digits and `-`, at most 63, such as `lab-anna`")
            })
        });
        let kube_namespace = kube_context.as_deref().and_then(kube_named).and_then(|c| c.namespace.as_deref());
        Ok(Self {
            namespace: namespace.transpose()?.or_else(|| remote.as_ref().and_then(|r| r.namespace.clone())),
            remote,
            local: kube_context
                .as_deref()
                .and_then(kube_named)
                .and_then(|kube| Local::of(&kube.name, kube.by_minikube)),
            kube_context,
            lack: kubeconfig.contexts.is_empty().then(|| kubeconfig.lack()),
            kubectl: Kubectl { program: app.places.kubectl.clone(), flags },
            kube_namespace: Namespace::given(kube_namespace.unwrap_or("default"))
                .unwrap_or_else(|| Namespace::of_project("default")),
        })
    }

    /// An error if there is no cluster to talk to: kubectl would dial localhost:8080 instead.
    pub fn require_cluster(&self) -> Result<(), Fail> {
        let named = self.kubectl.flags.iter().any(|flag| flag == "--server");
        if self.kube_context.is_some() || named {
            return Ok(());
        }
        if let Some(lack) = &self.lack {
            return Err(usage("it is not known which cluster is meant").hint(lack));
        }
        Err(usage("the kubeconfig has no current context")
            .hint("choose one with `kubectl config use-context NAME`, or for this command with `--kube-context NAME`"))
    }

    /// The pair, as it is told to the user.
    pub fn describe(&self) -> String {
        let kube = self.kube_context.as_deref().unwrap_or("none");
        match &self.remote {
            Some(remote) => format!("{} (kube context {kube})", remote.name),
            None => format!("kube context {kube}, no remote context"),
        }
    }

    /// The flags that lead mrunner to the same place again, as they are typed.
    pub fn flags(&self, app: &App) -> Vec<String> {
        let mut flags = Vec::new();
        if let Some(name) = app.global.context.as_ref().or(app.places.context.as_ref()) {
            flags.extend(named("--context", name));
        }
        if let Some(name) = &app.global.kubernetes.kube_context {
            flags.extend(named("--kube-context", name));
        }
        flags.extend(app.global.kubernetes.forwarded());
        if let Some(at) = flags.iter().position(|flag| flag == TOKEN_USER) {
            // what was typed, without what it held
            flags.splice(at - 1..=at, ["--token".to_owned(), "TOKEN".to_owned()]);
        }
        flags
    }
}

/// A flag with its value: one word where the value begins with a dash, as a context's name may.
fn named(flag: &str, value: &str) -> Vec<String> {
    if value.starts_with('-') { vec![format!("{flag}={value}")] } else { vec![flag.to_owned(), value.to_owned()] }
}

fn unknown(name: &str, contexts: &ContextsFile, kubeconfig: &KubeConfig) -> Fail {
    let list = |names: Vec<&str>| {
        if names.is_empty() {
            "none".to_owned()
        } else {
            names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        }
    };
    let remotes: Vec<&str> = contexts.contexts.iter().map(|c| c.name.as_str()).collect();
    let kubes: Vec<&str> = kubeconfig.contexts.iter().map(|c| c.name.as_str()).collect();
    let error = usage(format!("no context is called `{name}`"))
        .fact("remote contexts", list(remotes.clone()))
        .fact("kubeconfig contexts", list(kubes.clone()));
    let known: Vec<&str> = remotes.into_iter().chain(kubes).collect();
    match nearest(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `--context {}`?", quote(near.as_ref()))),
        None if known.is_empty() => error.hint(kubeconfig.lack()),
        None => error.hint("name one of these with `--context NAME`"),
    }
}

/// The error for a kube context that is not in the kubeconfig.
pub fn unknown_kube(name: &str, said_by: &str, kubeconfig: &KubeConfig) -> Fail {
    let error = usage(format!("the kubeconfig has no context `{name}`, which {said_by} names"));
    if kubeconfig.contexts.is_empty() {
        return error.hint(kubeconfig.lack());
    }
    match nearest(name, kubeconfig.contexts.iter().map(|c| c.name.as_str())) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("list them with `kubectl config get-contexts`"),
    }
}

/// One of our own commands as it is typed, for the same cluster.
pub(crate) fn typed(app: &App, target: &Target, words: &[&str]) -> String {
    let flags = target.flags(app);
    let words = flags.iter().map(String::as_str).chain(words.iter().copied());
    words.fold("kubectl mrunner".to_owned(), |line, word| line + " " + &quote(OsStr::new(word)))
}
