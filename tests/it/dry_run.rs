//! Showing, checking and saving a run instead of submitting it.

use serde::Deserialize;
use serde_json::Value;

use crate::golden::golden;
use crate::support::{World, program};

fn programs(world: &World) -> Vec<String> {
    world.calls().iter().map(|call| call.argv[0].clone()).collect()
}

/// The documents of a YAML stream.
fn documents(yaml: &str) -> Vec<Value> {
    let all = serde_yaml::Deserializer::from_str(yaml).map(|document| Value::deserialize(document).unwrap());
    all.filter(|document| !document.is_null()).collect()
}

#[test]
fn a_dry_run_starts_nothing_but_git() {
    let world = World::new();
    let outcome = world.run(&["run", "--dry-run", "train.py"]).ok();
    assert_eq!(programs(&world), [""; 0]);
    golden(
        "dry_run/stdout.yaml",
        &outcome.stdout.replace(run_id(&outcome.stdout), "[HASH]").replace(hash(&outcome.stdout), "[HASH]"),
    );
    assert_eq!(
        outcome.stderr,
        "context   lab (kube context kube-lab), namespace vision\nproject   `vision` is new, and named after the folder; `--project NAME` names another\nstorage   a new claim `storage` of 40G: the cluster was not asked\n"
    );
    world.has_commit().run(&["run", "--dry-run", "train.py"]).ok();
    assert_eq!(programs(&world), ["git", "git"]);
}

fn value_of<'a>(text: &'a str, key: &str) -> &'a str {
    let begin = text.find(key).unwrap() + key.len();
    text[begin..].split('"').nth(2).unwrap()
}

fn run_id(text: &str) -> &str {
    value_of(text, "mrunner/run-id")
}

fn hash(text: &str) -> &str {
    value_of(text, "mrunner/spec-sha256")
}

#[test]
fn it_is_a_stream_of_the_manifests_that_a_run_sends() {
    let world = World::new();
    world.run(&["run", "train.py"]).ok();
    let sent: Vec<Value> = world.calls_with(" -f - ").iter().map(super::support::Call::json).collect();
    let shown = documents(&world.run(&["run", "--dry-run", "train.py"]).ok().stdout);
    let kinds = |all: &[Value]| all.iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(kinds(&shown), ["Namespace", "PersistentVolumeClaim", "Job"]);
    assert_eq!(kinds(&shown), kinds(&sent));
    assert_eq!(shown[0], sent[0]);
}

#[test]
fn a_dry_run_needs_no_tools_and_no_kubeconfig() {
    let world = World::new();
    for tool in ["docker", "gcloud", "git", "kubectl"] {
        world.without(tool);
    }
    std::fs::remove_dir_all(world.path("home/.kube")).unwrap();
    let contexts = world.read("home/.config/mrunner/config.yaml").replace("    kube_context: kube-lab\n", "");
    world.write("home/.config/mrunner/config.yaml", contexts);
    let outcome = world.run(&["run", "--dry-run", "train.py"]).ok();
    assert!(outcome.stdout.contains("# $ kubectl -n vision create "), "{}", outcome.stdout);
    std::fs::remove_dir_all(world.path("home/.config")).unwrap();
    world.run(&["run", "--dry-run", "--registry", "http://registry.test:5000", "train.py"]).ok();
}

#[test]
fn arguments_with_anything_in_them_are_a_valid_stream() {
    let world = World::new();
    let args = ["---", "a: b", "#x", "\u{7}\u{1b}[31m", "é🦀\u{85}\u{2028}", "a\nb", "'\"\\"];
    let outcome = world.run(&[&["run", "--dry-run", "train.py", "--"], &args[..]].concat()).ok();
    let shown = documents(&outcome.stdout);
    let command = shown[2]["spec"]["template"]["spec"]["containers"][0]["command"].as_array().unwrap().clone();
    assert_eq!(command[6..], args);
}

#[test]
fn the_server_checks_and_keeps_nothing() {
    let mut world = World::new();
    world.on("*' create '*'-o json'*", "echo 'Warning: would violate PodSecurity' >&2; cat \"$call.stdin\"; exit 0");
    let outcome = world.run(&["run", "--dry-run=server", "train.py"]).ok();
    let calls = world.submissions();
    assert!(calls.len() == 3 && calls.iter().all(|c| c.line().ends_with(" --dry-run=server")), "{calls:#?}");
    assert!(world.calls_with("buildx build").is_empty() && world.calls_with(" apply ").is_empty());
    assert_eq!(calls[2].json()["metadata"]["namespace"], "default");
    let told = outcome.stderr.split_once("one node\n").unwrap().1;
    assert_eq!(
        told,
        "the namespace `vision` does not exist yet: claim and Job are checked as if for `default`
warning: would violate PodSecurity
checked   the API server would take the namespace
warning: would violate PodSecurity
checked   the API server would take the claim
warning: would violate PodSecurity
checked   the API server would take the job
"
    );
}

#[test]
fn what_the_server_refuses_is_told() {
    let mut world = World::new();
    world.on(
        "*' create '*'-o json'*",
        "echo 'The Job \"train\" is invalid: spec.completions: Required value' >&2; exit 1",
    );
    world.run(&["run", "--dry-run=server", "train.py"]).fails(1, r#"error: failed to have the API server check the namespace
  command: kubectl --context kube-lab -n default create -f - --field-manager=mrunner -o json --dry-run=server < namespace.json
  exit status: 1
  | The Job "train" is invalid: spec.completions: Required value
"#);
}

#[test]
fn a_saved_run_holds_all_that_it_needs() {
    let world = World::new();
    let outcome = world.run(&["run", "--out", "../saved", "train.py"]).ok();
    assert!(
        outcome.stderr.ends_with("saved     in `../saved`; submit it with `sh ../saved/run.sh`\n"),
        "{}",
        outcome.stderr
    );
    assert!(world.calls_with("buildx build").is_empty() && world.calls_with(" -f - ").is_empty());
    let mut names: Vec<_> = std::fs::read_dir(world.path("saved"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["Dockerfile", "claim.json", "context.tar", "job.json", "namespace.json", "run.sh"]);
    golden("saved/run.sh", &world.tidy(&world.read("saved/run.sh")));
    world.run(&["run", "--out", "../saved", "train.py"]).fails(
        1,
        "error: `../saved` holds a saved run already
hint: name another folder with `--out FOLDER`
",
    );
}

#[test]
fn the_saved_script_does_what_a_run_does() {
    let world = World::new();
    world.run(&["run", "--out", "../saved", "train.py", "--", "a b", "$(HOME)"]).ok();
    let before = world.calls().len();
    let script = || {
        let mut sh = program("/bin/sh");
        sh.arg(world.path("saved/run.sh")).env_clear();
        sh.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
        sh.output().unwrap()
    };
    let output = script();
    assert!(output.status.success(), "{output:?}");
    let said = world.tidy(&String::from_utf8(output.stderr).unwrap());
    assert_eq!(said, "next: kubectl mrunner logs -f -n vision train-[ID]\n");
    let by_script = world.calls()[before..].to_vec();
    world.run(&["run", "train.py", "--", "a b", "$(HOME)"]).ok();
    let by_run: Vec<_> = world.calls()[before + by_script.len()..]
        .iter()
        .filter(|c| c.line().contains(" build ") || c.line().contains(" -f - "))
        .cloned()
        .collect();
    assert_eq!((by_script.len(), by_run.len()), (4, 4));
    for (one, other) in by_script.iter().zip(&by_run).skip(1) {
        // a person wants the name of what was made, and not all of it
        assert_eq!(one.line(), other.line().replace(" -o json", " -o name"));
    }
    assert_eq!(by_script[0].stdin, by_run[0].stdin);
    let (one, other) = (by_script[3].json(), by_run[3].json());
    let container = |job: &Value| {
        let mut container = job["spec"]["template"]["spec"]["containers"][0].clone();
        let env = container["env"].as_array_mut().unwrap();
        // a word of each run
        env.retain(|variable| variable["name"] != "MRUNNER_MARK");
        container
    };
    assert_eq!(container(&one), container(&strip_run(&other, &one)));
    assert!(one["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().contains("/train@sha256:0000"));
}

/// `job` under the name of `other`.
fn strip_run(job: &Value, other: &Value) -> Value {
    let name = |job: &Value| job["metadata"]["name"].as_str().unwrap().to_owned();
    serde_json::from_str(&job.to_string().replace(&name(job), &name(other))).unwrap()
}

#[test]
fn a_saved_script_stops_where_a_command_fails() {
    let mut world = World::new();
    world.run(&["run", "--out", "../saved", "train.py"]).ok();
    world.on("'docker buildx build'*", "echo '{}' >\"$(after --metadata-file \"$@\")\"; exit 0");
    world.command(&[]);
    let mut sh = program("/bin/sh");
    sh.arg(world.path("saved/run.sh"))
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    let output = sh.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "error: docker told no digest\n");
    assert!(!output.status.success() && world.submissions().is_empty());
}

#[test]
fn a_saved_run_of_an_image_that_is_there_prints_names_as_well() {
    let world = World::new();
    world.run(&["run", "--image", "busybox", "--out", "../saved", "train.py"]).ok();
    let script = world.tidy(&world.read("saved/run.sh"));
    let end = "kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < job.json
echo \"next: kubectl mrunner logs -f -n vision train-[ID]\" >&2
";
    assert!(script.ends_with(end) && !script.contains("-o json"), "{script}");
}

#[test]
fn a_saved_run_is_written_through_no_link() {
    let world = World::new();
    world.write("home/.bashrc", "mine");
    std::fs::create_dir(world.path("saved")).unwrap();
    let place = |name: &str| world.path("saved").join(name);
    std::os::unix::fs::symlink("../home/.bashrc", place("Dockerfile")).unwrap();
    std::os::unix::fs::symlink("../home/.new", place("context.tar")).unwrap();
    std::fs::hard_link(world.path("home/.bashrc"), place("job.json")).unwrap();
    assert!(program("mkfifo").arg(place("namespace.json")).status().unwrap().success());
    world.run(&["run", "--out", "../saved", "train.py"]).ok();
    assert_eq!(world.read("home/.bashrc"), "mine");
    assert!(!world.path("home/.new").exists());
    for name in ["Dockerfile", "context.tar", "job.json", "namespace.json", "run.sh"] {
        assert!(place(name).symlink_metadata().unwrap().is_file(), "{name}");
    }
    std::fs::remove_file(place("run.sh")).unwrap();
    std::os::unix::fs::symlink("../home/.new", place("run.sh")).unwrap();
    assert!(world.run(&["run", "--out", "../saved", "train.py"]).stderr.contains("holds a saved run already"));
}
