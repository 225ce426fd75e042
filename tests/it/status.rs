//! What `status` shows of runs.

use serde_json::{Value, json};

use crate::objects::{event, job, one, pod, showing};
use crate::support::{Call, on_terminal};

#[test]
fn status_is_a_table() {
    let mut others =
        vec![job("a-failed", "Failed"), pod("a-failed", "Failed"), job("b-runs", "Running"), pod("b-runs", "Running")];
    others.extend([
        job("c-done", "Succeeded"),
        job("d-pulls", "Pending"),
        pod("d-pulls", "ImagePullBackOff"),
        job("e-new", "Pending"),
    ]);
    let outcome = showing(&others).run(&["status"]).ok();
    assert_eq!(outcome.stderr, "");
    assert_eq!(
        outcome.stdout,
        "RUN        PROJECT   STATE       DONE   TIME   AGE   WHY
a-failed   vision    Failed      0/1    90s    3d    exit code 2
b-runs     vision    Running     0/1    3d     3d
c-done     vision    Succeeded   1/1    90s    3d
d-pulls    vision    Starting    0/1    3d     3d    the image `registry.test:5000/vision/train:t-1` can't be pulled: registry.test:5000/vision/train:t-1: not found
e-new      vision    Pending     0/1    3d     3d
"
    );
}

#[test]
fn status_can_be_wide_and_bare() {
    let outcome = one("Succeeded").run(&["status", "-o", "wide"]).ok();
    assert_eq!(
        outcome.stdout,
        "RUN       PROJECT   NAMESPACE   STATE       DONE   TIME   AGE   NODE    TAGS       IMAGE                                       WHY
train-x   vision    vision      Succeeded   1/1    90s    3d    node2   baseline   registry.test:5000/vision/train@sha256:07
"
    );
    let outcome = one("Succeeded").run(&["status", "-o", "name"]).ok();
    assert_eq!(outcome.stdout, "job.batch/train-x\n");
    let outcome = one("Succeeded").run(&["status", "--no-headers"]).ok();
    assert!(outcome.stdout.starts_with("train-x ") && outcome.stdout.lines().count() == 1);
}

#[test]
fn the_namespace_is_shown_where_it_says_more_than_the_project() {
    let mut other = job("in-team", "Succeeded");
    other["metadata"]["namespace"] = "team".into();
    let mut bare = job("no-project", "Succeeded");
    bare["metadata"]["labels"] = json!({"mrunner/run": "no-project"});
    bare["metadata"]["annotations"] = json!({});
    let outcome = showing(&[other, bare, job("own", "Succeeded")]).run(&["status"]).ok();
    assert_eq!(
        outcome.stdout,
        "RUN          PROJECT   NAMESPACE   STATE       DONE   TIME   AGE   WHY
in-team      vision    team        Succeeded   1/1    90s    3d
no-project   <none>    vision      Succeeded   1/1    90s    3d
own          vision    vision      Succeeded   1/1    90s    3d
"
    );
}

#[test]
fn status_is_cut_to_the_terminal() {
    let objects = [job("d-pulls", "Pending"), pod("d-pulls", "ImagePullBackOff")];
    let world = showing(&objects);
    let whole = "d-pulls   vision    Starting   0/1    3d     3d    the image `registry.test:5000/vision/train:t-1` can't be pulled: registry.test:5000/vision/train:t-1: not found";
    let shown = |args: &str| {
        let text = on_terminal(&world, 70, &format!("status {args}"));
        text.lines().find(|line| line.starts_with("d-pulls")).unwrap().to_owned()
    };
    let cut: String = whole.chars().take(69).chain(['…']).collect();
    assert_eq!(shown(""), cut);
    // one run's reason is wanted whole, and so is what is wide
    assert_eq!(shown("d-pulls"), whole);
    assert!(shown("-o wide").ends_with(": not found"));
    // nor is anything cut where no terminal is
    assert_eq!(world.run(&["status"]).ok().stdout.lines().last(), Some(whole));
}

#[test]
fn status_is_json_and_yaml_as_kubectl_prints_it() {
    let world = one("Running");
    let read = |args: &[&str]| serde_yaml::from_str::<Value>(&world.run(args).ok().stdout).unwrap();
    for format in ["json", "yaml"] {
        let list = read(&["status", "-o", format]);
        assert_eq!(
            (list["kind"].as_str(), list["items"][0]["metadata"]["name"].as_str()),
            (Some("List"), Some("train-x"))
        );
        assert_eq!(read(&["status", "-o", format, "train-x"])["kind"], "Job");
    }
    let world = showing(&[]);
    assert_eq!(
        serde_json::from_str::<Value>(&world.run(&["status", "-o", "json"]).ok().stdout).unwrap()["items"],
        json!([])
    );
}

#[test]
fn status_finds_nothing() {
    let world = showing(&[]);
    assert_eq!(world.run(&["status"]).ok().stderr, "no runs found\n");
    assert_eq!(world.run(&["status", "-n", "team"]).ok().stderr, "no runs found in the namespace `team`\n");
}

#[test]
fn status_asks_once_and_for_what_is_wanted() {
    let world = showing(&[]);
    world.run(&["status", "--tag", "a b", "--tag", "c", "-l", "x=y", "-n", "team"]).ok();
    world.run(&["list", "-A", "-n", "team"]).ok();
    world.run(&["ps", "--project", "a_b"]).ok();
    let lines: Vec<_> = world.calls().iter().map(Call::line).collect();
    assert_eq!(
        lines,
        [
            "kubectl --context kube-lab -n team get jobs,pods -l mrunner/run,tag.mrunner/a-b-s1m7m25a,tag.mrunner/c,x=y --ignore-not-found -o json",
            "kubectl --context kube-lab get jobs,pods -l mrunner/run -A --ignore-not-found -o json",
            "kubectl --context kube-lab -n a-b-cj7tkcrv get jobs,pods -l mrunner/run --ignore-not-found -o json",
        ]
    );
}

#[test]
fn a_run_that_waits_is_explained_by_the_events_of_its_pod_or_claim() {
    let quota = "Error creating: pods \"train-x-j7jz8\" is forbidden: exceeded quota: p, requested: pods=1, used: pods=0, limited: pods=0";
    let claim = "failed to provision volume with StorageClass \"standard\": only ReadWriteOnce is supported";
    let mut waits = job("train-x", "Pending");
    waits["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "storage", "persistentVolumeClaim": {"claimName": "storage"}}]);
    let list = |event: Value| json!({"kind": "List", "items": [event]});
    let explained = |kind: &str, event: Value, pods: &[Value], words: &str| {
        let mut world = showing(&[&[waits.clone()], pods].concat());
        world.write("events.json", list(event).to_string());
        world.on(&format!("*' get events '*involvedObject.kind={kind},*"), "cat \"$world/events.json\"; exit 0");
        let row = world.run(&["status", "--no-headers", "train-x"]).ok().stdout;
        assert!(row.trim_end().ends_with(&format!("   {words}")), "{row}");
        let state = if pods.iter().any(|pod| pod["spec"]["nodeName"].is_string()) { "starting" } else { "pending" };
        world.run(&["logs", "train-x"]).fails(
            1,
            &format!(
                "error: the run `train-x` has printed nothing yet: it is {state}: {words}
hint: see how it stands with `kubectl mrunner status -n vision train-x`
"
            ),
        );
        let asked = world.calls_with(" get events ").len();
        // of many runs nobody asks that much
        world.run(&["status"]).ok();
        assert_eq!(world.calls_with(" get events ").len(), asked);
    };
    explained(
        "Job",
        event("FailedCreate", quota),
        &[],
        "the quota leaves no room for its pod: exceeded quota: p, requested: pods=1, used: pods=0, limited: pods=0",
    );
    let starting = pod("train-x", "Starting");
    explained(
        "Pod",
        event("FailedMount", "exit status 32"),
        std::slice::from_ref(&starting),
        "its storage can't be mounted: exit status 32",
    );
    // one that has a node has its volume, whatever a claim's older events say
    for pods in [&[][..], &[pod("train-x", "Pending")]] {
        let words = format!("its storage can't be made: {claim}");
        explained("PersistentVolumeClaim", event("ProvisioningFailed", claim), pods, &words);
    }
    // one that runs or has ended waits for nothing
    let world = one("Running");
    world.run(&["status", "train-x"]).ok();
    assert!(world.calls_with(" get events ").is_empty());
}

#[test]
fn where_not_all_may_be_seen_the_own_namespace_is() {
    let mut world = showing(&[job("train-x", "Running")]);
    world.on("*' -A '*", r#"echo 'Error from server (Forbidden): jobs.batch is forbidden: User "anna" cannot list resource "jobs" in API group "batch" at the cluster scope' >&2; exit 1"#);
    let outcome = world.run(&["status", "--kube-context", "kube-other"]).ok();
    assert!(outcome.stdout.contains("train-x"));
    assert!(world.calls()[1].line().contains(" -n team get jobs,pods "));
    world.on("*' get jobs,pods '*", r#"echo 'Error from server (Forbidden): jobs.batch is forbidden: User "anna" cannot list resource "jobs" in API group "batch" in the namespace "team"' >&2; exit 1"#);
    world.run(&["status", "--kube-context", "kube-other"]).fails(1, r#"error: failed to read the runs
  command: kubectl --context kube-other -n team get jobs,pods -l mrunner/run --ignore-not-found -o json
  exit status: 1
  | Error from server (Forbidden): jobs.batch is forbidden: User "anna" cannot list resource "jobs" in API group "batch" in the namespace "team"
hint: see what this user may do with `kubectl --context kube-other auth can-i --list`
"#);
}

#[test]
fn nothing_from_the_cluster_commands_the_terminal() {
    let bad = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\r";
    let mut job = job("train-x", "Failed");
    job["metadata"]["annotations"]["mrunner/project-name"] = bad.into();
    job["metadata"]["annotations"]["mrunner/tags"] = json!([bad]).to_string().into();
    job["metadata"]["namespace"] = bad.into();
    job["status"]["conditions"][1]["message"] = bad.into();
    let world = showing(&[job.clone()]);
    let clean = |text: &str| !text.contains(['\u{1b}', '\u{7}', '\u{9b}', '\r']);
    for args in [
        &["status"][..],
        &["status", "-o", "wide"],
        &["status", "-o", "name"],
        &["status", "-o", "yaml"],
        &["logs", "train-x"],
        &["delete", "train-x"],
    ] {
        let outcome = world.run(args);
        assert!(clean(&outcome.stdout) && clean(&outcome.stderr), "{args:?}: {outcome:?}");
    }
    let mut waits = pod("RUN", "ImagePullBackOff");
    waits["status"]["containerStatuses"][0]["state"]["waiting"]["message"] = bad.into();
    waits["spec"]["nodeName"] = bad.into();
    let mut running = pod("train-x", "Running");
    running["spec"]["nodeName"] = bad.into();
    job["metadata"]["namespace"] = "vision".into();
    let world = showing(&[job, running, waits]);
    for args in [&["status"][..], &["status", "-o", "wide"], &["logs", "-f", "train-x"]] {
        let outcome = world.run(args);
        assert!(clean(&outcome.stdout) && clean(&outcome.stderr), "{args:?}: {outcome:?}");
    }
}
