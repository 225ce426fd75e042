//! From a folder to a finished Job.

use serde_json::{Value, json};

use crate::project::Project;

/// Prints how it was called and what it finds, as JSON.
const MIRROR: &str = "import json, os, sys; print(json.dumps({'argv': sys.argv[1:], 'env': dict(os.environ)}))";

#[test]
fn a_project_begins_with_its_first_run() {
    let project = Project::unmade();
    let words = ["mrunner", "run", "train.py"];
    let by_kubectl = project.spawn(project.command("kubectl", &words)).end().ok().told("namespace made\n");
    let run = by_kubectl.name();
    assert_eq!(project.run(&["logs", "-f", &run]).ok().stdout, "hello\n");
    // the namespace, claim and image are there now
    let again = project.run(&["run", "--follow", "train.py"]).ok().told("nothing to build\n");
    assert_eq!(again.stdout, "hello\n");
    assert!(!again.stderr.contains(" made\n"), "{again}");
    assert_eq!(project.objects("jobs").len(), 2);
    let claim = &project.objects("pvc")[0];
    assert_eq!(claim["spec"]["accessModes"], json!(["ReadWriteMany"]));
    assert_eq!(claim["status"]["phase"], "Bound");
}

#[test]
fn two_first_runs_at_once_share_what_they_make() {
    let project = Project::unmade();
    let both = [(); 2].map(|()| project.start(&["run", "--wait", "train.py"]));
    let [one, other] = both.map(|live| live.end().ok().name());
    assert_ne!(one, other);
    assert_eq!((project.objects("jobs").len(), project.objects("pvc").len()), (2, 1));
}

#[test]
fn arguments_and_variables_arrive_byte_for_byte() {
    let project = Project::new();
    project.context("storage_class: shared\nenv: {PRICE: 'a $(HOME) $$ $x $(STORAGE_DIR) \"q\" \\ é'}");
    project.script(MIRROR);
    let args = [
        "a b",
        "  ",
        "it's \"x\"",
        "$(HOME)",
        "$$",
        "$$$(STORAGE_DIR)",
        "$(STORAGE_DIR) $HOME ${HOME} $",
        "x\ny\n",
        "--",
        "",
        "é🦀\u{301}",
        "\\n",
        "`id`",
        "-f",
        "--tags",
        "a_b",
        "--base_image=x",
        "\u{1b}[31m",
    ];
    let outcome = project.run(&[&["run", "--follow", "train.py", "--"], &args[..]].concat()).ok();
    let seen: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(seen["argv"], json!(args));
    let env = &seen["env"];
    assert_eq!(env["PRICE"], "a $(HOME) $$ $x $(STORAGE_DIR) \"q\" \\ é");
    let run = project.only_run();
    assert_eq!(env["MRUNNER_RUN"], run);
    assert_eq!(env["STORAGE_DIR"], "/storage");
    assert_eq!(env["MRUNNER_OUTPUT"], format!("/storage/{run}/0"));
    assert_eq!(env["MRUNNER_PARAMS"], "{}");
}

#[test]
fn parameters_and_tags_arrive() {
    let project = Project::new();
    project.script(MIRROR);
    let file = "name: train\ntags: [from the file]\nparameters: {lr: 0.1, note: \"$(HOME) it's\", epochs: 3}\n";
    project.write("folder/neptune.yaml", file);
    let command =
        ["run", "--follow", "--config", "neptune.yaml", "--tags", "new_data", "train.py", "--", "--lr", "0.2"];
    let seen: Value = serde_json::from_str(&project.run(&command).ok().stdout).unwrap();
    assert_eq!(seen["argv"], json!(["--note", "$(HOME) it's", "--epochs", "3", "--lr", "0.2"]));
    let params: Value = serde_json::from_str(seen["env"]["MRUNNER_PARAMS"].as_str().unwrap()).unwrap();
    assert_eq!(params, json!({"lr": 0.2, "note": "$(HOME) it's", "epochs": 3}));
    for object in [project.job(), project.objects("pods").remove(0)] {
        assert_eq!(object["metadata"]["labels"]["tag.mrunner/new_data"], "true");
        assert_eq!(object["metadata"]["labels"]["mrunner/project"], "cluster-tests");
    }
    assert_eq!(project.job()["metadata"]["annotations"]["mrunner/tags"], r#"["new_data","from the file"]"#);
}

#[test]
fn results_stay_in_the_projects_volume() {
    let project = Project::new();
    project.script(
        "import os, pathlib
pathlib.Path('beside.txt').write_text('in the working folder')
pathlib.Path(os.environ['MRUNNER_OUTPUT'], 'result.txt').write_text('42\\n')
print(os.getuid(), os.getgid(), pathlib.Path('beside.txt').read_text())",
    );
    let outcome = project.run(&["run", "--follow", "train.py"]).ok();
    assert_eq!(outcome.stdout, "1000 1000 in the working folder\n");
    let run = project.only_run();
    assert_eq!(project.left(&format!("{run}/0/result.txt")), "42\n");
    project.run(&["delete", &run]).ok();
    assert_eq!(project.left(&format!("{run}/0/result.txt")), "42\n");
}
