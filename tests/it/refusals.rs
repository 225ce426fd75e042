//! Tools that are missing, and what docker and kubectl refuse. Their words were recorded from docker
//! 28.2 with buildx 0.38, and from kubectl and an API server 1.34.

use serde_json::json;

use crate::support::{HANG, World};

/// A rule's script that says these words and fails.
fn refuses(words: &str) -> String {
    assert!(!words.contains('\''));
    format!("echo '{words}' >&2; exit 1")
}

const INSPECT: &str = "'docker manifest inspect'*|'docker buildx imagetools inspect'*";
const BUILD: &str = "'docker buildx build'*";

/// A run in which the calls that match are refused with these words.
fn refused(pattern: &str, words: &str) -> crate::support::Outcome {
    let mut world = World::new();
    world.on(pattern, &refuses(words));
    let outcome = world.run(&["run", "train.py"]);
    assert!(world.journals().is_empty());
    outcome
}

#[test]
fn docker_is_missing() {
    let world = World::new();
    world.without("docker").run(&["run", "train.py"]).fails(
        1,
        "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`: `docker` was not found
hint: install Docker Engine or Docker Desktop: https://docs.docker.com/engine/install/
",
    );
    assert!(world.submissions().is_empty());
}

#[test]
fn kubectl_is_missing() {
    let world = World::new();
    world.without("kubectl").run(&["run", "train.py"]).fails(
        1,
        "error: failed to read the storage of `vision`: `kubectl` was not found
hint: install kubectl: https://kubernetes.io/docs/tasks/tools/, or say where it is with `MRUNNER_KUBECTL=PATH`
",
    );
    world.run(&["status"]).fails(
        1,
        "error: failed to read the runs: `kubectl` was not found
hint: install kubectl: https://kubernetes.io/docs/tasks/tools/, or say where it is with `MRUNNER_KUBECTL=PATH`
",
    );
    let mut world = World::new();
    world.env("MRUNNER_KUBECTL", "/nowhere/kubectl").run(&["status"]).fails(
        1,
        "error: failed to read the runs: `/nowhere/kubectl` was not found
hint: install kubectl: https://kubernetes.io/docs/tasks/tools/, or say where it is with `MRUNNER_KUBECTL=PATH`
",
    );
}

#[test]
fn git_and_gcloud_are_not_needed() {
    let world = World::new();
    world.without("git").without("gcloud");
    world.run(&["run", "train.py"]).ok();
}

#[test]
fn there_is_no_current_context() {
    let world = World::new();
    std::fs::remove_dir_all(world.path("home/.config")).unwrap();
    world.write("home/.kube/config", "contexts: [{name: a, context: {}}]\n");
    world.run(&["run", "--image", "busybox", "train.py"]).fails(
        2,
        "error: the kubeconfig has no current context
hint: choose one with `kubectl config use-context NAME`, or for this command with `--kube-context NAME`
",
    );
    world.run(&["status"]).fails(
        2,
        "error: the kubeconfig has no current context
hint: choose one with `kubectl config use-context NAME`, or for this command with `--kube-context NAME`
",
    );
    std::fs::remove_dir_all(world.path("home/.kube")).unwrap();
    world.run(&["logs", "x"]).fails(
        2,
        "error: it is not known which cluster is meant
hint: there is no kubeconfig `[DIR]/home/.kube/config`: fetch the cluster's, and name it such as with `export KUBECONFIG=FILE`
",
    );
    world.write("home/.kube/config", "");
    world.run(&["logs", "x"]).fails(
        2,
        "error: it is not known which cluster is meant
hint: the kubeconfig `[DIR]/home/.kube/config` holds no context: fetch the cluster's, and name it such as with `export KUBECONFIG=FILE`
",
    );
    assert!(world.calls_with("kubectl").is_empty());
}

#[test]
fn the_docker_daemon_is_down() {
    let mut world = World::new();
    world.on(BUILD, &refuses("ERROR: failed to connect to the docker API at unix:///var/run/docker.sock; check if the path is correct and if the daemon is running: dial unix /var/run/docker.sock: connect: no such file or directory"));
    world.on(
        "'docker version'*",
        &refuses("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"),
    );
    world.run(&["run", "train.py"]).fails(1, "error: failed to build and publish the image
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
  exit status: 1
  | Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?
hint: start the Docker Engine (`systemctl start docker`, or Docker Desktop) and see `docker info`
");
    assert!(world.calls_with("kubectl").iter().all(|c| c.line().contains(" get ")) && world.journals().is_empty());
}

#[test]
fn a_build_fails_as_docker_has_no_buildx() {
    let mut world = World::new();
    // as docker 20.10 has it, where a registry of this machine was asked without buildx
    world.on(BUILD, &refuses("unknown flag: --push\n\nUsage:  docker [OPTIONS] COMMAND [ARG...]"));
    world.on("'docker buildx version'*", &refuses("docker: unknown command: docker buildx"));
    let outcome = world.run(&["run", "train.py"]);
    let hint = "  exit status: 1\nhint: install docker's buildx plugin (Debian, Ubuntu: `apt-get install docker-buildx-plugin` or `docker-buildx`)";
    assert!(outcome.code == 1 && outcome.stderr.contains(hint), "{outcome:?}");
    assert_eq!(outcome.stderr.matches("hint: ").count(), 1);
}

#[test]
fn docker_has_no_buildx() {
    refused(INSPECT, "docker: unknown command: docker buildx\n\nRun \"docker --help\" for more information")
        .fails(1, r#"error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker buildx imagetools inspect --raw registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | docker: unknown command: docker buildx
  | 
  | Run "docker --help" for more information
hint: install docker's buildx plugin (Debian, Ubuntu: `apt-get install docker-buildx-plugin` or `docker-buildx`): https://docs.docker.com/build/install-buildx/
"#);
}

#[test]
fn the_registry_is_down() {
    refused(INSPECT, r#"ERROR: failed to do request: Head "http://registry.test:5000/v2/vision/train/manifests/t-1": dial tcp 127.0.0.1:5000: connect: connection refused"#).fails(1, r#"error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker buildx imagetools inspect --raw registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | ERROR: failed to do request: Head "http://registry.test:5000/v2/vision/train/manifests/t-1": dial tcp 127.0.0.1:5000: connect: connection refused
hint: is the registry `registry.test:5000` up, and its address right?
"#);
}

#[test]
fn the_registry_wants_a_login() {
    refused(INSPECT, "ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 401 Unauthorized").fails(1, "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker manifest inspect --verbose --insecure registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 401 Unauthorized
hint: log in with `docker login registry.test:5000`
");
}

#[test]
fn the_registry_is_broken() {
    refused(INSPECT, "ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 503 Service Unavailable").fails(1, "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker buildx imagetools inspect --raw registry.test:5000/vision/train:t-[KEY]
  exit status: 1
  | ERROR: unexpected status from HEAD request to http://registry.test:5000/v2/vision/train/manifests/t-1: 503 Service Unavailable
hint: try `docker login registry.test:5000`
");
}

#[test]
fn the_registry_never_answers() {
    let mut world = World::new();
    world.on(INSPECT, HANG).env("MRUNNER_TEST_PATIENCE", "0.02");
    world.run(&["run", "train.py"]).fails(
        1,
        "error: failed to ask the registry for `registry.test:5000/vision/train:t-[KEY]`
  command: docker manifest inspect --verbose --insecure registry.test:5000/vision/train:t-[KEY]
  | no answer in 60 s
hint: is the registry `registry.test:5000` up, and its address right?
",
    );
}

#[test]
fn the_registry_refuses_the_image() {
    refused(BUILD, "#5 pushing registry.test:5000/vision/train:t-1 with docker\n#5 ERROR: Get \"http://registry.test:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused\nERROR: failed to build: Get \"http://registry.test:5000/v2/\": dial tcp 127.0.0.1:5000: connect: connection refused").fails(1, r#"context   lab (kube context kube-lab), namespace vision
project   `vision` is new, and named after the folder; `--project NAME` names another
storage   a new claim `storage` of 40G: ReadWriteOnce of the default class `standard`, on one node
image     registry.test:5000/vision/train:t-[KEY], to be built
  $ docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
#5 pushing registry.test:5000/vision/train:t-1 with docker
#5 ERROR: Get "http://registry.test:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused
ERROR: failed to build: Get "http://registry.test:5000/v2/": dial tcp 127.0.0.1:5000: connect: connection refused
error: failed to build and publish the image
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
  exit status: 1
hint: the words above are docker's; if the registry refused the image, `docker login registry.test:5000`
"#);
}

#[test]
fn the_base_image_is_missing() {
    refused(BUILD, "#3 [internal] load metadata for registry.test:5000/python:nope\n#3 ERROR: registry.test:5000/python:nope: not found\nERROR: failed to build: failed to solve: registry.test:5000/python:nope: not found").fails(1, "error: failed to build and publish the image
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
  exit status: 1
hint: the words above are docker's; if the registry refused the image, `docker login registry.test:5000`
");
}

#[test]
fn the_requirements_can_not_be_met() {
    let mut world = World::new();
    world.write("vision/requirements.txt", "nonesuch==9\n");
    world.on(BUILD, &refuses("#8 1.204 ERROR: Could not find a version that satisfies the requirement nonesuch==9 (from versions: none)\n#8 1.205 ERROR: No matching distribution found for nonesuch==9"));
    let outcome = world.run(&["run", "--requirements", "requirements.txt", "train.py"]);
    // pip's own words, once, where they were said
    assert_eq!(outcome.stderr.matches("No matching distribution found for nonesuch==9").count(), 1);
    outcome.fails(1, "error: failed to build and publish the image
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
  exit status: 1
hint: the words above are docker's; if the registry refused the image, `docker login registry.test:5000`
");
}

#[test]
fn docker_tells_no_digest() {
    let mut world = World::new();
    world.on(BUILD, "exit 0");
    world.run(&["run", "train.py"]).fails(1, "error: docker built the image, but did not tell its digest
  command: docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
hint: is docker's buildx plugin old? see `docker buildx version`; 0.10 or newer is needed
");
    assert!(world.submissions().is_empty() && world.journals().is_empty());
}

#[test]
fn the_cluster_is_down() {
    refused("*' get namespace/'*", "E1123 06:44:14.982981   26249 memcache.go:265] \"Unhandled Error\" err=\"couldn`t get current server API group list\"\nThe connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?").fails(1, r#"error: failed to read the storage of `vision`
  command: kubectl --context kube-lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json
  exit status: 1
  | E1123 06:44:14.982981   26249 memcache.go:265] "Unhandled Error" err="couldn`t get current server API group list"
  | The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?
hint: is the cluster up? try `kubectl --context kube-lab cluster-info`
"#);
}

#[test]
fn the_cluster_never_answers() {
    let mut world = World::new();
    world.on("*' get namespace/'*", HANG).env("MRUNNER_TEST_PATIENCE", "0.04");
    world.run(&["run", "train.py"]).fails(
        1,
        "error: failed to read the storage of `vision`
  command: kubectl --context kube-lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json
  | no answer in 30 s
hint: is the cluster up, and reached from here without a VPN? try `kubectl --context kube-lab cluster-info`
",
    );
}

#[test]
fn nobody_is_logged_in() {
    refused("*' get namespace/'*", "error: You must be logged in to the server (Unauthorized)").fails(
        1,
        "error: failed to read the storage of `vision`
  command: kubectl --context kube-lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json
  exit status: 1
  | error: You must be logged in to the server (Unauthorized)
hint: the login of the kubeconfig's user has expired or is wrong: log in to the cluster again, or fetch its kubeconfig anew
",
    );
}

#[test]
fn kubectl_answers_with_something_else() {
    let mut world = World::new();
    world.on("*' get namespace/'*", "printf '<html>\\033[2Jproxy</html>'; exit 0");
    world.run(&["run", "train.py"]).fails(
        1,
        r"error: failed to read the storage of `vision`: the answer is not JSON: expected value at line 1 column 1
  command: kubectl --context kube-lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json
  | <html>\u{1b}[2Jproxy</html>
",
    );
}

#[test]
fn the_user_may_not_make_a_namespace() {
    let mut world = World::new();
    // to apply takes the right to patch; without that, it is created
    world.on("*' apply '*", &refuses(r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot patch resource "namespaces" in API group "" in the namespace "vision""#));
    world.on("*' create '*", &refuses(r#"Error from server (Forbidden): error when creating "STDIN": namespaces is forbidden: User "anna" cannot create resource "namespaces" in API group "" at the cluster scope"#));
    world.run(&["run", "train.py"]).fails(1, r#"error: failed to make the namespace `vision`; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < namespace.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": namespaces is forbidden: User "anna" cannot create resource "namespaces" in API group "" at the cluster scope
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
    assert!(world.journals().is_empty());
}

#[test]
fn the_user_may_not_make_a_claim() {
    let mut world = World::new();
    world.on("*' -n vision apply '*", &refuses(r#"Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: User "anna" cannot patch resource "persistentvolumeclaims" in API group "" in the namespace "vision""#));
    world.on("*' create '*", &refuses(r#"Error from server (Forbidden): error when creating "STDIN": persistentvolumeclaims is forbidden: User "anna" cannot create resource "persistentvolumeclaims" in API group "" in the namespace "vision""#));
    world.run(&["run", "train.py"]).fails(1, r#"error: failed to make the claim `storage`; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < claim.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": persistentvolumeclaims is forbidden: User "anna" cannot create resource "persistentvolumeclaims" in API group "" in the namespace "vision"
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
    assert!(world.journals().is_empty());
}

#[test]
fn the_user_may_create_and_not_patch() {
    let mut world = World::new();
    world.on("*' apply '*", &refuses(r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot patch resource "namespaces" in API group "" in the namespace "vision""#));
    world.run(&["run", "train.py"]).ok();
    assert_eq!(world.calls_with(" create ").len(), 3);
}

#[test]
fn the_user_may_not_make_a_job() {
    refused("*' create '*'-o json'*", r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden: User "anna" cannot create resource "jobs" in API group "batch" in the namespace "vision""#).fails(1, r#"error: failed to submit the Job `train-[ID]`; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden: User "anna" cannot create resource "jobs" in API group "batch" in the namespace "vision"
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
}

#[test]
fn the_user_may_see_only_their_claim() {
    let mut world = World::new();
    // kubectl prints what it got beside what it was refused
    let refused = refuses(
        r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot get resource "namespaces" in API group "" in the namespace "vision""#,
    );
    world.on("*' get namespace/'*", &format!(r#"echo '{{"kind":"PersistentVolumeClaim","metadata":{{"name":"storage","annotations":{{"mrunner/project-name":"vision"}}}},"spec":{{"accessModes":["ReadWriteMany"]}}}}'; {refused}"#));
    world.run(&["run", "train.py"]).ok();
    assert!(world.calls_with(" apply ").is_empty());
}

#[test]
fn the_user_may_see_nothing() {
    refused("*' get '*", r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot get resource "namespaces" in API group "" in the namespace "vision"
Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: User "anna" cannot get resource "persistentvolumeclaims" in API group "" in the namespace "vision""#).fails(1, r#"error: failed to read the storage of `vision`
  command: kubectl --context kube-lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json
  exit status: 1
  | Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot get resource "namespaces" in API group "" in the namespace "vision"
  | Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: User "anna" cannot get resource "persistentvolumeclaims" in API group "" in the namespace "vision"
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
}

#[test]
fn the_quota_is_used_up() {
    refused("*' create '*'-o json'*", r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch "train-x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0"#).fails(1, r#"error: failed to submit the Job `train-[ID]`: the quota of the namespace has no room for it; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": jobs.batch "train-x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0
hint: make room by deleting runs that have ended: `kubectl mrunner delete RUN`; see the quota with `kubectl --context kube-lab get resourcequota -A`
"#);
    refused("*' -n vision create '*'-o name'*", r#"Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0"#).fails(1, r#"error: failed to make the claim `storage`: the quota of the namespace has no room for it; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < claim.json
  exit status: 1
  | Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0
hint: use a claim that exists with `--storage-claim NAME`, or ask for a larger quota; see the quota with `kubectl --context kube-lab get resourcequota -A`
"#);
}

/// A run in a namespace with this claim, on so many nodes.
fn with_claim(claim: &serde_json::Value, nodes: usize, args: &[&str]) -> crate::support::Outcome {
    let mut world = World::new();
    let mut claim = claim.clone();
    claim["kind"] = "PersistentVolumeClaim".into();
    claim["metadata"]["name"] = "storage".into();
    if claim["metadata"]["annotations"].is_null() {
        claim["metadata"]["annotations"] = json!({"mrunner/project-name": "vision"});
    }
    let nodes: Vec<_> = (0..nodes).map(|_| json!({"kind": "Node", "metadata": {}, "spec": {}})).collect();
    world.write(
        "claim.json",
        json!({"kind": "List", "items": [{"kind": "Namespace", "metadata": {}}, claim]}).to_string(),
    );
    world.write("nodes.json", json!({"kind": "List", "items": nodes}).to_string());
    world.on("*' get namespace/'*", r#"cat "$world/claim.json"; exit 0"#);
    world.on("*' get nodes '*", r#"cat "$world/nodes.json"; exit 0"#);
    let outcome = world.run(&[&["run"], args, &["train.py"]].concat());
    assert!(outcome.code == 0 || world.submissions().is_empty());
    outcome
}

#[test]
fn the_claim_is_not_read_write_many() {
    let once = json!({"spec": {"accessModes": ["ReadWriteOnce"]}, "status": {"phase": "Bound"}});
    with_claim(&once, 2, &[]).fails(
        1,
        "error: the claim `storage` is not ReadWriteMany, and the cluster has 2 nodes that a pod may land on
hint: pin the context to the node of its volume with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or name a ReadWriteMany claim with `--storage-claim NAME`
",
    );
    with_claim(&once, 1, &[]).ok();
    with_claim(&json!({"spec": {"accessModes": ["ReadOnlyMany"]}}), 1, &[]).fails(
        1,
        "error: the claim `storage` can't be written to: its access modes are ReadOnlyMany
hint: name another claim with `--storage-claim NAME`
",
    );
}

#[test]
fn the_claim_is_lost_or_going_or_anothers() {
    with_claim(&json!({"spec": {"accessModes": ["ReadWriteMany"]}, "status": {"phase": "Lost"}}), 1, &[]).fails(
        1,
        "error: the claim `storage` has lost its volume (Lost)
hint: see why with `kubectl --context kube-lab -n vision describe pvc storage`
",
    );
    let going =
        json!({"metadata": {"deletionTimestamp": "2026-11-23T06:00:00Z"}, "spec": {"accessModes": ["ReadWriteMany"]}});
    with_claim(&going, 1, &[]).fails(
        1,
        "error: the claim `storage` is being deleted (Terminating), and its data with it
hint: see who uses it with `kubectl --context kube-lab -n vision describe pvc storage`; run again when it is gone
",
    );
    let others = json!({"metadata": {"annotations": {"mrunner/project-name": "Vision"}}, "spec": {"accessModes": ["ReadWriteMany"]}});
    with_claim(&others, 1, &[]).fails(
        1,
        "error: the claim `storage` holds the data of the project `Vision`, not of `vision`
hint: name the project's own claim with `--storage-claim NAME`
",
    );
}

#[test]
fn the_claim_that_was_named_is_missing() {
    let mut world = World::new();
    world.on("*' get namespace/'*", r#"echo '{"kind":"Namespace","metadata":{}}'; exit 0"#);
    world.run(&["run", "--storage-claim", "data", "train.py"]).fails(
        1,
        "error: the namespace `vision` has no claim `data`
hint: see its claims with `kubectl --context kube-lab -n vision get pvc`
",
    );
}

#[test]
fn no_storage_class_fits() {
    let mut world = World::new();
    let two = r#"{"kind":"List","items":[{"kind":"StorageClass","metadata":{"name":"standard","annotations":{"storageclass.kubernetes.io/is-default-class":"true"}},"provisioner":"rancher.io/local-path"},{"kind":"Node","metadata":{}},{"kind":"Node","metadata":{}}]}"#;
    world.write("cluster.json", two);
    world.run(&["run", "train.py"]).fails(1, "error: found no storage for the project: no claim is there, no storage class is known to share volumes between nodes, the context names no NFS server, the cluster has several nodes, and no NFS server of its own
hint: name a class that supports ReadWriteMany with `--storage-class CLASS`; it has `standard`
hint: or an existing claim with `--storage-claim NAME`
hint: or an NFS server in the context, `nfs: {server: HOST, path: /FOLDER}`
hint: or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or have an administrator set a server up, `kubectl mrunner storage setup --nfs-server`
");
    world.run(&["run", "--storage-class", "standrad", "train.py"]).fails(
        1,
        "error: the cluster has no storage class `standrad`
hint: it has `standard`
",
    );
    world.on("*' get storageclasses,nodes '*", &refuses(r#"Error from server (Forbidden): storageclasses.storage.k8s.io is forbidden: User "anna" cannot list resource "storageclasses" in API group "storage.k8s.io" at the cluster scope"#));
    world.run(&["run", "train.py"]).fails(1, "error: found no storage for the project: no claim is there, and the storage classes may not be listed
hint: name a class that supports ReadWriteMany with `--storage-class CLASS`; see the classes with `kubectl get storageclass`
hint: or an existing claim with `--storage-claim NAME`
hint: or an NFS server in the context, `nfs: {server: HOST, path: /FOLDER}`
hint: or pin the context to one node with `node_selector: {kubernetes.io/hostname: NODE}`
hint: or have an administrator set a server up, `kubectl mrunner storage setup --nfs-server`
");
}

#[test]
fn the_namespace_is_being_deleted() {
    let mut world = World::new();
    world.on(
        "*' get namespace/'*",
        r#"echo '{"kind":"Namespace","metadata":{"deletionTimestamp":"2026-11-23T06:00:00Z"}}'; exit 0"#,
    );
    world.run(&["run", "train.py"]).fails(
        1,
        "error: the namespace `vision` is being deleted
hint: run again when it is gone: `kubectl --context kube-lab get namespace vision`
",
    );
}

#[test]
fn a_question_whose_answer_was_cut_off_is_asked_again_and_not_for_ever() {
    for (words, again) in [
        ("error: unexpected error when reading response body. Please retry. Original error: unexpected EOF", true),
        ("Error from server (ServiceUnavailable): the server is currently unable to handle the request", true),
        ("Error from server (TooManyRequests): the server has asked for the client to slow down", true),
        ("Unable to connect to the server: EOF", false),
        ("Please enter Username: error: EOF", false),
        ("error: You must be logged in to the server (Unauthorized)", false),
        ("Unable to connect to the server: dial tcp: lookup lab: no such host", false),
    ] {
        let mut world = World::new();
        world.env("MRUNNER_TEST_PATIENCE", "0.01");
        world.on(
            "*' get jobs,pods '*",
            &format!("[ -e \"$world/cut\" ] && exit 0; : >\"$world/cut\"; {}", refuses(words)),
        );
        let outcome = world.run(&["status"]);
        assert_eq!((outcome.code == 0, world.calls_with("get jobs,pods").len() == 2), (again, again), "{outcome:?}");
        let mut world = World::new();
        world.env("MRUNNER_TEST_PATIENCE", "0.01");
        world.on("*' get jobs,pods '*", &refuses(words));
        let outcome = world.run(&["status"]);
        assert!(outcome.code == 1 && outcome.stderr.contains(words), "{outcome:?}");
        assert_eq!(world.calls_with("get jobs,pods").len(), if again { 4 } else { 1 }, "{words}");
    }
}
