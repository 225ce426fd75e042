//! `--env-file` of a pipe: the way of those who write no secret to a disk.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Outcome, World, program};

/// `canary` and `b c`, as a Secret has them.
const DATA: &str = r#"{"TOKEN": "Y2FuYXJ5", "OTHER": "YiBj"}"#;

/// As the API server answers.
const GIVES_UID: &str = r#"sed 's/"metadata":{/"metadata":{"uid":"u-7",/' "$call.stdin"; exit 0"#;

fn world() -> World {
    let mut world = World::new();
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", &path);
    world.on("*' create '*' -o json'*", GIVES_UID);
    world
}

fn mkfifo(world: &World, name: &str) -> String {
    let path = world.path(name);
    assert!(program("mkfifo").arg(&path).status().unwrap().success());
    path.to_str().unwrap().to_owned()
}

/// By bash, so that it can substitute processes; the program's words stand behind `run`.
fn bash(world: &World, words: &str) -> Outcome {
    bash_words(world, &format!("run {words} train.py"))
}

fn bash_words(world: &World, words: &str) -> Outcome {
    let command = world.command(&[]);
    let script = format!("exec kubectl-mrunner {words}");
    let mut shell = program("bash");
    shell.args(["-c", &script]).current_dir(world.path("vision")).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.stdin(Stdio::null()).process_group(0).output().unwrap();
    let text = |bytes: &[u8]| world.tidy(&String::from_utf8_lossy(bytes));
    Outcome { code: output.status.code().unwrap(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
}

#[track_caller]
fn assert_handed_over(world: &World, before: usize) {
    let secrets: Vec<Value> = world.calls()[before..]
        .iter()
        .filter(|call| call.line().contains(" create "))
        .map(crate::support::Call::json)
        .filter(|o| o["kind"] == "Secret")
        .collect();
    assert_eq!(secrets.len(), 1, "{secrets:?}");
    assert_eq!(secrets[0]["data"], serde_json::from_str::<Value>(DATA).unwrap());
    let journals = world.path("home/.local/state/mrunner");
    let found = program("grep").args(["-rlE", "canary|Y2FuYXJ5"]).arg(journals).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
}

#[test]
fn a_process_a_pipe_and_a_fifo_are_read_once() {
    let world = world();
    bash(&world, r"--env-file <(sleep 0.2; printf 'TOKEN=canary\n'; sleep 0.2; printf 'OTHER=b c\n')").ok();
    assert_handed_over(&world, 0);
    // two of them
    let world = self::world();
    bash(&world, r"--env-file <(echo TOKEN=old) --env-file <(printf 'TOKEN=canary\nOTHER=b c')").ok();
    assert_handed_over(&world, 0);
    let world = self::world();
    bash(&world, r"--env-file /dev/stdin < <(printf 'TOKEN=canary\nOTHER=b c\n')").ok();
    assert_handed_over(&world, 0);
    let world = self::world();
    bash(&world, "--env-file /dev/stdin <<<$'TOKEN=canary\\nOTHER=b c'").ok();
    assert_handed_over(&world, 0);
    // whoever writes to a FIFO comes when there is a reader, and may come late
    let world = self::world();
    let fifo = mkfifo(&world, "vision/fifo");
    let live = world.start(&["run", "--env-file", "fifo", "train.py"]);
    live.says(
        "waiting for `[DIR]/vision/fifo`: nothing has been written to it yet"
            .replace("[DIR]", world.path("").to_str().unwrap().trim_end_matches('/'))
            .as_str(),
    );
    OpenOptions::new().write(true).open(fifo).unwrap().write_all(b"TOKEN=canary\nOTHER=b c\n").unwrap();
    live.end().ok();
    assert_handed_over(&world, 0);
}

#[test]
fn a_pipe_that_brings_nothing_too_much_or_no_end_is_told() {
    let mut world = world();
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    for (words, message) in [
        ("--env-file <(exit 1)", "brought nothing\nhint: try the command that writes to it alone: did it fail?\n"),
        ("--env-file <(yes A=1)", "brings more than 1 MiB\nhint: all variables together have to fit into a Secret\n"),
        (
            "--env-file <(while echo A=1; do sleep 0.1; done)",
            "did not end in 3 s\nhint: does something write to it, and close it?\n",
        ),
        ("--env-file <(printf 'A=1\\n\\xff=2\\n')", "line 2: this is not text in UTF-8\n"),
        (
            "--env-file <(echo canary here)",
            "line 1: does not begin with the name of a variable\nhint: write `NAME=VALUE`, one to a line, the value as it is\n",
        ),
        (
            "--env-file /dev/zero",
            "error: `/dev/zero` is a device, which may never end\nhint: name a file or a pipe, such as `--env-file <(pass show NAME)`\n",
        ),
        ("--env-file /dev/fd/77", "error: there is no file `/dev/fd/77`\n"),
        ("--env-file .", "is a directory, not a file\nhint: name the file in it\n"),
    ] {
        let outcome = bash(&world, words);
        assert!(outcome.code == 2 && outcome.stderr.ends_with(message), "{words}: {outcome:?}");
        assert!(!outcome.stderr.contains("canary"), "{outcome:?}");
    }
    let fifo = mkfifo(&world, "vision/fifo");
    let outcome = world.run(&["run", "--env-file", &fifo, "train.py"]);
    assert!(
        outcome.code == 2
            && outcome
                .stderr
                .contains("nothing has been written to it yet\nerror: `[DIR]/vision/fifo` did not end in 3 s\n"),
        "{outcome:?}"
    );
    assert_eq!(world.submissions().len(), 0);
    bash(&world, "--env-file /dev/null").ok();
}

#[test]
fn waiting_for_a_pipe_can_be_interrupted() {
    let world = world();
    let fifo = mkfifo(&world, "vision/fifo");
    let live = world.start(&["run", "--env-file", "fifo", "train.py"]);
    // opened, so that something is there to write to
    let writer = OpenOptions::new().write(true).open(fifo).unwrap();
    live.signal_all("INT");
    let outcome = live.end();
    drop(writer);
    assert!(outcome.code == 130 && world.submissions().is_empty(), "{outcome:?}");
}

#[test]
fn a_run_that_was_cut_off_can_not_read_its_pipe_again() {
    let mut world = world();
    world.on("*' create '*' -o json'*", "echo 'Unable to connect to the server: EOF' >&2; exit 1");
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    let outcome = bash(&world, "--env-file <(printf 'TOKEN=canary\\nOTHER=b c\\n')");
    assert_ne!(outcome.code, 0, "{outcome:?}");
    let run = world.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    let hint = "hint: the variables came through a pipe that is gone, give them again: `kubectl mrunner run --resume train-[ID] --env-file FILE`\n";
    let outcome = world.run(&["run", "--resume", &run]);
    assert!(outcome.code == 2 && outcome.stderr.contains(hint), "{outcome:?}");
    world.on("*' create '*' -o json'*", GIVES_UID);
    let before = world.calls().len();
    bash_words(&world, &format!("run --resume {run} --env-file <(printf 'TOKEN=canary\\nOTHER=b c\\nMORE=x\\n')")).ok();
    assert_handed_over(&world, before);
}
