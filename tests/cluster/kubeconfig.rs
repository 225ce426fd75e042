//! Kubeconfigs that are wrong, as the real kubectl and API server meet them.

use serde_json::{Value, json};

use crate::project::Project;

/// What `status` and `doctor` say with the kubeconfig changed so.
#[track_caller]
fn told(change: impl Fn(&mut Value), words: &str, hint: &str) {
    let mut project = Project::new();
    project.kubeconfig(change);
    let status = project.run(&["status"]);
    assert!(status.code == 1 && status.stderr.contains(words) && status.stderr.contains(hint), "{status}");
    let doctor = project.run(&["doctor"]);
    let lines: Vec<&str> = doctor.stdout.lines().map(str::trim).collect();
    let at = lines.iter().position(|line| line.starts_with("failed    cluster")).unwrap_or_else(|| panic!("{doctor}"));
    assert!(
        lines[at].contains(words) && lines[at + 1].starts_with("hint: ") && lines[at + 1].contains(hint),
        "{doctor}"
    );
    assert_eq!(doctor.stdout.matches("the cluster does not answer").count(), 4, "{doctor}");
}

#[test]
fn a_server_that_is_not_there() {
    told(
        |config| config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1"),
        "The connection to the server 127.0.0.1:1 was refused",
        "is the cluster up? try `kubectl --context local cluster-info`",
    );
}

#[test]
fn a_token_that_has_expired() {
    told(
        |config| config["users"][0]["user"] = json!({"token": "expired"}),
        "You must be logged in to the server",
        "the login of the kubeconfig's user has expired or is wrong",
    );
}

#[test]
fn another_authority() {
    told(
        // the machine's own are left then, of which none is the cluster's
        |config| drop(config["clusters"][0]["cluster"].as_object_mut().unwrap().remove("certificate-authority-data")),
        "certificate signed by unknown authority",
        "is the kubeconfig's `certificate-authority-data` that of this cluster?",
    );
}

#[test]
fn a_credential_plugin_that_is_missing_or_can_not_log_in() {
    let plugin = |command: &str| json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": command, "interactiveMode": "Never"}});
    told(
        |config| config["users"][0]["user"] = plugin("/nowhere/gke-gcloud-auth-plugin"),
        "exec: fork/exec /nowhere/gke-gcloud-auth-plugin: no such file or directory",
        "get the credential plugin with `gcloud components install gke-gcloud-auth-plugin`",
    );
    told(
        |config| config["users"][0]["user"] = plugin("no-such-login"),
        "exec: executable no-such-login not found",
        "install `no-such-login`, which the kubeconfig's user needs",
    );
    told(
        |config| config["users"][0]["user"] = plugin("false"),
        "exec: executable false failed with exit code 1",
        "`false`, which the kubeconfig's user needs, could not log in",
    );
}
