//! A sweep of many points on nodes whose kubelet is played by kwok: what is reported is what happened.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::Duration;

use serde_json::Value;

use crate::node::Node;
use crate::project::Project;
use crate::project::live::until_for;

/// How many points: 10,000 in `tests/run --full`.
fn points() -> u64 {
    env::var("MRUNNER_POINTS").ok().map_or(200, |text| text.parse().expect("MRUNNER_POINTS is a number"))
}

#[test]
fn the_points_that_failed_are_told_and_no_other() {
    let project = Project::new();
    let _added = project.own_nodes();
    let (node, lost) = (Node::fake(&project, "some-fail", 100_000), Node::fake(&project, "stays", 20));
    let (count, patience) = (points(), Duration::from_secs(120 + points() / 10));
    let grid = format!("x=0..{}", count - 1);
    let args = ["run", "--grid", &grid, "--retries", "1", "--no-retry-on", "42", "train.py"];
    let run = project.run(&args).ok().name();
    let fails = |index: u64| matches!(index % 20, 3 | 7);
    let good = (0..count).filter(|index| !fails(*index)).count() as u64;
    let status = || project.job()["status"].clone();
    // all that can end has ended, and the node with the others goes down with them
    let full = until_for(patience, || (status()["succeeded"].as_u64()? + 20 >= good).then_some(()));
    assert!(full.is_some(), "{}", status());
    assert!(project.objects("pods").iter().any(|pod| pod["spec"]["nodeName"] == lost.name.as_str()));
    project.kubectl(&["delete", "node", &lost.name]);
    let over =
        until_for(patience, || status()["conditions"].as_array()?.iter().find(|c| c["type"] == "Failed").cloned());
    assert_eq!(over.unwrap()["reason"], "FailedIndexes");

    let told = project.run(&["status", &run]).ok();
    let words = format!("{count} in all: {good} succeeded, {} failed\n", count - good);
    let told = told.told(&words).told("3 (x=3): exit code 1: ValueError: bad luck\n").told("7 (x=7): exit code 42: ");
    assert_eq!(told.stdout.lines().count(), 2, "{told}");
    let listed = project.run(&["status", &run, "--points", "--state", "failed", "-o", "json"]).ok().stdout;
    let listed: Vec<Value> = serde_json::from_str(&listed).unwrap();
    let failed: Vec<u64> = listed.iter().map(|point| point["params"]["x"].as_u64().unwrap()).collect();
    assert_eq!(failed, (0..count).filter(|index| fails(*index)).collect::<Vec<_>>());

    // a failure is tried again once, the code of those that shall not be is not, a lost node counts for nothing
    let mut attempts: BTreeMap<u64, u64> = BTreeMap::new();
    for pod in project.objects("pods").iter().filter(|pod| pod["status"]["phase"] == "Failed") {
        let index = pod["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"].as_str().unwrap();
        *attempts.entry(index.parse().unwrap()).or_default() += 1;
    }
    let (twice, once): (BTreeSet<u64>, BTreeSet<u64>) =
        (0..count).filter(|index| fails(*index)).partition(|index| index % 20 == 3);
    assert!(twice.iter().all(|index| attempts[index] == 2), "{attempts:?}");
    assert!(once.iter().all(|index| attempts[index] == 1), "{attempts:?}");

    let results = project.run(&["results", &run, "--sort", "-accuracy", "-o", "json"]).ok().stdout;
    let results: Vec<Value> = serde_json::from_str(&results).unwrap();
    let best: Vec<u64> = results.iter().filter_map(|point| point["metrics"]["accuracy"].as_u64()).collect();
    assert_eq!(best, (0..count).filter(|index| !fails(*index)).rev().collect::<Vec<_>>());
    drop((node, lost));
}
