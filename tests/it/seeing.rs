//! `status`, `logs` and following a run.

use serde_json::{Value, json};

use crate::objects::{event, job, pod};
use crate::support::World;

/// A cluster that shows these.
fn showing(objects: &[Value]) -> World {
    let mut world = World::new();
    world.shows(objects).env("MRUNNER_TEST_PATIENCE", "0.02");
    world
}

/// A run in this state.
fn one(state: &str) -> World {
    showing(&[
        job("train-x", if state == "ImagePullBackOff" || state == "Unschedulable" { "Pending" } else { state }),
        pod("train-x", state),
    ])
}

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

/// What `status` with these arguments writes to a terminal that is so wide.
fn on_a_terminal(world: &World, columns: u64, args: &str) -> String {
    shown(world, columns, &format!("status {args}"))
}

/// What a verb with its arguments writes to a terminal that is so wide.
pub fn shown(world: &World, columns: u64, words: &str) -> String {
    let command = world.command(&[]);
    let line = format!("stty rows 20 cols {columns}; {} {words}", command.get_program().to_str().unwrap());
    let mut terminal = std::process::Command::new("script");
    terminal.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(world.path("vision"));
    terminal.env_remove("KUBECONFIG").envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    terminal.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display())).env("SHELL", "/bin/sh");
    let output = terminal.env("TERM", "xterm").stdin(std::process::Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn on_a_terminal_a_run_is_one_line_drawn_anew() {
    for (columns, running, ended) in [
        (60, "train-x [          ] 0/1 running, 3d", "train-x [==========] 1/1 succeeded, 90s"),
        (20, "train-x 0/1 running", "train-x 1/1 succeed"),
    ] {
        let mut world = World::new();
        let list = |state| {
            serde_json::json!({"kind": "List", "items": [job("train-x", state), pod("train-x", state)]}).to_string()
        };
        world.write("running.json", list("Running"));
        world.write("ended.json", list("Succeeded"));
        world.env("MRUNNER_TEST_PATIENCE", "0.02");
        let script = r#"[ ! -e "$world/asked" ] || { cat "$world/ended.json"; exit 0; }; : >"$world/asked"; cat "$world/running.json"; exit 0"#;
        world.on("*' get jobs,pods '*", script);
        let shown = on_a_terminal(&world, columns, "-w train-x");
        assert_eq!(shown, format!("\r\x1b[K{running}\r\n\x1b[J\x1b[1A\r\x1b[K{ended}\r\n\x1b[J"));
    }
}

#[test]
fn status_is_cut_to_the_terminal() {
    let objects = [job("d-pulls", "Pending"), pod("d-pulls", "ImagePullBackOff")];
    let world = showing(&objects);
    let whole = "d-pulls   vision    Starting   0/1    3d     3d    the image `registry.test:5000/vision/train:t-1` can't be pulled: registry.test:5000/vision/train:t-1: not found";
    let shown = |args: &str| {
        let text = on_a_terminal(&world, 70, args);
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
fn a_run_may_be_named_with_its_kind() {
    let mut world = one("Succeeded");
    world.on("*'/log?'*", "printf '2026-11-23T06:00:00Z hello\\n'; exit 0").on("*' delete jobs '*", "exit 0");
    for kind in ["job.batch/", "jobs.batch/", "job/", "jobs/"] {
        let run = format!("{kind}train-x");
        assert_eq!(world.run(&["status", "-o", "name", &run]).ok().stdout, "job.batch/train-x\n");
        assert_eq!(world.run(&["logs", &run]).ok().stdout, "hello\n");
        assert_eq!(world.run(&["delete", &run]).ok().stdout, "job.batch/train-x deleted from vision\n");
    }
    assert!(world.calls_with(" -l ").iter().all(|call| call.line().contains(" -l mrunner/run=train-x ")));
    World::new().run(&["run", "--resume", "job.batch/train-x"]).fails(
        1,
        "error: no unfinished run is called `train-x`
hint: nothing is unfinished; see the runs with `kubectl mrunner status`
",
    );
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
    let lines: Vec<_> = world.calls().iter().map(super::support::Call::line).collect();
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
fn status_watches() {
    let world = one("Pending");
    let live = world.start(&["status", "-w"]);
    live.answers("Pending");
    world.show(&[job("train-x", "Running"), pod("train-x", "Running")]);
    live.answers("Running");
    world.show(&[job("train-x", "Succeeded"), pod("train-x", "Succeeded")]);
    live.answers("Succeeded");
    live.signal("INT");
    let outcome = live.end();
    let states: Vec<_> = outcome.stdout.lines().map(|line| line.split_whitespace().nth(2).unwrap()).collect();
    assert_eq!((states, outcome.code), (vec!["STATE", "Pending", "Running", "Succeeded"], 130));
    // all in the columns of the first, as far as they fit
    assert_eq!(
        outcome.stdout,
        "RUN       PROJECT   STATE     DONE   TIME   AGE   WHY
train-x   vision    Pending   0/1    3d     3d
train-x   vision    Running   0/1    3d     3d
train-x   vision    Succeeded   1/1    90s    3d
"
    );
}

#[test]
fn to_watch_one_run_ends_with_it() {
    for (state, why) in [("Succeeded", ""), ("Failed", "exit code 2")] {
        let world = one("Running");
        let live = world.start(&["status", "-w", "train-x"]);
        live.answers("Running");
        world.show(&[job("train-x", state), pod("train-x", state)]);
        let outcome = live.end().ok();
        assert!(outcome.stdout.lines().count() == 3 && outcome.stdout.contains(state), "{}", outcome.stdout);
        assert!(outcome.stdout.trim_end().ends_with(why), "{}", outcome.stdout);
        // one that has ended already is shown once
        assert_eq!(world.run(&["status", "-w", "train-x"]).ok().stdout.lines().count(), 2);
    }
}

const MAY_BE_AWAY: &str = r#"[ ! -e "$world/away" ] || { echo 'The connection to the server was refused' >&2; exit 1; }; cat "$world/runs.json"; exit 0"#;

#[test]
fn to_watch_outlives_a_cluster_that_is_away_for_a_while() {
    let mut world = one("Running");
    world.on("*' get jobs,pods '*", MAY_BE_AWAY);
    let live = world.start(&["status", "-w", "train-x"]);
    live.answers("Running");
    world.write("away", "");
    let told = "status    the cluster does not answer, trying again: The connection to the server was refused\n";
    live.says(told);
    world.show(&[job("train-x", "Succeeded"), pod("train-x", "Succeeded")]);
    std::fs::remove_file(world.path("away")).unwrap();
    let outcome = live.end().ok();
    assert_eq!((outcome.stdout.lines().count(), outcome.stderr.as_str()), (3, told), "{outcome:?}");
}

#[test]
fn to_watch_ends_with_a_cluster_that_stays_away() {
    let mut world = one("Running");
    world.on("*' get jobs,pods '*", MAY_BE_AWAY).env("MRUNNER_TEST_PATIENCE", "0.001");
    let live = world.start(&["status", "-w", "train-x"]);
    live.answers("Running");
    world.write("away", "");
    let outcome = live.end();
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.contains("error: failed to read the runs"), "{outcome:?}");
}

#[test]
fn a_run_that_is_deleted_while_it_is_watched_is_told() {
    let world = one("Running");
    let live = world.start(&["status", "-w", "train-x"]);
    live.answers("Running");
    world.show(&[]);
    let outcome = live.end();
    assert_eq!((outcome.code, outcome.stdout.lines().count()), (1, 2), "{outcome:?}");
    assert!(outcome.stderr.ends_with("error: the run `train-x` is gone: somebody deleted it\n"), "{outcome:?}");
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
fn a_job_with_the_label_of_another_run_is_told_as_such() {
    let mut world = World::new();
    let mut odd = job("train-x", "Failed");
    odd["metadata"]["labels"]["mrunner/run"] = json!("train-y");
    world.shows(&[odd]);
    world.on("*'mrunner/run='*", "exit 0");
    world.run(&["delete", "-n", "vision", "train-x"]).fails(
        1,
        "error: nothing was deleted: no run is called `train-x` in the namespace `vision`
  cause: the Job `train-x` in `vision` has the label `mrunner/run` of another run
hint: mrunner creates no such Job; its owner can delete it with `kubectl -n vision delete job train-x`
",
    );
}

#[test]
fn a_run_that_is_not_there_is_told_with_the_nearest() {
    let mut world = one("Running");
    world.on("*'mrunner/run='*", "exit 0");
    world.run(&["status", "trian-x"]).fails(
        1,
        "error: no run is called `trian-x` in the cluster
hint: did you mean `train-x`?
",
    );
    world.run(&["logs", "nothing-like-it"]).fails(
        1,
        "error: no run is called `nothing-like-it` in the cluster
hint: see the runs with `kubectl mrunner status`
hint: if its Job is gone, what it left is found with `--project NAME`
",
    );
    world.run(&["delete", "-n", "vision", "train-y"]).fails(
        1,
        "error: nothing was deleted: no run is called `train-y` in the namespace `vision`
hint: did you mean `train-x`?
",
    );
    world.run(&["logs", "No Run!"]).fails(
        1,
        "error: no run is called `No Run!` in the cluster
hint: see the runs with `kubectl mrunner status`
",
    );
    assert!(world.calls_with(" delete ").is_empty());
}

#[test]
fn a_run_in_two_namespaces_must_be_chosen() {
    let mut other = job("train-x", "Running");
    other["metadata"]["namespace"] = "team".into();
    showing(&[job("train-x", "Running"), other]).run(&["logs", "train-x"]).fails(
        1,
        "error: runs called `train-x` are in several namespaces: `vision`, `team`
hint: name one with `-n vision`
",
    );
}

/// Everybody who may create Jobs may give theirs the label of somebody else's run.
#[test]
fn a_job_with_the_label_of_a_run_is_not_that_run() {
    let named = |name: &str| {
        let mut other = job(name, "Failed");
        other["metadata"]["labels"]["mrunner/run"] = "train-x".into();
        other
    };
    for others in [vec![named("evil")], vec![named("train-xx"), named("train-")]] {
        let world = showing(&others);
        for words in [&["status"][..], &["logs"], &["logs", "-f"], &["results"], &["delete"], &["rerun"], &["describe"]]
        {
            let outcome = world.run(&[words, &["-n", "vision", "train-x"]].concat());
            assert!(
                outcome.code == 1 && outcome.stderr.contains("no run is called `train-x`") && outcome.stdout.is_empty(),
                "{words:?}: {} {}{}",
                outcome.code,
                outcome.stdout,
                outcome.stderr
            );
        }
        assert!(world.calls_with(" delete ").is_empty());
    }
    // nor does it make the run's name one of two
    let status = showing(&[job("train-x", "Running"), named("evil")]).run(&["status", "train-x"]).ok();
    assert!(status.stdout.contains("train-x") && !status.stdout.contains("evil"), "{}", status.stdout);
}

#[test]
fn delete_takes_the_runs_that_were_named() {
    let mut world = showing(&[job("train-x", "Running")]);
    world.on("*' delete jobs '*", "exit 0");
    let outcome = world.run(&["delete", "train-x"]).ok();
    assert_eq!(outcome.stdout, "job.batch/train-x deleted from vision\n");
    assert_eq!(
        outcome.stderr,
        "  $ kubectl --context kube-lab -n vision delete jobs --cascade=background --ignore-not-found -o name train-x\nwhat they left in the storage stays\n"
    );
    world.run(&["delete"]).fails(
        2,
        "error: no run is named
hint: name one, or say `--tag TAG` or `--all` with `--project NAME`
",
    );
    world.run(&["delete", "--all"]).fails(
        2,
        "error: `--all` of which project?
hint: say it with `--project NAME` or `-n NAMESPACE`
",
    );
    let before = world.calls().len();
    for flag in ["--tag", "--tags"] {
        world.run(&["delete", flag, "baseline"]).fails(
            2,
            "error: `--tag` of which project?
hint: say it with `--project NAME` or `-n NAMESPACE`
",
        );
    }
    assert_eq!(world.calls().len(), before);
}

#[test]
fn delete_takes_what_has_a_tag_in_one_place() {
    let mut world = showing(&[job("train-x", "Running"), job("train-y", "Running")]);
    world.on("*' delete jobs '*", "exit 0");
    for args in [&["--tag", "new data", "--project", "vision"][..], &["--tags", "new data", "-n", "vision"]] {
        let outcome = world.run(&[&["delete"], args].concat()).ok();
        assert_eq!(outcome.stdout, "job.batch/train-x deleted from vision\njob.batch/train-y deleted from vision\n");
    }
    for call in world.calls_with(" get jobs,pods ") {
        assert!(
            call.line()
                .starts_with("kubectl --context kube-lab -n vision get jobs,pods -l mrunner/run,tag.mrunner/new-data-")
        );
    }
    assert!(world.calls_with(" delete ").iter().all(|call| call.line().ends_with(" -o name train-x train-y")));
}

#[test]
fn delete_takes_all_that_are_named_or_none() {
    let mut world = World::new();
    world.write("runs.json", json!({"kind": "List", "items": [job("train-x", "Running")]}).to_string());
    world.on("*' get jobs,pods '*", "cat \"$world/runs.json\"; exit 0").on("*'mrunner/run=train-y'*", "exit 0");
    world.run(&["delete", "train-x", "train-y"]).fails(
        1,
        "error: nothing was deleted: no run is called `train-y` in the cluster
hint: did you mean `train-x`?
",
    );
    assert!(world.calls_with(" delete ").is_empty());
}

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
