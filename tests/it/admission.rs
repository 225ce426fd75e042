//! What the admission of an API server refuses, at each step of a submission: told at once, in its words, and nothing is
//! left behind. The words were recorded from Kubernetes 1.34 with kubectl 1.32.

use crate::support::{Outcome, World};

/// The steps of a sweep's submission with a secret variable: its name, and the calls.
const STEPS: [(&str, &str); 6] = [
    ("namespace", "'kubectl --context kube-lab apply '*"),
    ("claim", "*' create -f - --field-manager=mrunner -o name'"),
    ("job", "*' create '*' -o json'"),
    ("points", "*' create '*' --validate=false -o name'"),
    ("secret", "*' create '*' -o name --validate=false'*"),
    ("release", "*' patch job/'*"),
];

const DENIED: &str = "admission webhook \"team.example.com\" denied the request: \n\nresource Job/x was blocked due to the following policies \n\nrequire-labels:\n  check-team: label team is required";

/// A sweep with a secret, whose calls at one step fail with these words, `$n` being how often they were made before.
fn submitted(pattern: &str, script: &str) -> (World, Outcome) {
    let mut world = World::new();
    world.env("MRUNNER_TEST_PATIENCE", "0.01").env("HF_TOKEN", "x");
    world.write("words", script);
    // the Job gets a uid, and stays suspended
    world.on("*' create '*' -o json'", r#"sed 's/"metadata": {/"metadata": {"uid": "u-7",/' "$call.stdin"; exit 0"#);
    world.on("*' delete jobs '*", "echo gone; exit 0");
    let count = r#"n=$(cat "$world/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$world/n"; . "$world/words""#;
    world.on(pattern, count);
    let outcome = world.run(&["run", "--grid", "lr=1,2", "--secret-env", "HF_TOKEN", "--image", "busybox", "train.py"]);
    (world, outcome)
}

fn fails(words: &str) -> String {
    assert!(!words.contains('\''));
    format!("printf '%s\\n' '{words}' >&2; exit 1")
}

#[track_caller]
fn nothing_is_left(step: &str, world: &World) {
    assert_eq!(world.journals().len(), 0, "{step}");
    let is_created = ["points", "secret", "release"].contains(&step);
    assert_eq!(world.calls_with(" delete jobs ").len(), usize::from(is_created), "{step}");
    // no later command speaks of it
    let later = world.run(&["status"]);
    assert!(!later.stderr.contains("resume"), "{later:?}");
}

#[test]
fn a_policy_that_denies_is_believed_at_once_at_each_step() {
    let begins = [
        "Error from server: ",
        "Error from server (AlreadyExists): ",
        "Error from server (Timeout): ",
        "The request is invalid: ",
    ];
    for (at, (step, pattern)) in STEPS.into_iter().enumerate() {
        for begin in [begins[at % begins.len()], "Error from server (AlreadyExists): "] {
            let (world, outcome) =
                submitted(pattern, &fails(&format!("{begin}error when creating \"STDIN\": {DENIED}")));
            assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{step} {outcome:?}");
            assert_eq!(world.read("n"), "1\n", "{step} {begin}");
            let told = ": a policy of the cluster denied it; nothing was submitted\n";
            assert_eq!(outcome.stderr.matches(told).count(), 1, "{step}\n{}", outcome.stderr);
            // nothing that the user writes changes what is beside the Job
            let hint =
                if ["job", "release"].contains(&step) { "change the run" } else { "ask the cluster's administrator" };
            let hint = format!("\n  |   check-team: label team is required\nhint: {hint}");
            assert!(outcome.stderr.contains(&hint), "{step}: {}", outcome.stderr);
            assert_eq!(outcome.stderr.matches("hint: ").count(), 1, "{}", outcome.stderr);
            nothing_is_left(step, &world);
        }
    }
}

#[test]
fn a_webhook_that_can_not_be_called_is_tried_again_and_named_at_each_step() {
    let away = r#"Error from server (InternalError): error when creating "STDIN": Internal error occurred: failed calling webhook "team.example.com": failed to call webhook: Post "https://team.x.svc:443/?timeout=10s": dial tcp 10.96.0.9:443: connect: connection refused"#;
    for (step, pattern) in STEPS {
        let (world, outcome) = submitted(pattern, &fails(away));
        assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{step} {outcome:?}");
        assert_eq!(world.read("n"), "6\n", "{step}");
        let again = ", trying again: the cluster's webhook `team.example.com` does not answer\n";
        assert_eq!(outcome.stderr.matches(again).count(), 5, "{step}\n{}", outcome.stderr);
        let told = ": the cluster's webhook `team.example.com` does not answer; nothing was submitted\n";
        assert_eq!(outcome.stderr.matches(told).count(), 1, "{step}\n{}", outcome.stderr);
        assert!(
            outcome.stderr.contains("hint: have the cluster's administrator look at the webhook `team.example.com`")
        );
        nothing_is_left(step, &world);
        // it comes back in time
        let back = format!("[ \"$n\" -ge 2 ] || {{ {}; }}", fails(away));
        let go_on = if step == "job" {
            r#"sed 's/"metadata": {/"metadata": {"uid": "u-7",/' "$call.stdin"; exit 0"#
        } else {
            "echo done; exit 0"
        };
        let (world, outcome) = submitted(pattern, &format!("{back}; {go_on}"));
        assert_eq!(outcome.code, 0, "{step} {outcome:?}");
        assert_eq!((world.read("n").as_str(), world.journals().len()), ("3\n", 0), "{step}");
    }
}

#[test]
fn a_webhook_that_is_away_and_then_denies_has_stored_nothing() {
    let away = r#"Error from server (InternalError): Internal error occurred: failed calling webhook "team.example.com": failed to call webhook: context deadline exceeded"#;
    for (step, pattern) in STEPS {
        let script =
            format!("[ \"$n\" -ge 1 ] || {{ {}; }}; {}", fails(away), fails(&format!("Error from server: {DENIED}")));
        let (world, outcome) = submitted(pattern, &script);
        assert_eq!((outcome.code, world.read("n").as_str()), (1, "2\n"), "{step} {outcome:?}");
        assert!(outcome.stderr.contains("denied it; nothing was submitted\n"), "{step} {outcome:?}");
        nothing_is_left(step, &world);
    }
}

#[test]
fn an_answer_that_is_lost_before_a_refusal_leaves_it_unclear() {
    let script = format!(
        "[ \"$n\" -ge 1 ] || {{ {}; }}; {}",
        fails("error: unexpected EOF"),
        fails(&format!("Error from server: {DENIED}"))
    );
    let (world, outcome) = submitted(STEPS[2].1, &script);
    assert!(outcome.code == 1 && outcome.stderr.contains("error: it is unclear whether"), "{outcome:?}");
    assert!(!world.journals().is_empty() && world.calls_with(" delete jobs ").is_empty());
    // the Job was resumed by the first try: a refusal of the second one takes nothing back
    let mut world = World::new();
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    world.on("*' patch job/'*", &script).write("n", "0");
    world.on("*' patch job/'*", &format!(r#"n=$(cat "$world/n"); echo $((n + 1)) >"$world/n"; {script}"#));
    world.on(
        "*' create '*' -o json'",
        r#"cp "$call.stdin" "$world/job"; sed 's/"metadata": {/"metadata": {"uid": "u-7",/' "$call.stdin"; exit 0"#,
    );
    world.on("*' get job/'*", r#"sed 's/"suspend": true/"suspend": false/' "$world/job"; exit 0"#);
    world.run(&["run", "--grid", "lr=1,2", "--image", "busybox", "train.py"]).ok();
    assert_eq!((world.calls_with(" delete jobs ").len(), world.journals().len()), (0, 0));
}

#[test]
fn each_kind_of_refusal_has_its_own_hint() {
    let jobs = r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch "x" is forbidden: "#;
    let policy = "ValidatingAdmissionPolicy team with binding team denied request: team label is required";
    for (words, told, hint) in [
        (format!("{jobs}exceeded quota: q, requested: count/jobs.batch=1, used: count/jobs.batch=5, limited: count/jobs.batch=5"), "the quota of the namespace has no room for it", "delete runs that have ended; list them with `kubectl mrunner status`; see the quota with `kubectl --context kube-lab -n vision get resourcequota`"),
        (format!("{jobs}unable to create new content in namespace vision because it is being terminated"), "the namespace is being deleted", "run again when the namespace is gone: `kubectl --context kube-lab get namespace vision`"),
        (r#"Error from server (NotFound): error when creating "STDIN": namespaces "vision" not found"#.to_owned(), "the namespace does not exist", "create the namespace with `kubectl --context kube-lab create namespace vision`"),
        (format!("{jobs}{}", policy.replace("team with", "\"team\" with")), "a policy of the cluster denied it", "change the run so that the policy allows it"),
        (r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden: User "anna" cannot create resource "jobs" in API group "batch" in the namespace "vision""#.to_owned(), "", "see what this user may do with `kubectl --context kube-lab auth can-i --list`"),
    ] {
        let (world, outcome) = submitted(STEPS[2].1, &fails(&words));
        let colon = if told.is_empty() { "" } else { ": " };
        let line = format!("error: failed to submit the Job `train-[ID]`{colon}{told}; nothing was submitted\n");
        assert!(outcome.stderr.contains(&line), "{}", outcome.stderr);
        assert!(outcome.stderr.contains(&format!("hint: {hint}")), "{}", outcome.stderr);
        assert_eq!(outcome.stderr.matches("hint: ").count(), 1, "{}", outcome.stderr);
        nothing_is_left("job", &world);
    }
    let range = "Error from server (Forbidden): persistentvolumeclaims \"storage\" is forbidden: maximum storage usage per PersistentVolumeClaim is 500M, but request is 40G";
    let (world, outcome) = submitted(STEPS[1].1, &fails(range));
    assert!(outcome.stderr.contains("failed to make the claim `storage`: a LimitRange of the namespace does not allow it; nothing was submitted\n"), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("hint: ask for a size within its bounds with `default_pvc_size` in the context"),
        "{}",
        outcome.stderr
    );
    nothing_is_left("claim", &world);
}

#[test]
fn a_job_that_can_not_be_taken_back_is_told() {
    let mut world = World::new();
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    world.on("*' create '*' --validate=false -o name'", &fails(&format!("Error from server: {DENIED}")));
    world.on("*' delete jobs '*", &fails("Error from server (Forbidden): jobs.batch \"x\" is forbidden: User \"anna\" cannot delete resource \"jobs\""));
    let outcome = world.run(&["run", "--grid", "lr=1,2", "--image", "busybox", "train.py"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("the Job is suspended in the cluster and could not be deleted"),
        "{outcome:?}"
    );
    assert!(
        outcome.stderr.contains("hint: delete it with `kubectl mrunner delete -n vision train-[ID]`"),
        "{outcome:?}"
    );
}

#[test]
fn taking_a_refused_job_back_is_tried_again_and_not_for_ever() {
    let away = fails("error: unexpected EOF");
    let run = |script: &str| {
        let mut world = World::new();
        world.env("MRUNNER_TEST_PATIENCE", "0.01").write("n", "0");
        world.on("*' create '*' --validate=false -o name'", &fails(&format!("Error from server: {DENIED}")));
        let count = r#"n=$(cat "$world/n"); echo $((n + 1)) >"$world/n""#;
        world.on("*' delete jobs '*", &format!("{count}; {script}"));
        let outcome = world.run(&["run", "--grid", "lr=1,2", "--image", "busybox", "train.py"]);
        (world, outcome)
    };
    let again = "trying again: ";
    // it comes back in time
    let (world, outcome) = run(&format!("[ \"$n\" -ge 2 ] || {{ {away}; }}; echo gone; exit 0"));
    assert!(outcome.code == 1 && outcome.stderr.contains("denied it; nothing was submitted\n"), "{outcome:?}");
    assert_eq!((world.read("n").as_str(), outcome.stderr.matches(again).count()), ("3\n", 2), "{outcome:?}");
    assert_eq!(world.journals().len(), 0);
    // it stays away: the run may still be there
    let (world, outcome) = run(&away);
    assert!(outcome.code == 1 && outcome.stderr.contains("error: it is unclear whether"), "{outcome:?}");
    assert_eq!((world.read("n").as_str(), outcome.stderr.matches(again).count()), ("6\n", 5), "{outcome:?}");
    assert!(!world.journals().is_empty(), "{outcome:?}");
}

#[test]
fn a_dry_run_tells_a_denial_and_passes_over_a_webhook_with_side_effects() {
    let mut world = World::new();
    world.on("*--dry-run=server*", &fails(&format!("Error from server: {DENIED}")));
    let outcome = world.run(&["run", "--dry-run=server", "train.py"]);
    assert!(outcome.code == 1 && outcome.stderr.contains(": a policy of the cluster denied it\n"), "{outcome:?}");
    let no = r#"Error from server (BadRequest): error when creating "STDIN": admission webhook "x" does not support dry run"#;
    world.on("*--dry-run=server*", &fails(no));
    let outcome = world.run(&["run", "--dry-run=server", "train.py"]).ok();
    assert!(
        outcome.stderr.contains("warning: the API server can't check the job without creating it: "),
        "{outcome:?}"
    );
}
