//! `run`, as a user sees it.

use serde_json::json;

use crate::support::World;

#[test]
fn the_name_alone_is_the_answer() {
    let world = World::new();
    let outcome = world.run(&["run", "train.py"]).ok();
    assert_eq!(outcome.stdout, "train-[ID]\n");
    assert_eq!(
        outcome.stderr,
        "context   lab (kube context kube-lab), namespace vision
project   `vision` is new, and named after the folder; `--project NAME` names another
storage   a new claim `storage` of 40G: ReadWriteOnce of the default class `standard`, on one node
image     registry.test:5000/vision/train:t-[KEY], to be built
  $ docker buildx build --push --provenance=false --platform linux/amd64 --tag registry.test:5000/vision/train:t-[KEY] --tag registry.test:5000/vision/train:20[TIME] --metadata-file [DIR]/mrunner-[TMP]/metadata.json --progress=plain - < context.tar
image     registry.test:5000/vision/train@sha256:0000000000000000000000000000000000000000000000000000000000000007 published
  $ kubectl --context kube-lab apply --server-side --field-manager=mrunner -f - -o name < namespace.json
namespace made
  $ kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < claim.json
storage   made
  $ kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
job       train-[ID] submitted
next:
  kubectl mrunner logs -f -n vision train-[ID]
  kubectl mrunner status -n vision train-[ID]
  kubectl mrunner delete -n vision train-[ID]
"
    );
}

#[test]
fn both_documented_command_lines_work_to_the_letter() {
    let mut world = World::new();
    world.write("vision/experiment1.py", "");
    world.write("vision/requirements.txt", "numpy\n");
    world.write("vision/neptune.yaml", "name: first\nproject: vision\n");
    world.write(
        "home/.config/mrunner/config.yaml",
        world
            .read("home/.config/mrunner/config.yaml")
            .replace("lab:", "gke.sandbox:")
            .replace(": lab\n", ": gke.sandbox\n"),
    );
    let script = |world: &World| {
        let job = world.submissions().last().unwrap().json();
        job["spec"]["template"]["spec"]["containers"][0]["command"].as_array().unwrap()[4..].to_vec()
    };
    world.env("MRUNNER_CONTEXT", "gke.sandbox");
    let first = r"run --config neptune.yaml --tags grid_search_k-12-48 --tags new_data --requirements requirements.txt --base_image python:3 experiment1.py -- --param1 1";
    world.run(&first.split(' ').collect::<Vec<_>>()).ok();
    assert_eq!(script(&world), ["python", "experiment1.py", "--param1", "1"]);
    let labels = world.job()["metadata"]["labels"].clone();
    assert_eq!(labels["tag.mrunner/grid_search_k-12-48"], "true");
    assert_eq!(labels["tag.mrunner/new_data"], "true");
    let second = r"--context gke.sandbox run --config neptune.yaml --base_image python:3 --requirements requirements.txt -- experiment1.py -- --epochs 3";
    world.run(&second.split(' ').collect::<Vec<_>>()).ok();
    assert_eq!(script(&world), ["python", "experiment1.py", "--epochs", "3"]);
}

#[test]
fn arguments_arrive_as_they_were_typed() {
    let world = World::new();
    let args = ["a b", "it's \"x\"", "$(HOME)", "$$", "x\ny", "--", "", "é🦀", "-f", "--tags", "a=b"];
    world.run(&[&["run", "train.py", "--"], &args[..]].concat()).ok();
    let command = world.job()["spec"]["template"]["spec"]["containers"][0]["command"].clone();
    let doubled: Vec<_> = args.iter().map(|arg| arg.replace('$', "$$")).collect();
    assert_eq!(command.as_array().unwrap()[6..], doubled);
}

#[test]
fn a_script_below_the_folder_may_be_named_in_many_ways() {
    let world = World::new();
    world.write("vision/src/deep/eval.py", "");
    let absolute = world.path("vision/src/deep/eval.py").canonicalize().unwrap().display().to_string();
    for script in
        ["src/deep/eval.py", "./src//deep/eval.py", "src/x/../deep/eval.py", "../vision/src/deep/eval.py", &absolute]
    {
        world.run(&["run", script]).ok();
        let job = world.submissions().last().unwrap().json();
        let command = job["spec"]["template"]["spec"]["containers"][0]["command"].clone();
        assert_eq!(command.as_array().unwrap()[4..], ["python", "src/deep/eval.py"], "{script}");
        assert!(job["metadata"]["name"].as_str().unwrap().starts_with("eval-"));
    }
}

#[test]
fn requirements_that_are_there_and_not_asked_for_are_told() {
    let told = "warning: `requirements.txt` is not installed; if it should be: `--requirements requirements.txt`\n";
    let said = |args: &[&str], folder: &str| {
        let world = World::new();
        world.write(&format!("vision/{folder}requirements.txt"), "numpy\n");
        world.write("vision/neptune.yaml", "requirements: requirements.txt\n");
        world.run(&[&["run"], args, &["train.py"]].concat()).ok().stderr.matches(told).count()
    };
    assert_eq!(said(&[], ""), 1);
    assert_eq!(said(&["--requirements", "requirements.txt"], ""), 0);
    assert_eq!(said(&["--config", "neptune.yaml"], ""), 0);
    assert_eq!(said(&["--image", "busybox"], ""), 0);
    assert_eq!(said(&[], "other/"), 0);
}

#[test]
fn a_project_that_has_the_folders_name_is_told_while_it_is_new() {
    let told = "project   `vision` is new, and named after the folder; `--project NAME` names another\n";
    let world = World::new();
    assert!(world.run(&["run", "train.py"]).ok().stderr.contains(told));
    for args in [&["--project", "vision"][..], &["--config", "neptune.yaml"]] {
        world.write("vision/neptune.yaml", "project: vision\n");
        let outcome = world.run(&[&["run"], args, &["train.py"]].concat()).ok();
        assert!(!outcome.stderr.contains("is new"), "{}", outcome.stderr);
    }
    let mut world = World::new();
    world.on("*' get namespace/'*", r#"echo '{"kind":"Namespace","metadata":{"name":"vision"}}'; exit 0"#);
    for args in [&["run", "train.py"][..], &["run", "-n", "team", "train.py"]] {
        let outcome = world.run(args).ok();
        assert!(!outcome.stderr.contains("is new"), "{}", outcome.stderr);
    }
}

#[test]
fn nothing_is_built_when_nothing_changed() {
    let mut world = World::new();
    world.on("'docker manifest inspect'*", r#"echo '{"Descriptor":{"digest":"sha256:04c4"}}'; exit 0"#);
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("nothing to build\n"), "{}", outcome.stderr);
    assert!(world.calls_with("buildx build").is_empty());
    assert_eq!(
        world.job()["spec"]["template"]["spec"]["containers"][0]["image"],
        json!("registry.test:5000/vision/train@sha256:04c4")
    );
}

#[test]
fn a_warm_run_costs_one_docker_and_two_kubectl() {
    let mut world = World::new();
    world.on("'docker manifest inspect'*", r#"echo '{"Descriptor":{"digest":"sha256:04c4"}}'; exit 0"#);
    let proof =
        r#"{"claim":"u1","volume":"v1","nodes":["a","b"],"shared":true,"image":"i","time":"2026-11-24T12:00:00Z"}"#;
    let claim = json!({"kind": "PersistentVolumeClaim",
        "metadata": {"name": "storage", "uid": "u1", "annotations": {"mrunner/project-name": "vision", "mrunner/proved": proof}},
        "spec": {"accessModes": ["ReadWriteMany"], "volumeName": "v1"}, "status": {"phase": "Bound"}});
    let volume = json!({"kind": "PersistentVolume", "metadata": {"name": "v1", "labels": {"mrunner/project": "vision"}, "annotations": {"mrunner/project-name": "vision"}},
        "spec": {"claimRef": {"uid": "u1"}, "persistentVolumeReclaimPolicy": "Retain"}, "status": {"phase": "Bound"}});
    let namespace = json!({"kind": "Namespace", "metadata": {"name": "vision"}});
    world.write("two.json", json!({"kind": "List", "items": [namespace, claim]}).to_string());
    world.write("three.json", json!({"kind": "List", "items": [namespace, claim, volume]}).to_string());
    world.on("*' get namespace/vision pvc/storage '*", r#"cat "$world/two.json"; exit 0"#);
    world.on("*' get namespace/vision pvc/storage pv/v1 '*", r#"cat "$world/three.json"; exit 0"#);
    world.on("*' get pv/v1 '*", &format!("echo '{volume}'; exit 0"));
    // the first run learns which volume the claim has
    world.has_commit();
    world.run(&["run", "train.py"]).ok();
    let first = world.calls().len();
    world.run(&["run", "train.py"]).ok();
    let programs: Vec<String> = world.calls().iter().skip(first).map(|call| call.argv[0].clone()).collect();
    let count = |name: &str| programs.iter().filter(|p| *p == name).count();
    assert_eq!((count("docker"), count("kubectl"), count("git"), count("gcloud")), (1, 2, 2, 0));
}

#[test]
fn the_version_is_told_in_one_way() {
    let expected = format!("kubectl-mrunner {}\n", env!("CARGO_PKG_VERSION"));
    for word in ["version", "--version"] {
        assert_eq!(World::new().run(&[word]).ok().stdout, expected);
    }
    let json: serde_json::Value =
        serde_json::from_str(&World::new().run(&["version", "-o", "json"]).ok().stdout).unwrap();
    let platform = json["clientVersion"]["platform"].as_str().unwrap().to_owned();
    assert!(["linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"].contains(&platform.as_str()), "{platform}");
    let yaml = World::new().run(&["version", "--client", "-o", "yaml"]).ok().stdout;
    assert_eq!(yaml, format!("clientVersion:\n  gitVersion: v{}\n  platform: {platform}\n", env!("CARGO_PKG_VERSION")));
}
