//! `run --follow` and `run --wait`: what is shown until the run ends.

use serde_json::json;

use crate::objects::{event, job, pod, showing};

/// Follows a run from its submission, through these.
fn follow(flag: &str, steps: &[(&str, &[&str])], rules: &[(&str, &str)]) -> crate::support::Outcome {
    let mut world = showing(&[]);
    // the Job that was created, with the status that the test says
    let script = r#"run=$(cat "$world/run" 2>/dev/null); sed "s/RUN/$run/g" "$world/runs.json"; exit 0"#;
    world.on("*' get jobs,pods '*", script);
    world.on("*' create '*'-o json'*", r#"sed -n 's/^    "name": "\(train-[^"]*\)",$/\1/p' "$call.stdin" | head -1 >"$world/run"; cat "$call.stdin"; exit 0"#);
    world.on("*'/log?'*", "printf '2026-11-23T06:00:00Z epoch 1\n'; exit 0");
    for (pattern, script) in rules {
        world.on(pattern, script);
    }
    let objects = |states: &[&str]| {
        let mut all = vec![job("RUN", states[0])];
        all.extend(states.get(1).map(|state| pod("RUN", state)));
        all
    };
    world.show(&objects(steps[0].1));
    let live = world.start(&["run", flag, "train.py"]);
    for (told, next) in &steps[1..] {
        live.says(told);
        if next.is_empty() { world.show(&[]) } else { world.show(&objects(next)) }
    }
    let outcome = live.end();
    let from = outcome.stderr.find("job       train-[ID] submitted\n").unwrap();
    crate::support::Outcome { stderr: outcome.stderr[from..].to_owned(), ..outcome }
}

#[test]
fn a_run_that_succeeds_is_followed_to_its_end() {
    let steps: &[(&str, &[&str])] = &[
        ("", &["Pending"]),
        ("Waiting for a node", &["Pending", "Starting"]),
        ("Preparing the pod on node2", &["Running", "Running"]),
        ("Running on node2", &["Succeeded", "Succeeded"]),
    ];
    let outcome = follow("--follow", steps, &[]).ok();
    assert_eq!(outcome.stdout, "epoch 1\n");
    assert_eq!(
        outcome.stderr,
        "job       train-[ID] submitted\nrun       Waiting for a node\nrun       Preparing the pod on node2\nrun       Running on node2\nrun       Succeeded in 90s\n"
    );
    // without its logs, the answer is its name
    assert_eq!(follow("--wait", steps, &[]).ok().stdout, "train-[ID]\n");
}

#[test]
fn a_run_that_fails_ends_with_3() {
    let steps: &[(&str, &[&str])] = &[("", &["Failed", "Failed"])];
    let outcome = follow("--follow", steps, &[]);
    assert_eq!(outcome.stdout, "epoch 1\n");
    outcome.fails(
        3,
        "error: the run `train-[ID]` failed: exit code 2
",
    );
    follow("--wait", steps, &[]).fails(
        3,
        "error: the run `train-[ID]` failed: exit code 2
hint: see what it printed with `kubectl mrunner logs -n vision train-[ID]`
",
    );
}

#[test]
fn an_image_that_can_not_be_pulled_is_given_up() {
    follow("--follow", &[("", &["Pending", "ImagePullBackOff"])], &[]).fails(3, "error: the run `train-[ID]` can't start: the image `registry.test:5000/vision/train:t-1` can't be pulled: registry.test:5000/vision/train:t-1: not found
hint: is the registry's address right as seen from the cluster, and may the cluster read it (`image_pull_secret`)?
hint: it stays in the cluster; remove it with `kubectl mrunner delete -n vision train-[ID]`
");
}

const NODES: (&str, &str) = (
    "*' get nodes '*",
    r#"echo '{"kind":"List","items":[{"kind":"Node","metadata":{"name":"node1"},"spec":{},"status":{"allocatable":{"cpu":"8"}}}]}'; exit 0"#,
);

/// The events of whatever is asked for.
fn events(reason: &str, message: &str) -> (&'static str, String) {
    let mut event = event(reason, message);
    event["metadata"]["namespace"] = "vision".into();
    let list = json!({"kind": "List", "items": [event]});
    ("*' get events '*", format!("cat <<'END'\n{list}\nEND\nexit 0"))
}

#[test]
fn a_pod_that_no_node_will_ever_fit_is_given_up() {
    follow("--follow", &[("", &["Pending", "Unschedulable"])], &[NODES]).fails(
        3,
        "error: the run `train-[ID]` can't start: no node of the cluster would ever fit what it asks for
hint: ask for less with `--cpu`, `--mem`, `--gpu`, or see the nodes with `kubectl get nodes`
hint: it stays in the cluster; remove it with `kubectl mrunner delete -n vision train-[ID]`
",
    );
}

#[test]
fn a_pod_that_waits_for_room_is_waited_for() {
    let nodes = (NODES.0, &*NODES.1.replace("\"8\"", "\"2000\""));
    let steps: &[(&str, &[&str])] = &[
        ("", &["Pending", "Unschedulable"]),
        ("Waiting: no node fits: 0/2 nodes are available", &["Succeeded", "Succeeded"]),
    ];
    follow("--follow", steps, &[nodes]).ok();
}

#[test]
fn a_quota_is_waited_for() {
    let (pattern, script) = events(
        "FailedCreate",
        "Error creating: pods \"train-x-j7jz8\" is forbidden: exceeded quota: p, requested: pods=1, used: pods=0, limited: pods=0",
    );
    let told = "Waiting: the quota leaves no room for its pod: ";
    let outcome =
        follow("--follow", &[("", &["Pending"]), (told, &["Succeeded", "Succeeded"])], &[(pattern, &script)]).ok();
    assert!(
        outcome.stderr.contains("exceeded quota: p, requested: pods=1, used: pods=0, limited: pods=0\n"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn pod_security_is_final() {
    let (pattern, script) = events(
        "FailedCreate",
        "Error creating: pods \"train-x-8m8bj\" is forbidden: violates PodSecurity \"restricted:latest\": runAsNonRoot != true",
    );
    follow("--follow", &[("", &["Pending"])], &[(pattern, &script)]).fails(3, r#"error: the run `train-[ID]` can't start: the namespace's Pod Security level forbids its pod: violates PodSecurity "restricted:latest": runAsNonRoot != true
hint: leave `run_as: 0` out of the context, or ask the cluster's administrator
hint: it stays in the cluster; remove it with `kubectl mrunner delete -n vision train-[ID]`
"#);
}

#[test]
fn a_volume_that_can_not_be_mounted_is_given_up() {
    let (pattern, script) =
        events("FailedMount", "MountVolume.SetUp failed for volume \"pvc-1\": access denied by server while mounting");
    follow("--follow", &[("", &["Pending", "Starting"])], &[(pattern, &script)]).fails(3, r#"error: the run `train-[ID]` can't start: its storage can't be mounted: MountVolume.SetUp failed for volume "pvc-1": access denied by server while mounting
hint: see `kubectl describe pvc -n vision`
hint: it stays in the cluster; remove it with `kubectl mrunner delete -n vision train-[ID]`
"#);
}

#[test]
fn a_run_that_is_deleted_meanwhile_is_told() {
    follow("--follow", &[("", &["Running", "Running"]), ("Running on node2", &[])], &[]).fails(
        1,
        "error: the run `train-[ID]` is gone: somebody deleted it
",
    );
}

#[test]
fn a_cluster_that_is_away_for_a_while_is_waited_for() {
    let rules = [(
        "*' get jobs,pods '*",
        r#"[ -e "$world/back" ] || { : >"$world/back"; echo 'The connection to the server was refused' >&2; exit 1; }; sed "s/RUN/$(cat "$world/run")/g" "$world/runs.json"; exit 0"#,
    )];
    let outcome = follow("--follow", &[("", &["Succeeded", "Succeeded"])], &rules).ok();
    let told = "run       the cluster does not answer, trying again: The connection to the server was refused\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
}
