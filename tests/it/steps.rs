//! The steps of a run stand in one list: what is shown, saved, done and finished later has one order.

use serde_json::Value;

use crate::support::{World, program};

const RUN: &[&str] = &["run", "--grid", "lr=0.1,0.2", "--secret-env", "HF_TOKEN", "train.py"];

/// Each step by words of its command.
const STEPS: &[(&str, &str)] = &[
    (" buildx build ", "image"),
    ("namespace.json", "namespace"),
    ("claim.json", "claim"),
    ("job.json", "job"),
    ("points.json", "points"),
    ("\"kind\":\"Secret\"", "secret"),
    ("patch job/", "resume"),
];

fn world() -> World {
    let mut world = World::new();
    world.on(
        "*' create '*'-o json'*",
        r#"sed '0,/"metadata": {/s//"metadata": {"uid": "u-1",/' "$call.stdin" | tee "$world/job.json"; exit 0"#,
    );
    world.on("*' get job/'*", r#"cat "$world/job.json"; exit 0"#);
    world.on("*' create '*'--validate=false'*", "echo made; exit 0");
    world.env("HF_TOKEN", "canary").env("MRUNNER_TEST_PATIENCE", "0.02");
    world
}

/// The steps in the order in which the commands of a text stand, of which each line begins with `mark`.
fn steps(text: &str, mark: &str) -> Vec<&'static str> {
    let commands = text.lines().filter(|line| line.starts_with(mark) || line.starts_with('{'));
    let step = |line: &str| STEPS.iter().find(|(words, _)| line.contains(words)).map(|(_, step)| *step);
    commands.filter_map(step).collect()
}

#[test]
fn a_run_is_shown_saved_done_and_finished_in_one_order() {
    let all: Vec<&str> = STEPS.iter().map(|(_, step)| *step).collect();
    let done = world().run(RUN).ok();
    assert_eq!(steps(&done.stderr, "  $ "), all, "{}", done.stderr);
    let words: Vec<&str> = [&["run", "--dry-run"], &RUN[1..]].concat();
    let shown = world().run(&words).ok().stdout;
    assert_eq!(steps(&shown.replace("# {", "{"), "# $ "), all, "{shown}");
    let saved = world();
    let words: Vec<&str> = [&["run", "--out", "../saved"], &RUN[1..]].concat();
    saved.run(&words).ok();
    let script = saved.read("saved/run.sh");
    assert_eq!(steps(&script, ""), all, "{script}");
    let mut cut = world();
    cut.on("*' create '*'-o json'*", "echo 'error: unexpected EOF' >&2; exit 1");
    cut.run(RUN);
    let run = cut.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    let mut mended = cut;
    mended.on(
        "*' create '*'-o json'*",
        r#"sed '0,/"metadata": {/s//"metadata": {"uid": "u-1",/' "$call.stdin" | tee "$world/job.json"; exit 0"#,
    );
    let finished = mended.run(&["run", "--resume", &run]).ok();
    // the image is there by now
    assert_eq!(steps(&finished.stderr, "  $ "), all[1..], "{}", finished.stderr);
}

#[test]
fn each_object_that_a_saved_sweep_makes_belongs_to_its_job() {
    let mut world = world();
    let long = "UID-OF-THE-JOB".repeat(60);
    let value = format!("\"\"\"uid\"\":\"\"{long}\"\"\"");
    let points = (0..1500).fold("n,text\n".to_owned(), |all, n| all + &format!("{n},{value}\n"));
    world.write("vision/points.csv", points);
    world.run(&["run", "--out", "../saved", "--sweep", "points.csv", "--image", "busybox", "train.py"]).ok();
    world.on("*' get job '*'-o jsonpath='*", "printf u-9; exit 0");
    world.command(&[]);
    let mut sh = program("/bin/sh");
    sh.arg(world.path("saved/run.sh")).env_clear();
    sh.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display()));
    let output = sh.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let sent = world.calls_with("--validate=false").pop().unwrap().json();
    let planned: Value = serde_json::from_str(&world.read("saved/points.json")).unwrap();
    let maps = sent["items"].as_array().unwrap();
    assert!(maps.len() > 1, "{}", maps.len());
    for (map, planned) in maps.iter().zip(planned["items"].as_array().unwrap()) {
        assert_eq!(map["metadata"]["ownerReferences"][0]["uid"], "u-9");
        assert_eq!(map["data"], planned["data"]);
    }
}

#[test]
fn a_journal_of_another_format_is_told_and_not_read() {
    let mut world = world();
    world.on("*' create '*'-o json'*", "echo 'error: unexpected EOF' >&2; exit 1");
    world.run(RUN);
    let run = world.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    let path = format!("home/.local/state/mrunner/runs/{run}.json");
    let mut journal: Value = serde_json::from_str(&world.read(&path)).unwrap();
    for format in [Value::Null, 1.into(), 99.into(), "2".into()] {
        journal["format"] = format.clone();
        if format.is_null() {
            journal.as_object_mut().unwrap().remove("format");
        }
        world.write(&path, journal.to_string());
        world.shows(&[]);
        let told = world.run(&["status"]).ok().stderr;
        assert!(
            told.contains("finish it with the version of mrunner that wrote it") && !told.contains("--resume"),
            "{told}"
        );
        let refused = world.run(&["run", "--resume", &run]);
        assert!(
            refused.code == 1 && refused.stderr.contains("this version of mrunner reads the formats 2 to 3"),
            "{refused:?}"
        );
        assert!(refused.stderr.contains(&world.tidy(&format!("`kubectl mrunner delete {run}`"))), "{refused:?}");
    }
}

#[test]
fn a_journal_of_the_former_format_is_finished_with_the_scripts_in_its_pods() {
    let mut world = World::new();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    world.on("*' create '*'-o json'*", "echo 'error: unexpected EOF' >&2; exit 1");
    world.run(&["run", "--grid", "x=1,2", "train.py"]);
    let run = world.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    let path = format!("home/.local/state/mrunner/runs/{run}.json");
    let mut journal: Value = serde_json::from_str(&world.read(&path)).unwrap();
    journal["format"] = 2.into();
    journal["points"].as_object_mut().unwrap().remove("scripts").unwrap();
    world.write(&path, journal.to_string());
    world.on("*' create '*", "cat \"$call.stdin\"; exit 0");
    world.run(&["run", "--resume", &run]).ok();
    let maps = world.calls_with("--validate=false").pop().unwrap().json();
    assert_eq!(maps["items"][0]["data"].as_object().unwrap().keys().collect::<Vec<_>>(), ["points"]);
}
