//! A run once more, out of what the cluster has of it.

use data_encoding::HEXLOWER;
use mrunner::k8s::manifests::points::PointFiles;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::World;

/// A cluster that has a sweep of five points, as it was submitted, and what became of it.
fn world(more: &[&str], status: &Value, pods: &[Value]) -> World {
    let mut world = World::new();
    let args =
        [&["run", "--grid", "lr=1..5", "--tags", "two words"], more, &["train.py", "--", "--x", "$(y)"]].concat();
    world.run(&args).ok();
    let calls = world.calls();
    let made: Vec<Value> =
        calls.iter().filter(|c| c.line().contains(" create ")).map(super::support::Call::json).skip(1).collect();
    let [mut job, points] = <[Value; 2]>::try_from(made).unwrap();
    job["metadata"]["uid"] = "u-1".into();
    job["metadata"]["labels"]["batch.kubernetes.io/job-name"] = "x".into();
    job["metadata"]["managedFields"] = json!([{}]);
    job["spec"]["suspend"] = false.into();
    job["spec"]["selector"] = json!({"matchLabels": {"batch.kubernetes.io/controller-uid": "u-1"}});
    job["spec"]["template"]["metadata"]["labels"]["batch.kubernetes.io/controller-uid"] = "u-1".into();
    job["status"] = status.clone();
    // what the pods told, with the mark of this run
    let pods: Vec<Value> =
        serde_json::from_str(&json!(pods).to_string().replace("[MARK]", &env(&job, "MRUNNER_MARK"))).unwrap();
    world.write("maps.json", points.to_string());
    world.on("*' get configmap/train-'*", "cat \"$world/maps.json\"; exit 0");
    world.shows(&[&[job], pods.as_slice()].concat());
    std::fs::remove_dir_all(world.path("calls")).unwrap();
    std::fs::create_dir(world.path("calls")).unwrap();
    // on a machine that has never seen it
    std::fs::remove_dir_all(world.path("vision")).unwrap();
    std::fs::create_dir(world.path("vision")).unwrap();
    world
}

fn old(world: &World) -> String {
    let list: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    list["items"][0]["metadata"]["name"].as_str().unwrap().to_owned()
}

fn ended(completed: &str) -> Value {
    json!({
        "completedIndexes": completed,
        "failedIndexes": "1",
        "conditions": [{"type": "Failed", "status": "True", "reason": "FailedIndexes"}],
    })
}

/// The Job and the lines of its points that were submitted.
fn submitted(world: &World) -> (Value, Vec<String>) {
    let (job, data) = submitted_data(world);
    (job, data["points"].as_str().unwrap().lines().map(str::to_owned).collect())
}

/// The Job and what its ConfigMap holds.
fn submitted_data(world: &World) -> (Value, Value) {
    let made: Vec<Value> = world.calls_with(" create ").iter().map(super::support::Call::json).collect();
    let [job, points] = <[Value; 2]>::try_from(made).unwrap();
    (job, points["items"][0]["data"].clone())
}

fn env(job: &Value, name: &str) -> String {
    let all = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    all.iter().find(|v| v["name"] == name).unwrap()["value"].as_str().unwrap().to_owned()
}

#[test]
fn failed_points_are_submitted_as_the_cluster_recorded_them() {
    let world = world(&["--max-failed", "4"], &ended("0,2,4"), &[]);
    let outcome = world.run(&["rerun", &old(&world), "--failed"]).ok();
    assert!(
        outcome.stderr.contains("rerun     train-[ID], 2 of 5 points: 1, 3, as points 0 to 1\n"),
        "{}",
        outcome.stderr
    );
    let (job, lines) = submitted(&world);
    assert!(lines.len() == 2 && lines[0].contains("'2'") && lines[1].contains("'4'"), "{lines:?}");
    let new = job["metadata"]["name"].as_str().unwrap();
    assert!(new != old(&world) && outcome.stdout == "train-[ID]\n");
    let list: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    let before = &list["items"][0];
    let (container, then) = [&job, before].map(|job| &job["spec"]["template"]["spec"]["containers"][0]).into();
    for key in ["image", "command", "securityContext"] {
        assert_eq!(container[key], then[key]);
    }
    let spec = &job["spec"];
    assert_eq!(
        (&spec["completions"], &spec["parallelism"], &spec["maxFailedIndexes"], &spec["suspend"]),
        (&json!(2), &json!(2), &json!(2), &json!(true))
    );
    // nothing of the cluster's own, and nothing of the old run's but its name
    let text = job.to_string();
    assert!(
        !text.contains("batch.kubernetes.io/controller-uid") && !text.contains("u-1") && job.get("status").is_none()
    );
    assert_eq!(text.matches(&old(&world)).count(), 1, "{text}");
    assert_eq!(job["metadata"]["annotations"]["mrunner/rerun-of"], old(&world));
    assert_eq!(job["metadata"]["labels"]["mrunner/run"], new);
    let mark = |job: &Value| env(job, "MRUNNER_MARK");
    let stored: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    assert!(mark(&job).len() == 10 && mark(&job) != mark(&stored["items"][0]));
    assert_eq!(env(&job, "MRUNNER_OUTPUT"), format!("/storage/{new}/$(JOB_COMPLETION_INDEX)"));
    let record: Value = serde_json::from_str(&env(&job, "MRUNNER_RECORD")).unwrap();
    assert_eq!(
        (&record["run"], &record["completions"], &record["tags"]),
        (&json!(new), &json!(2), &json!(["two words"]))
    );
    assert_eq!(world.journals().len(), 0);
}

/// A newer version may have other scripts, and other variables for them.
#[test]
fn a_run_takes_its_own_scripts_along() {
    let world = world(&["--points-per-pod", "2"], &ended("0,2"), &[]);
    let (script, other) = (mrunner::k8s::manifests::job::wrapper(), "echo other");
    let quoted = json!(script).to_string();
    let maps = world.read("maps.json");
    assert_eq!(maps.matches(&quoted).count(), 1);
    world.write("maps.json", maps.replace(&quoted, &json!(other).to_string()));
    let stored: Value = serde_json::from_str(&world.read("maps.json")).unwrap();
    let maps = stored["items"].as_array().unwrap();
    let name = maps[0]["metadata"]["name"].as_str().unwrap();
    let hash = PointFiles::stored(&[name], maps).unwrap().hash();
    let mut list: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    list["items"][0]["metadata"]["annotations"]["mrunner/points-sha256"] = hash.into();
    world.show(list["items"].as_array().unwrap());
    world.run(&["rerun", &old(&world), "--failed"]).ok();
    let (job, data) = submitted_data(&world);
    assert_eq!((&data["wrapper"], &data["pack"]), (&json!(other), &maps[0]["data"]["pack"]));
    let pod = job["spec"]["template"].to_string();
    assert!(pod.contains(r#"{"key":"wrapper","path":"wrapper"}"#) && pod.contains("/mrunner/points/pack"), "{pod}");
}

/// What earlier versions submitted: each pod holds its script, and its `ConfigMap`s hold points alone.
fn as_before(job: &mut Value, maps: &mut Value) {
    let script = mrunner::k8s::manifests::job::wrapper().replace('$', "$$");
    let pod = &mut job["spec"]["template"]["spec"];
    let command = pod["containers"][0]["command"].as_array_mut().unwrap();
    command.splice(..2, ["/bin/sh", "-c", &script, "mrunner"].map(Value::from));
    let volumes = pod["volumes"].as_array_mut().unwrap();
    let points = volumes.iter_mut().find(|volume| volume["name"] == "points").unwrap();
    points["projected"]["sources"][0]["configMap"]["items"].as_array_mut().unwrap().truncate(1);
    maps.as_object_mut().unwrap().retain(|key, _| key == "points");
    let hash = Sha256::digest(maps["points"].as_str().unwrap());
    job["metadata"]["annotations"]["mrunner/points-sha256"] = HEXLOWER.encode(&hash).into();
}

#[test]
fn a_run_of_an_older_version_keeps_its_scripts_in_its_pods() {
    let world = world(&[], &ended("0,2,4"), &[]);
    let mut list: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    let mut maps: Value = serde_json::from_str(&world.read("maps.json")).unwrap();
    as_before(&mut list["items"][0], &mut maps["items"][0]["data"]);
    world.show(list["items"].as_array().unwrap());
    world.write("maps.json", maps.to_string());
    world.run(&["rerun", &old(&world), "--failed"]).ok();
    let (job, data) = submitted_data(&world);
    let command = |job: &Value| job["spec"]["template"]["spec"]["containers"][0]["command"].clone();
    assert_eq!(command(&job), command(&list["items"][0]));
    assert_eq!(data.as_object().unwrap().keys().collect::<Vec<_>>(), ["points"]);
    assert!(!job["spec"]["template"]["spec"]["volumes"].to_string().contains("wrapper"));
}

#[test]
fn all_of_it_or_the_points_that_are_named() {
    let world = world(&[], &ended("0,2,4"), &[]);
    world.run(&["rerun", &old(&world)]).ok();
    assert_eq!(submitted(&world).1.len(), 5);
    for (words, numbers) in [(&["--points", "3,0-1"][..], "0, 1, 3"), (&["--points", "1-2", "--failed"], "1")] {
        let outcome = world.run(&[&["rerun", "--dry-run", &old(&world)], words].concat()).ok();
        assert!(outcome.stderr.contains(&format!(" of 5 points: {numbers}, as point")), "{}", outcome.stderr);
    }
    assert_eq!(world.calls_with(" create ").len(), 2);
}

#[test]
fn of_a_pod_with_several_points_only_those_that_did_not_succeed() {
    let message = "[MARK] 2 0 exit 9 - - \n\n[MARK] 3 7 exit 9 - - \n";
    let pod = json!({
        "kind": "Pod",
        "metadata": {"name": "x", "ownerReferences": [{"uid": "u-1"}],
            "labels": {"batch.kubernetes.io/job-completion-index": "1"}},
        "status": {"phase": "Failed", "containerStatuses": [
            {"name": "experiment", "state": {"terminated": {"exitCode": 7, "message": message}}}]},
    });
    let world = world(&["--points-per-pod", "2"], &ended("0,2"), &[pod]);
    let outcome = world.run(&["rerun", &old(&world), "--failed"]).ok();
    assert!(outcome.stderr.contains(", 1 of 5 points: 3, as point 0\n"), "{}", outcome.stderr);
    let (job, lines) = submitted(&world);
    assert!(lines.len() == 1 && lines[0].contains("'4'"));
    assert_eq!((&job["spec"]["completions"], env(&job, "MRUNNER_POINTS").as_str()), (&json!(1), "1"));
}

#[test]
fn what_can_not_be_done_is_told() {
    let world = world(&[], &ended("0-4"), &[]);
    let run = old(&world);
    world.run(&["rerun", &run, "--failed"]).fails(
        1,
        "error: nothing of the run `train-[ID]` failed: its points have all succeeded
hint: submit it as a whole with `kubectl mrunner rerun train-[ID]`
",
    );
    world
        .run(&["rerun", &run, "--points", "5"])
        .fails(2, "error: the run `train-[ID]` has no point 5\nhint: its points are 0 to 4\n");
    world
        .run(&["rerun", &run, "--points", "x"])
        .fails(2, "error: `x` is no number of a point\nhint: write them such as `--points 3,7-9`\n");
    let mut list: Value = serde_json::from_str(&world.read("runs.json")).unwrap();
    list["items"][0]["status"] = json!({});
    world.show(list["items"].as_array().unwrap());
    world.run(&["rerun", &run]).fails(
        1,
        "error: the run `train-[ID]` has not ended: it is pending
hint: wait for it with `kubectl mrunner logs -f -n vision train-[ID]`
hint: or end it with `kubectl mrunner delete -n vision train-[ID]`
",
    );
    list["items"][0]["status"] = ended("");
    world.show(list["items"].as_array().unwrap());
    let whole = world.read("maps.json");
    world.write("maps.json", whole.replace("'3'", "'3' \\\"$(id)\\\""));
    world.run(&["rerun", &run]).fails(
        1,
        "error: the points of the run `train-[ID]` are not those that it was submitted with
  cause: somebody has replaced its ConfigMaps, which hold commands that its pods run
hint: submit the run anew from its folder, with `kubectl mrunner run`
",
    );
    world.write("maps.json", whole.replace("\"wrapper\":\"", "\"wrapper\":\"id; "));
    let replaced = world.run(&["rerun", &run]);
    assert!(replaced.code == 1 && replaced.stderr.contains("are not those that it was submitted with"), "{replaced:?}");
    world.write("maps.json", "");
    world.run(&["rerun", &run]).fails(
        1,
        "error: the points of the run `train-[ID]` are not all in the cluster any more
hint: see what is there with `kubectl get configmaps -n vision`
",
    );
    world.show(&[]);
    world.run(&["rerun", &run]).fails(
        1,
        "error: no run is called `train-[ID]` in the cluster
hint: see the runs with `kubectl mrunner status`
",
    );
    assert!(world.calls_with(" create ").is_empty());
}

#[test]
fn it_is_submitted_once_whatever_happens_on_the_way() {
    let mut world = world(&[], &ended("0,2,4"), &[]);
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    world.on("*' create '*", "echo 'Unable to connect to the server: EOF' >&2; exit 1");
    let outcome = world.run(&["rerun", &old(&world), "--failed"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("it is unclear whether the run `train-[ID]` was submitted"),
        "{outcome:?}"
    );
    let first = world.calls_with(" create ")[0].json();
    let run = world.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    world.on("*' create '*", "cat \"$call.stdin\"; exit 0");
    world.run(&["run", "--resume", &run]).ok();
    let calls = world.calls_with(" create ");
    let last: Vec<Value> = calls[calls.len() - 2..].iter().map(super::support::Call::json).collect();
    assert_eq!(last[0], first);
    assert_eq!(last[1]["items"][0]["data"]["points"].as_str().unwrap().lines().count(), 2);
    assert_eq!(world.journals().len(), 0);
}

#[test]
fn a_run_of_one_point_needs_no_points() {
    let mut world = World::new();
    world.run(&["run", "train.py"]).ok();
    let mut job = world.job();
    job["status"] = json!({"conditions": [{"type": "Failed", "status": "True"}]});
    world.shows(&[job.clone()]);
    let run = job["metadata"]["name"].as_str().unwrap();
    for words in [&["rerun", run][..], &["rerun", run, "--failed"], &["rerun", run, "--points", "0"]] {
        let outcome = world.run(words).ok();
        assert!(outcome.stderr.contains("\nrerun     train-[ID]\n"), "{}", outcome.stderr);
    }
    let made = world.submissions();
    assert_eq!((made.len(), world.calls_with(" get configmap/").len()), (4, 0));
    assert!(made[3].json()["spec"].get("suspend").is_none());
}
