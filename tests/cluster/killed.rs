//! mrunner is killed at each call of docker and kubectl that a command makes, right before it, during it
//! and after it. Which calls those are is found by making them once. Then comes the documented next step,
//! and there is one run, whole, and nothing else.
//!
//! Each call is tried in one of the three ways, and with `MRUNNER_FAULTS=all` in all of them.

use std::cell::Cell;
use std::fs;

use serde_json::{Value, json};

use crate::project::{Outcome, Project, until};

/// Numbers the calls as they begin, and kills whoever makes the one that `at` names.
const FAULT: &str = r#"
n=1
while ! mkdir "$here/call.$n" 2>/dev/null; do n=$((n + 1)); done
[ "$n" = "$(cat "$here/at")" ] || exec "$tool" "$@"
mrunner=$PPID
# what goes on in the background is held by a sh of its own
case "$(cat /proc/$mrunner/comm)" in sh) mrunner=$(awk '{ print $4 }' /proc/$mrunner/stat) ;; esac
case "$(cat "$here/how") $*" in
before*) kill -9 $mrunner; exit 1 ;;
during*) kill -9 $mrunner; exec "$tool" "$@" ;;
*port-forward*) "$tool" "$@" & sleep 1; kill -9 $mrunner; kill $!; exit 1 ;;
*) "$tool" "$@" >/dev/null 2>&1; kill -9 $mrunner; exit 1 ;;
esac
"#;

/// More calls than any command makes.
const MOST: usize = 1000;

const WAYS: [&str; 3] = ["before", "during", "after"];

/// Kills a command of `project` at each of its calls.
struct Killer<'a> {
    project: &'a Project,
}

impl<'a> Killer<'a> {
    fn new(project: &'a Project) -> Self {
        Self { project }
    }

    /// The command with the fault at its call number `at`; without it at 0. How many calls it made.
    fn act(&self, args: &[&str], at: usize, how: &str) -> (Outcome, usize) {
        let call = |n: usize| self.project.path(&format!("call.{n}"));
        (1..=MOST).map(call).take_while(|path| path.exists()).for_each(|path| fs::remove_dir(path).unwrap());
        self.project.write("at", &at.to_string());
        self.project.write("how", how);
        for tool in ["docker", "kubectl"] {
            self.project.fault(tool, FAULT);
        }
        let outcome = self.project.run(args);
        for tool in ["docker", "kubectl"] {
            self.project.mend(tool);
        }
        (outcome, (1..=MOST).take_while(|n| call(*n).exists()).count())
    }

    /// Prepares, acts and checks for each call of the command `args`, whose first argument that is `RUN` is
    /// what `prepare` gave. `check` is told what was prepared, and whether mrunner was killed.
    fn each(&self, args: &[&str], prepare: impl Fn() -> String, check: impl Fn(&str, &Outcome, &str)) {
        let act = |run: &str, at: usize, how: &str| {
            let args: Vec<_> = args.iter().map(|arg| if *arg == "RUN" { run } else { arg }).collect();
            self.act(&args, at, how)
        };
        let mut killed = 0;
        let run = prepare();
        check(&run, &act(&run, 0, "").0.ok(), "not killed");
        let all = std::env::var_os("MRUNNER_FAULTS").is_some_and(|which| which == "all");
        // how many calls there are depends on how often it has to ask for what it waits for
        for at in 1..MOST {
            let mut is_over = false;
            let ways = WAYS.into_iter().enumerate().filter(|(way, _)| all || at % WAYS.len() == *way);
            for (_, how) in ways {
                let run = prepare();
                let (outcome, calls) = act(&run, at, how);
                if outcome.code == 0 {
                    // one that goes on in the background ends with its mrunner
                    assert!(calls < at || how == "after", "not killed {how} call {at}: {outcome}");
                } else {
                    assert_eq!(outcome.code, 137, "at call {at}, {how}: {outcome}");
                    killed += 1;
                }
                is_over |= calls < at;
                check(&run, &outcome, &format!("killed {how} call {at}"));
            }
            if is_over {
                break;
            }
        }
        assert!(killed > 0);
        eprintln!("killed {killed} times: `{}`", args.join(" "));
    }
}

/// The next step after a submission that was cut off, and that it leaves one run, whole: with the lines of
/// `points` points in `ConfigMap`s that are its own. Only what is not called `other` counts. Removes it.
pub fn finish(project: &Project, args: &[&str], outcome: &Outcome, points: usize, other: &str, at: &str) {
    let own = |kind: &str| -> Vec<Value> {
        let all = project.objects(kind).into_iter();
        all.filter(|o| o["metadata"]["labels"]["mrunner/run"].as_str().is_some_and(|run| run != other)).collect()
    };
    match (project.journals().as_slice(), outcome.code) {
        ([], 0) => {}
        // before it was noted, or after all was done
        ([], _) if own("jobs").is_empty() => drop(project.run(args).ok()),
        ([], _) => {}
        ([run], _) => {
            // a kubectl that outlives its mrunner is still at work on it
            let told = format!("the submission of the run `{run}` was cut off");
            let is_told = until(|| project.run(&["status"]).stderr.contains(&told).then_some(()));
            assert!(is_told.is_some(), "{at}: nothing is told of `{run}`");
            project.run(&["run", "--resume", run]).ok();
        }
        (several, _) => panic!("{at}: {several:?}"),
    }
    let jobs = own("jobs");
    let [job] = jobs.as_slice() else { panic!("{at}: {} Jobs: {outcome}", jobs.len()) };
    assert_ne!(job["spec"]["suspend"], true, "{at}");
    let of_job = |o: &Value| o["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"];
    // the scripts of the pods stand beside the points
    let lines = |map: &Value| map["data"]["points"].as_str().unwrap().lines().count();
    let found: usize = own("configmaps").iter().filter(|map| of_job(map)).map(lines).sum();
    assert_eq!(found, points, "{at}");
    // those of the runs before go with their Jobs
    let strangers = until(|| own("configmaps").iter().all(of_job).then_some(()));
    assert!(strangers.is_some(), "{at}: {:?}", own("configmaps"));
    // one Secret where the run has secret variables
    let wanted = usize::from(args.contains(&"--secret-env"));
    assert_eq!(own("secrets").iter().filter(|secret| of_job(secret)).count(), wanted, "{at}");
    let strangers = until(|| own("secrets").iter().all(of_job).then_some(()));
    assert!(strangers.is_some(), "{at}: {:?}", own("secrets"));
    assert_eq!(project.journals().len(), 0, "{at}");
    project.run(&["delete", job["metadata"]["name"].as_str().unwrap()]).ok();
}

#[test]
fn a_run_is_made_once() {
    let project = Project::new();
    let count = Cell::new(0);
    let prepare = || {
        count.set(count.get() + 1);
        project.new_script(&format!("print({})", count.get()));
        String::new()
    };
    let args = ["run", "train.py"];
    Killer::new(&project).each(&args, prepare, |_, outcome, at| finish(&project, &args, outcome, 0, "", at));
}

#[test]
fn a_sweep_is_made_once() {
    let project = Project::new();
    let args = ["run", "--grid", "x=1,2,3", "--secret-env", "HOME", "train.py"];
    Killer::new(&project).each(&args, String::new, |_, outcome, at| finish(&project, &args, outcome, 3, "", at));
}

#[test]
fn a_sweep_of_several_config_maps_is_made_once() {
    let project = Project::new();
    let lines: String = (0..20).map(|n| json!({"x": format!("{n:02}").repeat(30_000)}).to_string() + "\n").collect();
    project.write("folder/points.jsonl", &lines);
    let args = ["run", "--sweep", "points.jsonl", "train.py"];
    Killer::new(&project).each(&args, String::new, |_, outcome, at| finish(&project, &args, outcome, 20, "", at));
}

#[test]
fn a_rerun_is_made_once() {
    let project = Project::new();
    let old = project.run(&["run", "--wait", "--grid", "x=1,2,3", "train.py"]).ok().name();
    let args = ["rerun", &old];
    Killer::new(&project).each(&args, String::new, |_, outcome, at| finish(&project, &args, outcome, 3, &old, at));
}

#[test]
fn a_run_is_deleted_whole() {
    let project = Project::new();
    let prepare = || project.run(&["run", "--grid", "x=1,2", "train.py"]).ok().name();
    Killer::new(&project).each(&["delete", "RUN"], prepare, |run, outcome, at| {
        let there = || project.objects("jobs").iter().any(|job| job["metadata"]["name"] == run);
        if outcome.code != 0 && there() {
            project.run(&["delete", run]).ok();
        }
        let gone = until(|| {
            (!there()
                && project.objects("configmaps").iter().all(|map| map["metadata"]["labels"]["mrunner/run"] != run))
            .then_some(())
        });
        assert!(gone.is_some(), "{at}");
    });
}

#[test]
fn a_download_comes_whole() {
    let project = Project::new();
    project.script(
        "import os\nfor i in range(20): open(os.environ['MRUNNER_OUTPUT'] + f'/{i}', 'w').write(str(i) * 9999)",
    );
    let run = project.run(&["run", "--wait", "train.py"]).ok().name();
    let place = project.path("got");
    let source = format!("{run}/0");
    let args = ["download", &source, place.to_str().unwrap()];
    let prepare = || {
        fs::remove_dir_all(&place).ok();
        String::new()
    };
    Killer::new(&project).each(&args, prepare, |_, outcome, at| {
        if outcome.code != 0 {
            project.run(&args).ok();
        }
        let mut names: Vec<_> =
            fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        let mut expected: Vec<_> = (0..20).map(|i| i.to_string()).collect();
        expected.sort();
        assert_eq!(names, expected, "{at}");
        assert!(
            (0..20).all(|i| fs::read_to_string(place.join(i.to_string())).unwrap() == i.to_string().repeat(9999)),
            "{at}"
        );
    });
    // a helper whose client is gone ends by itself
    let gone = until(|| {
        project.objects("pods").iter().all(|pod| pod["metadata"]["labels"]["mrunner/run"].is_string()).then_some(())
    });
    assert!(gone.is_some(), "{:?}", project.objects("pods"));
}

#[test]
fn storage_is_set_up_once() {
    let project = Project::unmade();
    let count = Cell::new(0);
    // each time another one, as the volume of one that is gone would be found again
    let prepare = || {
        count.set(count.get() + 1);
        format!("{}-{}", project.namespace, count.get())
    };
    let list = |kind: &str, place: &[&str]| -> Vec<Value> {
        let list: Value =
            serde_json::from_str(&project.kubectl(&[&["get", kind, "-o", "json"], place].concat())).unwrap();
        list["items"].as_array().unwrap().clone()
    };
    Killer::new(&project).each(&["storage", "setup", "--project", "RUN"], prepare, |name, outcome, at| {
        if outcome.code != 0 {
            project.run(&["storage", "setup", "--project", name]).ok();
        }
        let claims = list("persistentvolumeclaims", &["-n", name]);
        let [claim] = claims.as_slice() else { panic!("{at}: {claims:?}") };
        let volume = claim["spec"]["volumeName"].as_str().unwrap();
        let volumes = list("persistentvolumes", &[]);
        let volume = volumes.iter().find(|object| object["metadata"]["name"] == volume).unwrap();
        assert_eq!(volume["spec"]["persistentVolumeReclaimPolicy"], "Retain", "{at}: {outcome}");
        project.kubectl(&["delete", "namespace", name, "--wait=false"]);
    });
    // they are kept when their claims go
    for volume in list("persistentvolumes", &[]) {
        if volume["spec"]["claimRef"]["namespace"].as_str().is_some_and(|of| of.starts_with(&project.namespace)) {
            project.kubectl(&[
                "delete",
                "persistentvolume",
                volume["metadata"]["name"].as_str().unwrap(),
                "--wait=false",
            ]);
        }
    }
}
