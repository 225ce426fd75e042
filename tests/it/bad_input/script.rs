//! A wrong script, requirements file, template or argument.

use crate::support::{Outcome, World};

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
