//! A project in the real cluster: a namespace that enforces Pod Security `restricted`, a home, a
//! remote context, a folder, and PATH with a noting stand-in before docker and kubectl.

#[path = "../../it/support/clean.rs"]
mod clean;
pub mod live;

use std::cell::Cell;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::live::{Live, Outcome, until};

/// The cluster's registry.
pub const REGISTRY: &str = "127.0.0.1:5000";

/// Reads a file of another run of the project.
const READER: &str = "import os, sys
print(open(os.path.join(os.environ['STORAGE_DIR'], sys.argv[1])).read(), end='')
";

pub struct Project {
    dir: TempDir,
    pub namespace: String,
    env: Vec<(String, OsString)>,
    started: Cell<usize>,
}

impl Project {
    /// A project whose namespace is there and whose remote context names it, with a class that
    /// every node shares.
    pub fn new() -> Self {
        let mut project = Self::unmade();
        project.context("storage_class: shared");
        project.create_with_user();
        project
    }

    /// A project of which nothing is in the cluster; its remote context names no namespace.
    pub fn unmade() -> Self {
        the_cluster_is_there();
        let dir = TempDir::new().unwrap();
        let mut random = [0; 4];
        getrandom::fill(&mut random).unwrap();
        let namespace = format!("test-{:08x}", u32::from_le_bytes(random));
        let project = Self { dir, namespace, env: Vec::new(), started: Cell::new(0) };
        for folder in ["bin", "home", "folder"] {
            fs::create_dir(project.path(folder)).unwrap();
        }
        for tool in ["docker", "kubectl"] {
            let stand_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/tool");
            symlink(stand_in, project.path("bin").join(tool)).unwrap();
        }
        project.own_context("storage_class: shared");
        project.script("print('hello')");
        project
    }

    /// Writes the remote context: what all tests share, and `keys`, one a line.
    pub fn context(&self, keys: &str) {
        self.context_with(REGISTRY, keys);
    }

    /// The same with another registry.
    pub fn context_with(&self, registry: &str, keys: &str) {
        self.write_context(registry, &format!("project: cluster-tests\nnamespace: {}\n{keys}", self.namespace));
    }

    /// Writes the remote context of a project with a namespace of its own.
    pub fn own_context(&self, keys: &str) {
        self.write_context(REGISTRY, &format!("project: {}\n{keys}", self.namespace));
    }

    fn write_context(&self, registry: &str, keys: &str) {
        // a trial of each new volume would only take time, where it is not what is tested
        let probe = if keys.contains("probe_storage") { "" } else { "probe_storage: false\n" };
        // no `kube_context`: it is the current one of KUBECONFIG, whatever it is called
        let keys = format!("name: lab\ntype: kubernetes\nstorage: /storage\nregistry_url: {registry}\n{probe}{keys}");
        let text = format!("current_context: lab\ncontexts:\n  lab:\n    {}\n", keys.replace('\n', "\n    "));
        self.write("contexts.yaml", &text);
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap_or_default()
    }

    /// The experiment's script, `train.py`. A text that is the same each time finds its image in
    /// the registry the next time.
    pub fn script(&self, python: &str) {
        self.write("folder/train.py", &(python.to_owned() + "\n"));
    }

    /// The same, so that its image is certainly not there yet.
    pub fn new_script(&self, python: &str) {
        self.script(&format!("# {}\n{python}", self.namespace));
    }

    pub fn env(&mut self, name: &str, value: impl Into<OsString>) {
        self.env.push((name.to_owned(), value.into()));
    }

    /// From now on `tool` does this first, in shell: `$*` is how it was called, `$tool` the real one,
    /// `$PPID` who called it. What does not end by `exit` goes on to the real one.
    pub fn fault(&self, tool: &str, script: &str) {
        self.write(&format!("{tool}.fault"), script);
    }

    pub fn mend(&self, tool: &str) {
        fs::remove_file(self.path(&format!("{tool}.fault"))).unwrap();
    }

    /// How `tool` was called so far, as far as `words` are in it.
    pub fn calls(&self, tool: &str, words: &str) -> Vec<String> {
        let calls = self.read(&format!("{tool}.calls"));
        calls.lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
    }

    /// A command in the project's folder and environment.
    pub fn command(&self, name: &str, args: &[&str]) -> Command {
        let own = Path::new(env!("CARGO_BIN_EXE_kubectl-mrunner")).parent().unwrap().to_owned();
        let path = env::var_os("PATH").unwrap();
        let path = [self.path("bin"), own].into_iter().chain(env::split_paths(&path));
        let home = env::var_os("HOME").unwrap_or_default();
        let docker = env::var_os("DOCKER_CONFIG").unwrap_or_else(|| Path::new(&home).join(".docker").into());
        let mut command = program(name);
        command
            .args(args)
            .current_dir(self.path("folder"))
            .env("PATH", env::join_paths(path).unwrap())
            .env("HOME", self.path("home"))
            .env("DOCKER_CONFIG", docker)
            .env("MRUNNER_CONFIG", self.path("contexts.yaml"))
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null());
        command
    }

    pub fn start(&self, args: &[&str]) -> Live {
        self.spawn(self.command("kubectl-mrunner", args))
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        self.start(args).end()
    }

    /// As somebody who has the kubeconfig and nothing else of this project.
    pub fn elsewhere(&self, args: &[&str]) -> Outcome {
        let mut command = self.command("kubectl-mrunner", args);
        let home = TempDir::new().unwrap();
        command.env("HOME", home.path()).env_remove("MRUNNER_CONFIG").current_dir(home.path());
        self.spawn(command).end()
    }

    pub fn spawn(&self, command: Command) -> Live {
        self.started.set(self.started.get() + 1);
        Live::start(command, &self.path(&self.started.get().to_string()))
    }

    /// What the run left in a file of the project's storage, as another run reads it.
    pub fn left(&self, file: &str) -> String {
        self.write("reader/read.py", READER);
        let mut command = self.command("kubectl-mrunner", &["run", "--follow", "read.py", "--", file]);
        command.current_dir(self.path("reader"));
        self.spawn(command).end().ok().stdout
    }

    /// The names of journals that are there.
    pub fn journals(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.path("home/.local/state/mrunner/runs")) else { return Vec::new() };
        let names = folder.map(|e| e.unwrap().file_name().into_string().unwrap());
        names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect()
    }

    /// Makes an object in the project's namespace, as the cluster's administrator.
    pub fn create(&self, object: &Value) {
        self.write("object.json", &object.to_string());
        let file = self.path("object.json");
        admin(&["create", "-n", &self.namespace, "-f", file.to_str().unwrap()]);
    }

    /// Makes a claim called `name`.
    pub fn claim(&self, name: &str, class: &str, mode: &str) {
        self.create(&json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
            "storageClassName": class,
            "accessModes": [mode],
            "resources": {"requests": {"storage": "1Gi"}},
        }}));
    }

    /// A quota that leaves room for none of these.
    pub fn quota(&self, kind: &str) {
        let name = format!("none-of-{}", kind.rsplit('/').next().unwrap_or(kind));
        let spec = json!({"hard": {kind: "0"}});
        self.create(&json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}));
        // a quota counts only once its controller has seen it
        let seen =
            until(|| self.objects("resourcequotas").iter().all(|q| q["status"]["hard"].is_object()).then_some(()));
        assert!(seen.is_some(), "nobody looks after the quota");
    }

    /// Creates the namespace with a user who may do what `rbac` prints, for the namespace and the cluster, and nothing
    /// else. From now on the project is that user's.
    fn create_with_user(&mut self) {
        let account = format!("{}:somebody", self.namespace);
        let words = ["rbac", "-n", &self.namespace, "--name", &self.namespace, "--for-serviceaccount", &account];
        let role = self.run(&[&words[..], &["--cluster-wide", "--pull-secret", "-o", "json"]].concat()).ok().stdout;
        // one call for all, as every test makes it
        let mut all: Value = serde_json::from_str(&role).unwrap();
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": self.namespace,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"},
        }});
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "somebody"}});
        all["items"].as_array_mut().unwrap().splice(0..0, [namespace, account]);
        self.create(&all);
        let token = self.kubectl(&["create", "token", "somebody"]);
        self.kubeconfig(|config| config["users"][0]["user"] = json!({"token": token.trim()}));
    }

    /// From now on the user may do as well what `rbac` prints with this flag.
    pub fn granted(&self, flag: &str) {
        let (name, account) = (format!("{}{}", self.namespace, &flag[1..]), format!("{}:somebody", self.namespace));
        let words = ["rbac", "-n", &self.namespace, "--name", &name, "--for-serviceaccount", &account];
        let role = self.run(&[&words[..], &[flag, "-o", "json"]].concat()).ok().stdout;
        self.create(&serde_json::from_str(&role).unwrap());
    }

    /// From now on the user's kubeconfig is the administrator's with this change.
    pub fn kubeconfig(&mut self, change: impl FnOnce(&mut Value)) {
        static ADMIN: OnceLock<Value> = OnceLock::new();
        let view = || serde_json::from_str(&admin(&["config", "view", "--raw", "--minify", "-o", "json"])).unwrap();
        let mut config = ADMIN.get_or_init(view).clone();
        change(&mut config);
        self.write("kubeconfig", &config.to_string());
        self.env("KUBECONFIG", self.path("kubeconfig"));
    }

    /// kubectl in the project's namespace, as the cluster's administrator: what it prints.
    pub fn kubectl(&self, args: &[&str]) -> String {
        admin(&[&["-n", &self.namespace], args].concat())
    }

    /// The objects of a kind in the project's namespace.
    pub fn objects(&self, kind: &str) -> Vec<Value> {
        let list: Value = serde_json::from_str(&self.kubectl(&["get", kind, "-o", "json"])).unwrap();
        list["items"].as_array().unwrap().clone()
    }

    /// The only Job.
    #[track_caller]
    pub fn job(&self) -> Value {
        let mut jobs = self.objects("jobs");
        assert_eq!(jobs.len(), 1, "{jobs:#?}");
        jobs.remove(0)
    }

    /// The only run's name.
    #[track_caller]
    pub fn only_run(&self) -> String {
        self.job()["metadata"]["name"].as_str().unwrap().to_owned()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        // its volumes go with it: the classes say Delete; a volume that a test made itself would stay
        let name = &self.namespace;
        let mut gone = vec![format!("namespace/{name}"), format!("persistentvolume/{name}")];
        for role in [name, &format!("{name}-volumes")] {
            gone.extend([format!("clusterrole/{role}"), format!("clusterrolebinding/{role}")]);
        }
        let delete = ["delete", "--wait=false", "--ignore-not-found"];
        program("kubectl").args(delete).args(gone).stdout(Stdio::null()).status().ok();
    }
}

/// A program of this machine, which inherits what docker and kubectl need to reach the cluster of the tests.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    clean::clean(name, &["PATH", "HOME", "KUBECONFIG", "DOCKER_CONFIG", "DOCKER_HOST", "DOCKER_CONTEXT"])
}

/// kubectl as the cluster's administrator: what it prints.
#[track_caller]
pub fn admin(args: &[&str]) -> String {
    let output = program("kubectl").args(args).output().expect("kubectl must be on PATH");
    assert!(output.status.success(), "kubectl {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// These tests make and delete namespaces and count on the storage classes of `tests/cluster`, so
/// they touch no other cluster.
fn the_cluster_is_there() {
    static MISSING: OnceLock<Option<&str>> = OnceLock::new();
    let missing = MISSING.get_or_init(|| {
        if env::var_os("KUBECONFIG").is_none_or(|files| files.is_empty()) {
            return Some("KUBECONFIG is not set");
        }
        let class = ["get", "storageclass", "shared", "-o", "jsonpath={.provisioner}", "--request-timeout=10s"];
        match program("kubectl").args(class).output() {
            Err(_) => Some("kubectl is not on PATH"),
            Ok(output) if output.stdout == b"localcluster/shared" => None,
            Ok(_) => Some("the cluster of KUBECONFIG does not answer, or is another one"),
        }
    });
    if let Some(missing) = missing {
        panic!(
            "these tests need the cluster of tests/cluster: {missing}\n\
             hint: `tests/cluster/cluster up`, then `eval \"$(tests/cluster/cluster env)\"`"
        );
    }
}
