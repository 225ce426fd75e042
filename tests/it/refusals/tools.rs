//! Tools that are missing or fail.

use super::{BUILD, INSPECT, refused, refuses};
use crate::support::World;

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
