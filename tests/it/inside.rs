//! `shell`, `attach`, `describe`, `port-forward`.

use serde_json::{Value, json};

use crate::objects::{job, point};
use crate::support::{World, on_terminal};

/// A run, or a sweep of two, whose last pod runs.
fn world(points: u64) -> World {
    let mut world = World::new();
    let mut run = job("train-x", "Running");
    run["spec"]["completions"] = points.into();
    run["status"] = json!({"startTime": "2026-11-23T06:00:00Z", "active": 1});
    let pods = (0..points).map(|at| {
        let running = at + 1 == points;
        point(at, if running { "Running" } else { "Succeeded" })
    });
    let objects: Vec<Value> = [run].into_iter().chain(pods).collect();
    world.shows(&objects);
    world
}

/// What kubectl was given the terminal for.
fn last(world: &World) -> String {
    world.calls().pop().unwrap().line()
}

#[test]
fn kubectl_gets_the_pod_of_the_run_and_its_exit_code_is_ours() {
    let mut world = world(1);
    world.on("*' exec '*", "exit 42");
    assert_eq!(world.run(&["shell", "train-x", "--", "nvidia-smi", "-L"]).code, 42);
    assert!(
        last(&world).ends_with("-n vision exec -i train-x-0-abcde -c experiment -- nvidia-smi -L"),
        "{}",
        last(&world)
    );
    assert_eq!(world.run(&["shell", "train-x"]).code, 42);
    assert!(
        last(&world).ends_with(" -- /bin/sh -c command -v bash >/dev/null && exec bash; exec sh"),
        "{}",
        last(&world)
    );
    world.on("*' attach '*", "exit 0").on("*' describe '*", "exit 0").on("*' port-forward '*", "exit 0");
    world.run(&["attach", "train-x/0"]).ok();
    assert!(last(&world).ends_with("-n vision attach train-x-0-abcde -c experiment"), "{}", last(&world));
    world.run(&["describe", "train-x"]).ok();
    assert!(last(&world).ends_with("-n vision describe job/train-x"), "{}", last(&world));
    world.run(&["port-forward", "train-x", "8080:6006"]).ok();
    assert!(last(&world).ends_with("-n vision port-forward pod/train-x-0-abcde 8080:6006"), "{}", last(&world));
}

#[test]
fn of_a_sweep_the_point_is_named() {
    let mut world = world(2);
    world.on("*' exec '*", "exit 0").on("*' describe '*", "exit 0");
    world.run(&["shell", "train-x"]).fails(2, "error: which point of `train-x`?\nhint: such as `train-x/0`\n");
    world.run(&["shell", "train-x/1", "--", "id"]).ok();
    assert!(last(&world).contains(" exec -i train-x-1-abcde "), "{}", last(&world));
    world.run(&["describe", "train-x/0"]).ok();
    assert!(last(&world).ends_with(" describe pod/train-x-0-abcde"), "{}", last(&world));
    world.run(&["attach", "train-x/0"]).fails(
        1,
        "error: the point 0 of `train-x` has ended\nhint: see how it stands with `kubectl mrunner status -n vision train-x`\n",
    );
    world
        .run(&["attach", "train-x/2"])
        .fails(1, "error: the run `train-x` has no point 2\nhint: its points are 0 to 1\n");
    assert_eq!(world.run(&["port-forward", "train-x/1"]).code, 2);
}

#[test]
fn a_description_holds_nothing_that_a_terminal_obeys() {
    let mut world = world(1);
    // CSI, BEL and a turn of direction pass kubectl; the last line has no end, and a character comes in two pieces
    world.on(
        "*' describe '*",
        r"printf 'Name:\ttrain-x\n\302\23331m\007\342\200'; sleep 0.3; printf '\256e\n\303\251'; exit 0",
    );
    let shown = on_terminal(&world, 80, "describe train-x 2>/dev/null");
    assert_eq!(shown, "Name:\ttrain-x\r\n\\u{9b}31m\\u{7}\\u{202e}e\r\n\u{e9}");
}
