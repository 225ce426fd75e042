//! How an experiment starts and ends, and with what environment.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::thread;

use mrunner::runs::results::report::EndedBy;

use super::{HEEDS, pods, signal};
use crate::support::program;

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
fn it_ends_though_something_it_left_behind_goes_on() {
    thread::scope(|scope| {
        for pod in pods() {
            scope.spawn(move || {
                // holds the pipe, and would for longer than this test waits
                let script = "sleep 60 & echo $!; exit 2";
                assert_eq!(pod.run(&["sh", "-c", script]), 2, "{:?}", pod.shell);
                assert_eq!(pod.log(), pod.out());
                let pid = String::from_utf8(pod.out()).unwrap();
                assert!(program("kill").arg(pid.trim()).status().unwrap().success());
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
fn busyboxs_own_tools_do() {
    for mut pod in pods().into_iter().filter(|pod| pod.shell[0] == "busybox") {
        let install = ["--install", "-s", pod.path("bin").to_str().unwrap()].map(str::to_owned);
        assert!(program("busybox").args(install).status().unwrap().success());
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
