//! `status --watch`.

use crate::objects::{job, one, pod};
use crate::support::{World, on_terminal};

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
        let shown = on_terminal(&world, columns, "status -w train-x");
        assert_eq!(shown, format!("\r\x1b[K{running}\r\n\x1b[J\x1b[1A\r\x1b[K{ended}\r\n\x1b[J"));
    }
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
