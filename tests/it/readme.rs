//! What the README says is what the program does.

use clap::CommandFactory;
use mrunner::cli::Cli;

use crate::support::World;
use crate::transfer;

fn readme() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap()
}

/// The words in backticks in the first cells of the table under a heading.
fn first_cells(heading: &str) -> Vec<String> {
    let text = readme();
    let (_, section) = text.split_once(&format!("## {heading}\n")).unwrap();
    let table = section.lines().skip_while(|l| !l.starts_with("| ")).take_while(|l| l.starts_with('|'));
    let cells = table.map(|line| line.trim_start_matches('|').split('|').next().unwrap().to_owned());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}

#[test]
fn every_command_of_the_readme_works() {
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
        r#"all="$*"; name=${all##*mrunner/run=}; name=${name%% *}; case $name in train-*) ;; *) name=train-1 ;; esac
        sed "s/train-1/$name/" <<'END'
        {"kind":"List","items":[
        {"kind":"Job","metadata":{"name":"train-1","namespace":"vision","uid":"u"},"spec":{"template":{"spec":{
         "containers":[{"name":"experiment","image":"python:3","env":[{"name":"MRUNNER_MARK","value":"m"}]}],"volumes":[{"persistentVolumeClaim":{"claimName":"storage"}}]}}},
         "status":{"conditions":[{"type":"Complete","status":"True"}]}},
        {"kind":"Pod","metadata":{"name":"train-1-0","ownerReferences":[{"uid":"u"}]},
         "status":{"phase":"Succeeded","containerStatuses":[{"name":"experiment","state":{"terminated":{"exitCode":0,
          "message":"m 0 0 exit 1 file 25 {\"lr\":0.1,\"accuracy\":0.9}"}}}]}}]}
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
    let text = readme();
    let shown = text.lines().filter_map(|line| line.strip_prefix("    kubectl mrunner "));
    let in_tables = text
        .lines()
        .filter(|l| l.starts_with("| "))
        .flat_map(|l| l.split('`'))
        .filter_map(|c| c.strip_prefix("kubectl mrunner "));
    let mut count = 0;
    for command in shown.chain(in_tables) {
        let command = command
            .split(" | base64 -d")
            .next()
            .unwrap()
            .split("   #")
            .next()
            .unwrap()
            .trim()
            .replace("RUN", "train-1")
            .replace("<(pass show team/keys)", ".env")
            .replace("VERB", "run");
        // these would watch until they are interrupted, or have a person type a name
        if command.contains(" -w") || command.contains("--remove-nfs-server") {
            continue;
        }
        // these are for a run that has not ended: tests/it/inside.rs
        if ["shell ", "attach ", "describe ", "port-forward "].iter().any(|verb| command.starts_with(verb)) {
            continue;
        }
        let words = shlex::split(&command).unwrap();
        let outcome = world.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(outcome.code, 0, "{words:?}: {}", outcome.stderr);
        count += 1;
    }
    assert!(count >= 12, "only {count} commands found: does this test still read the README?");
}

#[test]
fn every_option_of_run_is_in_the_readme() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").unwrap();
    let mut known: Vec<String> = run
        .get_arguments()
        .filter(|a| !a.is_global_set())
        .filter_map(|a| a.get_long())
        .map(|l| format!("--{l}"))
        .collect();
    let mut told: Vec<String> = first_cells("Options of `run`")
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
fn every_key_of_a_context_is_in_the_readme() {
    let (_, text) =
        readme().split_once("## Keys of a remote context\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let cells = first_cells("Keys of a remote context");
    for key in mrunner::config::contexts::KEYS {
        let older = ["context_name", "backend_type", "storage_dir"].contains(key);
        assert!(cells.iter().any(|cell| cell == key) || older, "the README's table lacks `{key}`");
    }
    for cell in cells {
        assert!(
            mrunner::config::contexts::KEYS.contains(&cell.as_str()),
            "the README's table has `{cell}`, which is no key"
        );
    }
    assert!(text.contains("older: `storage_dir`") && text.contains("older: `backend_type`"));
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
