//! A world for the program: an empty home, a folder with a script in it, and stand-ins for docker,
//! gcloud, git and kubectl on PATH that note each call and answer as the test says.

use std::fs;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// What the stand-ins answer unless the test says otherwise: an empty registry, an empty cluster of
/// one node, a folder that is no repository.
const USUAL: &str = r#"
'docker buildx imagetools inspect'*) echo "ERROR: $6: not found" >&2; exit 1 ;;
'docker buildx build'*)
    printf '{"containerimage.digest": "sha256:%064d"}' 7 >"$(after --metadata-file "$@")"; exit 0 ;;
'docker version'*) echo '"28.0.0"'; exit 0 ;;
'git '*) echo 'fatal: not a git repository' >&2; exit 128 ;;
*' get storageclasses,nodes '*) cat "$world/cluster.json"; exit 0 ;;
'kubectl '*' get '*) exit 0 ;;
'kubectl '*' apply '*) echo applied; exit 0 ;;
'kubectl '*' create '*) cat "$call.stdin"; exit 0 ;;
"#;

const CLUSTER: &str = r#"{"kind": "List", "items": [
  {"kind": "StorageClass", "metadata": {"name": "standard", "annotations":
    {"storageclass.kubernetes.io/is-default-class": "true"}}, "provisioner": "rancher.io/local-path"},
  {"kind": "Node", "metadata": {"name": "node1"}, "spec": {}}]}"#;

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
            fs::copy(fake, world.path(&format!("bin/{program}"))).unwrap();
        }
        world.write("cluster.json", CLUSTER);
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
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-mrunner"));
        command
            .args(args)
            .current_dir(self.path("vision"))
            .env_clear()
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
        self.outcome(self.start(args))
    }

    pub fn start(&self, args: &[&str]) -> Child {
        self.command(args).spawn().unwrap()
    }

    pub fn outcome(&self, child: Child) -> Outcome {
        let output = child.wait_with_output().unwrap();
        let code = output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap());
        let text = |bytes: Vec<u8>| self.tidy(&String::from_utf8(bytes).unwrap());
        Outcome { code, stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// What differs from one run to the next, by a name.
    pub fn tidy(&self, text: &str) -> String {
        let real = self.dir.path().canonicalize().unwrap();
        let text = text.replace(real.to_str().unwrap(), "[DIR]").replace(self.dir.path().to_str().unwrap(), "[DIR]");
        let text = replace(&text, "train-", 8, "[ID]");
        let text = replace(&text, "vision/train:t-", 20, "[KEY]");
        let text = replace(&text, "vision/train:20", 13, "[TIME]");
        replace(&text, "/mrunner-", 6, "[TMP]")
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
            let argv = argv.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect();
            Call { argv, stdin: fs::read(path.with_extension("stdin")).unwrap_or_default() }
        };
        files.iter().map(read).collect()
    }

    /// The calls whose line has `words` in it.
    pub fn calls_with(&self, words: &str) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.line().contains(words)).collect()
    }

    /// The Job of the only submission.
    pub fn job(&self) -> serde_json::Value {
        let creates = self.calls_with(" create ");
        assert_eq!(creates.len(), 1, "{creates:?}");
        creates[0].json()
    }

    /// The names of journals that are there.
    pub fn journals(&self) -> Vec<String> {
        let Ok(folder) = fs::read_dir(self.path("home/.local/state/mrunner/runs")) else { return Vec::new() };
        folder.map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }
}

impl Outcome {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// That it failed with this code and exactly these words on stderr.
    #[track_caller]
    pub fn fails(self, code: i32, stderr: &str) -> Self {
        assert_eq!((self.code, self.stderr.as_str()), (code, stderr), "\n{}", self.stderr);
        self
    }
}

/// Replaces the `length` letters and digits behind each `prefix`.
fn replace(text: &str, prefix: &str, length: usize, by: &str) -> String {
    let mut parts = text.split(prefix);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        whole.push_str(prefix);
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        match part.char_indices().nth(length).map_or(Some(part.len()), |(i, _)| Some(i)) {
            Some(end) if part.len() >= length && part[..end].chars().all(fits) => {
                whole.push_str(by);
                whole.push_str(&part[end..]);
            }
            _ => whole.push_str(part),
        }
    }
    whole
}

/// Everything that a stream still holds.
pub fn drain(mut stream: impl Read) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}
