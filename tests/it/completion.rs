//! `__complete`: whatever the cluster's users and the files of settings hold, a shell is shown text. `tests/shells` has
//! the shells themselves complete.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::Stdio;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::json;

use crate::hostile::text;
use crate::support::{World, program};

/// What cobra's script for bash makes of words, `compgen -W "${completions[*]}"`, and what a shell reads where they
/// were inserted: first the ones, then the others, each with a line feed behind it.
const SHOWN: &str = r#"
mapfile -t words
((${#words[@]})) || exit 0
IFS=$'\n'
compgen -W "${words[*]}" -- ""
IFS=' '
eval "printf '%s\n' ${words[*]}"
"#;

/// The words that `args` is answered with, of which bash has been asked whether they are what they seem.
fn answered(world: &World, args: &[&str]) -> Vec<String> {
    let outcome = world.run(&[&["__complete"], args].concat()).ok();
    let (lines, directive) = outcome.stdout.trim_end().rsplit_once('\n').unwrap_or(("", outcome.stdout.trim_end()));
    assert_eq!(directive, ":4");
    let words: Vec<String> =
        lines.lines().map(|line| line.split_once('\t').map_or(line, |(word, _)| word).to_owned()).collect();
    let input: String = words.iter().flat_map(|word| [word, "\n"]).collect();
    let mut bash = program("bash")
        .args(["--norc", "-c", SHOWN])
        .current_dir(world.path("vision"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    bash.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let shown = bash.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&shown.stdout), format!("{input}{input}"));
    words
}

/// Each is a command in one shell or another, or a name.
#[rustfmt::skip]
const COMMANDS: &[&str] = &[
    "$(touch canary)", "`touch canary`", "${x:-$(touch canary)}", "(touch canary)", ";touch canary;", "|touch canary",
    "&touch canary&", "\ntouch canary\n", "<(touch canary)", "=(touch canary)", "$((`touch canary`))", "*(e:'touch canary':)",
    "{a,$(touch canary)}", "$'\\n'$(touch canary)", "'$(touch canary)'", "\"$(touch canary)\"", "~$(touch canary)",
    "_activeHelp_ $(touch canary)", ":1\n$(touch canary)", "ok", "a-b", "lr=0.1",
];

/// Arbitrary texts, of which some would run `touch canary` in one shell or another.
fn hostile(count: usize) -> Vec<String> {
    let one = prop_oneof![
        text(),
        (text(), select(COMMANDS)).prop_map(|(a, b)| format!("{a}{b}")),
        select(COMMANDS).prop_map(str::to_owned)
    ];
    vec(one, count).new_tree(&mut TestRunner::deterministic()).unwrap().current()
}

#[test]
fn ten_thousand_hostile_strings_are_text_or_left_out() {
    let world = World::new();
    let strings = hostile(10_000);
    let runs: Vec<_> = strings
        .chunks(20)
        .enumerate()
        .map(|(n, tags)| json!({"run": format!("train-{n}"), "namespace": "vision", "project": tags[0], "tags": tags}))
        .collect();
    world.write("home/.cache/mrunner/seen.json", json!(runs).to_string());
    // one with a line feed in a name is refused as a whole
    let names: BTreeSet<_> = strings.iter().filter(|name| !name.contains(char::is_control)).take(500).collect();
    let contexts: Vec<_> =
        names.iter().map(|name| json!({"name": name, "context": {"cluster": name, "user": name}})).collect();
    world.write("home/.kube/config", json!({"contexts": contexts}).to_string());
    let tags = answered(&world, &["status", "--tag", ""]);
    for word in ["ok", "a-b", "lr=0.1"] {
        assert!(tags.contains(&word.to_owned()), "{word}: {tags:?}");
    }
    assert!(answered(&world, &["run", "--tags="]).contains(&"--tags=ok".to_owned()));
    assert_eq!(answered(&world, &["logs", "train-49"]).len(), 11);
    for args in [
        &["status", "--project", ""][..],
        &["status", "-n", ""],
        &["--context", ""],
        &["--kube-context", ""],
        &["--cluster", ""],
        &["--user", ""],
        &["download", ""],
        &["run", "--"],
        &[""],
    ] {
        assert!(!answered(&world, args).is_empty(), "{args:?}");
    }
    assert!(!world.path("vision/canary").exists());
}
