//! The logs of a sweep's pods over `kubectl proxy`: every line once, whatever happens to a stream.

use serde_json::{Value, json};

use crate::objects::{job, pod, point};
use crate::support::World;

/// A sweep of so many points in this state, each with its pod.
fn sweep(points: u64, state: &str) -> Vec<Value> {
    let mut run = job("train-x", state);
    run["spec"]["completions"] = points.into();
    std::iter::once(run).chain((0..points).map(|at| point(at, state))).collect()
}

/// What a pod printed, as the kubelet keeps it.
fn printed(at: u64) -> String {
    let line = |line: u32| format!("2026-11-23T06:00:{:02}.{line:09}Z point {at} line {line}\n", line / 10);
    (0..50).map(line).collect::<Vec<_>>().concat()
}

fn world(points: u64) -> World {
    let mut world = World::new();
    world.shows(&sweep(points, "Running")).env("MRUNNER_TEST_PATIENCE", "0.02");
    for at in 0..points {
        world.write(&format!("logs/train-x-{at}-abcde"), printed(at));
    }
    world.on_proxy();
    world
}

fn every_line(points: u64) -> Vec<String> {
    let mut all: Vec<String> =
        (0..points).flat_map(|at| (0..50).map(move |line| format!("{at} | point {at} line {line}"))).collect();
    all.sort();
    all
}

fn sorted(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn every_line_comes_once_however_often_a_stream_is_cut() {
    let world = world(3);
    // in the head of a chunk, in its middle, between two, and before the last one
    world.write("logs/train-x-0-abcde.cuts", "1 57 58 59 60 200 1000 1001 1003");
    world.write("logs/train-x-1-abcde.cuts", (0..40).map(|at| (at * 61).to_string()).collect::<Vec<_>>().join(" "));
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("2 | point 2 line 49");
    live.answers("0 | point 0 line 49");
    live.answers("1 | point 1 line 49");
    world.show(&sweep(3, "Succeeded"));
    let outcome = live.end().ok();
    assert_eq!(sorted(&outcome.stdout), every_line(3));
    // of each pod in its order
    let own: Vec<&str> = outcome.stdout.lines().filter_map(|line| line.strip_prefix("1 | point 1 line ")).collect();
    assert_eq!(own, (0..50).map(|line| line.to_string()).collect::<Vec<_>>());
    assert_eq!(world.calls_with("/log?").len(), 0, "one kubectl is enough");
    assert_eq!(world.calls_with(" proxy ").len(), 1);
    let proxy = &world.calls_with(" proxy ")[0].line();
    assert!(
        proxy.contains(r"--accept-paths=^/apis/batch/v1/(namespaces/[a-z0-9-]+/)?jobs$,^/api/v1/(namespaces/["),
        "{proxy}"
    );
}

#[test]
fn a_kubectl_that_can_not_be_a_proxy_reads_one_pod_after_the_other() {
    let mut world = world(2);
    world.show(&sweep(2, "Succeeded"));
    world.on("*' proxy '*", "echo 'error: unknown flag: --unix-socket' >&2; exit 1");
    world.on("*'/log?'*", r#"pod=${*#*/pods/}; cat "$world/logs/${pod%%/*}"; exit 0"#);
    let outcome = world.run(&["logs", "-f", "train-x"]).ok();
    assert_eq!(sorted(&outcome.stdout), every_line(2));
    assert_eq!(world.calls_with(" proxy ").len(), 1);
}

#[test]
fn a_pod_that_is_gone_is_not_read_for_ever() {
    let mut world = world(2);
    world.on("*' proxy '*", "echo 'error: unknown flag: --unix-socket' >&2; exit 1");
    world.on("*'/log?'*", r#"pod=${*#*/pods/}; cat "$world/logs/${pod%%/*}"; exit 0"#);
    world.on("*'/train-x-0-abcde/log?'*", "echo '2026-11-23T06:00:00Z some'; echo EOF >&2; exit 1");
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("0 | some\n").answers("1 | point 1 line 49");
    // its node was drained after it had ended
    let mut ended = sweep(2, "Succeeded");
    ended.remove(1);
    ended[0]["status"]["completedIndexes"] = "0-1".into();
    world.show(&ended);
    let outcome = live.end().ok();
    assert!(outcome.stderr.contains("warning: the last lines of `train-[ID]e` may be missing here"), "{outcome:?}");
}

#[test]
fn a_log_that_is_refused_is_told_and_the_others_come() {
    let mut world = world(2);
    world.show(&sweep(2, "Succeeded"));
    world.write("logs/train-x-0-abcde.refused", "no");
    world.on("*'/log?'*", "echo 'Error from server (NotFound): pods \"train-x-0-abcde\" not found' >&2; exit 1");
    let why =
        "failed to read the log of the pod `train-[ID]e`: Error from server (NotFound): pods \"train-[ID]e\" not found";
    for args in [&["logs", "train-x"][..], &["logs", "-f", "train-x"]] {
        let outcome = world.run(args);
        assert_eq!(sorted(&outcome.stdout), every_line(2).split_off(50));
        assert!(outcome.stderr.starts_with(&format!("warning: {why}\n")), "{}", outcome.stderr);
        outcome.fails(1, "error: 1 of 2 logs could not be read, see above\n");
    }
}

#[test]
fn a_killed_follower_leaves_no_proxy() {
    let world = world(2);
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("1 | point 1 line 49");
    let socket = world.calls_with(" proxy ")[0].line();
    let socket = socket.split_once("--unix-socket=").unwrap().1.trim_end_matches('\'').to_owned();
    let serves = || std::os::unix::net::UnixStream::connect(&socket).is_ok();
    assert!(serves(), "{socket}");
    live.signal("KILL");
    crate::support::wait_until("the proxy's end", || !serves());
}

#[test]
fn a_pod_that_begins_is_heard_of_before_it_is_listed() {
    let world = world(2);
    world.show(&sweep(2, "Pending"));
    let running = json!({"type": "MODIFIED", "object": point(1, "Running")});
    // of another Job, it is not ours
    let mut other = json!({"type": "ADDED", "object": point(0, "Running")});
    other["object"]["metadata"]["ownerReferences"][0]["uid"] = "other".into();
    world.write("logs/other", "2026-11-23T06:00:00.000000000Z not of this run\n");
    other["object"]["metadata"]["name"] = "other".into();
    world.write("watch", format!("{other}\n{running}\n{running}\n"));
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("1 | point 1 line 49");
    world.show(&sweep(2, "Succeeded"));
    assert_eq!(sorted(&live.end().ok().stdout), every_line(2));
    assert_eq!(world.calls_with(" proxy ").len(), 1);
}

#[test]
fn who_can_not_listen_lists_anew() {
    for answered in [
        "",
        "{}\n",
        "nonsense\n",
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410}}\n",
        "{\"type\":\"ADDED\",\"object\":{\"status\":7}}\n",
        "{\"type\":\"DELETED\",\"object\":7}\n",
    ] {
        let world = world(2);
        world.write("deaf", answered);
        world.show(&sweep(2, "Pending"));
        let live = world.start(&["logs", "-f", "train-x"]);
        live.says("Waiting for a node");
        world.show(&sweep(2, "Running"));
        live.answers("1 | point 1 line 49");
        world.show(&sweep(2, "Succeeded"));
        assert_eq!(sorted(&live.end().ok().stdout), every_line(2), "{answered}");
        assert!(world.calls_with(" get jobs,pods ").is_empty(), "{answered}");
    }
}

#[test]
fn what_takes_its_time_holds_up_no_line() {
    let mut world = world(2);
    // whose causes only the events say, which are slow to come
    let mut waiting = sweep(2, "ImagePullBackOff");
    for pod in &mut waiting[1..] {
        pod["status"]["containerStatuses"][0]["state"]["waiting"]["message"] = "Back-off pulling image \"x:1\"".into();
    }
    world.show(&waiting);
    world.env("MRUNNER_TEST_PATIENCE", "1");
    world.on("*' get events '*", r#"echo $$ >"$world/asking"; : >"$world/hangs"; exec sleep 600"#);
    let live = world.start(&["logs", "-f", "train-x"]);
    world.wait_for_hang();
    world.show(&sweep(2, "Running"));
    live.answers("1 | point 1 line 49");
    let asking = format!("/proc/{}/cmdline", world.read("asking").trim());
    assert!(std::fs::read_to_string(asking).is_ok_and(|line| line.starts_with("sleep")), "it came too late");
    live.signal("INT");
    assert_eq!(live.end().code, 130);
}

#[test]
fn a_run_of_one_point_is_heard_of_as_well() {
    let mut world = World::new();
    world.shows(&[job("train-x", "Pending"), pod("train-x", "Pending")]).on_proxy();
    world.on("*'/log?'*", "echo '2026-11-23T06:00:00Z hello'; exit 0");
    let live = world.start(&["logs", "-f", "train-x"]);
    live.says("Waiting for a node");
    world.show(&[job("train-x", "Running"), pod("train-x", "Running")]);
    live.answers("hello\n");
    world.show(&[job("train-x", "Succeeded"), pod("train-x", "Succeeded")]);
    assert_eq!(live.end().ok().stdout, "hello\n");
    assert!(world.calls_with(" get jobs,pods ").is_empty());
}

#[test]
fn a_run_that_is_deleted_meanwhile_is_gone() {
    let world = world(2);
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("1 | point 1 line 49");
    world.show(&[]);
    let outcome = live.end();
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.ends_with("\nerror: the run `train-x` is gone: somebody deleted it\n"), "{outcome:?}");
}

#[test]
fn who_may_look_into_one_namespace_only_is_heard_there() {
    for (refused, asked_anew) in [("", false), ("/pods", true), ("/jobs", true)] {
        let world = world(2);
        world.write("narrow", refused);
        let live = world.start(&["logs", "-f", "train-x"]);
        live.answers("1 | point 1 line 49");
        world.show(&sweep(2, "Succeeded"));
        assert_eq!(sorted(&live.end().ok().stdout), every_line(2));
        // of half a run, kubectl is asked for the whole
        assert_eq!(!world.calls_with(" get jobs,pods ").is_empty(), asked_anew, "{refused}");
        let asked = world.read("asked");
        assert!(asked.contains("/namespaces/default/") && asked.contains(refused), "{asked}");
    }
}
