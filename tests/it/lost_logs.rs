//! The logs of attempts whose pods are gone: from the volume, or it is said that there are none.

use serde_json::json;

use crate::objects::point;
use crate::whole_logs::{helpers, printed, run, stamped, world};

#[test]
fn attempts_whose_pods_are_gone_are_shown_before_the_others() {
    let mut again = printed(0, 7);
    again["metadata"]["annotations"] = json!({"batch.kubernetes.io/job-index-ignored-failure-count": "2"});
    let world = world(&[run("Succeeded", 2), again]);
    world.write("logs/train-x-0-abcde", stamped("second\n", 0));
    let folder = "volume/.mrunner/runs/train-x";
    for (file, text) in
        [("0.train-x-0-first", "first\n"), ("0.train-x-0-abcde", "second\n"), ("1.train-x-1-other", "of 1")]
    {
        world.write(&format!("{folder}/{file}.log"), text);
    }
    // the other point has ended, and its pod is gone as well
    let mut objects = vec![run("Succeeded", 2)];
    objects[0]["status"]["completedIndexes"] = "0-1".into();
    objects.push(printed(0, 7));
    objects[1]["metadata"]["annotations"] = json!({"batch.kubernetes.io/job-index-ignored-failure-count": "1"});
    world.show(&objects);
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, "0 | first\n0 | second\n1 | of 1\n");
    assert_eq!(world.run(&["logs", "train-x/0"]).ok().stdout, "first\nsecond\n");
}

#[test]
fn attempts_that_left_nothing_are_told() {
    let quota = "echo 'Error from server (Forbidden): jobs.batch is forbidden: exceeded quota: q' >&2; exit 1";
    for (keep, is_away, words) in [
        ("no", false, "nothing is kept there (`keep_logs: false`)"),
        ("auto", false, "no log of it was kept there"),
        ("auto", true, "it could not be looked at"),
    ] {
        let mut objects = vec![run("Succeeded", 3), printed(0, 2), printed(2, 2)];
        objects[0]["status"]["completedIndexes"] = "0-2".into();
        objects[0]["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = keep.into();
        let mut world = world(&objects);
        for at in [0, 2] {
            world.write(&format!("logs/train-x-{at}-abcde"), stamped("a\n", 0));
        }
        if is_away {
            world.on("*' create '*", quota);
        }
        let outcome = world.run(&["logs", "train-x"]);
        assert_eq!(outcome.stdout, "0 | a\n2 | a\n");
        let told =
            format!("warning: an attempt at the point 1 has no log that can be read: its pod is gone: {words}\n");
        assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
        outcome.fails(1, "error: 1 of 3 logs could not be read, see above\n");
    }
}

#[test]
fn a_kept_log_that_can_not_be_read_fails() {
    let mut objects = vec![run("Succeeded", 2), printed(0, 2)];
    objects[0]["status"]["completedIndexes"] = "0-1".into();
    let world = world(&objects);
    world.write("logs/train-x-0-abcde", stamped("a\n", 0));
    let file = "volume/.mrunner/runs/train-x/1.train-x-1-other.log";
    world.write(file, "whole\n");
    let log = std::fs::File::options().write(true).open(world.path(file)).unwrap();
    // as somebody else made it
    log.set_len(1 << 40).unwrap();
    objects[0]["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "MRUNNER_KEEP_LOGS_MAX", "value": "1000"}));
    world.show(&objects);
    let outcome = world.run(&["logs", "train-x"]);
    assert!(outcome.stdout.starts_with("0 | a\n1 | whole\n"), "{}", outcome.stderr);
    assert!(outcome.stdout.len() < 1 << 20);
    let told = "warning: the rest of the log that `train-[ID]r` kept is not shown: it is longer than what was printed, or than `keep_logs_max`\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    outcome.fails(1, "error: 1 of 2 logs could not be read, see above\n");
}

#[test]
fn a_run_whose_next_attempt_waits_shows_the_one_before() {
    let mut waiting = point(0, "Pending");
    waiting["metadata"]["annotations"] = json!({"batch.kubernetes.io/job-index-ignored-failure-count": "1"});
    let world = world(&[run("Running", 1), waiting]);
    world.write("volume/.mrunner/runs/train-x/0.train-x-0-first.log", "first\n");
    for args in [&["logs", "train-x"][..], &["logs", "train-x/0"]] {
        let outcome = world.run(args).ok();
        assert_eq!(outcome.stdout, "first\n");
        assert!(outcome.stderr.contains("waiting   1 pod has not begun: "), "{}", outcome.stderr);
    }
    // a sweep whose pods were collected while its last point waits
    let mut sweep = vec![run("Running", 2), point(1, "Pending")];
    sweep[0]["status"]["completedIndexes"] = "0".into();
    world.show(&sweep);
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, "0 | first\n");
    assert!(outcome.stderr.contains("waiting   1 pod has not begun: "), "{}", outcome.stderr);
    world.run(&["logs", "train-x/1"]).fails(
        1,
        "error: the point 1 of `train-x` has printed nothing yet\nhint: see how it stands with `kubectl mrunner status -n vision train-x`\n",
    );
}

#[test]
fn what_an_ended_run_left_is_not_gone_where_nobody_could_look() {
    let mut world = world(&[run("Succeeded", 1)]);
    world.write("volume/.mrunner/runs/train-x/0.train-x-0-first.log", "first\n");
    world.on(
        "*' create '*",
        "echo 'Error from server (Forbidden): jobs.batch is forbidden: exceeded quota: q' >&2; exit 1",
    );
    let outcome = world.run(&["logs", "-n", "vision", "train-x"]);
    assert_eq!(outcome.code, 1);
    for told in [
        "error: the run `train-x` has ended, its pods are gone, and the logs that it kept can't be looked at: ",
        "exceeded quota: q\n",
    ] {
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    }
    let mut world = crate::whole_logs::world(&[run("Succeeded", 1)]);
    world.on("*' create '*", crate::support::HANG);
    let live = world.start(&["logs", "-n", "vision", "train-x"]);
    world.wait_for_hang();
    live.signal("INT");
    assert_eq!(live.end().code, 130);
}

#[test]
fn a_run_without_any_pod_may_have_had_some() {
    let suspended = |at: &str| {
        let mut run = run("Running", 2);
        run["spec"]["suspend"] = true.into();
        run["metadata"]["creationTimestamp"] = "2026-11-23T06:00:00Z".into();
        run["status"] = json!({"conditions": [{"type": "Suspended", "status": "True", "lastTransitionTime": at}]});
        run
    };
    let world = world(&[suspended("2026-11-23T07:00:00Z")]);
    let file = "volume/.mrunner/runs/train-x/1.train-x-1-first.log";
    world.write(file, "first\n");
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, "1 | first\n");
    std::fs::remove_file(world.path(file)).unwrap();
    let nothing = |told: &str| {
        let outcome = world.run(&["logs", "train-x"]);
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        assert_eq!((outcome.stdout.as_str(), outcome.code), ("", 1));
    };
    let nothing_yet = "error: the run `train-x` has printed nothing yet: it is ";
    nothing(nothing_yet);
    // one that waits for the first time costs no helper
    let before = helpers(&world);
    world.show(&[suspended("2026-11-23T06:00:01Z")]);
    nothing(nothing_yet);
    assert_eq!(helpers(&world), before);
}
