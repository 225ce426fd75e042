//! Many at once: each is one run, none is in the way of another.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::node::Node;
use crate::project::{Outcome, Project};

/// How many run from one folder; a quarter as many run from folders of their own. 100 in `tests/run --full`.
/// Where `MRUNNER_OTHER` names the program of another version, every other one of them is that.
fn crowd() -> usize {
    std::env::var("MRUNNER_CROWD").ok().map_or(12, |text| text.parse().expect("MRUNNER_CROWD is a number"))
}

#[test]
fn all_who_submit_at_once_get_a_run_each() {
    let project = Project::unmade();
    let guard = project.own_nodes();
    // a project of which nothing is there: namespace, claim and image are made by whoever comes first
    project.own_context(&format!(
        "storage_class: shared\nnode_selector: {{mrunner-test: {}}}\ntolerations: [{{operator: Exists}}]",
        project.namespace
    ));
    let node = Node::fake(&project, "crowd", 100_000);
    project.new_script("print('one of many')");
    let mut started = Vec::new();
    let other = std::env::var("MRUNNER_OTHER").unwrap_or_else(|_| "kubectl-mrunner".to_owned());
    for number in 0..crowd() {
        let program = if number % 2 == 1 { &other } else { "kubectl-mrunner" };
        started.push(project.spawn(project.command(program, &["run", "--name", "same", "train.py"])));
    }
    for number in 0..crowd().div_ceil(4) {
        project.write(&format!("folder-{number}/train.py"), &format!("# {}\nprint({number})\n", project.namespace));
        let mut command = project.command("kubectl-mrunner", &["run", "--name", "same", "train.py"]);
        command.current_dir(project.path(&format!("folder-{number}")));
        started.push(project.spawn(command));
    }
    let outcomes: Vec<Outcome> = started.into_iter().map(|live| live.end().ok()).collect();
    let names: BTreeSet<String> = outcomes.iter().map(Outcome::name).collect();
    assert_eq!(names.len(), outcomes.len(), "two runs have one name");
    let jobs = project.objects("jobs");
    let made: BTreeSet<String> = jobs.iter().map(|job| job["metadata"]["name"].as_str().unwrap().to_owned()).collect();
    assert_eq!((made == names, jobs.len()), (true, outcomes.len()));
    let images: BTreeSet<&str> = jobs.iter().filter_map(image).collect();
    assert_eq!(images.len(), 1 + crowd().div_ceil(4), "{images:?}");
    let claims = project.objects("persistentvolumeclaims");
    assert_eq!(claims.len(), 1);
    let volume: Value = serde_json::from_str(&project.kubectl(&[
        "get",
        "persistentvolume",
        claims[0]["spec"]["volumeName"].as_str().unwrap(),
        "-o",
        "json",
    ]))
    .unwrap();
    let uid = &claims[0]["metadata"]["annotations"]["mrunner/project-uid"];
    assert!(uid.is_string());
    assert_eq!((&volume["metadata"]["annotations"]["mrunner/project-uid"], project.journals().len()), (uid, 0));
    let left = fs::read_dir(project.path("home/.local/state/mrunner/runs")).unwrap().count();
    assert_eq!(left, 0, "files are left of what has ended");
    drop((node, guard));
}

fn image(job: &Value) -> Option<&str> {
    job["spec"]["template"]["spec"]["containers"][0]["image"].as_str()
}
