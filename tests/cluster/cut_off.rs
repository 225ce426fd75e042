//! Submissions that are cut off: each run is made once, whatever happens.

use crate::killed::finish;
use crate::project::{Outcome, Project};
use crate::wire::Wire;

/// Begins a run, `fault` in `tool` kills mrunner, and the run is taken up again.
#[track_caller]
fn resumed_after(tool: &str, fault: &str) {
    let project = Project::new();
    project.new_script("print('once')");
    project.fault(tool, fault);
    let killed = project.run(&["run", "train.py"]);
    assert_eq!((killed.code, killed.stdout.as_str()), (137, ""), "{killed}");
    project.mend(tool);
    let journals = project.journals();
    let [run] = journals.as_slice() else { panic!("{journals:?}: {killed}") };
    let told =
        format!("the submission of the run `{run}` was cut off; finish it with `kubectl mrunner run --resume {run}`");
    project.run(&["status"]).ok().told(&told);
    assert_eq!(project.run(&["run", "--resume", run, "--follow"]).ok().stdout, "once\n");
    assert_once(&project, run);
}

/// That the run is there, alone, with one pod, and nothing is left to do.
#[track_caller]
fn assert_once(project: &Project, run: &str) {
    assert_eq!(project.job()["metadata"]["labels"]["mrunner/run"], run);
    assert_eq!(project.objects("pods").len(), 1);
    assert_eq!(project.journals(), [""; 0]);
    let again = project.run(&["run", "--resume", run]);
    again.told(&format!("error: no unfinished run is called `{run}`\n"));
}

#[test]
fn killed_before_the_build() {
    resumed_after("docker", r#"case "$*" in *' build '*) kill -9 $PPID; exit 1 ;; esac"#);
}

#[test]
fn killed_while_the_folder_is_sent() {
    resumed_after(
        "docker",
        r#"case "$*" in *' build '*) head -c 700 >/dev/null; kill -9 $PPID; exec "$tool" "$@" ;; esac"#,
    );
}

#[test]
fn killed_while_docker_goes_on() {
    let fault = r#"case "$*" in *' build '*)
        cat >"$here/context.tar"; kill -9 $PPID; exec "$tool" "$@" <"$here/context.tar" ;; esac"#;
    resumed_after("docker", fault);
}

#[test]
fn killed_after_the_build() {
    resumed_after("docker", r#"case "$*" in *' build '*) "$tool" "$@"; kill -9 $PPID; exit 1 ;; esac"#);
}

#[test]
fn killed_before_the_claim() {
    resumed_after("kubectl", r#"case "$*" in *' create '*'-o name'*) kill -9 $PPID; exit 1 ;; esac"#);
}

#[test]
fn killed_before_the_submission() {
    resumed_after("kubectl", r#"case "$*" in *' create '*'-o json'*) kill -9 $PPID; exit 1 ;; esac"#);
}

#[test]
fn killed_after_the_submission() {
    resumed_after(
        "kubectl",
        r#"case "$*" in *' create '*'-o json'*) "$tool" "$@" >/dev/null; kill -9 $PPID; exit 1 ;; esac"#,
    );
}

/// A submission that `fault` in kubectl disturbs once, and that comes to its end by itself.
#[track_caller]
fn disturbed_once(fault: &str) -> Outcome {
    let mut project = Project::new();
    // with a claim that is there, the Job is all that is created
    project.claim("mine", "shared", "ReadWriteMany");
    project.context("storage_claim: mine");
    // what is waited for in seconds is waited for in a sixth of that
    project.env("MRUNNER_TEST_PATIENCE", "0.15");
    project.script("print('once')");
    project.fault("kubectl", &format!(
        r#"case "$*" in *' create '*) if ! [ -f "$here/disturbed" ]; then touch "$here/disturbed"; {fault}; fi ;; esac"#
    ));
    let outcome = project.run(&["run", "train.py"]).ok();
    assert!(project.path("disturbed").exists());
    let run = outcome.name();
    assert_eq!(project.run(&["logs", "-f", &run]).ok().stdout, "once\n");
    assert_once(&project, &run);
    outcome
}

const TIMEOUT: &str = r#"echo "Unable to connect to the server: net/http: TLS handshake timeout" >&2; exit 1"#;

#[test]
fn an_answer_that_is_lost_is_looked_up() {
    let outcome = disturbed_once(&format!(r#""$tool" "$@" >/dev/null; {TIMEOUT}"#));
    outcome.told("job       it had been submitted already\n");
}

#[test]
fn a_request_that_is_lost_is_sent_again() {
    let outcome = disturbed_once(TIMEOUT);
    outcome.told("trying again: Unable to connect to the server: net/http: TLS handshake timeout\n");
}

#[test]
fn a_kubectl_that_hangs_is_given_up() {
    let outcome = disturbed_once(r#""$tool" "$@" >/dev/null; exec sleep 100"#);
    outcome.told("job       it had been submitted already\n");
}

/// The real API server's answer is lost on each connection that a sweep's submission makes, from the beginning or
/// from a later part on, by when what was asked for is done.
#[test]
fn whichever_answer_of_the_api_server_is_lost_there_is_one_run() {
    let mut project = Project::new();
    let wire = Wire::before(&project);
    project.env("MRUNNER_TEST_PATIENCE", "0.15");
    let args = ["run", "--grid", "x=1,2,3", "train.py"];
    // the first makes the claim, and what kubectl remembers of the API
    finish(&project, &args, &project.run(&args).ok(), 3, "", "untouched");
    wire.answers();
    let untouched = project.run(&args).ok();
    let answers = wire.answers();
    finish(&project, &args, &untouched, 3, "", "untouched");
    assert!((3..30).contains(&answers.len()), "{answers:?}");
    let mut more = 0;
    for (number, bytes) in answers.iter().enumerate() {
        for after in [0, bytes * 3 / 4, bytes * 9 / 10] {
            wire.lose(number, after);
            // nothing of it is the user's matter: what is asked again succeeds
            let outcome = project.run(&args).ok();
            more += usize::from(wire.answers().len() > answers.len());
            finish(&project, &args, &outcome, 3, "", &format!("answer {number} of {answers:?} lost after {after}"));
        }
    }
    // the others were lost to who had heard enough
    assert!(more > answers.len(), "only after {more} of {} was anything asked again", 3 * answers.len());
    eprintln!("lost {} answers", 3 * answers.len());
}
