//! What keeps a pod from starting, and what keeps it from ending.

use serde_json::{Value, json};

use crate::project::Project;

/// The Job of a run, as another run of this name.
fn again(job: &Value, name: &str) -> Value {
    let mut job = job.clone();
    let labels = |of: &mut Value| {
        of["labels"]
            .as_object_mut()
            .unwrap()
            .retain(|label, _| !label.contains("controller-uid") && !label.contains("job-name"));
        of["labels"]["mrunner/run"] = name.into();
    };
    job["metadata"] =
        json!({"name": name, "labels": job["metadata"]["labels"], "annotations": job["metadata"]["annotations"]});
    labels(&mut job["metadata"]);
    labels(&mut job["spec"]["template"]["metadata"]);
    for field in ["selector", "suspend"] {
        job["spec"].as_object_mut().unwrap().remove(field);
    }
    job.as_object_mut().unwrap().remove("status");
    job
}

#[test]
fn a_container_beside_the_experiment_does_not_hide_its_fate() {
    let project = Project::new();
    project.script("print('the last words')");
    project.run(&["run", "--wait", "train.py"]).ok();
    let job = project.job();
    let image = job["spec"]["template"]["spec"]["containers"][0]["image"].clone();
    // as a webhook injects it
    let beside = |name: &str, script: &str| {
        json!({"name": name, "image": image, "command": ["/bin/sh", "-c", script],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}})
    };
    let mut kept = again(&job, "kept-aaaaaaaa");
    let endless = "trap 'exit 0' TERM; while :; do sleep 1; done";
    kept["spec"]["template"]["spec"]["containers"].as_array_mut().unwrap().insert(0, beside("istio-proxy", endless));
    let mut failing = again(&job, "init-aaaaaaaa");
    failing["spec"]["template"]["spec"]["initContainers"] =
        json!([beside("istio-validation", "echo iptables validation failed; exit 126")]);
    project.create(&kept);
    project.create(&failing);
    let namespace = &project.namespace;
    let words = "init container `istio-validation` failed: exit code 126: iptables validation failed";
    let failed = project.run(&["logs", "-f", "init-aaaaaaaa"]);
    assert_eq!(failed.code, 3, "{failed:?}");
    let failed = failed.told(&format!("error: the run `init-aaaaaaaa` failed: {words}\n"));
    failed.told(&format!(
        "hint: `istio-validation` is not of mrunner's making; see `kubectl logs -n {namespace} init-aaaaaaaa-0-"
    ));
    let followed = project.run(&["logs", "-f", "kept-aaaaaaaa"]).ok();
    assert_eq!(followed.stdout, "the last words\n");
    let words = "the experiment ended with exit code 0, but container `istio-proxy` keeps the pod running";
    followed.told(&format!("warning: {words}\n")).told("`pod_annotations: {sidecar.istio.io/inject: \"false\"}`");
    let status = project.run(&["status", "--no-headers", "kept-aaaaaaaa"]).ok();
    assert!(status.stdout.contains(" Succeeded   1/1 ") && status.stdout.contains(words), "{status:?}");
    project.run(&["delete", "kept-aaaaaaaa"]).ok();
}
