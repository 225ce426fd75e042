//! Signals to the experiment and to its pod.

use std::fs;
use std::thread;
use std::time::Duration;

use mrunner::runs::results::report::{EndedBy, Report};

use super::{HEEDS, MARK, Moments, Pod, pods, pods_by_path, signal};

const SIGNALS: [&str; 6] = ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"];

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
                // what does not heed the signal ends by itself
                let script = format!("echo ready; exec sleep {}", if restored { "60" } else { "1" });
                let child = pod.start(&["sh", "-c", &script]);
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

#[test]
fn a_signal_at_a_random_moment_makes_no_point_done_that_is_not() {
    // done is who wrote `done`; the exit code is 0 either way
    let script = "trap 'exit 0' TERM; echo ready; i=0; while [ $i -lt 8 ]; do sleep 0.01; i=$((i + 1)); done
        echo done >$MRUNNER_OUTPUT/done";
    let pods = pods();
    let moments = &Moments::new(Duration::from_millis(220));
    let each = moments.each(pods.len());
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
