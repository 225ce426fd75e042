//! What a run left on its volume, among whatever else somebody may put there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use serde_json::Value;

use super::world;
use crate::support::{World, program};

/// A run whose Job is gone, with its first point's record and log on the volume.
fn gone(world: &World) {
    world.write("volume/.mrunner/runs/train-1/run.json", r#"{"run":"train-1","project":"vision","completions":2}"#);
    let record = r#"{"index":0,"pod":"train-1-0-abcde","began":"2026-11-24T22:00:00Z","ended":"2026-11-24T22:00:09Z","code":0,"metrics":{"a":1}}"#;
    world.write("volume/.mrunner/runs/train-1/0.train-1-0-abcde.json", record);
    world.write("volume/.mrunner/runs/train-1/0.train-1-0-abcde.log", "printed\n");
}

fn odd_entries(world: &World) -> usize {
    let folder = world.path("volume/.mrunner/runs/train-1");
    world.write("secret", record("5", "x"));
    let at = |name: &str| folder.join(name);
    symlink("/etc/passwd", at("5.a.json")).unwrap();
    symlink("../../../../secret", at("5.x.json")).unwrap();
    symlink("nowhere", at("5.b.json")).unwrap();
    symlink("5.c.json", at("5.c.json")).unwrap();
    symlink("/dev/zero", at("5.d.json")).unwrap();
    fs::create_dir(at("6.a.json")).unwrap();
    assert!(program("mkfifo").arg(at("6.b.json")).status().unwrap().success());
    drop(std::os::unix::net::UnixListener::bind(at("6.c.json")).unwrap());
    fs::File::create(at("7.big.json")).unwrap().set_len(4 << 30).unwrap();
    fs::write(at("7.large.json"), "[".repeat(200_000)).unwrap();
    fs::write(at("7.deep.json"), "[".repeat(60_000)).unwrap();
    fs::write(at("7.empty.json"), "").unwrap();
    fs::write(at("7.up.json"), record("7", "../../../../x")).unwrap();
    fs::write(at("18446744073709551615.y.json"), record("18446744073709551615", "y")).unwrap();
    fs::write(at("8.\u{1b}[31m.json"), record("8", "x")).unwrap();
    fs::write(folder.join(OsStr::from_bytes(b"9.\xff\xfe.json")), record("9", "x")).unwrap();
    16
}

fn record(index: &str, pod: &str) -> String {
    format!(
        r#"{{"index":{index},"pod":"{pod}","began":"2026-11-24T22:00:00Z","ended":"2026-11-24T22:00:09Z","code":0}}"#
    )
}

#[test]
fn odd_entries_among_the_records_are_passed_over_in_one_line() {
    let world = world();
    gone(&world);
    let odd = odd_entries(&world);
    for verb in ["status", "results", "logs"] {
        let outcome = world.run(&[verb, "--project", "vision", "train-1"]).ok();
        let told: Vec<&str> = outcome.stderr.lines().filter(|line| line.contains("no records")).collect();
        assert_eq!(told.len(), 1, "{}", outcome.stderr);
        let words = format!(
            "warning: skipped {odd} entries of `.mrunner/runs/train-1` in the storage that are no records, such as "
        );
        assert!(told[0].starts_with(&words), "{}", told[0]);
        assert!(!outcome.stderr.contains('\u{1b}') && !outcome.stdout.contains('\u{1b}'));
    }
    assert_eq!(world.run(&["logs", "--project", "vision", "train-1"]).ok().stdout, "printed\n");
    let results = world.run(&["results", "--project", "vision", "train-1", "-o", "json"]).ok().stdout;
    let points: Value = serde_json::from_str(&results).unwrap();
    assert_eq!((points.as_array().unwrap().len(), &points[0]["metrics"]["a"]), (2, &1.into()), "{results}");
}

#[test]
fn a_run_of_which_nothing_can_be_read_left_nothing() {
    for plant in [".mrunner", ".mrunner/runs", ".mrunner/runs/train-1"] {
        let world = world();
        gone(&world);
        let place = world.path("volume").join(plant);
        fs::rename(&place, world.path("elsewhere")).unwrap();
        symlink(world.path("elsewhere"), &place).unwrap();
        let outcome = world.run(&["results", "--project", "vision", "train-1"]);
        assert_eq!(outcome.code, 1, "{outcome:?}");
        assert!(
            outcome.stderr.contains(&format!("warning: skipped `{plant}` in `.mrunner/runs/train-1`")),
            "{outcome:?}"
        );
        assert!(outcome.stderr.contains("error: no run is called `train-1` in the cluster\n"), "{outcome:?}");
    }
}

#[test]
fn many_records_come_in_few_requests() {
    let world = world();
    gone(&world);
    for index in 1..2500 {
        let text = record(&index.to_string(), "p").replace('}', &format!(",\"metrics\":{{\"a\":{index}}}}}"));
        world.write(&format!("volume/.mrunner/runs/train-1/{index}.p.json"), text);
    }
    let large = record("2500", "p").replace('}', &format!(",\"metrics\":{{\"b\":\"{}\"}}}}", "x".repeat(200_000)));
    world.write("volume/.mrunner/runs/train-1/2500.p.json", large);
    world.write("volume/.mrunner/runs/train-1/run.json", r#"{"completions":2501}"#);
    let outcome = world.run(&["results", "--project", "vision", "train-1", "-o", "json"]).ok();
    assert!(!outcome.stderr.contains("skipped"), "{}", outcome.stderr);
    let points: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!((0..2500).all(|i| points[i]["metrics"]["a"] == if i == 0 { 1 } else { i }));
    assert_eq!(points[2500]["metrics"]["b"].as_str().unwrap().len(), 200_000);
}

#[test]
fn a_log_is_shown_without_its_record_and_not_called_gone_if_it_can_not_be_read() {
    let world = world();
    gone(&world);
    let folder = "volume/.mrunner/runs/train-1";
    let write = |file: &str, text: &str| world.write(&format!("{folder}/{file}"), text);
    write("run.json", r#"{"run":"train-1","project":"vision","completions":3}"#);
    // its node went while it wrote its record
    write("1.train-1-1-first.json", "");
    write("1.train-1-1-first.log", "first\n");
    // its image lacks `tee`
    write("1.train-1-1-other.json", &record("1", "train-1-1-other").replace("2026", "2030"));
    write("1.train-1-1-other.log", "");
    // another printed nothing
    write("2.p.json", &record("2", "p").replace('}', ",\"printed\":0}"));
    write("2.p.log", "");
    let logs = |args: &[&str]| world.run(&[&["logs", "--project", "vision"], args].concat());
    let outcome = logs(&["train-1"]);
    assert_eq!(outcome.stdout, "printed\nfirst\n");
    assert!(outcome.stderr.contains("attempt   2 of 4, at the point 1\n"), "{}", outcome.stderr);
    let told = "warning: the log of the pod `train-[ID]r` was not kept: its image lacks what that takes\n";
    assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    outcome.fails(1, "error: 1 of 4 logs could not be read, see above\n");
    assert_eq!(logs(&["train-1/2"]).ok().stdout, "");
    // somebody else made it larger than it can be
    write("2.p.json", &record("2", "p").replace('}', ",\"printed\":6}"));
    write("2.p.log", "whole\n");
    let log = fs::File::options().write(true).open(world.path(&format!("{folder}/2.p.log"))).unwrap();
    log.set_len(1 << 40).unwrap();
    let outcome = logs(&["train-1/2"]);
    assert!(outcome.stdout.starts_with("whole\n") && outcome.stdout.len() < 1 << 20);
    let told = "warning: the rest of the log that `p` kept is not shown: it is longer than what was printed, ";
    assert!(outcome.stderr.contains(told) && !outcome.stderr.contains("is not there"), "{}", outcome.stderr);
    outcome.fails(1, "error: 1 of 1 logs could not be read, see above\n");
}

#[test]
fn metrics_are_sought_in_no_more_than_was_printed() {
    let world = world();
    gone(&world);
    let more = r#","printed":18,"metrics_from":"lines","metrics_size":18}"#;
    let text = record("0", "train-1-0-abcde").replace('}', more);
    world.write("volume/.mrunner/runs/train-1/0.train-1-0-abcde.json", text + "\n");
    world.write("volume/.mrunner/runs/train-1/0.train-1-0-abcde.log", "mrunner: {\"a\": 1}\n");
    let points = || world.run(&["results", "--project", "vision", "train-1", "-o", "json"]).ok().stdout;
    assert!(points().contains("\"a\": 1"), "{}", points());
    // somebody else made it larger than it can be
    let log = world.path("volume/.mrunner/runs/train-1/0.train-1-0-abcde.log");
    fs::File::options().write(true).open(log).unwrap().set_len(1 << 40).unwrap();
    assert!(points().contains("what it measured can't be read: it is longer than what was printed"), "{}", points());
}

#[test]
fn planted_records_hide_no_true_ones() {
    let world = world();
    gone(&world);
    let folder = world.path("volume/.mrunner/runs/train-1");
    // the second point failed; those that are planted stand before its record and before `run.json`
    let failed = record("1", "train-1-1-abcde").replace("\"code\":0", "\"code\":5");
    fs::write(folder.join("1.train-1-1-abcde.json"), failed).unwrap();
    for number in 0..1024 {
        fs::File::create(folder.join(format!("0.a{number}.json"))).unwrap().set_len(16 << 10).unwrap();
        fs::File::create(folder.join(format!("!{number}.json"))).unwrap().set_len(256 << 10).unwrap();
        fs::write(folder.join(format!("7.a{number}.json")), record("7", &format!("a{number}"))).unwrap();
    }
    let outcome = world.run(&["status", "--project", "vision", "--no-headers", "train-1"]).ok();
    assert!(outcome.stdout.contains(" Failed   1/2 "), "{outcome:?}");
    assert!(outcome.stderr.contains("warning: skipped 3072 entries of "), "{outcome:?}");
    // without what the run is, nobody knows that it succeeded
    fs::remove_file(folder.join("run.json")).unwrap();
    fs::remove_file(folder.join("1.train-1-1-abcde.json")).unwrap();
    let outcome = world.run(&["results", "--project", "vision", "train-1"]).ok();
    assert!(outcome.stdout.contains("0       Succeeded"), "{outcome:?}");
    let row = world.run(&["status", "--project", "vision", "--no-headers", "train-1"]).ok().stdout;
    assert!(row.contains(" Failed ") && row.contains("`run.json`"), "{row}");
}
