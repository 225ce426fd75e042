//! Reads what a run left on its volume, for when its Job is gone: see `templates/wrapper.sh`.
//!
//! The records are converted to the Job and pods that the cluster would have shown, so that the code that reads
//! Jobs and pods works for them too.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::k8s::manifests::{
    CONTAINER, IMAGE, KEPT, MANAGED_BY, PROJECT, RAW_EXPERIMENT, RAW_PROJECT, RAW_TAGS, RUN, tag_label,
};
use crate::k8s::names::{RunName, is_dns_label, label_value};
use crate::request::sweep::MOST;
use crate::runs::lenient_json;
use crate::runs::results::report::{EndedBy, Report};
use crate::runs::state::{self, Run};

/// The file that describes the run.
pub(crate) const RECORD: &str = "run.json";

/// The folder of all runs, below the volume's root.
pub(crate) const RUNS: &str = ".mrunner/runs";

/// A run, read from its records.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    record: Option<Value>,
    attempts: Vec<RecordedAttempt>,
}

/// What `run.json` says of a run, as far as it is there and can be read.
#[derive(Debug, Clone, Copy)]
struct RunRecord<'a>(Option<&'a Value>);

impl<'a> RunRecord<'a> {
    fn field(self, name: &str) -> Option<&'a Value> {
        self.0?.get(name)
    }

    fn text(self, name: &str) -> Option<&'a str> {
        self.field(name)?.as_str()
    }

    fn tags(self) -> &'a [Value] {
        self.field("tags").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    fn completions(self) -> Option<u64> {
        self.field("completions")?.as_u64()
    }
}

/// The raw name of the project that a `run.json` names.
pub fn project_in(record: &[u8]) -> Option<String> {
    let record: Value = serde_json::from_slice(record).ok()?;
    RunRecord(Some(&record)).text("project").map(str::to_owned)
}

/// One attempt at a point.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedAttempt {
    /// The point.
    pub index: u64,
    /// The pod's name.
    pub pod: String,
    /// The start and end, as the pod wrote them.
    pub(crate) began: String,
    ended: Option<String>,
    /// The exit code; `None` if the attempt was killed before it could record one.
    pub code: Option<i64>,
    /// How the attempt ended.
    pub ended_by: Option<EndedBy>,
    /// How many bytes the attempt printed; the log may have fewer.
    pub printed: Option<u64>,
}

impl RecordedAttempt {
    /// Reads the report in `file`, whose name contains the point and the pod.
    fn of(file: &str, report: &Report) -> Option<Self> {
        let is_one = parts(file) == Some((report.index, &report.pod)) && report.began.parse::<DateTime<Utc>>().is_ok();
        is_one.then(|| Self {
            index: report.index,
            pod: report.pod.clone(),
            began: report.began.clone(),
            ended: report.ended.clone(),
            code: report.code,
            ended_by: report.ended_by,
            printed: report.printed,
        })
    }

    /// Whether the attempt recorded its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The first part of the attempt's log in the run's folder.
    pub fn log(&self) -> String {
        format!("{}.{}.log", self.index, self.pod)
    }
}

/// The folder of a run's files, below the volume's root.
pub fn folder(run: &str) -> String {
    format!("{RUNS}/{run}")
}

/// The folder of a run's files, for a run whose folder in the storage has this path; `None` if the path is not a
/// run's folder.
pub fn of_run(path: &[u8]) -> Option<String> {
    RunName::given(std::str::from_utf8(path).ok()?).map(|run| folder(run.as_str()))
}

/// Whether a file in a run's folder is a record of the run.
pub fn is_record(file: &str) -> bool {
    file.strip_suffix(".json").is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'))
}

/// The point and the pod of a record, by its file name.
fn parts(file: &str) -> Option<(u64, &str)> {
    let (number, rest) = file.split_once('.')?;
    let pod = rest.strip_suffix(".json").filter(|pod| is_dns_label(pod))?;
    let index: u64 = number.parse().ok().filter(|index| *index < MOST)?;
    (index.to_string() == number).then_some((index, pod))
}

/// The point of a record, by its file name.
pub(crate) fn index_of(file: &str) -> Option<u64> {
    parts(file).map(|(index, _)| index)
}

impl Kept {
    /// Starts with the file that describes the run. Without it, the number of points is unknown.
    pub fn of(record: Option<&[u8]>) -> Self {
        let record =
            record.and_then(|text| lenient_json::parse(&String::from_utf8_lossy(text))).filter(Value::is_object);
        Self { record, attempts: Vec::new() }
    }

    fn record(&self) -> RunRecord<'_> {
        RunRecord(self.record.as_ref())
    }

    /// Whether the file that describes the run was read.
    pub fn has_record(&self) -> bool {
        self.record.is_some()
    }

    /// Whether a file name can be that of a record of the run.
    pub fn admits(&self, file: &str) -> bool {
        index_of(file).is_some_and(|index| self.points().is_none_or(|points| index < points))
    }

    /// Adds the report in `file`. Returns whether it is a report of an attempt at a point of the run: others can
    /// write files there too.
    pub fn add(&mut self, file: &str, report: &Report) -> bool {
        let attempt = RecordedAttempt::of(file, report).filter(|_| self.admits(file));
        let is_one = attempt.is_some();
        self.attempts.extend(attempt);
        is_one
    }

    /// Returns everything, or `None` if there is nothing.
    pub fn complete(mut self) -> Option<Self> {
        // all times are in UTC and have the same length
        self.attempts.sort_by(|a, b| (a.index, &a.began, &a.pod).cmp(&(b.index, &b.began, &b.pod)));
        (self.has_record() || !self.attempts.is_empty()).then_some(self)
    }

    /// The attempts, point by point, the oldest of each point first.
    pub fn attempts(&self) -> &[RecordedAttempt] {
        &self.attempts
    }

    /// The run `name`, as the cluster would show it.
    pub fn run(&self, name: &str, namespace: &str) -> Option<Run> {
        let pods = self.attempts.iter().map(|attempt| pod(attempt, name, namespace));
        let job = self.job(name, namespace);
        state::runs(pods.chain([job]).collect()).pop()
    }

    fn job(&self, name: &str, namespace: &str) -> Value {
        let record = self.record();
        let project = record.text("project").unwrap_or(namespace);
        let tags = record.tags();
        let mut labels = Map::new();
        labels.insert(MANAGED_BY.into(), "mrunner".into());
        labels.insert(PROJECT.into(), label_value(project).into());
        labels.insert(RUN.into(), name.into());
        labels.extend(tags.iter().filter_map(Value::as_str).map(|tag| (tag_label(tag), "true".into())));
        let first = self.attempts.iter().map(|a| a.began.as_str()).min();
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "uid": name,
                // the time of the submission is not stored
                "creationTimestamp": first,
                "labels": labels,
                "annotations": {
                    RAW_PROJECT: project,
                    RAW_EXPERIMENT: record.text("experiment"),
                    RAW_TAGS: Value::from(tags).to_string(),
                    IMAGE: record.text("image").unwrap_or_default(),
                    KEPT: folder(name),
                },
            },
            "spec": { "completions": self.completions() },
            "status": self.status(first),
        })
    }

    /// The number of points, if it is known.
    fn points(&self) -> Option<u64> {
        self.record().completions().map(|points| points.clamp(1, MOST))
    }

    /// The number of points, or the least possible number if it is unknown.
    fn completions(&self) -> u64 {
        self.points().unwrap_or_else(|| self.attempts.last().map_or(1, |attempt| attempt.index + 1))
    }

    fn status(&self, first: Option<&str>) -> Value {
        let mut succeeded: Vec<u64> = self.attempts.iter().filter(|a| a.code == Some(0)).map(|a| a.index).collect();
        succeeded.dedup();
        let done = succeeded.len() as u64;
        let last = self.attempts.iter().filter_map(|a| a.ended.as_deref().or(Some(&a.began))).max();
        let is_complete = self.points() == Some(done);
        let (kind, message) = match self.points() {
            Some(_) if is_complete => ("Complete", ""),
            Some(_) => ("Failed", "its Job was removed before all of it had ended"),
            None => ("Failed", "the file `run.json`, which says how many points the run has, can't be read"),
        };
        json!({
            "startTime": first,
            "completionTime": last.filter(|_| is_complete),
            "succeeded": done,
            "conditions": [{ "type": kind, "status": "True", "message": message, "lastTransitionTime": last }],
        })
    }
}

/// The pod of an attempt.
fn pod(attempt: &RecordedAttempt, run: &str, namespace: &str) -> Value {
    let status = match attempt.code {
        Some(code) => json!({
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            // as the cluster reports it for a pod
            "reason": (attempt.ended_by == Some(EndedBy::Limit)).then_some("DeadlineExceeded"),
            "containerStatuses": [{ "name": CONTAINER, "state": { "terminated": {
                "exitCode": code,
                "startedAt": attempt.began,
                "finishedAt": attempt.ended,
            } } }],
        }),
        None => json!({
            "phase": "Failed",
            "reason": "Killed",
            "message": "it was ended by force, or its node went, and its exit code is not known",
        }),
    };
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": attempt.pod,
            "namespace": namespace,
            "creationTimestamp": attempt.began,
            "labels": { RUN: run, "batch.kubernetes.io/job-completion-index": attempt.index.to_string() },
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": run, "uid": run }],
        },
        "status": status,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runs::state::Phase;

    const RUN_JSON: &str = r#"{"run":"train-1","project":"Vision","experiment":"train","tags":["two words"],"completions":2,"image":"r/vision@sha256:07"}"#;

    fn attempt(index: u64, pod: &str, began: &str, end: &str) -> String {
        format!(r#"{{"index":{index},"pod":"{pod}","began":"2026-11-24T22:{began}Z"{end}}}"#)
    }

    fn ended(at: &str, code: i64) -> String {
        format!(r#","ended":"2026-11-24T22:{at}Z","code":{code}"#)
    }

    /// Reads these files. Returns the run and the number of files that are not records.
    fn read(files: &[(&str, String)]) -> (Option<Kept>, usize) {
        let (run, others): (Vec<_>, Vec<_>) = files.iter().partition(|(file, _)| *file == RECORD);
        let mut kept = Kept::of(run.first().map(|(_, text)| text.as_bytes()));
        let odd = others.iter().filter(|(file, text)| {
            let report = Report::record(text.as_bytes());
            !report.is_some_and(|report| kept.add(file, &report))
        });
        let odd = odd.count();
        (kept.complete(), odd)
    }

    fn kept(files: &[(&str, String)]) -> Kept {
        let (kept, odd) = read(files);
        assert_eq!(odd, 0);
        kept.unwrap()
    }

    fn whole(files: &[(&str, String)]) -> Run {
        let run = [("run.json", RUN_JSON.to_owned())];
        kept(&[&run[..], files].concat()).run("train-1", "vision").unwrap()
    }

    #[test]
    fn a_run_that_succeeded_is_as_the_cluster_showed_it() {
        let run = whole(&[
            ("1.b.json", attempt(1, "b", "00:03", &ended("00:30", 0))),
            ("0.a.json", attempt(0, "a", "00:01", &ended("00:20", 1))),
            ("0.c.json", attempt(0, "c", "00:21", &ended("00:40", 0))),
        ]);
        assert_eq!((run.phase, run.done, run.why.as_deref()), (Phase::Succeeded, (2, 2), None));
        assert_eq!(
            (run.project.as_str(), run.namespace.as_str(), run.tags.as_slice()),
            ("Vision", "vision", &["two words".to_owned()][..])
        );
        assert_eq!(run.image, "r/vision@sha256:07");
        let time = |text: &str| Some(format!("2026-11-24T22:{text}Z").parse().unwrap());
        assert_eq!((run.created, run.span), (time("00:01"), (time("00:01"), time("00:40"))));
        assert_eq!(run.pods.len(), 3);
    }

    #[test]
    fn what_failed_is_told_in_the_same_words() {
        let why = |end: &str| {
            let run = whole(&[
                ("0.a.json", attempt(0, "a", "00:01", end)),
                ("1.b.json", attempt(1, "b", "00:00", &ended("00:09", 0))),
            ]);
            assert_eq!((run.phase, run.done), (Phase::Failed, (1, 2)));
            run.why.unwrap()
        };
        assert_eq!(why(&ended("00:02", 3)), "exit code 3");
        assert_eq!(why(&ended("00:02", 143)), "exit code 143: SIGTERM (asked to end)");
        assert_eq!(why(""), "Killed: it was ended by force, or its node went, and its exit code is not known");
        let run = whole(&[("0.a.json", attempt(0, "a", "00:01", &ended("00:02", 0)))]);
        assert_eq!(
            (run.phase, run.why.as_deref()),
            (Phase::Failed, Some("its Job was removed before all of it had ended"))
        );
    }

    #[test]
    fn logs_go_by_point_and_attempt() {
        let kept = kept(&[
            ("10.d.json", attempt(10, "d", "00:00", "")),
            ("2.c.json", attempt(2, "c", "00:09", "")),
            ("2.b.json", attempt(2, "b", "00:10", "")),
        ]);
        let pods: Vec<_> = kept.attempts().iter().map(|attempt| (attempt.index, attempt.pod.as_str())).collect();
        assert_eq!(pods, [(2, "c"), (2, "b"), (10, "d")]);
        // without `run.json`, the attempts are used
        let run = kept.run("train-1", "vision").unwrap();
        assert_eq!((run.done, run.project.as_str()), ((0, 11), "vision"));
    }

    #[test]
    fn what_was_told_to_end_is_not_done() {
        for (ended_by, words) in
            [("told", "exit code 143: SIGTERM (asked to end)"), ("limit", "it ran into its time limit")]
        {
            let end = format!("{},\"ended_by\":\"{ended_by}\",\"printed\":7", ended("00:20", 0));
            let kept = kept(&[("0.a.json", attempt(0, "a", "00:01", &end))]);
            assert_eq!((kept.attempts()[0].code, kept.attempts()[0].printed), (Some(143), Some(7)));
            let run = kept.run("train-1", "vision").unwrap();
            assert_eq!((run.phase, run.done, run.why.as_deref()), (Phase::Failed, (0, 1), Some(words)));
        }
    }

    #[test]
    fn what_follows_the_first_line_of_a_record_is_none_of_it() {
        let text = format!("{}\n{{\"a\": \"\u{fffd}", attempt(0, "a", "00:01", &ended("00:09", 0)));
        assert_eq!(kept(&[("0.a.json", text)]).attempts()[0].code, Some(0));
    }

    #[test]
    fn what_is_no_record_of_its_file_is_passed_over_and_counted() {
        assert_eq!(read(&[]), (None, 0));
        for record in ["{\"proj", "[]"] {
            assert!(!Kept::of(Some(record.as_bytes())).has_record());
        }
        let deep = "[".repeat(100_000);
        let of =
            |index: &str, pod: &str| format!(r#"{{"index":{index},"pod":"{pod}","began":"2026-11-24T22:00:00Z"}}"#);
        let files: Vec<(&str, String)> = vec![
            ("0.a.json", "[]".into()),
            ("0.a.json", deep.clone()),
            ("0.a.json", format!("{{\"index\":{deep}")),
            ("0.a.json", "\0".repeat(1000)),
            ("0.a.json", of("1", "a")),
            ("0.a.json", of("0", "b")),
            ("00.a.json", of("0", "a")),
            ("100000.a.json", of("100000", "a")),
            ("18446744073709551615.a.json", of("18446744073709551615", "a")),
            ("-1.a.json", of("-1", "a")),
            ("0...json", of("0", ".")),
            ("0.../../../x.json", of("0", "../../../x")),
            ("0.a.b.json", of("0", "a.b")),
            ("0.A.json", of("0", "A")),
            ("0.a.json", of("0", "a").replace("2026", "soon")),
        ];
        assert_eq!(read(&files), (None, files.len()));
        // a point that the run does not have
        let (kept, odd) = read(&[("run.json", RUN_JSON.to_owned()), ("2.a.json", of("2", "a"))]);
        assert_eq!((kept.unwrap().attempts().len(), odd), (0, 1));
        assert!(is_record("run.json") && is_record("0.a.json"));
        assert!(!is_record("0.a.log") && !is_record(".0.a.new") && !is_record(".json"));
    }

    #[test]
    fn the_record_of_a_run_makes_no_more_points_than_a_job_has() {
        let run = format!(r#"{{"completions":{}}}"#, u64::MAX);
        assert_eq!(kept(&[("run.json", run)]).run("train-1", "vision").unwrap().done, (0, MOST));
    }

    #[test]
    fn a_run_succeeded_only_if_it_is_known_how_many_points_it_has() {
        let done = [("0.a.json", attempt(0, "a", "00:01", &ended("00:02", 0)))];
        for record in [None, Some("{\"project\":\"vision\"}")] {
            let files: Vec<_> =
                record.iter().map(|text| ("run.json", (*text).to_owned())).chain(done.clone()).collect();
            let run = kept(&files).run("train-1", "vision").unwrap();
            let why = "the file `run.json`, which says how many points the run has, can't be read";
            assert_eq!((run.phase, run.done, run.why.as_deref()), (Phase::Failed, (1, 1), Some(why)));
        }
    }
}
