//! Users who may do little.

use serde_json::{Value, json};

use crate::project::{Project, until};

/// What `rbac` prints for a project: group, resource and verbs of each rule.
fn printed(project: &Project) -> Vec<(String, String, Vec<String>)> {
    let role = project.run(&["rbac", "-n", &project.namespace, "-o", "json"]).ok().stdout;
    let role: Value = serde_json::from_str(&role).unwrap();
    let words =
        |list: &Value| list.as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let rules = role["items"][0]["rules"].as_array().unwrap();
    rules
        .iter()
        .map(|r| (words(&r["apiGroups"]).remove(0), words(&r["resources"]).remove(0), words(&r["verbs"])))
        .collect()
}

/// From now on the user is one who may do this in the project's namespace, and nothing elsewhere.
fn become_a_user(project: &mut Project, rules: &[(String, String, Vec<String>)]) {
    let rule = |(group, resource, verbs): &(String, String, Vec<String>)| json!({"verbs": verbs, "apiGroups": [group], "resources": [resource]});
    let meta = json!({"name": "anna"});
    project.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}));
    project.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta,
        "rules": rules.iter().map(rule).collect::<Vec<_>>()}));
    project.create(&json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "anna"},
        "subjects": [{"kind": "ServiceAccount", "name": "anna"}]}));
    let token = project.kubectl(&["create", "token", "anna"]);
    project.kubeconfig(|config| config["users"][0]["user"] = json!({"token": token.trim()}));
}

/// The main things a user does; the first that is refused anything, in words.
fn a_day(project: &Project) -> Result<(), String> {
    let refused = |what: &str, outcome: &crate::project::Outcome| {
        let told = outcome.code != 0 || outcome.stderr.contains("orbidden");
        if told { Err(format!("{what}: {}", outcome.stderr)) } else { Ok(()) }
    };
    let submitted = project.run(&["run", "train.py"]);
    refused("run", &submitted)?;
    let run = submitted.name();
    // by the administrator, as who may not look would wait for ever
    until(|| project.objects("jobs").iter().any(|job| job["status"]["succeeded"] == 1).then_some(())).unwrap();
    refused("status", &project.run(&["status"]))?;
    refused("status RUN", &project.run(&["status", &run]))?;
    refused("logs", &project.run(&["logs", &run]))?;
    refused("ls", &project.run(&["ls", &run]))?;
    refused("delete", &project.run(&["delete", &run]))?;
    let sweep = project.run(&["run", "--grid", "a=1,2", "--secret-env", "HOME", "train.py"]);
    refused("run --grid", &sweep)?;
    let is_done = |job: &serde_json::Value| {
        job["metadata"]["name"] == sweep.name() && job["status"]["conditions"].to_string().contains("\"Complete\"")
    };
    until(|| project.objects("jobs").iter().any(is_done).then_some(())).unwrap();
    let points = project.run(&["status", &sweep.name(), "--points", "--no-headers"]);
    refused("status --points", &points)?;
    if !points.stdout.trim_end().ends_with(" 2") {
        return Err(format!("the points' parameters are not shown: {points}"));
    }
    refused("rerun", &project.run(&["rerun", &sweep.name()]))?;
    refused("delete", &project.run(&["delete", &sweep.name()]))
}

#[test]
fn the_printed_role_is_enough_and_each_verb_of_it_is_needed() {
    let mut whole = Project::new();
    let rules = printed(&whole);
    become_a_user(&mut whole, &rules);
    a_day(&whole).unwrap();
    whole.run(&["ls", "cluster-tests:"]).ok();
    let doctor = whole.run(&["doctor", "--project", "cluster-tests"]).ok();
    assert!(doctor.stdout.contains("ok        rights      all that is needed"), "{doctor}");
    let mut verbs = Vec::new();
    for (i, (_, resource, all)) in rules.iter().enumerate() {
        verbs.extend(all.iter().map(|verb| (i, resource.clone(), verb.clone())));
    }
    // the reasons of events only make the words of `status` richer; a Job is got only after an
    // unclear answer (see cut_off.rs); which verb a forwarded port takes depends on kubectl and the server
    let by_hand = ["events", "pods/portforward", "pods/exec", "pods/attach"];
    verbs.retain(|(_, resource, _)| !by_hand.contains(&resource.as_str()));
    // who may not patch a claim has this machine remember what was tried; who may not watch lists instead; who may not
    // read a pod's log is shown the kept one
    let spare = [
        ("jobs", "get"),
        ("persistentvolumeclaims", "patch"),
        ("pods", "watch"),
        ("jobs", "watch"),
        ("pods/log", "get"),
    ];
    verbs.retain(|(_, resource, verb)| !spare.contains(&(resource.as_str(), verb.as_str())));
    let needless: Vec<String> = std::thread::scope(|scope| {
        let mut waiting = Vec::new();
        for chunk in verbs.chunks(verbs.len().div_ceil(3)) {
            let rules = &rules;
            waiting.push(scope.spawn(move || {
                let without = |(i, resource, verb): &(usize, String, String)| {
                    let mut narrower = rules.clone();
                    narrower[*i].2.retain(|known| known != verb);
                    narrower.retain(|(.., verbs)| !verbs.is_empty());
                    let mut project = Project::new();
                    become_a_user(&mut project, &narrower);
                    a_day(&project).is_ok().then(|| format!("{verb} {resource}"))
                };
                chunk.iter().filter_map(without).collect::<Vec<_>>()
            }));
        }
        waiting.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(needless, [""; 0], "the Role has verbs that nothing needs");
}

#[test]
fn a_narrow_role_is_enough() {
    let mut project = Project::new();
    let rules = printed(&project);
    become_a_user(&mut project, &rules);
    project.context("");
    let namespace = project.namespace.clone();
    let made = project.run(&["run", "--follow", "-n", &namespace, "--storage-class", "shared", "train.py"]).ok();
    assert_eq!(made.told("storage   made\n").stdout, "hello\n");
    project.claim("mine", "shared", "ReadWriteMany");
    let run = project.run(&["run", "--wait", "--storage-claim", "mine", "train.py"]).ok().name();
    let status = project.run(&["status", "--no-headers", &run]).ok().stdout;
    assert!(status.contains(" Succeeded "), "{status}");
    assert_eq!(project.run(&["logs", &run]).ok().stdout, "hello\n");
    project.run(&["delete", &run]).ok();
    assert_eq!(project.objects("jobs").len(), 1);
}

#[test]
fn a_user_who_may_not_submit_is_told() {
    let mut project = Project::new();
    project.claim("mine", "shared", "ReadWriteMany");
    project.context("storage_claim: mine");
    let mut rules = printed(&project);
    rules[0].2.retain(|verb| verb != "create");
    become_a_user(&mut project, &rules);
    let outcome = project.run(&["run", "train.py"]);
    let outcome = outcome.told("\nerror: failed to submit the Job `train-").told(
        "\n  | Error from server (Forbidden): error when creating \"STDIN\": jobs.batch is forbidden: User \"system:serviceaccount:",
    );
    let outcome =
        outcome.fails(1, "hint: see what this user may do with `kubectl --context local auth can-i --list`\n");
    assert_eq!(outcome.stdout, "");
    assert_eq!(project.journals(), [""; 0]);
}

#[test]
fn a_quota_that_is_used_up_is_told() {
    let project = Project::new();
    project.quota("count/jobs.batch");
    let outcome = project.run(&["run", "train.py"]);
    let outcome = outcome.told("\nerror: failed to submit the Job `train-").told("exceeded quota: none-of-");
    let hint = format!(
        "hint: delete runs that have ended; list them with `kubectl mrunner status`; see the quota with `kubectl --context local -n {} get resourcequota`\n",
        project.namespace
    );
    outcome.fails(1, &hint);
    assert_eq!(project.journals(), [""; 0]);
}
