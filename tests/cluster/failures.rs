//! Experiments that fail, and those that can never start.

use crate::project::Project;

#[test]
fn an_exit_code_is_told() {
    let project = Project::new();
    project.script("print('before'); raise SystemExit(5)");
    let followed = project.run(&["run", "--follow", "train.py"]);
    let run = project.only_run();
    let followed = followed.fails(3, &format!("error: the run `{run}` failed: exit code 5\n"));
    assert_eq!(followed.stdout, "before\n");
    let waited = project.run(&["run", "--wait", "train.py"]);
    let (run, namespace) = (waited.name(), &project.namespace);
    waited.fails(
        3,
        &format!(
            "error: the run `{run}` failed: exit code 5\nhint: see what it printed with `kubectl mrunner logs -n {namespace} {run}`\n"
        ),
    );
    assert_eq!(project.run(&["logs", &run]).ok().stdout, "before\n");
    assert_eq!(project.run(&["logs", "-f", &run]).code, 3);
}

#[test]
fn a_retry_begins_anew_and_both_logs_are_shown() {
    let project = Project::new();
    project.script(
        "import os, sys
marker = os.environ['MRUNNER_OUTPUT'] + '/marker'
if not os.path.exists(marker):
    open(marker, 'w').close()
    print('first attempt')
    sys.exit(1)
print('second attempt')",
    );
    let outcome = project.run(&["run", "--follow", "--retries", "1", "train.py"]).ok();
    let outcome = outcome.told("\nrun       attempt 1 of 2 failed: exit code 1\n").told("\nrun       it succeeded\n");
    assert_eq!(outcome.stdout, "first attempt\nsecond attempt\n");
    let run = project.only_run();
    let logs = project.run(&["logs", &run]).ok();
    assert_eq!(logs.stdout, "first attempt\nsecond attempt\n");
    assert_eq!(logs.stderr, "attempt   1 of 2\nattempt   2 of 2\n");
}

#[test]
fn memory_that_runs_out_is_told() {
    let project = Project::new();
    project.script("print('before', flush=True); len(bytearray(512 << 20))");
    let outcome = project.run(&["run", "--follow", "--mem", "64Mi", "train.py"]);
    let run = project.only_run();
    let words = format!("error: the run `{run}` failed: it ran out of memory; ask for more with `--mem`\n");
    assert_eq!(outcome.fails(3, &words).stdout, "before\n");
}

#[test]
fn a_time_limit_ends_it() {
    let project = Project::new();
    project.script(
        "import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit('asked to end'))
print('begun', flush=True)
time.sleep(600)",
    );
    let outcome = project.run(&["run", "--follow", "--time-limit", "3s", "train.py"]);
    let run = project.only_run();
    let outcome = outcome.fails(3, &format!("error: the run `{run}` failed: it ran into its time limit\n"));
    assert_eq!(outcome.stdout, "begun\nasked to end\n");
}

#[test]
fn an_image_that_is_not_there_is_given_up() {
    let project = Project::new();
    let image = "127.0.0.1:5000/none/none:1";
    let outcome = project.run(&["run", "--follow", "--image", image, "train.py"]);
    let (run, namespace) = (project.only_run(), &project.namespace);
    // told first, and given up when it stays so
    let outcome =
        outcome.told(&format!("\nrun       it waits: the image `{image}` can't be pulled: {image}: not found\n"));
    outcome.fails(
        3,
        &format!(
            "error: the run `{run}` can't start: the image `{image}` can't be pulled: {image}: not found\n\
             hint: is the registry's address right as seen from the cluster, and may the cluster read it (`image_pull_secret`)?\n\
             hint: it stays in the cluster; remove it with `kubectl mrunner delete -n {namespace} {run}`\n"
        ),
    );
}

#[test]
fn more_than_any_node_has_is_given_up() {
    let project = Project::new();
    let outcome = project.run(&["run", "--wait", "--cpu", "1000", "train.py"]);
    let (run, namespace) = (outcome.name(), &project.namespace);
    let outcome = outcome.told("\nrun       it waits: no node fits: 0/2 nodes are available: 2 Insufficient cpu\n");
    let outcome = outcome.told("\nrun       it waits: no node of the cluster would ever fit what it asks for\n");
    outcome.fails(
        3,
        &format!(
            "error: the run `{run}` can't start: no node of the cluster would ever fit what it asks for\n\
             hint: ask for less with `--cpu`, `--mem`, `--gpu`, or see the nodes with `kubectl get nodes`\n\
             hint: it stays in the cluster; remove it with `kubectl mrunner delete -n {namespace} {run}`\n"
        ),
    );
}

#[test]
fn a_program_that_is_not_in_the_image_is_told() {
    let project = Project::new();
    project.write("folder/train", "#!/nowhere/python\n");
    let outcome = project.run(&["run", "--follow", "train"]);
    let run = project.only_run();
    outcome.fails(3, &format!("error: the run `{run}` failed: exit code 126: its program can't be executed\n"));
}
