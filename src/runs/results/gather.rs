//! Combines the points of a run from the cluster and the volume. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::report::{EndedBy, Report};
use super::{PointState, Row};
use crate::k8s::job::Job;
use crate::k8s::manifests::POINTS_HASH;
use crate::k8s::manifests::points::{KEY, PointFiles};
use crate::k8s::object::Object;
use crate::k8s::pod::Pod;
use crate::runs::endings::{Ending, TIME_LIMIT, exit_code, held};
use crate::runs::pods::Stage;
use crate::runs::state::Run;

/// The points of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Gathered {
    /// All points.
    pub rows: Vec<Row>,
    /// The points about which the volume may have more: their metrics did not fit in the pods' messages, or they
    /// succeeded and the pods are gone.
    pub missing: BTreeSet<u64>,
}

impl Gathered {
    /// Adds a reason to failed points without any record, after the volume was read too.
    pub(crate) fn explain(&mut self) {
        for row in self.rows.iter_mut().filter(|row| row.state == PointState::Failed) {
            row.why.get_or_insert_with(|| "no attempt at it is recorded".to_owned());
        }
    }
}

/// Combines the run, the `ConfigMap`s with its points, and records from its volume.
pub fn gather(run: &Run, maps: &[Value], records: &[Report]) -> Gathered {
    let (count, per_pod) = run.job().packing();
    let mut pods: BTreeMap<u64, Vec<Pod>> = BTreeMap::new();
    for pod in run.pods() {
        pods.entry(pod.index()).or_default().push(pod);
    }
    let messages = run.pods().iter().flat_map(|pod| Report::of_pod(pod, run.job()));
    let reports = Report::of_points(messages.chain(records.iter().cloned()));
    let (done, failed) = (run.job().completed_indexes(), run.job().failed_indexes());
    let params = params(run.job(), maps);
    let one = (count == 1).then(|| single(run.job())).flatten();
    let mut gathered = Gathered::default();
    for index in 0..count {
        let pod = index / per_pod;
        let (is_done, has_failed) = (done.contains(pod), failed.contains(pod));
        // metrics of an earlier attempt are not the result of a finished point
        let report = reports.get(&index).filter(|report| !is_done || report.code == Some(0));
        let code = report.and_then(|report| report.code);
        let own = pods.get(&pod).map(Vec::as_slice).unwrap_or_default();
        let state = match code {
            _ if is_done => PointState::Succeeded,
            _ if has_failed && (per_pod == 1 || code.is_none()) => PointState::Failed,
            Some(0) => PointState::Succeeded,
            // the point may be retried, if only its pod was interrupted
            Some(_) if run.phase.is_final() || (per_pod > 1 && !was_told(report)) => PointState::Failed,
            _ => alive(run, own),
        };
        let object = |value: Option<&Value>| value.and_then(Value::as_object).cloned().unwrap_or_default();
        let known = reports.get(&index).and_then(|report| report.params.as_ref());
        gathered.rows.push(Row {
            index,
            state,
            why: reason(state, report, own, per_pod > 1)
                .or_else(|| run.why.clone().filter(|_| state == PointState::Failed && !has_failed)),
            params: object(params.get(&index).or(known).or(one.as_ref())),
            metrics: object(report.and_then(|report| report.metrics.as_ref())),
        });
        // a message has no room for the lines of very many points, and a deleted pod has none
        let silent = state == PointState::Succeeded || (state == PointState::Failed && (per_pod > 1 || own.is_empty()));
        if report.map_or(silent, |report| report.more) {
            gathered.missing.insert(index);
        }
    }
    gathered
}

fn alive(run: &Run, pods: &[Pod]) -> PointState {
    let Some(pod) = pods.iter().copied().rfind(|pod| Stage::of(*pod).is_alive()) else {
        // an ended run, for example at its deadline, lists only the points that failed by themselves
        return if run.phase.is_final() { PointState::Failed } else { PointState::Waiting };
    };
    match (Stage::of(pod), run.kept_code(pod)) {
        // the experiment has ended, even if another container keeps its pod
        (Stage::Held(_), Some(0)) => PointState::Succeeded,
        (Stage::Held(_), Some(_)) => PointState::Failed,
        (Stage::Held(_) | Stage::Running, _) => PointState::Running,
        (Stage::Starting, _) => PointState::Starting,
        (Stage::Lost, _) => PointState::Lost,
        _ => PointState::Waiting,
    }
}

fn was_told(report: Option<&Report>) -> bool {
    report.is_some_and(|report| report.ended_by == Some(EndedBy::Told))
}

fn reason(state: PointState, report: Option<&Report>, pods: &[Pod], shared: bool) -> Option<String> {
    if state == PointState::Failed {
        let held = pods.iter().rev().find_map(|pod| held(*pod));
        let told = held.or_else(|| pods.iter().rev().find_map(|pod| Ending::of(*pod)).map(|ending| ending.words));
        let coded = report.and_then(|report| match report.ended_by {
            Some(EndedBy::Limit) => Some(TIME_LIMIT.to_owned()),
            Some(EndedBy::Told) if report.code == Some(143) => Some(exit_code(143)),
            _ => report.code.map(|code| format!("exit code {code}")),
        });
        // a pod of several points describes the pod, and a point only if nothing else does
        return if shared { coded.or(told) } else { told.or(coded) };
    }
    report.and_then(|report| report.why.clone())
}

/// The parameters of a run without a sweep, from its container's variables.
fn single(job: Job) -> Option<Value> {
    // as Kubernetes reads it
    serde_json::from_str(&job.variable("MRUNNER_PARAMS")?.replace("$$", "$")).ok()
}

/// The parameters of each point, from the lines in the `ConfigMap`s that its Job names: other objects may have the
/// run's label. Lines that differ from the submitted ones are not used, if all of them exist.
fn params(job: Job, maps: &[Value]) -> BTreeMap<u64, Value> {
    let own: Vec<&str> = job.maps().collect();
    if are_replaced(job, &own, maps) {
        return BTreeMap::new();
    }
    let mut files: Vec<(u64, Vec<&str>)> = Vec::new();
    for map in maps {
        let map = Object::of(map);
        let number = (0..).zip(&own).find(|(_, name)| map.name() == **name).map(|(number, _)| number);
        if let Some((number, text)) = number.zip(map.data(KEY)) {
            files.push((number, text.lines().collect()));
        }
    }
    // all but the last have the same number of lines
    let per_file = files.iter().map(|(_, lines)| lines.len() as u64).max().unwrap_or(0);
    let place = |number: u64, at: u64| number.checked_mul(per_file)?.checked_add(at);
    let point = |number: u64, (at, line): (u64, &str)| Some((place(number, at)?, params_of(line)?));
    files
        .iter()
        .flat_map(|(number, lines)| (0..).zip(lines.iter().copied()).filter_map(|l| point(*number, l)))
        .collect()
}

/// Whether all of a Job's lines exist but do not match the Job's hash.
fn are_replaced(job: Job, own: &[&str], maps: &[Value]) -> bool {
    let Some(told) = job.annotation(POINTS_HASH) else { return false };
    PointFiles::stored(own, maps).is_some_and(|stored| stored.hash() != told)
}

/// The parameters at the end of a line, see [`crate::k8s::manifests::points::line`].
fn params_of(line: &str) -> Option<Value> {
    const NAME: &str = "; MRUNNER_PARAMS=";
    let (mut quoted, mut escaped) = (false, false);
    let (at, _) = line.char_indices().find(|&(at, c)| {
        quoted ^= c == '\'' && !escaped;
        // between single quotes, a backslash is a plain character
        escaped = !quoted && !escaped && c == '\\';
        !quoted && line[at..].starts_with(NAME)
    })?;
    let text = line[at + NAME.len()..].strip_prefix('\'')?.strip_suffix('\'')?;
    serde_json::from_str::<Map<String, Value>>(&text.replace(r"'\''", "'")).ok().map(Value::Object)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::points;
    use crate::k8s::manifests::{POINTS, POINTS_PER_POD};
    use crate::k8s::object::with;
    use crate::runs::state::runs;
    use serde_json::json;

    fn run(completions: u64, annotations: &Value, status: &Value, pods: &[(u64, &str, &str)]) -> Run {
        let job = json!({"kind": "Job", "metadata": {"name": "a", "uid": "u", "annotations": annotations},
            "spec": {"completions": completions, "template": {"spec": {"containers": [{"name": "experiment",
            "env": [{"name": "MRUNNER_MARK", "value": "m"}]}]}}}, "status": status});
        let pod = |(index, phase, message): &(u64, &str, &str)| {
            let state = match *phase {
                "Running" => json!({"running": {}}),
                "Pending" => json!({"waiting": {}}),
                _ => json!({"terminated": {"exitCode": i32::from(*phase == "Failed"), "message": message}}),
            };
            json!({"kind": "Pod", "metadata": {"name": format!("a-{index}"), "ownerReferences": [{"uid": "u"}],
                "labels": {"batch.kubernetes.io/job-completion-index": index.to_string()}}, "spec": {"nodeName": "n"},
                "status": {"phase": phase, "containerStatuses": [{"name": "experiment", "state": state}]}})
        };
        runs(pods.iter().map(pod).chain([job]).collect()).pop().unwrap()
    }

    fn params(job: &Value, maps: &[Value]) -> BTreeMap<u64, Value> {
        super::params(Job::of(job), maps)
    }

    fn metric(gathered: &Gathered, row: usize, name: &str) -> Option<Value> {
        gathered.rows[row].metrics.get(name).cloned()
    }

    fn states(gathered: &Gathered) -> Vec<&str> {
        gathered.rows.iter().map(|row| row.state.as_str()).collect()
    }

    #[test]
    fn each_point_has_its_state_and_metrics() {
        let status = json!({"completedIndexes": "0,2-3", "failedIndexes": "1"});
        let pods = [
            // the pod's own output, and a report about another pod's point
            (0, "Succeeded", "{\"index\":5,\"code\":0}\nm 6 0 exit 1 - - \nm 0 0 exit 9 file 7 {\"a\":1}\n"),
            (1, "Failed", "Traceback\nValueError: x"),
            (2, "Succeeded", "m 2 0 exit 9 file 70000 "),
            (4, "Running", ""),
            (5, "Pending", ""),
        ];
        let run = run(7, &json!({}), &status, &pods);
        let gathered = gather(&run, &[], &[]);
        assert_eq!(
            states(&gathered),
            ["Succeeded", "Failed", "Succeeded", "Succeeded", "Running", "Starting", "Waiting"]
        );
        assert_eq!(metric(&gathered, 0, "a"), Some(json!(1)));
        assert_eq!(gathered.rows[1].why.as_deref(), Some("exit code 1: ValueError: x"));
        assert_eq!(gathered.missing, BTreeSet::from([2, 3]));
        let records = [
            r#"{"index":2,"code":0,"began":"1","params":{"lr":1},"metrics":{"b":2}}"#,
            r#"{"index":3,"code":1,"began":"1","metrics":{"b":9}}"#,
            r#"{"index":3,"code":0,"began":"0","metrics":{"b":3}}"#,
        ];
        let records: Vec<Report> = records.iter().filter_map(|text| Report::record(text.as_bytes())).collect();
        let gathered = gather(&run, &[], &records);
        assert_eq!((metric(&gathered, 2, "b"), metric(&gathered, 3, "b")), (Some(json!(2)), Some(json!(3))));
        assert_eq!((Value::from(gathered.rows[2].params.clone()), gathered.missing.len()), (json!({"lr": 1}), 0));
    }

    #[test]
    fn no_point_of_a_run_that_is_over_waits() {
        let failed = json!({"type": "Failed", "status": "True", "reason": "DeadlineExceeded",
            "message": "Job was active longer than specified deadline"});
        let status = json!({"completedIndexes": "0", "failedIndexes": "", "conditions": [failed]});
        let over = run(3, &json!({}), &status, &[]);
        let gathered = gather(&over, &[], &[]);
        assert_eq!(states(&gathered), ["Succeeded", "Failed", "Failed"]);
        assert_eq!(gathered.rows[1].why.as_deref(), Some("it ran into its deadline"));
        assert_eq!(gathered.missing, BTreeSet::from([0, 1, 2]));
        // with several points per pod, points that had ended are known from their records
        let packed = run(1, &json!({POINTS: "3", POINTS_PER_POD: "3"}), &json!({"conditions": [failed]}), &[]);
        let records =
            [r#"{"index":0,"code":0,"began":"0"}"#, r#"{"index":1,"code":143,"ended_by":"told","began":"1"}"#];
        let records: Vec<Report> = records.iter().filter_map(|text| Report::record(text.as_bytes())).collect();
        assert_eq!(states(&gather(&packed, &[], &records)), ["Succeeded", "Failed", "Failed"]);
    }

    #[test]
    fn several_points_in_a_pod_are_each_their_own() {
        let annotations = json!({POINTS: "5", POINTS_PER_POD: "2"});
        let message = "m 0 0 exit 9 file 7 {\"a\":1}\nm 1 3 exit 9 - - \n";
        let status = json!({"completedIndexes": "2", "failedIndexes": "0"});
        let pods = [(0, "Failed", message), (1, "Running", ""), (2, "Succeeded", "m 4 0 exit 9 - - ")];
        let gathered = gather(&run(3, &annotations, &status, &pods), &[], &[]);
        assert_eq!(states(&gathered), ["Succeeded", "Failed", "Running", "Running", "Succeeded"]);
        assert_eq!(gathered.rows[1].why.as_deref(), Some("exit code 3"));
        assert!(gathered.missing.is_empty(), "{gathered:?}");
    }

    #[test]
    fn a_pod_that_is_tried_again_keeps_what_its_first_attempt_measured() {
        let annotations = json!({POINTS: "2", POINTS_PER_POD: "2"});
        let first = "m 0 0 exit 9 file 7 {\"a\":1}\nm 1 3 exit 9 - - \n";
        let second = "m 0 0 exit - record - \nm 1 0 exit 9 file 7 {\"a\":2}\n";
        let status = json!({"completedIndexes": "0"});
        let attempts = |pods: &[(u64, &str, &str)]| {
            let mut run = run(1, &annotations, &status, pods);
            for (number, pod) in run.pods.iter_mut().enumerate() {
                let started = ["status", "containerStatuses", "0", "state", "terminated", "startedAt"];
                *pod = with(pod, &["metadata", "name"], format!("a-0-{number}"));
                *pod = with(pod, &started, number.to_string());
            }
            run
        };
        let both = attempts(&[(0, "Failed", first), (0, "Succeeded", second)]);
        let gathered = gather(&both, &[], &[]);
        assert_eq!((metric(&gathered, 0, "a"), metric(&gathered, 1, "a")), (Some(json!(1)), Some(json!(2))));
        assert_eq!((states(&gathered), gathered.missing.len()), (vec!["Succeeded", "Succeeded"], 0));
        // if the first pod is gone, its record is used
        let one = attempts(&[(0, "Succeeded", second)]);
        assert_eq!(gather(&one, &[], &[]).missing, BTreeSet::from([0]));
        let record = br#"{"index":0,"pod":"a-0-9","began":"0","code":0,"metrics":{"a":3}}"#;
        let gathered = gather(&one, &[], &[Report::record(record).unwrap()]);
        assert_eq!((metric(&gathered, 0, "a"), gathered.missing.len()), (Some(json!(3)), 0));
    }

    #[test]
    fn what_a_failed_attempt_left_is_none_of_a_point_that_is_done() {
        let status = json!({"completedIndexes": "0"});
        let failed = [(0, "Failed", "m 0 3 exit 9 file 7 {\"a\":1}\nm 1 3 exit 9 - - \n")];
        for each in [1, 2] {
            let annotations = json!({POINTS: each.to_string(), POINTS_PER_POD: each.to_string()});
            let run = run(1, &annotations, &status, &failed);
            let gathered = gather(&run, &[], &[]);
            assert_eq!(states(&gathered), vec!["Succeeded"; each]);
            assert!(gathered.rows.iter().all(|row| row.metrics.is_empty() && row.why.is_none()), "{gathered:?}");
            assert_eq!(gathered.missing.len(), each);
            let record = br#"{"index":0,"pod":"b","began":"2","code":0,"metrics":{"a":2}}"#;
            let gathered = gather(&run, &[], &[Report::record(record).unwrap()]);
            assert_eq!(metric(&gathered, 0, "a"), Some(json!(2)));
        }
    }

    #[test]
    fn points_of_which_nothing_is_recorded_share_the_reason_of_their_pod() {
        let status = json!({"failedIndexes": "0"});
        let packed = run(1, &json!({POINTS: "2", POINTS_PER_POD: "2"}), &status, &[(0, "Failed", "no luck")]);
        let gathered = gather(&packed, &[], &[]);
        assert!(gathered.rows.iter().all(|row| row.why.as_deref() == Some("exit code 1: no luck")), "{gathered:?}");
        // of a pod that is gone too
        let packed = run(1, &json!({POINTS: "2", POINTS_PER_POD: "2"}), &status, &[]);
        let mut gathered = gather(&packed, &[], &[]);
        gathered.explain();
        assert!(
            gathered.rows.iter().all(|row| row.why.as_deref() == Some("no attempt at it is recorded")),
            "{gathered:?}"
        );
    }

    #[test]
    fn annotations_make_no_rows_that_the_job_has_no_pods_for() {
        let huge = json!({POINTS: "99999999999", POINTS_PER_POD: "1000"});
        let status = json!({"completedIndexes": format!("0-{}", u64::MAX), "failedIndexes": "1-99999999999"});
        let rows = |completions| gather(&run(completions, &huge, &status, &[]), &[], &[]).rows;
        assert_eq!(rows(2).len(), 2000);
        assert_eq!(rows(u64::MAX).len(), 100_000);
        let mut sweep = run(1000, &json!({}), &json!({}), &[]);
        let env = json!([{"name": "MRUNNER_PARAMS", "value": json!({"a": "x".repeat(1 << 10)}).to_string()}]);
        let containers = json!([{"name": "experiment", "env": env}]);
        sweep.job = with(&sweep.job, &["spec", "template", "spec", "containers"], containers);
        assert!(gather(&sweep, &[], &[]).rows.iter().all(|row| row.params.is_empty()), "each has its own");
    }

    fn map(name: &str, lines: &[String]) -> Value {
        json!({"kind": "ConfigMap", "metadata": {"name": name}, "data": {KEY: lines.join("\n") + "\n"}})
    }

    fn with_maps(names: &[&str]) -> Value {
        let sources: Vec<Value> = names.iter().map(|name| json!({"configMap": {"name": name}})).collect();
        json!({"spec": {"template": {"spec": {"volumes": [{"name": KEY, "projected": {"sources": sources}}]}}}})
    }

    #[test]
    fn nobody_elses_lines_tell_the_parameters() {
        let line = |text: &str| points::line(3, 2, &[text.to_owned()], &json!({ "x": text }));
        let far = format!("a-points-{}", u64::MAX);
        let others: Vec<Value> = ["b-points-0", "a-points-1", "x-a-points-0", "a-points-00", &far]
            .iter()
            .map(|name| map(name, &[line("forged"), line("forged"), line("forged")]))
            .collect();
        let own = map("a-points-0", &[line("own"), line("own")]);
        let read = params(&with_maps(&["a-points-0"]), &[&others[..], &[own]].concat());
        assert_eq!(read.into_values().collect::<Vec<_>>(), [json!({"x": "own"}), json!({"x": "own"})]);
        assert!(params(&json!({}), &others).is_empty());
        let hash = points::PointFiles::new(&[line("own"), line("own")]).unwrap().hash();
        let job = with(&with_maps(&["a-points-0"]), &["metadata", "annotations", POINTS_HASH], hash);
        let replaced = map("a-points-0", &[line("own"), line("forged")]);
        assert_eq!(params(&job, &[map("a-points-0", &[line("own"), line("own")])]).len(), 2);
        assert!(params(&job, &[replaced]).is_empty());
    }

    #[test]
    fn parameters_are_read_back_out_of_the_lines() {
        let all = [
            json!({"lr": 0.1, "name": "it's; MRUNNER_PARAMS='{}'\n'\"$n\"'"}),
            json!({"lr": "0.1", "seed": 1}),
            json!({"x": "\\'"}),
        ];
        let words = |value: &Value| vec![value.to_string(), "a'b; MRUNNER_PARAMS='x'\n".to_owned(), "\\".to_owned()];
        let lines: Vec<String> = all.iter().map(|value| points::line(3, 2, &words(value), value)).collect();
        let job = with_maps(&["a-points-0", "a-points-1"]);
        let read = params(&job, &[map("a-points-1", &lines[2..]), map("a-points-0", &lines[..2])]);
        assert_eq!(read.into_iter().collect::<Vec<_>>(), (0..).zip(all).collect::<Vec<_>>());
    }

    #[test]
    fn a_run_that_is_no_sweep_has_its_parameters_in_its_job() {
        let job = json!({"spec": {"template": {"spec": {"containers": [{"name": "experiment", "env": [{"name": "MRUNNER_PARAMS", "value": "{\"a\":\"$$(B)\"}"}]}]}}}});
        assert_eq!(single(Job::of(&job)), Some(json!({"a": "$(B)"})));
    }
}
