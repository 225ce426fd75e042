//! The verbs of `context`: what they do to the file, and what they leave alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use crate::support::{Outcome, World};

const FILE: &str = "home/.config/mrunner/config.yaml";

const COMMENTED: &str = "# mine
current_context: lab # the usual

contexts:
  lab: # big
    type: kubernetes
    storage: /storage
    registry_url: http://registry.test:5000
    kube_context: kube-lab   # of the admin
  other:
    type:   kubernetes
    storage: /s
    registry_url: gcr.io
# end
";

fn world() -> World {
    let world = World::new();
    world.write(FILE, COMMENTED);
    world
}

fn context(world: &World, words: &[&str]) -> Outcome {
    world.run(&[&["context"], words].concat())
}

#[test]
fn both_kinds_are_listed_without_asking_anybody() {
    let world = world();
    let table = "\
CURRENT   NAME         KIND         KUBE CONTEXT   NAMESPACE   REGISTRY
*         lab          remote       kube-lab       -           registry.test:5000
          other        remote       kube-lab       -           gcr.io
          kube-lab     kubeconfig   kube-lab       -           -
          kube-other   kubeconfig   kube-other     team        -
";
    assert_eq!(context(&world, &["list"]).ok().stdout, table);
    assert_eq!(context(&world, &["list", "-o", "name"]).ok().stdout, "lab\nother\nkube-lab\nkube-other\n");
    let json: serde_json::Value = serde_json::from_str(&context(&world, &["list", "-o", "json"]).ok().stdout).unwrap();
    assert_eq!(json["items"][0]["current"], true);
    assert_eq!(context(&world, &["current"]).ok().stdout, "lab\n");
    assert!(
        world
            .run(&["--context", "kube-other", "context", "list", "--no-headers"])
            .ok()
            .stdout
            .contains("*   kube-other")
    );
    assert!(world.calls().is_empty());
}

#[test]
fn a_change_leaves_all_else_as_it_was() {
    let world = world();
    context(&world, &["use", "other"]).ok();
    assert_eq!(world.read(FILE), COMMENTED.replace("context: lab #", "context: other #"));
    context(&world, &["set-active", "lab"]).ok();
    assert_eq!(world.read(FILE), COMMENTED);
    context(&world, &["edit", "lab", "--set", "storage=/data", "--set", "resources={cpu: 2}"]).ok();
    let edited = COMMENTED.replace("/storage\n", "/data\n").replace("admin\n", "admin\n    resources: {cpu: 2}\n");
    assert_eq!(world.read(FILE), edited);
    context(&world, &["edit", "lab", "--set", "storage=/storage", "--unset", "resources"]).ok();
    assert_eq!(world.read(FILE), COMMENTED);
    context(&world, &["copy", "lab", "a: b"]).ok();
    assert!(
        world
            .run(&["--context", "a: b", "run", "--dry-run", "train.py"])
            .ok()
            .stderr
            .contains("a: b (kube context kube-lab)")
    );
    context(&world, &["delete", "a: b", "-y"]).ok();
    assert_eq!(world.read(FILE), COMMENTED);
}

#[test]
fn the_first_one_begins_a_file_and_is_used() {
    let mut world = World::new();
    fs::remove_file(world.path(FILE)).unwrap();
    world.on("*' get storageclasses '*", r#"echo '{"kind":"List","items":[{"kind":"StorageClass","metadata":{"name":"rwx"},"provisioner":"nfs.csi.k8s.io"}]}'; exit 0"#);
    context(
        &world,
        &[
            "add",
            "lab",
            "--kube-context",
            "kube-lab",
            "--registry-url",
            "http://registry.test:5000",
            "--set",
            "tags=[a]",
        ],
    )
    .ok();
    let expected = "\
# Remote contexts of kubectl mrunner: clusters with their registry, storage and limits.
current_context: lab
contexts:
  lab:
    type: kubernetes
    storage: /storage
    registry_url: http://registry.test:5000
    kube_context: kube-lab
    storage_class: rwx
    tags: [a]
";
    assert_eq!(world.read(FILE), expected);
    assert_eq!(fs::metadata(world.path(FILE)).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(context(&world, &["show"]).ok().stdout.lines().count(), 10);
    // the first one again, in a file that has none any more
    let gone = context(&world, &["delete", "lab", "--yes"]).ok();
    assert!(gone.stderr.contains("warning: it was the current context"), "{}", gone.stderr);
    context(&world, &["add", "next", "--registry-url", "gcr.io"]).ok();
    assert_eq!(context(&world, &["current"]).ok().stdout, "next\n");
    context(&world, &["add", "second", "--registry-url", "gcr.io"]).ok();
    assert_eq!(context(&world, &["current"]).ok().stdout, "next\n");
}

#[test]
fn what_it_can_find_out_is_proposed() {
    let world = World::new();
    world.write(
        "home/.kube/config",
        "contexts:\n- {name: gke_rl-1_europe-west4-a_train, context: {}}\n- {name: kind-x, context: {}}\n",
    );
    let refused = context(&world, &["add", "g", "--kube-context", "gke_rl-1_europe-west4-a_train"]);
    assert_eq!(refused.code, 2);
    assert!(
        refused.stderr.ends_with(
            "hint: for this cluster such as `--registry-url https://europe-west4-docker.pkg.dev/rl-1/mrunner`\n"
        ),
        "{}",
        refused.stderr
    );
    context(&world, &["add", "k", "--kube-context", "kind-x"]).ok();
    assert!(!world.read(FILE).split("  k:").nth(1).unwrap().contains("registry_url"));
}

#[test]
fn a_cluster_that_does_not_answer_is_no_obstacle() {
    let mut world = world();
    world.on("*' get storageclasses '*", "echo 'The connection to the server was refused' >&2; exit 1");
    let added = context(&world, &["add", "new", "--registry-url", "gcr.io"]).ok();
    assert!(added.stderr.contains("warning: the cluster did not tell its storage classes"), "{}", added.stderr);
}

#[test]
fn a_wrong_change_changes_nothing() {
    let world = world();
    for (words, told) in [
        (&["use", "lap"][..], "hint: did you mean `lab`?"),
        (&["use", "kube-lab"], "is a context of the kubeconfig, and no remote context"),
        (&["copy", "lab", "other"], "there is a context `other` already"),
        (&["copy", "lap", "x"], "has no context `lap`"),
        (&["add", "lab", "--registry-url", "gcr.io"], "there is a context `lab` already"),
        (&["add", "x", "--registry-url", "ftp://x"], "must be a URL with `https://` or `http://`"),
        (&["add", "x", "--registry-url", "gcr.io", "--storage", "rel"], "nothing was changed"),
        (&["add", "x\ny", "--registry-url", "gcr.io"], "is no name of a context: it must not hold"),
        (&["add", "x", "--registry-url", "gcr.io", "--kube-context", "nope"], "the kubeconfig has no context `nope`"),
        (&["edit", "lab", "--set", "storag=/x"], "hint: did you mean `storage`?"),
        (&["edit", "lab", "--set", "storage"], "has no `=`"),
        (&["edit", "lab", "--set", "name=x"], "hint: for another name"),
        (&["edit", "lab", "--unset", "storage"], "`contexts.lab.storage` is required"),
        (&["edit", "--set", "storage=/x"], "--set"),
        (&["delete", "lab"], "nobody can be asked"),
        (&["delete", "lap", "--yes"], "hint: did you mean `lab`?"),
        (&["show", "lap"], "hint: did you mean `--context lab`?"),
    ] {
        let outcome = context(&world, words);
        assert_eq!(outcome.code, 2, "{words:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(told), "{words:?}: {}", outcome.stderr);
        assert_eq!(world.read(FILE), COMMENTED, "{words:?}");
    }
}

#[test]
fn a_file_that_is_none_is_an_error_of_every_verb() {
    let bomb =
        (1..30).fold("a0: &a0 [x]\n".to_owned(), |text, i| text + &format!("a{i}: &a{i} [*a{0}, *a{0}]\n", i - 1));
    for text in [
        "contexts:\n\tlab: x\n",
        "contexts: 5\n",
        "contexts:\n  a: {type: kubernetes, storage: /s}\n---\nx: y\n",
        &bomb,
        "\u{0}",
    ] {
        let world = World::new();
        world.write(FILE, text);
        for words in [
            &["list"][..],
            &["show"],
            &["current"],
            &["use", "a"],
            &["copy", "a", "b"],
            &["delete", "a", "-y"],
            &["edit", "a", "--set", "queue=q"],
            &["add", "z", "--registry-url", "gcr.io"],
        ] {
            let outcome = context(&world, words);
            assert_eq!(outcome.code, 2, "{words:?} {}", outcome.stderr);
            assert!(outcome.stderr.starts_with("error: `"), "{words:?} {}", outcome.stderr);
            assert_eq!(world.read(FILE), *text);
        }
    }
    let world = World::new();
    fs::remove_file(world.path(FILE)).unwrap();
    symlink("config.yaml", world.path(FILE)).unwrap();
    assert!(context(&world, &["use", "a"]).stderr.contains("too many levels of symbolic links"));
    fs::remove_file(world.path(FILE)).unwrap();
    fs::create_dir(world.path(FILE)).unwrap();
    assert!(context(&world, &["add", "a", "--registry-url", "gcr.io"]).stderr.contains("is a directory"));
}

#[test]
fn a_file_that_is_a_link_stays_one_and_keeps_its_mode() {
    let world = World::new();
    world.write("dotfiles/c.yaml", COMMENTED);
    fs::set_permissions(world.path("dotfiles/c.yaml"), fs::Permissions::from_mode(0o640)).unwrap();
    fs::remove_file(world.path(FILE)).unwrap();
    symlink(world.path("dotfiles/c.yaml"), world.path(FILE)).unwrap();
    context(&world, &["use", "other"]).ok();
    assert!(fs::symlink_metadata(world.path(FILE)).unwrap().is_symlink());
    assert!(world.read("dotfiles/c.yaml").contains("context: other #"));
    assert_eq!(fs::metadata(world.path("dotfiles/c.yaml")).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn changes_at_the_same_time_are_all_kept() {
    let world = world();
    let names: Vec<String> = (0..12).map(|i| format!("c{i}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| context(&world, &["copy", "lab", name]).ok());
        }
    });
    let listed = context(&world, &["list", "-o", "name"]).ok().stdout;
    assert!(names.iter().all(|name| listed.lines().any(|line| line == name)), "{listed}");
}

/// `context edit` with an editor that does this to the file `$1`.
fn edit(world: &mut World, script: &str) -> Outcome {
    world.write("editor", format!("PATH=/usr/bin:/bin\n{script}\n"));
    let editor = format!("/bin/sh '{}'", world.path("editor").display());
    world.env("EDITOR", &editor);
    context(world, &["edit"])
}

#[test]
fn an_edit_is_checked_and_never_lost() {
    let mut world = world();
    assert!(edit(&mut world, "true").ok().stderr.contains("nothing changed"));
    edit(&mut world, "sed -i 's#/storage#/data#' \"$1\"").ok();
    let good = COMMENTED.replace("/storage", "/data");
    assert_eq!(world.read(FILE), good);
    let spoiled = edit(&mut world, "echo '  bad: [' >>\"$1\"");
    assert!(spoiled.code == 2 && spoiled.stderr.contains("hint: the edit is kept"), "{}", spoiled.stderr);
    assert_eq!(world.read(FILE), good);
    let failed = edit(&mut world, "exit 3");
    assert!(failed.code == 1 && failed.stderr.contains("the edit is kept"), "{}", failed.stderr);
    let mended = edit(&mut world, "grep -q 'bad: \\[' \"$1\" || exit 9; sed -i '/bad/d; s#/data#/more#' \"$1\"").ok();
    assert!(mended.stderr.starts_with("going on with the edit that was kept"), "{}", mended.stderr);
    assert_eq!(world.read(FILE), COMMENTED.replace("/storage", "/more"));
    assert!(edit(&mut world, "rm \"$1\"").ok().stderr.contains("nothing changed"));
    let failed = edit(&mut world, "exit 3");
    assert!(failed.code == 1 && !failed.stderr.contains("kept"), "{}", failed.stderr);
    world.env("EDITOR", "'");
    assert_eq!(context(&world, &["edit"]).code, 2);
    world.env("EDITOR", "no-such-editor");
    let missing = context(&world, &["edit"]);
    // what could not begin has left nothing to go on with
    assert_eq!(
        missing.stderr,
        "error: failed to start the editor: `no-such-editor` was not found\nhint: choose another with `export EDITOR=nano`\n"
    );
    assert_eq!(missing.code, 1);
}

#[test]
fn an_edit_does_not_undo_what_somebody_else_did() {
    let mut world = world();
    let file = world.path(FILE).display().to_string();
    let raced = edit(&mut world, &format!("sed -i 's#/storage#/data#' \"$1\"; echo '# more' >>'{file}'"));
    assert!(
        raced.code == 1 && raced.stderr.contains("was changed by somebody else in the meantime"),
        "{}",
        raced.stderr
    );
    assert_eq!(world.read(FILE), format!("{COMMENTED}# more\n"));
    assert!(raced.stderr.contains("\nhint: the edit is kept; see what differs with `diff "), "{}", raced.stderr);
    // told, it is taken up again, and replaces the file
    let taken_up = edit(&mut world, "grep -q /data \"$1\" && echo '# mine and more' >>\"$1\"").ok();
    assert!(taken_up.stderr.starts_with("going on with the edit that was kept"), "{}", taken_up.stderr);
    assert_eq!(world.read(FILE), format!("{}# mine and more\n", COMMENTED.replace("/storage", "/data")));
}

#[test]
fn a_device_is_never_replaced_by_a_file() {
    let mut world = World::new();
    world.env("MRUNNER_CONFIG", "/dev/null").env("EDITOR", "no-such-editor");
    assert!(context(&world, &["list"]).ok().stdout.contains("kube-lab"));
    for words in [&["add", "a", "--registry-url", "gcr.io"][..], &["edit"], &["use", "a"]] {
        let refused = context(&world, words);
        assert_eq!(refused.code, 2);
        assert!(refused.stderr.contains("`/dev/null` is not a regular file, so no context"), "{}", refused.stderr);
    }
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
}
