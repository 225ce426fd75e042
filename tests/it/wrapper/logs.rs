//! The copy of what an experiment prints.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mrunner::runs::results::report::Report;

use super::{MARK, pods, signal};

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

/// Whether a process has a file below the folder open.
fn is_open(folder: &Path) -> bool {
    let processes =
        fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read_dir(entry.path().join("fd")).ok());
    processes.flatten().flatten().any(|file| fs::read_link(file.path()).is_ok_and(|path| path.starts_with(folder)))
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
            assert!(begun.elapsed() < Duration::from_secs(25), "{:?} {odd}: {:?}", pod.shell, begun.elapsed());
            let reports = Report::all(&pod.message(), MARK, &(0..2));
            assert_eq!(reports.len(), 2, "{:?} {odd}: {}", pod.shell, pod.message());
            assert_eq!(pod.report().code, Some(0), "{:?} {odd}", pod.shell);
            let volume = pod.path("volume");
            pod.wait_for(|| (!is_open(&volume)).then_some(()));
            fs::remove_dir_all(&volume).unwrap();
            fs::create_dir(&volume).unwrap();
        }
    }
}
