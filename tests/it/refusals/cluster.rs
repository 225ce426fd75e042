//! Errors of the cluster.

use super::{refused, refuses};
use crate::support::{HANG, World};

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
fn the_quota_is_used_up() {
    refused("*' create '*'-o json'*", r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch "train-x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0"#).fails(1, r#"error: failed to submit the Job `train-[ID]`: the quota of the namespace has no room for it; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": jobs.batch "train-x" is forbidden: exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0
hint: delete runs that have ended; list them with `kubectl mrunner status`; see the quota with `kubectl --context kube-lab -n vision get resourcequota`
"#);
    refused("*' -n vision create '*'-o name'*", r#"Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0"#).fails(1, r#"error: failed to make the claim `storage`: the quota of the namespace has no room for it; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < claim.json
  exit status: 1
  | Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: exceeded quota: q, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=0, limited: persistentvolumeclaims=0
hint: use a claim that exists with `--storage-claim NAME`, or ask for a larger quota; see the quota with `kubectl --context kube-lab -n vision get resourcequota`
"#);
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
