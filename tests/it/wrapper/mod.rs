//! The script that starts the experiment in its pod, in each shell that an image may have as `/bin/sh`.

mod exit;
mod logs;
mod signals;

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::thread;
use std::time::{Duration, Instant};

use mrunner::k8s::manifests::points::FOLDER;
use mrunner::runs::results::report::Report;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::program;

/// How long a test waits for what must come, before it fails: longer than the wrapper gives a volume that hangs (30 s).
const FOR_EVER: Duration = Duration::from_secs(60);

/// The word that the lines of reports begin with.
pub const MARK: &str = "k3v9zq2m4t";

/// Prints `ready`, then its own end for the signal `$1`.
const HEEDS: &str = "trap 'echo heard; exit 7' $1; echo ready; while :; do sleep 0.02; done";

/// A container: its volume, its folder for temporary files, its shell.
pub struct Pod {
    dir: TempDir,
    pub shell: &'static [&'static str],
    pub env: Vec<(&'static str, String)>,
}

/// One for each shell of this machine.
pub fn pods() -> Vec<Pod> {
    let shells: [&[&str]; 3] = [&["dash"], &["bash"], &["busybox", "sh"]];
    let there = |shell: &&&[&str]| program(shell[0]).args(&shell[1..]).args(["-c", ":"]).status().is_ok();
    let pods: Vec<Pod> = shells.iter().filter(there).map(|shell| Pod::new(shell)).collect();
    assert!(!pods.is_empty());
    pods
}

/// Those whose programs are found on the PATH: some busyboxes take their own before them.
pub fn pods_by_path() -> Vec<Pod> {
    let by_path = |pod: &Pod| {
        pod.program("tee", "echo by path");
        let path = format!("{}:{}", pod.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = program(pod.shell[0]);
        let output = command.args(&pod.shell[1..]).args(["-c", "tee"]).env("PATH", path).stdin(Stdio::null()).output();
        fs::remove_file(pod.path("bin/tee")).unwrap();
        output.unwrap().stdout == b"by path\n"
    };
    let pods: Vec<Pod> = pods().into_iter().filter(by_path).collect();
    assert!(!pods.is_empty());
    pods
}

impl Pod {
    fn new(shell: &'static [&'static str]) -> Self {
        let dir = TempDir::new().unwrap();
        for folder in ["volume", "tmp", "bin", "points"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        Self { dir, shell, env: Vec::new() }
    }

    pub fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    fn kept(&self, kind: &str) -> PathBuf {
        self.path("volume/.mrunner/runs/train-1").join(format!("0.train-1-0-x7f2k.{kind}"))
    }

    fn log(&self) -> Vec<u8> {
        fs::read(self.kept("log")).unwrap()
    }

    /// The first line of the record.
    pub fn record(&self) -> Value {
        let text = fs::read(self.kept("json")).unwrap();
        serde_json::from_slice(text.split(|&byte| byte == b'\n').next().unwrap()).unwrap()
    }

    /// The record as it is read.
    pub fn report(&self) -> Report {
        Report::record(&fs::read(self.kept("json")).unwrap()).unwrap()
    }

    /// The files of the log, in their order.
    fn parts(&self) -> Vec<Vec<u8>> {
        let name = self.kept("log").file_name().unwrap().to_str().unwrap().to_owned();
        let files = fs::read_dir(self.kept("log").parent().unwrap()).unwrap().map(|file| file.unwrap());
        let number = |file: fs::DirEntry| {
            let rest = file.file_name().to_str()?.strip_prefix(&name)?.to_owned();
            Some((rest.strip_prefix('.').map_or(0, |number| number.parse::<u64>().unwrap()), file.path()))
        };
        let mut parts: Vec<_> = files.filter_map(number).collect();
        parts.sort();
        parts.into_iter().map(|(_, path)| fs::read(path).unwrap()).collect()
    }

    /// Begins with an empty volume. What a shell that was ended at once had started, such as `mkdir`, may outlive it here
    /// for a moment.
    pub fn empty_volume(&self) {
        let volume = self.path("volume");
        self.wait_for(|| {
            fs::remove_dir_all(&volume).ok();
            fs::create_dir(&volume).ok()
        });
    }

    /// What was printed so far.
    pub fn out(&self) -> Vec<u8> {
        fs::read(self.path("out")).unwrap()
    }

    /// A program that stands before that of the machine.
    pub fn program(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A script of the pod with the file for the container's last message, if the test makes it, and the test's folder
    /// of points.
    fn here(&self, script: &str) -> String {
        assert!(script.contains("/dev/termination-log"));
        let script = script.replace("/dev/termination-log", self.path("message").to_str().unwrap());
        script.replace(FOLDER, self.path("points").to_str().unwrap())
    }

    /// Puts a file into the folder of points as the kubelet does: a link into a folder that is a link itself.
    pub fn mount(&self, name: &str, text: &str) {
        let folder = self.path("points/..data");
        if !folder.exists() {
            fs::create_dir(self.path("points/..1")).unwrap();
            symlink("..1", &folder).unwrap();
        }
        let file = folder.join(name);
        if fs::read_to_string(&file).is_ok_and(|before| before == text) {
            return;
        }
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        symlink(Path::new("..data").join(name), self.path("points").join(name)).unwrap();
    }

    fn has(&self, variable: &str) -> bool {
        self.env.iter().any(|(name, _)| *name == variable)
    }

    /// What the container told the cluster at its end.
    pub fn message(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("message")).unwrap()).into_owned()
    }

    /// The arguments of the pod's shell: in a sweep the scripts are files, also the one for several points in a pod.
    fn words(&self, program: &[&str]) -> Vec<String> {
        let shell = self.shell.iter().map(|&word| word.to_owned());
        let program = program.iter().map(|&word| word.to_owned());
        let per_pod = if self.has("MRUNNER_POINTS") { 2 } else { 1 };
        let scripts = mrunner::k8s::manifests::job::scripts(per_pod);
        if per_pod == 1 && !self.has("MRUNNER_LINES") {
            return ["-c".to_owned(), self.here(&scripts["wrapper"]), "mrunner".to_owned()]
                .into_iter()
                .chain(program)
                .collect();
        }
        // `pack` comes first
        let files = scripts.iter().flat_map(|(name, script)| {
            self.mount(name, &self.here(script));
            shell.clone().chain([self.path("points").join(name).to_str().unwrap().to_owned()])
        });
        // the first shell is the caller's
        files.skip(self.shell.len()).chain(program).collect()
    }

    fn command(&self, experiment: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let words = WITH_DEFAULT_SIGNALS.iter().cloned().chain(self.shell.iter().map(|&word| word.to_owned()));
        let mut words = words.chain(self.words(experiment));
        let mut command = program(words.next().unwrap());
        command
            .args(words)
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("TMPDIR", self.path("tmp"))
            .env("STORAGE_DIR", self.path("volume"))
            .env("MRUNNER_OUTPUT", self.path("volume/train-1/0"))
            .env("MRUNNER_RUN", "train-1")
            .env("MRUNNER_POD", "train-1-0-x7f2k")
            .env("MRUNNER_KEEP_LOGS", "auto")
            .env("MRUNNER_RECORD", r#"{"project":"vision"}"#)
            .env("MRUNNER_MARK", MARK)
            .env("JOB_COMPLETION_INDEX", "0")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .process_group(0)
            .stdin(Stdio::null());
        command
    }

    /// Starts a program, with one file for all that it prints, as a container runtime has it.
    pub fn start(&self, program: &[&str]) -> Child {
        let out = File::create(self.path("out")).unwrap();
        self.command(program).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap()
    }

    /// Waits for the end: the exit code as a container runtime tells it.
    #[track_caller]
    pub fn end(&self, mut child: Child) -> i32 {
        let status = self.wait_for(|| child.try_wait().unwrap());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
    }

    pub fn run(&self, program: &[&str]) -> i32 {
        self.end(self.start(program))
    }

    #[track_caller]
    fn wait_for<T>(&self, mut ask: impl FnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            assert!(begun.elapsed() < FOR_EVER, "{:?}: waited in vain", self.shell);
            thread::sleep(Duration::from_millis(2));
        }
    }

    #[track_caller]
    pub fn prints(&self, words: &str) {
        self.wait_for(|| String::from_utf8_lossy(&self.out()).contains(words).then_some(()));
    }

    /// A program of the machine is missing.
    fn lacks(&self, name: &str) {
        self.program(name, "exit 125");
    }

    /// What is told to end may say 0, and has not done its work.
    #[track_caller]
    fn told_to_end(&self) {
        let child =
            self.start(&["sh", "-c", "trap 'echo heard; exit 0' TERM; echo ready; while :; do sleep 0.02; done"]);
        self.prints("ready\n");
        signal(&child, "TERM");
        assert_eq!(self.end(child), 143, "{:?}", self.shell);
        assert_eq!(self.out(), b"ready\nheard\n", "{:?}", self.shell);
    }
}

/// What starts a program with the signals that a container runtime gives it, where this machine has that: a shell can't
/// trap one that was ignored at its start, as SIGHUP is below `nohup`. By its path: a pod may have an `env` of its own.
static WITH_DEFAULT_SIGNALS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let env = which::which("env").unwrap().to_str().unwrap().to_owned();
    let words = [env, "--default-signal".to_owned()];
    let status = program(&words[0]).args([&words[1], "true"]).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { words.into() } else { Vec::new() }
});

pub fn signal(child: &Child, name: &str) {
    assert!(program("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

/// Moments of a time, drawn by a seed that is printed; `MRUNNER_SEED` draws the same ones again. There are 21 of them, or
/// as many as `MRUNNER_MOMENTS` says.
pub struct Moments {
    seed: u64,
    within: Duration,
    count: u64,
}

impl Moments {
    pub fn new(within: Duration) -> Self {
        let given = std::env::var("MRUNNER_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        let count = std::env::var("MRUNNER_MOMENTS").map_or(21, |count| count.parse().unwrap());
        // past the test harness, which shows what a test prints only if it fails
        let told = format!("{count} random moments within {within:?}, MRUNNER_SEED={seed}\n");
        io::stderr().write_all(told.as_bytes()).unwrap();
        Self { seed, within, count }
    }

    /// The share of each of so many shells.
    pub fn each(&self, shells: usize) -> u64 {
        self.count.div_ceil(shells as u64)
    }

    /// One of them (splitmix64).
    pub fn at(&self, number: u64) -> Duration {
        let mut bits = self.seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((bits ^ (bits >> 31)) % u64::try_from(self.within.as_micros()).unwrap())
    }
}
