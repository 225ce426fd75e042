//! A world for the program: an empty home, a folder with a script in it, and stand-ins for docker,
//! gcloud, git and kubectl on PATH that note each call and answer as the test says.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a test waits for what must come, before it fails.
const FOR_EVER: Duration = Duration::from_secs(20);

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
*' get storageclasses,nodes '*) cat "$world/cluster.json"; exit 0 ;;
*' get localqueues.kueue.x-k8s.io '*) echo '{"items": [{"metadata": {"name": "research"}}], "kind": "List"}'; exit 0 ;;
*' get pods -l mrunner/helper='*) cat "$world/probed.json"; exit 0 ;;
'kubectl '*' get '*) exit 0 ;;
'kubectl '*' apply '*) echo applied; exit 0 ;;
'kubectl '*' patch '*) echo patched; exit 0 ;;
'kubectl '*' create '*) cat "$call.stdin"; exit 0 ;;
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

/// The random word of a run by a name.
fn without_mark(text: &str) -> String {
    let mut parts = text.split("MRUNNER_MARK\"");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |all, part| {
        let (before, rest) = part.split_once("\"value\"").unwrap();
        let (gap, rest) = rest.split_once('"').unwrap();
        let (mark, rest) = rest.split_once('"').unwrap();
        assert_eq!(mark.len(), 10);
        format!("{all}MRUNNER_MARK\"{before}\"value\"{gap}\"[MARK]\"{rest}")
    })
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
        self.start(args).end()
    }

    /// Starts it in a process group of its own, as a shell does, and reads along.
    pub fn start(&self, args: &[&str]) -> Live<'_> {
        let mut child = self.command(args).process_group(0).spawn().unwrap();
        let stdout = Stream::of(child.stdout.take().unwrap());
        let stderr = Stream::of(child.stderr.take().unwrap());
        Live { world: self, child, stdout, stderr }
    }

    /// The objects that the cluster shows, whatever is asked for.
    pub fn shows(&mut self, objects: &[Value]) -> &mut Self {
        self.show(objects);
        self.on("*' get jobs,pods '*", "cat \"$world/runs.json\"; exit 0")
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
            let argv = argv.strip_suffix('\0').unwrap().split('\0').map(str::to_owned).collect();
            Call { argv, stdin: fs::read(path.with_extension("stdin")).unwrap_or_default() }
        };
        files.iter().map(read).collect()
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

/// A stand-in that says so and then never ends. It leaves no process behind when it is killed.
pub const HANG: &str = ": >\"$world/hangs\"; exec sleep 60";

/// A program at work.
pub struct Live<'a> {
    world: &'a World,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl Live<'_> {
    /// Waits until stderr has these words.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        wait_until(words, || self.stderr.so_far().contains(words));
        self
    }

    /// Waits until stdout has these words.
    #[track_caller]
    pub fn answers(&self, words: &str) -> &Self {
        wait_until(words, || self.stdout.so_far().contains(words));
        self
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, name: &str) -> &Self {
        kill(name, &self.child.id().to_string());
        self
    }

    /// Sends a signal to it and its children, as a terminal does.
    pub fn signal_all(&self, name: &str) -> &Self {
        kill(name, &format!("-{}", self.child.id()));
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > FOR_EVER => {
                    self.signal_all("KILL");
                    panic!("it does not end; so far:\n{}\n{}", self.stdout.so_far(), self.stderr.so_far());
                }
                None => thread::sleep(Duration::from_millis(2)),
            }
        };
        let text = |stream: Stream| self.world.tidy(&stream.whole());
        Outcome { code: code(status), stdout: text(self.stdout), stderr: text(self.stderr) }
    }
}

fn kill(name: &str, whom: &str) {
    assert!(Command::new("sh").args(["-c", "kill -$0 $1", name, whom]).status().unwrap().success());
}

/// An exit code as a shell has it.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// What a stream has brought so far.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                gathered.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// All of it; a stand-in that outlives the program may still hold the stream open.
    fn whole(&self) -> String {
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(2));
        }
        self.so_far()
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < FOR_EVER, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

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
