//! Logging in to registries, and clusters that need none.

use crate::support::{World, program};

const GCLOUD: &str = "gcloud auth configure-docker";

/// A world whose context has these keys instead of its registry.
fn with(keys: &str) -> World {
    let mut world = World::new();
    let contexts = world.read("home/.config/mrunner/config.yaml");
    let keys = if keys.is_empty() { String::new() } else { format!("    {}\n", keys.replace('\n', "\n    ")) };
    world.write(
        "home/.config/mrunner/config.yaml",
        contexts.replace("    registry_url: http://registry.test:5000\n", &keys),
    );
    world.on("'gcloud auth configure-docker'*", "echo \"$CLOUDSDK_CORE_DISABLE_PROMPTS\" >\"$world/prompts\"; exit 0");
    world.on("'docker login'*", "exit 0");
    world
}

const GOOGLE: &str = "registry_url: https://europe-west4-docker.pkg.dev/rl-1/images";
const LOGIN: &str = "registry_url: https://reg.lab:5443\nregistry_username: anna\nregistry_password_env: REG_PASSWORD";

#[test]
fn google_is_let_in_once_before_anything_is_asked() {
    let world = with(GOOGLE);
    world.run(&["run", "train.py"]).ok();
    let lines: Vec<String> = world.calls().iter().map(crate::support::Call::line).collect();
    assert_eq!(lines[0], format!("{GCLOUD} europe-west4-docker.pkg.dev --quiet"));
    assert_eq!(world.read("prompts"), "1\n");
    let world = with("registry_url: https://gcr.io\ngoogle_project_id: rl-1");
    world.run(&["run", "train.py"]).ok();
    assert_eq!(world.calls()[0].line(), format!("{GCLOUD} gcr.io --quiet"));
    assert!(
        world.job()["spec"]["template"]["spec"]["containers"][0]["image"]
            .as_str()
            .unwrap()
            .starts_with("gcr.io/rl-1/vision/train@")
    );
}

#[test]
fn gcloud_is_never_started_otherwise() {
    for (keys, docker) in [
        (GOOGLE, r#"{"credHelpers": {"europe-west4-docker.pkg.dev": "gcloud"}}"#),
        (GOOGLE, r#"{"auths": {"https://europe-west4-docker.pkg.dev": {}}, "credsStore": "desktop"}"#),
        ("registry_url: https://evilgcr.io/x", "{}"),
        ("registry_url: https://reg.lab/gcr.io", "{}"),
        (LOGIN, "{}"),
    ] {
        let mut world = with(keys);
        world.write("home/.docker/config.json", docker);
        world.env("REG_PASSWORD", "x");
        world.run(&["run", "train.py"]).ok();
        assert!(world.calls_with("gcloud").is_empty(), "{keys}");
    }
    let world = with(GOOGLE);
    world.write("other/config.json", r#"{"credHelpers": {"europe-west4-docker.pkg.dev": "gcloud"}}"#);
    let mut command = world.command(&["run", "train.py"]);
    assert!(command.env("DOCKER_CONFIG", world.path("other")).status().unwrap().success());
    assert!(world.calls_with("gcloud").is_empty());
    for words in [
        &["run", "--image", "gcr.io/a/b", "train.py"][..],
        &["run", "--dry-run", "train.py"],
        &["status"],
        &["run", "--out", "saved", "train.py"],
    ] {
        let world = with(GOOGLE);
        world.run(words).ok();
        assert!(world.calls_with("gcloud").is_empty(), "{words:?}");
    }
    let shown = with(GOOGLE).run(&["run", "--dry-run", "train.py"]).ok().stdout;
    assert!(
        shown.contains(
            "# $ CLOUDSDK_CORE_DISABLE_PROMPTS=1 gcloud auth configure-docker europe-west4-docker.pkg.dev --quiet\n"
        ),
        "{shown}"
    );
}

#[test]
fn gcloud_that_is_missing_or_fails_is_told() {
    let world = with(GOOGLE);
    world.without("gcloud");
    let outcome = world.run(&["run", "train.py"]);
    assert_eq!(outcome.code, 1);
    assert!(
        outcome.stderr.contains("hint: get gcloud: https://cloud.google.com/sdk/docs/install"),
        "{}",
        outcome.stderr
    );
    let mut world = with(GOOGLE);
    world.on("'gcloud auth configure-docker'*", "echo 'ERROR: no account' >&2; exit 1");
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("  | ERROR: no account\nhint: log in with `gcloud auth login`"),
        "{}",
        outcome.stderr
    );
    assert_eq!(world.calls().len(), 1);
    let outcome = with("registry_url: https://eu.gcr.io").run(&["run", "train.py"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("hint: set it in the context: `google_project_id: MY-PROJECT`"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn the_password_is_in_stdin_and_in_the_secret_and_nowhere_else() {
    let mut world = with(LOGIN);
    world.env("REG_PASSWORD", "can'ary\"$x");
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(
        outcome
            .stderr
            .contains("  $ docker login --username anna --password-stdin reg.lab:5443 <<< \"$REG_PASSWORD\"\n"),
        "{}",
        outcome.stderr
    );
    let login = &world.calls_with("docker login")[0];
    assert_eq!(login.stdin, b"can'ary\"$x");
    let secret =
        world.calls_with(" apply ").into_iter().map(|call| call.json()).find(|o| o["kind"] == "Secret").unwrap();
    assert_eq!(
        secret["stringData"][".dockerconfigjson"],
        r#"{"auths":{"reg.lab:5443":{"auth":"YW5uYTpjYW4nYXJ5IiR4"}}}"#
    );
    assert_eq!(secret["type"], "kubernetes.io/dockerconfigjson");
    assert_eq!(world.job()["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"], secret["metadata"]["name"]);
    for words in [&["run", "--dry-run", "train.py"][..], &["run", "--out", "saved", "train.py"]] {
        let shown = world.run(words).ok();
        assert!(!format!("{}{}", shown.stdout, shown.stderr).contains("canary") && !shown.stdout.contains("YW5uYTpj"));
    }
    let script = world.read("vision/saved/run.sh");
    assert!(script.contains("$REG_PASSWORD") && !script.contains("ary") && !script.contains("YW5u"), "{script}");
    assert!(!outcome.stderr.contains("can'ary") && !outcome.stderr.contains("YW5u"));
    for call in world.calls() {
        assert!(!call.line().contains("can'ary") && !call.line().contains("YW5u"), "{}", call.line());
    }
}

#[test]
fn the_saved_script_logs_in_as_the_run_does() {
    let mut world = with(LOGIN);
    world.env("REG_PASSWORD", "pass word");
    world.run(&["run", "--out", "saved", "train.py"]).ok();
    let script = world.path("vision/saved/run.sh").display().to_string();
    world.write("sh/kubectl-mrunner", "");
    let status = program("sh")
        .arg(&script)
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()))
        .env("REG_PASSWORD", "pass word")
        .env("HOME", world.path("home"))
        .status()
        .unwrap();
    assert!(status.success());
    assert_eq!(world.calls_with("docker login")[0].stdin, b"pass word\n");
    let secret =
        world.calls_with(" apply ").into_iter().map(|call| call.json()).find(|o| o["kind"] == "Secret").unwrap();
    assert_eq!(
        secret["stringData"][".dockerconfigjson"],
        r#"{"auths":{"reg.lab:5443":{"auth":"YW5uYTpwYXNzIHdvcmQ="}}}"#
    );
}

#[test]
fn a_login_is_used_where_there_is_one() {
    let mut world = with(LOGIN);
    world.env("REG_PASSWORD", "x");
    world.write("home/.docker/config.json", r#"{"auths": {"reg.lab:5443": {"auth": "eA=="}}}"#);
    world.run(&["run", "train.py"]).ok();
    assert!(world.calls_with("docker login").is_empty());
    let world = with(&format!("{LOGIN}\nimage_pull_secret: mine"));
    world.write("home/.docker/config.json", r#"{"auths": {"reg.lab:5443": {}}}"#);
    world.run(&["run", "train.py"]).ok();
    assert_eq!(world.job()["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"], "mine");
    assert!(!world.calls_with(" apply ").iter().any(|call| call.json()["kind"] == "Secret"));
}

#[test]
fn a_password_that_is_missing_or_wrong_is_told() {
    let outcome = with(LOGIN).run(&["run", "train.py"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("error: the variable `REG_PASSWORD` holds no password for `reg.lab:5443`\nhint: set it, such as with `read -rs REG_PASSWORD && export REG_PASSWORD`"), "{}", outcome.stderr);
    let mut world = with(LOGIN);
    world.env("REG_PASSWORD", "wrong");
    world.on(
        "'docker login'*",
        "echo 'Error response from daemon: login attempt failed with status: 401 Unauthorized' >&2; exit 1",
    );
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 1
            && outcome.stderr.contains("hint: does the variable `REG_PASSWORD` hold the password of `anna`?"),
        "{}",
        outcome.stderr
    );
    assert_eq!(world.calls().len(), 1);
    for (keys, told) in [
        ("registry_url: https://r.io\nregistry_username: a", "has `registry_username` and no password"),
        ("registry_url: https://r.io\nregistry_password_env: A", "has `registry_password_env` and no user"),
    ] {
        let outcome = with(keys).run(&["run", "train.py"]);
        assert!(outcome.code == 2 && outcome.stderr.contains(told), "{}", outcome.stderr);
    }
}

/// A world whose cluster is one of this machine, without a registry.
fn local(kube_context: &str, loader: &str) -> World {
    let mut world = with("");
    world.write(
        "home/.kube/config",
        format!("current-context: {kube_context}\ncontexts: [{{name: {kube_context}, context: {{}}}}]\n"),
    );
    world.write("home/.config/mrunner/config.yaml", "");
    std::os::unix::fs::symlink(world.path("bin/docker"), world.path(&format!("bin/{loader}"))).unwrap();
    world.on(&format!("'{loader} '*"), "exit 0");
    world.on("*' get nodes '*", "exit 0");
    world
}

/// The calls of a program.
fn loads(world: &World, program: &str) -> Vec<String> {
    let own = |call: &crate::support::Call| call.argv[0] == program;
    world.calls().iter().filter(|call| own(call)).map(crate::support::Call::line).collect()
}

#[test]
fn a_cluster_on_this_machine_gets_the_image_loaded() {
    for (context, loader, words) in [
        ("kind-lab", "kind", "kind load docker-image REF --name lab"),
        ("minikube", "minikube", "minikube --profile minikube image load REF"),
        ("k3d-a", "k3d", "k3d image import REF --cluster a"),
    ] {
        let mut world = local(context, loader);
        world.run(&["run", "train.py"]).ok();
        let job = world.job();
        let image = job["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
        assert!(image.starts_with("mrunner.local/vision/train:t-"), "{image}");
        assert_eq!(loads(&world, loader)[0], words.replace("REF", &image));
        let build = world.calls_with("docker buildx build")[0].line();
        assert!(
            build.contains(" --load ") && !build.contains("--push") && build.matches("--tag").count() == 1,
            "{build}"
        );
        assert!(world.calls_with("docker manifest").is_empty() && world.calls_with("imagetools").is_empty());
        // all nodes have it: neither built nor loaded again
        let node = |name: &str| {
            format!(r#"{{"kind":"Node","metadata":{{"name":"n"}},"status":{{"images":[{{"names":["x","{name}"]}}]}}}}"#)
        };
        let asked = |nodes: &[String]| format!("echo '{{\"kind\":\"List\",\"items\":[{}]}}'; exit 0", nodes.join(","));
        world.on("*' get nodes '*", &asked(&[node(&image), node(&image)]));
        world.run(&["run", "train.py"]).ok();
        assert_eq!(world.calls_with("docker buildx build").len(), 1);
        world.on("*' get nodes '*", &asked(&[node(&image), node("y")]));
        world.run(&["run", "train.py"]).ok();
        assert_eq!(loads(&world, loader).len(), 2);
        let shown = world.run(&["run", "--dry-run", "train.py"]).ok().stdout;
        assert!(shown.contains(&format!("# $ {loader} ")) && !shown.contains("by the digest"), "{shown}");
    }
}

#[test]
fn a_profile_of_minikube_may_have_any_name() {
    let world = local("lab", "minikube");
    world.write(
        "home/.kube/config",
        "current-context: lab\ncontexts:\n- name: lab\n  context:\n    extensions:\n    - {extension: {last-update: x, provider: minikube.sigs.k8s.io, version: v1.37.0}, name: context_info}\n    - {extension: [1], name: z}\n    - {extension: null}\n",
    );
    world.run(&["run", "train.py"]).ok();
    assert!(loads(&world, "minikube")[0].starts_with("minikube --profile lab image load "));
}

#[test]
fn a_registry_that_is_named_is_used_on_any_cluster() {
    let world = local("kind-lab", "kind");
    world.run(&["run", "--registry", "http://127.0.0.1:5001", "train.py"]).ok();
    assert!(loads(&world, "kind").is_empty());
    assert!(world.calls_with("docker buildx build")[0].line().contains("--push"));
    let world = World::new();
    world.write("home/.config/mrunner/config.yaml", "");
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("no registry is known to publish the image in"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_image_that_can_not_be_loaded_is_told() {
    let mut world = local("kind-lab", "kind");
    world.on("'kind '*", "echo 'ERROR: no nodes found for cluster \"lab\"' >&2; exit 1");
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("error: failed to load the image into the cluster with kind"),
        "{}",
        outcome.stderr
    );
    assert!(world.submissions().is_empty());
    let world = local("kind-lab", "kind");
    std::fs::remove_file(world.path("bin/kind")).unwrap();
    let outcome = world.run(&["run", "train.py"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("`kind` was not found"), "{}", outcome.stderr);
}
