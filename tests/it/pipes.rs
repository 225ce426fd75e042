//! A reader that has gone is no error, and no reason to stop the work.

use std::io::pipe;
use std::process::Stdio;

use crate::objects::{job, pod};
use crate::support::{World, code};

/// The exit code with a stdout or stderr that nobody reads.
fn unread(world: &World, args: &[&str], out: bool, err: bool) -> i32 {
    let closed = || Stdio::from(pipe().unwrap().1);
    let mut command = world.command(args);
    command.stdout(if out { closed() } else { Stdio::null() });
    command.stderr(if err { closed() } else { Stdio::null() });
    code(command.status().unwrap())
}

#[test]
fn whatever_is_not_read_the_run_is_submitted() {
    for (out, err) in [(true, false), (false, true), (true, true)] {
        let mut world = World::new();
        let digest = r#"printf '{"containerimage.digest": "sha256:07"}' >"$(after --metadata-file "$@")""#;
        world.on("'docker buildx build'*", &format!("echo '#1 building' >&2; echo '#2 built' >&2; {digest}; exit 0"));
        assert_eq!(unread(&world, &["run", "train.py"], out, err), 0, "{out} {err}");
        assert_eq!((world.submissions().len(), world.journals().len()), (1, 0));
    }
}

#[test]
fn answers_that_are_not_read_are_no_error() {
    let mut world = World::new();
    world.shows(&[job("train-x", "Succeeded"), pod("train-x", "Succeeded")]);
    world.on("*'/log?'*", "echo '2026-11-23T06:00:00Z hello'; exit 0");
    for args in [
        &["--help"][..],
        &["run", "--help"],
        &["--version"],
        &["version"],
        &["version", "-o", "json"],
        &["context", "list"],
        &["context", "list", "-o", "name"],
        &["context", "show"],
        &["context", "current"],
        &["rbac", "--project", "vision"],
        &["completion", "bash"],
        &["__complete", "run", "--"],
        &["status"],
        &["status", "-o", "json"],
        &["status", "-o", "yaml"],
        &["logs", "train-x"],
        &["logs", "-f", "train-x"],
        &["run", "--dry-run", "train.py"],
        &["run", "--dry-run=server", "train.py"],
    ] {
        assert_eq!(unread(&world, args, true, true), 0, "{args:?}");
    }
}

#[test]
fn errors_keep_their_exit_code() {
    let world = World::new();
    assert_eq!(unread(&world, &["run", "nope.py"], true, true), 2);
    assert_eq!(unread(&world, &["rum"], true, true), 2);
    assert_eq!(unread(&world, &["logs", "nope"], true, true), 1);
}

#[test]
fn a_log_without_end_stops_with_its_reader() {
    let mut world = World::new();
    world.shows_as("train-x", &[job("train-x", "Running"), pod("train-x", "Running")]);
    world.on("*'/log?'*", "while :; do echo '2026-11-23T06:00:00Z hello'; done");
    assert_eq!(unread(&world, &["logs", "-f", "train-x"], true, false), 0);
    assert_eq!(unread(&world, &["run", "--follow", "train.py"], true, false), 0);
}

#[test]
fn a_full_disk_is_an_error() {
    let world = World::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = world.command(&["version"]).stdout(full).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(stderr, "error: failed to write the output: No space left on device (os error 28)\n");
    assert_eq!(output.status.code(), Some(1));
}
