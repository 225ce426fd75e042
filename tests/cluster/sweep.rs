//! A sweep as one Job on real nodes.

use mrunner::k8s::job::Job;
use mrunner::k8s::pod::Pod;
use mrunner::runs::results::report::{Report, words};
use serde_json::{Value, json};

use crate::project::{Project, until};

/// What each point got, from its own pod's log.
fn got(project: &Project) -> Vec<Value> {
    let mut got: Vec<(u64, Value)> = Vec::new();
    for pod in project.objects("pods") {
        let index = pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].as_str().unwrap();
        let log = project.kubectl(&["logs", pod["metadata"]["name"].as_str().unwrap()]);
        got.push((index.parse().unwrap(), serde_json::from_str(log.lines().next().unwrap()).unwrap()));
    }
    got.sort_by_key(|(index, _)| *index);
    got.into_iter().map(|(_, value)| value).collect()
}

/// 10,000 pods must not fill etcd. The objects are compact JSON, as the API server sends them, without `managedFields`.
#[track_caller]
fn pods_are_small(project: &Project) {
    let succeeded = |pod: &Value| pod["status"]["phase"] == "Succeeded";
    let pods = project.objects("pods");
    let sizes: Vec<usize> = pods.iter().filter(|pod| succeeded(pod)).map(|pod| pod.to_string().len()).collect();
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size < 6_000), "{sizes:?}");
}

#[test]
fn every_point_gets_its_own_values_byte_for_byte() {
    let project = Project::new();
    project.script(
        "import json, os, sys
print(json.dumps([sys.argv[1:], json.loads(os.environ['MRUNNER_PARAMS'])]), flush=True)
if os.environ['JOB_COMPLETION_INDEX'] == '1': sys.exit(4)
open(os.environ['MRUNNER_OUTPUT'] + '/done', 'w').write('done\\n')",
    );
    let texts = ["a b", "it's \"$HOME\" $(id) `id`\n\n", "\\n*\u{1b}[31m é"];
    let lines: Vec<String> = texts.iter().map(|text| json!({"x": text, "n": 1, "t": "1"}).to_string()).collect();
    project.write("folder/points.jsonl", &(lines.join("\n") + "\n"));
    let outcome = project.run(&["run", "--wait", "--sweep", "points.jsonl", "train.py", "--", "--last", "$x"]);
    assert_eq!(outcome.told("exit code 4").code, 3);
    let expected: Vec<Value> = texts
        .iter()
        .map(|text| json!([["--x", text, "--n", "1", "--t", "1", "--last", "$x"], {"x": text, "n": 1, "t": "1"}]))
        .collect();
    assert_eq!(got(&project), expected);
    let run = project.only_run();
    let status = project.run(&["status", "--no-headers", &run]).ok().stdout;
    assert!(status.contains(" Failed ") && status.contains(" 2/3 "), "{status}");
    pods_are_small(&project);
    // one Job, and beside it what goes with it
    let points = project.objects("configmaps");
    let points: Vec<_> = points.iter().filter(|map| map["metadata"]["labels"]["mrunner/run"] == run.as_str()).collect();
    assert_eq!((points.len(), &points[0]["immutable"]), (1, &json!(true)));
    assert_eq!(points[0]["metadata"]["ownerReferences"][0]["uid"], project.job()["metadata"]["uid"]);
    assert_eq!(project.left(&format!("{run}/2/done")), "done\n");
}

/// What the containers told at their ends, in the points' order.
fn told(project: &Project) -> Vec<(u64, Option<i64>, Option<Value>)> {
    let (job, pods) = (project.job(), project.objects("pods"));
    let reports = pods.iter().flat_map(|pod| Report::of_pod(Pod::of(pod), Job::of(&job)));
    let mut all: Vec<_> = reports.map(|report| (report.index, report.code, report.metrics)).collect();
    all.sort_by_key(|(index, ..)| *index);
    all
}

#[test]
fn metrics_and_the_end_of_a_log_are_in_the_cluster() {
    let project = Project::new();
    project.script(
        "import json, os, sys
x = int(sys.argv[2])
if x == 1: print('mrunner: {\"x\": 1}', flush=True); sys.exit('it went wrong')
if x == 2: print('mrunner: {\"x\": 2}')
else: json.dump({'x': x, 'nan': float('nan')}, open(os.environ['MRUNNER_OUTPUT'] + '/metrics.json', 'w'), indent=1)",
    );
    project.run(&["run", "--wait", "--grid", "x=0,1,2", "train.py"]).fails(3, "");
    let x = |x: u64, metrics: Value| (x, Some(i64::from(x == 1)), Some(metrics));
    assert_eq!(told(&project), [x(0, json!({"x": 0, "nan": "NaN"})), x(1, json!({"x": 1})), x(2, json!({"x": 2}))]);
    let failed = project.objects("pods").into_iter().find(|pod| pod["status"]["phase"] == "Failed").unwrap();
    let message = &failed["status"]["containerStatuses"][0]["state"]["terminated"]["message"];
    let words: Vec<&str> = words(message.as_str().unwrap()).collect();
    assert_eq!(words, ["mrunner: {\"x\": 1}", "it went wrong"]);
}

#[test]
fn points_that_share_a_pod_fail_and_are_tried_again_one_by_one() {
    let project = Project::new();
    // 3 fails once, 5 for good, 7 runs into its time limit
    project.script(
        "import os, sys, time
x = int(sys.argv[2])
marker = os.environ['STORAGE_DIR'] + '/' + os.environ['MRUNNER_RUN'] + '/attempts'
with open(marker, 'a') as file: print(x, file=file)
first = open(marker).read().split().count(str(x)) == 1
if x == 7: time.sleep(60)
sys.exit(64 if x == 5 else 1 if x == 3 and first else 0)",
    );
    let args = ["run", "--wait", "--retries", "1", "--no-retry-on", "64", "--time-limit", "3s", "--grid", "x=0..8"];
    let outcome = project.run(&[&args[..], &["--points-per-pod", "3", "train.py"]].concat());
    let run = outcome.fails(3, "").name();
    let status = project.job()["status"].clone();
    assert_eq!((&status["completedIndexes"], &status["failedIndexes"]), (&json!("0"), &json!("1,2")));
    pods_are_small(&project);
    // what failed goes again, elsewhere
    let again = project.elsewhere(&["rerun", "-n", &project.namespace, "--failed", "--wait", &run]);
    let again = again.told(", 2 of 9 points: 5, 7, as points 0 to 1\n").fails(3, "").name();
    assert_ne!(again, run);
    let jobs = project.objects("jobs");
    let [old, new] = [&run, &again].map(|run| jobs.iter().find(|job| job["metadata"]["name"] == run.as_str()).unwrap());
    let container = |job: &Value| job["spec"]["template"]["spec"]["containers"][0].clone();
    assert_eq!(container(old)["image"], container(new)["image"]);
    assert_eq!(container(old)["command"], container(new)["command"]);
    let attempts = project.left(&format!("{run}/attempts"));
    let count = |x: &str| attempts.split_whitespace().filter(|word| *word == x).count();
    // those that are done are not done again, though their pod is; the last one is a matter of its code
    assert_eq!([0, 1, 2, 3, 4, 5, 6, 8].map(|x| count(&x.to_string())), [1, 1, 1, 2, 1, 1, 1, 1]);
    let again: Vec<String> = project.left(&format!("{again}/attempts")).split_whitespace().map(str::to_owned).collect();
    assert_eq!(again, ["5", "7", "7"]);
}

#[test]
fn each_line_of_each_point_comes_once_with_its_number() {
    let project = Project::new();
    project.script(
        "import os, sys, time
for n in range(3):
    print('line', n, 'of', os.environ['JOB_COMPLETION_INDEX'], flush=True)
    time.sleep(0.3)
sys.exit(os.environ['JOB_COMPLETION_INDEX'] == '7')",
    );
    let expected = |width: usize| {
        let line = |i: usize, n: usize| format!("{i:>width$} | line {n} of {i}");
        let mut all: Vec<String> = (0..12).flat_map(|i| (0..3).map(move |n| line(i, n))).collect();
        all.sort();
        all
    };
    let sorted = |text: &str| {
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        all.sort();
        all
    };
    // some of them start when others have ended
    let followed = project.run(&["run", "--follow", "--parallel", "5", "--grid", "x=0..11", "train.py"]);
    assert_eq!(sorted(&followed.stdout), expected(2), "{followed}");
    let followed = followed.told("1 of its 12 points failed, one of them: exit code 1: line 2 of 7\n");
    assert_eq!(followed.code, 3);
    let run = project.only_run();
    assert_eq!(sorted(&project.run(&["logs", &run]).ok().stdout), expected(2));
    assert_eq!(project.run(&["logs", &format!("{run}/7")]).ok().stdout, "line 0 of 7\nline 1 of 7\nline 2 of 7\n");
    project
        .run(&["logs", &format!("{run}/12")])
        .fails(1, &format!("error: the run `{run}` has no point 12\nhint: its points are 0 to 11\n"));
}

#[test]
fn exactly_the_points_that_failed_are_known_of_many_in_few_pods() {
    let project = Project::new();
    let script = "echo \"{\\\"x\\\": $2}\" >$MRUNNER_OUTPUT/metrics.json
case $(($2 % 20)) in 3) exit 1 ;; 5) exit 64 ;; esac
";
    project.write("folder/point.sh", script);
    let args = ["run", "--wait", "--retries", "1", "--no-retry-on", "64", "--grid", "x=0..199"];
    project.run(&[&args[..], &["--points-per-pod", "25", "point.sh"]].concat()).fails(3, "");
    assert_eq!(project.job()["spec"]["completions"], 8);
    let told = told(&project);
    for x in 0..200_u64 {
        let codes: Vec<i64> = told.iter().filter(|end| end.0 == x).filter_map(|end| end.1).collect();
        let expected = match x % 20 {
            3 => 1,
            5 => 64,
            _ => 0,
        };
        assert!(!codes.is_empty() && codes.iter().all(|code| *code == expected), "{x}: {codes:?}");
    }
    let run = project.only_run();
    let outcome = project.run(&["rerun", "--dry-run", "--failed", &run]).ok();
    outcome.told(", 20 of 200 points: 3, 5, 23, 25, 43, 45, 63, 65, 83, 85, ..., as points 0 to 19\n");
}

#[test]
fn a_point_that_runs_is_reached_by_its_number() {
    let project = Project::new();
    project.script(
        "import http.server, os
print('serving', flush=True)
http.server.HTTPServer(('', 8000), http.server.SimpleHTTPRequestHandler).serve_forever()",
    );
    let run = project.run(&["run", "--grid", "x=0,1", "train.py"]).ok().name();
    let point = format!("{run}/1");
    assert!(until(|| project.run(&["logs", &point]).stdout.contains("serving").then_some(())).is_some());
    let output = project.run(&["shell", &point, "--", "sh", "-c", "echo $MRUNNER_RUN; exit 4"]);
    assert_eq!((output.code, output.stdout.trim()), (4, run.as_str()));
    let described = project.run(&["describe", &point]).ok().stdout;
    assert!(described.contains(&format!("{run}-1-")), "{described}");
    let forward = project.start(&["port-forward", &point, ":8000"]);
    forward.prints("Forwarding from ");
    forward.signal("INT");
    assert_eq!(forward.end().code, 130);
    project.kubectl(&["delete", "pods", "--all", "--grace-period=0", "--force"]);
}
