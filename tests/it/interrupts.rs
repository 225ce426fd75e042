//! Ctrl-C at any stage: the terminal sends it to the tools as well, `kill -INT` to mrunner alone.

use std::fs;

use crate::objects::{job, pod};
use crate::support::{HANG, Live, World};

/// Both kinds, on the same way there.
fn both(mut prepare: impl FnMut() -> World, args: &[&str], there: impl Fn(&World, &Live), stderr: &str) {
    for all in [false, true] {
        let world = prepare();
        let live = world.start(args);
        there(&world, &live);
        if all {
            live.signal_all("INT")
        } else {
            live.signal("INT")
        };
        live.end().fails(130, stderr);
        assert_eq!(world.journals().len(), 0, "{:?}", world.journals());
    }
}

/// Where this call hangs.
fn hangs_at(pattern: &'static str) -> impl Fn() -> World {
    move || {
        let mut world = World::new();
        world.on(pattern, HANG);
        world
    }
}

fn hang(world: &World, _: &Live) {
    world.wait_for_hang();
}

#[test]
fn while_it_reads_the_folder() {
    let world = World::new();
    // half a terabyte of nothing
    fs::File::create(world.path("vision/data.bin")).unwrap().set_len(1 << 39).unwrap();
    let live = world.start(&["run", "train.py"]);
    live.says("data.bin");
    live.signal("INT");
    live.end().fails(130, "error: interrupted\n");
}

#[test]
fn while_it_asks_the_registry() {
    both(hangs_at("'docker manifest inspect'*"), &["run", "train.py"], hang, "error: interrupted\n");
}

#[test]
fn while_it_asks_the_cluster() {
    both(hangs_at("*' get namespace/'*"), &["run", "train.py"], hang, "error: interrupted\n");
}

#[test]
fn while_it_builds() {
    both(hangs_at("'docker buildx build'*"), &["run", "train.py"], hang, "error: interrupted: nothing was submitted\n");
}

#[test]
fn while_docker_does_not_read_what_it_is_sent() {
    let prepare = || {
        let world = World::new();
        world.write("vision/data.bin", vec![7; 1 << 20]);
        world.first("'docker buildx build'*", HANG);
        world
    };
    both(prepare, &["run", "train.py"], hang, "error: interrupted: nothing was submitted\n");
}

#[test]
fn while_it_sends_the_folder() {
    let prepare = || {
        let world = World::new();
        world.write("vision/data.bin", vec![7; 64 << 20]);
        world.first("'docker buildx build'*", ": >\"$world/hangs\"; exec sh -c 'while read -r line; do sleep 1; done'");
        world
    };
    both(prepare, &["run", "train.py"], hang, "error: interrupted: nothing was submitted\n");
}

#[test]
fn while_it_makes_the_namespace() {
    both(hangs_at("*' apply '*"), &["run", "train.py"], hang, "error: interrupted: nothing was submitted\n");
}

#[test]
fn while_it_waits_to_try_again() {
    let prepare = || {
        let mut world = World::new();
        world.on("*' apply '*", "echo 'error: unexpected EOF' >&2; exit 1");
        world
    };
    let told = |_: &World, live: &Live| _ = live.says("trying again: error: unexpected EOF");
    both(prepare, &["run", "train.py"], told, "error: interrupted: nothing was submitted\n");
}

#[test]
fn while_it_submits() {
    for all in [false, true] {
        let mut world = World::new();
        world.on("*' create '*'-o json'*", HANG);
        let live = world.start(&["run", "train.py"]);
        world.wait_for_hang();
        if all {
            live.signal_all("INT")
        } else {
            live.signal("INT")
        };
        live.end().fails(
            130,
            "error: it is unclear whether the run `train-[ID]` was submitted: interrupted
hint: look and finish it with `kubectl mrunner run --resume train-[ID]`
",
        );
        let run = world.journals().iter().find_map(|n| n.strip_suffix(".json").map(str::to_owned)).unwrap();
        let mut world = world;
        world.on("*' create '*'-o json'*", "cat \"$call.stdin\"; exit 0");
        world.run(&["run", "--resume", &run]).ok();
        assert!(world.journals().is_empty());
    }
}

#[test]
fn while_it_follows() {
    for all in [false, true] {
        let mut world = World::new();
        world.shows_as("train-x", &[job("train-x", "Running"), pod("train-x", "Running")]);
        world.on("*'/log?'*", &format!("echo '2026-11-23T06:00:00Z hello'; {HANG}"));
        let live = world.start(&["run", "--follow", "train.py"]);
        live.answers("hello\n");
        if all {
            live.signal_all("INT")
        } else {
            live.signal("INT")
        };
        live.end().fails(
            130,
            "error: interrupted; the run `train-[ID]` goes on
hint: come back to it with `kubectl mrunner logs -f -n vision train-[ID]`
hint: or end it with `kubectl mrunner delete -n vision train-[ID]`
",
        );
    }
}

#[test]
fn while_it_shows_logs_or_watches() {
    let mut world = World::new();
    world.shows(&[job("train-x", "Running"), pod("train-x", "Running")]);
    world.on("*'/log?'*", &format!("echo '2026-11-23T06:00:00Z hello'; {HANG}"));
    let live = world.start(&["logs", "train-x"]);
    live.answers("hello\n").signal("INT");
    live.end().fails(130, "error: interrupted\n");
    for all in [false, true] {
        let live = world.start(&["logs", "-f", "job/train-x"]);
        live.answers("hello\n");
        if all {
            live.signal_all("INT")
        } else {
            live.signal("INT")
        };
        live.end().fails(
            130,
            "error: interrupted; the run `train-x` goes on
hint: come back to it with `kubectl mrunner logs -f -n vision train-x`
hint: or end it with `kubectl mrunner delete -n vision train-x`
",
        );
    }
    for args in [&["status", "-w"][..], &["status", "-w", "train-x"]] {
        let live = world.start(args);
        live.answers("train-x").signal("INT");
        // the usual way to leave
        live.end().fails(130, "");
    }
    // and also while it asks
    let once = r#"[ ! -e "$world/asked" ] || { : >"$world/hangs"; exec sleep 60; }; : >"$world/asked"; cat "$world/runs.json"; exit 0"#;
    for all in [false, true] {
        let mut world = World::new();
        world.show(&[job("train-x", "Running"), pod("train-x", "Running")]);
        world.on("*' get jobs,pods '*", once);
        let live = world.start(&["status", "-w"]);
        world.wait_for_hang();
        if all {
            live.signal_all("INT")
        } else {
            live.signal("INT")
        };
        live.end().fails(130, "");
    }
}

#[test]
fn termination_is_an_interrupt_as_well() {
    let world = hangs_at("'docker buildx build'*")();
    let live = world.start(&["run", "train.py"]);
    world.wait_for_hang();
    live.signal("TERM");
    live.end().fails(130, "error: interrupted: nothing was submitted\n");
}
