//! A sweep in the cluster: a Job that waits, the points that it owns, and letting it go.

use serde_json::Value;

use crate::support::{Call, World, code, program};

const SWEEP: &[&str] = &["run", "--grid", "lr=0.1,0.2", "train.py"];

/// A cluster that keeps one Job, and gives it a uid.
const KEEPS: &str = r#"if grep -q '"PersistentVolumeClaim"' "$call.stdin"; then exit 0; fi
if [ -e "$world/job.json" ]; then echo 'Error from server (AlreadyExists): jobs.batch "x" already exists' >&2; exit 1; fi
sed '0,/"metadata": {/s//"metadata": {"uid": "u-1",/' "$call.stdin" >"$world/job.json"; cat "$world/job.json"; exit 0"#;

fn world() -> World {
    let mut world = World::new();
    world.on("*' create '*", KEEPS);
    world.on("*' get job/'*", r#"cat "$world/job.json"; exit 0"#);
    world.on("*' create '*'--validate=false'*", "echo made; exit 0");
    world.on("*' delete jobs '*", r#"rm -f "$world/job.json"; exit 0"#);
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    world
}

/// The calls that make the points.
fn points(world: &World) -> Vec<Call> {
    world.calls_with("--validate=false")
}

/// That the last call lets the Job go, and that the points are its own.
#[track_caller]
fn complete(world: &World) {
    let job: Value = serde_json::from_str(&world.read("job.json")).unwrap();
    assert_eq!(job["spec"]["suspend"], true);
    let made = &points(world).pop().unwrap().json()["items"][0];
    assert_eq!(made["kind"], "ConfigMap");
    let owner = &made["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"], &owner["name"]),
        (&"Job".into(), &"u-1".into(), &job["metadata"]["name"])
    );
    assert_eq!(made["data"]["points"].as_str().unwrap().lines().count(), 2);
    let last = world.calls_with(" patch job/train-").pop().unwrap().line();
    assert!(last.ends_with(r#" -p {"spec":{"suspend":false}}"#), "{last}");
}

#[test]
fn the_points_belong_to_the_job_which_is_then_let_go() {
    let world = world();
    world.run(SWEEP).ok();
    complete(&world);
    assert_eq!((points(&world).len(), world.journals().len()), (1, 0));
}

#[test]
fn a_job_that_is_refused_its_points_is_taken_back() {
    let mut world = world();
    world.on("*'--validate=false'*", &crate::storage::forbidden("create", "configmaps"));
    let outcome = world.run(SWEEP);
    assert!(outcome.code == 1, "{outcome:?}");
    assert!(
        outcome.stderr.contains(" into the cluster; nothing was submitted\n")
            && outcome.stderr.contains("cannot create resource \"configmaps\""),
        "{outcome:?}"
    );
    assert_eq!((world.calls_with(" delete jobs ").len(), points(&world).len(), world.journals().len()), (1, 1, 0));
    assert!(!world.path("job.json").exists() && world.calls_with(" patch job/").is_empty());
}

#[test]
fn a_connection_that_is_lost_at_the_points_is_tried_again_and_can_be_finished() {
    let mut world = world();
    let lost = "echo 'Unable to connect to the server: EOF' >&2; exit 1";
    let once = format!(r#"if [ ! -e "$world/lost" ]; then : >"$world/lost"; {lost}; fi; exit 0"#);
    world.on("*'--validate=false'*", &once);
    world.run(SWEEP).ok();
    complete(&world);
    assert_eq!(points(&world).len(), 2);
    std::fs::remove_file(world.path("job.json")).unwrap();
    world.on("*'--validate=false'*", lost);
    let outcome = world.run(SWEEP);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("it is unclear whether the run `train-[ID]` was submitted"),
        "{outcome:?}"
    );
    let run = world.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    // some of it may have arrived
    world.on(
        "*'--validate=false'*",
        r#"echo 'Error from server (AlreadyExists): configmaps "x" already exists' >&2; exit 1"#,
    );
    let made = points(&world).pop().unwrap().json();
    world.write("maps.json", made.to_string());
    world.on("*' get configmap/train-'*", "cat \"$world/maps.json\"; exit 0");
    world.run(&["run", "--resume", &run]).ok();
    complete(&world);
    assert_eq!(world.journals().len(), 0);
}

/// The points are commands of a shell in the pods, and everybody who may list Jobs knows the names that they will have.
#[test]
fn points_that_somebody_else_was_faster_to_create_are_not_run() {
    let refused = |maps: &str| {
        let mut world = world();
        world.on(
            "*'--validate=false'*",
            r#"cp "$call.stdin" "$world/own.json"; echo 'Error from server (AlreadyExists): configmaps "x" already exists' >&2; exit 1"#,
        );
        world.on("*' get configmap/train-'*", maps);
        let outcome = world.run(SWEEP);
        let words = "error: the cluster has other points under the name of the run `train-[ID]`\n  cause: somebody else created its ConfigMaps at the same moment\n";
        assert!(outcome.code == 1 && outcome.stderr.contains(words), "{outcome:?}");
        assert!(!world.path("job.json").exists() && world.calls_with(" patch job/").is_empty(), "{:?}", world.calls());
        assert_eq!(world.journals().len(), 0);
    };
    // the same, but it could be changed later
    refused(r#"sed 's/"immutable":true,//g' "$world/own.json"; exit 0"#);
    // a command more, another value, another name, none at all
    refused(r#"sed "s/set -- /id; set -- /" "$world/own.json"; exit 0"#);
    refused(r#"sed 's/0\.2/0.3/g' "$world/own.json"; exit 0"#);
    refused(r#"sed 's/"wrapper":"/&id; /' "$world/own.json"; exit 0"#);
    refused(r#"sed 's/-points-0/-points-1/' "$world/own.json"; exit 0"#);
    refused(r#"echo '{"kind": "List", "items": []}'; exit 0"#);
}

/// A queue may let the Job go before its points are there: its pods would wait for ever.
#[test]
fn points_that_are_refused_after_an_unclear_answer_are_not_there() {
    let mut world = world();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    world.on(
        "*'--validate=false'*",
        r#"sed -i 's/"suspend": true/"suspend": false/' "$world/job.json"
        if [ ! -e "$world/lost" ]; then : >"$world/lost"; echo 'Unable to connect to the server: EOF' >&2; exit 1; fi
        echo 'Error from server (Forbidden): configmaps "x" is forbidden: exceeded quota: q' >&2; exit 1"#,
    );
    let outcome = world.run(SWEEP);
    assert!(outcome.code == 1 && outcome.stderr.contains("exceeded quota"), "{outcome:?}");
    assert!(!world.path("job.json").exists() && world.journals().is_empty(), "{outcome:?}");
}

#[test]
fn a_saved_sweep_is_submitted_by_its_script() {
    let mut world = world();
    world.on("*' get job train-'*", "printf u-1; exit 0");
    world.run(&["run", "--out", "saved", "--grid", "lr=0.1,0.2", "train.py"]).ok();
    assert!(!world.path("job.json").exists());
    let path = format!("{}:/usr/local/bin:/usr/bin:/bin", world.path("bin").display());
    let done = program("sh").arg(world.path("vision/saved/run.sh")).env("PATH", path).output().unwrap();
    assert_eq!(code(done.status), 0, "{}", String::from_utf8_lossy(&done.stderr));
    complete(&world);
}

#[test]
fn many_pods_are_remarked_on() {
    let world = world();
    let run = |more: &[&str]| world.run(&[&["run", "--dry-run"], more, &["train.py"]].concat()).ok().stderr;
    let words = run(&["--grid", "x=1..10000"]);
    assert!(words.contains("10000 pods are more than the 3000") && words.contains(" 16 minutes "), "{words}");
    assert!(words.contains("`--points-per-pod 20`"), "{words}");
    assert!(run(&["--grid", "x=1..100000"]).contains("`--points-per-pod 34`"));
    for quiet in [&["--grid", "x=1..3000"][..], &["--grid", "x=1..10000", "--points-per-pod", "4"]] {
        assert!(!run(quiet).contains(" pods are more "));
    }
}
