//! What the API server says of a run that is not made, and the saved run made by hand.

use serde_json::Value;

use crate::project::Project;

#[test]
fn the_server_checks_everything_and_makes_nothing() {
    let project = Project::new();
    let outcome = project.run(&["run", "--dry-run=server", "train.py"]).ok();
    let outcome = outcome.told("checked   the API server would take the claim\n");
    let outcome = outcome.told("checked   the API server would take the job\n");
    assert!(outcome.stdout.contains("\n  \"kind\": \"Job\",\n"), "{outcome}");
    assert!(project.objects("jobs,pvc").is_empty());
    assert!(project.calls("docker", "buildx build").is_empty());

    let project = Project::unmade();
    let outcome = project.run(&["run", "--dry-run=server", "train.py"]).ok();
    for what in ["namespace", "claim", "job"] {
        assert!(outcome.stderr.contains(&format!("checked   the API server would take the {what}\n")), "{outcome}");
    }
    assert_eq!(project.kubectl(&["get", "namespace", &project.namespace, "--ignore-not-found"]), "");
}

#[test]
fn what_the_server_refuses_fails_there() {
    let project = Project::new();
    // whatever could be known of a manifest by itself is told before the server is asked
    for (kind, what, advice) in [
        ("count/jobs.batch", "job", "delete runs that have ended; list them with `kubectl mrunner status`"),
        (
            "persistentvolumeclaims",
            "claim",
            "use a claim that exists with `--storage-claim NAME`, or ask for a larger quota",
        ),
    ] {
        project.quota(kind);
        let outcome = project.run(&["run", "--dry-run=server", "train.py"]);
        let outcome = outcome.told(&format!(
            "\nerror: failed to have the API server check the {what}: the quota of the namespace has no room for it\n"
        ));
        let outcome = outcome.told("exceeded quota: none-of-");
        let hint = format!(
            "hint: {advice}; see the quota with `kubectl --context local -n {} get resourcequota`\n",
            project.namespace
        );
        assert_eq!(outcome.fails(1, &hint).stdout, "");
    }
}

#[test]
fn a_saved_run_can_be_made_by_hand() {
    let mut project = Project::new();
    // its script applies the claim, for which the Role is too narrow
    project.kubeconfig(|_| {});
    project.new_script("print('by hand')");
    let saved = project.path("saved");
    let saved = saved.to_str().unwrap();
    project.run(&["run", "--out", saved, "train.py"]).ok();
    assert!(project.objects("jobs,pvc").is_empty());
    let script = project.path("saved/run.sh");
    let by_hand = project.spawn(project.command("sh", &[script.to_str().unwrap()])).end().ok();
    let planned: Value = serde_json::from_str(&project.read("saved/job.json")).unwrap();
    let made = project.job();
    for part in ["name", "labels"] {
        assert_eq!(made["metadata"][part], planned["metadata"][part]);
    }
    let hash = |job: &Value| job["metadata"]["annotations"]["mrunner/spec-sha256"].clone();
    assert!(hash(&made).is_string() && hash(&made) == hash(&planned));
    let image = &made["spec"]["template"]["spec"]["containers"][0]["image"];
    assert!(image.as_str().unwrap().contains("/cluster-tests/train@sha256:"), "{image}");
    assert_eq!(made["metadata"]["annotations"]["mrunner/image"], *image);
    let run = project.only_run();
    assert!(by_hand.stdout.ends_with(&format!("job.batch/{run}\n")), "{by_hand}");
    let next = format!("next: kubectl mrunner logs -f -n {} {run}\n", project.namespace);
    assert!(by_hand.stderr.ends_with(&next), "{by_hand}");
    assert_eq!(project.run(&["logs", "-f", &run]).ok().stdout, "by hand\n");
    // a second time is refused by the name alone
    let again = project.spawn(project.command("sh", &[script.to_str().unwrap()])).end();
    assert!(again.code != 0 && again.stderr.contains("(AlreadyExists)"), "{again}");
    assert_eq!(project.objects("jobs").len(), 1);
}
