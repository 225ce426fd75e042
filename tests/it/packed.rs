//! A pod that runs several points, one after the other, in each shell that an image may have as `/bin/sh`.

use std::fs;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use mrunner::runs::results::report::Report;
use serde_json::json;

use crate::wrapper::{MARK, Moments, Pod, pods, signal};

/// Pods with index 1 of 3 points each, of 8 in all: 3, 4, 5.
fn packs() -> Vec<Pod> {
    packed(pods())
}

fn packed(mut pods: Vec<Pod>) -> Vec<Pod> {
    for pod in &mut pods {
        set(pod, &[]);
    }
    pods
}

/// Its variables, and `more`.
fn set(pod: &mut Pod, more: &[(&'static str, &str)]) {
    let output = pod.path("volume/train-1/1").to_str().unwrap().to_owned();
    let usual = [
        ("MRUNNER_POINTS", "8"),
        ("MRUNNER_POINTS_PER_POD", "3"),
        ("MRUNNER_NO_RETRY", "64 65"),
        ("JOB_COMPLETION_INDEX", "1"),
        ("MRUNNER_OUTPUT", &output),
    ];
    let all = usual.iter().chain(more.iter());
    pod.env = all.map(|(name, value)| (*name, (*value).to_owned())).collect();
    fs::write(pod.path("message"), "").unwrap();
}

fn record(pod: &Pod, point: u64) -> Option<Report> {
    let file = pod.path("volume/.mrunner/runs/train-1").join(format!("{point}.train-1-0-x7f2k.json"));
    Some(Report::record(&fs::read(file).ok()?).unwrap())
}

/// The points of which the pod told something, with their exit codes.
fn told(pod: &Pod) -> Vec<(u64, i64)> {
    let all = Report::all(&pod.message(), MARK, &(3..6));
    all.iter().map(|report| (report.index, report.code.unwrap())).collect()
}

fn codes(pod: &Pod) -> Vec<Option<i64>> {
    (0..9).map(|point| record(pod, point).and_then(|record| record.code)).collect()
}

fn printed(pod: &Pod) -> String {
    String::from_utf8(pod.out()).unwrap()
}

#[test]
fn each_point_has_its_own_of_everything() {
    for mut pod in packs() {
        // a line of shell for each, in files of four
        let line =
            |i: u64| format!("set -- \"${{1}}\" \"${{2}}\" \"${{3}}\" 'of {i}'; MRUNNER_PARAMS='{{\"x\":{i}}}'\n");
        for file in 0..2 {
            let lines: String = (4 * file..4 * file + 4).map(line).collect();
            pod.mount(&file.to_string(), &lines);
        }
        set(&mut pod, &[("MRUNNER_LINES", "4")]);
        let script = "echo point $JOB_COMPLETION_INDEX $0 $MRUNNER_PARAMS; env | grep -c '^MRUNNER_'
            echo \"{\\\"m\\\": $JOB_COMPLETION_INDEX}\" >$MRUNNER_OUTPUT/metrics.json";
        assert_eq!(pod.run(&["sh", "-c", script]), 0, "{:?}", printed(&pod));
        for i in 3..6 {
            let record = record(&pod, i).unwrap();
            assert_eq!((record.params, record.metrics), (Some(json!({"x": i})), Some(json!({"m": i}))));
            let log = fs::read_to_string(pod.path(&format!("volume/.mrunner/runs/train-1/{i}.train-1-0-x7f2k.log")));
            // its folder, its run, its parameters: nothing of ours
            assert_eq!(log.unwrap(), format!("point {i} of {i} {{\"x\":{i}}}\n3\n"), "{:?}", pod.shell);
            assert!(pod.path(&format!("volume/train-1/{i}/metrics.json")).exists());
        }
        let all = Report::all(&pod.message(), MARK, &(3..6));
        assert_eq!(
            all.iter().map(|r| r.metrics.clone().unwrap()).collect::<Vec<_>>(),
            [3, 4, 5].map(|i| json!({"m": i}))
        );
    }
}

#[test]
fn points_share_the_termination_message() {
    for mut pod in packs() {
        set(&mut pod, &[]);
        // 4,096 bytes for three points
        let script =
            "printf '{\"a\":\"%0*d\"}' $((JOB_COMPLETION_INDEX == 4 ? 1400 : 1300)) 0 >$MRUNNER_OUTPUT/metrics.json";
        assert_eq!(pod.run(&["sh", "-c", script]), 0, "{:?}", printed(&pod));
        assert!(pod.message().len() < 4096);
        let all = Report::all(&pod.message(), MARK, &(3..6));
        let is_told = |report: &Report| report.metrics.is_some();
        assert_eq!(all.iter().map(is_told).collect::<Vec<_>>(), [true, false, true], "{:?}", pod.shell);
    }
}

#[test]
fn the_last_pod_has_what_is_left() {
    for mut pod in packs() {
        set(&mut pod, &[("JOB_COMPLETION_INDEX", "2")]);
        assert_eq!(pod.run(&["sh", "-c", "echo $JOB_COMPLETION_INDEX"]), 0);
        assert_eq!(printed(&pod), "6\n7\n");
    }
}

#[test]
fn one_that_fails_does_not_keep_the_next_from_running_and_a_retry_does_the_rest() {
    for mut pod in packs() {
        let script = "echo $JOB_COMPLETION_INDEX; exit $((JOB_COMPLETION_INDEX == 4 ? CODE : 0))";
        set(&mut pod, &[("CODE", "7")]);
        assert_eq!(pod.run(&["sh", "-c", script]), 7, "{:?}", pod.shell);
        assert_eq!(printed(&pod), "3\n4\n5\n");
        assert_eq!(told(&pod), [(3, 0), (4, 7), (5, 0)]);
        // parameters that look like a record's end deceive nobody
        let file = pod.path("volume/.mrunner/runs/train-1/4.old.json");
        let time = "2026-11-24T22:00:00Z";
        let lie = format!("\"began\":\"{time}\",\"ended\":\"{time}\",\"code\":0,\"ended_by\":\"exit\"");
        fs::write(&file, format!("{{\"index\":4,\"pod\":\"old\",\"began\":\"{time}\",\"params\":{{{lie}}}}}\n"))
            .unwrap();
        set(&mut pod, &[("CODE", "0")]);
        assert_eq!(pod.run(&["sh", "-c", script]), 0, "{:?}", pod.shell);
        assert_eq!(printed(&pod), "4\n");
        assert_eq!(told(&pod), [(3, 0), (4, 0), (5, 0)]);
        let more = |report: &Report| report.more;
        assert_eq!(
            Report::all(&pod.message(), MARK, &(3..6)).iter().map(more).collect::<Vec<_>>(),
            [true, false, true]
        );
    }
}

#[test]
fn a_record_of_any_size_keeps_no_point_from_running() {
    for mut pod in packs() {
        let folder = pod.path("volume/.mrunner/runs/train-1");
        fs::create_dir_all(&folder).unwrap();
        fs::File::create(folder.join("3.x.json")).unwrap().set_len(1 << 40).unwrap();
        symlink("/dev/zero", folder.join("4.x.json")).unwrap();
        let time = "2026-11-24T22:00:00Z";
        let head = format!("{{\"index\":5,\"pod\":\"x\",\"began\":\"{time}\"");
        // a record behind a link is none
        fs::write(pod.path("done"), format!("{head},\"ended\":\"{time}\",\"code\":0,\"ended_by\":\"exit\"}}\n"))
            .unwrap();
        symlink(pod.path("done"), folder.join("5.x.json")).unwrap();
        let begun = Instant::now();
        assert_eq!(pod.run(&["sh", "-c", "echo $JOB_COMPLETION_INDEX"]), 0);
        assert_eq!(printed(&pod), "3\n4\n5\n", "{:?}", pod.shell);
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?} {:?}", pod.shell, begun.elapsed());
        set(&mut pod, &[]);
        assert_eq!(pod.run(&["sh", "-c", "echo again"]), 0);
        assert_eq!(printed(&pod), "", "{:?}", pod.shell);
    }
}

#[test]
fn a_code_that_rules_out_a_retry_is_told_only_when_no_other_is_left() {
    for mut pod in packs() {
        let script = "echo $JOB_COMPLETION_INDEX; case $JOB_COMPLETION_INDEX in 3) exit 64 ;; 4) exit $CODE ;; esac";
        set(&mut pod, &[("CODE", "7")]);
        assert_eq!(pod.run(&["sh", "-c", script]), 7, "{:?}", pod.shell);
        set(&mut pod, &[("CODE", "0")]);
        assert_eq!(pod.run(&["sh", "-c", script]), 64, "{:?}", pod.shell);
        assert_eq!(printed(&pod), "4\n");
        assert_eq!(told(&pod), [(3, 64), (4, 0), (5, 0)]);
    }
}

#[test]
fn a_signal_goes_to_the_point_at_work_and_no_other_begins() {
    for pod in packs() {
        let script = "trap 'echo heard; exit $CODE' $1; echo ready $JOB_COMPLETION_INDEX; while :; do sleep 0.02; done";
        for (name, code, ends) in [("TERM", "0", 143), ("INT", "9", 9), ("QUIT", "5", 5)] {
            fs::remove_dir_all(pod.path("volume/.mrunner")).ok();
            let script = script.replace("$CODE", code);
            let child = pod.start(&["sh", "-c", &script, "sh", name]);
            pod.prints("ready 3\n");
            signal(&child, name);
            assert_eq!(pod.end(child), ends, "{:?} {name}", pod.shell);
            assert_eq!(printed(&pod), "ready 3\nheard\n", "{:?} {name}", pod.shell);
            assert_eq!(codes(&pod)[3..6], [Some(ends.into()), None, None]);
        }
        fs::remove_dir_all(pod.path("volume/.mrunner")).ok();
        let child = pod.start(&["sh", "-c", &script.replace("$CODE", "0"), "sh", "USR1"]);
        for point in 3..6 {
            pod.prints(&format!("ready {point}\n"));
            signal(&child, "USR1");
        }
        assert_eq!(pod.end(child), 0, "{:?}", pod.shell);
    }
}

#[test]
fn the_time_limit_is_each_points() {
    std::thread::scope(|scope| {
        for mut pod in packs() {
            scope.spawn(move || {
                set(&mut pod, &[("MRUNNER_LIMIT", "1")]);
                let script = "[ $JOB_COMPLETION_INDEX = 4 ] || exit 0; echo begun; exec sleep 60";
                assert_eq!(pod.run(&["sh", "-c", script]), 143, "{:?}", pod.shell);
                assert_eq!(codes(&pod)[3..6], [0, 143, 0].map(Some));
                assert_eq!(printed(&pod), "begun\nmrunner: its time limit of 1 s has passed\n", "{:?}", pod.shell);
            });
        }
    });
}

#[test]
fn without_logs_they_run_all_the_same() {
    for mut pod in packs() {
        set(&mut pod, &[("MRUNNER_KEEP_LOGS", "no")]);
        let script = "echo $JOB_COMPLETION_INDEX; [ $JOB_COMPLETION_INDEX != 3 ] || kill -9 $$";
        assert_eq!(pod.run(&["sh", "-c", script]), 137, "{:?}", pod.shell);
        assert_eq!(printed(&pod), "3\n4\n5\n", "{:?}", pod.shell);
        assert_eq!(told(&pod), [(3, 137), (4, 0), (5, 0)]);
    }
}

/// The processes that have the pod's storage among their variables.
fn processes(pod: &Pod) -> Vec<String> {
    let volume = pod.path("volume").to_str().unwrap().to_owned();
    let all = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let folder = entry.ok()?.path();
        let environ = String::from_utf8_lossy(&fs::read(folder.join("environ")).ok()?).into_owned();
        let command = fs::read(folder.join("cmdline")).ok()?;
        let is_alive = !command.is_empty() && environ.contains(&volume);
        is_alive.then(|| String::from_utf8_lossy(&command[..command.len().min(60)]).replace('\0', " "))
    });
    all.collect()
}

#[test]
fn nothing_of_a_point_is_left_when_the_next_begins() {
    for mut pod in packs() {
        set(&mut pod, &[("MRUNNER_LIMIT", "3600")]);
        // one in its group, and one that left it, both with nothing of the output open
        let script = "sleep 611 >/dev/null 2>&1 & setsid sh -c 'sleep 612 & sleep 613' >/dev/null 2>&1 & sleep 0.2; echo $JOB_COMPLETION_INDEX";
        assert_eq!(pod.run(&["sh", "-c", script]), 0, "{:?}", pod.shell);
        assert_eq!(printed(&pod), "3\n4\n5\n");
        std::thread::sleep(std::time::Duration::from_millis(100));
        let mut left = processes(&pod);
        if pod.shell[0] == "busybox" {
            // its grep may not read variables: what left the group stays until the container ends
            left.retain(|command| command.contains("sleep 611"));
        }
        assert_eq!(left, [""; 0], "{:?}", pod.shell);
    }
}

#[test]
fn a_signal_at_a_random_moment_makes_no_packed_point_done_that_is_not() {
    let script = "trap 'exit 0' TERM; echo ready; i=0; while [ $i -lt 4 ]; do sleep 0.01; i=$((i + 1)); done
        echo done >$MRUNNER_OUTPUT/done";
    let pods = packs();
    let moments = &Moments::new(Duration::from_millis(500));
    let each = moments.each(pods.len());
    std::thread::scope(|scope| {
        for (number, mut pod) in (0..).zip(pods) {
            scope.spawn(move || {
                for moment in (0..each).map(|i| moments.at(number * each + i)) {
                    pod.empty_volume();
                    set(&mut pod, &[]);
                    let done = |pod: &Pod, point: u64| pod.path(&format!("volume/train-1/{point}/done")).exists();
                    let child = pod.start(&["sh", "-c", script]);
                    std::thread::sleep(moment);
                    signal(&child, "TERM");
                    let code = pod.end(child);
                    assert!(
                        code == 143 || (code == 0 && (3..6).all(|point| done(&pod, point))),
                        "{:?}: {code}",
                        pod.shell
                    );
                    for point in 3..6 {
                        let recorded = record(&pod, point).and_then(|record| record.code);
                        let told = told(&pod).into_iter().find(|(index, _)| *index == point).map(|(_, code)| code);
                        for code in [recorded, told] {
                            assert!(code != Some(0) || done(&pod, point), "{:?} {moment:?} {point}", pod.shell);
                        }
                    }
                    // the next try does what is not done
                    set(&mut pod, &[]);
                    assert_eq!(pod.run(&["sh", "-c", script]), 0, "{:?} {moment:?}", pod.shell);
                    assert!((3..6).all(|point| done(&pod, point)), "{:?} {moment:?}", pod.shell);
                }
            });
        }
    });
}
