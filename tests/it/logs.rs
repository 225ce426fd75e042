//! `logs` of a run and of its attempts.

use serde_json::Value;

use crate::objects::{job, one, pod, showing};

#[test]
fn logs_are_the_scripts_own_bytes() {
    let mut world = one("Succeeded");
    world.on("*'/log?'*", r"printf '2026-11-23T06:00:00Z a\t b \n2026-11-23T06:00:01Z \n2026-11-23T06:00:02Z \033[31mred\033[0m 100%%\r'; exit 0");
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(
        (outcome.stdout.trim_end_matches('\n'), outcome.stderr.as_str()),
        ("a\t b \n\n\u{1b}[31mred\u{1b}[0m 100%\r", "")
    );
}

#[test]
fn logs_of_a_run_without_any_say_why() {
    one("ImagePullBackOff").run(&["logs", "train-x"]).fails(1, "error: the run `train-x` has printed nothing yet: it is starting: the image `registry.test:5000/vision/train:t-1` can't be pulled: registry.test:5000/vision/train:t-1: not found
hint: see how it stands with `kubectl mrunner status -n vision train-x`
");
    showing(&[job("train-x", "Succeeded")]).run(&["logs", "train-x"]).fails(
        1,
        "error: the run `train-x` has ended, and its pods with its logs are gone
hint: see how it stands with `kubectl mrunner status -n vision train-x`
",
    );
    let mut world = one("Running");
    world.on(
        "*'/log?'*",
        "echo 'error: error from server (NotFound): pods \"train-x\" not found in namespace \"vision\"' >&2; exit 1",
    );
    world.run(&["logs", "train-x"]).fails(
        1,
        r#"error: failed to read the log of the pod `train-[ID]g`
  command: kubectl --context kube-lab get --raw '/api/v1/namespaces/vision/pods/train-[ID]g/log?container=experiment&timestamps=true&follow=false'
  exit status: 1
  storage: nothing is kept there (`keep_logs: false`)
  | error: error from server (NotFound): pods "train-x" not found in namespace "vision"
"#,
    );
}

/// A run that may be started twice, with these attempts at it.
fn attempts(state: &str, pods: &[&str]) -> Vec<Value> {
    let mut run = job("train-x", state);
    run["spec"]["backoffLimitPerIndex"] = 1.into();
    let pods = pods.iter().enumerate().map(|(number, state)| {
        let mut pod = pod("train-x", state);
        pod["metadata"]["name"] = format!("train-x-0-{number}").into();
        pod["metadata"]["creationTimestamp"] = format!("2026-11-23T06:00:0{number}Z").into();
        pod
    });
    std::iter::once(run).chain(pods).collect()
}

const OF_ATTEMPTS: &str = r#"case "$*" in *train-x-0-0*) echo '2026-11-23T06:00:00Z first' ;; *) echo '2026-11-23T06:00:01Z second' ;; esac; exit 0"#;

#[test]
fn an_attempt_that_failed_is_told() {
    let mut world = showing(&attempts("Running", &["Running"]));
    world.on("*'/log?'*", OF_ATTEMPTS);
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("Running on node2");
    world.show(&attempts("Pending", &["Failed"]));
    live.says("attempt 1 of 2 failed");
    world.show(&attempts("Pending", &["Failed", "Starting"]));
    live.says("Preparing the pod on node2");
    world.show(&attempts("Running", &["Failed", "Running"]));
    live.answers("second\n");
    world.show(&attempts("Failed", &["Failed", "Failed"]));
    let outcome = live.end();
    assert_eq!(outcome.stdout, "first\nsecond\n");
    outcome.fails(
        3,
        "run       Running on node2
run       attempt 1 of 2 failed: exit code 2
run       Preparing the pod on node2
run       Running on node2
error: the run `train-x` failed: exit code 2
",
    );
}

#[test]
fn the_log_of_each_attempt_is_shown_under_its_number() {
    let mut world = showing(&attempts("Succeeded", &["Failed", "Succeeded"]));
    world.on("*'/log?'*", OF_ATTEMPTS);
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(
        (outcome.stdout.as_str(), outcome.stderr.as_str()),
        ("first\nsecond\n", "attempt   1 of 2\nattempt   2 of 2\n")
    );
    world.show(&attempts("Succeeded", &["Succeeded"]));
    assert_eq!(world.run(&["logs", "train-x"]).ok().stderr, "");
}

/// A log that is cut off after two lines, and then comes from there on.
const CUT: &str = r#"case "$*" in
    *sinceTime=2026-11-23T06:00:01.5Z*) printf '2026-11-23T06:00:01.5Z two\n2026-11-23T06:00:01.5Z two again\n2026-11-23T06:00:02Z three\n'; exit 0 ;;
    *sinceTime=*) printf '2026-11-23T06:00:02Z three\n'; exit 0 ;;
    *) printf '2026-11-23T06:00:00Z one\n2026-11-23T06:00:01.5Z two\n'; echo 'error: unexpected EOF' >&2; exit 1 ;; esac"#;

#[test]
fn a_log_that_was_cut_is_taken_up_without_loss_or_doubles() {
    let mut world = one("Running");
    world.on("*'/log?'*", CUT);
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("three\n");
    world.show(&[job("train-x", "Succeeded"), pod("train-x", "Succeeded")]);
    let outcome = live.end().ok();
    assert_eq!(outcome.stdout, "one\ntwo\ntwo again\nthree\n");
    assert_eq!(
        outcome.stderr,
        "run       Running on node2\nrun       the log was cut, taking it up again: error: unexpected EOF\nrun       Succeeded in 90s\n"
    );
}
