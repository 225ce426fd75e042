//! What must hold for whatever others can write: records on a volume, termination messages, objects of the cluster,
//! files of this machine, and what a helper answers. Each function takes any bytes, and panics if it does not hold.
//!
//! `tests/it/properties.rs` includes this file, and `cargo fuzz run` calls the same functions.

use std::panic::Location;
use std::path::{Path, PathBuf};

use mrunner::config::{contexts, edit, experiment, kubeconfig};
use mrunner::image::requirements::mentions;
use mrunner::k8s::manifests::job;
use mrunner::k8s::manifests::rerun::manifest;
use mrunner::k8s::names::{RunId, RunName};
use mrunner::plan::Plan;
use mrunner::runs::archive::Kept;
use mrunner::runs::progress;
use mrunner::runs::results::gather::gather;
use mrunner::runs::results::report::Report;
use mrunner::runs::results::report::succeeded;
use mrunner::runs::results::{Results, Row};
use mrunner::runs::state::{self, Run};
use mrunner::runs::throughput;
use mrunner::transfer::protocol::{Entries, Frames, Reply};
use mrunner::util::ui::Table;
use serde_json::{Value, json};

/// No Job has more points.
const MOST: usize = 100_000;

/// What stands between two fields of the input: no text has this byte.
const BETWEEN: u8 = 0xff;

fn fields(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == BETWEEN)
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

/// That everything which is shown of a run can be made, and obeys no terminal.
#[track_caller]
fn can_be_shown(run: &Run, maps: &[Value], reports: &[Report]) {
    let rows = gather(run, maps, reports).rows;
    assert!(rows.len() <= MOST, "{} points, {}", rows.len(), Location::caller());
    // a few are enough: each is shown in the same way
    let few: Vec<Row> = rows.into_iter().take(20).collect();
    let results = Results::new(few);
    is_plain(&Table::default().lines(&results.table(), None));
    assert!(serde_json::to_string(&results.json()).is_ok() && results.csv().is_ok());
    let now = "2026-11-25T00:00:00Z".parse().unwrap_or_default();
    let lines = progress::lines(std::slice::from_ref(run), 80, now);
    is_plain(&Table::default().lines(&[lines], None));
    throughput::short(run);
    assert!(run.failed() <= run.done.1 && run.job().packing().0 <= MOST as u64);
    assert!(succeeded(run.job(), run.pods()).len() <= MOST);
}

/// That the Job of a run makes another one, of which the environment of this machine is no part.
fn can_be_submitted_again(run: &Run) {
    let id = RunId::from_bytes([7; 16]);
    let name = RunName::new("train", &id);
    let again = job::with_image(manifest(&run.job, &name, &id, None), "r/v@sha256:08");
    assert_eq!(again["metadata"]["name"], name.as_str());
    assert_eq!(again["metadata"]["labels"]["mrunner/run"], name.as_str());
}

#[track_caller]
fn is_plain(text: &str) {
    let obeyed = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    assert_eq!(text.chars().find(obeyed), None, "{text:?}");
}

/// The files in a run's folder on the volume: a name and a text in turns.
pub fn records(data: &[u8]) {
    let all: Vec<&[u8]> = fields(data).collect();
    let named: Vec<(String, &[u8])> =
        all.chunks(2).map(|pair| (text(pair.first().copied()), pair.get(1).copied().unwrap_or_default())).collect();
    let run = named.iter().find(|(name, _)| name == "run.json");
    let mut kept = Kept::of(run.map(|(_, text)| *text));
    for (name, text) in &named {
        if let Some(report) = Report::record(text)
            && kept.add(name, &report)
        {
            assert!(kept.admits(name), "{name}");
        }
    }
    let Some(kept) = kept.complete() else { return };
    for attempt in kept.attempts() {
        let log = attempt.log();
        assert!(!log.contains('/') && log.len() < 128 && attempt.index < MOST as u64, "{log}");
        assert!(named.iter().any(|(name, _)| log.strip_suffix(".log") == name.strip_suffix(".json")), "{log}");
    }
    let reports: Vec<Report> = named.iter().filter_map(|(_, text)| Report::record(text)).collect();
    if let Some(run) = kept.run("train-1", "vision") {
        can_be_shown(&run, &[], &reports);
    }
}

/// The termination message of a pod of a run with several points in a pod.
pub fn reports(data: &[u8]) {
    let message = String::from_utf8_lossy(data);
    for report in Report::all(&message, "k3v9zq2m4t", &(3..6)) {
        assert!(report.metrics.as_ref().is_none_or(Value::is_object) && (3..6).contains(&report.index));
    }
    let job = json!({"kind": "Job", "metadata": {"name": "a", "uid": "u",
        "annotations": {"mrunner/points": "7", "mrunner/points-per-pod": "3"}}, "spec": {"completions": 3, "template":
        {"spec": {"containers": [{"name": "experiment", "env": [{"name": "MRUNNER_MARK", "value": "k3v9zq2m4t"}]}]}}}});
    let pod = json!({"kind": "Pod", "metadata": {"name": "a-1", "ownerReferences": [{"uid": "u"}],
        "labels": {"batch.kubernetes.io/job-completion-index": "1"}}, "status": {"phase": "Failed", "containerStatuses":
        [{"name": "experiment", "state": {"terminated": {"exitCode": 1, "message": message}}}]}});
    for run in state::runs(vec![job, pod]) {
        can_be_shown(&run, &[], &[]);
    }
}

/// What of a Job, its pods and its `ConfigMap`s others may write.
pub fn annotations(data: &[u8]) {
    let mut all = fields(data);
    let mut next = || text(all.next());
    let number = |text: String| text.parse::<u64>().map_or(Value::String(text), Value::from);
    let job = json!({"kind": "Job", "apiVersion": "batch/v1", "metadata": {
            "name": next(), "uid": "u", "namespace": next(), "creationTimestamp": next(),
            "labels": {"mrunner/run": next(), "mrunner/project": next()},
            "annotations": {"mrunner/points": next(), "mrunner/points-per-pod": next(), "mrunner/tags": next(),
                "mrunner/project-name": next(), "mrunner/image": next()}},
        "spec": {"completions": number(next()), "parallelism": number(next()), "backoffLimitPerIndex": number(next()),
            "template": {"spec": {"containers": [{"image": next(), "env": [{"name": "MRUNNER_PARAMS", "value": next()}]}]}}},
        "status": {"completedIndexes": next(), "failedIndexes": next(), "succeeded": number(next()),
            "startTime": next(), "completionTime": next(),
            "conditions": [{"type": next(), "status": "True", "reason": next(), "message": next(), "lastTransitionTime": next()}]}});
    let pod = json!({"kind": "Pod", "metadata": {"name": next(), "ownerReferences": [{"uid": "u"}], "creationTimestamp": next(),
            "labels": {"batch.kubernetes.io/job-completion-index": next()}},
        "spec": {"nodeName": next()},
        "status": {"phase": next(), "reason": next(), "message": next(),
            "conditions": [{"type": "PodScheduled", "status": next(), "message": next()}],
            "containerStatuses": [{"name": "experiment", "image": next(), "state": {
                "terminated": {"exitCode": number(next()), "reason": next(), "message": next(), "startedAt": next(), "finishedAt": next()},
                "waiting": {"reason": next(), "message": next()}}}]}});
    let map = json!({"kind": "ConfigMap", "metadata": {"name": next()}, "data": {"points": next()}});
    let mut job = job;
    let env = &mut job["spec"]["template"]["spec"]["containers"][0]["env"];
    for name in ["MRUNNER_RECORD", "MRUNNER_OUTPUT", "MRUNNER_MARK", "MRUNNER_POINTS", "MRUNNER_LINES"] {
        env.as_array_mut().into_iter().for_each(|all| all.push(json!({ "name": name, "value": next() })));
    }
    for run in state::runs(vec![job, pod]) {
        can_be_shown(&run, std::slice::from_ref(&map), &[]);
        can_be_submitted_again(&run);
    }
    // and objects of any shape at all
    if let Ok(Value::Array(objects)) = serde_json::from_slice(data) {
        for run in state::runs(objects.clone()) {
            can_be_shown(&run, &objects, &[]);
        }
    }
}

/// The journal of a run whose submission was cut off.
pub fn journals(data: &[u8]) {
    let Ok(plan) = Plan::read(data) else { return };
    let again = plan.written().ok().and_then(|text| Plan::read(&text).ok());
    assert!(again.is_some_and(|again| again.run == plan.run && again.secret_env == plan.secret_env));
    drop((plan.fits(), plan.final_job(), plan.variables().len()));
    drop((plan.submit().to_string(), plan.release(), plan.create_points("u"), plan.create_secret_env("u", None)));
}

/// What a helper answers: frames, with the entries and files in them.
pub fn frames(data: &[u8]) {
    let mut frames = Frames::new(data);
    while let Ok((_, reply)) = frames.reply() {
        match reply {
            Reply::Entries(entries) => assert!(Entries(entries).take(data.len()).count() <= data.len()),
            Reply::Many(mut several) => while let Ok(Some(_)) = several.take() {},
            _ => {}
        }
    }
    // frames carry digests, which chance does not find
    assert!(Entries(data).count() <= data.len() + 1);
}

/// The files in YAML: our own, one that comes with a repository, a kubeconfig.
pub fn yaml(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let file = Path::new("f.yaml");
    // YAML 1.1 ends a line also by a carriage return and by these three; a fault may be behind the last
    let lines = 1 + text.split(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']).count();
    let faults = [
        contexts::parse(&text, file).err(),
        experiment::parse(&text, file).err(),
        kubeconfig::merge(vec![(PathBuf::from("f.yaml"), text.to_string())]).err(),
    ];
    for fault in faults.into_iter().flatten().flatten() {
        is_plain(&fault.message);
        is_plain(&fault.key);
        assert!(fault.line.is_none_or(|line| (1..=lines).contains(&line)), "{fault:?}");
    }
    // a change leaves a file that can be read, and says what the file says
    if let Ok((changed, said)) = edit::change(&text, file, &edit::Change::Delete("lab")) {
        assert_eq!(contexts::parse(&changed, file).ok(), Some(said));
    }
}

/// A requirements file.
pub fn requirements(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.lines().count();
    for (line, _) in mentions(&text) {
        assert!((1..=lines).contains(&line), "{line}");
    }
}
