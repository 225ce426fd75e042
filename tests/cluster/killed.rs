//! mrunner is killed at each call of docker and kubectl that a command makes, right before it, during it
//! and after it. Which calls those are is found by making them once. Then comes the documented next step,
//! and all is as it should be.
//!
//! Each call is tried in one of the three ways, and with `MRUNNER_FAULTS=all` in all of them.

use std::cell::Cell;
use std::fs;

use crate::project::{Outcome, Project, until};

/// Numbers the calls as they begin, and kills whoever makes the one that `at` names.
const FAULT: &str = r#"
n=1
while ! mkdir "$here/call.$n" 2>/dev/null; do n=$((n + 1)); done
[ "$n" = "$(cat "$here/at")" ] || exec "$tool" "$@"
case "$(cat "$here/how") $*" in
before*) kill -9 $PPID; exit 1 ;;
during*) kill -9 $PPID; exec "$tool" "$@" ;;
*port-forward*) "$tool" "$@" & sleep 1; kill -9 $PPID; kill $!; exit 1 ;;
*) "$tool" "$@" >/dev/null 2>&1; kill -9 $PPID; exit 1 ;;
esac
"#;

/// More calls than any command makes.
const MOST: usize = 1000;

const WAYS: [&str; 3] = ["before", "during", "after"];

/// Kills a command of `project` at each of its calls.
struct Killer<'a> {
    project: &'a Project,
    killed: Cell<usize>,
}

impl<'a> Killer<'a> {
    fn new(project: &'a Project) -> Self {
        Self { project, killed: Cell::new(0) }
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
        let with = |run: &str| {
            args.iter().map(|arg| if *arg == "RUN" { run.to_owned() } else { (*arg).to_owned() }).collect::<Vec<_>>()
        };
        let act = |run: &str, at: usize, how: &str| {
            let args = with(run);
            self.act(&args.iter().map(String::as_str).collect::<Vec<_>>(), at, how)
        };
        let run = prepare();
        let (outcome, calls) = act(&run, 0, "");
        let outcome = outcome.ok();
        check(&run, &outcome, "not killed");
        let all = std::env::var_os("MRUNNER_FAULTS").is_some_and(|which| which == "all");
        for at in 1..=calls {
            for how in
                WAYS.into_iter().enumerate().filter(|(way, _)| all || at % WAYS.len() == *way).map(|(_, how)| how)
            {
                let run = prepare();
                let (outcome, _) = act(&run, at, how);
                // a call that was made by chance only the first time is not there to be killed at
                if outcome.code != 0 {
                    assert_eq!(outcome.code, 137, "at call {at}, {how}: {outcome}");
                    self.killed.set(self.killed.get() + 1);
                }
                check(&run, &outcome, &format!("killed {how} call {at} of {calls}"));
            }
        }
        assert!(self.killed.get() + 2 >= calls, "killed {} times in {calls} calls", self.killed.get());
        eprintln!("killed {} times in {calls} calls of `{}`", self.killed.get(), args.join(" "));
    }
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
