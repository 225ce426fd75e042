//! Seeing and removing runs from anywhere, by the cluster's labels alone.

use serde_json::Value;

use crate::project::Project;

#[test]
fn a_run_can_be_followed_from_another_machine() {
    let project = Project::new();
    project.script("import time; print('begun', flush=True); time.sleep(3); print('done')");
    let run = project.run(&["run", "train.py"]).ok().name();
    assert_eq!(project.elsewhere(&["logs", "-f", &run]).ok().stdout, "begun\ndone\n");
    let status = project.elsewhere(&["status", "-n", &project.namespace]).ok().stdout;
    assert!(status.lines().nth(1).is_some_and(|row| row.starts_with(&run) && row.contains(" Succeeded ")), "{status}");
    project.elsewhere(&["delete", &run]).ok();
    assert!(project.objects("jobs").is_empty());
}

#[test]
fn status_speaks_every_format() {
    let project = Project::new();
    let run = project.run(&["run", "--wait", "--tags", "new_data", "train.py"]).ok().name();
    let status = |format: &str| project.run(&["status", "-o", format, &run]).ok().stdout;
    let json: Value = serde_json::from_str(&status("json")).unwrap();
    assert_eq!(json["metadata"]["name"], run);
    assert_eq!(json["status"]["succeeded"], 1);
    let yaml: Value = serde_yaml::from_str(&status("yaml")).unwrap();
    assert_eq!(yaml, json);
    assert_eq!(status("name"), format!("job.batch/{run}\n"));
    let wide = status("wide");
    let columns: Vec<Vec<&str>> = wide.lines().map(|line| line.split_whitespace().collect()).collect();
    let [headings, row] = columns.as_slice() else { panic!("{wide}") };
    assert_eq!(headings[..5], ["RUN", "PROJECT", "NAMESPACE", "STATE", "DONE"]);
    assert_eq!(row[..5], [&run, "cluster-tests", project.namespace.as_str(), "Succeeded", "1/1"]);
    assert_eq!(headings[7..], ["NODE", "TAGS", "IMAGE", "WHY"]);
    assert!(row[7].starts_with("node") && row[8] == "new_data" && row[9].contains("@sha256:"), "{wide}");
    // a List, as of kubectl, where no run is named
    let all = project.run(&["status", "--tag", "new_data", "-o", "json"]).ok().stdout;
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!((&all["kind"], &all["items"][0]), (&Value::from("List"), &json));
    let none = project.run(&["status", "--tag", "other"]).ok();
    assert_eq!(
        (none.stdout.as_str(), none.stderr.as_str()),
        ("", &*format!("no runs found in the namespace `{}`\n", project.namespace))
    );
}

#[test]
fn status_is_watched_until_the_run_has_ended() {
    let project = Project::new();
    project.script("import os, time\nwhile not os.path.exists(os.environ['MRUNNER_OUTPUT'] + '/go'): time.sleep(0.1)");
    let run = project.run(&["run", "train.py"]).ok().name();
    let watch = project.start(&["status", "-w", &run]);
    // the run goes on until it was seen running, however long that takes
    watch.prints(" Running ");
    let pod = project.objects("pods")[0]["metadata"]["name"].as_str().unwrap().to_owned();
    project.kubectl(&["exec", &pod, "--", "sh", "-c", "touch $MRUNNER_OUTPUT/go"]);
    watch.prints(" Succeeded ");
    let outcome = watch.end().ok();
    assert_eq!(outcome.stdout.matches(" Succeeded ").count(), 1, "{outcome}");
}

#[test]
fn a_run_that_can_not_start_is_explained() {
    let _counted = crate::node::none_added();
    let project = Project::new();
    let run = project.run(&["run", "--cpu", "1000", "train.py"]).ok().name();
    let status = || project.run(&["status", "--no-headers", &run]).ok().stdout;
    let told = crate::project::until(|| status().contains("no node fits: 0/2 nodes are available").then_some(()));
    assert!(told.is_some(), "{}", status());
    let logs = project
        .run(&["logs", &run])
        .told(&format!("error: the run `{run}` has printed nothing yet: it is pending: no node fits: 0/2 nodes are available: 2 Insufficient cpu\n"));
    assert_eq!(logs.code, 1);
}
