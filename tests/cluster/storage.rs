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

/// The claim of the project, as the cluster has it.
fn claim_of(project: &Project) -> serde_json::Value {
    project.objects("pvc").remove(0)
}

fn volume_of(claim: &serde_json::Value) -> serde_json::Value {
    let volume = crate::project::admin(&["get", "pv", claim["spec"]["volumeName"].as_str().unwrap(), "-o", "json"]);
    serde_json::from_str(&volume).unwrap()
}

#[test]
fn two_nodes_try_a_new_volume_once_and_it_outlives_its_claim() {
    let project = Project::new();
    project.granted("--volumes");
    project.context("storage_class: shared\nprobe_storage: true");
    let first = project.run(&["run", "--wait", "train.py"]).ok();
    let first = first.told("storage   tried on `node").told(": each sees what the other writes; ");
    first.told("it is kept now (Retain)\n");
    let claim = claim_of(&project);
    let proof = claim["metadata"]["annotations"]["mrunner/proved"].as_str().unwrap();
    let proof: serde_json::Value = serde_json::from_str(proof).unwrap();
    assert_eq!((proof["shared"].as_bool(), proof["nodes"].as_array().unwrap().len()), (Some(true), 2));
    assert_eq!(volume_of(&claim)["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    let before = project.calls("kubectl", "").len();
    let second = project.run(&["run", "train.py"]).ok();
    assert!(!second.stderr.contains("tried on"), "{second}");
    assert_eq!(project.calls("kubectl", "").len() - before, 2);
    let checked = project.run(&["storage", "check"]).ok().stdout;
    assert!(checked.contains("shared    each sees what the other writes") && !checked.contains("failed"), "{checked}");
    assert!(project.run(&["storage", "show"]).ok().stdout.contains("RECLAIM"));
    // nothing of the probe is left
    assert!(project.objects("jobs").iter().all(|job| job["metadata"]["labels"]["mrunner/run"].is_string()));
}

#[test]
fn a_class_whose_nodes_each_have_a_folder_of_their_own_is_refused() {
    let project = Project::new();
    project.context("storage_class: split\nprobe_storage: true");
    let outcome = project.run(&["run", "train.py"]);
    let outcome =
        outcome.told(" of class `split` says ReadWriteMany, but `node").told(" do not see what the other writes");
    assert_eq!(outcome.code, 1);
    assert_eq!(project.objects("jobs").len(), 0);
    assert_eq!(project.journals(), [""; 0]);
    let before = project.calls("kubectl", " create ").len();
    let again = project.run(&["run", "train.py"]);
    assert_eq!(again.told("do not see what the other writes").code, 1);
    assert_eq!(project.calls("kubectl", " create ").len(), before, "it was tried again");
}

#[test]
fn data_outlive_their_namespace_and_are_found_again() {
    let project = Project::unmade();
    project.script("import os; open(os.environ['STORAGE_DIR'] + '/mark', 'w').write('here\\n')");
    project.run(&["run", "--wait", "train.py"]).ok().told("it is kept now (Retain)\n");
    let volume = volume_of(&claim_of(&project));
    project.script("print('next')");
    crate::project::admin(&["delete", "namespace", &project.namespace, "--timeout=60s"]);
    let again = project.run(&["run", "--wait", "train.py"]).ok();
    again.told("which holds the project's data and has lost its claim\n");
    assert_eq!(project.left("mark"), "here\n");
    assert_eq!(volume_of(&claim_of(&project))["metadata"]["uid"], volume["metadata"]["uid"]);
    // what nobody claims any more goes with its project as well
    let name = project.namespace.clone();
    crate::project::admin(&["delete", "namespace", &name, "--timeout=60s"]);
    let told = format!("the volume `{}` is deleted\n", volume["metadata"]["name"].as_str().unwrap());
    project.run(&["project", "delete", &name, "--delete-data", "--confirm", &name]).ok().told(&told);
    let path = volume["spec"]["hostPath"]["path"].as_str().unwrap();
    assert!(crate::project::until(|| (!std::path::Path::new(path).exists()).then_some(())).is_some(), "{path}");
}

#[test]
fn a_claim_grows_where_its_class_lets_it_and_is_never_shrunk() {
    let project = Project::new();
    let asked = || claim_of(&project)["spec"]["resources"]["requests"]["storage"].as_str().unwrap().to_owned();
    project.context("storage_class: growing\ndefault_pvc_size: 1G");
    project.run(&["run", "--wait", "train.py"]).ok();
    assert_eq!(asked(), "1G");
    project.context("storage_class: growing\ndefault_pvc_size: 2G");
    project.run(&["run", "train.py"]).ok().told(" grows to 2G, as the context says\n");
    assert_eq!(asked(), "2G");
    project.context("storage_class: growing\ndefault_pvc_size: 1G");
    project.run(&["run", "train.py"]).ok();
    assert_eq!(asked(), "2G");
}

#[test]
fn a_claim_that_somebody_else_made_is_not_taken() {
    let project = Project::new();
    project.claim("storage-cluster-tests", "shared", "ReadWriteMany");
    let outcome = project.run(&["run", "train.py"]);
    outcome.fails(
        1,
        "error: the claim `storage-cluster-tests` was made by somebody else, and its data may be theirs
hint: if the project's data should be there: `--storage-claim storage-cluster-tests`, or `storage_claim: storage-cluster-tests` in the context
",
    );
    project.run(&["run", "--wait", "--storage-claim", "storage-cluster-tests", "train.py"]).ok();
}

#[test]
fn a_project_is_deleted_with_its_data_only_when_told_twice() {
    let project = Project::unmade();
    let name = project.namespace.clone();
    project.script("import os; open(os.environ['STORAGE_DIR'] + '/mark', 'w').write('here\\n')");
    project.run(&["run", "--wait", "train.py"]).ok();
    let volume = volume_of(&claim_of(&project));
    let path = volume["spec"]["hostPath"]["path"].as_str().unwrap().to_owned();
    let asked = project.run(&["project", "delete", &name]);
    assert_eq!(asked.told("nobody can be asked to type the project's name").code, 2);
    let wrong = format!("error: nothing was deleted: `other` is not the name of the project, `{name}`\n");
    project.run(&["project", "delete", &name, "--confirm", "other"]).fails(1, &wrong);
    assert_eq!(project.objects("jobs").len(), 1);
    project.run(&["project", "delete", &name, "--confirm", &name]).ok().told("stays, with all other data");
    assert_eq!((project.objects("jobs").len(), project.objects("pvc").len()), (0, 1));
    let gone = project.run(&["project", "delete", &name, "--delete-data", "--confirm", &name]).ok();
    gone.told("data      1 file, 5 B, the newest of 20").told("namespace deleted");
    assert!(crate::project::until(|| (!std::path::Path::new(&path).exists()).then_some(())).is_some(), "{path}");
}
