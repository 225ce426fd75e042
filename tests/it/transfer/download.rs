//! What a download brings.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, UNIX_EPOCH};

use sha2::Digest;

use super::{assert_same, bytes, tree, world};
use crate::support::program;

/// The folder that a download without a destination makes.
pub const HERE: &str = "vision/train-1";

#[test]
fn all_of_it_arrives_and_a_second_time_nothing_moves() {
    let world = world();
    let volume = world.path("volume/train-1");
    world.write("volume/train-1/0/metrics.json", "{}");
    world.write("volume/train-1/0/checkpoints/a", bytes(10_000_000, 1));
    for i in 0..700 {
        world.write(&format!("volume/train-1/0/many/{i}"), bytes(i, i as u64));
    }
    world.write("volume/train-1/1/empty", "");
    world.write("volume/train-1/1/tool", "#!/bin/sh");
    fs::set_permissions(volume.join("1/tool"), fs::Permissions::from_mode(0o555)).unwrap();
    fs::create_dir(volume.join("2")).unwrap();
    symlink("../0/metrics.json", volume.join("1/latest")).unwrap();
    symlink("loop", volume.join("1/loop")).unwrap();
    // a hole of a GiB would take long; one of some MiB is a hole as well
    let sparse = fs::File::create(volume.join("1/sparse")).unwrap();
    sparse.set_len(9 << 20).unwrap();
    let then = UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    fs::File::options().write(true).open(volume.join("0/metrics.json")).unwrap().set_modified(then).unwrap();

    let outcome = world.run(&["download", "train-1"]).ok();
    assert_eq!(outcome.stdout, "train-1\n");
    assert!(outcome.stderr.contains("fetched   705 files, "), "{}", outcome.stderr);
    assert_same(&volume, &world.path(HERE));
    let here = |below: &str| world.path(HERE).join(below).symlink_metadata().unwrap();
    assert_eq!(here("0/metrics.json").modified().unwrap(), then);
    // its owner can always write it
    assert_eq!(here("1/tool").mode() & 0o777, 0o755);

    let again = world.run(&["download", "train-1"]).ok();
    assert!(again.stderr.contains("fetched   0 files, 0 B in "), "{}", again.stderr);
    assert!(again.stderr.contains("; 705 already present\n"), "{}", again.stderr);
}

#[test]
fn a_point_a_file_and_a_path_have_their_own_names_here() {
    let world = world();
    world.write("volume/train-1/0/metrics.json", "{}");
    world.write("volume/data/a", "a");
    assert_eq!(world.run(&["download", "train-1/0"]).ok().stdout, "0\n");
    assert_eq!(world.run(&["download", "train-1/0/metrics.json"]).ok().stdout, "metrics.json\n");
    assert_eq!(world.run(&["download", "train-1/0/metrics.json", "m"]).ok().stdout, "m\n");
    fs::create_dir(world.path("vision/folder")).unwrap();
    assert_eq!(world.run(&["download", "train-1/0/metrics.json", "folder"]).ok().stdout, "folder/metrics.json\n");
    assert_eq!(world.run(&["download", "vision:data", "x/y"]).ok().stdout, "x/y\n");
    assert_eq!(world.run(&["download", "vision:"]).ok().stdout, "vision\n");
    for file in ["0/metrics.json", "metrics.json", "m", "folder/metrics.json", "vision/train-1/0/metrics.json"] {
        assert_eq!(world.read(&format!("vision/{file}")), "{}", "{file}");
    }
    assert_eq!(world.read("vision/x/y/a"), "a");
    assert!(!world.path("vision/.mrunner-part").exists() && !world.path("vision/folder/.mrunner-part").exists());
}

#[test]
fn a_run_is_found_by_its_job_or_by_its_project() {
    let mut world = world();
    world.write("volume/train-1/0/a", "a");
    let mut job = crate::objects::job("train-1", "Running");
    job["spec"]["template"]["spec"]["volumes"] =
        serde_json::json!([{"name": "storage", "persistentVolumeClaim": {"claimName": "storage"}}]);
    job["spec"]["template"]["spec"]["securityContext"] = serde_json::json!({"runAsUser": 1234, "runAsGroup": 5});
    let image = format!("registry.test:5000/vision/train@sha256:{:064}", 7);
    job["spec"]["template"]["spec"]["containers"][0]["image"] = image.as_str().into();
    world.shows(&[job]);
    world.run(&["download", "train-1"]).ok();
    let helper = world.job();
    let pod = &helper["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["image"], image);
    assert_eq!((&pod["securityContext"]["runAsUser"], &pod["securityContext"]["fsGroup"]), (&1234.into(), &5.into()));
    assert_eq!(helper["metadata"]["namespace"], "vision");

    let elsewhere = super::world();
    let unknown = elsewhere.run(&["--namespace", "other", "download", "train-1"]);
    assert!(unknown.code == 1 && unknown.stderr.contains("there is no claim `storage-vision`"), "{unknown:?}");
    elsewhere.write("volume/train-1/0/a", "a");
    elsewhere.run(&["download", "--project", "vision", "train-1"]).ok();
    assert_eq!(elsewhere.read("vision/train-1/0/a"), "a");
}

#[test]
fn names_of_all_kinds_arrive_and_none_reaches_the_terminal_raw() {
    let world = world();
    let volume = world.path("volume/train-1");
    fs::create_dir_all(&volume).unwrap();
    let longest = "n".repeat(255);
    let names: Vec<&[u8]> = vec![
        b"a\nerror: b",
        b"\x1b[31mred",
        b"inv\xff\xfealid",
        longest.as_bytes(),
        b"-rf",
        b" ",
        b"a:b",
        b"\\",
        b"...",
        b"\xe2\x80\xaeturned",
    ];
    for name in &names {
        fs::write(volume.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let deep = (0..30).fold(volume.clone(), |path, _| path.join("d".repeat(100)));
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("bottom"), "x").unwrap();
    for special in ["\x1b[32mfifo", "z"] {
        assert!(program("mkfifo").arg(volume.join(special)).status().unwrap().success());
    }
    let outcome = world.run(&["download", "train-1"]).ok();
    assert!(!outcome.stderr.contains('\x1b'), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("warning: `\"train-1/\\u{1b}[32mfifo\"`: not copied: a device, socket or FIFO\n"),
        "{}",
        outcome.stderr
    );
    let mut expected = tree(&volume);
    expected.retain(|_, content| content != b"?");
    assert!(tree(&world.path(HERE)) == expected);
    let listed = world.run(&["ls", "train-1"]).ok();
    assert!(!listed.stdout.contains('\x1b') && listed.stdout.contains(r#""a\nerror: b""#), "{}", listed.stdout);
}

#[test]
fn what_is_here_and_newer_is_kept() {
    let world = world();
    world.write("volume/train-1/a", "there");
    world.write("volume/train-1/b", "there");
    world.run(&["download", "train-1"]).ok();
    world.write("vision/train-1/a", "changed by hand");
    let kept = world.run(&["download", "train-1"]);
    assert!(
        kept.code == 1
            && kept.stderr.contains("`train-1/a`: the file here is newer; pass `--overwrite` to replace it\n")
    );
    assert_eq!(world.read("vision/train-1/a"), "changed by hand");
    world.run(&["download", "--overwrite", "train-1"]).ok();
    assert_eq!(world.read("vision/train-1/a"), "there");
    // what is older is replaced without a word
    world.write("vision/train-1/b", "old");
    let old = fs::File::options().write(true).open(world.path("vision/train-1/b")).unwrap();
    old.set_modified(UNIX_EPOCH).unwrap();
    world.run(&["download", "train-1"]).ok();
    assert_eq!(world.read("vision/train-1/b"), "there");
}

#[test]
fn contents_are_compared_where_that_is_asked_for() {
    let world = world();
    world.write("volume/train-1/large", bytes(9_000_000, 1));
    world.write("volume/train-1/small", "there");
    world.run(&["download", "train-1"]).ok();
    for file in ["large", "small"] {
        // the same size and time, and another byte
        let path = world.path(HERE).join(file);
        let time = path.metadata().unwrap().modified().unwrap();
        let mut content = fs::read(&path).unwrap();
        content[3] ^= 1;
        fs::write(&path, content).unwrap();
        fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    }
    let blind = world.run(&["download", "train-1"]).ok();
    assert!(blind.stderr.contains("2 already present"), "{}", blind.stderr);
    // a longer part of a former time
    let digest = data_encoding::HEXLOWER.encode(&sha2::Sha256::digest("small"));
    world.write(&format!("vision/train-1/.mrunner-part/{}", &digest[..32]), "much longer than it should be");
    let seeing = world.run(&["download", "--checksum", "train-1"]).ok();
    assert!(seeing.stderr.contains("fetched   2 files, "), "{}", seeing.stderr);
    assert_same(&world.path("volume/train-1"), &world.path(HERE));
    assert!(world.run(&["download", "--checksum", "train-1"]).ok().stderr.contains("2 already present"));
}

#[test]
fn a_file_that_changes_is_read_again_and_told() {
    let world = world();
    world.write("volume/train-1/log", bytes(30_000_000, 1));
    world.write("hook", "printf more >>volume/train-1/log");
    world.write("faults/1", "hook 2000000");
    let outcome = world.run(&["download", "train-1"]).ok();
    assert!(outcome.stderr.contains("fetched   1 file, "), "{}", outcome.stderr);
    assert_same(&world.path("volume/train-1"), &world.path(HERE));

    // one that never stands still
    let busy = world.path("volume/train-1/log");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writer = std::thread::spawn(move || {
        while stopped.recv_timeout(Duration::from_millis(5)).is_err_and(|e| e == RecvTimeoutError::Timeout) {
            use std::io::Write;
            fs::File::options().append(true).open(&busy).unwrap().write_all(b"more").unwrap();
        }
    });
    let moving = world.run(&["download", "train-1"]);
    drop(stop);
    writer.join().unwrap();
    let told = "`train-1/log`: the file kept changing while it was read: the copy mixes several versions\n";
    assert!(moving.code == 1 && moving.stderr.contains(told), "{}", moving.stderr);
    // what came is what was there, as far as it goes
    let (there, here) =
        (fs::read(world.path("volume/train-1/log")).unwrap(), fs::read(world.path("vision/train-1/log")).unwrap());
    assert!(there.starts_with(&here) && here.len() >= 30_000_004, "{}", here.len());
    world.run(&["download", "train-1"]).ok();
    assert_same(&world.path("volume/train-1"), &world.path(HERE));
}

#[test]
fn a_file_that_shrinks_or_goes_is_told() {
    let world = world();
    world.write("volume/train-1/a", bytes(30_000_000, 1));
    world.write("hook", "head -c 100000 volume/train-1/a >a; cat a >volume/train-1/a");
    world.write("faults/1", "hook 2000000");
    world.run(&["download", "train-1"]).ok();
    assert!(fs::read(world.path("vision/train-1/a")).unwrap() == bytes(100_000, 1));

    let world = super::world();
    world.write("volume/train-1/a", bytes(100, 1));
    world.write("volume/train-1/b", "b");
    world.write("hook", "rm volume/train-1/a");
    // behind the list, and before what is asked for
    world.write("faults/1", "hook 200");
    let gone = world.run(&["download", "train-1"]);
    assert!(
        gone.code == 1 && gone.stderr.contains("`train-1/a`: the file was removed from the storage meanwhile\n"),
        "{}",
        gone.stderr
    );
    assert_eq!(world.read("vision/train-1/b"), "b");
}

#[test]
fn what_may_not_be_read_is_told_and_the_rest_comes() {
    let world = world();
    if world.path("").metadata().unwrap().uid() != 0 {
        return;
    }
    // the helper is somebody else, who gets as far as the volume
    world.write("as-nobody", "");
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    world.write("volume/train-1/secret", "x");
    world.write("volume/train-1/closed/x", "x");
    world.write("volume/train-1/open", "x");
    fs::set_permissions(world.path("volume/train-1/secret"), fs::Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(world.path("volume/train-1/closed"), fs::Permissions::from_mode(0o700)).unwrap();
    let outcome = world.run(&["download", "train-1"]);
    assert_eq!(outcome.code, 1);
    for words in ["`train-1/secret`: Permission denied\n", "`train-1/closed`: Permission denied\n"] {
        assert!(outcome.stderr.contains(words), "no {words}: {}", outcome.stderr);
    }
    assert_eq!(world.read("vision/train-1/open"), "x");
    let listed = world.run(&["ls", "-R", "train-1"]);
    assert!(listed.code == 1 && listed.stderr.contains("`train-1/closed`: Permission denied\n"), "{listed:?}");
}
