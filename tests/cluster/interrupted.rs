//! Experiments that are told to end before their work is done, and say 0 all the same.

use serde_json::{Value, json};

use crate::project::{Project, admin, until};

/// Saves where it is on SIGTERM and says 0, goes on from there the next time. The run's second point is at work when
/// it is ended, in a pod of several.
const CHECKPOINTS: &str = "import json, os, signal, sys, time
out = os.environ['MRUNNER_OUTPUT']
file = out + '/checkpoint'
def end(*_):
    open(file, 'w').close()
    print('saved', flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
if os.path.exists(file): print('resumed', flush=True)
elif sys.argv[-1] != '0':
    print('begun', flush=True)
    time.sleep(600)
json.dump({'done': 1}, open(out + '/metrics.json', 'w'))
print('done', flush=True)";

/// The pod that printed `begun`.
fn pod_at_work(project: &Project) -> String {
    let begun = || {
        let pods = project.objects("pods");
        let running = pods.iter().filter(|pod| pod["status"]["phase"] == "Running");
        running.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).find(|name| {
            let logs = project.kubectl(&["logs", name]);
            logs.contains("begun")
        })
    };
    until(begun).expect("a pod at work")
}

/// The states of the points, and the reasons.
fn points(project: &Project, run: &str) -> Vec<(String, String)> {
    let json = project.run(&["results", run, "-o", "json"]).ok().stdout;
    let rows: Vec<Value> = serde_json::from_str(&json).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    rows.iter().map(|row| (text(&row["state"]), text(&row["why"]))).collect()
}

/// The same in an image that has nothing to give a program a process group of its own.
const BARE: &str = r#"FROM python:3
RUN printf '%s\n' '#!/bin/sh' 'trap "echo saved; exit 0" TERM' 'cd "$MRUNNER_OUTPUT"' \
    '[ ! -e checkpoint ] || { echo resumed; echo done; exit 0; }' 'touch checkpoint; echo begun' \
    'while :; do sleep 0.1; done' >/checkpoints && chmod 755 /checkpoints
RUN rm -f /usr/bin/env /usr/bin/setsid /usr/bin/perl* /usr/bin/python3* /usr/local/bin/python3*
"#;

/// Publishes that image.
fn publish_bare(project: &Project) {
    project.write("bare/Dockerfile", BARE);
    let folder = project.path("bare");
    for args in [&["build", "-q", "-t", BARE_IMAGE, folder.to_str().unwrap()][..], &["push", "-q", BARE_IMAGE]] {
        assert!(project.command("docker", args).status().unwrap().success());
    }
}

const BARE_IMAGE: &str = "127.0.0.1:5000/cluster-tests/bare:1";
const IN_BARE: &[&str] = &["--image", BARE_IMAGE, "/checkpoints"];
const ONE: &[&str] = &["train.py", "--", "1"];
const PACKED: &[&str] = &["--grid", "x=0,1", "--points-per-pod", "2", "train.py"];

#[test]
fn an_eviction_is_tried_again_and_costs_nothing() {
    // `kubectl drain` cordons the node, and other tests would see a cluster of one node: tests/run --full asks for it
    let drain = std::env::var_os("MRUNNER_DRAIN").is_some();
    for (args, drained) in [(ONE, drain), (PACKED, false), (IN_BARE, false)] {
        let project = Project::new();
        project.script(CHECKPOINTS);
        if args == IN_BARE {
            publish_bare(&project);
        }
        // not even where the code of an ended program rules out a retry
        let run = project.run(&[&["run", "--retries", "1", "--no-retry-on", "143"], args].concat()).ok().name();
        let pod = pod_at_work(&project);
        if drained {
            let node = project.kubectl(&["get", "pod", &pod, "-o", "jsonpath={.spec.nodeName}"]);
            let selector = format!("--pod-selector=mrunner/run={run}");
            admin(&["drain", &node, &selector, "--ignore-daemonsets", "--delete-emptydir-data"]);
            admin(&["uncordon", &node]);
        } else {
            let eviction = json!({"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": project.namespace}});
            project.write("eviction.json", &eviction.to_string());
            let path = format!("/api/v1/namespaces/{}/pods/{pod}/eviction", project.namespace);
            admin(&["create", "--raw", &path, "-f", project.path("eviction.json").to_str().unwrap()]);
        }
        let logs = project.run(&["logs", "-f", &run]).ok();
        assert!(logs.stdout.ends_with("resumed\ndone\n") || logs.stdout.contains("| resumed\n"), "{logs}");
        assert!(points(&project, &run).iter().all(|(state, _)| state == "Succeeded"));
        // what was cut counts as cut, also where the Job is gone; a volume is looked at with python3
        if args != IN_BARE {
            project.kubectl(&["delete", "job", &run]);
            let row = project.run(&["status", "--no-headers", &run]).ok().stdout;
            assert!(row.contains("Succeeded"), "{row}");
        }
    }
}

#[test]
fn a_pod_or_job_that_is_deleted_is_not_done() {
    for args in [ONE, PACKED] {
        let project = Project::new();
        project.script(CHECKPOINTS);
        let run = project.run(&[&["run"], args].concat()).ok().name();
        let pod = pod_at_work(&project);
        project.kubectl(&["delete", "pod", &pod]);
        project.run(&["logs", "-f", &run]).fails(3, "");
        let last = points(&project, &run).pop().unwrap();
        assert!(last.0 == "Failed" && last.1.contains("143"), "{last:?}");
        // what was cut is run again; a pod that is gone tells nothing of its other points
        project.run(&["rerun", "--failed", "--dry-run", &run]).ok();

        let run = project.run(&[&["run"], args].concat()).ok().name();
        until(|| (pod_at_work(&project).starts_with(&run)).then_some(())).unwrap();
        project.kubectl(&["delete", "job", &run]);
        let row = project.run(&["status", "--no-headers", &run]).ok().stdout;
        assert!(row.contains("Failed"), "{row}");
        let last = points(&project, &run).pop().unwrap();
        assert!(last.0 == "Failed" && last.1.contains("143"), "{last:?}");
    }
}

#[test]
fn a_time_limit_is_never_a_success() {
    for args in [ONE, PACKED] {
        let project = Project::new();
        project.script(CHECKPOINTS);
        let outcome = project.run(&[&["run", "--wait", "--time-limit", "4s"], args].concat()).fails(3, "");
        let run = outcome.name();
        let who = if args == ONE { "it" } else { "a point" };
        let words = format!("`{run}` failed: {who} ran into its time limit\n");
        assert!(outcome.stderr.contains(&words), "{outcome}");
        let last = points(&project, &run).pop().unwrap();
        assert_eq!(last, ("Failed".to_owned(), "it ran into its time limit".to_owned()));
    }
}
