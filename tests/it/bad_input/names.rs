//! Names of runs and projects that Kubernetes does not take as they are.

use crate::support::World;

/// The run's name, and the experiment's as its Job keeps it.
fn named(name: &str) -> (String, String) {
    let world = World::new();
    let run = world.run(&["run", &format!("--name={name}"), "train.py"]).ok().stdout.trim().to_owned();
    let job = world.job();
    assert!(run.len() <= 57 && job["metadata"]["name"] == run.as_str(), "{run}");
    (run, job["metadata"]["annotations"]["mrunner/experiment-name"].as_str().unwrap().to_owned())
}

#[test]
fn a_name_of_300_characters_is_cut() {
    let long = "Long_".repeat(60);
    let (run, kept) = named(&long);
    let stem = &run[..run.len() - 9];
    // cut between two words or within one, and never behind a `-`
    assert!(stem.len() >= 46 && "long-".repeat(60).starts_with(stem) && !stem.ends_with('-'), "{run}");
    assert_eq!(kept, long);
}

#[test]
fn a_name_keeps_its_letters_and_digits_and_the_runs_own_characters() {
    let names = [
        ("!?*&/%", "run"),
        ("🦀🦀", "run"),
        ("---", "run"),
        ("Grid Search", "grid-search"),
        ("Ünïcödé 東京", "n-c-d"),
        ("a\tb", "a-b"),
        ("-x", "x"),
    ];
    for (name, stem) in names {
        let (run, kept) = named(name);
        let own = run.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-')).unwrap_or_else(|| panic!("{run}"));
        assert!(own.len() == 8 && own.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()), "{run}");
        assert_eq!(kept, name);
    }
    World::new().run(&["run", "--name", "", "train.py"]).fails(
        2,
        "error: the name is empty
hint: give one, such as `--name baseline`
",
    );
    World::new().run(&["run", "--name", " ", "train.py"]).fails(
        2,
        "error: the name is empty
hint: give one, such as `--name baseline`
",
    );
    World::new().run(&["run", "--project", "", "train.py"]).fails(
        2,
        "error: the project is empty
hint: give one, such as `--project baseline`
",
    );
}

#[test]
fn a_folder_of_symbols_can_be_a_project() {
    let world = World::new();
    world.write("🦀 (1)/train.py", "");
    let mut command = world.command(&["run", "train.py"]);
    let output = command.current_dir(world.path("🦀 (1)")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(world.job()["metadata"]["annotations"]["mrunner/project-name"], "🦀 (1)");
}

#[test]
fn two_projects_do_not_share_a_namespace() {
    // made for another project, or labelled by hand
    let mut world = World::new();
    world.on("*' get namespace/vision '*", r#"echo '{"kind":"Namespace","metadata":{"name":"vision","annotations":{"mrunner/project-name":"Vision!"}}}'; exit 0"#);
    world.run(&["run", "train.py"]).fails(
        1,
        "error: the namespace `vision` belongs to the project `Vision!`, not to `vision`
hint: name the project otherwise with `--project NAME`, or a namespace with `-n NAME`
",
    );
    assert!(world.submissions().is_empty() && world.calls_with(" apply ").is_empty());
    // and names that differ get namespaces that differ
    let namespace = |project: &str| {
        let world = World::new();
        world.run(&["run", "--project", project, "train.py"]).ok();
        world.job()["metadata"]["namespace"].as_str().unwrap().to_owned()
    };
    let all: std::collections::BTreeSet<String> = ["a_b", "a.b", "a b", "A-b", "a-b"].map(namespace).into();
    assert!(all.len() == 5 && all.contains("a-b"), "{all:?}");
}

#[test]
fn kubernetes_own_namespaces_are_left_alone() {
    World::new().run(&["run", "--project", "kube-system", "train.py"]).fails(
        2,
        "error: the project `kube-system` would live in the namespace `kube-system`, which is Kubernetes' own
hint: name the project otherwise with `--project NAME`
",
    );
}
