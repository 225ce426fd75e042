//! Experiments that fail, and those that can never start.

use crate::project::Project;

#[test]
fn an_exit_code_is_told() {
    let project = Project::new();
    project.script("print('before'); raise SystemExit(5)");
    let followed = project.run(&["run", "--follow", "train.py"]);
    let run = project.only_run();
    let followed = followed.fails(3, &format!("error: the run `{run}` failed: exit code 5: before\n"));
    assert_eq!(followed.stdout, "before\n");
    let waited = project.run(&["run", "--wait", "train.py"]);
    let (run, namespace) = (waited.name(), &project.namespace);
    waited.fails(
        3,
        &format!(
            "error: the run `{run}` failed: exit code 5: before\nhint: see what it printed with `kubectl mrunner logs -n {namespace} {run}`\n"
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
    let outcome = outcome
        .told("\nrun       attempt 1 of 2 failed: exit code 1: first attempt\n")
        .told("\nrun       Succeeded in ");
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
    let outcome = project.run(&["run", "--follow", "--time-limit", "8s", "train.py"]);
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
        outcome.told(&format!("\nrun       Waiting: the image `{image}` can't be pulled: {image}: not found\n"));
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
    let _counted = crate::node::none_added();
    let project = Project::new();
    let outcome = project.run(&["run", "--wait", "--cpu", "1000", "train.py"]);
    let (run, namespace) = (outcome.name(), &project.namespace);
    let outcome = outcome.told("\nrun       Waiting: no node fits: 0/2 nodes are available: 2 Insufficient cpu\n");
    let outcome = outcome.told("\nrun       Waiting: no node of the cluster would ever fit what it asks for\n");
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
    let words = "exit code 126: a program can't be executed: mrunner: 1: exec: ./train: ";
    outcome.told(&format!("error: the run `{run}` failed: {words}")).fails(3, "");
}

/// The indexes in a Job's list such as `1,3-5`.
fn indexes(list: &serde_json::Value) -> Vec<u64> {
    let parts = list.as_str().unwrap_or_default().split(',').filter(|part| !part.is_empty());
    let ends = parts.map(|part| part.split_once('-').unwrap_or((part, part)));
    ends.flat_map(|(first, last)| first.parse::<u64>().unwrap()..=last.parse().unwrap()).collect()
}

#[test]
fn points_fail_by_themselves_and_a_code_may_rule_out_a_retry() {
    let project = Project::new();
    // of each three points one succeeds, one fails for good, one fails in its first attempt only
    project.script(
        "import os, sys
point = int(sys.argv[2])
marker = os.environ['MRUNNER_OUTPUT'] + '/attempts'
with open(marker, 'a') as file: print('x', file=file)
attempt = len(open(marker).readlines())
sys.exit([0, 64, 3 if attempt == 1 else 0, 3][point % 4])",
    );
    let args = ["run", "--wait", "--retries", "1", "--no-retry-on", "64", "--grid", "point=0..7", "train.py"];
    project.run(&args).fails(3, "");
    let status = project.job()["status"].clone();
    assert_eq!(indexes(&status["completedIndexes"]), [0, 2, 4, 6]);
    assert_eq!(indexes(&status["failedIndexes"]), [1, 3, 5, 7]);
    let mut attempts = [0; 8];
    for pod in project.objects("pods") {
        let index = &pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"];
        attempts[index.as_str().unwrap().parse::<usize>().unwrap()] += 1;
    }
    assert_eq!(attempts, [1, 1, 2, 2, 1, 1, 2, 2]);
}

#[test]
fn too_many_failures_and_a_deadline_end_the_rest() {
    let project = Project::new();
    project.script("import sys, time; time.sleep(0 if sys.argv[2] == '0' else 600)");
    let code = "import sys; sys.exit(3)";
    project.write("folder/fail.py", &format!("{code}\n"));
    let args = ["run", "--wait", "--max-failed", "1", "--parallel", "1", "--grid", "x=0..9", "fail.py"];
    project.run(&args).fails(3, "");
    let status = project.job()["status"].clone();
    assert_eq!(indexes(&status["failedIndexes"]), [0, 1]);
    assert!(status["conditions"].to_string().contains("MaxFailedIndexesExceeded"), "{status}");
    project.run(&["delete", &project.only_run()]).ok();
    // long enough for the first point's pod to end on a busy machine: the clock begins with the Job
    let outcome = project.run(&["run", "--wait", "--deadline", "40s", "--grid", "x=0,1,2", "train.py"]);
    outcome.fails(3, "");
    let job = project.objects("jobs").pop().unwrap();
    assert_eq!(indexes(&job["status"]["completedIndexes"]), [0]);
    assert!(job["status"]["conditions"].to_string().contains("DeadlineExceeded"));
}
