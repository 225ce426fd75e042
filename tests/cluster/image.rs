//! The image: built when something changed, and only then.

use serde_json::Value;

use crate::project::{Project, REGISTRY, program};

#[test]
fn an_unchanged_folder_is_not_built_again() {
    let project = Project::new();
    project.new_script("print('hello')");
    project.write("folder/data/points.csv", "1,2\n");
    project.run(&["run", "train.py"]).ok();
    assert_eq!(project.calls("docker", "buildx build").len(), 1);
    project.run(&["run", "train.py"]).ok().told("nothing to build\n");
    // as a fresh clone has it: another place, other times, another order on the disk
    let copy = "cp -r ../folder ../clone && find ../clone -exec touch -d 2001-02-03 {} + && rm ../clone/train.py && cp train.py ../clone";
    assert!(project.command("sh", &["-c", copy]).status().unwrap().success());
    let mut elsewhere = project.command("kubectl-mrunner", &["run", "train.py"]);
    elsewhere.current_dir(project.path("clone"));
    project.spawn(elsewhere).end().ok().told("nothing to build\n");
    let calls = project.calls("docker", "");
    let builds = project.calls("docker", "buildx build");
    // one question for each run, one build
    assert_eq!((calls.len(), builds.len()), (4, 1), "{calls:#?}");
    let images: Vec<String> = project.objects("jobs").iter().map(image).collect();
    assert!(images[0].starts_with(&format!("{REGISTRY}/cluster-tests/train@sha256:")), "{images:?}");
    assert!(images.iter().all(|image| *image == images[0]), "{images:?}");
}

#[test]
fn a_changed_script_costs_one_small_layer() {
    let project = Project::new();
    let flags = ["run", "--follow", "--requirements", "requirements.txt", "train.py"];
    project.write("folder/requirements.txt", "six\n");
    project.new_script("import six; print(six.__name__)");
    assert_eq!(project.run(&flags).ok().stdout, "six\n");
    project.new_script("import six; print(six.__name__, 2)");
    let changed = project.run(&flags).ok();
    assert_eq!(changed.stdout, "six 2\n");
    // `#6 [3/6] RUN ...`, and on the next line `#6 CACHED`
    let install = changed.stderr.lines().find(|line| line.starts_with('#') && line.contains(r#""pip", "install""#));
    let step = install.and_then(|line| line.split(' ').next()).unwrap_or_else(|| panic!("no pip install: {changed}"));
    assert!(changed.stderr.contains(&format!("\n{step} CACHED\n")), "{changed}");
    let layers: Vec<Vec<(String, u64)>> = project.objects("jobs").iter().map(|job| layers(&image(job))).collect();
    let [before, after] = layers.as_slice() else { panic!("{layers:?}") };
    let new: Vec<_> = after.iter().filter(|layer| !before.contains(layer)).collect();
    assert!(new.len() == 1 && new[0].1 < 10_000, "{layers:?}");
}

#[test]
fn pip_says_why_it_fails() {
    let project = Project::new();
    project.write("folder/requirements.txt", "nonexistent-package-xyz==9.9\n");
    let outcome = project.run(&["run", "--requirements", "requirements.txt", "train.py"]);
    let said = "ERROR: No matching distribution found for nonexistent-package-xyz==9.9\n";
    let outcome = outcome.told(said).told("\nerror: failed to build and publish the image\n");
    assert_eq!((outcome.code, outcome.stdout.as_str()), (1, ""), "{outcome}");
    assert_eq!(project.journals(), [""; 0]);
    assert!(project.objects("jobs,pvc").is_empty());
}

#[test]
fn a_base_image_that_is_missing_is_named() {
    let project = Project::new();
    let outcome = project.run(&["run", "--base_image", "127.0.0.1:5000/none/none:1", "train.py"]);
    let outcome =
        outcome.told("127.0.0.1:5000/none/none:1: not found").told("\nerror: failed to build and publish the image\n");
    assert_eq!((outcome.code, project.journals().len()), (1, 0), "{outcome}");
}

#[test]
fn what_is_published_needs_no_docker_engine() {
    let mut project = Project::new();
    project.run(&["run", "train.py"]).ok();
    project.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    assert_eq!(project.run(&["run", "--follow", "train.py"]).ok().stdout, "hello\n");
    project.new_script("print('new')");
    let outcome = project.run(&["run", "train.py"]).told("unix:///nowhere/docker.sock");
    let hint = "hint: start the Docker Engine (`systemctl start docker`, or Docker Desktop) and see `docker info`\n";
    outcome.fails(1, hint);
    assert_eq!(project.journals(), [""; 0]);
}

#[test]
fn a_registry_that_is_down_is_told() {
    // a port that was free a moment ago
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let registry = format!("127.0.0.1:{port}");
    let project = Project::new();
    let outcome = project.run(&["run", "--registry", &registry, "train.py"]).told("connection refused");
    outcome.fails(1, &format!("hint: is the registry `{registry}` up, and its address right?\n"));
    assert!(project.calls("docker", "buildx build").is_empty());
}

fn image(job: &Value) -> String {
    job["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned()
}

/// The digest and size of each layer.
fn layers(image: &str) -> Vec<(String, u64)> {
    let inspect = ["buildx", "imagetools", "inspect", "--raw", image];
    let output = program("docker").args(inspect).output().unwrap();
    let manifest: Value = serde_json::from_slice(&output.stdout).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    layers.iter().map(|l| (l["digest"].as_str().unwrap().to_owned(), l["size"].as_u64().unwrap())).collect()
}
