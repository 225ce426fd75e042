//! The folder with things in it that do not go into an image, or not as they are.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::support::{Outcome, World, code, program};

/// The names and contents in the build context that docker was given.
fn sent(world: &World) -> Vec<(String, String)> {
    let tar = &world.calls_with("buildx build")[0].stdin;
    let mut archive = tar::Archive::new(&tar[..]);
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut entry, &mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    });
    entries.collect()
}

fn names(world: &World) -> Vec<String> {
    sent(world).into_iter().map(|(name, _)| name).collect()
}

#[test]
fn a_large_folder_is_told_before_it_is_sent() {
    let world = World::new();
    for (name, mib) in [("data.bin", 150), ("model.pt", 60), ("tiny.bin", 1)] {
        fs::File::create(world.path("vision").join(name)).unwrap().set_len(mib << 20).unwrap();
    }
    world.run(&["run", "--dry-run", "train.py"]).fails(
        0,
        "context   lab (kube context kube-lab), namespace vision
warning: the folder holds 211.0 MiB to be sent; its largest files:
  150.0 MiB  data.bin
   60.0 MiB  model.pt
    1.0 MiB  tiny.bin
  leave out what the experiment does not need, such as with `echo /data.bin >> .mrunnerignore`
project   `vision` is new, and named after the folder; `--project NAME` names another
storage   a new claim `storage` of 40G: the cluster was not asked
",
    );
}

#[test]
fn a_run_that_was_saved_in_the_folder_is_left_out() {
    let world = World::new();
    world.write("vision/also/run.sh", "");
    world.run(&["run", "--out", "saved", "train.py"]).ok();
    world.run(&["run", "train.py"]).ok();
    assert_eq!(names(&world), ["code/", "code/also/", "code/also/run.sh", "code/train.py", "Dockerfile"]);
}

#[test]
fn a_dangling_link_is_told_and_sent_as_it_is() {
    let world = World::new();
    symlink("nowhere", world.path("vision/link")).unwrap();
    let outcome = world.run(&["run", "train.py"]).ok();
    let told = "warning: the link `link` points to `nowhere`, which does not exist\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    assert!(names(&world).contains(&"code/link".to_owned()));
}

#[test]
fn a_link_that_leaves_the_folder_is_refused() {
    let world = World::new();
    world.write("secret", "x");
    symlink("../secret", world.path("vision/data")).unwrap();
    world.run(&["run", "train.py"]).fails(
        2,
        "error: the link `data` leaves the folder: it points to `../secret`
hint: leave it out with `echo /data >> [DIR]/vision/.mrunnerignore`
hint: or take what it points to: `paths_to_copy: [data]`
",
    );
    fs::remove_file(world.path("vision/data")).unwrap();
    symlink("/nowhere", world.path("vision/data")).unwrap();
    world.run(&["run", "train.py"]).fails(
        2,
        "error: the link `data` leaves the folder: it points to `/nowhere`
hint: leave it out with `echo /data >> [DIR]/vision/.mrunnerignore`
",
    );
    assert!(world.calls_with("build").is_empty());
}

#[test]
fn a_socket_is_left_out() {
    let world = World::new();
    let _socket = UnixListener::bind(world.path("vision/s.sock")).unwrap();
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("warning: `s.sock` is left out: it is a socket\n"), "{}", outcome.stderr);
    assert_eq!(names(&world), ["code/", "code/train.py", "Dockerfile"]);
}

#[test]
fn a_file_name_may_hold_anything() {
    let world = World::new();
    world.write("vision/a\nb \u{1b}[31m'\"$(x).txt", "odd");
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(!outcome.stderr.contains('\u{1b}'));
    assert!(sent(&world).contains(&("code/a\nb \u{1b}[31m'\"$(x).txt".into(), "odd".into())));
    let large = world.path("vision").join("b\n\u{1b}[2J");
    fs::File::create(large).unwrap().set_len(300 << 20).unwrap();
    let outcome = world.run(&["run", "--dry-run", "train.py"]).ok();
    assert!(outcome.stderr.contains("300.0 MiB  \"b\\n\\u{1b}[2J\"\n"), "{}", outcome.stderr);
}

/// Runs it as somebody who is not root, as root can read everything.
fn as_nobody(world: &World, args: &[&str]) -> Outcome {
    fn open(path: &Path) {
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
        for entry in fs::read_dir(path).into_iter().flatten().flatten().filter(|e| e.file_type().unwrap().is_dir()) {
            open(&entry.path());
        }
    }
    let mut command = world.command(args);
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        let own = world.path("bin/kubectl-mrunner");
        // by another process, see `World::new`
        let copied =
            program("cp").arg("--remove-destination").arg(env!("CARGO_BIN_EXE_kubectl-mrunner")).arg(&own).status();
        assert!(copied.unwrap().success());
        let mut other = program(own);
        other.args(args).current_dir(world.path("vision")).env_clear().uid(65534).gid(65534);
        other.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        open(&world.path(""));
        command = other;
    }
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| world.tidy(&String::from_utf8(bytes).unwrap());
    Outcome { code: code(output.status), stdout: text(output.stdout), stderr: text(output.stderr) }
}

#[test]
fn an_unreadable_file_or_folder_is_told() {
    let world = World::new();
    world.write("vision/key.pem", "x");
    fs::set_permissions(world.path("vision/key.pem"), fs::Permissions::from_mode(0o000)).unwrap();
    as_nobody(&world, &["run", "train.py"]).fails(
        2,
        "error: `[DIR]/vision/key.pem` could not be read: permission denied
hint: make it readable with `chmod u+r [DIR]/vision/key.pem`
hint: leave it out with `echo /key.pem >> [DIR]/vision/.mrunnerignore`
",
    );
    fs::remove_file(world.path("vision/key.pem")).unwrap();
    as_nobody(&world, &["run", "train.py"]).ok();
}

#[test]
fn a_folder_that_changes_while_it_is_sent_makes_no_image() {
    let world = World::new();
    // docker appends to the script before it reads; large enough that it can't all be in the pipe
    world.write("vision/a.bin", vec![0; 1 << 20]);
    world.first("'docker buildx build'*", r#"echo more >>"$world/vision/train.py""#);
    world.run(&["run", "train.py"]).fails(
        1,
        "error: `train.py` changed while it was read
hint: run the same command again
hint: if something writes to it all the time, list it in `.mrunnerignore`
",
    );
    assert!(world.submissions().is_empty() && world.journals().is_empty());
}

#[test]
fn a_file_that_changes_and_keeps_its_size_is_noticed_as_well() {
    let world = World::new();
    world.write("vision/a.bin", vec![0; 1 << 20]);
    world.first("'docker buildx build'*", r#"echo "print('HELLO')" >"$world/vision/train.py""#);
    world.run(&["run", "train.py"]).fails(
        1,
        "error: the folder changed while it was sent
hint: run the same command again
",
    );
    assert!(world.submissions().is_empty() && world.journals().is_empty());
}

#[test]
fn the_order_on_the_disk_and_times_do_not_matter() {
    let key = |names: [&str; 2]| {
        let world = World::new();
        for name in names {
            world.write(&format!("vision/{name}"), name);
        }
        let tag = world.run(&["run", "--dry-run", "train.py"]).ok().stdout;
        fs::remove_dir_all(world.path("vision")).unwrap();
        tag.lines().find(|l| l.contains("--tag")).unwrap().to_owned()
    };
    assert_eq!(key(["x.py", "y.py"]), key(["y.py", "x.py"]));
}
