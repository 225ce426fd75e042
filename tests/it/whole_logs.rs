//! Logs are shown whole, from the node or from the volume, or it is said what is missing.

use std::os::unix::fs::symlink;

use serde_json::{Value, json};

use crate::objects::{job, pod, point};
use crate::support::{World, program};
use crate::transfer;

const STARTED: &str = "2026-11-23T06:00:00Z";

/// A run that keeps its logs, of so many points.
pub fn run(state: &str, points: u64) -> Value {
    let mut run = job("train-x", state);
    run["spec"]["completions"] = points.into();
    let env = json!([{"name": "MRUNNER_MARK", "value": "m4rk"}, {"name": "MRUNNER_KEEP_LOGS", "value": "auto"}]);
    run["spec"]["template"]["spec"]["containers"][0]["env"] = env;
    run["spec"]["template"]["spec"]["volumes"] =
        json!([{"name": "storage", "persistentVolumeClaim": {"claimName": "storage"}}]);
    run
}

/// A pod of a point, with the words in its termination message.
pub fn told(mut pod: Value, message: &str) -> Value {
    let state = &mut pod["status"]["containerStatuses"][0]["state"];
    let kind = if state["running"].is_object() { "running" } else { "terminated" };
    state[kind]["startedAt"] = STARTED.into();
    state[kind]["message"] = message.into();
    pod
}

/// The pod of a point that has ended and printed so many bytes.
pub fn printed(at: u64, bytes: usize) -> Value {
    told(point(at, "Succeeded"), &format!("m4rk {at} 0 exit {bytes} - 0\n"))
}

/// A cluster with a volume where the log of each pod is what is in WORLD/logs.
pub fn world(objects: &[Value]) -> World {
    let mut world = transfer::world();
    world.shows(objects);
    world.on("*'/log?'*", r#"pod=${*#*/pods/}; cat "$world/logs/${pod%%/*}"; exit 0"#).on_proxy();
    world
}

/// So many lines from `first` on, as they were printed.
fn text(first: u32, count: u32) -> String {
    (first..first + count).map(|line| format!("line {line}\n")).collect::<Vec<_>>().concat()
}

/// The same as a node has them.
pub fn stamped(text: &str, second: u32) -> String {
    text.lines().map(|line| format!("2026-11-23T06:00:{second:02}.{:09}Z {line}\n", 5)).collect::<Vec<_>>().concat()
}

pub fn helpers(world: &World) -> usize {
    world.calls_with(" create -f - ").len()
}

#[test]
fn what_the_node_has_lost_comes_from_the_volume() {
    let (all, end) = (text(0, 100), text(90, 10));
    let world = world(&[run("Succeeded", 1), printed(0, all.len())]);
    world.write("logs/train-x-0-abcde", stamped(&end, 9));
    world.write("volume/.mrunner/runs/train-x/0.train-x-0-abcde.log", &all);
    for args in [&["logs", "train-x"][..], &["logs", "train-x/0"], &["logs", "-f", "train-x"]] {
        let outcome = world.run(args).ok();
        assert_eq!(outcome.stdout, all);
        assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
    }
    assert_eq!(helpers(&world), 3);
}

#[test]
fn of_a_sweep_each_line_has_its_point_wherever_it_comes_from() {
    let (all, end) = (text(0, 30), text(20, 10));
    let world = world(&[run("Succeeded", 2), printed(0, all.len() - 1), printed(1, end.len())]);
    for at in [0, 1] {
        world.write(&format!("logs/train-x-{at}-abcde"), stamped(&end, 9));
    }
    // its last line has no end
    world.write("volume/.mrunner/runs/train-x/0.train-x-0-abcde.log", all.trim_end());
    world.write("volume/.mrunner/runs/train-x/1.train-x-1-abcde.log", "not asked for");
    let outcome = world.run(&["logs", "train-x"]).ok();
    let labelled =
        |at: u32, text: &str| text.lines().map(|line| format!("{at} | {line}\n")).collect::<Vec<_>>().concat();
    assert_eq!(outcome.stdout, labelled(0, &all) + &labelled(1, &end));
    assert_eq!(helpers(&world), 1);
}

#[test]
fn a_log_that_is_whole_costs_no_helper() {
    // a node adds the end of a last line, and takes the carriage returns from the ends of lines
    for (printed_text, node) in [("a\nb\n", "a\nb\n"), ("a\nb", "a\nb\n"), ("a\r\nb\r\n", "a\nb\n"), ("", "")] {
        let world = world(&[run("Succeeded", 1), printed(0, printed_text.len())]);
        world.write("logs/train-x-0-abcde", stamped(node, 59));
        let outcome = world.run(&["logs", "train-x"]).ok();
        assert_eq!((outcome.stdout.as_str(), outcome.stderr.as_str(), helpers(&world)), (node, "", 0));
    }
}

#[test]
fn what_is_nowhere_is_told() {
    let end = text(90, 10);
    let world = world(&[run("Succeeded", 1), printed(0, 5 << 20)]);
    world.write("logs/train-x-0-abcde", stamped(&end, 9));
    let said = "the log of `train-[ID]e` is not whole: its node has 80 B of the 5.0 MiB that it printed, and the storage has no more\n";
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
    assert_eq!(outcome.stdout, end);
}

#[test]
fn a_full_volume_hides_no_end() {
    // shorter than what the node has, longer, and of more than what can be held back
    for (kept, size) in [(text(0, 1), 1000), (text(0, 50), 1000), (text(0, 50), 20 << 20), (String::new(), 20 << 20)] {
        let end = text(90, 10) + "Traceback\n";
        let world = world(&[run("Failed", 1), printed(0, size)]);
        world.write("logs/train-x-0-abcde", stamped(&end, 9));
        world.write("volume/.mrunner/runs/train-x/0.train-x-0-abcde.log", &kept);
        let outcome = world.run(&["logs", "train-x"]).ok();
        assert_eq!(outcome.stdout, kept.clone() + &end, "{size}");
        let told = if kept.is_empty() {
            "its node has 90 B of the 20.0 MiB that it printed, and the storage has no more\n"
        } else {
            "log       the log of `train-[ID]e` goes on with what its node has; lines may come twice\nwarning: the middle of the log of `train-[ID]e` is missing: "
        };
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    }
}

#[test]
fn a_node_that_goes_away_meanwhile_says_nothing_of_the_storage() {
    let mut world = world(&[run("Running", 1), told(pod("train-x", "Running"), "")]);
    world.on("*'/log?'*", "echo '2026-11-23T06:00:00Z some'; echo '2026-11-23T06:00:00Z more'; echo EOF >&2; exit 1");
    world.write("volume/.mrunner/runs/train-x/0.train-x-0-q47fg.log", "some\nmore\nand all the rest\n");
    let outcome = world.run(&["logs", "train-x"]);
    assert_eq!((outcome.stdout.as_str(), outcome.code), ("some\nmore\n", 1));
    assert!(!outcome.stderr.contains("storage"), "{}", outcome.stderr);
    // where it was looked at, it is known what it has
    world.show(&[run("Succeeded", 1), told(pod("train-x", "Succeeded"), "m4rk 0 0 exit 10 - 0\n")]);
    for (kept, words) in [
        (Some("some\nmore\n"), "it has no more of the log"),
        (Some("some\n"), "it has only the beginning of the log"),
        (None, "no log of it was kept there"),
    ] {
        let file = world.path("volume/.mrunner/runs/train-x/0.train-x-0-q47fg.log");
        kept.map_or_else(|| std::fs::remove_file(&file), |kept| std::fs::write(&file, kept)).unwrap();
        let outcome = world.run(&["logs", "train-x"]);
        assert_eq!(outcome.code, 1);
        assert!(outcome.stderr.contains(&format!("  storage: {words}\n")), "{}", outcome.stderr);
    }
}

#[test]
fn a_gap_in_the_kept_log_is_told_where_it_is() {
    let (first, last) = (text(0, 10) + "cut with", text(80, 20));
    let world = world(&[run("Succeeded", 1), printed(0, 10_000)]);
    world.write("logs/train-x-0-abcde", "");
    let at = |part: &str| format!("volume/.mrunner/runs/train-x/0.train-x-0-abcde.log{part}");
    world.write(&at(""), &first);
    world.write(&at(".9"), &last[..50]);
    world.write(&at(".10"), &last[50..]);
    world.write(&at(".x"), "no part of it");
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, format!("{first}\n{last}"));
    let lacks = 10_000 - first.len() - last.len();
    let told = format!(
        "warning: the middle of the log of `train-[ID]e` is missing: {:.1} KiB of 9.8 KiB were not kept\n",
        f64::from(u32::try_from(lacks).unwrap()) / 1024.0
    );
    assert!(outcome.stderr.contains(&told), "{}", outcome.stderr);
    // without a gap, the parts are one
    std::fs::rename(world.path(&at(".9")), world.path(&at(".1"))).unwrap();
    std::fs::rename(world.path(&at(".10")), world.path(&at(".2"))).unwrap();
    world.show(&[run("Succeeded", 1), printed(0, first.len() + last.len())]);
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, first + &last);
    assert!(!outcome.stderr.contains("warning"), "{}", outcome.stderr);
}

#[test]
fn a_pod_that_can_not_be_read_hides_no_other() {
    let lost = "Error from server: Get \"https://10.0.0.2:10250/containerLogs\": dial tcp 10.0.0.2:10250: connect: connection refused";
    let pods = [
        printed(0, 8),
        told(point(1, "Running"), ""),
        told(point(2, "Running"), ""),
        point(3, "Starting"),
        point(4, "Pending"),
    ];
    let mut objects = vec![run("Running", 5)];
    objects.extend(pods);
    for at in [1, 2] {
        objects[at + 1]["spec"]["nodeName"] = "away".into();
    }
    let mut world = world(&objects);
    world.on("*'/log?'*", &format!("echo '{lost}' >&2; exit 1"));
    world.write("logs/train-x-0-abcde", stamped("line 7\nx\n", 0));
    for at in [1, 2] {
        world.write(&format!("logs/train-x-{at}-abcde.refused"), lost);
    }
    world.write("volume/.mrunner/runs/train-x/2.train-x-2-abcde.log", "so far");
    let outcome = world.run(&["logs", "train-x"]);
    assert_eq!(outcome.stdout, "0 | line 7\n0 | x\n2 | so far\n");
    for told in [
        "waiting   2 pods have not begun: `train-[ID]e` (ContainerCreating), `train-[ID]e` (Pending)\n",
        &format!("warning: failed to read the log of the pod `train-[ID]e`: {lost}\n"),
    ] {
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    }
    // a node that does not answer is asked once
    assert_eq!(world.calls_with("/log?").len(), 1);
    let asked = world.read("asked");
    assert!(!asked.contains("x-3-") && !asked.contains("x-4-"), "{asked}");
    outcome.fails(1, "error: 1 of 3 logs could not be read, see above\n");
}

#[test]
fn what_is_no_file_in_the_place_of_a_log_is_not_read() {
    let world = world(&[run("Succeeded", 1), printed(0, 5000)]);
    world.write("logs/train-x-0-abcde", stamped("end\n", 9));
    world.write("outside", "secret\n");
    world.write("volume/.mrunner/runs/train-x/run.json", "{}");
    let place = world.path("volume/.mrunner/runs/train-x/0.train-x-0-abcde.log");
    let replace = |how: &dyn Fn()| {
        std::fs::remove_file(&place).ok();
        how();
    };
    let fifo = || assert!(program("mkfifo").arg(&place).status().unwrap().success());
    for how in [&(|| symlink(world.path("outside"), &place).unwrap()) as &dyn Fn(), &fifo] {
        replace(how);
        let outcome = world.run(&["logs", "train-x"]).ok();
        assert_eq!(outcome.stdout, "end\n");
        assert!(outcome.stderr.contains("and the storage has no more\n"), "{}", outcome.stderr);
    }
}

#[test]
fn a_running_pod_whose_log_begins_late_is_asked_how_much_it_kept() {
    let (all, end) = (text(0, 100_000), text(90_000, 10_000));
    let late = told(pod("train-x", "Running"), "");
    let mut world = world(&[run("Running", 1), late]);
    let name = "train-x-0-q47fg";
    world.write(&format!("volume/.mrunner/runs/train-x/0.{name}.log"), &all);
    for (node, from_volume) in [(&all, false), (&end, true)] {
        world.write(&format!("logs/{name}"), stamped(node, 7));
        world.on(
            "*' exec '*",
            r#"cd "$world/volume/.mrunner/runs/train-x"; wc -c <0.train-x-0-q47fg.log; head -c 512 *.log; exit 0"#,
        );
        let before = helpers(&world);
        assert!(world.run(&["logs", "train-x"]).ok().stdout == all);
        assert_eq!(helpers(&world) - before, usize::from(from_volume));
    }
    let asked = &world.calls_with(" exec ")[0];
    assert_eq!(asked.argv.last().unwrap(), &format!("0.{name}.log"));
    // who may not ask it looks at the volume
    world.on("*' exec '*", "echo 'Error from server (Forbidden): no' >&2; exit 1");
    assert!(world.run(&["logs", "train-x"]).ok().stdout == all);
    // one that begins with its container is not in doubt
    world.write(&format!("logs/{name}"), stamped("early\n", 0));
    let before = (helpers(&world), world.calls_with(" exec ").len());
    assert_eq!(world.run(&["logs", "train-x"]).ok().stdout, "early\n");
    assert_eq!((helpers(&world), world.calls_with(" exec ").len()), before);
}

#[test]
fn whoever_follows_hears_what_was_missed() {
    let running = told(pod("train-x", "Running"), "");
    let world = world(&[run("Running", 1), running]);
    world.write("logs/train-x-0-q47fg", stamped("some\n", 0));
    let live = world.start(&["logs", "-f", "train-x"]);
    live.answers("some\n");
    world.show(&[run("Succeeded", 1), told(pod("train-x", "Succeeded"), "m4rk 0 0 exit 3000 - 0\n")]);
    let outcome = live.end().ok();
    assert_eq!(outcome.stdout, "some\n");
    let said = "warning: 2.9 KiB of the 2.9 KiB that `train-[ID]g` printed are missing here; what the storage kept of it: `kubectl mrunner logs -n vision train-x`\n";
    assert!(outcome.stderr.contains(said), "{}", outcome.stderr);
}

#[test]
fn where_the_storage_is_out_of_reach_the_node_s_part_is_shown() {
    let mut world = world(&[run("Succeeded", 1), printed(0, 5000)]);
    world.write("logs/train-x-0-abcde", stamped("end\n", 9));
    world.on(
        "*' create '*",
        "echo 'Error from server (Forbidden): jobs.batch is forbidden: exceeded quota: q' >&2; exit 1",
    );
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, "end\n");
    for told in [
        "warning: the logs that were kept in the storage can't be looked at: ",
        "warning: the log of `train-[ID]e` is not whole: its node has 4 B of the 4.9 KiB that it printed\n",
    ] {
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
    }
    // the same of one whose beginning may be gone
    world.show(&[run("Running", 1), told(point(0, "Running"), "")]);
    world.on("*' exec '*", "exit 1").write("logs/train-x-0-abcde", stamped("end\n", 19));
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert!(outcome.stderr.contains("and what the storage kept could not be looked at\n"), "{}", outcome.stderr);
}

#[test]
fn a_pod_whose_shell_prints_for_ever_is_asked_briefly() {
    let answer = r#"yes "$world" & exec yes "$world" >&2"#;
    let mut world = world(&[run("Running", 1), told(pod("train-x", "Running"), "")]);
    world.on("*' exec '*", answer);
    world.write("logs/train-x-0-q47fg", stamped("late\n", 7));
    world.write("volume/.mrunner/runs/train-x/0.train-x-0-q47fg.log", "early\nlate\n");
    let begun = std::time::Instant::now();
    let outcome = world.run(&["logs", "train-x"]).ok();
    assert_eq!(outcome.stdout, "early\nlate\n");
    assert!(begun.elapsed() < std::time::Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn whoever_follows_late_what_is_kept_nowhere_hears_of_it() {
    let mut nothing = run("Running", 1);
    nothing["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = "no".into();
    let nowhere = "a long log, and nothing was kept in the storage\n";
    // nothing is kept; the image lacks what it takes; the pod can't be asked
    for (run, exec, words) in [
        (&nothing, "exit 1", nowhere),
        (&self::run("Running", 1), "echo 0; exit 0", nowhere),
        (&self::run("Running", 1), "exit 1", "and the pod does not say what it kept; what the storage kept of it: "),
    ] {
        let mut world = world(&[run.clone(), told(pod("train-x", "Running"), "")]);
        world.on("*' exec '*", exec).write("logs/train-x-0-q47fg", stamped("later\n", 11));
        let live = world.start(&["logs", "-f", "train-x"]);
        live.answers("later\n").says("begins 11 s after its start").says(words);
        live.signal("INT");
        assert_eq!(live.end().code, 130);
    }
}

#[test]
fn where_nothing_is_kept_a_late_beginning_is_told() {
    let mut running = run("Running", 1);
    running["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = "no".into();
    for (second, is_told) in [(9, false), (11, true)] {
        let world = world(&[running.clone(), told(pod("train-x", "Running"), "")]);
        world.write("logs/train-x-0-q47fg", stamped("a\n", second));
        let outcome = world.run(&["logs", "train-x"]).ok();
        assert_eq!((outcome.stdout.as_str(), helpers(&world), world.calls_with(" exec ").len()), ("a\n", 0, 0));
        assert_eq!(outcome.stderr.contains("begins 11 s after its start"), is_told, "{}", outcome.stderr);
    }
}

#[test]
fn whoever_follows_late_hears_that_the_beginning_is_gone() {
    let running = told(pod("train-x", "Running"), "");
    for (kept, is_gone) in [("first\nlater\n", true), ("later\r\n", false), ("", false)] {
        let mut world = world(&[run("Running", 1), running.clone()]);
        world.write("logs/train-x-0-q47fg", stamped("later\n", 7));
        world.on("*' exec '*", &format!("printf '1\\n{kept}'; : >\"$world/asked-it\"; exit 0"));
        let live = world.start(&["logs", "-f", "train-x"]);
        live.answers("later\n");
        crate::support::wait_until("the question", || world.path("asked-it").exists());
        let words = "the node no longer has the beginning of the log of `train-x-0-q47fg`; what the storage kept of it: `kubectl mrunner logs -n vision train-x`\n";
        if is_gone {
            live.says(words);
        }
        world.show(&[run("Succeeded", 1), told(pod("train-x", "Succeeded"), "")]);
        assert_eq!(live.end().ok().stderr.contains("beginning"), is_gone);
    }
}

#[test]
fn a_line_of_any_length_takes_little_memory() {
    let length = 200 << 20;
    let line = format!(
        r#"printf '2026-11-23T06:00:00Z '; head -c {length} /dev/zero; echo; grep VmHWM /proc/$PPID/status >"$world/peak"; exit 0"#
    );
    for args in [&["logs", "train-x"][..], &["logs", "-f", "train-x/0"]] {
        let mut world = world(&[run("Succeeded", 1), printed(0, length + 1)]);
        world.on("*'/log?'*", &line);
        let mut command = world.command(args);
        let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
        let read = std::io::copy(&mut child.stdout.take().unwrap(), &mut std::io::sink()).unwrap();
        assert!(child.wait().unwrap().success());
        assert_eq!(read, length as u64 + 1);
        let peak: u64 = world.read("peak").split_whitespace().nth(1).unwrap().parse().unwrap();
        assert!(peak < 64 << 10, "{peak} KiB");
    }
}
