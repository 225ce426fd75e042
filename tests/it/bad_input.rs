//! What a user may write wrong: the command line, the experiment file, names, files that are missing.

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

#[test]
fn no_script_is_named() {
    World::new().run(&["run"]).fails(
        2,
        "error: no script is named
hint: name one below the current folder, such as `kubectl mrunner run train.py`
",
    );
    World::new().run(&["run", "--", "--"]).fails(
        2,
        "error: the script `--` does not exist
hint: look with `ls [DIR]/vision`
",
    );
}

#[test]
fn the_script_is_missing() {
    let world = World::new();
    world.run(&["run", "trian.py"]).fails(
        2,
        "error: the script `trian.py` does not exist
hint: did you mean `train.py`?
",
    );
    world.run(&["run", ""]).fails(
        2,
        "error: the script's name is empty
hint: name one below the current folder, such as `kubectl mrunner run train.py`
",
    );
    assert!(world.submissions().is_empty() && world.calls_with(" build ").is_empty());
}

#[test]
fn the_script_is_left_out_or_elsewhere() {
    let world = World::new();
    world.write("vision/.mrunnerignore", "*.py\n");
    world.run(&["run", "train.py"]).fails(
        2,
        "error: the script `train.py` is left out of the image
hint: see `.mrunnerignore`, `.dockerignore` and `exclude`
",
    );
    world.write("other/train.py", "");
    world.run(&["run", "../other/train.py"]).fails(
        2,
        "error: the script `../other/train.py` is not below the current folder
hint: `cd` into the folder that holds all that the experiment needs, and run it from there
",
    );
    let absolute = world.path("other/train.py").display().to_string();
    world.run(&["run", &absolute]).fails(
        2,
        "error: the script `[DIR]/other/train.py` is not below the current folder
hint: `cd` into the folder that holds all that the experiment needs, and run it from there
",
    );
    world.write("vision/src/train.py", "");
    world.run(&["run", "src"]).fails(
        2,
        "error: the script `src` is a folder
hint: name a file in it, such as `src/train.py`
",
    );
}

#[test]
fn requirements_or_template_are_missing() {
    let world = World::new();
    world.run(&["run", "--requirements", "requirement.txt", "train.py"]).fails(
        2,
        "error: the requirements file `requirement.txt` does not exist
",
    );
    world.run(&["run", "--template", "Dockerfile.j2", "train.py"]).fails(
        2,
        "error: the template `Dockerfile.j2` can't be read: it does not exist
hint: name a file with `--template FILE`, or leave the flag out for the built-in one
",
    );
    world.write("vision/requirements.txt", "-r more.txt\n");
    world.run(&["run", "--requirements", "requirements.txt", "train.py"]).fails(
        2,
        "error: `requirements.txt` line 1: the requirements file `more.txt` does not exist
",
    );
}

#[test]
fn a_template_that_is_wrong_names_its_line() {
    let world = World::new();
    world.write("vision/Dockerfile.j2", "FROM {{ base_image }}\nRUN {{ nothing }}\n");
    world.run(&["run", "--template", "Dockerfile.j2", "train.py"]).fails(2, "error: `Dockerfile.j2` line 2: `nothing` is undefined
hint: a template is given `base_image`, `requirements`, `user`, `group`, `neptune` and `secrets`; what may be missing is asked for with `{% if NAME is defined %}`
");
    world.write("vision/Dockerfile.j2", "FROM {{ base_image\n");
    world.run(&["run", "--template", "Dockerfile.j2", "train.py"]).fails(
        2,
        "error: `Dockerfile.j2` line 1: unexpected end of input, expected end of variable block: `base_image`
",
    );
}

/// The run's name, and the experiment's as its Job keeps it.
fn named(name: &str) -> (String, String) {
    let world = World::new();
    let run = world.run(&["run", &format!("--name={name}"), "train.py"]).ok().stdout.trim().to_owned();
    let job = world.job();
    assert!(run.len() <= 57 && job["metadata"]["name"] == run.as_str(), "{run}");
    (run, job["metadata"]["annotations"]["mrunner/experiment-name"].as_str().unwrap().to_owned())
}

#[test]
fn a_name_of_300_characters_is_cut() {
    let long = "Long_".repeat(60);
    let (run, kept) = named(&long);
    let stem = &run[..run.len() - 9];
    // cut between two words or within one, and never behind a `-`
    assert!(stem.len() >= 46 && "long-".repeat(60).starts_with(stem) && !stem.ends_with('-'), "{run}");
    assert_eq!(kept, long);
}

#[test]
fn a_name_keeps_its_letters_and_digits_and_the_runs_own_characters() {
    let names = [
        ("!?*&/%", "run"),
        ("🦀🦀", "run"),
        ("---", "run"),
        ("Grid Search", "grid-search"),
        ("Ünïcödé 東京", "n-c-d"),
        ("a\tb", "a-b"),
        ("-x", "x"),
    ];
    for (name, stem) in names {
        let (run, kept) = named(name);
        let own = run.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')).unwrap_or_else(|| panic!("{run}"));
        assert!(own.len() == 8 && own.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{run}");
        assert_eq!(kept, name);
    }
    World::new().run(&["run", "--name", "", "train.py"]).fails(
        2,
        "error: the name is empty
hint: give one, such as `--name baseline`
",
    );
    World::new().run(&["run", "--name", " ", "train.py"]).fails(
        2,
        "error: the name is empty
hint: give one, such as `--name baseline`
",
    );
    World::new().run(&["run", "--project", "", "train.py"]).fails(
        2,
        "error: the project is empty
hint: give one, such as `--project baseline`
",
    );
}

#[test]
fn a_folder_of_symbols_can_be_a_project() {
    let world = World::new();
    world.write("🦀 (1)/train.py", "");
    let mut command = world.command(&["run", "train.py"]);
    let output = command.current_dir(world.path("🦀 (1)")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.job()["metadata"]["annotations"]["mrunner/project-name"], "🦀 (1)");
}

#[test]
fn two_projects_do_not_share_a_namespace() {
    // made for another project, or labelled by hand
    let mut world = World::new();
    world.on("*' get namespace/vision '*", r#"echo '{"kind":"Namespace","metadata":{"name":"vision","annotations":{"mrunner/project-name":"Vision!"}}}'; exit 0"#);
    world.run(&["run", "train.py"]).fails(
        1,
        "error: the namespace `vision` belongs to the project `Vision!`, not to `vision`
hint: name the project otherwise with `--project NAME`, or a namespace with `-n NAME`
",
    );
    assert!(world.submissions().is_empty() && world.calls_with(" apply ").is_empty());
    // and names that differ get namespaces that differ
    let namespace = |project: &str| {
        let world = World::new();
        world.run(&["run", "--project", project, "train.py"]).ok();
        world.job()["metadata"]["namespace"].as_str().unwrap().to_owned()
    };
    let all: std::collections::BTreeSet<String> = ["a_b", "a.b", "a b", "A-b", "a-b"].map(namespace).into();
    assert!(all.len() == 5 && all.contains("a-b"), "{all:?}");
}

#[test]
fn kubernetes_own_namespaces_are_left_alone() {
    World::new().run(&["run", "--project", "kube-system", "train.py"]).fails(
        2,
        "error: the project `kube-system` would live in the namespace `kube-system`, which is Kubernetes' own
hint: name the project otherwise with `--project NAME`
",
    );
}

#[test]
fn wrong_amounts_are_told() {
    let world = World::new();
    world.run(&["run", "--mem", "8GB", "train.py"]).fails(
        2,
        "error: `--mem` must be a Kubernetes quantity, not `8GB`
hint: did you mean `8G`?
",
    );
    world.run(&["run", "--mem", "8", "train.py"]).fails(
        2,
        "error: `--mem` is an amount of bytes, and `8` is less than one KiB
hint: did you mean `8G`?
",
    );
    world.run(&["run", "--cpu", "many", "train.py"]).fails(
        2,
        "error: `--cpu` must be a Kubernetes quantity, not `many`
hint: write a number and one of `m`, `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi`, `Ti`, such as `500m`, `4` or `8Gi`
",
    );
    world.run(&["run", "--gpu", "a100", "train.py"]).fails(
        2,
        "error: `--gpu` must be a number or `TYPE:NUMBER`, not `a100`
hint: did you mean `a100:1`?
",
    );
    world.run(&["run", "--cpu", "-1", "train.py"]).fails(
        2,
        "error: unexpected argument '-1' found

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
    world.run(&["run", "--gpu", "a100:2", "train.py"]).fails(
        2,
        "error: no node of the cluster can give 2 GPUs of type `a100`
  it has: neither a GPU nor a TPU
hint: see what the nodes say of themselves with `kubectl get nodes --show-labels`
",
    );
    world.run(&["run", "--time-limit", "soon", "train.py"]).fails(
        2,
        "error: `soon` is not a time
hint: write it such as `90s`, `30m`, `2h` or `1d`
",
    );
    world.run(&["run", "--time-limit", "0", "train.py"]).fails(
        2,
        "error: `0` is not a time
hint: write it such as `90s`, `30m`, `2h` or `1d`
",
    );
    world.run(&["run", "--time-limit", "10ms", "train.py"]).fails(
        2,
        "error: `10ms` is not a time
hint: write it such as `90s`, `30m`, `2h` or `1d`
",
    );
    world.run(&["run", "--retries", "1", "--no-retry-on", "0-3", "train.py"]).fails(
        2,
        "error: `0-3` is no exit code of a failure
hint: they are 1 to 255; write them such as `--no-retry-on 2,64-78`
",
    );
    world.run(&["run", "--no-retry-on", "3", "train.py"]).fails(
        2,
        "error: `--no-retry-on` says nothing, as nothing is tried again
hint: say how often, such as with `--retries 3`
",
    );
    world.run(&["run", "--max-failed", "3", "train.py"]).fails(
        2,
        "error: there is no sweep to take points of
hint: describe one, such as with `--grid lr=0.1,0.01`, `--sweep FILE`, or `sweep` in the experiment file
",
    );
    world.run(&["run", "--retries", "-1", "train.py"]).fails(
        2,
        "error: unexpected argument '-1' found

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
}

#[test]
fn wrong_images_registries_and_platforms_are_told() {
    let world = World::new();
    world.run(&["run", "--base_image", "Python:3", "train.py"]).fails(
        2,
        "error: `Python:3` is not the name of an image: `Python` has upper-case letters
hint: did you mean `python:3`?
",
    );
    world.run(&["run", "--image", "a b", "train.py"]).fails(
        2,
        "error: `a b` is not the name of an image: it contains ` `
",
    );
    world.run(&["run", "--registry", "ftp://registry.test", "train.py"]).fails(
        2,
        "error: `--registry` must be a URL with `https://` or `http://`, not `ftp://registry.test`
hint: write a URL such as `https://gcr.io` or `http://127.0.0.1:5000`
",
    );
    world.run(&["run", "--platform", "linux/amd64; rm -rf /", "train.py"]).fails(
        2,
        "error: `linux/amd64; rm -rf /` is not a platform
hint: write it such as `linux/amd64` or `linux/arm64`
",
    );
    world.run(&["run", "--storage-claim", "My Claim", "train.py"]).fails(
        2,
        "error: `My Claim` can't be the name of a claim
hint: list the claims with `kubectl get pvc -A`
",
    );
    world.run(&["run", "--storage-class", "--", "train.py"]).fails(
        2,
        "error: a value is required for '--storage-class <NAME>' but none was supplied

For more information, try '--help'.
",
    );
    world.run(&["run", "--queue", "a b", "train.py"]).fails(
        2,
        "error: `a b` can't be the name of a queue
hint: list the queues with `kubectl get localqueues -A`
",
    );
}

#[test]
fn a_wrong_flag_is_told_with_the_nearest() {
    let world = World::new();
    world.run(&["run", "--folow", "train.py"]).fails(
        2,
        "error: unexpected argument '--folow' found

  tip: a similar argument exists: '--follow'

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
    world.run(&["rum", "train.py"]).fails(
        2,
        "error: unrecognized subcommand 'rum'

  tip: a similar subcommand exists: 'run'

Usage: kubectl mrunner [OPTIONS] <COMMAND>

For more information, try '--help'.
",
    );
    world.run(&["run", "--image", "busybox", "--requirements", "r.txt", "train.py"]).fails(
        2,
        "error: the argument '--image <IMAGE>' cannot be used with '--requirements <FILE>'

Usage: kubectl mrunner run [OPTIONS] [--] SCRIPT [--] [ARG]...

For more information, try '--help'.
",
    );
    world.run(&["run", "--dry-run=sever", "train.py"]).fails(
        2,
        "error: invalid value 'sever' for '--dry-run[=<WHERE>]'
  [possible values: none, client, server]

  tip: a similar value exists: 'server'

For more information, try '--help'.
",
    );
    world.run(&["status", "-o", "jsn"]).fails(
        2,
        "error: invalid value 'jsn' for '--output <FORMAT>'
  [possible values: table, wide, json, yaml, name]

  tip: a similar value exists: 'json'

For more information, try '--help'.
",
    );
    assert!(world.calls().is_empty());
}

#[test]
fn an_argument_that_is_no_text_is_refused() {
    use std::os::unix::ffi::OsStrExt;
    let world = World::new();
    let mut command = world.command(&["run", "train.py", "--"]);
    let output = command.arg(std::ffi::OsStr::from_bytes(b"a\xff")).output().unwrap();
    let outcome = Outcome {
        code: output.status.code().unwrap(),
        stdout: String::new(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    };
    outcome.fails(
        2,
        r"error: the argument $'a\xff' is not valid UTF-8, and a manifest can hold nothing else
hint: pass it in a file, or encoded, such as in base64
",
    );
}

#[test]
fn arguments_that_no_job_holds_are_told_before_anything_is_made() {
    let world = World::new();
    let long = "x".repeat(100_000);
    world.run(&["run", "train.py", "--", &long, &long, &long]).fails(
        2,
        "error: the script's arguments and parameters take 293 KiB, and a Job has room for 256 KiB of what describes it
hint: pass large values in a file of the folder
",
    );
    assert!(world.submissions().is_empty() && world.calls_with("buildx build").is_empty());
}
