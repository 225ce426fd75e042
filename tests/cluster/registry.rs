//! A registry that demands TLS and a login, as docker, the nodes and the user meet it.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::project::{Project, until};

/// The cluster's second registry; `anna` may log in, with `s3cret`.
const LOCKED: &str = "127.0.0.1:5443";

/// A project that publishes there, with a docker that is logged in nowhere.
fn locked(keys: &str) -> Project {
    let mut project = Project::new();
    project.context_with(LOCKED_URL, &format!("storage_class: shared{keys}"));
    fs::create_dir_all(project.path("docker/cli-plugins")).unwrap();
    let plugins = std::path::PathBuf::from(std::env::var_os("HOME").unwrap()).join(".docker/cli-plugins/docker-buildx");
    let known = [
        plugins,
        "/usr/libexec/docker/cli-plugins/docker-buildx".into(),
        "/usr/lib/docker/cli-plugins/docker-buildx".into(),
    ];
    let buildx = known.iter().find(|path| path.exists()).expect("no buildx");
    symlink(buildx, project.path("docker/cli-plugins/docker-buildx")).unwrap();
    let folder = project.path("docker");
    project.env("DOCKER_CONFIG", folder.to_str().unwrap());
    project
}

const LOCKED_URL: &str = "https://127.0.0.1:5443/cluster-tests";
const LOGIN: &str = "\nregistry_username: anna\nregistry_password_env: REG_PASSWORD";

#[test]
fn a_login_lets_docker_push_and_the_cluster_pull() {
    let mut project = locked(LOGIN);
    project.env("REG_PASSWORD", "s3cret");
    project.new_script("print('from behind the lock')");
    let may_not = project.run(&["doctor", "--probe"]).ok();
    assert!(
        may_not.stdout.ends_with("skipped   probe       you may not make and delete pods of your own\n"),
        "{may_not}"
    );
    let (meta, role) =
        (json!({"name": "probe"}), json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "probe"}));
    project.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["create", "delete"]}]}));
    project.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
        "roleRef": role, "subjects": [{"kind": "ServiceAccount", "name": "somebody"}]}));
    let before = project.run(&["doctor", "--probe"]).ok();
    assert!(before.stdout.contains("is not let in with the Secret"), "{before}");
    assert_eq!(project.run(&["run", "--follow", "train.py"]).ok().stdout, "from behind the lock\n");
    // the second time docker is logged in, and nothing is built
    let again = project.run(&["run", "--follow", "train.py"]).ok();
    assert_eq!(again.told("nothing to build\n").stdout, "from behind the lock\n");
    assert_eq!(project.calls("docker", "login").len(), 1);
    // the kubelet that looked for the Secret in vain takes its time to see it
    let reached = "probe       the cluster reaches `127.0.0.1:5443`\n";
    let after = until(|| project.run(&["doctor", "--probe"]).ok().stdout.ends_with(reached).then_some(()));
    assert!(after.is_some(), "{}", project.run(&["doctor", "--probe"]));
    let secrets = project.objects("secrets");
    assert_eq!(secrets.len(), 1);
    let held = serde_json::to_string(&secrets[0]).unwrap();
    assert!(held.contains("kubernetes.io/dockerconfigjson"), "{held}");
}

#[test]
fn who_is_not_logged_in_is_told() {
    let project = locked("");
    let outcome = project.run(&["run", "train.py"]);
    outcome.fails(1, &format!("hint: log in with `docker login {LOCKED}`\n"));
    assert!(project.objects("jobs").is_empty());
}

#[test]
fn a_wrong_password_is_told() {
    let mut project = locked(LOGIN);
    project.env("REG_PASSWORD", "wrong");
    let outcome = project.run(&["run", "train.py"]).told("401 Unauthorized");
    outcome.fails(1, "hint: does the variable `REG_PASSWORD` hold the password of `anna`?\n");
    assert!(project.objects("jobs").is_empty() && project.objects("secrets").is_empty());
}

#[test]
fn a_cluster_without_the_login_can_not_pull_and_says_so() {
    let mut project = locked(LOGIN);
    project.env("REG_PASSWORD", "s3cret");
    project.new_script("print('once')");
    project.run(&["run", "--follow", "train.py"]).ok();
    // docker is logged in now, and the context gives the cluster nothing; another script, so that
    // no node has the image
    project.context_with(LOCKED_URL, "storage_class: shared");
    project.new_script("print('twice')");
    let outcome = project.run(&["run", "--follow", "train.py"]);
    assert_eq!(outcome.code, 3, "{outcome}");
    outcome.told("can't start");
}
