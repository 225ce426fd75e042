//! What a run left on its volume, for when its Job is gone: see `templates/wrapper.sh`.
//!
//! It is turned into the Job and the pods that the cluster would have shown, so that all that reads
//! those reads this as well.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use crate::loose;
use crate::names::{RunName, is_dns_label, label_value};
use crate::objects::job::CONTAINER;
use crate::objects::{IMAGE, KEPT, MANAGED_BY, PROJECT, RAW_EXPERIMENT, RAW_PROJECT, RAW_TAGS, RUN, tag_label};
use crate::results::report::{EndedBy, Report};
use crate::sweep::MOST;
use crate::watch::state::{self, Run};

/// The file that says what the run is.
pub(crate) const RECORD: &str = "run.json";

/// Where the folders of all runs are, below the volume's root.
pub(crate) const RUNS: &str = ".mrunner/runs";

/// A run by what it left.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    record: Value,
    attempts: Vec<Attempt>,
}

/// One start of a point.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Which point.
    pub index: u64,
    /// The pod's name.
    pub pod: String,
    /// When it began and ended, as the pod wrote it.
    pub(crate) began: String,
    ended: Option<String>,
    /// Its exit code; none if it was killed before it could be noted.
    pub code: Option<i64>,
    /// How it ended.
    pub ended_by: Option<EndedBy>,
    /// How many bytes it printed, of which the log may have less.
    pub printed: Option<u64>,
}

impl Attempt {
    /// The record in `file`, whose name says the point and the pod as well.
    fn of(file: &str, report: Report) -> Option<Self> {
        let Report { index, pod, began, ended, code, ended_by, printed, .. } = report;
        let named = file == format!("{index}.{pod}.json") && index < MOST && is_dns_label(&pod);
        let is_one = named && began.parse::<DateTime<Utc>>().is_ok();
        is_one.then_some(Self { index, pod, began, ended, code, ended_by, printed })
    }

    /// Whether it noted its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_some()
    }

    /// The first part of its log in the run's folder.
    pub fn log(&self) -> String {
        format!("{}.{}.log", self.index, self.pod)
    }
}

/// Where a run's files are, below the volume's root.
pub fn folder(run: &str) -> String {
    format!("{RUNS}/{run}")
}

/// Where the files of a run are whose folder in the storage has this path; `None` if no run's folder has.
pub fn of_run(path: &[u8]) -> Option<String> {
    RunName::given(std::str::from_utf8(path).ok()?).map(|run| folder(run.as_str()))
}

/// Whether a file in a run's folder is one of its records.
pub fn is_record(file: &str) -> bool {
    file.strip_suffix(".json").is_some_and(|stem| !stem.is_empty() && !stem.starts_with('.'))
}

/// The point whose record a file is, by its name.
pub(crate) fn index_of(file: &str) -> Option<u64> {
    file.split_once('.')?.0.parse().ok()
}

/// Whether a file is a record of the point `index`.
pub(crate) fn is_of(file: &str, index: u64) -> bool {
    index < MOST && file.strip_prefix(&format!("{index}.")).is_some_and(|rest| !rest.is_empty())
}

impl Kept {
    /// Reads the records of a run; `None` if there is none. One that can't be read is passed over, and `skip` is
    /// called with its name: a pod may have been killed while it wrote, and others can write there as well.
    pub fn parse<'a>(
        records: impl IntoIterator<Item = (&'a str, &'a [u8])>,
        mut skip: impl FnMut(&str),
    ) -> Option<Self> {
        let mut record = Value::Null;
        let mut attempts = Vec::new();
        for (file, text) in records {
            if file == RECORD {
                let value = loose::parse(&String::from_utf8_lossy(text)).filter(Value::is_object);
                value.map_or_else(|| skip(file), |value| record = value);
            } else {
                match Report::record(text).and_then(|report| Attempt::of(file, report)) {
                    Some(attempt) => attempts.push(attempt),
                    None => skip(file),
                }
            }
        }
        // the times are all in UTC and of one length
        attempts.sort_by(|a, b| (a.index, &a.began, &a.pod).cmp(&(b.index, &b.began, &b.pod)));
        (record.is_object() || !attempts.is_empty()).then_some(Self { record, attempts })
    }

    /// Its attempts, point by point, the oldest of each first.
    pub fn attempts(&self) -> &[Attempt] {
        &self.attempts
    }

    /// The run called `name`, as the cluster would show it.
    pub fn run(&self, name: &str, namespace: &str) -> Option<Run> {
        let pods = self.attempts.iter().map(|attempt| pod(attempt, name, namespace));
        let job = self.job(name, namespace);
        state::runs(pods.chain([job]).collect()).pop()
    }

    fn job(&self, name: &str, namespace: &str) -> Value {
        let record = &self.record;
        let project = record["project"].as_str().unwrap_or(namespace);
        let tags = record["tags"].as_array().cloned().unwrap_or_default();
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
                // when it was submitted is nowhere kept
                "creationTimestamp": first,
                "labels": labels,
                "annotations": {
                    RAW_PROJECT: project,
                    RAW_EXPERIMENT: record["experiment"],
                    RAW_TAGS: Value::from(tags.clone()).to_string(),
                    IMAGE: record["image"].as_str().unwrap_or_default(),
                    KEPT: folder(name),
                },
            },
            "spec": { "completions": self.completions() },
            "status": self.status(first),
        })
    }

    fn completions(&self) -> u64 {
        let highest = self.attempts.last().map_or(0, |attempt| attempt.index);
        self.record["completions"].as_u64().unwrap_or(highest + 1).clamp(1, MOST)
    }

    fn status(&self, first: Option<&str>) -> Value {
        let mut succeeded: Vec<u64> = self.attempts.iter().filter(|a| a.code == Some(0)).map(|a| a.index).collect();
        succeeded.dedup();
        let done = succeeded.len() as u64;
        let last = self.attempts.iter().filter_map(|a| a.ended.as_deref().or(Some(&a.began))).max();
        let mut status = json!({ "startTime": first, "succeeded": done });
        let condition = |kind: &str, message: &str| json!([{ "type": kind, "status": "True", "message": message, "lastTransitionTime": last }]);
        if done == self.completions() {
            status["completionTime"] = last.into();
            status["conditions"] = condition("Complete", "");
        } else {
            status["conditions"] = condition("Failed", "its Job was removed before all of it had ended");
        }
        status
    }
}

/// The pod of an attempt.
fn pod(attempt: &Attempt, run: &str, namespace: &str) -> Value {
    let status = match attempt.code {
        Some(code) => json!({
            "phase": if code == 0 { "Succeeded" } else { "Failed" },
            // as the cluster tells it of a pod
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
    use crate::watch::state::Phase;

    const RUN_JSON: &str = r#"{"run":"train-1","project":"Vision","experiment":"train","tags":["two words"],"completions":2,"image":"r/vision@sha256:07"}"#;

    fn attempt(index: u64, pod: &str, began: &str, end: &str) -> String {
        format!(r#"{{"index":{index},"pod":"{pod}","began":"2026-11-24T22:{began}Z"{end}}}"#)
    }

    fn ended(at: &str, code: i64) -> String {
        format!(r#","ended":"2026-11-24T22:{at}Z","code":{code}"#)
    }

    fn kept(files: &[(&str, String)]) -> Kept {
        Kept::parse(files.iter().map(|(name, text)| (*name, text.as_bytes())), |file| panic!("{file}")).unwrap()
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
        // without what the run is: by what its attempts say
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
        let skipped = |files: &[(&str, &[u8])]| {
            let mut skipped = Vec::new();
            let kept = Kept::parse(files.iter().copied(), |file| skipped.push(file.to_owned()));
            assert_eq!(kept, None);
            skipped
        };
        assert!(skipped(&[]).is_empty());
        let deep = "[".repeat(100_000);
        let of =
            |index: &str, pod: &str| format!(r#"{{"index":{index},"pod":"{pod}","began":"2026-11-24T22:00:00Z"}}"#);
        let files: Vec<(&str, String)> = vec![
            ("run.json", "{\"proj".into()),
            ("run.json", "[]".into()),
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
        let files: Vec<(&str, &[u8])> = files.iter().map(|(file, text)| (*file, text.as_bytes())).collect();
        assert_eq!(skipped(&files).len(), files.len());
        assert!(is_record("run.json") && is_record("0.a.json"));
        assert!(!is_record("0.a.log") && !is_record(".0.a.new") && !is_record(".json"));
    }

    #[test]
    fn the_record_of_a_run_makes_no_more_points_than_a_job_has() {
        let run = format!(r#"{{"completions":{}}}"#, u64::MAX);
        let run = Kept::parse([("run.json", run.as_bytes())], |_| {}).unwrap().run("train-1", "vision").unwrap();
        assert_eq!(run.done, (0, MOST));
    }
}
