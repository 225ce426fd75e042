//! A world for the program: an empty home, a folder with a script in it, and stand-ins for docker, gcloud, git and kubectl
//! on PATH that note each call and answer as the test says.

mod clean;
mod live;
mod terminal;
mod tidy;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use self::tidy::{replace, without_mark};

pub use self::live::{Live, code, wait_until};
pub use self::terminal::on_terminal;

/// What the stand-ins answer unless the test says otherwise: an empty registry, an empty cluster of
/// one node, a folder that is no repository.
const USUAL: &str = r#"
'docker manifest inspect'*) echo "no such manifest: $5" >&2; exit 1 ;;
'docker buildx imagetools inspect'*) echo "ERROR: $6: not found" >&2; exit 1 ;;
'docker buildx build'*)
    printf '{"containerimage.digest": "sha256:%064d"}' 7 >"$(after --metadata-file "$@")"; exit 0 ;;
'docker buildx version'*) echo 'github.com/docker/buildx v0.38.2'; exit 0 ;;
'docker version'*) echo '"28.0.0"'; exit 0 ;;
'git '*) echo 'fatal: not a git repository' >&2; exit 128 ;;
*' get storageclasses,nodes '*) exec cat "$world/cluster.json" ;;
*' get localqueues.kueue.x-k8s.io '*) echo '{"items": [{"metadata": {"name": "research"}}], "kind": "List"}'; exit 0 ;;
*' get pods -l mrunner/helper='*) exec cat "$world/probed.json" ;;
'kubectl '*' get '*) exit 0 ;;
'kubectl '*' apply '*) echo applied; exit 0 ;;
'kubectl '*' patch '*) echo patched; exit 0 ;;
'kubectl '*' create '*) exec cat "$call.stdin" ;;
"#;

/// Where a folder stands that is a repository.
pub const COMMIT: &str = "443c2f6e5d0b8b9c1a2f3e4d5c6b7a8990817263";

const CLUSTER: &str = r#"{"kind": "List", "items": [
  {"kind": "StorageClass", "metadata": {"name": "standard", "annotations":
    {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "rancher.io/local-path"},
  {"kind": "Node", "metadata": {"name": "node1"}, "spec": {}}]}"#;

/// What a probe's pods found.
const PROBED: &str = r#"{"kind": "List", "items": [{"kind": "Pod", "spec": {"nodeName": "node1"}, "status":
  {"containerStatuses": [{"name": "helper", "state": {"terminated": {"message": "proved owner=1000 user=1000 free=10*4096"}}}]}}]}"#;

const CONTEXTS: &str = "current_context: lab
contexts:
  lab:
    name: lab
    type: kubernetes
    storage: /storage
    registry_url: http://registry.test:5000
    kube_context: kube-lab
";

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: kube-lab
contexts:
- {name: kube-lab, context: {cluster: lab, user: anna}}
- {name: kube-other, context: {cluster: other, user: anna, namespace: team}}
";

pub struct World {
    dir: TempDir,
    rules: String,
    env: Vec<(String, String)>,
}

#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

#[derive(Debug, Clone)]
pub struct Call {
    pub argv: Vec<String>,
    pub stdin: Vec<u8>,
}

impl Call {
    /// The call as one line.
    pub fn line(&self) -> String {
        self.argv.join(" ")
    }

    /// What it read, as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.stdin).unwrap()
    }
}

impl World {
    pub fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let world = Self { dir, rules: String::new(), env: Vec::new() };
        for folder in ["bin", "calls", "home/.kube", "vision"] {
            fs::create_dir_all(world.path(folder)).unwrap();
        }
        for program in ["docker", "gcloud", "git", "kubectl"] {
            let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fake");
            // not copied: a program that was just written can be "busy" while another thread forks
            symlink(fake, world.path(&format!("bin/{program}"))).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_kubectl-mrunner"), world.path("bin/kubectl-mrunner")).unwrap();
        world.write("cluster.json", CLUSTER);
        world.write("probed.json", PROBED);
        world.write("home/.config/mrunner/config.yaml", CONTEXTS);
        world.write("home/.kube/config", KUBECONFIG);
        world.write("vision/train.py", "print('hello')\n");
        world
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub fn write(&self, below: &str, text: impl AsRef<[u8]>) {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub fn read(&self, below: &str) -> String {
        fs::read_to_string(self.path(below)).unwrap()
    }

    /// A rule that comes before the earlier ones: calls that match the shell's pattern run the script.
    pub fn on(&mut self, pattern: &str, script: &str) -> &mut Self {
        self.rules = format!("{pattern}) {script} ;;\n{}", self.rules);
        self
    }

    /// Has `kubectl proxy` serve what the file `proxy` beside this one says.
    pub fn on_proxy(&mut self) -> &mut Self {
        let proxy = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/proxy");
        self.on("*' proxy '*", &format!(r#"exec {} "$world" "$*""#, proxy.to_str().unwrap()))
    }

    /// What the calls that match do before they read their input.
    pub fn first(&self, pattern: &str, script: &str) -> &Self {
        self.write("first", format!("case \"$program $*\" in {pattern}) {script} ;; esac\n"));
        self
    }

    /// Makes the folder `vision` a repository that stands at [`COMMIT`].
    pub fn has_commit(&self) -> &Self {
        fs::create_dir_all(self.path("vision/.git/objects")).unwrap();
        self.write("vision/.git/HEAD", COMMIT);
        self
    }

    /// A tool that is not on PATH.
    pub fn without(&self, program: &str) -> &Self {
        fs::remove_file(self.path("bin").join(program)).unwrap();
        self
    }

    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.env.push((name.into(), value.into()));
        self
    }

    pub fn command(&self, args: &[&str]) -> Command {
        self.write("rules", format!("case \"$program $*\" in\n{}{USUAL}esac\n", self.rules));
        let mut command = program(env!("CARGO_BIN_EXE_kubectl-mrunner"));
        command
            .args(args)
            .current_dir(self.path("vision"))
            .env("HOME", self.path("home"))
            .env("PATH", self.path("bin"))
            .env("TMPDIR", self.dir.path())
            .envs(self.env.iter().map(|(k, v)| (k, v)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub fn run(&self, args: &[&str]) -> Outcome {
        self.start(args).end()
    }

    pub fn start(&self, args: &[&str]) -> Live<'_> {
        Live::start(self, self.command(args))
    }

    /// The objects that the cluster shows, whatever is asked for.
    pub fn shows(&mut self, objects: &[Value]) -> &mut Self {
        self.show(objects);
        self.on("*' get jobs,pods '*", "exec cat \"$world/runs.json\"")
    }

    /// The same, of the run that is asked for, whatever the name of the one that is given.
    pub fn shows_as(&mut self, name: &str, objects: &[Value]) -> &mut Self {
        self.show(objects);
        let asked =
            format!("all=\"$*\"; asked=${{all##*mrunner/run=}}; asked=${{asked%% *}}; sed \"s/{name}/$asked/g\"");
        self.on("*' get jobs,pods '*'mrunner/run=train-'*", &format!("{asked} \"$world/runs.json\"; exit 0"))
    }

    /// The same, from now on.
    pub fn show(&self, objects: &[Value]) {
        // renamed into place, as a stand-in may be reading it
        self.write("runs.new", json!({"apiVersion": "v1", "kind": "List", "items": objects}).to_string());
        fs::rename(self.path("runs.new"), self.path("runs.json")).unwrap();
    }

    /// Waits until a stand-in says that it hangs, see [`HANG`].
    #[track_caller]
    pub fn wait_for_hang(&self) {
        wait_until("a tool that hangs", || self.path("hangs").exists());
    }

    /// What differs from one run to the next, by a name.
    pub fn tidy(&self, text: &str) -> String {
        let real = self.dir.path().canonicalize().unwrap();
        let text = text.replace(real.to_str().unwrap(), "[DIR]").replace(self.dir.path().to_str().unwrap(), "[DIR]");
        let text = replace(&text, "train-", 8, "[ID]");
        let text = replace(&text, "vision/train:t-", 20, "[KEY]");
        let text = replace(&text, "vision/train:20", 13, "[TIME]");
        let sent = json!(mrunner::k8s::manifests::job::wrapper().replace('$', "$$")).to_string();
        let text = text.replace(&sent, "\"[WRAPPER]\"");
        replace(&without_mark(&text), "/mrunner-", 6, "[TMP]")
    }

    /// All calls so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        let mut files: Vec<PathBuf> = fs::read_dir(self.path("calls"))
            .unwrap()
            .map(|e| e.unwrap().path())
            .filter(|p| p.extension().is_some_and(|e| e == "argv"))
            .collect();
        files.sort();
        let read = |path: &PathBuf| {
            let argv = String::from_utf8(fs::read(path).unwrap()).unwrap();
            // one that is being written has no end yet
            let argv = argv.strip_suffix("\0end\0")?.split('\0').map(str::to_owned).collect();
            Some(Call { argv, stdin: fs::read(path.with_extension("stdin")).unwrap_or_default() })
        };
        files.iter().filter_map(read).collect()
    }

    /// The calls whose line has `words` in it.
    pub fn calls_with(&self, words: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.line().contains(words)).collect()
    }

    /// The calls that submit something of a run's own.
    pub fn submissions(&self) -> Vec<Call> {
        self.calls_with(" create -f - --field-manager=mrunner -o json")
    }

    /// The Job of the only submission.
    pub fn job(&self) -> serde_json::Value {
        let creates = self.submissions();
        assert_eq!(creates.len(), 1, "{creates:?}");
        creates[0].json()
    }

    /// The names of journals that are there.
    pub fn journals(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.path("home/.local/state/mrunner/runs")) else { return Vec::new() };
        folder.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

/// A program of this machine, which inherits nothing but PATH.
pub fn program(name: impl AsRef<OsStr>) -> Command {
    clean::clean(name, &["PATH"])
}

/// A stand-in that says so and then never ends. It leaves no process behind when it is killed.
pub const HANG: &str = ": >\"$world/hangs\"; exec sleep 60";

impl Outcome {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// That it failed with this code and exactly these words on stderr; if they begin with `error: `,
    /// what it had said before that is passed over.
    #[track_caller]
    pub fn fails(self, code: i32, stderr: &str) -> Self {
        let own = self.stderr.find("\nerror: ").filter(|_| stderr.starts_with("error: "));
        let begin = own.map_or(0, |end_of_line| end_of_line + 1);
        assert_eq!((self.code, &self.stderr[begin..]), (code, stderr), "\n{}", self.stderr);
        self
    }
}
