//! `ls`, `du` and `rm`.

use std::fs::Permissions;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use serde_json::Value;

use super::{bytes, tree, world};

#[test]
fn what_is_there_is_listed() {
    let world = world();
    world.write("volume/train-1/0/metrics.json", "{}");
    world.write("volume/train-1/0/a b", bytes(5000, 1));
    world.write("volume/.mrunner/project.json", "{}");
    symlink("metrics.json", world.path("volume/train-1/0/link")).unwrap();
    let listed = world.run(&["ls", "train-1/0"]).ok().stdout;
    let names: Vec<&str> = listed.lines().map(|line| line.split("   ").last().unwrap().trim()).collect();
    assert_eq!(names, ["NAME", "a b", "link -> metrics.json", "metrics.json"]);
    assert!(listed.lines().nth(1).unwrap().starts_with("4.9 KiB   20"), "{listed}");
    let all = world.run(&["ls", "-R", "--no-headers", "vision:"]).ok().stdout;
    // what mrunner keeps for itself is not shown
    assert!(all.contains("train-1/0/metrics.json\n") && !all.contains(".mrunner") && !all.contains("NAME"), "{all}");
    let json: Value =
        serde_json::from_str(&world.run(&["ls", "-o", "json", "train-1/0/metrics.json"]).ok().stdout).unwrap();
    assert_eq!(json[0]["path"], "train-1/0/metrics.json");
    assert_eq!((&json[0]["type"], &json[0]["size"]), (&"file".into(), &2.into()));
    let empty = world.run(&["ls", "-o", "json", "vision:train-2"]);
    empty.fails(1, "error: there is no `vision:train-2` in the storage (claim `storage`)\nhint: see what there is with `kubectl mrunner ls vision:`\n");
}

#[test]
fn sizes_are_summed_up() {
    let world = world();
    world.write("volume/train-1/0/a", bytes(1000, 1));
    world.write("volume/train-1/0/b/c", bytes(2000, 1));
    world.write("volume/train-1/1/a", bytes(5, 1));
    std::fs::hard_link(world.path("volume/train-1/0/a"), world.path("volume/train-1/0/again")).unwrap();
    let sums: Value = serde_json::from_str(&world.run(&["du", "-o", "json", "train-1"]).ok().stdout).unwrap();
    assert_eq!((&sums["bytes"], &sums["files"]), (&3005.into(), &3.into()));
    assert_eq!((&sums["entries"][0]["path"], &sums["entries"][0]["bytes"]), (&"train-1/0".into(), &3000.into()));
    let table = world.run(&["du", "train-1"]).ok().stdout;
    assert!(table.ends_with("total\n") && table.contains("2.9 KiB   3"), "{table}");
}

#[test]
fn only_what_is_named_and_confirmed_is_removed() {
    let world = world();
    world.write("outside/precious", "mine");
    for file in ["train-1/0/a", "train-1/0/deep/b", "train-1/1/a"] {
        world.write(&format!("volume/{file}"), "x");
    }
    symlink("../../../outside", world.path("volume/train-1/0/out")).unwrap();
    let before = tree(&world.path("volume"));
    let unasked = world.run(&["rm", "train-1/0"]);
    unasked.fails(2, "error: nobody can be asked whether it should go\nhint: say so with `--yes`\n");
    for (word, told) in [
        ("vision:", "the storage is not removed as a whole"),
        ("vision:.mrunner", "`.mrunner` in the storage belongs to mrunner"),
        ("vision:.mrunner/runs/x", "`.mrunner` in the storage belongs to mrunner"),
        ("vision:x/../..", "has `..` in it"),
    ] {
        let refused = world.run(&["rm", "--yes", word]);
        assert!(refused.code == 2 && refused.stderr.contains(told), "{word}: {refused:?}");
    }
    let through = world.run(&["rm", "--yes", "vision:train-1/0/out/precious"]);
    assert_eq!(through.code, 1, "{through:?}");
    let missing = world.run(&["rm", "--yes", "train-1/7"]);
    assert!(missing.code == 1 && missing.stderr.contains("there is no `train-1/7`"), "{missing:?}");
    assert!(before == tree(&world.path("volume")));
    let removed = world.run(&["rm", "--yes", "train-1/0"]).ok();
    assert_eq!(removed.stdout, "train-1/0 removed\n");
    assert!(removed.stderr.contains("removed   3 files, "), "{}", removed.stderr);
    assert_eq!(tree(&world.path("volume")).len(), 3);
    assert_eq!(world.read("outside/precious"), "mine");
}

/// A world with a file of each of these runs, of which one is shown as its objects say.
fn with_run(objects: &[Value]) -> crate::support::World {
    let mut world = world();
    for file in ["train-1/0/a", "train-10/0/a", "data/train-1/a"] {
        world.write(&format!("volume/{file}"), "x");
    }
    symlink("train-1", world.path("volume/link")).unwrap();
    world.shows(objects);
    world
}

#[test]
fn what_is_kept_of_a_run_is_counted_and_goes_with_it() {
    let world = world();
    world.write("volume/train-1/0/a", bytes(1000, 1));
    world.write("volume/train-2/0/a", bytes(1000, 1));
    for run in ["train-1", "train-2", "train-3"] {
        world.write(&format!("volume/.mrunner/runs/{run}/0.pod.log"), bytes(5000, 2));
        world.write(&format!("volume/.mrunner/runs/{run}/run.json"), "{}");
    }
    let sums =
        |word: &str| -> Value { serde_json::from_str(&world.run(&["du", "-o", "json", word]).ok().stdout).unwrap() };
    let (all, one) = (sums("vision:"), sums("train-1"));
    assert_eq!((&all["bytes"], &all["files"]), (&(2000 + 3 * 5002).into(), &8.into()));
    assert_eq!((&all["entries"][2]["path"], &all["entries"][2]["bytes"]), (&".mrunner".into(), &(3 * 5002).into()));
    assert_eq!((&one["bytes"], &one["entries"][1]["path"]), (&6002.into(), &".mrunner/runs/train-1".into()));
    let table = world.run(&["du", "vision:"]).ok().stdout;
    assert!(table.contains("   .mrunner (kept logs and records)\n"), "{table}");
    // a folder in a run, or of another name, has none
    assert_eq!(
        (&sums("train-1/0")["bytes"], &sums("vision:.mrunner/runs")["bytes"]),
        (&1000.into(), &(3 * 5002).into())
    );
    let removed = world.run(&["rm", "--yes", "train-1"]).ok();
    let told = "removed   1 file, 1000 B, and 2 files, 4.9 KiB of kept logs and records\n";
    assert!(removed.stderr.contains(told), "{}", removed.stderr);
    world.run(&["rm", "--yes", "train-2/0"]).ok();
    // of which only that was left
    world.run(&["rm", "--yes", "vision:train-3"]).ok();
    let missing = world.run(&["rm", "--yes", "train-3"]);
    assert!(missing.code == 1 && missing.stderr.contains("there is no `train-3`"), "{missing:?}");
    let left: Vec<String> =
        tree(&world.path("volume/.mrunner/runs")).into_keys().map(|path| String::from_utf8(path).unwrap()).collect();
    assert_eq!(left, ["train-2", "train-2/0.pod.log", "train-2/run.json"]);
}

#[test]
fn what_is_kept_and_can_not_be_looked_at_holds_nothing_up() {
    let world = world();
    for run in ["train-1", "train-2"] {
        world.write(&format!("volume/{run}/0/a"), bytes(1000, 1));
    }
    world.write("volume/elsewhere/runs/train-1/run.json", "{}");
    let passed = "warning: kept logs and records are passed over: `.mrunner/runs/train-";
    for (link, to, run) in [(".mrunner", "elsewhere", "train-1"), (".mrunner/runs", "../elsewhere/runs", "train-2")] {
        std::fs::remove_file(world.path("volume/.mrunner")).ok();
        std::fs::create_dir_all(world.path("volume").join(link).parent().unwrap()).unwrap();
        symlink(to, world.path("volume").join(link)).unwrap();
        let sums = world.run(&["du", run]).ok();
        assert!(sums.stdout.contains("1000 B") && sums.stderr.contains(passed), "{sums:?}");
        let removed = world.run(&["rm", "--yes", run]).ok();
        assert!(
            removed.stderr.contains("removed   1 file, 1000 B\n") && removed.stderr.contains(passed),
            "{removed:?}"
        );
        assert!(!world.path("volume").join(run).exists());
    }
    assert!(world.path("volume/elsewhere/runs/train-1/run.json").exists());
}

#[test]
fn what_of_a_project_can_not_be_removed_is_told_and_the_rest_goes() {
    let mut world = world();
    if world.path("").metadata().unwrap().uid() != 0 {
        return;
    }
    world.on("*' get jobs -l mrunner/run,mrunner/project=vision '*", r#"echo '{"kind": "List", "items": []}'; exit 0"#);
    world.on("*' get namespace/vision pvc/storage '*", r#"cat "$world/claim.json"; exit 0"#);
    for run in ["train-1", "train-2", "train-3"] {
        world.write(&format!("volume/.mrunner/runs/{run}/run.json"), r#"{"project":"vision"}"#);
    }
    // the helper is somebody else, who may write everywhere but in the first
    world.write("as-nobody", "");
    let open = |path: &str| std::fs::set_permissions(world.path(path), Permissions::from_mode(0o777)).unwrap();
    for path in ["", "volume/.mrunner/runs", "volume/.mrunner/runs/train-2", "volume/.mrunner/runs/train-3"] {
        open(path);
    }
    let outcome = world.run(&["project", "delete", "vision", "--confirm", "vision"]).ok();
    assert!(outcome.stderr.contains("storage   deleted 2 files, "), "{outcome:?}");
    let told = "warning: the logs and records of 1 run are still there: `.mrunner/runs/train-1` in the storage: ";
    assert!(outcome.stderr.contains(told), "{outcome:?}");
    let left: Vec<Vec<u8>> = tree(&world.path("volume/.mrunner/runs")).into_keys().collect();
    assert_eq!(left, [&b"train-1"[..], b"train-1/run.json"]);
}

#[test]
fn a_project_takes_along_what_was_kept_of_its_runs() {
    let mut world = world();
    world.on(
        "*' get jobs -l mrunner/run,mrunner/project=vision '*",
        r#"echo '{"kind": "List", "items": [{"kind": "Job", "metadata": {"name": "train-1"}}]}'; exit 0"#,
    );
    world.on("*' delete jobs '*' train-1'", "exit 0");
    // with the namespace and the volume, which are not there
    world.on("*' get namespace/vision pvc/storage '*", r#"cat "$world/claim.json"; exit 0"#);
    for (run, project) in [("train-1", "?"), ("train-2", "vision"), ("train-3", "other"), ("train-4", "?")] {
        world.write(&format!("volume/.mrunner/runs/{run}/run.json"), format!("{{\"project\":\"{project}\"}}"));
        world.write(&format!("volume/{run}/0/a"), "x");
    }
    world.write("volume/.mrunner/project.json", "{}");
    symlink("../../train-3", world.path("volume/.mrunner/runs/link")).unwrap();
    let outcome = world.run(&["project", "delete", "vision", "--confirm", "vision"]).ok();
    assert!(outcome.stderr.contains("storage   deleted 2 files, "), "{}", outcome.stderr);
    let left = tree(&world.path("volume"));
    let is_there = |path: &str| left.contains_key(path.as_bytes());
    for kept in [
        "train-1/0/a",
        "train-2/0/a",
        ".mrunner/project.json",
        ".mrunner/runs/train-3",
        ".mrunner/runs/train-4/run.json",
    ] {
        assert!(is_there(kept), "{kept}");
    }
    assert!(!is_there(".mrunner/runs/train-1") && !is_there(".mrunner/runs/train-2"));
}

#[test]
fn what_a_run_still_writes_is_not_removed() {
    let mut job = crate::objects::job("train-1", "Running");
    job["spec"]["template"]["spec"]["volumes"] =
        serde_json::json!([{"name": "storage", "persistentVolumeClaim": {"claimName": "storage"}}]);
    let pod = || crate::objects::pod("train-1", "Running");
    let mut failed = crate::objects::job("train-1", "Failed");
    failed["spec"] = job["spec"].clone();
    let going = "error: the run `train-1` goes on, and writes there
hint: end it with `kubectl mrunner delete -n vision train-1`
hint: if it was deleted or has ended, wait for its pods: `kubectl --context kube-lab -n vision get pods -l mrunner/run=train-1`
";
    // also where the Job has ended or is gone, and a pod has not
    for objects in [vec![job.clone(), pod()], vec![job.clone()], vec![failed.clone(), pod()], vec![pod()]] {
        let world = with_run(&objects);
        let before = tree(&world.path("volume"));
        for word in [
            "train-1",
            "train-1/0",
            "train-1/0/a",
            "job/train-1",
            "vision:train-1",
            "vision:/train-1/",
            "vision:./train-1//0/./a",
            ":train-1",
        ] {
            world.run(&["rm", "--yes", "--project", "vision", word]).fails(1, going);
        }
        world.write("vision/new", "y");
        for word in ["vision:train-1/0/", "vision:train-1/new", "vision:/train-1/0/a"] {
            world.run(&["upload", "new", word]).fails(1, going);
        }
        // a folder of the run's name that would be sent into the root
        world.write("vision/train-1/0/a", "y");
        world.run(&["upload", "train-1", "vision:"]).fails(1, going);
        let through = world.run(&["rm", "--yes", "vision:link/0"]);
        assert_eq!(through.code, 1, "{through:?}");
        assert!(before == tree(&world.path("volume")));
        for word in ["vision:link", "vision:train-10", "vision:data/train-1"] {
            world.run(&["rm", "--yes", word]).ok();
        }
        assert_eq!(world.read("volume/train-1/0/a"), "x");
    }
    let world = with_run(&[failed, crate::objects::pod("train-1", "Failed")]);
    world.run(&["rm", "--yes", "vision:train-1"]).ok();
    assert!(!world.path("volume/train-1").exists());
}
