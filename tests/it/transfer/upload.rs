//! What is sent, what is left out, and what is never touched.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::time::{Duration, UNIX_EPOCH};

use super::{assert_same, bytes, tree, world};
use crate::support::program;

#[test]
fn all_of_it_is_sent_and_a_second_time_nothing_moves() {
    let world = world();
    world.write("vision/data/large", bytes(10_000_000, 1));
    for i in 0..300 {
        world.write(&format!("vision/data/many/{i}"), bytes(i, i as u64));
    }
    world.write("vision/data/bin/tool", "#!/bin/sh");
    fs::set_permissions(world.path("vision/data/bin/tool"), fs::Permissions::from_mode(0o750)).unwrap();
    fs::create_dir(world.path("vision/data/empty")).unwrap();
    symlink("../large", world.path("vision/data/many/link")).unwrap();
    let then = UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    fs::File::options().write(true).open(world.path("vision/data/many/7")).unwrap().set_modified(then).unwrap();
    let outcome = world.run(&["upload", "data", "vision:sets/data"]).ok();
    assert_eq!(outcome.stdout, "vision:sets/data\n");
    assert!(outcome.stderr.contains("sent      302 files, "), "{}", outcome.stderr);
    assert_same(&world.path("vision/data"), &world.path("volume/sets/data"));
    let there = |below: &str| world.path("volume/sets/data").join(below).metadata().unwrap();
    assert_eq!(there("many/7").modified().unwrap(), then);
    assert_eq!(there("bin/tool").mode() & 0o777, 0o750);
    assert!(!world.path("volume/.mrunner/upload").exists());
    let again = world.run(&["upload", "data", "vision:sets/data"]).ok();
    assert!(again.stderr.contains("sent      0 files, 0 B in ") && again.stderr.contains("; 302 already present\n"));
    // the helper could write, and had no more than it needs
    let job = world.calls_with(" create ")[0].json();
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["volumes"][0]["persistentVolumeClaim"]["readOnly"], false);
}

#[test]
fn it_is_called_as_it_is_asked_to_be() {
    let world = world();
    world.write("vision/words.txt", "words");
    world.write("vision/set/a", "a");
    fs::create_dir(world.path("volume/there")).unwrap();
    for (local, target, told) in [
        ("words.txt", "vision:renamed.txt", "vision:renamed.txt"),
        ("words.txt", "vision:there", "vision:there/words.txt"),
        ("words.txt", "vision:new/", "vision:new/words.txt"),
        ("words.txt", "vision:", "vision:words.txt"),
        ("set", "vision:", "vision:set"),
        ("set", "vision:new/", "vision:new/set"),
        ("set", ":there", "vision:there"),
    ] {
        assert_eq!(world.run(&["upload", local, target]).ok().stdout, format!("{told}\n"));
    }
    let mut files: Vec<String> = tree(&world.path("volume"))
        .into_iter()
        .filter(|(name, content)| content != b"/" && !name.starts_with(b".mrunner"))
        .map(|(name, _)| String::from_utf8(name).unwrap())
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["new/set/a", "new/words.txt", "renamed.txt", "set/a", "there/a", "there/words.txt", "words.txt"]
    );
}

#[test]
fn what_is_there_and_newer_is_kept() {
    let world = world();
    world.write("vision/data/a", "here");
    world.run(&["upload", "data", "vision:data"]).ok();
    world.write("volume/data/a", "changed there");
    let kept = world.run(&["upload", "data", "vision:data"]);
    assert!(
        kept.code == 1
            && kept.stderr.contains("`data/a`: the file in the storage is newer; pass `--overwrite` to replace it\n"),
        "{kept:?}"
    );
    assert_eq!(world.read("volume/data/a"), "changed there");
    world.run(&["upload", "--overwrite", "data", "vision:data"]).ok();
    assert_eq!(world.read("volume/data/a"), "here");
    // the same size and time, and another byte
    let time = world.path("volume/data/a").metadata().unwrap().modified().unwrap();
    world.write("volume/data/a", "hers");
    fs::File::options().write(true).open(world.path("volume/data/a")).unwrap().set_modified(time).unwrap();
    assert!(world.run(&["upload", "data", "vision:data"]).ok().stderr.contains("1 already present"));
    world.run(&["upload", "--checksum", "data", "vision:data"]).ok();
    assert_eq!(world.read("volume/data/a"), "here");
}

#[test]
fn no_link_leads_out_of_the_volume() {
    let world = world();
    world.write("outside/precious", "mine");
    world.write("vision/data/link/planted", "x");
    symlink("../outside", world.path("volume/link")).unwrap();
    fs::create_dir(world.path("volume/data")).unwrap();
    symlink("../../outside", world.path("volume/data/link")).unwrap();
    let outcome = world.run(&["upload", "data", "vision:data"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let outcome = world.run(&["upload", "data/link/planted", "vision:link/planted"]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert_eq!(tree(&world.path("outside")).len(), 1);
    // and none of here that leads out is sent
    symlink("/etc/passwd", world.path("vision/data/absolute")).unwrap();
    symlink("../..", world.path("vision/data/up")).unwrap();
    let outcome = world.run(&["upload", "data", "vision:other"]);
    assert!(outcome.stderr.contains("`other/absolute`: the link points to `/etc/passwd`, outside of the upload\n"));
    assert!(
        world.path("volume/other/up").symlink_metadata().is_err() && world.path("volume/other/link/planted").exists()
    );
}

#[test]
fn what_can_not_be_sent_is_told() {
    let world = world();
    world.write("vision/data/a", "a");
    assert!(program("mkfifo").arg(world.path("vision/data/fifo")).status().unwrap().success());
    world.write("vision/data/.mrunner-part/lock", "");
    fs::create_dir_all(world.path("volume/data/a")).unwrap();
    let outcome = world.run(&["upload", "data", "vision:data"]);
    assert!(outcome.stderr.contains("fifo`: not copied: a device, socket or FIFO\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("`data/a`: the storage has something other than a file in its place\n"));
    assert_eq!(outcome.code, 1);
    for (words, told) in [
        (&["upload", "nope", "vision:x"][..], "error: `nope` can't be read: No such file"),
        (&["upload", "data", "train-1"], "error: `upload` wants a project and a path in its storage\n"),
        (&["upload", "data", "vision:.mrunner/x"], "error: `.mrunner` in the storage belongs to mrunner"),
        (&["upload", "data", "vision:a/../b"], "error: the path `a/../b` has `..` in it\n"),
    ] {
        let outcome = world.run(words);
        assert!(outcome.code == 2 && outcome.stderr.contains(told), "{words:?}: {outcome:?}");
    }
    let folder = world.run(&["upload", "train.py", "vision:data/a"]).ok();
    assert_eq!(folder.stdout, "vision:data/a/train.py\n");
}

#[test]
fn a_file_that_changes_while_it_is_read_is_sent_as_it_is_then() {
    let world = world();
    world.write("vision/data/log", bytes(30_000_000, 1));
    world.write("hook", "printf more >>vision/data/log");
    world.write("faults/1", "hook 2000000");
    world.write("faults/2", "hook 2000000");
    world.run(&["upload", "data", "vision:data"]).ok();
    assert_same(&world.path("vision/data"), &world.path("volume/data"));
}
