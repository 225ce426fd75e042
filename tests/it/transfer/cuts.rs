//! Connections that are cut, kubectls that lie, pods that go: every byte is right in the end.

use std::fs;

use serde_json::Value;

use super::{assert_same, bytes, tree, world};
use crate::support::{Outcome, World, program, wait_until};

/// Large and small files, in the volume or here.
fn fill(world: &World, folder: &str) {
    world.write(&format!("{folder}/large"), bytes(40_000_000, 1));
    world.write(&format!("{folder}/middle"), bytes(5_000_000, 2));
    for i in 0..60 {
        world.write(&format!("{folder}/small/{i}"), bytes(9_000 + i, i as u64));
    }
}

/// The number before `words` in the last line that has them.
#[track_caller]
fn number(outcome: &Outcome, words: &str) -> f64 {
    let line = outcome.stderr.lines().rfind(|line| line.contains(words));
    let before = line.and_then(|line| line.split(words).next()).unwrap_or_else(|| panic!("no {words}: {outcome:?}"));
    before.rsplit(' ').find_map(|word| word.parse().ok()).unwrap()
}

#[track_caller]
fn arrives_in_spite_of(mode: &str, first: usize) {
    let world = world();
    fill(&world, "volume/train-1");
    for i in 0..12 {
        // in heads of frames, in their bodies, and at their edges
        world.write(&format!("faults/{i:02}"), format!("{mode} {}", first + i * 500_077 % 1_900_000));
    }
    let outcome = world.run(&["download", "train-1"]).ok();
    assert_same(&world.path("volume/train-1"), &world.path("vision/train-1"));
    assert!(outcome.stderr.contains("fetched   62 files, 43.4 MiB in "), "{}", outcome.stderr);
    assert!(number(&outcome, " reconnect") >= 1.0, "{}", outcome.stderr);
    // several connections that are cut at the same time are told of as one cut
    let left = fs::read_dir(world.path("faults")).unwrap().count();
    assert!(left <= 2, "{left} of 12 faults were never made: {}", outcome.stderr);
    assert!(!world.path("vision/train-1/.mrunner-part").exists());
}

#[test]
fn kubectl_is_killed() {
    arrives_in_spite_of("cut", 100);
}

#[test]
fn kubectl_ends_well_half_way() {
    arrives_in_spite_of("half", 44);
}

#[test]
fn a_stream_ends_too_early() {
    arrives_in_spite_of("stream", 41);
}

#[test]
fn a_bit_is_turned() {
    arrives_in_spite_of("corrupt", 300);
}

#[test]
fn bytes_are_lost_on_the_way() {
    arrives_in_spite_of("lose", 300);
}

#[test]
fn nothing_comes_any_more() {
    let world = world();
    world.write("volume/train-1/large", bytes(10_000_000, 1));
    world.write("faults/1", "hang 3000000");
    world.run(&["download", "--parallel", "1", "train-1"]).ok();
    assert_same(&world.path("volume/train-1"), &world.path("vision/train-1"));
}

#[test]
fn the_pod_is_evicted() {
    let world = world();
    fill(&world, "volume/train-1");
    world.write("faults/1", "evict 5000000");
    world.write("faults/2", "evict 9000000");
    let outcome = world.run(&["download", "train-1"]).ok();
    assert!(outcome.stderr.contains("helper    the pod is gone; creating another one\n"), "{}", outcome.stderr);
    assert_same(&world.path("volume/train-1"), &world.path("vision/train-1"));
    let made = world.calls_with(" create ");
    assert!(made.len() >= 2, "{}", made.len());
    // none of them stays
    let name = |job: Value| job["metadata"]["name"].as_str().unwrap().to_owned();
    for job in made.iter().map(crate::support::Call::json).map(name) {
        assert_eq!(
            world.calls_with(&format!("delete jobs --cascade=background --ignore-not-found -o name {job}")).len(),
            1
        );
    }
}

#[test]
fn only_what_is_missing_comes_a_second_time() {
    let mut world = world();
    world.write("volume/train-1/large", bytes(60_000_000, 1));
    world.write("volume/train-1/a", "a");
    world.write("faults/1", "hang 45000000");
    world.env("MRUNNER_TEST_PATIENCE", "1");
    let words = ["download", "--parallel", "1", "train-1"];
    let live = world.start(&words);
    wait_until("the fault", || world.path("taken-1").exists());
    let part =
        || fs::read_dir(world.path("vision/train-1/.mrunner-part")).ok()?.flatten().find(|e| e.file_name() != "lock");
    // the bytes before the fault are all on their way or here
    wait_until("most of it", || part().is_some_and(|part| part.metadata().unwrap().len() > 40_000_000));
    live.signal("KILL");
    live.end();
    // one block of it is spoiled
    let path = part().unwrap().path();
    let mut spoiled = fs::read(&path).unwrap();
    spoiled[5_000_000] ^= 1;
    fs::write(&path, spoiled).unwrap();
    let again = world.run(&words).ok();
    assert_same(&world.path("volume/train-1"), &world.path("vision/train-1"));
    let fetched = number(&again, " MiB in ");
    assert!((16.0..25.0).contains(&fetched), "{}", again.stderr);
}

#[test]
fn without_any_progress_it_gives_up() {
    for (mode, words) in [("cut 60", "the connection was cut"), ("corrupt 200", "a frame was damaged on the way")] {
        let world = world();
        world.write("volume/train-1/a", bytes(100_000, 1));
        world.write("faults/always", mode);
        let outcome = world.run(&["download", "train-1"]);
        let told = format!(
            "error: no progress in 10 attempts: failed to reach the storage through `kubectl port-forward`: {words}\n\
             hint: run the same command again to resume\n"
        );
        outcome.fails(1, &told);
        assert_eq!(world.calls_with(" delete jobs ").len(), 1);
        assert!(tree(&world.path("vision")).keys().all(|name| !name.ends_with(b"/a")));
    }
}

#[test]
fn an_api_server_that_hangs_up_is_asked_once_at_each_try() {
    let mut world = world();
    world.write("volume/train-1/a", "a");
    let reset = "echo 'error: read tcp: connection reset by peer' >&2; exit 1";
    let pod = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/pod");
    world.on("*' port-forward '*", &format!(r#"touch "$world/away"; {reset}"#));
    let look = format!(r#"[ ! -e "$world/away" ] || {{ {reset}; }}; exec {pod} get "$world" "$*""#);
    world.on("*' get pods -l mrunner/helper'*", &look);
    let outcome = world.run(&["download", "train-1"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("error: no progress in 10 attempts"), "{outcome:?}");
    let count = |words: &str| world.calls_with(words).len();
    assert_eq!((count(" port-forward "), count(" get pods -l mrunner/helper")), (10, 11));
}

#[test]
fn an_interrupt_leaves_no_helper_and_can_be_gone_on_from() {
    let mut world = world();
    world.write("volume/train-1/a", bytes(20_000_000, 1));
    world.write("faults/1", "hang 9000000");
    world.env("MRUNNER_TEST_PATIENCE", "1");
    let live = world.start(&["download", "train-1"]);
    wait_until("the fault", || world.path("taken-1").exists());
    live.signal_all("INT");
    let outcome = live.end();
    assert_eq!(outcome.code, 130, "{outcome:?}");
    assert_eq!(world.calls_with(" delete jobs ").len(), 1);
    world.run(&["download", "train-1"]).ok();
    assert_same(&world.path("volume/train-1"), &world.path("vision/train-1"));
}

#[test]
fn a_full_disk_is_told_and_gone_on_from() {
    let Some(world) = with_small_disk("vision/train-1", "12m") else { return };
    world.write("volume/train-1/a", bytes(9_000_000, 1));
    world.write("volume/train-1/b", bytes(9_000_000, 2));
    let outcome = world.run(&["download", "train-1"]);
    assert!(
        outcome.stderr.contains("error: the disk that `train-1` is on is full: No space left on device"),
        "{outcome:?}"
    );
    assert!(
        outcome.code == 1
            && outcome.stderr.ends_with("hint: free some space, and run the same command again to resume\n")
    );
    resize(&world, "vision/train-1", "40m");
    world.run(&["download", "train-1"]).ok();
    let same = tree(&world.path("volume/train-1")) == tree(&world.path("vision/train-1"));
    unmount(&world, "vision/train-1");
    assert!(same);
}

#[test]
fn a_full_volume_is_told_and_gone_on_from() {
    let Some(world) = with_small_disk("volume", "12m") else { return };
    world.write("vision/data/a", bytes(9_000_000, 1));
    world.write("vision/data/b", bytes(9_000_000, 2));
    let outcome = world.run(&["upload", "data", "vision:data"]);
    resize(&world, "volume", "40m");
    let again = world.run(&["upload", "data", "vision:data"]);
    let same = tree(&world.path("vision/data")) == tree(&world.path("volume/data"));
    unmount(&world, "volume");
    assert!(
        outcome.code == 1
            && outcome
                .stderr
                .contains("in the storage: No space left on device\nhint: free some space with `kubectl mrunner rm`"),
        "{outcome:?}"
    );
    again.ok();
    assert!(same);
}

/// A world in which a folder is a disk of its own; `None` where nobody may mount one.
fn with_small_disk(folder: &str, size: &str) -> Option<World> {
    let world = world();
    let path = world.path(folder);
    fs::create_dir_all(&path).unwrap();
    let mount = format!("mount -t tmpfs -o size={size} tmpfs '{}' 2>/dev/null", path.display());
    sh(&mount).then_some(world)
}

fn resize(world: &World, folder: &str, size: &str) {
    assert!(sh(&format!("mount -o remount,size={size} '{}'", world.path(folder).display())));
}

fn unmount(world: &World, folder: &str) {
    sh(&format!("umount '{}'", world.path(folder).display()));
}

fn sh(script: &str) -> bool {
    program("sh").args(["-c", script]).status().unwrap().success()
}

#[test]
fn what_is_sent_arrives_in_spite_of_all_that() {
    for (i, mode) in ["cut", "half", "stream", "corrupt", "lose"].into_iter().enumerate() {
        let world = world();
        fill(&world, "vision/data");
        for n in 0..8 {
            world.write(&format!("faults/{n}"), format!("{mode} {}", 300 + i + n * 1_234_567 % 1_900_000));
        }
        let outcome = world.run(&["upload", "data", "vision:data"]).ok();
        assert_same(&world.path("vision/data"), &world.path("volume/data"));
        assert!(outcome.stderr.contains("sent      62 files, "), "{}", outcome.stderr);
        assert!(number(&outcome, " reconnect") >= 3.0, "{mode}: {}", outcome.stderr);
        assert!(!world.path("volume/.mrunner/upload").exists());
    }
}

#[test]
fn only_what_is_missing_is_sent_a_second_time() {
    let mut world = world();
    world.write("vision/data/large", bytes(60_000_000, 1));
    world.write("faults/1", "hang 45000000");
    world.env("MRUNNER_TEST_PATIENCE", "1");
    let words = ["upload", "--parallel", "1", "data", "vision:data"];
    let live = world.start(&words);
    let part = || fs::read_dir(world.path("volume/.mrunner/upload")).ok()?.flatten().next();
    wait_until("most of it", || part().is_some_and(|part| part.metadata().unwrap().len() > 40_000_000));
    live.signal("KILL");
    live.end();
    let again = world.run(&words).ok();
    assert_same(&world.path("vision/data"), &world.path("volume/data"));
    let sent = number(&again, " MiB in ");
    assert!((12.0..24.0).contains(&sent), "{}", again.stderr);
}

#[test]
fn a_finish_whose_answer_is_lost_is_not_repeated_with_half_of_the_file() {
    // the helper has the whole file and has moved it into place; the client has the answers to some of the puts
    for lost in [0, 2, 4] {
        let world = world();
        world.write("vision/data/a", bytes(3_000_000, 1));
        let (greeting, puts, finish, welcome, answers) = (40, 6 * 81 + 3_000_000, 99, 54, 7 * 49);
        let at = greeting + puts + finish + welcome + answers - 49 * (lost + 1) - 29;
        world.write("faults/1", format!("stream {at}"));
        world.run(&["upload", "--parallel", "1", "data", "vision:data"]).ok();
        assert!(world.path("taken-1").exists());
        assert_same(&world.path("vision/data"), &world.path("volume/data"));
    }
}
