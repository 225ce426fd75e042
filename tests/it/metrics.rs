//! What a point measured, as the wrapper finds and keeps it: on the volume, and in the container's last
//! message.

use std::fs;
use std::os::unix::fs::symlink;

use mrunner::runs::results::report::{MetricsSource, Report};
use serde_json::{Value, json};

use crate::wrapper::{MARK, Pod, pods, pods_by_path};

/// Runs a script in a pod whose cluster takes a message: what the record says, and the message.
#[track_caller]
fn told(pod: &Pod, script: &str, code: i32) -> (Report, String) {
    fs::write(pod.path("message"), "").unwrap();
    fs::remove_dir_all(pod.path("volume")).unwrap();
    fs::create_dir(pod.path("volume")).unwrap();
    assert_eq!(pod.run(&["sh", "-c", script]), code, "{:?} {script}", pod.shell);
    assert_eq!(pod.report().code, Some(code.into()));
    (pod.report(), pod.message())
}

/// What the record says was measured.
#[track_caller]
fn measured(pod: &Pod, script: &str) -> Value {
    told(pod, script, 0).0.metrics.unwrap_or_default()
}

/// A script that writes `text` as its metrics.
fn writes(text: &str) -> String {
    format!("cat >$MRUNNER_OUTPUT/metrics.json <<'end'\n{text}\nend\n")
}

#[test]
fn they_are_kept_with_the_parameters_and_told_to_the_cluster() {
    for mut pod in pods() {
        pod.env = vec![("MRUNNER_PARAMS", r#"{"lr":0.1,"note":"it's \"$HOME\"\\"}"#.to_owned())];
        let (report, message) = told(&pod, &writes("{\"accuracy\": 0.97,\n\"by\": [1, {\"é\": \"x\"}]}"), 0);
        assert_eq!(report.metrics, Some(json!({"accuracy": 0.97, "by": [1, {"é": "x"}]})));
        assert_eq!(report.params, Some(json!({"lr": 0.1, "note": "it's \"$HOME\"\\"})));
        let line = "0 0 exit 0 file 43 {\"accuracy\": 0.97,\u{1e}\"by\": [1, {\"é\": \"x\"}]}\u{1e}";
        assert_eq!(message, format!("{MARK} {line}\n"));
        assert_eq!(Report::all(&message, MARK, &(0..1))[0].metrics, report.metrics);
        let (report, message) = told(&pod, "echo 12", 0);
        assert_eq!((report.metrics, message), (None, format!("{MARK} 0 0 exit 3 - - \n")));
        assert_eq!(pod.record()["params"]["lr"], 0.1);
        // of one that failed the cluster would take the end of its log
        let (_, message) = told(&pod, "echo oh; printf no; exit 4", 4);
        assert_eq!(message, format!("{MARK} 0 4 exit 5 - - \noh\nno"));
        let (_, message) = told(&pod, &(writes("{\"loss\": 3}") + "seq 10000; exit 4"), 4);
        let end = message.strip_prefix(&format!("{MARK} 0 4 exit 48894 file 12 {{\"loss\": 3}}\u{1e}\n")).unwrap();
        assert!(end.len() <= 1000 && end.ends_with("\n9999\n10000\n"), "{message}");
        pod.env = vec![("MRUNNER_PARAMS", "{}".to_owned())];
        assert_eq!(told(&pod, "true", 0).0.params, None);
        // words of its own stay before ours
        let path = pod.path("message");
        let (_, message) = told(&pod, &format!("printf words >{}", path.display()), 0);
        assert_eq!(message, format!("words\n{MARK} 0 0 exit 0 - - \n"));
    }
}

#[test]
fn a_file_of_an_earlier_attempt_is_not_this_ones() {
    for pod in pods() {
        told(&pod, &writes("{\"a\": 1}"), 0);
        // some busyboxes compare the seconds alone
        let busybox = pod.shell[0] == "busybox";
        std::thread::sleep(std::time::Duration::from_millis(if busybox { 1001 } else { 20 }));
        assert_eq!(pod.run(&["sh", "-c", "exit 3"]), 3);
        assert_eq!(pod.report().metrics, None, "{:?}", pod.shell);
        assert_eq!(pod.run(&["sh", "-c", "cat $MRUNNER_OUTPUT/metrics.json; touch $MRUNNER_OUTPUT/metrics.json"]), 0);
        assert_eq!(pod.report().metrics, Some(json!({"a": 1})), "{:?}", pod.shell);
    }
}

/// Runs a script in a pod that keeps no log: what the message tells, if it has a report.
#[track_caller]
fn unkept(pod: &Pod, script: &str, code: i32) -> Option<Report> {
    fs::write(pod.path("message"), "").unwrap();
    assert_eq!(pod.run(&["sh", "-c", script]), code, "{:?} {script}", pod.shell);
    assert!(!pod.path("volume/train-1/0/.mrunner.began").exists());
    Report::all(&pod.message(), MARK, &(0..1)).pop()
}

#[test]
fn without_a_log_a_file_counts_and_what_is_printed_has_a_reason() {
    for mut pod in pods() {
        let busybox = pod.shell[0] == "busybox";
        for record in [false, true] {
            fs::remove_dir_all(pod.path("volume")).unwrap();
            fs::create_dir(pod.path("volume")).unwrap();
            pod.env = vec![("MRUNNER_KEEP_LOGS", "no".into())];
            if record {
                // it should keep them, and has no room on the volume
                pod.env.clear();
                fs::write(pod.path("volume/.mrunner"), "no folder").unwrap();
            }
            let report = unkept(&pod, "echo 'mrunner: {\"a\": 1}'", 0).unwrap();
            assert_eq!(report.metrics, None);
            assert!(report.why.as_deref().is_some_and(|why| why.contains("`keep_logs`")), "{:?} {report:?}", pod.shell);
            // also of an attempt that failed
            let report = unkept(&pod, &(writes("{\"a\": 1}") + "exit 3"), 3).unwrap();
            assert_eq!((report.code, report.metrics), (Some(3), Some(json!({"a": 1}))), "{:?}", pod.shell);
            std::thread::sleep(std::time::Duration::from_millis(if busybox { 1001 } else { 20 }));
            let report = unkept(&pod, "true", 0).unwrap();
            assert_eq!(report.metrics, None, "{:?}", pod.shell);
            let report = unkept(&pod, &writes("{\"a\": 2}"), 0).unwrap();
            assert_eq!(report.metrics, Some(json!({"a": 2})), "{:?}", pod.shell);
            let report =
                unkept(&pod, &format!("rm -r $MRUNNER_OUTPUT; mkdir $MRUNNER_OUTPUT; {}", writes("{\"a\": 3}")), 0);
            assert_eq!(report.unwrap().metrics, Some(json!({"a": 3})), "{:?}", pod.shell);
            let failed = "rm $MRUNNER_OUTPUT/metrics.json; exit 3";
            assert_eq!(unkept(&pod, failed, 3), None, "the cluster takes the end of the log");
        }
    }
    // with a record, but without the tools for a log
    for pod in pods_by_path() {
        pod.program("mkfifo", "exit 127");
        let (report, message) = told(&pod, "echo 'mrunner: {\"a\": 1}'", 0);
        assert!(report.why.is_some() && message == format!("{MARK} 0 0 exit - unkept - \n"), "{message} {report:?}");
    }
}

#[test]
fn the_last_object_of_a_file_counts() {
    for pod in pods() {
        let lines = "{\"step\": 1}\r\n{\"step\": 2, \"loss\": NaN}\n\n";
        assert_eq!(measured(&pod, &writes(lines)), json!({"step": 2, "loss": "NaN"}));
        let pretty = "{\n\t\"a\": -Infinity,\n  \"b\": [\n 1\n ],\n \"NaN\": \"is NaN \\\" NaN\"\n}";
        assert_eq!(measured(&pod, &writes(pretty)), json!({"a": "-Infinity", "b": [1], "NaN": "is NaN \" NaN"}));
        // a whole history is longer than what is kept of it here
        let script = "seq 1 30000 | sed 's/.*/{\"step\": &}/' >$MRUNNER_OUTPUT/metrics.json";
        let (report, message) = told(&pod, script, 0);
        assert_eq!(
            (report.metrics, report.more, report.source),
            (None, true, Some((MetricsSource::File, Some(468_894))))
        );
        assert_eq!(message, format!("{MARK} 0 0 exit 0 file 468894 \n"));
    }
}

#[test]
fn they_may_be_printed_instead() {
    for pod in pods() {
        let print =
            "echo 'mrunner: {\"a\": 1}'; printf '\r10%%|##  | 1/9mrunner: {\"b\": 2}\n\r99%%\rmrunner: {\"a\": 3}\r\n'
            echo ' mrunner: {\"c\": NaN}'; echo 'mrunner: words'";
        let (report, message) = told(&pod, print, 0);
        let expected = Some(json!({"a": 3, "b": 2, "c": "NaN"}));
        assert_eq!((&report.metrics, report.more), (&expected, false), "{:?}", pod.shell);
        assert_eq!(Report::all(&message, MARK, &(0..1))[0].metrics, expected);
        assert_eq!(measured(&pod, "echo 'mrunner: {\"a\": 1}' >&2; seq 1 99999"), json!({"a": 1}));
        let broken = told(&pod, "echo 'mrunner: {\"a\": 1}'; printf 'mrunner: {\"a\":'", 0).0;
        assert_eq!(broken.metrics, Some(json!({"a": 1})));
        assert_eq!(broken.why.unwrap(), "a line `mrunner: ...` has no JSON object (it ends too early)");
        assert_eq!(measured(&pod, &(writes("{\"b\": 1}") + "echo 'mrunner: {\"a\": 1}'")), json!({"b": 1}));
        // binary output and lines without end
        let binary = "head -c 3000000 /dev/urandom; echo; echo 'mrunner: {\"a\": 1}'; head -c 3000000 /dev/zero";
        assert_eq!(measured(&pod, binary), json!({"a": 1}), "{:?}", pod.shell);
    }
}

#[test]
fn of_very_many_lines_each_name_has_its_last_value() {
    for pod in pods() {
        let script = "echo 'mrunner: {\"start\": 1}'
            seq 1 100000 | sed 's/.*/mrunner: {\"loss\": 0.&, \"by\": {\"x1\": -&e-5, \"x2\": NaN}}/'
            echo 'mrunner: {\"x1\": 5}'; printf '%s\\n' 'mrunner: {\"x2\": \"a\\\": 6\"}'; echo 'mrunner: {\"end\": 2}'";
        let (report, message) = told(&pod, script, 0);
        let by = json!({"x1": -1.0, "x2": "NaN"});
        let expected = Some(json!({"start": 1, "loss": 0.1, "by": by, "x1": 5, "x2": "a\": 6", "end": 2}));
        assert_eq!(report.metrics, expected, "{:?} {message}", pod.shell);
        // they differ in numbers alone, so that a message has room for them
        assert_eq!(Report::all(&message, MARK, &(0..1))[0].metrics, expected);
        // texts that differ are passed on as they are, as far as there is room
        let texts = "seq 1 50000 | sed 's/.*/mrunner: {\"at\": \"step &\", \"loss\": &}/'";
        let (report, message) = told(&pod, texts, 0);
        assert_eq!((report.metrics.clone(), report.more), (Some(json!({"at": "step 50000", "loss": 50000})), true));
        let told = Report::all(&message, MARK, &(0..1)).remove(0);
        assert!(message.len() <= 4096 && told.more && told.why.is_none(), "{:?} {message}", pod.shell);
        assert_eq!(told.metrics, report.metrics);
    }
}

#[test]
fn what_is_no_json_is_told_with_its_reason_and_harms_nothing() {
    let broken = [
        ("", "is empty"),
        ("{", "(line 2: it ends too early)"),
        ("[1]", "is a list, not"),
        ("{\"a\": 1,}", "(line 1: trailing comma)"),
        ("{'a': 1}", "(line 1: single quotes)"),
        ("{\"a\": \"\\ud800\"}", "(line 1: "),
        ("{\"a\": 1}}", "(line 1: trailing characters)"),
        ("$(exit 9) `exit 9` \\", "(line 1: "),
    ];
    for pod in pods() {
        for (text, words) in broken {
            let (report, message) = told(&pod, &writes(text), 0);
            let told = Report::all(&message, MARK, &(0..1)).remove(0);
            assert_eq!((&report.metrics, &report.why), (&None, &told.why), "{text}");
            assert!(report.why.as_deref().is_some_and(|why| why.contains(words)), "{text}: {:?}", report.why);
        }
        for script in [
            "mkdir $MRUNNER_OUTPUT/metrics.json",
            "mkfifo $MRUNNER_OUTPUT/metrics.json",
            "ln -s /dev/zero $MRUNNER_OUTPUT/metrics.json",
            "rm -r $MRUNNER_OUTPUT",
        ] {
            let report = told(&pod, script, 0).0;
            assert_eq!((report.metrics, report.source), (None, None), "{script}");
        }
        let report = told(&pod, "truncate -s 1G $MRUNNER_OUTPUT/metrics.json", 0).0;
        assert_eq!((report.more, report.source), (true, Some((MetricsSource::File, Some(1 << 30)))));
        let report = told(&pod, "printf '\\377\\376{\\000}\\000' >$MRUNNER_OUTPUT/metrics.json", 0).0;
        assert_eq!(report.why.as_deref(), Some("metrics.json is UTF-16; write it as UTF-8"));
        assert_eq!(fs::read_dir(pod.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn what_has_no_room_in_the_message_is_on_the_volume() {
    for pod in pods() {
        // 4096 bytes as a whole, its line feed and one before it included
        for (length, fits) in [(4053, true), (4054, false)] {
            let text = format!("{{\"a\":\"{}\"}}", "é".repeat(length / 2) + &"x".repeat(length % 2));
            let (report, message) = told(&pod, &writes(&text), 0);
            assert_eq!(report.metrics.unwrap()["a"].as_str().unwrap().len(), length);
            if fits {
                assert_eq!(message.len(), 4095, "{:?}", pod.shell);
            } else {
                assert_eq!(message, format!("{MARK} 0 0 exit 0 file {} \n", length + 9));
            }
        }
    }
}

#[test]
fn without_the_tools_for_it_the_rest_is_told() {
    for pod in pods_by_path() {
        for tool in ["awk", "tail"] {
            pod.program(tool, "echo oops; exit 127");
            let (report, message) = told(&pod, "echo 'mrunner: {\"a\": 1}'", 0);
            assert!(report.metrics.is_some() || report.more, "{tool} {report:?}");
            assert!(message.starts_with(MARK), "{tool} {message}");
            fs::remove_file(pod.path("bin").join(tool)).unwrap();
        }
        // a file that can't be written is none of the experiment's business
        fs::remove_file(pod.path("message")).ok();
        symlink("/dev/full", pod.path("message")).unwrap();
        assert_eq!(pod.run(&["sh", "-c", &writes("{\"a\": 1}")]), 0);
        assert_eq!(pod.report().metrics, Some(json!({"a": 1})));
    }
}
