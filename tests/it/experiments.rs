//! `run --sweep FILE.py`: a script that lists experiments, asked by the user's own Python.

use crate::support::{Outcome, World};

/// What `run --dry-run --sweep spec.py train.py` says of such a script.
fn asked(script: &str) -> (World, Outcome) {
    let mut world = World::new();
    world.write("vision/spec.py", script);
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", &path).env("MRUNNER_TEST_PATIENCE", "0.001");
    let outcome = world.run(&["run", "--dry-run", "--sweep", "spec.py", "train.py"]);
    (world, outcome)
}

/// The error, without what was said before it.
#[track_caller]
fn refused(script: &str, words: &str) {
    let (_, outcome) = asked(script);
    assert!(outcome.code == 2 && outcome.stdout.is_empty(), "{outcome:?}");
    assert!(outcome.stderr.contains(words), "{words}\n{}", outcome.stderr);
}

const SPEC: &str = r#"
from munch import Munch
from mrunner.experiment import Experiment

def spec():
    print("two of them")
    make = lambda n: Experiment(project="p", name="n", script="python x.py", parameters=Munch(lr=0.1, tags=["a"], n=n), tags=["t"])
    return [make(7), make("7")]
"#;

const HELPER: &str = r#"
from mrunner.helpers.specification_helper import create_experiments_helper

name = globals()["script"][:-3]
experiments_list = create_experiments_helper(experiment_name=name, base_config={"job": "@" + name, "lr": 1},
    params_grid=[{"lr": [0.1, 0.2], "x___": [1, 2], "y___": [3, 4]}], script="python3 x.py", python_path=".", tags=[name])
"#;

#[test]
fn both_older_forms_become_points() {
    let (_, outcome) = asked(SPEC);
    let outcome = outcome.ok();
    assert!(outcome.stdout.contains(r#"MRUNNER_PARAMS='{\"lr\":0.1,\"tags\":[\"a\"],\"n\":7}'"#), "{}", outcome.stdout);
    assert!(outcome.stdout.contains(r#"\"n\":\"7\"}'"#), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("asking `spec.py` for its experiments\ntwo of them\n"), "{}", outcome.stderr);
    let (_, outcome) = asked(HELPER);
    let shown = outcome.ok().stdout;
    for point in
        [r#"{\"job\":\"@spec\",\"lr\":0.1,\"x\":1,\"y\":3}"#, r#"{\"job\":\"@spec\",\"lr\":0.2,\"x\":2,\"y\":4}"#]
    {
        assert!(shown.contains(point), "{point}\n{shown}");
    }
    assert_eq!(shown.matches("MRUNNER_PARAMS='").count(), 4, "{shown}");
    assert!(shown.contains("\"tag.mrunner/spec\": \"true\"") && shown.contains("\"name\": \"spec-"), "{shown}");
    let (_, outcome) = asked("experiments_list = [{'name': n, 'tags': [n], 'parameters': {'a': 1}} for n in 'bb']");
    let shown = outcome.ok().stdout;
    assert!(shown.contains("\"name\": \"b-"), "{shown}");
    let (_, outcome) = asked("experiments_list = [{'name': n, 'parameters': {'a': 1}} for n in 'bc']");
    let outcome = outcome.ok();
    assert!(outcome.stdout.contains("\"name\": \"train-"), "{outcome:?}");
    assert!(
        outcome.stderr.contains("names of their own, and the run is one: give it one with `--name`"),
        "{outcome:?}"
    );
}

#[test]
fn a_script_that_makes_none_is_told_in_its_own_words() {
    refused("def spec():\n    raise ValueError('\\x1b[31mno luck')\n", "  |   File \"spec.py\", line 2, in spec\n");
    refused("def spec():\n    raise ValueError('\\x1b[31mno luck')\n", "  | ValueError: \\u{1b}[31mno luck\n");
    refused("def spec(:\n", "SyntaxError");
    refused("import nosuch\n", "No module named 'nosuch'");
    refused("def spec(): return 3\n", "`spec()` returns int, not a list of experiments");
    refused("def spec(): return 'ab'\n", "`spec()` returns str, not a list of experiments");
    refused("def spec(): return [{'parameters': {}}, 1]\n", "experiment 1 has no `parameters`, which are a dict: 1");
    refused("def spec(): return []\n", "`spec()` returns no experiments");
    refused("experiments_list = [{'parameters': {'a': print}}]\n", "the parameter `a` of experiment 0: <built-in");
    refused("experiments_list = [{'parameters': {'a b': 1}}]\n", "the experiments of spec.py:1: `a b` is no name");
    refused("x = 1\n", "it has neither a function `spec()` nor a list `experiments_list`");
    refused("import sys; sys.exit(0)\n", "it ended itself with 0");
    refused("import os; os._exit(0)\n", "`spec.py` makes no experiments: it ended without an answer");
    refused("def spec():\n    while True: yield {'parameters': {'a': 1}}\n", "more than 100000 experiments");
    refused("while True: pass\n", "`spec.py` has not made its experiments in 300 s\nhint: write its points");
}

#[test]
fn a_script_that_never_ends_can_be_interrupted() {
    let mut world = World::new();
    world.write("vision/spec.py", "import sys\nopen('began', 'w').close()\nwhile True: pass\n");
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", &path);
    let live = world.start(&["run", "--sweep", "spec.py", "train.py"]);
    crate::support::wait_until("the script", || world.path("vision/began").exists());
    live.signal_all("INT");
    let outcome = live.end();
    assert!(outcome.code == 130 && world.calls_with("kubectl ").is_empty(), "{outcome:?}");
}

#[test]
fn without_python_it_is_told_and_a_name_that_is_no_file_too() {
    let world = World::new();
    world.write("vision/spec.py", "");
    let outcome = world.run(&["run", "--dry-run", "--sweep", "spec.py", "train.py"]);
    assert!(outcome.code != 0 && outcome.stderr.contains("`python3`"), "{outcome:?}");
    let outcome = world.run(&["run", "--dry-run", "--sweep", "nosuch.py", "train.py"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("there is no file `nosuch.py`"), "{outcome:?}");
}
