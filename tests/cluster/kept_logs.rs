//! What stays of a run on its volume, in real pods.

use std::time::Duration;

use serde_json::Value;

use crate::project::live::until_for;
use crate::project::{Project, program};

/// Prints what the folder of the run `argv[1]` holds, as JSON: the files' names and texts.
const READER: &str = "import json, os, sys
folder = os.path.join(os.environ['STORAGE_DIR'], '.mrunner/runs', sys.argv[1])
files = os.listdir(folder) if os.path.exists(folder) else []
print(json.dumps({name: open(os.path.join(folder, name)).read() for name in files}))";

/// What is kept of `run`: `run.json`, and each attempt's record with its log.
fn kept(project: &Project, run: &str) -> (Value, Vec<(Value, String)>) {
    project.write("reader/kept.py", READER);
    let mut command = project.command("kubectl-mrunner", &["run", "--follow", "kept.py", "--", run]);
    command.current_dir(project.path("reader"));
    let files: Value = serde_json::from_str(&project.spawn(command).end().ok().stdout).unwrap();
    let text = |name: &str| files[name].as_str().unwrap_or_default().to_owned();
    // behind the first line of a record come the metrics as they were written
    let read = |name: &str| {
        let text = text(name);
        serde_json::from_str::<Value>(text.lines().next().unwrap_or_default()).unwrap_or_default()
    };
    let records = files.as_object().unwrap().keys().filter_map(|name| Some((name, name.strip_suffix(".json")?)));
    let attempts =
        records.filter(|(name, _)| *name != "run.json").map(|(name, stem)| (read(name), text(&format!("{stem}.log"))));
    let mut attempts: Vec<_> = attempts.collect();
    attempts.sort_by_key(|(record, _)| record["began"].as_str().unwrap().to_owned());
    (read("run.json"), attempts)
}

#[test]
fn each_attempt_leaves_its_log_and_its_end() {
    let project = Project::new();
    project.script(
        "import os, sys
marker = os.environ['MRUNNER_OUTPUT'] + '/marker'
print('out', flush=True); print('error', file=sys.stderr, flush=True)
if not os.path.exists(marker):
    open(marker, 'w').close()
    print('first', end='')
    sys.exit(1)
print('second')",
    );
    let run = project.run(&["run", "--wait", "--retries", "1", "--tags", "two words", "train.py"]).ok().name();
    let image = project.job()["metadata"]["annotations"]["mrunner/image"].clone();
    let logs = project.run(&["logs", &run]).ok();
    // as when its time is over: nobody told mrunner
    project.kubectl(&["delete", "job", &run]);
    let left = project.run(&["logs", &run]).ok().told("attempt   1 of 2, at the point 0\n");
    assert_eq!(left.stdout, logs.stdout);
    let row = project
        .run(&["status", "--no-headers", &run])
        .ok()
        .told("its Job is gone; this is what it left in the storage\n");
    let words: Vec<&str> = row.stdout.split_whitespace().collect();
    assert_eq!(words[..5], [&run, "cluster-tests", &project.namespace, "Succeeded", "1/1"]);
    // a helper's pod does not stay
    assert!(crate::project::until(|| project.objects("jobs").is_empty().then_some(())).is_some());
    let unknown = project.run(&["logs", "train-00000000"]);
    unknown.fails(1, &format!("error: no run is called `train-00000000` in the namespace `{}`\nhint: see the runs with `kubectl mrunner status`\n", project.namespace));
    let (run, attempts) = kept(&project, &run);
    assert_eq!(
        (&run["project"], &run["tags"][0], &run["image"]),
        (&"cluster-tests".into(), &"two words".into(), &image)
    );
    let told: Vec<_> = attempts.iter().map(|(record, log)| (record["code"].as_i64(), log.as_str())).collect();
    assert_eq!(told, [(Some(1), "out\nerror\nfirst"), (Some(0), "out\nerror\nsecond\n")]);
    let pods: Vec<_> = attempts.iter().map(|(record, _)| record["pod"].as_str().unwrap()).collect();
    assert!(pods[0] != pods[1] && pods[0].starts_with("train-"), "{pods:?}");
}

#[test]
fn a_deletion_ends_the_script_by_its_signal() {
    let project = Project::new();
    project.script("import time; print('begun', flush=True); time.sleep(600)");
    let follower = project.start(&["run", "--follow", "train.py"]);
    follower.prints("begun\n");
    let run = project.only_run();
    project.run(&["delete", &run]).ok();
    assert!(follower.end().code != 0);
    let left = project.run(&["logs", "-f", &run]);
    let words = format!("error: the run `{run}` failed: exit code 143: SIGTERM (asked to end)\n");
    assert_eq!(left.fails(3, &words).stdout, "begun\n");
    let (_, attempts) = kept(&project, &run);
    assert_eq!(attempts.len(), 1);
    // by SIGTERM: after the 30 s that Kubernetes grants it would be SIGKILL, and no end would be noted
    assert_eq!((attempts[0].0["code"].as_i64(), attempts[0].1.as_str()), (Some(143), "begun\n"));
}

#[test]
fn memory_that_runs_out_is_told_by_the_cluster_and_noted() {
    let project = Project::new();
    project.script("print('before', flush=True); len(bytearray(512 << 20))");
    let outcome = project.run(&["run", "--follow", "--mem", "64Mi", "train.py"]);
    let run = project.only_run();
    let words = format!("error: the run `{run}` failed: it ran out of memory; ask for more with `--mem`\n");
    assert_eq!(outcome.fails(3, &words).stdout, "before\n");
    let (_, attempts) = kept(&project, &run);
    // where a whole container is killed at once, nothing of it notes its end
    assert!(matches!(attempts[0].0["code"].as_i64(), Some(137) | None), "{attempts:?}");
    assert_eq!(attempts[0].1, "before\n");
}

#[test]
fn nothing_is_kept_where_the_context_says_so() {
    let project = Project::new();
    project.context("storage_class: shared\nkeep_logs: false");
    project.script("print('not for long')");
    let run = project.run(&["run", "--wait", "train.py"]).ok().name();
    assert_eq!(kept(&project, &run), (Value::Null, Vec::new()));
}

/// Prints 12 MB, of which the node begins another file, then waits for the file `go`, and ends.
const ROTATED: &str = "import os, time
print('line 0', flush=True); time.sleep(3)
for i in range(1, 120_000): print(f'line {i:08} ' + 'x' * 86)
more, go = 0, os.environ['MRUNNER_OUTPUT'] + '/go'
while not os.path.exists(go): print('more', more, flush=True); more += 1; time.sleep(0.2)
print('last', end='')";

#[test]
fn a_log_that_was_rotated_is_shown_whole() {
    let project = Project::new();
    project.script(ROTATED);
    let run = project.run(&["run", "train.py"]).ok().name();
    let pod = || {
        project
            .objects("pods")
            .iter()
            .find(|pod| pod["metadata"]["labels"]["mrunner/run"] == run.as_str())
            .map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned())
    };
    // the node has begun another file
    let path = |pod: &str| format!("/api/v1/namespaces/{}/pods/{pod}/log?limitBytes=100", project.namespace);
    let rotated = until_for(Duration::from_secs(120), || {
        let log = program("kubectl").args(["get", "--raw", &path(&pod()?)]).output().unwrap();
        (log.status.success() && log.stdout.starts_with(b"more")).then_some(())
    });
    assert!(rotated.is_some());
    let is_whole = |shown: &str, end: &str| {
        let mut lines = shown.lines();
        assert_eq!(lines.next(), Some("line 0"));
        assert!((1..120_000).all(|i| lines.next().is_some_and(|line| line.starts_with(&format!("line {i:08} x")))));
        let rest: Vec<&str> = lines.collect();
        let count = rest.iter().enumerate().filter(|(i, line)| **line == format!("more {i}")).count();
        assert_eq!(rest[count..].concat(), end);
    };
    is_whole(&project.run(&["logs", &run]).ok().told("looking for the logs of").stdout, "");
    let follower = project.start(&["logs", "-f", &run]);
    let pod = pod().unwrap();
    let way = format!("what the storage kept of it: `kubectl mrunner logs -n {} {run}`\n", project.namespace);
    follower.says(&format!("warning: the node no longer has the beginning of the log of `{pod}`; {way}"));
    project.kubectl(&["exec", &pod, "--", "sh", "-c", "touch $MRUNNER_OUTPUT/go"]);
    let late = follower.end().ok().told(&format!(" MiB that `{pod}` printed are missing here; {way}"));
    assert!(late.stdout.starts_with("more") && late.stdout.ends_with("\nlast\n"), "{late}");
    let shown = project.run(&["logs", &run]).ok();
    assert!(!shown.stderr.contains("warning"), "{}", shown.stderr);
    is_whole(&shown.stdout, "last");
    // what is kept of it is counted, and goes with it
    let du = project.run(&["du", "cluster-tests:"]).ok();
    assert!(du.stdout.contains(" .mrunner (kept logs and records)\n"), "{du}");
    project.run(&["rm", "--yes", &run]).ok().told(" of kept logs and records\n");
    project.run(&["rm", "--yes", &run]).fails(1, &format!("error: there is no `{run}` in the storage (claim `storage-cluster-tests`)\nhint: see what there is with `kubectl mrunner ls -n {} cluster-tests:`\n", project.namespace));
}
