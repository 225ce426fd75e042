//! A sweep as one Job on real nodes.

use serde_json::{Value, json};

use crate::project::Project;

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
    // one Job, and beside it what goes with it
    let points = project.objects("configmaps");
    let points: Vec<_> = points.iter().filter(|map| map["metadata"]["labels"]["mrunner/run"] == run.as_str()).collect();
    assert_eq!((points.len(), &points[0]["immutable"]), (1, &json!(true)));
    assert_eq!(points[0]["metadata"]["ownerReferences"][0]["uid"], project.job()["metadata"]["uid"]);
    assert_eq!(project.left(&format!("{run}/2/done")), "done\n");
}
