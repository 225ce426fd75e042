//! What every verb works with: where things are, who prints, who starts processes.

pub mod env_files;
pub mod global;
pub mod target;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use tempfile::NamedTempFile;

use crate::app::env_files::EnvFiles;
use crate::app::global::Global;
use crate::tools::shell::Shell;
use crate::util::error::fail;
use crate::util::ui::Ui;

/// Built once in `main`.
#[derive(Debug)]
pub struct App {
    /// Prints.
    pub ui: Ui,
    /// Starts processes.
    pub shell: Shell,
    /// The flags of every verb.
    pub global: Global,
    /// Where things are.
    pub places: Places,
    /// The files of variables that were read.
    pub env_files: EnvFiles,
    /// The file with the token that was given; it goes when this does.
    token: Option<NamedTempFile>,
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
    /// The folder of docker's configuration: `$DOCKER_CONFIG` or `~/.docker`.
    pub docker: PathBuf,
    /// What may be lost: `mrunner` in `$XDG_CACHE_HOME` or `~/.cache`.
    pub cache: PathBuf,
    /// The kubeconfig files, in kubectl's order; `--kubeconfig` replaces them.
    pub kubeconfig: Vec<PathBuf>,
    /// `$MRUNNER_CONTEXT`.
    pub context: Option<String>,
    /// `$MRUNNER_KUBECTL`, `$KUBECTL_PATH` (set by kubectl 1.37 and newer), else `kubectl`.
    pub kubectl: OsString,
    /// `$KUBE_EDITOR`, `$VISUAL`, `$EDITOR`, else `vi`, as for `kubectl edit`; may hold arguments.
    pub editor: String,
    /// The folder that mrunner was started in.
    pub folder: PathBuf,
    /// How much of each pause and deadline is waited for: all of it. `$MRUNNER_TEST_PATIENCE` is for
    /// tests, such as `0.05`.
    pub time_scale: f64,
}

impl App {
    /// Puts it together. A token that was given goes into a private file, as a child's command line
    /// can be read by everybody on the machine.
    pub fn new(ui: Ui, shell: Shell, global: Global, places: Places) -> Result<Self> {
        let shell = if global.kubernetes.wants_log() { shell.showing_logs() } else { shell };
        let mut app = Self { ui, shell, global, places, env_files: EnvFiles::default(), token: None };
        if let Some(config) = app.global.kubernetes.token_config() {
            let cannot = "failed to keep the token in a private file";
            let mut file = tempfile::Builder::new().prefix("mrunner-").tempfile().context(cannot)?;
            file.write_all(config.as_bytes()).context(cannot)?;
            app.shell = app.shell.with_env("KUBECONFIG", &Self::with_token(&app.kubeconfig(), file.path()));
            app.token = Some(file);
        }
        Ok(app)
    }

    /// The kubeconfig's files, absolute, as `$KUBECONFIG` has them.
    pub fn kubeconfig(&self) -> OsString {
        let named = self.global.kubernetes.kubeconfig.as_ref().map(|file| vec![PathBuf::from(file)]);
        let files = named.unwrap_or_else(|| self.places.kubeconfig.clone());
        env::join_paths(files.iter().map(|file| self.places.folder.join(file))).unwrap_or_default()
    }

    /// The shell whose kubectl reads these files, and the one with the token if there is one.
    pub fn shell_with_kubeconfig(&self, files: &OsStr) -> Shell {
        let files = self.token.as_ref().map_or_else(|| files.to_owned(), |file| Self::with_token(files, file.path()));
        self.shell.with_env("KUBECONFIG", &files)
    }

    fn with_token(files: &OsStr, token: &Path) -> OsString {
        // last, so that kubectl never takes it for the file to write to
        env::join_paths(env::split_paths(files).chain([token.to_owned()])).unwrap_or_default()
    }
}

/// A variable of the environment that the user's file names, such as one that holds a password.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

impl Places {
    /// Looks at the environment.
    pub fn from_environment() -> Result<Self> {
        let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
        // what is relative to the current folder is as anybody left it there; so is a Unix path to Windows
        let home = ["HOME", "USERPROFILE"]
            .into_iter()
            .find_map(|name| set(name).map(PathBuf::from).filter(|home| home.is_absolute()));
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
            docker: match set("DOCKER_CONFIG") {
                Some(folder) => folder.into(),
                None => home.as_ref().map(|home| home.join(".docker")).unwrap_or_default(),
            },
            cache: under_home("XDG_CACHE_HOME", ".cache")?.join("mrunner"),
            kubeconfig,
            context: set("MRUNNER_CONTEXT").and_then(|name| name.into_string().ok()),
            kubectl: set("MRUNNER_KUBECTL").or_else(|| set("KUBECTL_PATH")).unwrap_or_else(|| "kubectl".into()),
            editor: ["KUBE_EDITOR", "VISUAL", "EDITOR"]
                .iter()
                .find_map(|name| set(name)?.into_string().ok())
                .unwrap_or_else(|| if cfg!(windows) { "notepad" } else { "vi" }.to_owned()),
            folder: env::current_dir()
                .map_err(|e| fail(format!("the current folder can't be read: {e}")).hint("`cd` into your project"))?,
            time_scale: set("MRUNNER_TEST_PATIENCE")
                .and_then(|part| part.to_str()?.parse().ok())
                .filter(|part| (0.0..=1.0).contains(part))
                .unwrap_or(1.0),
        })
    }
}
