//! What becomes of a run whose pod waits, is kept, is lost or is evicted, and when that is called hopeless.

use serde_json::{Value, json};

use crate::objects::{job, pod, point};
use crate::support::World;

fn world(objects: &[Value]) -> World {
    let mut world = World::new();
    world.shows(objects).env("MRUNNER_TEST_PATIENCE", "0.02");
    world.on("*'/log?'*", "exit 0");
    world
}

fn listed(items: &Value) -> String {
    format!("cat <<'END'\n{}\nEND\nexit 0", json!({"kind": "List", "items": items}))
}

fn ended() -> Vec<Value> {
    vec![job("train-x", "Succeeded"), pod("train-x", "Succeeded")]
}

fn event(kind: &str, reason: &str, message: &str, at: &str) -> Value {
    json!({"type": kind, "reason": reason, "message": message, "lastTimestamp": format!("2026-11-30T10:00:{at}Z")})
}

const CACHE: &str = "MountVolume.SetUp failed for volume \"points\" : failed to sync configmap cache: timed out waiting for the condition";

/// A pod whose image can't be pulled for this cause.
fn unpulled(cause: &str) -> Vec<Value> {
    let mut waits = pod("train-x", "ImagePullBackOff");
    let message = format!("Back-off pulling image \"r/x:1\": ErrImagePull: {cause}");
    waits["status"]["containerStatuses"][0]["state"]["waiting"]["message"] = message.into();
    vec![job("train-x", "Pending"), waits]
}

const REFUSED: &str = "failed to pull and unpack image \"r/x:1\": failed to resolve reference \"r/x:1\": failed to do request: Head \"http://r/v2/x/manifests/1\": dial tcp 127.0.0.1:5056: connect: connection refused";

/// Longer than what is given up soon may take, at the tests' pace.
fn long() {
    std::thread::sleep(std::time::Duration::from_millis(900));
}

#[test]
fn a_warning_that_is_past_does_not_end_the_wait() {
    let mut world = world(&[job("train-x", "Pending"), pod("train-x", "Starting")]);
    let events = json!([event("Warning", "FailedMount", "access denied", "01"), event("Normal", "Pulling", "", "05")]);
    world.on("*' get events '*", &listed(&events));
    let row = world.run(&["status", "--no-headers", "train-x"]).ok().stdout;
    assert!(row.trim_end().ends_with("   pulling image on node2"), "{row}");
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("run       Pulling image on node2\n");
    long();
    world.show(&ended());
    live.end().ok();
}

#[test]
fn what_passes_by_itself_is_waited_for() {
    for cause in [
        REFUSED,
        "net/http: TLS handshake timeout",
        "unexpected status from HEAD request to http://r: 503 Service Unavailable",
        "pull QPS exceeded",
    ] {
        let world = world(&unpulled(cause));
        let live = world.start(&["logs", "-f", "train-x"]);
        live.says("Waiting: the image `registry.test:5000/vision/train:t-1` can't be pulled: ");
        long();
        world.show(&ended());
        live.end().ok();
    }
    let mut world = world(&[job("train-x", "Pending"), pod("train-x", "Starting")]);
    world.on("*' get events '*", &listed(&json!([event("Warning", "FailedMount", CACHE, "01")])));
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("Waiting: its points can't be mounted: ");
    long();
    world.show(&ended());
    live.end().ok();
}

#[test]
fn what_never_passes_ends_with_1_as_the_run_may_still_start() {
    let mut world = world(&unpulled(REFUSED));
    world.env("MRUNNER_TEST_PATIENCE", "0.001");
    let outcome = world.run(&["logs", "-f", "train-x"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("error: the run `train-x` did not start within 15 minutes: the image `registry.test:5000/vision/train:t-1` can't be pulled: "), "{outcome:?}");
    assert!(outcome.stderr.contains("doctor --probe"), "{outcome:?}");
}

#[test]
fn what_is_denied_or_for_another_platform_ends_soon_with_its_own_hint() {
    let nodes = json!([{"kind": "Node", "metadata": {"name": "node1", "labels": {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}}}]);
    for (cause, hint) in [
        (
            "no match for platform in manifest: not found",
            "hint: the nodes are linux/amd64: build or choose the image for that (`--platform`)\n",
        ),
        ("pull access denied, repository does not exist or may require authorization", "`image_pull_secret`\n"),
        ("http: server gave HTTP response to HTTPS client", "hint: the nodes must trust the registry's certificate"),
    ] {
        let mut world = world(&unpulled(cause));
        world.on("*' get nodes '*", &listed(&nodes));
        let outcome = world.run(&["logs", "-f", "train-x"]);
        assert_eq!(outcome.code, 3, "{outcome:?}");
        assert!(outcome.stderr.contains(hint), "{outcome:?}");
    }
}

#[test]
fn a_pull_that_is_tried_again_is_waited_for() {
    let mut world = world(&unpulled("r/x:1: not found"));
    let failed = "Failed to pull image \"r/x:1\": r/x:1: not found";
    let events = json!([event("Warning", "Failed", failed, "01"), event("Normal", "Pulling", "", "12")]);
    world.on("*' get events '*", &listed(&events));
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("run       Pulling image on node2\n");
    long();
    world.show(&ended());
    live.end().ok();
}

/// A run whose experiment has ended with this code, beside a container in this state.
fn beside(code: i64, phase: &str, sidecar: &Value) -> Vec<Value> {
    let mut pod = pod("train-x", "Running");
    pod["status"]["phase"] = phase.into();
    pod["status"]["containerStatuses"] = json!([
        {"name": "istio-proxy", "state": sidecar},
        {"name": "experiment", "state": {"terminated": {"exitCode": code, "message": "the end\n"}}}]);
    vec![job("train-x", if phase == "Failed" { "Failed" } else { "Running" }), pod]
}

#[test]
fn the_experiment_decides_though_a_sidecar_goes_on() {
    let runs = json!({"running": {}});
    let words = "the experiment ended with exit code 0, but container `istio-proxy` keeps the pod running";
    let done = world(&beside(0, "Running", &runs));
    let status = done.run(&["status", "--no-headers", "train-x"]).ok();
    assert!(status.stdout.contains(" Succeeded   1/1 ") && status.stdout.contains(words), "{status:?}");
    assert!(
        status
            .stderr
            .contains("hint: keep `istio-proxy` out with `pod_annotations: {sidecar.istio.io/inject: \"false\"}`"),
        "{status:?}"
    );
    let followed = done.run(&["logs", "-f", "train-x"]).ok();
    assert!(followed.stderr.contains(&format!("warning: {words}\n")), "{followed:?}");
    assert!(followed.stderr.contains("kubectl mrunner delete -n vision train-x"), "{followed:?}");
    let failed = world(&beside(7, "Running", &runs));
    let outcome = failed.run(&["logs", "-f", "train-x"]);
    assert_eq!(outcome.code, 3, "{outcome:?}");
    assert!(outcome.stderr.contains("error: the run `train-x` failed: the experiment ended with exit code 7: the end, but container `istio-proxy` keeps the pod running\n"), "{outcome:?}");
    let points = failed.run(&["status", "--points", "--no-headers", "train-x"]).ok().stdout;
    assert!(points.contains("Failed"), "{points}");
}

#[test]
fn a_sidecar_that_ends_in_time_changes_nothing() {
    let mut world = world(&beside(0, "Running", &json!({"running": {}})));
    world.env("MRUNNER_TEST_PATIENCE", "0.1");
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("keeps the pod running");
    let mut failed = beside(0, "Failed", &json!({"terminated": {"exitCode": 5}}));
    world.show(&failed);
    let outcome = live.end();
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("failed: container `istio-proxy` failed: exit code 5; the experiment ended with exit code 0, but Kubernetes counts the pod as failed\n"), "{outcome:?}");
    assert!(!outcome.stderr.contains("Running on"), "{outcome:?}");
    // its last words are only in its log
    let mut init = pod("train-x", "Failed");
    init["status"]["containerStatuses"] =
        json!([{"name": "experiment", "state": {"waiting": {"reason": "PodInitializing"}}}]);
    init["status"]["initContainerStatuses"] =
        json!([{"name": "istio-validation", "state": {"terminated": {"exitCode": 126}}}]);
    failed[1] = init;
    world.show(&failed);
    world.on(
        "*' -c istio-validation --tail=20 '*",
        "printf 'x\\niptables \\033[31mvalidation\\033[0m failed\\n'; exit 0",
    );
    let row = world.run(&["status", "--no-headers", "train-x"]).ok();
    assert!(
        row.stdout.contains("init container `istio-validation` failed: exit code 126: iptables validation failed\n"),
        "{row:?}"
    );
    assert!(row.stderr.contains("see `kubectl logs -n vision train-[ID]g -c istio-validation`"), "{row:?}");
    let logs = world.run(&["logs", "train-x"]);
    assert!(
        logs.stderr
            .starts_with("error: the run `train-x` has printed nothing: init container `istio-validation` failed: "),
        "{logs:?}"
    );
}

#[test]
fn an_attempt_that_a_sidecar_keeps_is_not_the_last_one() {
    let mut kept = beside(7, "Running", &json!({"running": {}}));
    kept[0]["spec"]["backoffLimitPerIndex"] = 1.into();
    let words = "the experiment ended with exit code 7: the end, but container `istio-proxy` keeps the pod running";
    let mut with_retry = world(&kept);
    let row = with_retry.run(&["status", "--no-headers", "train-x"]).ok().stdout;
    assert!(row.contains(" Running   0/1 ") && row.contains(words), "{row}");
    let points = with_retry.run(&["status", "--points", "--no-headers", "train-x"]).ok().stdout;
    assert!(points.contains("Running"), "{points}");
    let live = with_retry.start(&["logs", "-f", "train-x"]);
    live.says(&format!("run       Waiting: {words}\n"));
    long();
    with_retry.show(&ended());
    live.end().ok();
    // it may still go on after a quarter of an hour
    with_retry.show(&kept);
    with_retry.env("MRUNNER_TEST_PATIENCE", "0.001");
    let outcome = with_retry.run(&["logs", "-f", "train-x"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains(&format!("error: the run `train-x` did not go on for 15 minutes: {words}\n")),
        "{outcome:?}"
    );
    // a drain ends the experiment before the sidecar
    let mut drained = beside(143, "Running", &json!({"running": {}}));
    drained[1]["metadata"]["deletionTimestamp"] = "2026-11-30T10:05:00Z".into();
    drained[1]["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "Eviction API: evicting"}]);
    let world = world(&drained);
    let again = world.run(&["rerun", "train-x"]);
    assert!(again.stderr.contains("the run `train-x` has not ended: it is running"), "{again:?}");
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("Stopping on node2: Eviction API: evicting");
    long();
    world.show(&ended());
    live.end().ok();
}

#[test]
fn a_node_that_does_not_answer_is_told_once_with_the_way_out() {
    let mut silent = pod("train-x", "Running");
    silent["metadata"]["deletionTimestamp"] = "2026-11-30T10:05:00Z".into();
    silent["status"]["conditions"] = json!([{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "Taint manager: deleting due to NoExecute taint"}]);
    let mut world = world(&[job("train-x", "Running"), silent]);
    let ready = |status: &str| {
        json!([{"kind": "Node", "metadata": {"name": "node2"}, "status": {"conditions":
        [{"type": "Ready", "status": status, "lastTransitionTime": "2026-11-30T10:00:00Z"}]}}])
    };
    world.write("nodes.json", json!({"kind": "List", "items": ready("Unknown")}).to_string());
    world.on("*' get nodes '*", "cat \"$world/nodes.json\"; exit 0");
    world.on("*'/log?'*", "[ ! -e \"$world/read\" ] || exit 0; echo 'error: dial tcp 10.0.0.2:10250: connect: no route to host' >&2; exit 1");
    let row = world.run(&["status", "--no-headers", "train-x"]).ok().stdout;
    assert!(
        row.contains(" Lost ") && row.contains("node `node2` has not answered since 2026-11-30T10:00:00Z: "),
        "{row}"
    );
    assert!(
        row.contains("`kubectl delete node node2`") && row.contains("kubectl delete pod --force -n vision train-"),
        "{row}"
    );
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("node `node2` has not answered since ");
    long();
    // it is back, and ends the pod
    world.write("nodes.json", json!({"kind": "List", "items": ready("True")}).to_string());
    live.says("Stopping on node2: Taint manager: deleting due to NoExecute taint");
    world.write("read", "");
    world.show(&ended());
    let outcome = live.end().ok();
    for words in ["has not answered", "the log was cut", "Stopping on"] {
        assert!(outcome.stderr.matches(words).count() < 2, "{words}: {outcome:?}");
    }
}

/// An attempt that its node ended for this reason.
fn evicted(number: u64, message: &str) -> Value {
    let mut pod = pod("train-x", "Failed");
    pod["metadata"]["name"] = format!("train-x-0-aaaa{number}").into();
    pod["metadata"]["uid"] = format!("uid-{number}").into();
    pod["metadata"]["creationTimestamp"] = format!("2026-11-23T06:00:0{number}Z").into();
    pod["status"]["reason"] = "Evicted".into();
    pod["status"]["conditions"] =
        json!([{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet", "message": message}]);
    pod
}

#[test]
fn evictions_are_told_and_the_third_of_its_own_making_ends_it() {
    let low = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 9Gi. Container experiment was using 200Gi, request is 0, has larger consumption of ephemeral-storage. ";
    let mut next = pod("train-x", "Running");
    next["metadata"]["creationTimestamp"] = "2026-11-23T06:00:09Z".into();
    let run = job("train-x", "Running");
    let world = world(&[run.clone(), evicted(1, low), next.clone()]);
    let row = world.run(&["status", "--no-headers", "train-x"]).ok().stdout;
    assert!(row.contains("attempt 1 was evicted: the node was low on resource: ephemeral-storage. "), "{row}");
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("attempt 1 was evicted: the node was low on resource: ephemeral-storage. ");
    live.says("; it costs no retry, starting again\n");
    world.show(&[run.clone(), evicted(1, low), evicted(2, low), next.clone()]);
    live.says("attempt 3 was evicted");
    let row = world.run(&["status", "--no-headers", "train-x"]).ok().stdout;
    assert!(row.contains("2 attempts were evicted, the last one: the node was low"), "{row}");
    world.show(&[run, evicted(1, low), evicted(2, low), evicted(3, low), next]);
    let outcome = live.end();
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("error: the run `train-x` can't go on: it was evicted 3 times in a row, as it used up the ephemeral-storage of its node: "), "{outcome:?}");
    assert!(outcome.stderr.contains("hint: write less to the node's own disk"), "{outcome:?}");
}

/// A sweep of four, of which two are done, without a pod of the others.
fn midway() -> Vec<Value> {
    let mut run = job("train-x", "Pending");
    run["spec"]["completions"] = 4.into();
    run["status"] = json!({"startTime": "2026-11-23T06:00:00Z", "succeeded": 2, "completedIndexes": "0,1"});
    vec![run, point(0, "Succeeded"), point(1, "Succeeded")]
}

#[test]
fn a_sweep_stuck_midway_says_why_and_for_each_pod_once() {
    let mut world = world(&midway());
    let refused = |pod: &str| {
        let message = format!(
            "Error creating: pods \"train-x-2-{pod}\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"
        );
        json!({"kind": "List", "items": [event("Warning", "FailedCreate", &message, "01")]}).to_string()
    };
    world.write("events.json", refused("aaaaa"));
    world.on("*' get events '*involvedObject.kind=Job,*", "cat \"$world/events.json\"; exit 0");
    let status = world.run(&["status", "--no-headers", "train-x"]).ok();
    assert!(
        status.stdout.contains(" Pending   2/4 ") && status.stdout.contains("the quota leaves no room for its pod: "),
        "{status:?}"
    );
    assert!(
        status.stderr.contains("points    4 in all: 2 succeeded, 2 waiting\n"),
        "no estimate while nothing runs: {status:?}"
    );
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("run       2 of 4 succeeded; the others wait: the quota leaves no room for its pod: ");
    world.write("events.json", refused("bbbbb"));
    long();
    world.write("events.json", json!({"kind": "List", "items": [event("Warning", "FailedCreate", "violates PodSecurity \"restricted:latest\"", "09")]}).to_string());
    let outcome = live.end();
    assert_eq!(outcome.code, 3);
    assert!(outcome.stderr.contains("error: the run `train-x` can't go on: 2 of 4 succeeded; the others wait: the namespace's Pod Security level forbids its pod: "), "{outcome:?}");
    assert_eq!(outcome.stderr.matches("the quota leaves no room").count(), 1, "{outcome:?}");
}

#[test]
fn a_bar_is_what_a_terminal_would_show_of_it() {
    let mut failed = pod("train-x", "Failed");
    failed["status"]["containerStatuses"][0]["state"]["terminated"]["message"] =
        "\u{fffd}###    | 84/100\rTraining:  85%|###   | 85/100\rTraining: 100%|####| 100/100\u{1b}[K\r".into();
    let row = world(&[job("train-x", "Failed"), failed]).run(&["status", "--no-headers"]).ok().stdout;
    assert!(row.trim_end().ends_with("   exit code 2: Training: 100%|####| 100/100"), "{row}");
}

#[test]
fn what_others_wrote_commands_no_terminal_and_has_an_end() {
    let bad = format!("\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r\n{}", "x".repeat(100_000));
    let mut world = world(&[job("train-x", "Pending"), pod("train-x", "Starting")]);
    world.write(
        "events.json",
        json!({"kind": "List", "items": [event("Warning", "FailedCreatePodSandBox", &bad, "01")]}).to_string(),
    );
    world.on("*' get events '*", "cat \"$world/events.json\"; exit 0");
    let mut others = vec![beside(0, "Failed", &json!({"terminated": {"exitCode": 5, "message": bad}}))];
    others.push(vec![job("train-x", "Running"), evicted(1, &bad), pod("train-x", "Running")]);
    others.push(unpulled(&bad));
    let mut init = pod("train-x", "Starting");
    init["status"]["initContainerStatuses"] =
        json!([{"name": "i", "state": {"terminated": {"exitCode": 1, "message": bad}}}]);
    others.push(vec![job("train-x", "Pending"), init]);
    for objects in std::iter::once(vec![job("train-x", "Pending"), pod("train-x", "Starting")]).chain(others) {
        world.show(&objects);
        let outcome = world.run(&["status", "train-x"]).ok();
        let text = outcome.stdout + &outcome.stderr;
        assert!(!text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\r']) && text.len() < 4000, "{} {objects:?}", text.len());
        assert!(text.contains("xxx…"), "{text}");
    }
}
