//! `doctor` and `rbac`.

use serde_json::{Value, json};

use crate::support::{Outcome, World};

/// A world in which a run would go well.
pub fn well() -> World {
    let mut world = World::new();
    world.on("'docker info'*", r#"echo '{"ServerVersion":"28.0.0","ClientInfo":{"Version":"28.0.0","Plugins":[{"Name":"buildx","Version":"v0.20.1"}]}}'; exit 0"#);
    world.on("*' version -o json'", r#"echo '{"clientVersion":{"gitVersion":"v1.34.1","minor":"34"},"serverVersion":{"gitVersion":"v1.34.4","minor":"34+"}}'; exit 0"#);
    world.on("*' get nodes '*", "cat \"$world/cluster.json\"; exit 0");
    may(&mut world, &json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]), false);
    world
}

pub fn may(world: &mut World, rules: &Value, incomplete: bool) {
    let review = json!({"status": {"resourceRules": rules, "incomplete": incomplete}});
    world.write("review.json", review.to_string());
    world.on("*' create '*'--validate=false'", "cat \"$world/review.json\"; exit 0");
}

#[track_caller]
fn states(outcome: &Outcome) -> Vec<(String, String)> {
    let document: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    document["checks"].as_array().unwrap().iter().map(|c| (text(&c["name"]), text(&c["state"]))).collect()
}

/// The checks that are not ok, and the exit code.
#[track_caller]
fn wrong(world: &World) -> (Vec<String>, i32) {
    let outcome = world.run(&["doctor", "-o", "json"]);
    let wrong =
        states(&outcome).into_iter().filter(|(_, state)| state != "ok").map(|(name, state)| format!("{name} {state}"));
    (wrong.collect(), outcome.code)
}

#[test]
fn all_is_well_in_few_questions() {
    let world = well();
    let outcome = world.run(&["doctor"]).ok();
    let names: Vec<&str> = outcome.stdout.lines().map(|line| line.split_whitespace().nth(1).unwrap()).collect();
    assert_eq!(
        names,
        [
            "settings",
            "docker",
            "buildx",
            "journal",
            "kubectl",
            "cluster",
            "rights",
            "namespace",
            "storage",
            "nodes",
            "registry"
        ]
    );
    assert!(outcome.stdout.lines().all(|line| line.starts_with("ok ")), "{}", outcome.stdout);
    let reviews = world.calls().into_iter().filter(|call| call.line().contains("--validate=false")).count();
    assert_eq!((reviews, world.calls_with(" auth can-i ").len()), (1, 0));
    assert!(world.calls().len() <= 10, "{:#?}", world.calls());
    // of a project that is there, two of docker, and of a kubectl that can't be a proxy those it could not be asked
    let mut world = well();
    world.on("*' get namespace/vision pvc/storage '*", r#"echo '{"kind":"List","items":[{"kind":"Namespace","metadata":{"name":"vision"}},
        {"kind":"PersistentVolumeClaim","metadata":{"name":"storage","annotations":{"mrunner/project-name":"vision"}},"spec":{"accessModes":["ReadWriteMany"]}}]}'; exit 0"#);
    let told = world.run(&["doctor"]).ok().stdout;
    assert!(told.contains("the claim `storage` can be used"), "{told}");
    assert_eq!((world.calls_with("kubectl ").len(), world.calls_with("docker ").len()), (5, 2), "{:#?}", world.calls());
    let yaml = world.run(&["doctor", "-o", "yaml"]).ok().stdout;
    assert!(yaml.starts_with("ok: true\nchecks:\n- name: settings\n"), "{yaml}");
}

#[test]
fn each_thing_that_is_missing_is_told_with_its_remedy() {
    let cases: &[(&str, &str, &str, &str)] = &[
        (
            "'docker info'*",
            r#"echo '{"ServerErrors":["Cannot connect to the Docker daemon"],"ClientInfo":{"Plugins":[{"Name":"buildx","Version":"v0.20.1"}]}}'; exit 1"#,
            "docker failed",
            "systemctl start docker",
        ),
        (
            "'docker info'*",
            r#"echo '{"ServerVersion":"28","ClientInfo":{"Plugins":[]}}'; exit 0"#,
            "buildx failed",
            "docker-buildx-plugin",
        ),
        (
            "'docker info'*",
            r#"echo '{"ServerVersion":"28","ClientInfo":{"Plugins":[{"Name":"buildx","Version":"0.9.1"}]}}'; exit 0"#,
            "buildx failed",
            "0.10 or newer",
        ),
        (
            "*' version -o json'",
            r#"echo '{"clientVersion":{"gitVersion":"v1.30.0","minor":"30"},"serverVersion":{"gitVersion":"v1.34.4","minor":"34"}}'; exit 0"#,
            "kubectl warning",
            "version-skew-policy",
        ),
        (
            "*' version -o json'",
            r#"echo '{"clientVersion":{"gitVersion":"v1.28.3","minor":"28"},"serverVersion":{"gitVersion":"v1.28.3-gke.1","minor":"28+"}}'; exit 0"#,
            "cluster failed",
            "1.29 or newer",
        ),
        ("*' get nodes '*", r#"echo '{"kind":"List","items":[]}'; exit 0"#, "nodes failed", "kubectl describe nodes"),
        (
            "'docker manifest inspect'*",
            "echo 'no basic auth credentials' >&2; exit 1",
            "registry failed",
            "docker login registry.test:5000",
        ),
        (
            "*' get namespace/vision '*",
            r#"echo '{"kind":"Namespace","metadata":{"name":"vision","deletionTimestamp":"x"}}'; exit 0"#,
            "storage failed",
            "run again when it is gone",
        ),
    ];
    for (pattern, script, expected, remedy) in cases {
        let mut world = well();
        world.on(pattern, script);
        let (wrong, code) = wrong(&world);
        assert_eq!(wrong, [*expected], "{script}");
        assert_eq!(code, i32::from(expected.ends_with("failed")));
        let shown = world.run(&["doctor"]).stdout;
        assert!(shown.contains(remedy), "{shown}");
    }
}

#[test]
fn pod_security_and_a_namespace_that_is_named_are_looked_at() {
    let level = |level: &str| {
        let mut world = well();
        world.on(
            "*' get namespace/vision pvc/storage '*",
            &format!(r#"echo '{{"kind":"Namespace","metadata":{{"name":"vision","labels":{{"pod-security.kubernetes.io/enforce":"{level}"}}}}}}'; exit 0"#),
        );
        world
    };
    let file = "home/.config/mrunner/config.yaml";
    let world = level("restricted");
    let told = world.run(&["doctor"]).ok().stdout;
    assert!(told.contains("`vision` enforces Pod Security `restricted`, which runs pass"), "{told}");
    world.write(file, world.read(file) + "    run_as: 0\n");
    assert_eq!(wrong(&world), (vec!["namespace failed".to_owned()], 1));
    assert!(world.run(&["doctor"]).stdout.contains("hint: run as somebody else: `run_as: 1000` in the context"));
    let world = level("baseline");
    world.write(file, world.read(file) + "    run_as: 0\n");
    assert_eq!(wrong(&world), (vec![], 0));
    // one that the user names is not made by a run
    let named = well().run(&["doctor", "-n", "lab"]);
    assert!(
        named.code == 1
            && named.stdout.contains("hint: make it with `kubectl --context kube-lab create namespace lab`"),
        "{}",
        named.stdout
    );
}

#[test]
fn a_cluster_that_does_not_answer_is_told_once() {
    let mut world = well();
    world.on("'kubectl '*", "echo 'The connection to the server x was refused' >&2; exit 1");
    world.on("*' version -o json'", r#"echo '{"clientVersion":{"gitVersion":"v1.34.1"}}'; echo 'The connection to the server x was refused' >&2; exit 1"#);
    let (wrong, code) = wrong(&world);
    assert_eq!(wrong, ["cluster failed", "rights skipped", "namespace skipped", "storage skipped", "nodes skipped"]);
    assert_eq!(code, 1);
}

#[test]
fn rights_that_are_missing_are_named() {
    let mut world = well();
    may(
        &mut world,
        &json!([{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["get", "list", "delete"]},
        {"apiGroups": [""], "resources": ["pods", "pods/log", "pods/portforward", "persistentvolumeclaims"], "verbs": ["*"]}]),
        false,
    );
    // a run fails without the first alone
    let (told, code) = wrong(&world);
    assert!(code == 1 && told[0] == "rights failed" && told[1..].iter().all(|one| one == "rights warning"), "{told:?}");
    let shown = world.run(&["doctor"]).stdout;
    assert_eq!(shown.matches("hint: have them granted").count(), 1, "{shown}");
    assert!(
        shown.contains("you may not create jobs, to submit runs")
            && shown.contains("you may not create configmaps, to submit sweeps")
            && shown.contains("you may not list events, to say why a run waits"),
        "{shown}"
    );
    assert!(shown.contains("kubectl mrunner rbac -n vision --for-user USER | kubectl apply -f -"));
    may(&mut world, &json!([]), true);
    assert_eq!(wrong(&world).1, 0);
}

#[test]
fn settings_that_are_wrong_are_told_and_the_rest_is_looked_at() {
    let world = well();
    world.write("home/.config/mrunner/config.yaml", "contexts: 5\n");
    let outcome = world.run(&["doctor", "-o", "json"]);
    assert_eq!(outcome.code, 1);
    let told = states(&outcome);
    assert_eq!(told[0], ("settings".to_owned(), "failed".to_owned()));
    assert_eq!(told[1], ("docker".to_owned(), "ok".to_owned()));
    let world = well();
    world.write("home/.config/mrunner/config.yaml", "");
    assert_eq!(wrong(&world), (vec!["registry failed".to_owned()], 1));
    // what needs no registry is looked at all the same
    let names = |outcome: &Outcome| states(outcome).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let looked_at = names(&world.run(&["doctor", "-o", "json"]));
    assert!(["rights", "namespace", "storage"].iter().all(|name| looked_at.iter().any(|n| n == name)), "{looked_at:?}");
    let refused = world.run(&["doctor", "--project", "kube-system", "-o", "json"]);
    assert_eq!(
        states(&refused)[6..],
        [("project", "failed"), ("nodes", "ok"), ("registry", "skipped")].map(|(n, s)| (n.to_owned(), s.to_owned()))
    );
}

#[test]
fn what_is_not_there_is_told_once() {
    let world = well();
    world.without("docker");
    let (told, code) = wrong(&world);
    assert_eq!((told.join(", ").as_str(), code), ("docker failed, buildx skipped, registry skipped", 1));
    let world = well();
    world.without("kubectl");
    let (told, code) = wrong(&world);
    let expected = "kubectl failed, cluster skipped, rights skipped, namespace skipped, storage skipped, nodes skipped";
    assert_eq!((told.join(", ").as_str(), code), (expected, 1));
}

#[test]
fn a_password_that_a_run_needs_is_missed() {
    let mut world = well();
    let login = "    registry_username: anna\n    registry_password_env: REG_PASSWORD\n";
    let file = "home/.config/mrunner/config.yaml";
    world.write(file, world.read(file) + login);
    assert_eq!(wrong(&world), (vec!["registry failed".to_owned()], 1));
    // docker is logged in, and the cluster's Secret needs it all the same
    world.write("home/.docker/config.json", r#"{"auths": {"registry.test:5000": {"auth": "eDp5"}}}"#);
    assert_eq!(wrong(&world), (vec!["registry failed".to_owned()], 1));
    assert_eq!(world.run(&["run", "train.py"]).code, 2);
    assert_eq!(world.calls_with(" buildx build").len(), 0, "built before the password was missed");
    world.env("REG_PASSWORD", "s3cret");
    assert_eq!(wrong(&world), (vec![], 0));
    world.run(&["run", "train.py"]).ok();
}

#[test]
fn a_probe_tells_what_the_kubelet_says_and_leaves_nothing() {
    let waiting = |message: &str| {
        format!(
            r#"echo '{{"kind":"Pod","status":{{"containerStatuses":[{{"name":"helper","state":{{"waiting":{{"reason":"ErrImagePull","message":"{message}"}}}}}}]}}}}'; exit 0"#
        )
    };
    for (message, code, told) in [
        ("registry.test:5000/vision/train:x: not found", 0, "the cluster reaches `registry.test:5000`"),
        ("pulling: 401 Unauthorized", 1, "`registry_username` and `registry_password_env`"),
        ("dial tcp: connection refused", 1, "is the registry's address right as the nodes see it?"),
    ] {
        let mut world = well();
        world.env("MRUNNER_TEST_PATIENCE", "0.05");
        world.on("*' get pod/mrunner-doctor-'*", &waiting(message)).on("*' delete pod '*", "exit 0");
        let outcome = world.run(&["doctor", "--probe"]);
        assert_eq!(outcome.code, code, "{}", outcome.stdout);
        assert!(outcome.stdout.contains(told), "{}", outcome.stdout);
        assert_eq!(world.calls_with(" delete pod mrunner-doctor-").len(), 1);
    }
    // who may not make pods can run all the same
    let mut world = well();
    world.on(
        "'kubectl '*' create -f - --field-manager=mrunner '*",
        "echo 'Error from server (Forbidden): pods is forbidden' >&2; exit 1",
    );
    may(&mut world, &json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]), false);
    let outcome = world.run(&["doctor", "--probe"]).ok();
    assert!(outcome.stdout.contains("\nskipped   probe "), "{}", outcome.stdout);
    // with the Secret that runs pull with, which may not be there before the first
    let mut world = well();
    let login = "    registry_username: anna\n    registry_password_env: REG_PASSWORD\n";
    let file = "home/.config/mrunner/config.yaml";
    world.write(file, world.read(file) + login);
    world.env("MRUNNER_TEST_PATIENCE", "0.05").env("REG_PASSWORD", "s3cret");
    world.on("*' get pod/mrunner-doctor-'*", &waiting("pulling: 401 Unauthorized")).on("*' delete pod '*", "exit 0");
    let outcome = world.run(&["doctor", "--probe"]).ok();
    assert!(
        outcome.stdout.contains("\nwarning   probe       the cluster reaches `registry.test:5000`, and is not let in"),
        "{}",
        outcome.stdout
    );
    let pods =
        world.calls().into_iter().filter(|call| String::from_utf8_lossy(&call.stdin).contains("mrunner-doctor-"));
    let secrets: Vec<Value> = pods.map(|call| call.json()["spec"]["imagePullSecrets"][0]["name"].clone()).collect();
    assert!(secrets.len() == 1 && secrets[0].as_str().unwrap().starts_with("mrunner-registry-"), "{secrets:?}");
}

#[test]
fn the_pod_of_a_probe_asks_for_what_a_limit_range_allows() {
    let bound = r#"Error from server (Forbidden): error when creating "STDIN": pods "p" is forbidden: minimum cpu usage per Container is 200m, but request is 100m"#;
    let all = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let create = "*' create -f - --field-manager=mrunner '*";
    let mut world = well();
    world.env("MRUNNER_TEST_PATIENCE", "0.05").on("*' delete pod '*", "exit 0");
    world.on("*' get pod/mrunner-doctor-'*", r#"echo '{"kind":"Pod","status":{"containerStatuses":[{"name":"envoy","state":{"running":{}}},{"name":"helper","state":{"waiting":{"reason":"ErrImagePull","message":"x: not found"}}}]}}'; exit 0"#);
    world.on(
        create,
        &format!(r#"if grep -q '"cpu": "200m"' "$call.stdin"; then exit 0; fi; echo '{bound}' >&2; exit 1"#),
    );
    may(&mut world, &all, false);
    let outcome = world.run(&["doctor", "--probe"]).ok();
    assert!(outcome.stdout.contains("the cluster reaches `registry.test:5000`"), "{}", outcome.stdout);
    world.on(create, &format!("echo '{bound}' >&2; exit 1"));
    may(&mut world, &all, false);
    let outcome = world.run(&["doctor", "--probe"]);
    assert!(
        outcome.stdout.contains("describe limitrange,resourcequota") && !outcome.stdout.contains("--cpu"),
        "{outcome:?}"
    );
}

#[test]
fn the_cluster_is_asked_by_one_kubectl() {
    let ours = json!({"kind": "PersistentVolume", "metadata": {"name": "v"}});
    let answers = json!({
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews":
            {"kind": "SelfSubjectRulesReview", "status": {"resourceRules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}},
        "/api/v1/namespaces/vision": {"kind": "Namespace", "metadata": {"name": "vision"}},
        "/api/v1/nodes": {"kind": "NodeList", "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "b"}}]},
        "/apis/storage.k8s.io/v1/storageclasses": {"kind": "StorageClassList", "items": [
            {"metadata": {"name": "files"}, "provisioner": "efs.csi.aws.com"}]},
        "/api/v1/persistentvolumes?labelSelector=mrunner%2Fproject%3Dvision": {"kind": "PersistentVolumeList", "items": [ours]},
    });
    let mut world = well();
    world.write("api.json", answers.to_string());
    world.on_proxy();
    let outcome = world.run(&["doctor", "--storage-class", "files"]).ok();
    for told in [
        "a new claim `storage` of 40G would be made: ReadWriteMany of class `files`",
        "2, of which 2 take pods",
        "`vision` is there",
    ] {
        assert!(outcome.stdout.contains(told), "{told}: {}", outcome.stdout);
    }
    let kubectls: Vec<String> = world.calls_with("kubectl ").into_iter().map(|call| call.line()).collect();
    assert_eq!(kubectls.len(), 2, "beside the version, {kubectls:#?}");
    assert!(world.read("asked").contains("/selfsubjectrulesreviews SelfSubjectRulesReview\n"));

    // what is refused is asked of kubectl, whose words are known
    let mut refused = answers;
    refused["/api/v1/nodes"] = Value::Null;
    let mut world = well();
    world.write("api.json", refused.to_string());
    world.on_proxy();
    world.on("*' get nodes '*", "echo 'Error from server (Forbidden): nodes is forbidden' >&2; exit 1");
    let outcome = world.run(&["doctor"]).ok();
    assert!(outcome.stdout.contains("\nwarning   nodes       you may not list them"), "{}", outcome.stdout);

    // and so is everything where the user wants to see what kubectl does
    let world = well();
    world.run(&["doctor", "-v", "6"]).ok();
    assert!(world.calls_with(" proxy ").is_empty());
}

#[test]
fn the_role_is_printed_for_kubectl() {
    let world = World::new();
    let yaml = world.run(&["rbac", "--project", "vision", "--for-user", "anna"]).ok().stdout;
    assert!(yaml.starts_with("---\n# create jobs: to submit runs\n"), "{yaml}");
    assert_eq!(yaml.matches("\n---\n").count() + 1, 2);
    let json = world
        .run(&["rbac", "-n", "lab", "--for-serviceaccount", "lab:trainer", "--cluster-wide", "-o", "json"])
        .ok()
        .stdout;
    let list: Value = serde_json::from_str(&json).unwrap();
    let kinds: Vec<&str> = list["items"].as_array().unwrap().iter().map(|i| i["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"]);
    assert_eq!(
        list["items"][1]["subjects"][0],
        json!({"kind": "ServiceAccount", "namespace": "lab", "name": "trainer"})
    );
    // whoever may change volumes reaches the data of others, so that is said by itself
    assert!(
        !json.contains(r#""patch", "create""#)
            && list["items"][2]["rules"].to_string().contains(r#"["persistentvolumes"],"verbs":["get","list"]"#)
    );
    let keeper = world.run(&["rbac", "-n", "lab", "--volumes"]).ok().stdout;
    assert!(
        keeper.contains(
            "# patch persistentvolumes: to let a project's volume outlive its claim, and be found again; optional\n"
        ),
        "{keeper}"
    );
    assert!(world.calls().is_empty());
    assert_eq!(world.run(&["rbac"]).code, 2);
    assert_eq!(world.run(&["rbac", "-n", "lab", "--for-serviceaccount", "x"]).code, 2);
    assert_eq!(world.run(&["rbac", "-n", "No Such"]).code, 2);
}
