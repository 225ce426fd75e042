//! What every verb works with: where things are, who prints, who starts processes.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::Result;

use crate::error::fail;
use crate::flags::Global;
use crate::tools::shell::Shell;
use crate::ui::Ui;

/// Built once in `main`.
#[derive(Debug)]
pub struct App {
    /// Prints.
    pub ui: Ui,
    /// Starts processes.
    pub shell: Shell,
    /// The flags that go with every verb.
    pub global: Global,
    /// Where things are.
    pub places: Places,
}

/// Where things are, read from the environment once.
#[derive(Debug)]
pub struct Places {
    /// The remote contexts' file: `$MRUNNER_CONFIG`, else `mrunner/config.yaml` in
    /// `$XDG_CONFIG_HOME` or `~/.config`.
    pub contexts: PathBuf,
    /// Whether `$MRUNNER_CONFIG` named it, so that it must be there.
    pub contexts_named: bool,
    /// The journal's folder: `mrunner` in `$XDG_STATE_HOME` or `~/.local/state`.
    pub state: PathBuf,
    /// The kubeconfig files, in kubectl's order; `--kubeconfig` replaces them.
    pub kubeconfig: Vec<PathBuf>,
    /// `$MRUNNER_CONTEXT`.
    pub context: Option<String>,
    /// `$MRUNNER_KUBECTL`, `$KUBECTL_PATH` (set by kubectl 1.37 and newer), else `kubectl`.
    pub kubectl: OsString,
    /// The folder that mrunner was started in.
    pub folder: PathBuf,
    /// How much of each pause and deadline is waited for: all of it. `$MRUNNER_TEST_PATIENCE` is for
    /// tests, such as `0.05`.
    pub patience: f64,
}

impl App {
    /// The kubeconfig's files, absolute, as `$KUBECONFIG` has them.
    pub fn kubeconfig(&self) -> OsString {
        let named = self.global.kubernetes.kubeconfig.as_ref().map(|file| vec![PathBuf::from(file)]);
        let files = named.unwrap_or_else(|| self.places.kubeconfig.clone());
        env::join_paths(files.iter().map(|file| self.places.folder.join(file))).unwrap_or_default()
    }
}

impl Places {
    /// Looks at the environment.
    pub fn from_environment() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        let home = set("HOME").or_else(|| set("USERPROFILE")).map(PathBuf::from);
        let under_home = |name: &str, below: &str| match (set(name).map(PathBuf::from), &home) {
            // the XDG specification has a relative path ignored
            (Some(path), _) if path.is_absolute() => Ok(path),
            (_, Some(home)) => Ok(home.join(below)),
            _ => Err(fail("the environment has no `HOME`").hint("set it, such as with `export HOME=~`")),
        };
        let kubeconfig = match set("KUBECONFIG") {
            Some(list) => env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => home.iter().map(|home| home.join(".kube").join("config")).collect(),
        };
        Ok(Self {
            contexts_named: set("MRUNNER_CONFIG").is_some(),
            contexts: match set("MRUNNER_CONFIG") {
                Some(path) => path.into(),
                None => under_home("XDG_CONFIG_HOME", ".config")?.join("mrunner").join("config.yaml"),
            },
            state: under_home("XDG_STATE_HOME", ".local/state")?.join("mrunner"),
            kubeconfig,
            context: set("MRUNNER_CONTEXT").and_then(|name| name.into_string().ok()),
            kubectl: set("MRUNNER_KUBECTL").or_else(|| set("KUBECTL_PATH")).unwrap_or_else(|| "kubectl".into()),
            folder: env::current_dir()
                .map_err(|e| fail(format!("the current folder can't be read: {e}")).hint("`cd` into your project"))?,
            patience: set("MRUNNER_TEST_PATIENCE")
                .and_then(|part| part.to_str()?.parse().ok())
                .filter(|part| (0.0..=1.0).contains(part))
                .unwrap_or(1.0),
        })
    }
}
