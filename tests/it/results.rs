//! `results`: from pods' last words, from the volume, and drawn.

use serde_json::{Value, json};

use crate::objects::{job, pod, point};
use crate::support::World;
use crate::transfer;

/// A sweep of two learning rates and two seeds in the cluster: what each point's pod left.
fn sweep(messages: &[&str]) -> Vec<Value> {
    let mut run = job("train-x", "Succeeded");
    let count = messages.len();
    run["spec"]["completions"] = count.into();
    run["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "MRUNNER_MARK", "value": "m"}]);
    run["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "points", "projected": {"sources": [{"configMap": {"name": "train-x-points-0"}}]}}]);
    run["status"] = json!({"startTime": "2026-11-23T06:00:00Z", "succeeded": count, "completedIndexes": format!("0-{}", count - 1),
        "conditions": [{"type": "Complete", "status": "True"}]});
    let lines = (0..count).map(|at| {
        format!(
            "set -- \"${{1}}\" '--lr' '{0}'; MRUNNER_PARAMS='{{\"lr\":{0},\"seed\":{1}}}'\n",
            [0.1, 0.001][at / 2 % 2],
            at % 2
        )
    });
    let map = json!({"kind": "ConfigMap", "metadata": {"name": "train-x-points-0", "namespace": "vision"},
        "data": {"points": lines.collect::<String>()}});
    let pods = (0..).zip(messages).map(|(at, message)| {
        let mut pod = point(at, "Succeeded");
        pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"] = (*message).into();
        pod
    });
    [run, map].into_iter().chain(pods).collect()
}

fn showing(objects: &[Value]) -> World {
    let mut world = World::new();
    transfer::volume(&mut world);
    world.shows(objects).env("MRUNNER_TEST_PATIENCE", "0.02");
    let maps: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "ConfigMap").collect();
    world.write("maps.json", json!({"kind": "List", "items": maps}).to_string());
    world.on("*' get jobs,pods,configmaps '*", "cat \"$world/runs.json\"; exit 0");
    world.on("*' get configmaps '*", "cat \"$world/maps.json\"; exit 0");
    world
}

const FOUR: [&str; 4] = [
    "m 0 0 exit 9 file 39 {\"accuracy\":0.9,\u{1e}\"val\":{\"loss\":NaN}}\u{1e} \u{1e}\n",
    "\nm 1 0 exit 9 file 37 {\"accuracy\":0.11,\"val\":{\"loss\":null}}",
    "m 2 0 exit 9 lines 53 mrunner: {\"accuracy\":0.95,\"note\":\"a,\\\"b\\\"\\u001b[31m\"}",
    "m 3 0 exit 9 - - ",
];

#[test]
fn the_best_points_come_first_in_one_question() {
    let world = showing(&sweep(&FOUR));
    let outcome = world.run(&["results", "train-x", "--sort", "-accuracy", "--top", "3"]).ok();
    assert_eq!(outcome.stderr, "");
    assert_eq!(
        outcome.stdout,
        "POINT   STATE       lr      seed   accuracy   val.loss   note
2       Succeeded   0.001   0      0.95                  a,\"b\"\\u{1b}[31m
0       Succeeded   0.1     0      0.9        NaN
1       Succeeded   0.1     1      0.11       null
"
    );
    assert_eq!(world.calls().len(), 1, "{:?}", world.calls());
    let outcome = world.run(&["results", "job.batch/train-x", "--sort", "lr", "--sort", "-seed", "--no-headers"]).ok();
    let order: Vec<&str> = outcome.stdout.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(order, ["3", "2", "1", "0"]);
}

#[test]
fn programs_get_every_value_as_it_is() {
    let world = showing(&sweep(&FOUR));
    let csv = world.run(&["results", "train-x", "-o", "csv"]).ok().stdout;
    assert_eq!(
        csv,
        "point,state,lr,seed,accuracy,val.loss,note,why
0,Succeeded,0.1,0,0.9,NaN,,
1,Succeeded,0.1,1,0.11,null,,
2,Succeeded,0.001,0,0.95,,\"a,\"\"b\"\"\u{1b}[31m\",
3,Succeeded,0.001,1,,,,
"
    );
    let text = world.run(&["results", "train-x", "-o", "json"]).ok().stdout;
    assert!(!text.contains('\u{1b}'));
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["metrics"], json!({"accuracy": 0.9, "val": {"loss": "NaN"}}));
    assert_eq!((&json[2]["params"], &json[3]["metrics"]), (&json!({"lr": 0.001, "seed": 0}), &json!({})));
}

#[test]
fn what_the_messages_lack_comes_from_the_volume() {
    let more = [FOUR[0], "m 1 0 exit 9 file 5011 ", "", FOUR[3]];
    let mut objects = sweep(&more);
    objects.retain(|object| object["metadata"]["name"] != "train-x-2-abcde");
    objects[0]["spec"]["template"]["spec"]["volumes"] = json!([{"persistentVolumeClaim": {"claimName": "storage"}}]);
    let world = showing(&objects);
    let long = "x".repeat(5000);
    let record = |index: u64, metrics: &str| {
        format!(
            "{{\"index\":{index},\"pod\":\"p\",\"began\":\"2026-11-24T22:00:01Z\",\"ended\":\"2026-11-24T22:00:02Z\",\"code\":0,\"metrics\":{metrics}}}"
        )
    };
    for (index, metrics) in [(0, "{\"wrong\":1}"), (1, &*format!("{{\"text\":\"{long}\"}}")), (2, "{\"accuracy\": }")] {
        world.write(&format!("volume/.mrunner/runs/train-x/{index}.p.json"), record(index, metrics));
    }
    let outcome = world.run(&["results", "train-x"]).ok();
    assert!(outcome.stderr.contains("looking for what 2 of its points measured"), "{}", outcome.stderr);
    let rows: Vec<&str> = outcome.stdout.lines().collect();
    assert!(rows[2].contains(&format!(" {}…", "x".repeat(39))) && !rows[2].contains(&"x".repeat(40)), "{rows:?}");
    assert!(rows[3].ends_with("its metrics are not a JSON object"), "{rows:?}");
    assert!(!outcome.stdout.contains("wrong"));
    let csv = world.run(&["results", "train-x", "-o", "csv"]).ok().stdout;
    assert!(csv.contains(&long));
    // a volume that can't be reached takes nothing from what the cluster tells
    let mut world = showing(&objects);
    world.on("*' create '*", "echo 'Error from server (Forbidden): jobs.batch is forbidden' >&2; exit 1");
    let outcome = world.run(&["results", "train-x"]).ok();
    assert!(
        outcome.stdout.contains(" 0.9 ") && outcome.stderr.contains("can't be looked up in the storage"),
        "{outcome:?}"
    );
}

#[test]
fn what_has_no_room_in_a_record_is_read_from_the_volume() {
    let history = "{\"step\": 1},".repeat(10_000);
    let large = format!("{{\"log\": [{history} 0],\n\"best\": 0.91, \"name\": \"é\", \"inf\": Infinity}}");
    let broken = format!("{{'a': [{history}]}}");
    let told = |at: usize, size: usize| format!("m {at} 0 exit 9 file {size} ");
    let messages = [
        told(0, large.len()),
        told(1, broken.len()),
        told(2, large.len() + 1),
        "m 3 0 exit 9 lines 5000000 mrunner: {\"end\":1}\u{1e}".to_owned(),
    ];
    let mut objects = sweep(&messages.each_ref().map(String::as_str));
    objects[0]["spec"]["template"]["spec"]["volumes"] = json!([{"persistentVolumeClaim": {"claimName": "storage"}}]);
    let world = showing(&objects);
    let folder = "volume/.mrunner/runs/train-x";
    let record = |index: usize, from: &str, size: usize| {
        let pod = format!("train-x-{index}-abcde");
        let text = format!(
            "{{\"index\":{index},\"pod\":\"{pod}\",\"began\":\"2026-11-24T22:00:01Z\",\"ended\":\"2026-11-24T22:00:02Z\",\"code\":0,\"ended_by\":\"exit\",\"metrics_from\":\"{from}\",\"metrics_size\":{size}}}\n"
        );
        world.write(&format!("{folder}/{index}.{pod}.json"), text);
    };
    for (index, text) in [(0, &large), (1, &broken), (2, &large)] {
        world.write(&format!("volume/train-x/{index}/metrics.json"), text);
    }
    for (index, size) in [(0, large.len()), (1, broken.len()), (2, large.len() + 1)] {
        record(index, "file", size);
    }
    record(3, "lines", 5_000_000);
    let log = format!("{folder}/3.train-x-3-abcde.log");
    world.write(&log, "mrunner: {\"start\": 1}\n 9%mrunner: {\"loss\": 0.5}\nmrunner: {\"cut\"");
    world.write(&format!("{log}.9"), ": 1}\nmrunner: {\"loss\": 0.25}\nmrunner: {\"en");
    world.write(&format!("{log}.10"), "d\": 1}\n");
    let outcome = world.run(&["results", "train-x", "-o", "json"]).ok();
    let json: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(json[0]["metrics"], json!({"best": 0.91, "name": "é", "inf": "Infinity"}), "{outcome:?}");
    let why = |at: usize| json[at]["why"].as_str().unwrap_or_default();
    assert_eq!(why(1), "metrics.json is not a JSON object (line 1: single quotes)");
    assert_eq!(why(2), "metrics.json was changed after its attempt ended");
    assert_eq!(json[3]["metrics"], json!({"start": 1, "loss": 0.25, "end": 1}));
    // also where the Job is gone
    let parts = ["", ".9", ".10"].map(|part| world.path(&format!("{log}{part}")));
    world.show(&[]);
    world.write(&format!("{folder}/run.json"), r#"{"run":"train-x","project":"vision","completions":4}"#);
    let left = || world.run(&["results", "train-x", "--project", "vision", "-o", "json"]).ok();
    assert_eq!(metrics_and_reasons(&left().stdout), metrics_and_reasons(&outcome.stdout));
    for part in parts {
        std::fs::remove_file(part).unwrap();
    }
    let (_, why) = metrics_and_reasons(&left().stdout).remove(3);
    assert_eq!(why, "its log, with lines of metrics, is not in the storage any more");
}

/// Of each point.
fn metrics_and_reasons(json: &str) -> Vec<(Value, Value)> {
    let rows: Vec<Value> = serde_json::from_str(json).unwrap();
    rows.into_iter().map(|row| (row["metrics"].clone(), row["why"].clone())).collect()
}

#[test]
fn a_run_whose_job_is_gone_has_its_results_still() {
    let world = showing(&[]);
    let folder = "volume/.mrunner/runs/train-x";
    world.write(&format!("{folder}/run.json"), r#"{"run":"train-x","project":"vision","completions":2}"#);
    world.write(&format!("{folder}/0.a.json"), r#"{"index":0,"pod":"a","began":"2026-11-24T22:00:01Z","ended":"2026-11-24T22:00:02Z","code":0,"params":{"lr":0.1},"metrics":{"loss":Infinity}}"#);
    world.write(&format!("{folder}/1.b.json"), r#"{"index":1,"pod":"b","began":"2026-11-24T22:00:01Z","ended":"2026-11-24T22:00:02Z","code":7,"params":{"lr":0.2}}"#);
    let outcome = world.run(&["results", "train-x", "--project", "vision"]).ok();
    assert_eq!(
        outcome.stdout,
        "POINT   STATE       lr    loss       WHY
0       Succeeded   0.1   Infinity
1       Failed      0.2              exit code 7
"
    );
}

#[test]
fn reports_that_can_not_be_taken_are_no_silence() {
    let outcome = showing(&sweep(&["m 0 0 exit 9 file 8 {'a': 1}"])).run(&["results", "train-x"]).ok();
    assert!(outcome.stdout.contains("metrics.json is not a JSON object (line 1: single quotes)"), "{outcome:?}");
    assert_eq!(outcome.stderr, "no report of `train-x` could be taken: see the column WHY\n");
}

#[test]
fn failed_points_are_listed_and_nothing_measured_is_told() {
    let world = showing(&[job("train-x", "Failed"), pod("train-x", "Failed")]);
    let outcome = world.run(&["results", "train-x"]).ok();
    assert_eq!(outcome.stdout, "POINT   STATE    WHY\n0       Failed   exit code 2\n");
    assert_eq!(
        outcome.stderr,
        "no point of `train-x` has reported anything yet
a point reports by writing one JSON object to `$MRUNNER_OUTPUT/metrics.json`, or by printing a line such as `mrunner: {\"accuracy\": 0.97}`
"
    );
    let outcome = world.run(&["results", "train-x", "--sort", "-acuracy"]);
    assert!(
        outcome.code == 2 && outcome.stderr.contains("error: no point has a parameter or metric called `acuracy`"),
        "{outcome:?}"
    );
    let outcome = showing(&sweep(&FOUR)).run(&["results", "train-x", "--sort", "-acuracy"]);
    assert!(outcome.stderr.ends_with("hint: did you mean `accuracy`?\n"), "{outcome:?}");
    let outcome = showing(&[]).run(&["results", "nosuch"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("no run is called `nosuch`"), "{outcome:?}");
}

#[test]
fn who_may_not_read_the_parameters_sees_the_rest() {
    let mut world = showing(&sweep(&FOUR));
    world.on("*' get jobs,pods,configmaps '*", &crate::storage::forbidden("list", "configmaps"));
    let outcome = world.run(&["results", "train-x", "--top", "1"]).ok();
    assert!(outcome.stdout.starts_with("POINT   STATE       accuracy"), "{outcome:?}");
}

#[test]
fn a_plot_is_drawn_in_text_and_as_svg() {
    let world = showing(&sweep(&FOUR));
    let outcome = world.run(&["results", "train-x", "--plot", "x=lr", "y=accuracy", "--by", "seed"]).ok();
    let lines: Vec<&str> = outcome.stdout.lines().collect();
    assert!(lines[0] == "accuracy" && lines[lines.len() - 2..] == ["● seed=0", "○ seed=1"], "{}", outcome.stdout);
    assert_eq!(
        (outcome.stdout.matches('●').count(), outcome.stdout.matches('○').count()),
        (3, 2),
        "{}",
        outcome.stdout
    );
    // logarithmic, as the values span decades
    assert!(
        outcome.stdout.contains("0.001") && outcome.stdout.contains("0.01") && outcome.stdout.contains("0.1"),
        "{}",
        outcome.stdout
    );
    assert_eq!(outcome.stderr, "points left out, as they lack one of the two numbers: 1\n");
    let svg = world.run(&["results", "--plot", "x=lr", "y=accuracy", "-o", "svg", "train-x"]).ok().stdout;
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n") && svg.matches("<circle").count() == 3, "{svg}");
}

#[test]
fn wrong_words_about_a_plot_are_told_before_anything_is_asked() {
    let world = showing(&sweep(&FOUR));
    for (args, words) in [
        (&["-o", "svg"][..], "`-o svg` draws, and nothing says what"),
        (&["-o", "csv", "--plot", "x=lr", "y=accuracy"], "`--plot` draws, and `-o` asks for rows"),
        (&["--plot", "lr", "accuracy"], "`lr accuracy` names no two axes"),
        (&["--by", "seed"], "--plot"),
    ] {
        let outcome = world.run(&[&["results", "train-x"][..], args].concat());
        assert!(outcome.code == 2 && outcome.stderr.contains(words), "{args:?} {outcome:?}");
    }
    assert_eq!(world.calls().len(), 0);
    let outcome = world.run(&["results", "train-x", "--plot", "x=lr", "y=note"]);
    assert!(outcome.code == 1 && outcome.stderr.contains("no point has a number under `note` to plot"), "{outcome:?}");
}

/// A sweep of four of which two have ended, one well.
fn going() -> Vec<Value> {
    let mut objects = sweep(&FOUR);
    objects[0]["status"] = json!({"startTime": "2026-11-23T06:00:00Z", "succeeded": 1, "active": 1, "completedIndexes": "0", "failedIndexes": "1"});
    objects[3]["status"]["phase"] = "Failed".into();
    objects[3]["status"]["containerStatuses"][0]["state"]["terminated"] =
        json!({"exitCode": 7, "message": "out of luck\n"});
    objects[4]["status"] =
        json!({"phase": "Running", "containerStatuses": [{"name": "experiment", "state": {"running": {}}}]});
    objects[4]["spec"]["nodeName"] = "n".into();
    objects.truncate(5);
    objects
}

#[test]
fn status_counts_the_points_and_says_which_failed() {
    let world = showing(&going());
    let outcome = world.run(&["status", "train-x"]).ok();
    assert!(outcome.stdout.contains("   1/4 "), "{}", outcome.stdout);
    let told = "points    4 in all: 1 succeeded, 1 failed, 1 running, 1 waiting; ";
    assert!(outcome.stderr.starts_with(told), "{}", outcome.stderr);
    assert!(outcome.stderr.contains(" an hour, about "), "{}", outcome.stderr);
    assert!(
        outcome.stderr.contains("\nfailed    1 (lr=0.1, seed=1): exit code 7: out of luck\n"),
        "{}",
        outcome.stderr
    );
    // its thousands of pods are asked for once
    assert_eq!(world.calls_with("pods").len(), 1);
    // a program's question is answered as before
    assert_eq!(world.run(&["status", "train-x", "-o", "name"]).ok().stderr, "");
}

#[test]
fn points_are_listed_by_their_state() {
    let world = showing(&going());
    let failed = world.run(&["status", "train-x", "--points", "--state", "failed"]).ok().stdout;
    assert!(
        failed.starts_with("POINT   STATE    lr    seed   WHY\n1       Failed   0.1   1      exit code 7"),
        "{failed}"
    );
    let json: Value =
        serde_json::from_str(&world.run(&["status", "train-x", "--points", "-o", "json"]).ok().stdout).unwrap();
    let states: Vec<&str> = json.as_array().unwrap().iter().map(|point| point["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["Succeeded", "Failed", "Running", "Waiting"]);
    let none = world.run(&["status", "train-x", "--points", "--state", "starting"]).ok();
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no point is in that state\n"));
    world
        .run(&["status", "--points"])
        .fails(2, "error: `--points` are those of one run\nhint: name it: `kubectl mrunner status RUN --points`\n");
    world
        .run(&["status", "train-x", "--state", "failed"])
        .fails(2, "error: `--state` chooses among points\nhint: add `--points`\n");
}
