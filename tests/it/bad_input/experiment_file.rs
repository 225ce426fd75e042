//! Mistakes in the experiment file.

use crate::support::{Outcome, World};

/// A run with this experiment file.
fn with_file(text: &str) -> Outcome {
    let world = World::new();
    world.write("vision/neptune.yaml", text);
    let outcome = world.run(&["run", "--config", "neptune.yaml", "train.py"]);
    assert!(outcome.code == 0 || world.calls().is_empty(), "{:#?}", world.calls());
    outcome
}

#[test]
fn the_experiment_file_is_missing() {
    World::new().run(&["run", "--config", "neptune.yml", "train.py"]).fails(
        2,
        "error: there is no file `neptune.yml`
",
    );
}

#[test]
fn the_experiment_file_is_empty() {
    with_file("").fails(
        2,
        "error: `neptune.yaml` is empty
hint: write `name: NAME` and `parameters:`
",
    );
    with_file("# nothing yet\n").fails(
        2,
        "error: `neptune.yaml` is empty
hint: write `name: NAME` and `parameters:`
",
    );
}

#[test]
fn the_experiment_file_is_no_yaml() {
    with_file("name: [a\nproject: b\n").fails(
        2,
        "error: `neptune.yaml` line 2: this is not YAML: illegal placement of ':' indicator
",
    );
    with_file("just words\n").fails(
        2,
        "error: `neptune.yaml` line 1: must be a mapping of keys, not `just words`
",
    );
    with_file("- a\n- list\n").fails(
        2,
        "error: `neptune.yaml` line 1: must be a mapping of keys, not a list
",
    );
    with_file("\u{0}\u{1}").fails(
        2,
        "error: `neptune.yaml` line 1: this is not YAML: found unprintable character
",
    );
}

#[test]
fn the_experiment_file_has_wrong_types() {
    with_file(
        "name: [a]
project: {b: c}
tags: one
parameters:
- {name: lr, type: float, default: fast}
- {default: 3}
- epochs
requirements: [a, b]
resources: many
",
    )
    .fails(
        2,
        "error: `neptune.yaml` has 7 faults
  | line 1: name: must be a single value, not a list
  | line 2: project: must be a single value, not a mapping
  | line 5: parameters[0].default: must be a number, as its type `double` says, not `fast`
  | line 6: parameters[1].name: is required
  | line 7: parameters[2]: must be a mapping of keys, not `epochs`
  | line 8: requirements: must be a single value, not a list
  | line 9: resources: must be a mapping of keys, not `many`
",
    );
}

#[test]
fn the_experiment_file_has_unknown_and_double_keys() {
    with_file("nmae: a\nproject: b\ntags: []\nproject: c\nparameters: {lr: 1, lr: 2}\n").fails(
        2,
        "error: `neptune.yaml` has 3 faults
  | line 1: nmae: is not a known key, did you mean `name`?
  | line 4: project: is there twice, first in line 2
  | line 5: parameters.lr: is there twice, first in line 5
",
    );
}

#[test]
fn a_parameter_has_no_value() {
    with_file("parameters: [{name: lr, type: double, required: true}]\n").fails(
        2,
        "error: the parameter `lr` has no value
hint: give it to the script: `-- --lr VALUE`, or give it a `default` in the experiment file
",
    );
    with_file("parameters: [{name: lr, required: true}, {name: epochs, required: true}]\n").fails(
        2,
        "error: the parameters `lr`, `epochs` have no value
hint: give it to the script: `-- --lr VALUE`, or give it a `default` in the experiment file
",
    );
    let world = World::new();
    world.write("vision/neptune.yaml", "parameters: [{name: lr, type: double, required: true}]\n");
    world.run(&["run", "--config", "neptune.yaml", "train.py", "--", "--lr", "0.1"]).ok();
}
