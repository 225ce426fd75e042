//! Where a download may write.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use sha2::Digest;

use super::download::HERE;
use super::{assert_same, bytes, tree, world};
use crate::support::program;

#[test]
fn nothing_is_made_outside_of_the_destination() {
    let world = world();
    let volume = world.path("volume/train-1");
    world.write("volume/train-1/dir/planted", "evil");
    world.write("volume/train-1/file", "evil");
    world.write("outside/precious", "mine");
    symlink("/etc/passwd", volume.join("absolute")).unwrap();
    symlink("../../outside", volume.join("dir/out")).unwrap();
    symlink("..", volume.join("up")).unwrap();
    symlink("self/..", volume.join("through")).unwrap();
    symlink("dir/planted", volume.join("good")).unwrap();
    // what is here leads out already
    fs::create_dir_all(world.path(HERE)).unwrap();
    symlink("../../outside", world.path(HERE).join("dir")).unwrap();
    symlink("../../outside/precious", world.path(HERE).join("file")).unwrap();
    let outcome = world.run(&["download", "train-1"]);
    assert_eq!(outcome.code, 1);
    for words in [
        "`train-1/absolute`: the link points to `/etc/passwd`, outside of the download\n",
        "`train-1/up`: the link points to `..`, outside of the download\n",
        "`train-1/through`: the link points to `self/..`, outside of the download\n",
        "`train-1/file`: a link or special file is in its place here; pass `--overwrite` to replace it\n",
    ] {
        assert!(outcome.stderr.contains(&format!("warning: {words}")), "no {words}: {}", outcome.stderr);
    }
    assert!(outcome.stderr.contains("/dir` is a link\n"), "{}", outcome.stderr);
    assert!(outcome.stderr.ends_with(
        "error: not all of it is here, see above\nhint: the same command fetches what is missing, once that is mended\n"
    ));
    assert_eq!(tree(&world.path("outside")).len(), 1);
    assert_eq!(world.read("outside/precious"), "mine");
    assert_eq!(fs::read_link(world.path(HERE).join("good")).unwrap(), Path::new("dir/planted"));
    // a link is replaced, never written through
    world.run(&["download", "--overwrite", "train-1"]);
    assert_eq!(world.read("outside/precious"), "mine");
    assert!(world.path(HERE).join("file").symlink_metadata().unwrap().is_file());
}

#[test]
fn a_destination_that_can_not_be_is_refused() {
    let world = world();
    world.write("volume/train-1/a", "a");
    world.write("vision/file", "mine");
    let outcome = world.run(&["download", "train-1", "file"]);
    outcome.fails(
        2,
        "error: `file` is a file, and `train-1` is a folder\nhint: name a folder, or a path that does not exist\n",
    );
    let outcome = world.run(&["download", "train-1", "file/x"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("error: `file/x` can't be a folder: a file is in its place\n"),
        "{outcome:?}"
    );
    assert_eq!(world.read("vision/file"), "mine");
    let missing = world.run(&["download", "train-1/7"]);
    missing.fails(1, "error: there is no `train-1/7` in the storage (claim `storage`)\nhint: see what there is with `kubectl mrunner ls vision:`\n");
    symlink("a", world.path("volume/train-1/link")).unwrap();
    let link = world.run(&["download", "train-1/link"]);
    link.fails(1, "error: `train-1/link` is a link to `a`\nhint: name the target of the link\n");
    let through = world.run(&["download", "train-1/link/x"]);
    assert!(through.code == 1 && !through.stderr.contains("fetched"), "{through:?}");
    for (words, told) in [
        (&["download", "vision:../x"][..], "error: the path `../x` has `..` in it\n"),
        (&["download", "/etc"], "error: `/etc` is not a path in the storage\n"),
        (&["download", ":"], "error: where to?\n"),
        (&["download", "--parallel", "0", "train-1"], "error: invalid value '0'"),
    ] {
        let outcome = world.run(words);
        assert!(outcome.code == 2 && outcome.stderr.contains(told), "{words:?}: {outcome:?}");
    }
}

#[test]
fn two_at_once_into_one_place_are_kept_apart() {
    let mut world = world();
    world.write("volume/train-1/a", bytes(3_000_000, 1));
    world.write("faults/1", "hang 500000");
    world.env("MRUNNER_TEST_PATIENCE", "1");
    let first = world.start(&["download", "train-1"]);
    crate::support::wait_until("a part", || world.path(HERE).join(".mrunner-part").exists());
    let second = world.run(&["download", "train-1"]);
    first.signal("INT");
    assert_eq!(first.end().code, 130);
    assert!(second.stderr.contains("error: another download is writing into `train-1`\n"), "{second:?}");
}

/// A folder as somebody else hands it out: each file of ours in it is a link to a file of the user's.
#[test]
fn a_folder_of_somebody_else_leads_no_part_and_no_lock_elsewhere() {
    let world = world();
    world.write("volume/ds/readme", "attacker's text");
    world.write("volume/ds/large", bytes(9 << 20, 4));
    world.write("volume/ds/deep/er", "attacker's text");
    world.write("home/.bashrc", "mine");
    let data = world.path("vision/data");
    let part = |name: &str| {
        let digest = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest(name));
        data.join(".mrunner-part").join(&digest[..32])
    };
    let names = [
        part("readme"),
        part("large"),
        part("deep/er"),
        part("x").with_file_name("lock"),
        part("x").with_file_name("case"),
    ];
    let kinds: [&dyn Fn(&Path); 5] = [
        &|at| symlink("../../../home/.bashrc", at).unwrap(),
        &|at| symlink("../../../home/.new", at).unwrap(),
        &|at| fs::hard_link(world.path("home/.bashrc"), at).unwrap(),
        &|at| assert!(program("mkfifo").arg(at).status().unwrap().success()),
        &|at| symlink("../../../home", at.parent().unwrap().join(at.file_name().unwrap())).unwrap(),
    ];
    for kind in kinds {
        fs::create_dir_all(data.join(".mrunner-part")).unwrap();
        for name in &names {
            kind(name);
        }
        let outcome = world.run(&["download", "vision:ds", "./data"]).ok();
        assert!(outcome.stderr.contains("fetched   3 files"), "{}", outcome.stderr);
        assert_same(&world.path("volume/ds"), &data);
        assert!(tree(&data).values().all(|content| !content.starts_with(b"-> ")));
        assert_eq!(world.read("home/.bashrc"), "mine");
        assert!(!world.path("home/.new").exists());
        fs::remove_dir_all(&data).unwrap();
    }
    // the folder of the parts is a link itself
    fs::create_dir(&data).unwrap();
    symlink("../../home", data.join(".mrunner-part")).unwrap();
    let before = tree(&world.path("home")).len();
    world.run(&["download", "vision:ds", "./data"]).ok();
    assert_same(&world.path("volume/ds"), &data);
    assert_eq!((tree(&world.path("home")).len(), world.read("home/.bashrc").as_str()), (before, "mine"));
}

#[test]
fn a_link_is_written_through_only_if_it_is_named() {
    let world = world();
    world.write("volume/ds/.bashrc", "attacker's text");
    world.write("home/.bashrc", "mine");
    symlink("../home", world.path("vision/ds")).unwrap();
    world.run(&["download", "vision:ds"]).fails(
        2,
        "error: `ds` in this folder is a link\nhint: to write where it leads, name it behind the source: `ds`\n",
    );
    assert_eq!(world.read("home/.bashrc"), "mine");
    fs::create_dir(world.path("elsewhere")).unwrap();
    symlink("../elsewhere", world.path("vision/mine")).unwrap();
    world.run(&["download", "vision:ds", "mine"]).ok();
    assert_eq!(world.read("elsewhere/.bashrc"), "attacker's text");
}
