//! Programs, Python modules and settings that lie in the folder.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::{sh, world};
use crate::support::World;

/// A program called `name` in `folder`, which leaves a file `ran`.
fn trap(world: &World, name: &str) {
    world.write(name, format!("#!/bin/sh\necho \"$0 $*\" >>'{}'\n", world.path("ran").display()));
    fs::set_permissions(world.path(name), fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_program_that_lies_in_the_folder_is_not_taken_for_one_of_the_path() {
    let tools = ["git", "kubectl", "docker", "gcloud", "python3", "myedit", "docker-credential-x", "kind", "minikube"];
    for relative in ["", ".", "bin", "../vision", "./"] {
        let mut world = world();
        sh(&world, "begin $world/vision");
        for tool in tools {
            trap(&world, &format!("vision/{tool}"));
            trap(&world, &format!("vision/bin/{tool}"));
        }
        world.write("vision/spec.py", "experiments_list = [{'parameters': {'a': 1}}]\n");
        let path = format!("{relative}:{}:/usr/bin:/bin:{relative}", world.path("bin").display());
        // what an absolute entry has is found behind a relative one
        world.env("PATH", &path).env("LD_LIBRARY_PATH", ":/usr/local/lib").env("EDITOR", "myedit");
        world.write("bin/myedit", "#!/bin/sh\n: >\"${0%/*}/../edited\"\n");
        fs::set_permissions(world.path("bin/myedit"), fs::Permissions::from_mode(0o755)).unwrap();
        world.first("*", "printf '%s|%s\\n' \"x\" \"$LD_LIBRARY_PATH\" >>\"$world/lists\"");
        world.run(&["run", "--sweep", "spec.py", "train.py"]).ok();
        world.run(&["status"]).ok();
        world.run(&["doctor"]);
        world.run(&["context", "edit"]).ok();
        assert!(world.path("edited").exists());
        assert!(!world.path("ran").exists(), "{relative:?}: {}", world.read("ran"));
        let lists = world.read("lists");
        assert!(lists.lines().count() > 5 && lists.lines().all(|line| line.ends_with("|/usr/local/lib")), "{lists}");
    }
    // nothing but the folder's own: then there is none
    let mut world = world();
    world.write("vision/train.py", "");
    trap(&world, "vision/docker");
    trap(&world, "vision/kubectl");
    world.env("PATH", ":.:");
    let outcome = world.run(&["status"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("`kubectl` was not found"), "{outcome:?}");
    assert!(!world.path("ran").exists());
}

#[test]
fn a_spec_file_is_asked_by_python_alone() {
    let mut world = world();
    for module in [
        "json",
        "site",
        "sitecustomize",
        "usercustomize",
        "mrunner",
        "munch",
        "traceback",
        "types",
        "copy",
        "encodings",
    ] {
        world.write(&format!("vision/{module}.py"), format!("open({:?}, 'a').write('{module}')\n", world.path("ran")));
    }
    let path = format!("{}:/usr/bin:/bin", world.path("bin").display());
    world.env("PATH", &path);
    let folder = world.path("vision");
    for variable in ["PYTHONPATH", "PYTHONHOME", "PYTHONUSERBASE"] {
        world.env(variable, folder.to_str().unwrap());
    }
    world.env("PYTHONSTARTUP", "json.py").env("PYTHONINSPECT", "1").env("PYTHONWARNINGS", "error::x.y");
    world.write("vision/train.py", "");
    world.write("vision/plain.py", "experiments_list = [{'parameters': {'a': 1}}]\n");
    world.run(&["run", "--dry-run", "--sweep", "plain.py", "train.py"]).ok();
    assert!(!world.path("ran").exists(), "{}", world.read("ran"));
    // what it imports by itself is the script's own business, from the folder and from beside it
    world.write("vision/specs/beside.py", "value = 7\n");
    world.write("vision/own.py", "value = 8\n");
    let imports = "import beside, own\nexperiments_list = [{'parameters': {'a': beside.value, 'b': own.value}}]\n";
    world.write("vision/specs/spec.py", imports);
    let outcome = world.run(&["run", "--dry-run", "--sweep", "specs/spec.py", "train.py"]).ok();
    assert!(outcome.stdout.contains(r#"{\"a\":7,\"b\":8}"#), "{}", outcome.stdout);
    // but nothing there comes before a module of Python's, and to a script elsewhere the folder is nothing
    let ran = format!("open({:?}, 'a')\nvalue = 9\n", world.path("ran"));
    for module in ["random", "specs/random"] {
        world.write(&format!("vision/{module}.py"), &ran);
    }
    let random = "import random\nexperiments_list = [{'parameters': {'a': random.choice([7])}}]\n";
    let missing = "try:\n  from own import value\nexcept ImportError:\n  value = 7\n";
    let grid = format!("{random}{missing}experiments_list.append({{'parameters': {{'a': value}}}})\n");
    for (file, script) in [("vision/specs/grid.py", random), ("specs/grid.py", &grid)] {
        world.write(file, script);
        let spec = world.path(file);
        let outcome = world.run(&["run", "--dry-run", "--sweep", spec.to_str().unwrap(), "train.py"]).ok();
        assert!(outcome.stdout.contains(r#"{\"a\":7}"#) && !outcome.stdout.contains(r#"{\"a\":8}"#), "{outcome:?}");
        assert!(!world.path("ran").exists(), "{file}");
    }
    // nobody named it
    world.write("vision/mrunner.yaml", "name: x\nsweep: spec.py\n");
    world.write("vision/spec.py", format!("open({:?}, 'a')\n", world.path("ran")));
    assert_eq!(world.run(&["run", "--dry-run", "train.py"]).code, 2);
    assert!(!world.path("ran").exists());
}

#[test]
fn settings_that_lie_in_the_folder_are_not_taken_for_the_users() {
    for home in ["", ".", "home", "./"] {
        let mut world = world();
        sh(&world, "begin $world/vision");
        for (file, text) in [
            (".kube/config", "current-context: evil\ncontexts: [{name: evil, context: {cluster: evil, user: evil}}]\n"),
            (
                ".config/mrunner/config.yaml",
                "current_context: evil\ncontexts:\n  evil: {type: kubernetes, storage: /s, registry_url: evil.test/x}\n",
            ),
            (".docker/config.json", r#"{"credHelpers": {"evil.test": "evil"}}"#),
            ("config.json", r#"{"credHelpers": {"evil.test": "evil"}}"#),
            (".gitconfig", "[core]\n\tfsmonitor = ./canary\n"),
        ] {
            world.write(&format!("vision/{file}"), text);
            world.write(&format!("vision/home/{file}"), text);
        }
        world.env("HOME", home);
        for args in [&["context", "list"][..], &["status"], &["run", "--dry-run", "train.py"], &["doctor"]] {
            let outcome = world.run(args);
            assert!(!outcome.stdout.contains("evil") && !outcome.stderr.contains("evil"), "{home:?} {outcome:?}");
        }
    }
}
