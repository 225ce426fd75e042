//! What starts the experiment in its pod, in each shell that an image may have as `/bin/sh`.

use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use mrunner::k8s::manifests::points::FOLDER;
use mrunner::runs::results::report::{EndedBy, Report};
use serde_json::Value;
use tempfile::TempDir;

/// How long a test waits for what must come, before it fails: longer than the wrapper gives a volume that hangs (30 s).
const FOR_EVER: Duration = Duration::from_secs(60);

/// The word that the lines of reports begin with.
pub const MARK: &str = "k3v9zq2m4t";

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

/// Those whose programs are found on the PATH: some busyboxes take their own before them.
pub fn pods_by_path() -> Vec<Pod> {
    let by_path = |pod: &Pod| {
        pod.program("tee", "echo by path");
        let path = format!("{}:{}", pod.path("bin").display(), std::env::var("PATH").unwrap());
        let mut command = Command::new(pod.shell[0]);
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

    fn command(&self, program: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap();
        let words = with_default_signals().into_iter().chain(self.shell.iter().map(|&word| word.to_owned()));
        let mut words = words.chain(self.words(program));
        let mut command = Command::new(words.next().unwrap());
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
fn with_default_signals() -> Vec<String> {
    let env = which::which("env").unwrap().to_str().unwrap().to_owned();
    let words = [env, "--default-signal".to_owned()];
    let status = Command::new(&words[0]).args([&words[1], "true"]).stderr(Stdio::null()).status();
    if status.is_ok_and(|status| status.success()) { words.into() } else { Vec::new() }
}

pub fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([format!("-{name}"), child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_point_of_a_sweep_is_started_by_the_files_of_its_folder() {
    for mut pod in pods() {
        let line =
            |x: &str| format!("set -- \"${{1}}\" \"${{2}}\" \"${{3}}\" '{x}'; MRUNNER_PARAMS='{{\"x\":\"{x}\"}}'\n");
        pod.mount("0", &(line("a") + &line("b c")));
        pod.mount("1", &line("d"));
        for (index, x) in ["a", "b c", "d"].iter().enumerate() {
            pod.env = vec![("MRUNNER_LINES", "2".to_owned()), ("JOB_COMPLETION_INDEX", index.to_string())];
            let script = "echo \"$0 $MRUNNER_PARAMS\"; env | grep '^MRUNNER_' | cut -d= -f1 | sort; exit 3";
            assert_eq!(pod.run(&["sh", "-c", script]), 3, "{:?} {}", pod.shell, String::from_utf8_lossy(&pod.out()));
            let words = format!("{x} {{\"x\":\"{x}\"}}\nMRUNNER_OUTPUT\nMRUNNER_PARAMS\nMRUNNER_RUN\n");
            assert_eq!(String::from_utf8(pod.out()).unwrap(), words, "{:?}", pod.shell);
        }
        pod.env[1].1 = "0".to_owned();
        pod.told_to_end();
        // no line, no experiment
        pod.env[1].1 = "3".to_owned();
        assert_eq!(pod.run(&["echo", "begun"]), 1, "{:?}", pod.shell);
        assert!(pod.out().ends_with(b"mrunner: cannot read the parameters of point 3\n"), "{:?}", pod.shell);
    }
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
        assert!(pod.out() == all.as_bytes(), "{:?}", pod.shell);
        assert_eq!(pod.record()["printed"], all.len(), "{:?}", pod.shell);
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
fn without_the_means_to_keep_anything_it_stays_the_parent() {
    for mut pod in pods_by_path() {
        // no logs, no tool for them, no folder on the volume
        pod.env = vec![("MRUNNER_KEEP_LOGS", "no".into())];
        pod.told_to_end();
        assert_eq!(pod.run(&["sh", "-c", "exit 3"]), 3);
        assert!(!pod.path("volume/.mrunner").exists());
        pod.env.clear();
        pod.lacks("mkfifo");
        pod.told_to_end();
        assert_eq!((pod.report().code, pod.report().printed), (Some(143), None), "{:?}", pod.shell);
        fs::remove_file(pod.path("bin/mkfifo")).unwrap();
        fs::remove_dir_all(pod.path("volume/.mrunner")).unwrap();
        fs::write(pod.path("volume/.mrunner"), "no folder").unwrap();
        pod.told_to_end();
        // a root file system that can only be read
        fs::remove_file(pod.path("volume/.mrunner")).unwrap();
        pod.env = vec![("TMPDIR", pod.path("missing").to_str().unwrap().into())];
        pod.told_to_end();
        assert_eq!((pod.log(), pod.report().printed), (b"ready\nheard\n".to_vec(), Some(12)), "{:?}", pod.shell);
    }
}

#[test]
fn each_way_to_a_group_of_its_own_keeps_its_signals_to_itself() {
    let missing: [&[&str]; 5] =
        [&[], &["env"], &["env", "python3"], &["env", "python3", "perl"], &["env", "python3", "perl", "setsid"]];
    for pod in pods_by_path() {
        for (way, names) in missing.iter().enumerate() {
            names.iter().for_each(|name| pod.lacks(name));
            pod.told_to_end();
            let script = "trap 'echo bye; exit 0' TERM; echo hello; kill -TERM 0; sleep 0.3";
            // bash needs none of them, and without any a signal to the group may be one from outside
            let own = pod.shell[0] == "bash" || way < 4;
            assert_eq!(pod.run(&["sh", "-c", script]), if own { 0 } else { 143 }, "{:?} {names:?}", pod.shell);
            assert_eq!(pod.report().ended_by, Some(if own { EndedBy::Exit } else { EndedBy::Told }));
            for name in ["INT", "QUIT"] {
                let restored = pod.shell[0] == "bash" || way < 3;
                let child = pod.start(&["sh", "-c", "echo ready; exec sleep 0.5"]);
                pod.prints("ready\n");
                signal(&child, name);
                let code = if name == "INT" { 130 } else { 131 };
                assert_eq!(pod.end(child), if restored { code } else { 143 }, "{:?} {names:?} {name}", pod.shell);
            }
            assert_eq!(pod.run(&["no-such-program"]), 127, "{:?} {names:?}", pod.shell);
        }
    }
}

#[test]
fn what_it_was_told_by_itself_is_its_own_business() {
    for pod in pods() {
        // a signal to itself, to its group, and one that a child of it sends
        for script in ["kill $$", "kill 0", "sh -c 'kill $PPID'"] {
            let script = format!("trap 'exit 0' TERM; {script}; sleep 0.2; sleep 0.2; exit 5");
            assert_eq!(pod.run(&["sh", "-c", &script]), 0, "{:?} {script}", pod.shell);
            assert_eq!(pod.report().ended_by, Some(EndedBy::Exit), "{:?} {script}", pod.shell);
        }
    }
}

/// Moments of a time, drawn by a seed that is printed; `MRUNNER_SEED` draws the same ones again.
pub struct Moments {
    seed: u64,
    within: Duration,
}

impl Moments {
    pub fn new(within: Duration) -> Self {
        let given = std::env::var("MRUNNER_SEED").ok().map(|seed| seed.parse().unwrap());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("moments of MRUNNER_SEED={seed}");
        Self { seed, within }
    }

    /// One of them (splitmix64).
    pub fn at(&self, number: u64) -> Duration {
        let mut bits = self.seed.wrapping_add((number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Duration::from_micros((bits ^ (bits >> 31)) % u64::try_from(self.within.as_micros()).unwrap())
    }
}

#[test]
fn of_a_hundred_moments_none_makes_a_point_done_that_is_not() {
    // done is who wrote `done`; the exit code is 0 either way
    let script = "trap 'exit 0' TERM; echo ready; i=0; while [ $i -lt 8 ]; do sleep 0.01; i=$((i + 1)); done
        echo done >$MRUNNER_OUTPUT/done";
    let pods = pods();
    let each = 100_u64.div_ceil(pods.len() as u64);
    let moments = &Moments::new(Duration::from_millis(220));
    thread::scope(|scope| {
        for (number, pod) in (0..).zip(pods) {
            scope.spawn(move || (0..each).for_each(|i| is_true_at(&pod, script, moments.at(number * each + i))));
        }
    });
}

/// Tells the experiment to end at some moment: what is told of it then holds.
fn is_true_at(pod: &Pod, script: &str, moment: Duration) {
    pod.empty_volume();
    fs::write(pod.path("message"), "").unwrap();
    let child = pod.start(&["sh", "-c", script]);
    thread::sleep(moment);
    signal(&child, "TERM");
    let code = pod.end(child);
    let done = pod.path("volume/train-1/0/done").exists();
    assert!(code == 143 || (code == 0 && done), "{:?} {moment:?}: {code}", pod.shell);
    if let Ok(record) = fs::read(pod.kept("json")) {
        let report = Report::record(&record).unwrap();
        assert!(report.code != Some(0) || done, "{:?} {moment:?}: {report:?}", pod.shell);
        assert!(report.code.is_none_or(|known| known == i64::from(code)), "{report:?} {code}");
    }
    for report in Report::all(&pod.message(), MARK, &(0..1)) {
        assert!(report.code != Some(0) || done, "{:?} {moment:?}: {report:?}", pod.shell);
    }
}

#[test]
fn of_a_log_without_end_the_first_and_the_last_part_are_kept() {
    const BOUND: usize = 4 << 20;
    for mut pod in pods() {
        pod.env = vec![("MRUNNER_KEEP_LOGS_MAX", BOUND.to_string())];
        // at its ends as it comes
        let script = "echo 'mrunner: {\"first\": 1}'; seq 1 2000000; echo 'mrunner: {\"last\": 2}'; printf end";
        assert_eq!(pod.run(&["sh", "-c", script]), 0);
        let (out, parts) = (pod.out(), pod.parts());
        let (head, tail) = (&parts[0], parts[1..].concat());
        assert!(out.starts_with(head) && out.ends_with(&tail), "{:?}", pod.shell);
        assert!(
            head.len() >= BOUND / 2 && tail.len() >= BOUND / 2 && head.len() + tail.len() <= BOUND / 4 * 5,
            "{:?}: {} {}",
            pod.shell,
            head.len(),
            tail.len()
        );
        let report = pod.report();
        assert_eq!(report.printed, Some(out.len() as u64), "{:?}", pod.shell);
        assert_eq!(report.metrics, Some(serde_json::json!({"first": 1, "last": 2})), "{report:?}");
        // what fits is whole, and the first half in one file
        for count in [BOUND / 2 - 1, BOUND - 1, BOUND] {
            fs::remove_dir_all(pod.path("volume/.mrunner")).unwrap();
            assert_eq!(pod.run(&["head", "-c", &count.to_string(), "/dev/zero"]), 0);
            let parts: Vec<usize> = pod.parts().iter().map(Vec::len).collect();
            assert_eq!(parts.iter().sum::<usize>(), count, "{:?} {parts:?}", pod.shell);
            assert!(count > BOUND / 2 || parts.len() == 1, "{:?} {parts:?}", pod.shell);
        }
        // and is there while it goes on
        let child = pod.start(&["sh", "-c", "echo ready; exec sleep 5"]);
        pod.wait_for(|| pod.log().ends_with(b"ready\n").then_some(()));
        signal(&child, "KILL");
        pod.end(child);
    }
}

#[test]
fn what_it_puts_in_the_place_of_its_files_keeps_nobody() {
    for mut pod in pods() {
        // several parts of the log, and a second point for which the first one prepares
        pod.env = vec![("MRUNNER_KEEP_LOGS_MAX", (1 << 20).to_string()), ("MRUNNER_POINTS", "2".into())];
        pod.env.extend([("MRUNNER_POINTS_PER_POD", "2".to_owned()), ("MRUNNER_ROOM", "2000".into())]);
        for odd in ["ln -s /dev/zero", "ln -s /dev/full", "mkfifo", "mkdir"] {
            fs::write(pod.path("message"), "").unwrap();
            let script = format!(
                "cd $STORAGE_DIR/.mrunner/runs/train-1; own=$JOB_COMPLETION_INDEX.train-1-0-x7f2k
                put() {{ rm -rf $1; {odd} $1; }}
                seq 1 200000; sleep 0.1
                for i in 0 1; do
                  own=$i.train-1-0-x7f2k; [ $i = $JOB_COMPLETION_INDEX ] || [ $i = 1 ] || continue
                  for file in log log.1 log.2 log.3 log.4 log.5 log.6 log.7 log.8 log.9 json; do put $own.$file; done
                  put .$own.new; put .$own.lines
                done
                put $MRUNNER_OUTPUT/metrics.json; seq 1 200000; echo 'mrunner: {{\"a\": 1}}'"
            );
            let begun = Instant::now();
            assert_eq!(pod.run(&["sh", "-c", &script]), 0, "{:?} {odd}", pod.shell);
            assert!(begun.elapsed() < Duration::from_secs(8), "{:?} {odd}: {:?}", pod.shell, begun.elapsed());
            let reports = Report::all(&pod.message(), MARK, &(0..2));
            assert_eq!(reports.len(), 2, "{:?} {odd}: {}", pod.shell, pod.message());
            assert_eq!(pod.report().code, Some(0), "{:?} {odd}", pod.shell);
            let volume = pod.path("volume");
            let users = || {
                Command::new("sh")
                    .args(["-c", "ls -l /proc/[0-9]*/fd 2>/dev/null | grep -cF -- \"$1\"", "sh"])
                    .arg(&volume)
                    .output()
            };
            pod.wait_for(|| (users().unwrap().stdout == b"0\n").then_some(()));
            fs::remove_dir_all(&volume).unwrap();
            fs::create_dir(&volume).unwrap();
        }
    }
}

#[test]
fn busyboxs_own_tools_do() {
    for mut pod in pods().into_iter().filter(|pod| pod.shell[0] == "busybox") {
        let install = ["--install", "-s", pod.path("bin").to_str().unwrap()].map(str::to_owned);
        assert!(Command::new("busybox").args(install).status().unwrap().success());
        // which it makes no link to
        symlink(which::which("busybox").unwrap(), pod.path("bin/busybox")).ok();
        pod.env = vec![("PATH", pod.path("bin").to_str().unwrap().into())];
        let script = format!("seq 1 20000; printf 'no end'; echo '{{mrunner: {{\"a\": 1}}'; {HEEDS}");
        let child = pod.start(&["sh", "-c", &script, "sh", "TERM"]);
        pod.prints("ready\n");
        signal(&child, "TERM");
        assert_eq!(pod.end(child), 7);
        assert!(pod.out().ends_with(b"ready\nheard\n") && pod.log() == pod.out());
        let report = pod.report();
        assert_eq!((report.code, report.ended_by), (Some(7), Some(EndedBy::Told)));
        assert_eq!(report.metrics, Some(serde_json::json!({"a": 1})));
        pod.told_to_end();
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
