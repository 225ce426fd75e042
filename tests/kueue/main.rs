//! The program against a real Kueue in the cluster of `tests/cluster`: `tests/kueue/kueue up`,
//! then `cargo test --test kueue`.
//!
//! Each test has a namespace, and queues, of its own.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "the other tests on the cluster use more of it")]

#[path = "../cluster/project/mod.rs"]
mod project;

use serde_json::{Value, json};

use crate::project::{Project, admin, until};

/// Runs until somebody makes `/tmp/go` in its container.
const WAITS: &str = "import os, time
print('begun', flush=True)
while not os.path.exists('/tmp/go'): time.sleep(.1)
print('ended', flush=True)";

/// A queue `research` of the project's namespace that lets `cpus` processors be used at once.
struct Queue(String);

impl Queue {
    fn new(project: &Project, cpus: &str) -> Self {
        let name = &project.namespace;
        let version = "kueue.x-k8s.io/v1beta2";
        project.create(&json!({"apiVersion": version, "kind": "ResourceFlavor", "metadata": {"name": name}}));
        let quota = json!([{"name": "cpu", "nominalQuota": cpus}, {"name": "memory", "nominalQuota": "100Gi"}]);
        project.create(&json!({"apiVersion": version, "kind": "ClusterQueue", "metadata": {"name": name}, "spec": {
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
            "resourceGroups": [{"coveredResources": ["cpu", "memory"], "flavors": [{"name": name, "resources": quota}]}]}}));
        project.create(
            &json!({"apiVersion": version, "kind": "LocalQueue", "metadata": {"name": "research", "namespace": name},
            "spec": {"clusterQueue": name}}),
        );
        let is_active = || {
            let queue = admin(&["get", "localqueue", "research", "-n", name, "-o", "json"]);
            let queue: Value = serde_json::from_str(&queue).unwrap();
            queue["status"]["conditions"].to_string().contains(r#""status":"True","type":"Active""#).then_some(())
        };
        until(is_active).unwrap();
        Self(name.clone())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        for kind in ["clusterqueue", "resourceflavor"] {
            admin(&["delete", kind, &self.0, "--wait=false"]);
        }
    }
}

/// The words of `status RUN`, once they hold these.
#[track_caller]
fn status(project: &Project, run: &str, words: &str) -> String {
    let mut last = String::new();
    let found = until(|| {
        last = project.run(&["status", run]).ok().stdout;
        last.contains(words).then_some(())
    });
    assert!(found.is_some(), "no {words:?} in {last}");
    last
}

/// Lets a run of [`WAITS`] end.
fn let_end(project: &Project, run: &str) {
    status(project, run, " Running ");
    project.kubectl(&["exec", &format!("job/{run}"), "--", "touch", "/tmp/go"]);
}

#[test]
fn runs_wait_for_their_turn_and_say_so() {
    let project = Project::new();
    let _queue = Queue::new(&project, "1");
    project.granted("--queue");
    project.script(WAITS);
    let run = ["run", "--queue", "research", "--cpu", "1", "train.py"];
    let first = project.run(&run).ok().name();
    status(&project, &first, " Running ");
    let second = project.run(&run).ok().name();
    let held = status(&project, &second, "the queue `research` holds it back, the next in line: ");
    assert!(held.contains(" Queued ") && held.contains("insufficient unused quota for cpu in flavor"), "{held}");
    let third = project.start(&[&["run", "--follow"], &run[1..]].concat());
    third.says("the queue `research` holds it back, ");
    let names = project.objects("jobs").into_iter().map(|job| job["metadata"]["name"].as_str().unwrap().to_owned());
    let name = names.into_iter().find(|name| ![&first, &second].contains(&name)).unwrap();
    // of two that came within a second, either may be the next
    let places = ["the next in line: ", "with 1 before it: "];
    let in_line = until(|| {
        let shown = [&second, &name].map(|run| project.run(&["status", run]).ok().stdout);
        places.iter().all(|place| shown.iter().any(|words| words.contains(place))).then_some(())
    });
    assert!(in_line.is_some(), "their places are not told");
    let_end(&project, &first);
    let next = until(|| {
        [&second, &name].into_iter().find(|run| project.run(&["status", run]).ok().stdout.contains(" Running "))
    })
    .unwrap();
    let_end(&project, next);
    let_end(&project, if *next == second { &name } else { &second });
    assert_eq!(third.end().ok().stdout, "begun\nended\n");
    for run in [&first, &second, &name] {
        status(&project, run, " Succeeded ");
    }
}

#[test]
fn a_sweep_takes_what_its_queue_lets_it() {
    let mut project = Project::new();
    let _queue = Queue::new(&project, "2");
    project.granted("--queue");
    project.script(
        "import os, sys; print('mrunner: {\"x\": %s, \"secret\": %d}' % (sys.argv[2], len(os.environ['HOME_OF'])))",
    );
    project.env("HOME_OF", "1234567");
    let sweep = ["run", "--queue", "research", "--cpu", "1", "--secret-env", "HOME_OF", "--grid", "x=1..6"];
    let whole = project.run(&[&sweep[..], &["--parallel", "2", "--wait", "train.py"]].concat()).ok().name();
    let results = project.run(&["results", &whole, "--sort", "-x", "--top", "1", "-o", "csv"]).ok().stdout;
    assert!(results.lines().nth(1).unwrap().ends_with(",6,6,7,"), "{results}");
    let again = project.run(&["rerun", &whole, "--points", "2,3", "--wait"]).ok().name();
    assert_eq!(
        project.kubectl(&["get", "job", &again, "-o", "jsonpath={.metadata.labels.kueue\\.x-k8s\\.io/queue-name}"]),
        "research"
    );
    // Kueue lets all that a run has at once go, or nothing
    let wide = project.run(&[&sweep[..], &["--parallel", "3", "train.py"]].concat()).ok().name();
    let held = status(&project, &wide, "the queue `research` holds it back");
    assert!(held.contains("maximum capacity"), "{held}");
    project.run(&["delete", &wide]).ok();
    let gone = || {
        let workloads = project.objects("workloads.kueue.x-k8s.io");
        (!workloads.iter().any(|w| w["metadata"]["ownerReferences"][0]["name"] == wide.as_str())).then_some(())
    };
    assert!(until(gone).is_some(), "its workload stays");
}

#[test]
fn a_queue_that_is_not_there_is_told_and_who_may_not_look_is_believed() {
    let project = Project::new();
    let _queue = Queue::new(&project, "1");
    let run = ["run", "--cpu", "2", "train.py", "--queue"];
    let blind = project.run(&[&run[..], &["research"]].concat()).ok().name();
    status(&project, &blind, "the queue `research` holds it back");
    project.granted("--queue");
    // in Kueue's own words
    status(&project, &blind, "quota for cpu");
    project.run(&[&run[..], &["reserch"]].concat()).fails(
        2,
        &format!(
            "error: there is no queue `reserch` in the namespace `{}`
hint: did you mean `research`?
hint: there are `research`
",
            project.namespace
        ),
    );
    project.context("storage_class: shared\nqueue: research");
    let doctor = project.run(&["doctor"]).stdout;
    assert!(doctor.contains("queue       `research` is there"), "{doctor}");
}
