//! The project's storage on two nodes, with a class that shares volumes and one that does not.

use serde_json::json;

use crate::project::Project;

#[test]
fn an_existing_claim_is_used_as_it_is() {
    let project = Project::new();
    project.context("storage_claim: mine");
    let missing = project.run(&["run", "train.py"]);
    missing.fails(
        1,
        &format!(
            "error: the namespace `{0}` has no claim `mine`\nhint: see its claims with `kubectl --context local -n {0} get pvc`\n",
            project.namespace
        ),
    );
    project.claim("mine", "shared", "ReadWriteMany");
    project.run(&["run", "--wait", "train.py"]).ok();
    let volume = &project.job()["spec"]["template"]["spec"]["volumes"][0];
    assert_eq!(volume["persistentVolumeClaim"]["claimName"], "mine");
    assert_eq!(project.objects("pvc").len(), 1);
}

#[test]
fn one_node_is_enough_where_the_context_pins_it() {
    let project = Project::new();
    project.context("");
    let message = "error: found no storage for the project: no claim is there, no storage class is known to share \
                   volumes between nodes, and the cluster has several nodes
hint: name a class that supports ReadWriteMany with `--storage-class CLASS`; it has `shared`, `standard`
hint: or an existing claim with `--storage-claim NAME`
hint: or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`
";
    project.run(&["run", "train.py"]).fails(1, message);
    project.context("node_selector: {kubernetes.io/hostname: node1}");
    project.script("import os; open(os.environ['STORAGE_DIR'] + '/mark', 'w').write('here\\n')");
    project.run(&["run", "--wait", "train.py"]).ok().told("storage   a new claim `storage-cluster-tests` of 40G: ReadWriteOnce of the default class `standard`, on one node\n");
    let claim = project.objects("pvc").remove(0);
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteOnce"]));
    assert_eq!(project.objects("pods")[0]["spec"]["nodeName"], "node1");
    assert_eq!(project.left("mark"), "here\n");
    // the same claim without the pin: a pod may land where its volume is not
    project.context("");
    let message = "error: the claim `storage-cluster-tests` is not ReadWriteMany, and the cluster has 2 nodes that a pod may land on
hint: pin the context to the node of its volume with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or name a ReadWriteMany claim with `--storage-claim NAME`
";
    project.run(&["run", "train.py"]).fails(1, message);
}

#[test]
fn a_class_that_can_not_share_its_volumes_is_told() {
    let project = Project::new();
    // it is asked for ReadWriteMany, as there are two nodes
    let run = project.run(&["run", "--storage-class", "standard", "train.py"]).ok().name();
    let status = || project.run(&["status", "--no-headers", &run]).ok().stdout;
    let told = crate::project::until(|| status().contains("its storage can't be made: ").then_some(()));
    assert!(told.is_some(), "{}", status());
    let logs = project.run(&["logs", &run]);
    let words = format!("error: the run `{run}` has printed nothing yet: it is pending: its storage can't be made: ");
    assert_eq!(logs.told(&words).code, 1);
}

#[test]
fn a_claim_that_is_going_is_refused() {
    let project = Project::new();
    project.claim("mine", "shared", "ReadWriteMany");
    project.context("storage_claim: mine");
    project.script("import time; print('holding', flush=True); time.sleep(600)");
    let holder = project.start(&["run", "--follow", "train.py"]);
    holder.prints("holding\n");
    project.kubectl(&["delete", "pvc", "mine", "--wait=false"]);
    project.run(&["run", "train.py"]).fails(
        1,
        &format!(
            "error: the claim `mine` is being deleted (Terminating), and its data with it\n\
             hint: see who uses it with `kubectl --context local -n {} describe pvc mine`; run again when it is gone\n",
            project.namespace
        ),
    );
    assert_eq!(project.objects("jobs").len(), 1);
    let run = project.only_run();
    let interrupted = holder.signal("INT");
    interrupted.says(&format!("error: interrupted; the run `{run}` goes on\n"));
    assert_eq!(holder.end().code, 130);
    project.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
}
