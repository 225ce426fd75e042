//! Which cluster, which settings.

use clap::CommandFactory;
use mrunner::cli::{Cli, with_dashes};

use crate::support::World;

const TWO: &str = "current_context: lab
contexts:
  lab: {name: lab, type: kubernetes, storage: /storage, registry_url: http://registry.test:5000, kube_context: kube-lab}
  kube-other: {name: kube-other, type: kubernetes, storage: /other, registry_url: http://registry.test:5000}
  far: {name: far, type: kubernetes, storage: /far, registry_url: http://registry.test:5000}
";

fn two() -> World {
    let world = World::new();
    world.write("home/.config/mrunner/config.yaml", TWO);
    world
}

/// What it says about the pair that it resolved.
#[track_caller]
fn pair(world: &World, args: &[&str]) -> String {
    let outcome = world.run(&[args, &["run", "--dry-run", "train.py"]].concat()).ok();
    outcome.stderr.lines().next().unwrap().strip_prefix("context   ").unwrap().to_owned()
}

#[track_caller]
fn dry(world: &World, args: &[&str]) -> String {
    world.run(&[&["run", "--dry-run"], args, &["train.py"]].concat()).ok().stdout
}

#[test]
fn a_flag_beats_the_experiment_file_beats_the_context_beats_the_default() {
    let world = World::new();
    let base = |args: &[&str]| {
        let shown = dry(&world, args);
        shown.lines().find(|l| l.starts_with("#   FROM")).unwrap().split(' ').next_back().unwrap().to_owned()
    };
    assert_eq!(base(&[]), "python:3");
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write("home/.config/mrunner/config.yaml", format!("{contexts}    base_image: python:3.10\n"));
    assert_eq!(base(&[]), "python:3.10");
    world.write("vision/neptune.yaml", "base_image: python:3.11\n");
    assert_eq!(base(&["--config", "neptune.yaml"]), "python:3.11");
    assert_eq!(base(&["--config", "neptune.yaml", "--base_image", "python:3.12"]), "python:3.12");
}

#[test]
fn resources_are_taken_one_by_one() {
    let world = World::new();
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write("home/.config/mrunner/config.yaml", format!("{contexts}    resources: {{cpu: 1, mem: 1G, gpu: 1}}\n"));
    world.write("vision/neptune.yaml", "resources: {cpu: 2, mem: 2G}\n");
    let shown = dry(&world, &["--config", "neptune.yaml", "--cpu", "3"]);
    let limits = r#""limits": {
                "cpu": "3",
                "memory": "2G",
                "nvidia.com/gpu": "1""#;
    assert!(shown.contains(limits), "{shown}");
}

#[test]
fn project_and_name_follow_the_same_rule() {
    let world = World::new();
    world.write("vision/neptune.yaml", "project: from-file\nname: file-name\n");
    let shown = dry(&world, &["--config", "neptune.yaml"]);
    assert!(shown.contains(r#""namespace": "from-file""#) && shown.contains(r#""name": "file-name-"#), "{shown}");
    let shown = dry(&world, &["--config", "neptune.yaml", "--project", "flag", "--name", "mine"]);
    assert!(shown.contains(r#""namespace": "flag""#) && shown.contains(r#""name": "mine-"#), "{shown}");
}

#[test]
fn a_name_is_a_remote_context_first_and_a_kube_context_second() {
    let world = two();
    assert_eq!(pair(&world, &["--context", "lab"]), "lab (kube context kube-lab), namespace vision");
    // one of each kind: the remote one, with the kube context of its name
    assert_eq!(pair(&world, &["--context", "kube-other"]), "kube-other (kube context kube-other), namespace vision");
    // a remote context that names no cluster: kubeconfig's current one
    assert_eq!(pair(&world, &["--context", "far"]), "far (kube context kube-lab), namespace vision");
    world.run(&["--context", "kube-lab", "run", "--dry-run", "train.py"]).fails(
        2,
        "error: no registry is known to publish the image in
hint: name one with `--registry URL`, or as `registry_url` of a context in `~/.config/mrunner/config.yaml`
hint: or run an image that exists already with `--image IMAGE`
",
    );
    let outcome = world.run(&["--context", "kube-lab", "run", "--dry-run", "--image", "busybox", "train.py"]).ok();
    assert_eq!(
        outcome.stderr.lines().next().unwrap(),
        "context   kube context kube-lab, no remote context, namespace vision"
    );
}

#[test]
fn a_name_of_neither_kind_is_an_error() {
    two().run(&["--context", "kube-oter", "status"]).fails(
        2,
        "error: no context is called `kube-oter`
  remote contexts: `lab`, `kube-other`, `far`
  kubeconfig contexts: `kube-lab`, `kube-other`
hint: did you mean `--context kube-other`?
",
    );
    two().run(&["--context", "nothing-like-it", "run", "train.py"]).fails(
        2,
        "error: no context is called `nothing-like-it`
  remote contexts: `lab`, `kube-other`, `far`
  kubeconfig contexts: `kube-lab`, `kube-other`
hint: name one of these with `--context NAME`
",
    );
    let world = World::new();
    world.write("home/.config/mrunner/config.yaml", "contexts: {}\n");
    world.write("home/.kube/config", "");
    world.run(&["--context", "lab", "status"]).fails(
        2,
        "error: no context is called `lab`
  remote contexts: none
  kubeconfig contexts: none
hint: the kubeconfig `[DIR]/home/.kube/config` holds no context: fetch the cluster's, and name it such as with `export KUBECONFIG=FILE`
",
    );
}

#[test]
fn the_variable_stands_between_flag_and_file() {
    let mut world = two();
    world.env("MRUNNER_CONTEXT", "far");
    assert_eq!(pair(&world, &[]), "far (kube context kube-lab), namespace vision");
    assert_eq!(pair(&world, &["--context", "lab"]), "lab (kube context kube-lab), namespace vision");
    let mut world = two();
    world.env("MRUNNER_CONTEXT", "fra");
    world.run(&["status"]).fails(
        2,
        "error: no context is called `fra`
  remote contexts: `lab`, `kube-other`, `far`
  kubeconfig contexts: `kube-lab`, `kube-other`
  named by: the variable `MRUNNER_CONTEXT`
hint: did you mean `--context far`?
",
    );
    let mut world = two();
    world.env("MRUNNER_CONTEXT", "");
    assert_eq!(pair(&world, &[]), "lab (kube context kube-lab), namespace vision");
}

#[test]
fn a_current_context_that_is_not_there_is_an_error() {
    let world = two();
    world.write("home/.config/mrunner/config.yaml", TWO.replace("current_context: lab", "current_context: lap"));
    world.run(&["status"]).fails(2, "error: `[DIR]/home/.config/mrunner/config.yaml` line 1: `current_context` must be the name of one of the contexts, not `lap`
hint: did you mean `lab`?
");
}

#[test]
fn several_kubeconfigs_are_one() {
    let mut world = World::new();
    world.write("k/one", "contexts: [{name: a, context: {}}]\n");
    world
        .write("k/two", "current-context: b\ncontexts: [{name: b, context: {}}, {name: a, context: {namespace: x}}]\n");
    let list = format!(
        "{}:{}:{}",
        world.path("k/one").display(),
        world.path("k/none").display(),
        world.path("k/two").display()
    );
    world.env("KUBECONFIG", &list);
    std::fs::remove_dir_all(world.path("home/.config")).unwrap();
    let outcome = world.run(&["run", "--dry-run", "--image", "busybox", "train.py"]).ok();
    assert!(outcome.stderr.starts_with("context   kube context b, no remote context"), "{}", outcome.stderr);
    let outcome = world.run(&["--context", "a", "run", "--dry-run", "--image", "busybox", "train.py"]).ok();
    assert!(outcome.stderr.starts_with("context   kube context a, no remote context"), "{}", outcome.stderr);
}

#[test]
fn a_kubeconfig_can_be_named() {
    let world = two();
    world.write("k/own", "current-context: mine\ncontexts: [{name: mine, context: {}}]\n");
    let file = world.path("k/own").display().to_string();
    let outcome = world.run(&["--kubeconfig", &file, "--context", "far", "run", "train.py"]).ok();
    assert!(outcome.stderr.starts_with("context   far (kube context mine)"), "{}", outcome.stderr);
    assert!(
        world.calls_with("kubectl").iter().all(|c| c.line().contains(&format!("--context mine --kubeconfig {file} ")))
    );
    world.run(&["--kubeconfig", "none.yaml", "status"]).fails(
        2,
        "error: there is no file `none.yaml`, which `--kubeconfig` names
",
    );
}

#[test]
fn the_kube_context_can_be_named() {
    let world = two();
    assert_eq!(
        pair(&world, &["--context", "lab", "--kube-context", "kube-other"]),
        "lab (kube context kube-other), namespace vision"
    );
    world.run(&["--kube-context", "kube-laa", "status"]).fails(
        2,
        "error: the kubeconfig has no context `kube-laa`, which `--kube-context` names
hint: did you mean `kube-lab`?
",
    );
    world.write("home/.config/mrunner/config.yaml", TWO.replace("kube_context: kube-lab", "kube_context: gone"));
    world.run(&["status"]).fails(
        2,
        "error: the kubeconfig has no context `gone`, which the context `lab` names
hint: list them with `kubectl config get-contexts`
",
    );
}

#[test]
fn flags_for_kubectl_reach_every_call() {
    let mut world = World::new();
    let flags = [
        "--cluster",
        "c",
        "--user",
        "u",
        "--as",
        "anna",
        "--server",
        "https://x",
        "--cache-dir",
        "d",
        "--request-timeout",
        "5s",
        "--as-group",
        "g1",
        "--as-group",
        "g2",
        "--insecure-skip-tls-verify",
    ];
    let all = format!("kubectl --context kube-lab {} ", flags.join(" "));
    let outcome = world.run(&[&["run"], &flags[..], &["train.py"]].concat()).ok();
    let run = outcome.stdout.trim();
    assert!(outcome.stderr.ends_with(&format!("kubectl mrunner {} delete -n vision {run}\n", flags.join(" "))));
    world.shows(&[]);
    world.run(&[&flags[..], &["status"]].concat()).ok();
    let calls = world.calls_with("kubectl");
    assert!(calls.len() == 10 && calls.iter().all(|call| call.line().starts_with(&all)), "{calls:#?}");
}

#[test]
fn a_given_namespace_is_used_and_not_made() {
    let mut world = World::new();
    world.run(&["run", "-n", "team", "train.py"]).fails(
        1,
        "error: the namespace `team` does not exist
hint: make it with `kubectl --context kube-lab create namespace team`
",
    );
    world.on("*' get namespace/team '*", r#"echo '{"kind":"Namespace","metadata":{"name":"team"}}'; exit 0"#);
    world.run(&["run", "-n", "team", "train.py"]).ok();
    let made = world.calls_with(" create -f - --field-manager=mrunner -o name");
    assert_eq!(made.len(), 1);
    assert_eq!(made[0].json()["metadata"]["name"], "storage-vision");
    assert_eq!(world.job()["metadata"]["namespace"], "team");
    world.run(&["run", "-n", "Team", "train.py"]).fails(
        2,
        "error: `Team` can't be a namespace
hint: lower-case letters, digits and `-`, at most 63, such as `lab-anna`
",
    );
}

#[test]
fn without_a_file_kubeconfig_and_a_registry_are_enough() {
    let world = World::new();
    std::fs::remove_dir_all(world.path("home/.config")).unwrap();
    let outcome = world.run(&["run", "--registry", "http://registry.test:5000", "train.py"]).ok();
    assert_eq!(
        outcome.stderr.lines().next().unwrap(),
        "context   kube context kube-lab, no remote context, namespace vision"
    );
    world.run(&["run", "--image", "busybox", "train.py"]).ok();
    assert_eq!(world.calls_with("buildx build").len(), 1);
    world.run(&["run", "train.py"]).fails(
        2,
        "error: no registry is known to publish the image in
hint: name one with `--registry URL`, or as `registry_url` of a context in `~/.config/mrunner/config.yaml`
hint: or run an image that exists already with `--image IMAGE`
",
    );
}

#[test]
fn the_file_is_where_the_environment_says() {
    let mut world = World::new();
    world.write("xdg/mrunner/config.yaml", TWO.replace("current_context: lab", "current_context: far"));
    let xdg = world.path("xdg").display().to_string();
    world.env("XDG_CONFIG_HOME", &xdg);
    assert!(pair(&world, &[]).starts_with("far "));
    world.write("own.yaml", TWO);
    let own = world.path("own.yaml").display().to_string();
    world.env("MRUNNER_CONFIG", &own);
    assert!(pair(&world, &[]).starts_with("lab "));
}

#[test]
fn a_file_that_the_environment_names_must_be_there() {
    let mut world = World::new();
    world.env("MRUNNER_CONFIG", "/nowhere/config.yaml");
    for args in [&["status"][..], &["run", "--image", "busybox", "train.py"]] {
        world.run(args).fails(
            2,
            "error: there is no file `/nowhere/config.yaml`, which `MRUNNER_CONFIG` names
hint: do without it by `unset MRUNNER_CONFIG`
",
        );
    }
    assert!(world.calls().is_empty());
    // set to nothing is not set
    world.env("MRUNNER_CONFIG", "");
    assert!(pair(&world, &[]).starts_with("lab "));
}

#[test]
fn all_faults_of_the_file_are_told_at_once() {
    let world = World::new();
    world.write(
        "home/.config/mrunner/config.yaml",
        "current_context: lab
contexts:
  lab:
    name: lab
    type: kubernets
    storag: /storage
    registry_url: ftp://x
    resources: {cpu: many, ram: 1}
    default_pvc_size: 40 GB
    name: twice
  bare: {}
curent_context: lab
",
    );
    world.run(&["status"]).fails(2, "error: `[DIR]/home/.config/mrunner/config.yaml` has 11 faults
  | line 3: contexts.lab.storage: is required, write `storage: /storage`
  | line 5: contexts.lab.type: must be `kubernetes`, not `kubernets`
  | line 6: contexts.lab.storag: is not a known key, did you mean `storage`?
  | line 7: contexts.lab.registry_url: must be a URL with `https://` or `http://`, not `ftp://x`, write a URL such as `https://gcr.io` or `http://127.0.0.1:5000`
  | line 8: contexts.lab.resources.cpu: must be a Kubernetes quantity, not `many`, write a number and one of `m`, `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi`, `Ti`, such as `500m`, `4` or `8Gi`
  | line 8: contexts.lab.resources.ram: is not a known key, did you mean `mem`?
  | line 9: contexts.lab.default_pvc_size: must be a Kubernetes quantity, not `40 GB`, write a number and one of `m`, `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi`, `Ti`, such as `500m`, `4` or `8Gi`
  | line 10: contexts.lab.name: is there twice, first in line 4
  | line 11: contexts.bare.type: is required, write `type: kubernetes`
  | line 11: contexts.bare.storage: is required, write `storage: /storage`
  | line 12: curent_context: is not a known key, did you mean `current_context`?
");
}

#[test]
fn older_spellings_are_read() {
    let world = World::new();
    world.write(
        "home/.config/mrunner/config.yaml",
        "current_context: old\ncontexts:\n  old: {context_name: old, backend_type: kubernetes, storage_dir: /old, registry_url: 'http://registry.test:5000'}\n",
    );
    assert_eq!(pair(&world, &[]), "old (kube context kube-lab), namespace vision");
    assert!(dry(&world, &[]).contains(r#""mountPath": "/old""#));
}

#[test]
fn every_long_flag_can_be_written_with_underscores() {
    let all = Cli::command();
    for verb in std::iter::once(&all).chain(all.get_subcommands()) {
        for flag in verb.get_arguments().filter_map(clap::Arg::get_long).filter(|flag| flag.contains('-')) {
            let respelt = with_dashes([format!("--{}", flag.replace('-', "_")).into()]);
            assert_eq!(respelt, [format!("--{flag}").as_str()], "{}", verb.get_name());
        }
    }
    let world = two();
    let outcome = world
        .run(&[
            "--kube_context=kube-other",
            "run",
            "--dry_run",
            "--time_limit",
            "1h",
            "--storage_claim=own",
            "train.py",
        ])
        .ok();
    assert!(outcome.stdout.contains(r#""claimName": "own""#) && outcome.stdout.contains("3600"), "{}", outcome.stdout);
}
