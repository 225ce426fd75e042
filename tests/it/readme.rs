//! What the README and the pages in `docs/` say is what the program does.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use mrunner::cli::{Cli, with_dashes};

use crate::pages::{self, Page};
use crate::support::World;
use crate::transfer;

/// Programs that a page may show beside mrunner.
const FOREIGN: [&str; 10] = [
    "cat",
    "kubectl",
    "krew/package",
    "krew/test",
    "cargo",
    "pass",
    "git",
    "tests/run",
    "tests/demo",
    "tests/cluster/cluster",
];

/// Commands that a page shows and that the world of this test can't answer, with the test that runs them.
const ELSEWHERE: [(&str, &str); 9] = [
    (" -w", "status_watch.rs"),
    ("shell ", "inside.rs"),
    ("attach ", "inside.rs"),
    ("describe ", "inside.rs"),
    ("port-forward ", "inside.rs"),
    ("--remove-nfs-server", "nfs_server.rs"),
    ("--sweep spec.py", "experiments.rs"),
    ("--probe", "doctor.rs"),
    ("--resume ", "submit_once.rs"),
];

/// A command of mrunner's that a page shows.
#[derive(Debug)]
struct Shown {
    page: String,
    words: Vec<String>,
    /// What the page says that it answers.
    answer: String,
}

/// All commands that the pages show; each word that stands for something is replaced by what the world has.
fn shown() -> Vec<Shown> {
    let mut all = Vec::new();
    for page in pages::all() {
        for (line, answer) in page.commands() {
            for part in line.replace("<(pass show team/keys)", ".env").split(" | ") {
                let words =
                    shlex::split(part.trim()).unwrap_or_else(|| panic!("{}: `{line}` is no command", page.name));
                match words.as_slice() {
                    [kubectl, mrunner, rest @ ..] if kubectl == "kubectl" && mrunner == "mrunner" => {
                        let words = rest.iter().map(|word| replaced(word)).collect();
                        all.push(Shown { page: page.name.clone(), words, answer: answer.clone() });
                    }
                    [program, ..] if FOREIGN.contains(&program.as_str()) => {}
                    _ => panic!("{}: `{line}` starts a program that no page may show", page.name),
                }
            }
        }
    }
    assert!(all.len() > 60, "only {} commands: does this test still read the pages?", all.len());
    all
}

fn replaced(word: &str) -> String {
    let named =
        word.replace("RUN", "train-1").replace("train-3f9k2m1a", "train-1").replace("/17", "/0").replace("VERB", "run");
    match named.as_str() {
        "/dev/stdin" => ".env".to_owned(),
        "NAMESPACE" => "vision".to_owned(),
        // the name of a context that the world has
        "lab" => "new".to_owned(),
        _ => named,
    }
}

#[test]
fn every_command_of_the_pages_is_a_command_line() {
    for Shown { page, words, .. } in shown() {
        let line = ["kubectl-mrunner".to_owned()].into_iter().chain(words.clone()).map(Into::into);
        if let Err(error) = Cli::try_parse_from(with_dashes(line)) {
            assert!(!error.use_stderr(), "{page}: {words:?}: {error}");
        }
    }
}

/// A world that has all that the pages speak of.
fn world() -> World {
    let mut world = World::new();
    world.on("*' delete '*", "exit 0");
    transfer::volume(&mut world);
    for file in ["train-1/0/metrics.json", "datasets/small/a", "datasets/old/a"] {
        world.write(&format!("volume/{file}"), "{}");
    }
    world.write("vision/experiment1.py", "");
    world.write("vision/requirements.txt", "numpy\n");
    world.write("vision/neptune.yaml", "name: first\nproject: vision\n");
    let contexts = world.read("home/.config/mrunner/config.yaml");
    let sandbox = contexts.split_once("  lab:").unwrap().1.replace(": lab\n", ": gke.sandbox\n");
    world.write("home/.config/mrunner/config.yaml", contexts.clone() + "  gke.sandbox:" + &sandbox);
    world.write("vision/.env", "WANDB_API_KEY=x\n");
    world.env("HF_TOKEN", "x").env("INDEX_TOKEN", "x");
    world.write("vision/points.csv", "lr,seed\n0.1,1\n");
    world.on(
        "*' get jobs,pods'*",
        // under the name that is asked for
        r#"all="$*"; name=${all##*mrunner/run=}; name=${name%% *}; case $name in train-*|baseline-*) ;; *) name=train-1 ;; esac
        sed "s/train-1/$name/" <<'END'
        {"kind":"List","items":[
        {"kind":"Job","metadata":{"name":"train-1","namespace":"vision","uid":"u"},"spec":{"template":{"spec":{
         "containers":[{"name":"experiment","image":"python:3","env":[{"name":"MRUNNER_MARK","value":"m"}]}],"volumes":[{"persistentVolumeClaim":{"claimName":"storage"}}]}}},
         "status":{"conditions":[{"type":"Complete","status":"True"}]}},
        {"kind":"Pod","metadata":{"name":"train-1-0","ownerReferences":[{"uid":"u"}]},
         "status":{"phase":"Succeeded","containerStatuses":[{"name":"experiment","state":{"terminated":{"exitCode":0,
          "message":"m 0 0 exit 1 file 34 {\"lr\":0.1,\"seed\":1,\"accuracy\":0.9}"}}}]}}]}
END
        exit 0"#,
    );
    world.on(
        "*' get storageclasses,nodes '*",
        r#"echo '{"kind":"List","items":[
        {"kind":"StorageClass","metadata":{"name":"nfs"},"provisioner":"nfs.csi.k8s.io"},{"kind":"Node"}]}'; exit 0"#,
    );
    world.on("*'/log?'*", "echo '2026-11-23T06:00:00Z hello'; exit 0");
    // what `doctor` asks for: its own tests tell more
    world.on(
        "'docker info'*",
        r#"echo '{"ServerVersion":"28","ClientInfo":{"Plugins":[{"Name":"buildx","Version":"v0.20.1"}]}}'; exit 0"#,
    );
    world.on(
        "*' version -o json'",
        r#"echo '{"clientVersion":{"gitVersion":"v1"},"serverVersion":{"gitVersion":"v1"}}'; exit 0"#,
    );
    world.on(
        "*' create '*'--validate=false'",
        r#"echo '{"status":{"resourceRules":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}}'; exit 0"#,
    );
    world.on(
        "*' get namespace/mrunner-nfs '*",
        r#"echo '{"kind":"List","items":[{"kind":"Namespace"},{"kind":"PersistentVolumeClaim"},{"kind":"Service","metadata":{"labels":{"app.kubernetes.io/managed-by":"mrunner"}},"spec":{"clusterIP":"10.0.0.1"}},
        {"kind":"Deployment","metadata":{"generation":1},"status":{"readyReplicas":1,"updatedReplicas":1,"observedGeneration":1}}]}'; exit 0"#,
    );
    world.on("*' get nodes '*", r#"echo '{"kind":"Node"}'; exit 0"#);
    world
}

#[test]
fn every_command_of_the_pages_works() {
    let world = world();
    for (part, file) in ELSEWHERE {
        let file = format!("{}/tests/it/{file}", env!("CARGO_MANIFEST_DIR"));
        assert!(std::path::Path::new(&file).exists(), "{file}, which runs `{part}`, is gone");
    }
    let mut done = BTreeSet::new();
    for Shown { page, words, answer } in shown() {
        let line = words.join(" ") + " ";
        if ELSEWHERE.iter().any(|(part, _)| line.contains(part)) || !done.insert(line) {
            continue;
        }
        let outcome = world.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let error = answer.lines().find(|line| line.starts_with("error: "));
        assert_eq!(outcome.code == 0, error.is_none(), "{page}: {words:?}: {outcome:?}");
        assert!(error.is_none_or(|error| outcome.stderr.contains(error)), "{page}: {words:?}: {}", outcome.stderr);
    }
    assert!(done.len() > 50, "only {} commands were run", done.len());
}

#[test]
fn every_option_of_run_is_in_its_table() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let mut known: Vec<String> = run
        .get_arguments()
        .filter(|a| !a.is_global_set())
        .filter_map(|a| a.get_long())
        .map(|l| format!("--{l}"))
        .collect();
    let mut told: Vec<String> = Page::read("docs/run.md")
        .first_cells("Options of `run`")
        .iter()
        .map(|cell| cell.split([' ', '[', '=']).next().unwrap().to_owned())
        .filter(|word| word.starts_with("--"))
        .collect();
    known.retain(|name| name != "--help");
    known.sort();
    told.sort();
    assert_eq!(told, known);
}

#[test]
fn every_option_of_kubectl_is_listed() {
    let text = Page::read("docs/run.md").text;
    let (_, section) = text.split_once("\n## Options of every verb\n").unwrap();
    for option in Cli::command().get_arguments().filter(|option| option.is_global_set()) {
        let told = match option.get_long().unwrap() {
            "v" => "`-v`".to_owned(),
            "namespace" => "`-n NAME`".to_owned(),
            long => format!("`--{long}"),
        };
        assert!(section.contains(&told), "docs/run.md lacks {told}");
    }
}

#[test]
fn every_key_of_a_context_is_in_its_table() {
    let page = Page::read("docs/configuration.md");
    let cells = page.first_cells("Keys of a remote context");
    for key in mrunner::config::contexts::KEYS {
        let older = ["context_name", "backend_type", "storage_dir"].contains(key);
        assert!(cells.iter().any(|cell| cell == key) || older, "the table lacks `{key}`");
    }
    for cell in cells {
        assert!(mrunner::config::contexts::KEYS.contains(&cell.as_str()), "the table has `{cell}`, which is no key");
    }
    assert!(page.text.contains("older: `storage_dir`") && page.text.contains("older: `backend_type`"));
}

#[test]
fn the_readme_is_short_and_names_the_two_commands() {
    let page = Page::read("README.md");
    assert!(page.text.lines().count() <= 150, "README.md has {} lines", page.text.lines().count());
    assert!(page.text.contains("`tests/demo`") && page.text.contains("`tests/run`"));
    let picture = &page.blocks()[0];
    assert!(picture.kind == "text" && picture.text.lines().count() <= 25, "{}", picture.text);
}

#[test]
fn each_verb_shows_an_example() {
    fn look(verb: &mut clap::Command, path: &str) {
        // as wide as clap makes it where there is no terminal
        let help = verb.clone().term_width(100).render_long_help().to_string();
        let examples = help.split_once("\nExample").map(|(_, examples)| examples).unwrap_or_default();
        let typed = format!("kubectl mrunner{path}");
        // one that was broken can't be pasted
        let whole = examples.lines().skip(1).all(|line| line.contains("kubectl mrunner"));
        assert!(examples.contains(&typed) && whole, "`{typed} --help` shows no example:{examples}");
        for below in verb.get_subcommands_mut().filter(|below| below.get_name() != "help") {
            let path = format!("{path} {}", below.get_name());
            look(below, &path);
        }
    }
    look(&mut Cli::command(), "");
}
