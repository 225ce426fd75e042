//! kubectl's own options, kubeconfigs of all kinds, and the experiment file that needs no flag.

use std::fs;
use std::os::unix::fs::symlink;

use mrunner::config::contexts::KEYS;

use crate::support::{HANG, World};

#[test]
fn kubectls_options_reach_every_kubectl_as_they_were_typed() {
    let flags: &[&str] = &[
        "--cluster",
        "c",
        "--user",
        "u",
        "--as",
        "a b",
        "--as-uid",
        "7",
        "--server",
        "https://s",
        "--tls-server-name",
        "n",
        "--certificate-authority",
        "ca.crt",
        "--client-certificate",
        "c.crt",
        "--client-key",
        "c.key",
        "--cache-dir",
        "d",
        "--request-timeout",
        "5s",
        "--v",
        "2",
        "--vmodule",
        "x=9",
        "--as-group",
        "g",
        "--as-group",
        "h",
        "--as-user-extra",
        "k=v",
        "--insecure-skip-tls-verify",
        "--match-server-version",
        "--disable-compression",
        "--warnings-as-errors",
    ];
    let expected = flags.join(" ");
    for words in [
        [flags, &["run", "train.py"]].concat(),
        [&["run"], flags, &["train.py"]].concat(),
        [&["run", "train.py"], flags].concat(),
    ] {
        let world = World::new();
        world.run(&words).ok();
        let calls = world.calls_with("kubectl");
        assert!(calls.len() >= 3, "{calls:?}");
        for call in calls {
            assert!(call.line().contains(&format!("--context kube-lab {expected}")), "{}", call.line());
        }
    }
    let world = World::new();
    let kubeconfig = world.path("home/.kube/config").display().to_string();
    world.run(&["status", "-v=6", "--kubeconfig", &kubeconfig, "--server=http://s"]).ok();
    assert!(
        world.calls_with("kubectl")[0].line().contains(&format!("--kubeconfig {kubeconfig} --server http://s --v 6"))
    );
}

#[test]
fn a_token_is_seen_nowhere_but_in_a_private_file() {
    let mut world = World::new();
    world.on(
        "*' get '*",
        r#"f=${KUBECONFIG##*:}; ls -l "$f" >>"$world/seen"; cat "$f" >>"$world/seen"
           case "$*" in *storageclasses*) cat "$world/cluster.json" ;; esac; exit 0"#,
    );
    let outcome = world.run(&["--token", "canary", "--user", "x", "run", "train.py"]).ok();
    let seen = world.read("seen");
    assert!(seen.contains(r#"{"name":"mrunner-token","user":{"token":"canary"}}"#), "{seen}");
    assert!(seen.starts_with("-rw------- "), "{seen}");
    for call in world.calls() {
        assert!(!call.line().contains("canary"), "{}", call.line());
        assert!(!call.line().contains("kubectl") || call.line().contains("--user mrunner-token"), "{}", call.line());
    }
    assert!(!outcome.stderr.contains("canary") && outcome.stderr.contains("--token TOKEN logs"), "{}", outcome.stderr);
    let shown = world.run(&["--token", "canary", "run", "--dry-run", "train.py"]).ok();
    assert!(!format!("{}{}", shown.stdout, shown.stderr).contains("canary"));
}

#[test]
fn a_run_with_a_token_needs_it_again_to_be_resumed() {
    let world = World::new();
    world.first("'kubectl '*' create '*", HANG);
    let live = world.start(&["--token", "canary", "run", "train.py"]);
    world.wait_for_hang();
    live.signal_all("KILL");
    live.end();
    fs::remove_file(world.path("first")).unwrap();
    let journal = world.journals().into_iter().find(|name| name.contains(".json")).unwrap();
    assert!(!world.read(&format!("home/.local/state/mrunner/runs/{journal}")).contains("canary"));
    let run = journal.trim_end_matches(".json");
    let refused = world.run(&["run", "--resume", run]);
    let hint = world.tidy(&format!("hint: give it again: `kubectl mrunner run --token TOKEN --resume {run}`"));
    assert!(refused.code == 2 && refused.stderr.contains(&hint), "{}", refused.stderr);
    world.run(&["--token", "canary", "run", "--resume", run]).ok();
}

#[test]
fn what_kubectl_logs_is_shown_and_not_taken_for_its_words() {
    let mut world = World::new();
    world.on(
        "*' get '*",
        "echo 'I1124 13:58:01.000001   12 round_trippers.go:1] \"Error from server (Forbidden): x\"' >&2; exit 1",
    );
    let outcome = world.run(&["status", "-v", "6"]);
    assert_eq!(outcome.code, 1);
    assert!(outcome.stderr.starts_with("I1124 13:58:01"), "{}", outcome.stderr);
    assert!(!outcome.stderr.contains("auth can-i"), "{}", outcome.stderr);
}

#[test]
fn a_kubeconfig_is_never_written() {
    let world = World::new();
    let before = fs::read(world.path("home/.kube/config")).unwrap();
    for words in [
        &["run", "train.py"][..],
        &["status"],
        &["logs", "train-1"],
        &["delete", "train-1"],
        &["--token", "t", "run", "train.py"],
        &["context", "use", "lab"],
        &["context", "add", "new", "--kube-context", "kube-other", "--registry-url", "http://r:5000"],
    ] {
        world.run(words);
    }
    assert_eq!(fs::read(world.path("home/.kube/config")).unwrap(), before);
    let left: Vec<_> = fs::read_dir(world.path("home/.kube")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["config"]);
}

#[test]
fn a_context_of_any_name_is_used() {
    for name in ["a b", "arn:aws:eks:eu-1:1:cluster/x", "é'\"$(x)", "-dash", "user@host", "a\\b"] {
        let world = World::new();
        let shown = serde_json::json!(name);
        world.write(
            "home/.kube/config",
            format!("current-context: {shown}\ncontexts: [{{name: {shown}, context: {{}}}}]\n"),
        );
        world.write("home/.config/mrunner/config.yaml", "");
        world.run(&["status"]).ok();
        let call = &world.calls_with("kubectl")[0];
        let named = call.argv.contains(&name.to_owned()) || call.argv.contains(&format!("--context={name}"));
        assert!(named, "{:?}", call.argv);
    }
}

#[test]
fn the_experiment_file_of_the_folder_is_read_and_told() {
    let world = World::new();
    world.write("vision/mrunner.yaml", "base_image: python:3.9\n");
    let outcome = world.run(&["run", "--dry-run", "train.py"]).ok();
    assert!(outcome.stdout.contains("FROM --platform=linux/amd64 python:3.9") || outcome.stdout.contains("python:3.9"));
    outcome
        .stderr
        .lines()
        .find(|l| *l == "config    `mrunner.yaml` of this folder; `--no-config` does without")
        .unwrap();
    let without = world.run(&["run", "--dry-run", "--no-config", "train.py"]).ok();
    assert!(!without.stdout.contains("python:3.9") && !without.stderr.contains("config  "));
    world.write("vision/other.yaml", "base_image: python:3.8\n");
    let other = world.run(&["run", "--dry-run", "--config", "other.yaml", "train.py"]).ok();
    assert!(other.stdout.contains("python:3.8") && !other.stderr.contains("config  "));
}

#[test]
fn the_experiment_file_chooses_no_cluster_registry_credential_or_path() {
    let own = ["name", "project", "tags", "exclude", "paths_to_copy", "base_image", "resources", "env", "shm"];
    for key in KEYS.iter().filter(|key| !own.contains(key)) {
        let world = World::new();
        world.write("vision/mrunner.yaml", format!("{key}: x\n"));
        let outcome = world.run(&["run", "train.py"]);
        assert_eq!(outcome.code, 2, "{key}");
        assert!(outcome.stderr.contains(&format!("`{key}` is not a known key")), "{}", outcome.stderr);
        assert!(world.calls().is_empty());
    }
    for text in [
        "paths_to_copy: [../x]",
        "paths_to_copy: [/etc]",
        "requirements: /etc/passwd",
        "requirements: ../x",
        "paths_to_copy: [out]",
        "requirements: out/secret",
    ] {
        let world = World::new();
        world.write("secrets/secret", "canary");
        symlink(world.path("secrets"), world.path("vision/out")).unwrap();
        world.write("vision/mrunner.yaml", text);
        let outcome = world.run(&["run", "train.py"]);
        assert_eq!(outcome.code, 2, "{text}: {}", outcome.stderr);
        assert!(world.calls().is_empty(), "{text}");
    }
    let world = World::new();
    world.write("secret", "canary");
    world.write("vision/requirements.txt", "-r more.txt\n");
    symlink(world.path("secret"), world.path("vision/more.txt")).unwrap();
    world.write("vision/mrunner.yaml", "requirements: requirements.txt\n");
    let outcome = world.run(&["run", "train.py"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("is a link that leads out of its folder"),
        "{}",
        outcome.stderr
    );
}

#[test]
fn an_experiment_file_that_is_none_is_an_error() {
    let world = World::new();
    fs::create_dir(world.path("vision/mrunner.yaml")).unwrap();
    let outcome = world.run(&["run", "train.py"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("`mrunner.yaml` is a directory"), "{}", outcome.stderr);
    let world = World::new();
    symlink("mrunner.yaml", world.path("vision/mrunner.yaml")).unwrap();
    let outcome = world.run(&["run", "train.py"]);
    assert!(outcome.code == 2 && outcome.stderr.contains("too many levels of symbolic links"), "{}", outcome.stderr);
}

#[test]
fn brief_questions_collect_no_garbage_unless_the_user_says_how() {
    let mut world = World::new();
    world.first("*", r#"printf '%s %s\n' "${GOGC-none}" "$*" >>"$world/collects""#);
    world.run(&["run", "train.py"]).ok();
    let noted = world.read("collects");
    let of =
        |words: &str| noted.lines().find(|line| line.contains(words)).unwrap().split(' ').next().unwrap().to_owned();
    assert_eq!([of(" get namespace/vision pvc/"), of(" create -f - ")], ["400", "400"]);
    // of lists nobody knows how long they are
    assert_eq!(of(" get storageclasses"), "none");
    world.env("GOGC", "50");
    world.write("collects", "");
    world.run(&["run", "train.py"]).ok();
    assert!(world.read("collects").lines().all(|line| line.starts_with("50 ")));
}
