//! What starts the experiment in its pod, in each shell that an image may have as `/bin/sh`.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must come, before it fails.
const FOR_EVER: Duration = Duration::from_secs(20);

const SIGNALS: [&str; 6] = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"];

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
    let there = |shell: &&&[&str]| Command::new(shell[0]).args(&shell[1..]).args(["-c", ":"]).status().is_ok();
    let pods: Vec<Pod> = shells.iter().filter(there).map(|shell| Pod::new(shell)).collect();
    assert!(!pods.is_empty());
    pods
}

impl Pod {
    fn new(shell: &'static [&'static str]) -> Self {
        let dir = TempDir::new().unwrap();
        for folder in ["volume", "tmp", "bin"] {
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

    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.kept("json")).unwrap()).unwrap()
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

    /// A script of the pod with the file for the container's last message, if the test makes it.
    fn here(&self, script: &str) -> String {
        assert!(script.contains("/dev/termination-log"));
        script.replace("/dev/termination-log", self.path("message").to_str().unwrap())
    }

    /// What the container told the cluster at its end.
    pub fn message(&self) -> String {
        fs::read_to_string(self.path("message")).unwrap()
    }

    /// How the pod's shell is called; by way of the script for several points, if it has several.
    fn words(&self, program: &[&str]) -> Vec<String> {
        let by = |script: String| ["-c".to_owned(), self.here(&script), "mrunner".to_owned()];
        let mut words = Vec::new();
        if self.env.iter().any(|(name, _)| *name == "MRUNNER_POINTS") {
            words.extend(by(mrunner::objects::job::pack()));
            words.extend(self.shell.iter().map(|&word| word.to_owned()));
        }
        words.extend(by(mrunner::objects::job::wrapper()));
        words.extend(program.iter().map(|&word| word.to_owned()));
        words
    }

    fn command(&self, program: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(self.shell[0]);
        command
            .args(&self.shell[1..])
            .args(self.words(program))
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("TMPDIR", self.path("tmp"))
            .env("STORAGE_DIR", self.path("volume"))
            .env("MRUNNER_OUTPUT", self.path("volume/train-1/0"))
            .env("MRUNNER_RUN", "train-1")
            .env("MRUNNER_POD", "train-1-0-x7f2k")
            .env("MRUNNER_KEEP_LOGS", "auto")
            .env("MRUNNER_RECORD", r#"{"project":"vision"}"#)
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

    /// The wrapper became the experiment, and left nothing but the experiment's folder.
    #[track_caller]
    fn steps_aside(&self) {
        let child = self.start(&["sh", "-c", "echo $$; exit 3"]);
        let pid = child.id();
        assert_eq!(self.end(child), 3, "{:?}", self.shell);
        assert_eq!(String::from_utf8_lossy(&self.out()), format!("{pid}\n"), "{:?}", self.shell);
        assert!(fs::read(self.kept("log")).unwrap_or_default().is_empty());
        assert_eq!(fs::read_dir(self.path("tmp")).map_or(0, Iterator::count), 0);
    }
}

pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

#[test]
fn the_exit_code_is_the_experiments() {
    for pod in pods() {
        for (program, code) in [
            (&["true"][..], 0),
            (&["false"], 1),
            (&["sh", "-c", "exit 3"], 3),
            (&["sh", "-c", "kill -9 $$"], 137),
            (&["sh", "-c", "kill $$"], 143),
            (&["sh", "-c", "kill -INT $$"], 130),
            (&["sh", "-c", "exit 127"], 127),
            (&["no-such-program"], 127),
            (&["/dev/null"], 126),
        ] {
            assert_eq!(pod.run(program), code, "{:?} {program:?}", pod.shell);
            let record = pod.record();
            assert_eq!(record["code"], code, "{record}");
            assert_eq!((&record["index"], &record["pod"]), (&0.into(), &"train-1-0-x7f2k".into()));
            for time in ["began", "ended"] {
                chrono::DateTime::parse_from_rfc3339(record[time].as_str().unwrap()).unwrap();
            }
        }
        let run = fs::read_to_string(pod.path("volume/.mrunner/runs/train-1/run.json")).unwrap();
        assert_eq!(run, "{\"project\":\"vision\"}\n");
        assert_eq!(fs::read_dir(pod.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn a_signal_reaches_the_experiment_and_nothing_else() {
    for pod in pods() {
        for name in SIGNALS {
            let child = pod.start(&["sh", "-c", HEEDS, "sh", name]);
            pod.prints("ready\n");
            assert!(pod.record()["code"].is_null());
            signal(&child, name);
            assert_eq!(pod.end(child), 7, "{:?} {name}", pod.shell);
            assert_eq!(pod.out(), b"ready\nheard\n", "{:?} {name}", pod.shell);
            assert_eq!(pod.record()["code"], 7);
        }
        // one that heeds none dies of it
        for (name, code) in [("TERM", 143), ("INT", 130), ("HUP", 129), ("QUIT", 131)] {
            let child = pod.start(&["sh", "-c", "echo ready; exec sleep 600"]);
            pod.prints("ready\n");
            signal(&child, name);
            assert_eq!(pod.end(child), code, "{:?} {name}", pod.shell);
        }
    }
}

#[test]
fn any_number_of_signals_reaches_it() {
    for pod in pods() {
        let script =
            "n=0; trap 'n=$((n + 1)); echo $n' USR1; echo ready; while [ $n -lt 9 ]; do sleep 0.01; done; exit 5";
        let child = pod.start(&["sh", "-c", script]);
        pod.prints("ready\n");
        for n in 1..=9 {
            signal(&child, "USR1");
            pod.prints(&format!("\n{n}\n"));
        }
        assert_eq!(pod.end(child), 5, "{:?}", pod.shell);
    }
}

#[test]
fn an_experiment_that_signals_its_whole_group_keeps_its_last_words() {
    for pod in pods() {
        // bash may forget how a child ended that does so just as a signal comes, so this one tidies up first
        let script = "trap 'echo bye' TERM; echo hello; kill -TERM 0; sleep 0.3; sleep 0.3; exit 4";
        assert_eq!(pod.run(&["sh", "-c", script]), 4, "{:?}", pod.shell);
        assert!(pod.out().starts_with(b"hello\nbye\n"), "{:?}", pod.shell);
        assert_eq!(pod.log(), pod.out());
    }
}

#[test]
fn what_is_printed_is_kept_byte_for_byte() {
    for pod in pods() {
        let script = "printf 'a\\000b\\r\\033[1m\\377\\n  '; echo error >&2; printf 'no end'";
        assert_eq!(pod.run(&["sh", "-c", script]), 0);
        assert_eq!(pod.out(), b"a\0b\r\x1b[1m\xff\n  error\nno end", "{:?}", pod.shell);
        assert_eq!(pod.log(), pod.out());
        // a second attempt has a file of its own; the same pod would go on in it
        assert_eq!(pod.run(&["echo", "more"]), 0);
        assert!(pod.log().ends_with(b"no endmore\n"));
    }
}

#[test]
fn output_and_errors_keep_their_order_however_much_it_is() {
    for pod in pods() {
        let script = "i=0; while [ $i -lt 20000 ]; do echo out $i; echo error $i >&2; i=$((i + 1)); done";
        assert_eq!(pod.run(&["sh", "-c", script]), 0);
        let all: String = (0..20_000).flat_map(|i| [format!("out {i}\n"), format!("error {i}\n")]).collect();
        assert!(pod.out() == all.as_bytes() && pod.log() == all.as_bytes(), "{:?}", pod.shell);
        assert_eq!(pod.run(&["head", "-c", "30000000", "/dev/zero"]), 0);
        assert_eq!((pod.out().len(), pod.log().len()), (30_000_000, 30_000_000 + all.len()));
    }
}

#[test]
fn it_ends_though_something_it_left_behind_goes_on() {
    thread::scope(|scope| {
        for pod in pods() {
            scope.spawn(move || {
                // holds the pipe, and would for longer than this test waits
                let script = "sleep 60 & echo $!; exit 2";
                assert_eq!(pod.run(&["sh", "-c", script]), 2, "{:?}", pod.shell);
                assert_eq!(pod.log(), pod.out());
                let pid = String::from_utf8(pod.out()).unwrap();
                assert!(Command::new("kill").arg(pid.trim()).status().unwrap().success());
            });
        }
    });
}

#[test]
fn nobody_who_reads_or_no_room_on_the_volume_stops_it() {
    let script = "i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i + 1)); done; exit 6";
    let all = (0..20_000).map(|i| format!("line {i}\n")).collect::<Vec<_>>().concat();
    for pod in pods() {
        let mut child =
            pod.command(&["sh", "-c", script]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(pod.end(child), 6, "{:?}", pod.shell);
        assert!(pod.log() == all.as_bytes(), "{:?}", pod.shell);

        fs::remove_file(pod.kept("log")).unwrap();
        symlink("/dev/full", pod.kept("log")).unwrap();
        assert_eq!(pod.run(&["sh", "-c", script]), 6, "{:?}", pod.shell);
        let out = String::from_utf8(pod.out()).unwrap();
        // tee tells it once, wherever it was
        let (before, rest) = out.split_once("tee: ").unwrap();
        let (told, after) = rest.split_once('\n').unwrap();
        assert!(told.ends_with("No space left on device") && format!("{before}{after}") == all, "{told}");
    }
}

#[test]
fn its_environment_and_command_line_are_the_experiments() {
    for pod in pods() {
        pod.program("a=b", "echo \"$0\" \"$@\"");
        let program = pod.path("bin/a=b");
        let name = program.to_str().unwrap();
        assert_eq!(pod.run(&[name, "$HOME", "", "two words", "-x", "é\n"]), 0);
        assert_eq!(
            String::from_utf8(pod.out()).unwrap(),
            format!("{name} $HOME  two words -x é\n\n"),
            "{:?}",
            pod.shell
        );
        assert_eq!(pod.run(&["env"]), 0);
        let names = String::from_utf8(pod.out()).unwrap();
        let mut ours: Vec<&str> =
            names.lines().filter_map(|l| l.split('=').next()).filter(|n| n.starts_with("MRUNNER_")).collect();
        ours.sort_unstable();
        assert_eq!(ours, ["MRUNNER_OUTPUT", "MRUNNER_RUN"], "{:?}", pod.shell);
        // no file of the wrapper's is open in it
        assert_eq!(pod.run(&["sh", "-c", "for f in 3 4 5 6; do [ ! -p /proc/$$/fd/$f ] || echo $f; done"]), 0);
        assert_eq!(pod.out(), b"", "{:?}", pod.shell);
    }
}

#[test]
fn it_steps_aside_where_it_would_cost_anything() {
    for mut pod in pods() {
        pod.env = vec![("MRUNNER_KEEP_LOGS", "no".into())];
        pod.steps_aside();
        pod.env = vec![("TMPDIR", pod.path("missing").to_str().unwrap().into())];
        pod.steps_aside();
        pod.env.clear();
        pod.program("mkfifo", "exit 1");
        pod.steps_aside();
        fs::remove_file(pod.path("bin/mkfifo")).unwrap();
        // an older env knows no --default-signal
        pod.program("env", "exit 125");
        pod.steps_aside();
        fs::remove_file(pod.path("bin/env")).unwrap();
        fs::remove_dir_all(pod.path("volume/.mrunner")).unwrap();
        fs::write(pod.path("volume/.mrunner"), "no folder").unwrap();
        pod.steps_aside();
    }
}

#[test]
fn what_is_asked_for_is_kept_at_the_cost_of_two_signals() {
    for mut pod in pods() {
        pod.program("env", "exit 125");
        pod.env = vec![("MRUNNER_KEEP_LOGS", "yes".into())];
        let child = pod.start(&["sh", "-c", HEEDS, "sh", "TERM"]);
        pod.prints("ready\n");
        signal(&child, "TERM");
        assert_eq!(pod.end(child), 7, "{:?}", pod.shell);
        assert_eq!(pod.log(), b"ready\nheard\n");
    }
}

#[test]
fn busyboxs_own_tools_do() {
    for mut pod in pods().into_iter().filter(|pod| pod.shell[0] == "busybox") {
        let install = ["--install", "-s", pod.path("bin").to_str().unwrap()].map(str::to_owned);
        assert!(Command::new("busybox").args(install).status().unwrap().success());
        pod.steps_aside();
        pod.env = vec![("MRUNNER_KEEP_LOGS", "yes".into())];
        let script = format!("seq 1 20000; printf 'no end'; {HEEDS}");
        let child = pod.start(&["sh", "-c", &script, "sh", "TERM"]);
        pod.prints("ready\n");
        signal(&child, "TERM");
        assert_eq!(pod.end(child), 7);
        assert!(pod.out().ends_with(b"\n20000\nno endready\nheard\n") && pod.log() == pod.out());
        assert_eq!(pod.record()["code"], 7);
    }
}

#[test]
fn without_a_folder_for_its_results_it_does_not_start() {
    for pod in pods() {
        fs::write(pod.path("volume/train-1"), "no folder").unwrap();
        assert_eq!(pod.run(&["echo", "started"]), 1);
        let out = String::from_utf8(pod.out()).unwrap();
        assert!(out.contains("mrunner: cannot make the folder ") && !out.contains("started"), "{out}");
    }
}
