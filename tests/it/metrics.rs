//! What a point measured, as the wrapper finds and keeps it: on the volume, and in the container's last
//! message.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::wrapper::{Pod, pods};

/// Runs a script in a pod whose cluster takes a message: the record's metrics, and the message.
#[track_caller]
fn told(pod: &Pod, script: &str, code: i32) -> (Value, String) {
    fs::write(pod.path("message"), "").unwrap();
    fs::remove_dir_all(pod.path("volume")).unwrap();
    fs::create_dir(pod.path("volume")).unwrap();
    assert_eq!(pod.run(&["sh", "-c", script]), code, "{:?} {script}", pod.shell);
    let record = pod.record();
    assert_eq!(record["code"], code);
    (record["metrics"].clone(), pod.message())
}

/// A script that writes `text` as its metrics.
fn writes(text: &str) -> String {
    format!("cat >$MRUNNER_OUTPUT/metrics.json <<'end'\n{text}\nend\n")
}

#[test]
fn they_are_kept_with_the_parameters_and_told_to_the_cluster() {
    for mut pod in pods() {
        pod.env = vec![("MRUNNER_PARAMS", r#"{"lr":0.1,"note":"it's \"$HOME\"\\"}"#.to_owned())];
        let (metrics, message) = told(&pod, &writes(r#"{"accuracy": 0.97, "by": [1, {"é": "x"}]}"#), 0);
        assert_eq!(metrics, json!({"accuracy": 0.97, "by": [1, {"é": "x"}]}));
        assert_eq!(message, "{\"index\":0,\"code\":0,\"metrics\":{\"accuracy\": 0.97, \"by\": [1, {\"é\": \"x\"}]}}\n");
        assert_eq!(pod.record()["params"], json!({"lr": 0.1, "note": "it's \"$HOME\"\\"}));
        let (metrics, message) = told(&pod, "true", 0);
        assert_eq!((metrics, message.as_str()), (Value::Null, "{\"index\":0,\"code\":0}\n"));
        assert_eq!(pod.record()["params"]["lr"], 0.1);
        // of one that failed the cluster takes the end of its log, if nothing else is told
        assert_eq!(told(&pod, "echo oh; exit 4", 4), (Value::Null, String::new()));
        let (metrics, message) = told(&pod, &(writes("{\"loss\": 3}") + "echo oh; printf no; exit 4"), 4);
        let line = "{\"index\":0,\"code\":4,\"metrics\":{\"loss\": 3}}\n";
        assert_eq!((metrics, message), (json!({"loss": 3}), format!("{line}oh\nno\n")));
        let (_, message) = told(&pod, &(writes("{\"loss\": 3}") + "seq 10000; exit 4"), 4);
        let end = message.strip_prefix(line).unwrap();
        assert!(end.len() <= 1000 && end.starts_with('9') && end.ends_with("\n10000\n"), "{message}");
        pod.env = vec![("MRUNNER_PARAMS", "{}".to_owned())];
        told(&pod, "true", 0);
        assert!(pod.record().get("params").is_none());
    }
}

#[test]
fn the_last_line_counts_where_there_are_several() {
    for pod in pods() {
        let lines = "{\"step\": 1}\r\n{\"step\": 2, \"loss\": NaN}\n\n";
        assert_eq!(told(&pod, &writes(lines), 0).0, json!({"step": 2, "loss": "NaN"}));
        let pretty = "{\n\t\"a\": -Infinity,\n  \"b\": [\n 1\n ],\n \"NaN\": \"is NaN \\\" NaN\"\n}";
        assert_eq!(told(&pod, &writes(pretty), 0).0, json!({"a": "-Infinity", "b": [1], "NaN": "is NaN \" NaN"}));
        // a whole history is longer than what is read of it
        let script = "seq 1 30000 | sed 's/.*/{\"step\": &}/' >$MRUNNER_OUTPUT/metrics.json";
        assert_eq!(told(&pod, script, 0).0, json!({"step": 30000}));
    }
}

#[test]
fn they_may_be_printed_instead() {
    for pod in pods() {
        let print =
            "echo 'mrunner: {\"a\": 1}'; printf '10%%\\r99%%\\rmrunner: {\"a\": 2}\\n'; echo ' mrunner: {\"a\": 3}'";
        assert_eq!(told(&pod, print, 0).0, json!({"a": 2}), "{:?}", pod.shell);
        assert_eq!(told(&pod, "echo 'mrunner: {\"a\": 1}' >&2; seq 1 99999", 0).0, json!({"a": 1}));
        // what is broken is not told by what was told before
        assert_eq!(told(&pod, "echo 'mrunner: {\"a\": 1}'; printf 'mrunner: {\"a\":'", 0).0, Value::Null);
        assert_eq!(told(&pod, &(writes("{\"b\": 1}") + "echo 'mrunner: {\"a\": 1}'"), 0).0, json!({"b": 1}));
    }
}

#[test]
fn what_is_no_json_is_left_out_and_harms_nothing() {
    let broken = [
        "",
        "{",
        "[1]",
        "3",
        "{\"a\": 1,}",
        "{\"a\": 1 2}",
        "{\"a\": 01}",
        "{\"a\": 1e999}",
        "{\"a\": nan}",
        "{'a': 1}",
        "{\"a\": \"\\ud800\"}",
        "{\"a\": \"\u{1}\"}",
        "{\"a\": 1}}",
        "{\"a\": [1}]",
        "{\"a\": 1}\n{\"a\":",
        "$(exit 9) `exit 9` \\",
    ];
    for pod in pods() {
        for text in broken {
            let (metrics, message) = told(&pod, &writes(text), 0);
            assert_eq!((metrics, message.as_str()), (Value::Null, "{\"index\":0,\"code\":0}\n"), "{text}");
        }
        for script in [
            "head -c 70000 /dev/zero | tr '\\0' x >$MRUNNER_OUTPUT/metrics.json",
            "head -c 30000000 /dev/zero >$MRUNNER_OUTPUT/metrics.json",
            "printf '{\"a\":\"\\377\\376' >$MRUNNER_OUTPUT/metrics.json",
            "mkdir $MRUNNER_OUTPUT/metrics.json",
            "mkfifo $MRUNNER_OUTPUT/metrics.json",
            "ln -s /dev/zero $MRUNNER_OUTPUT/metrics.json",
            "rm -r $MRUNNER_OUTPUT",
        ] {
            assert_eq!(told(&pod, script, 0).0, Value::Null, "{script}");
        }
        assert_eq!(fs::read_dir(pod.path("tmp")).unwrap().count(), 0);
    }
}

#[test]
fn what_has_no_room_in_the_message_is_on_the_volume() {
    for pod in pods() {
        // 4096 bytes as a whole, its line feed included
        for (length, fits) in [(4056, true), (4057, false)] {
            let text = format!("{{\"a\":\"{}\"}}", "é".repeat(length / 2) + &"x".repeat(length % 2));
            let (metrics, message) = told(&pod, &writes(&text), 0);
            assert_eq!(metrics["a"].as_str().unwrap().len(), length);
            if fits {
                assert_eq!(message.len(), 4096, "{:?}", pod.shell);
            } else {
                assert_eq!(message, "{\"index\":0,\"code\":0,\"more\":true}\n");
            }
        }
    }
}

#[test]
fn without_the_tools_for_it_the_rest_is_told() {
    for pod in pods() {
        for tool in ["awk", "tail"] {
            pod.program(tool, "echo oops; exit 127");
            let (metrics, message) = told(&pod, &writes("{\"a\": 1}"), 0);
            assert_eq!((metrics, message.as_str()), (Value::Null, "{\"index\":0,\"code\":0}\n"), "{tool}");
            fs::remove_file(pod.path("bin").join(tool)).unwrap();
        }
        // a file that can't be written is none of the experiment's business
        fs::remove_file(pod.path("message")).ok();
        symlink("/dev/full", pod.path("message")).unwrap();
        assert_eq!(pod.run(&["sh", "-c", &writes("{\"a\": 1}")]), 0);
        assert_eq!(pod.record()["metrics"]["a"], 1);
    }
}
