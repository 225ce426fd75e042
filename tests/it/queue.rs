//! Queues of Kueue: asked for before anything is made, and what is said of a run that waits in one.

use serde_json::{Value, json};

use crate::objects::job;
use crate::support::World;

const CONTEXTS: &str = "home/.config/mrunner/config.yaml";

/// The label of the Job that was made.
fn label(world: &World) -> Value {
    let jobs = world.calls_with(" create ").into_iter().map(|call| call.json()).filter(|made| made["kind"] == "Job");
    let runs: Vec<Value> = jobs.filter(|job| job["metadata"]["labels"]["mrunner/run"].is_string()).collect();
    assert_eq!(runs.len(), 1);
    runs[0]["metadata"]["labels"]["kueue.x-k8s.io/queue-name"].clone()
}

fn run(world: &World, queue: &str) -> crate::support::Outcome {
    world.run(&["run", "--queue", queue, "train.py"])
}

#[test]
fn a_queue_that_is_there_is_waited_in() {
    let world = World::new();
    run(&world, "research").ok();
    assert_eq!(label(&world), "research");
    assert_eq!(world.calls_with(" get localqueues").len(), 1);
    let world = World::new();
    world.run(&["run", "train.py"]).ok();
    assert_eq!(world.calls_with(" get localqueues").len(), 0);
}

#[test]
fn a_queue_that_is_not_is_told_before_anything_is_made() {
    let mut world = World::new();
    run(&world, "reserch").fails(
        2,
        "error: there is no queue `reserch` in the namespace `vision`
hint: did you mean `research`?
hint: there are `research`
",
    );
    world.on("*' get localqueues'*", "exit 0");
    run(&world, "research").fails(
        2,
        "error: there is no queue `research` in the namespace `vision`
hint: it has none; ask who looks after the cluster for a LocalQueue of Kueue in `vision`
",
    );
    assert!(world.calls_with(" create ").is_empty() && world.calls_with(" apply ").is_empty());
}

#[test]
fn without_kueue_the_run_is_a_plain_job() {
    let mut world = World::new();
    world.on(
        "*' get localqueues'*",
        r#"echo "error: the server doesn't have a resource type \"localqueues\"" >&2; exit 1"#,
    );
    let outcome = run(&world, "research").ok();
    assert!(
        outcome.stderr.contains(
            "warning: Kueue is not in this cluster: the run does not wait in the queue `research`, but starts at once\n"
        ),
        "{}",
        outcome.stderr
    );
    assert_eq!(label(&world), Value::Null);
}

#[test]
fn who_may_not_look_is_not_held_up() {
    let mut world = World::new();
    world.on("*' get localqueues'*", &crate::storage::forbidden("list", "localqueues"));
    run(&world, "research").ok();
    assert_eq!(label(&world), "research");
}

#[test]
fn status_shows_what_kueue_says() {
    let mut held = job("train-x", "Pending");
    held["spec"]["suspend"] = true.into();
    held["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] = "research".into();
    let mut world = World::new();
    world.shows(&[held]);
    let workload = json!({"kind": "List", "items": [{"kind": "Workload", "metadata": {"name": "job-train-x"}, "status": {"conditions": [{"type": "QuotaReserved", "status": "False",
        "reason": "Pending", "message": "couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default, 2 more needed"}]}}]});
    world.write("workload.json", workload.to_string());
    world.on("*' get workloads.kueue.x-k8s.io '*", r#"cat "$world/workload.json"; exit 0"#);
    let shown = world.run(&["status", "train-x"]).ok().stdout;
    assert!(
        shown.trim_end().ends_with("the queue `research` holds it back: couldn't assign flavors to pod set main: insufficient unused quota for cpu in flavor default, 2 more needed"),
        "{shown}"
    );
    assert!(world.calls_with("workloads")[0].line().contains(" -l kueue.x-k8s.io/job-uid=uid-train-x "));
    world.run(&["status"]).ok();
    assert_eq!(world.calls_with("get workloads").len(), 1, "only of a single run");
    // a Kueue that tells who waits
    let pending = json!({"items": [{"metadata": {"name": "other"}, "positionInClusterQueue": 0}, {"metadata": {"name": "job-train-x"}, "positionInClusterQueue": 4}]});
    world.write("pending.json", pending.to_string());
    let path = "visibility.kueue.x-k8s.io/v1beta1/namespaces/vision/localqueues/research/pendingworkloads";
    world.on(&format!("*'{path}'*"), r#"cat "$world/pending.json"; exit 0"#);
    let shown = world.run(&["status", "train-x"]).ok().stdout;
    assert!(shown.contains("the queue `research` holds it back, with 4 before it: couldn't"), "{shown}");
    world.on("*' get workloads.kueue.x-k8s.io '*", "exit 1");
    assert!(world.run(&["status", "train-x"]).ok().stdout.contains("the queue `research` holds it back"));
}

/// What `doctor` says, without its columns' widths.
fn looked(world: &World, code: i32) -> String {
    let outcome = world.run(&["doctor"]);
    assert_eq!(outcome.code, code, "{}", outcome.stdout);
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ") + "\n";
    outcome.stdout.lines().map(words).collect()
}

#[test]
fn doctor_looks_at_the_queue_of_the_context() {
    let mut world = crate::doctor::well();
    let contexts = world.read(CONTEXTS);
    world.write(CONTEXTS, format!("{contexts}    queue: research\n"));
    let told = looked(&world, 0);
    assert!(told.contains("\nok queue `research` is there\n"), "{told}");
    let allowed = json!([{"apiGroups": ["", "batch"], "resources": ["*"], "verbs": ["*"]}]);
    crate::doctor::may(&mut world, &allowed, false);
    let told = looked(&world, 0);
    assert!(
        told.contains("\nwarning rights you may not list workloads, to say why a queue holds a run back\n"),
        "{told}"
    );
    assert!(told.contains("rbac -n vision --queue --for-user USER"), "{told}");
    world.write(CONTEXTS, format!("{contexts}    queue: reserch\n"));
    let missing = looked(&world, 1);
    assert!(missing.contains("\nfailed queue there is no queue `reserch` in the namespace `vision`\n"), "{}", missing);
    assert!(missing.contains("did you mean `research`?"), "{}", missing);
    let plain = "echo \"error: the server doesn't have a resource type \\\"localqueues\\\"\" >&2; exit 1";
    world.on("*' get localqueues'*", plain);
    let told = looked(&world, 0);
    assert!(told.contains("\nwarning queue Kueue is not in this cluster: runs do not wait in `reserch`"), "{told}");
    world.on("*' get localqueues'*", &crate::storage::forbidden("list", "localqueues"));
    let told = looked(&world, 0);
    assert!(told.contains("\nok queue `reserch`; you may not look"), "{told}");
    let role = world.run(&["rbac", "-n", "lab", "--queue"]).ok().stdout;
    assert!(role.contains("# list localqueues: to see before a run that its queue is there; optional\n"), "{role}");
}
