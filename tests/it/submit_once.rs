//! A run is submitted exactly once, whatever happens on the way.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::support::{HANG, World};

/// A cluster that keeps the Jobs that it is given, and counts them.
const KEEPS: &str = r#"mkdir -p "$world/jobs"; name=$(sed -n 's/^    "name": "\(train-[^"]*\)",$/\1/p' "$call.stdin" | head -1)
if [ -e "$world/jobs/$name" ]; then echo "Error from server (AlreadyExists): error when creating \"STDIN\": jobs.batch \"$name\" already exists" >&2; exit 1; fi
cp "$call.stdin" "$world/jobs/$name""#;
const TELLS: &str = r#"cat "$world/jobs"/* 2>/dev/null; exit 0"#;

/// A world whose cluster does `then` when it has stored a Job.
fn world(then: &str) -> World {
    let mut world = World::new();
    world.on("*' create '*'-o json'*", &format!("{KEEPS}\n{then}")).on("*' get job/'*", TELLS);
    world.env("MRUNNER_TEST_PATIENCE", "0.01");
    world
}

/// How many Jobs there are.
fn jobs(world: &World) -> usize {
    fs::read_dir(world.path("jobs")).map_or(0, Iterator::count)
}

/// The name of the only unfinished run.
#[track_caller]
fn unfinished(world: &World) -> String {
    let names: Vec<_> =
        world.journals().into_iter().filter_map(|n| n.strip_suffix(".json").map(str::to_owned)).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].clone()
}

#[test]
fn the_journal_is_there_before_the_first_effect_and_gone_after_the_last() {
    let mut world = World::new();
    let look = r#"cp -r "$world/home/.local/state/mrunner" "$world/seen"; "#;
    world.on(
        "'docker buildx build'*",
        &format!(
            r#"{look} printf '{{"containerimage.digest": "sha256:07"}}' >"$(after --metadata-file "$@")"; exit 0"#
        ),
    );
    world.run(&["run", "train.py"]).ok();
    let seen: Vec<_> = fs::read_dir(world.path("seen/runs")).unwrap().map(|e| e.unwrap().path()).collect();
    let journal = seen.iter().find(|p| p.extension().is_some_and(|e| e == "json")).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let own = world.path("home/.local/state/mrunner/runs");
    assert_eq!((mode(&own), mode(journal)), (0o700, 0o600));
    assert!(fs::read_to_string(journal).unwrap().contains("\"ToBuild\""));
    assert!(world.journals().is_empty());
}

#[test]
fn a_dry_run_writes_no_journal() {
    let world = World::new();
    world.run(&["run", "--dry-run", "train.py"]).ok();
    world.run(&["run", "--dry-run=server", "train.py"]).ok();
    world.run(&["run", "--out", "saved", "train.py"]).ok();
    assert!(!world.path("home/.local").exists());
}

#[test]
fn a_submission_that_went_through_unheard_is_adopted() {
    for words in [
        "Error from server (AlreadyExists): error when creating \"STDIN\": jobs.batch \"train\" already exists",
        "Unable to connect to the server: net/http: TLS handshake timeout",
        "The connection to the server 127.0.0.1:6443 was refused - did you specify the right host or port?",
        "Error from server (Timeout): the server was unable to return a response in the time allotted",
        "Error from server (InternalError): an error on the server (\"\") has prevented the request from succeeding",
        "error: unexpected EOF",
        "",
    ] {
        let world = world(&format!("echo '{words}' >&2; exit 1"));
        let outcome = world.run(&["run", "train.py"]).ok();
        assert!(outcome.stderr.contains("\njob       it had been submitted already\n"), "{}", outcome.stderr);
        assert_eq!((jobs(&world), world.journals().len()), (1, 0));
    }
}

#[test]
fn a_cut_off_create_is_looked_into() {
    let world = world("kill -9 $$");
    world.run(&["run", "train.py"]).ok();
    assert_eq!((jobs(&world), world.submissions().len()), (1, 1));
}

#[test]
fn a_refusal_by_the_quota_that_the_run_itself_uses_up_is_looked_into() {
    // the first try went through unheard and could not be looked into; the second meets its quota
    let mut world = world("echo 'error: unexpected EOF' >&2; exit 1");
    world.on(
        "*' get job/'*",
        r#"if [ ! -f "$world/asked" ]; then : >"$world/asked"; exit 1; fi; cat "$world/job"; exit 0"#,
    );
    world.on(
        "*' create '*'-o json'*",
        r#"if [ -f "$world/job" ]; then
            echo 'Error from server (Forbidden): jobs.batch "x" is forbidden: exceeded quota: q' >&2; exit 1; fi
        cat "$call.stdin" >"$world/job"; echo "error: unexpected EOF" >&2; exit 1"#,
    );
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("it had been submitted already"), "{}", outcome.stderr);
    assert_eq!(world.submissions().len(), 2);
}

#[test]
fn an_unclear_answer_is_asked_again_until_it_is_clear() {
    // nothing was stored the first two times
    let mut world = world("cat \"$call.stdin\"; exit 0");
    world.on(
        "*' create '*'-o json'*",
        r#"n=$(cat "$world/n" 2>/dev/null || echo 0); echo $((n + 1)) >"$world/n"
        if [ "$n" -lt 2 ]; then echo "error: unexpected EOF" >&2; exit 1; fi; cat "$call.stdin"; exit 0"#,
    );
    let outcome = world.run(&["run", "train.py"]).ok();
    assert_eq!(world.submissions().len(), 3);
    let told = "warning: failed to submit the Job `train-[ID]`, trying again: error: unexpected EOF\n";
    assert_eq!(outcome.stderr.matches(told).count(), 2, "{}", outcome.stderr);
}

#[test]
fn a_submission_that_never_went_through_stays_in_the_journal() {
    let mut world = world("cat \"$call.stdin\"; exit 0");
    world.on("*' create '*'-o json'*", "echo 'error: unexpected EOF' >&2; exit 1");
    world.run(&["run", "train.py"]).fails(
        1,
        "error: it is unclear whether the run `train-[ID]` was submitted: failed to submit the Job `train-[ID]`
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
  exit status: 1
  | error: unexpected EOF
hint: look and finish it with `kubectl mrunner run --resume train-[ID]`
",
    );
    assert_eq!((world.submissions().len(), jobs(&world)), (6, 0));
    // what was sent last may still have been on its way
    unfinished(&world);
}

#[test]
fn what_can_not_be_found_out_stays_in_the_journal() {
    let mut world = world("echo 'error: unexpected EOF' >&2; exit 1");
    world.on("*' get job/'*", "echo 'Unable to connect to the server: EOF' >&2; exit 1");
    world.run(&["run", "train.py"]).fails(
        1,
        r#"error: it is unclear whether the run `train-[ID]` was submitted: failed to submit the Job `train-[ID]`
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
  exit status: 1
  | Error from server (AlreadyExists): error when creating "STDIN": jobs.batch "train-[ID]" already exists
hint: look and finish it with `kubectl mrunner run --resume train-[ID]`
"#,
    );
    assert_eq!(jobs(&world), 1);
    let run = unfinished(&world);
    world.on("*' get job/'*", TELLS);
    assert_eq!(world.run(&["run", "--resume", &run]).ok().stdout, "train-[ID]\n");
    assert_eq!((jobs(&world), world.journals().len()), (1, 0));
}

#[test]
fn another_run_of_the_same_name_is_not_adopted() {
    let mut world = world("cat \"$call.stdin\"; exit 0");
    world.on(
        "*' create '*'-o json'*",
        "echo 'Error from server (AlreadyExists): jobs.batch \"x\" already exists' >&2; exit 1",
    );
    world.on(
        "*' get job/'*",
        r#"echo '{"kind":"Job","metadata":{"name":"x","annotations":{"mrunner/run-id":"other"}}}'; exit 0"#,
    );
    world.run(&["run", "train.py"]).fails(
        1,
        "error: another run is called `train-[ID]`
hint: run the same command again: the new run gets another name
",
    );
    assert!(world.journals().is_empty());
}

#[test]
fn an_answer_without_the_job_is_unclear() {
    // kubectl, or what stands in for it, ends well and says nothing
    for answer in ["exit 0", "echo '<html>hello</html>'; exit 0", "echo '{\"kind\":\"Job\"}'; exit 0"] {
        let mut world = world("cat \"$call.stdin\"; exit 0");
        world.on("*' create '*'-o json'*", &format!("{KEEPS}\n{answer}"));
        world.run(&["run", "train.py"]).ok();
        let gets = world.calls_with(" get job/").len();
        assert_eq!((jobs(&world), gets), (1, 1), "{answer}");
        world.on("*' create '*'-o json'*", answer);
        world.run(&["run", "train.py"]).fails(
            1,
            "error: another run is called `train-[ID]`
hint: run the same command again: the new run gets another name
",
        );
    }
}

/// Kills mrunner where the stand-in hangs, mends the world, and finishes the run.
fn killed_at(pattern: &str) {
    let mut world = world("cat \"$call.stdin\"; exit 0");
    world.first(pattern, HANG);
    let live = world.start(&["run", "train.py"]);
    world.wait_for_hang();
    live.signal_all("KILL");
    assert_eq!(live.end().code, 137);
    let run = unfinished(&world);
    let told = format!(
        "warning: the submission of the run `{run}` was cut off; finish it with `kubectl mrunner run --resume {run}`, or give it up with `kubectl mrunner delete {run}`\n"
    );
    world.shows(&[]);
    let outcome = world.run(&["status"]).ok();
    assert!(outcome.stderr.contains(&world.tidy(&told)), "{}", outcome.stderr);
    fs::remove_file(world.path("first")).unwrap();
    world.run(&["run", "--resume", &run]).ok();
    assert_eq!((jobs(&world), world.journals().len()), (1, 0));
    world.run(&["run", "--resume", &run]).fails(
        1,
        "error: no unfinished run is called `train-[ID]`
hint: nothing is unfinished; see the runs with `kubectl mrunner status`
",
    );
}

#[test]
fn killed_during_the_build_it_can_be_finished() {
    killed_at("'docker buildx build'*");
}

#[test]
fn killed_before_the_claim_it_can_be_finished() {
    killed_at("*' -n vision create '*'-o name'*");
}

#[test]
fn killed_during_the_submission_it_can_be_finished() {
    killed_at("*' create '*'-o json'*");
}

#[test]
fn killed_behind_the_submission_it_can_be_finished() {
    let mut world = world(HANG);
    let live = world.start(&["run", "train.py"]);
    world.wait_for_hang();
    live.signal_all("KILL");
    live.end();
    let run = unfinished(&world);
    world.on("*' create '*'-o json'*", &format!("{KEEPS}\ncat \"$call.stdin\"; exit 0"));
    world.run(&["run", "--resume", &run]).ok();
    assert_eq!((jobs(&world), world.journals().len()), (1, 0));
}

#[test]
fn a_folder_that_changed_in_between_is_not_resumed() {
    let mut world = world(HANG);
    world.on("'docker buildx build'*", HANG);
    let live = world.start(&["run", "train.py"]);
    world.wait_for_hang();
    live.signal_all("KILL");
    live.end();
    world.write("vision/train.py", "print('other')\n");
    world.run(&["run", "--resume", &unfinished(&world)]).fails(
        1,
        "error: the folder `[DIR]/vision` has changed since
hint: submit what it holds now as a new run, with `kubectl mrunner run`
",
    );
}

#[test]
fn an_unfinished_run_can_be_given_up() {
    let mut world = world(HANG);
    world.on("'docker buildx build'*", HANG);
    let live = world.start(&["run", "train.py"]);
    world.wait_for_hang();
    live.signal_all("KILL");
    live.end();
    world.shows(&[]);
    // not while another of those that are named is not there
    world.run(&["delete", &unfinished(&world), "nothing-like-it"]).fails(
        1,
        "error: nothing was deleted: no run is called `nothing-like-it` in the cluster
hint: see the runs with `kubectl mrunner status`
",
    );
    // what was sent may arrive late, so that its Job is deleted although none was seen
    world.on("*' delete jobs '*", "exit 0");
    world.run(&["delete", &unfinished(&world)]).fails(
        0,
        "  $ kubectl --context kube-lab -n vision delete jobs --cascade=background --ignore-not-found -o name train-[ID]
the unfinished submission of `train-[ID]` is given up
",
    );
    assert!(world.journals().is_empty());
    let outcome = world.run(&["status"]).ok();
    assert_eq!(outcome.stderr, "no runs found\n");
}

#[test]
fn two_do_not_work_on_one_journal() {
    let mut world = world(HANG);
    world.on("'docker buildx build'*", HANG).shows(&[]);
    let live = world.start(&["run", "train.py"]);
    world.wait_for_hang();
    let run = world.journals().iter().find_map(|n| n.strip_suffix(".json").map(str::to_owned)).unwrap();
    world.run(&["run", "--resume", &run]).fails(
        1,
        "error: failed to take up the run `train-[ID]`: another mrunner, or a kubectl that it started, is at work on it
hint: wait until that has ended
",
    );
    world.run(&["delete", &run]).fails(
        1,
        "error: failed to take up the run `train-[ID]`: another mrunner, or a kubectl that it started, is at work on it
hint: wait until that has ended
",
    );
    // somebody is at work on it: it is not unfinished
    assert_eq!(world.run(&["status"]).ok().stderr, "no runs found\n");
    live.signal_all("KILL");
    live.end();
}

#[test]
fn a_run_that_is_not_unfinished_can_not_be_resumed() {
    World::new().run(&["run", "--resume", "train-x"]).fails(
        1,
        "error: no unfinished run is called `train-x`
hint: nothing is unfinished; see the runs with `kubectl mrunner status`
",
    );
}

#[test]
fn a_journal_that_can_not_be_written_stops_it_before_anything_happens() {
    let mut world = World::new();
    world.write("state", "a file");
    let state = world.path("state").display().to_string();
    world.env("XDG_STATE_HOME", &state);
    world.run(&["run", "train.py"]).fails(
        1,
        "error: failed to write the journal in `[DIR]/state/mrunner/runs`: Not a directory (os error 20)
",
    );
    assert!(world.calls_with("build ").is_empty() && world.submissions().is_empty());
}

#[test]
fn a_journal_that_is_broken_is_told() {
    let world = World::new();
    world.write("home/.local/state/mrunner/runs/train-x.json", "{");
    world.run(&["run", "--resume", "train-x"]).fails(1, "error: the journal `[DIR]/home/.local/state/mrunner/runs/train-x.json` can't be read: EOF while parsing an object at line 1 column 1
hint: forget it with `kubectl mrunner delete train-x`
");
}

#[test]
fn two_runs_at_once_are_two_runs() {
    let world = world("cat \"$call.stdin\"; exit 0");
    let (one, two) = (world.start(&["run", "train.py"]), world.start(&["run", "train.py"]));
    one.end().ok();
    two.end().ok();
    assert_eq!((jobs(&world), world.journals().len()), (2, 0));
}

#[test]
fn runs_that_are_submitted_at_once_take_turns_and_nobody_waits_for_ever() {
    let mut world = World::new();
    world.env("MRUNNER_TEST_PATIENCE", "0.02");
    let free = world.run(&["run", "train.py"]).ok();
    assert!(!free.stderr.contains("turn "), "{}", free.stderr);
    let turns = world.path("home/.local/state/mrunner/turns");
    let taken: Vec<fs::File> = (0..1000)
        .map(|number| {
            let file = fs::File::create(turns.join(number.to_string())).unwrap();
            file.lock().unwrap();
            file
        })
        .collect();
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(outcome.stderr.contains("\nturn      waits for "), "{}", outcome.stderr);
    let waiting = world.start(&["run", "train.py"]);
    waiting.says("turn      waits for ");
    drop(taken);
    waiting.end().ok();
    // what can't be noted holds nobody up
    fs::remove_dir_all(&turns).unwrap();
    fs::write(&turns, "").unwrap();
    world.run(&["run", "train.py"]).ok();
}
