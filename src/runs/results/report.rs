//! What an attempt at a point left: a line in its pod's termination message, or its record on the volume. See
//! `templates/wrapper.sh`.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::Value;

use super::measured::{self, MetricLines};
use crate::k8s::job::Job;
use crate::k8s::manifests::CONTAINER;
use crate::k8s::pod::{ContainerStatus, Pod, Pods};
use crate::runs::lenient_json;
use std::collections::BTreeSet;

/// The byte that replaces line feeds in a report.
const RECORD_SEPARATOR: char = '\u{1e}';

/// The exit code of an interrupted experiment, even if the experiment returned 0.
const TOLD: i64 = 143;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndedBy {
    /// By itself.
    Exit,
    /// By a SIGTERM from outside.
    Told,
    /// By its time limit.
    Limit,
}

impl EndedBy {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "exit" => Some(Self::Exit),
            "told" => Some(Self::Told),
            "limit" => Some(Self::Limit),
            _ => None,
        }
    }
}

/// Where an attempt reported its metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsSource {
    /// In its `metrics.json`.
    File,
    /// In printed lines.
    Lines,
}

impl MetricsSource {
    fn parse(word: &str) -> Option<Self> {
        match word {
            "file" => Some(Self::File),
            "lines" => Some(Self::Lines),
            _ => None,
        }
    }
}

/// One report.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// The point.
    pub index: u64,
    /// The pod's name, if it is known.
    pub pod: String,
    /// The exit code; `None` while the attempt runs, or if it was killed before it could record one.
    pub code: Option<i64>,
    /// When the attempt started, in a record.
    pub began: String,
    /// When the attempt ended, in a record.
    pub ended: Option<String>,
    /// How the attempt ended.
    pub ended_by: Option<EndedBy>,
    /// How many bytes the attempt printed.
    pub printed: Option<u64>,
    /// The parameters, in a record.
    pub params: Option<Value>,
    /// The metrics.
    pub metrics: Option<Value>,
    /// Where the attempt reported them, and their size in bytes.
    pub source: Option<(MetricsSource, Option<u64>)>,
    /// Whether the volume has more metrics.
    pub more: bool,
    /// Why the metrics, or a part of them, were not used.
    pub why: Option<String>,
}

impl Report {
    /// The reports in a pod's termination message: the lines that begin with its run's `mark`, for the pod's own
    /// points `indexes`. Everything else in it is text.
    pub fn all(message: &str, mark: &str, indexes: &Range<u64>) -> Vec<Self> {
        let own = |report: &Self| indexes.contains(&report.index);
        message.split('\n').filter_map(|line| Self::line(marked(line, mark)?)).filter(own).collect()
    }

    /// The reports of a pod of `job`, from its container's message.
    pub fn of_pod(pod: Pod, job: Job) -> Vec<Self> {
        let Some(ended) = pod.status_of(CONTAINER).and_then(ContainerStatus::terminated) else { return Vec::new() };
        let mut all = Self::all(ended.message(), job.mark(), &job.points_of(pod.index()));
        // work of an earlier attempt is not this pod's
        for report in all.iter_mut().filter(|report| !report.is_of_another_attempt()) {
            pod.name().clone_into(&mut report.pod);
            ended.started_text().clone_into(&mut report.began);
        }
        all
    }

    /// A line without its mark: `INDEX CODE ENDED PRINTED KIND TOTAL BYTES`.
    fn line(text: &str) -> Option<Self> {
        let mut words = text.splitn(7, ' ');
        let mut report = Self {
            index: words.next()?.parse().ok()?,
            code: Some(words.next()?.parse::<u8>().ok()?.into()),
            ended_by: Some(EndedBy::parse(words.next()?)?),
            printed: words.next()?.parse().ok(),
            ..Self::default()
        };
        let (kind, total) = (words.next()?, words.next()?.parse().ok());
        report.source = MetricsSource::parse(kind).map(|source| (source, total));
        let bytes = words.next().unwrap_or_default().replace(RECORD_SEPARATOR, "\n");
        report.measured(bytes.as_bytes());
        report.more |= kind == "record";
        report.why = report.why.take().or(unkept(kind));
        Some(report.sound())
    }

    /// Whether the report only says that an earlier attempt finished the point; that attempt's report is elsewhere.
    fn is_of_another_attempt(&self) -> bool {
        self.more && self.source.is_none()
    }

    /// Reads a record: one line of JSON, followed by the bytes of the metrics. Records of older versions are a
    /// single JSON document, which invalid metrics may break.
    pub fn record(bytes: &[u8]) -> Option<Self> {
        // anything can write here, of any size
        if !bytes.starts_with(b"{") {
            return None;
        }
        let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
        // the experiment's own bytes may not be valid text
        let text = String::from_utf8_lossy(&bytes[..end]);
        let (value, broken) = if let Some(value) = lenient_json::parse(&text) {
            (value, false)
        } else {
            let before = text.find(r#","metrics":"#).map(|at| format!("{}}}", &text[..at]))?;
            (lenient_json::parse(&before)?, true)
        };
        let field = |name: &str| value.get(name).filter(|field| !field.is_null());
        let text = |name: &str| field(name).and_then(Value::as_str);
        let number = |name: &str| field(name).and_then(Value::as_u64);
        let mut report = Self {
            index: number("index")?,
            pod: text("pod").unwrap_or_default().to_owned(),
            // no process ends with another code
            code: field("code").and_then(Value::as_i64).filter(|code| (0..=255).contains(code)),
            began: text("began").unwrap_or_default().to_owned(),
            ended: text("ended").map(str::to_owned),
            ended_by: text("ended_by").and_then(EndedBy::parse),
            printed: number("printed"),
            params: field("params").cloned(),
            ..Self::default()
        };
        if let Some(source) = text("metrics_from").and_then(MetricsSource::parse) {
            report.source = Some((source, number("metrics_size")));
            report.measured(bytes.get(end + 1..).unwrap_or_default());
        } else if let Some(metrics) = field("metrics").filter(|_| !broken) {
            report.why = (!metrics.is_object()).then(not_one);
            report.metrics = Some(metrics.clone()).filter(Value::is_object);
        } else if broken {
            report.why = Some(not_one());
        }
        report.why = report.why.take().or(text("metrics_from").and_then(unkept));
        Some(report.sound())
    }

    /// Checks the reported metrics.
    fn measured(&mut self, bytes: &[u8]) {
        let Some((source, total)) = self.source else { return };
        let whole = total.is_some_and(|total| total == bytes.len() as u64);
        self.more = !whole;
        match source {
            MetricsSource::File if whole => match measured::file(bytes) {
                Ok(object) => self.metrics = Some(object.into()),
                Err(why) => self.why = Some(why),
            },
            MetricsSource::File => {}
            MetricsSource::Lines => {
                let mut lines = MetricLines::default();
                lines.push(bytes);
                lines.end_line();
                let (metrics, why) = lines.told();
                (self.metrics, self.why) = (metrics.map(Value::Object), why);
            }
        }
    }

    /// An interrupted attempt is not done, whatever its exit code is.
    fn sound(mut self) -> Self {
        if self.code == Some(0) && matches!(self.ended_by, Some(EndedBy::Told | EndedBy::Limit)) {
            self.code = Some(TOLD);
        }
        self
    }

    /// The report of each point; several attempts are combined with [`Self::with`].
    pub(crate) fn of_points(reports: impl IntoIterator<Item = Self>) -> BTreeMap<u64, Self> {
        let mut all: BTreeMap<u64, Self> = BTreeMap::new();
        for report in reports {
            let best = match all.remove(&report.index) {
                Some(known) => known.with(report),
                None => report,
            };
            all.insert(best.index, best);
        }
        all
    }

    /// Combines two reports of one point: the succeeded attempt is used, or else the last one.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        let outdone = (self.code == Some(0), &self.began) <= (other.code == Some(0), &other.began);
        let (mut best, rest) = if outdone { (other, self) } else { (self, other) };
        let unknown = best.pod.is_empty() || rest.pod.is_empty();
        let same = best.pod == rest.pod || (unknown && best.code == rest.code);
        let says = rest.metrics.is_some() || rest.why.is_some();
        if same && says && (best.metrics.is_none() || best.more) && (best.why.is_none() || best.more) {
            (best.metrics, best.why, best.more) = (rest.metrics, rest.why, rest.more);
        }
        if same {
            best.printed = best.printed.or(rest.printed);
            best.ended_by = best.ended_by.or(rest.ended_by);
            best.source = best.source.or(rest.source);
        }
        best.params = best.params.or(rest.params);
        best
    }
}

fn not_one() -> String {
    "its metrics are not a JSON object".to_owned()
}

/// Why printed metrics were not used, if this kind of report says so.
fn unkept(kind: &str) -> Option<String> {
    let why = "no metrics.json, and printed metrics are read from the kept log only, which is missing (`keep_logs`)";
    (kind == "unkept").then(|| why.to_owned())
}

/// The rest of a line after the mark.
fn marked<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    if mark.is_empty() { None } else { line.strip_prefix(mark)?.strip_prefix(' ') }
}

/// The text in a termination message: its lines without the reports of any run.
pub fn words(message: &str) -> impl DoubleEndedIterator<Item = &str> {
    let is_mark = |word: &str| word.len() == 10 && word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let reports = move |line: &str| {
        line.split_once(' ').is_some_and(|(word, rest)| is_mark(word) && Report::line(rest).is_some())
    };
    message.lines().filter(move |line| !reports(line))
}

/// The numbers of a Job's succeeded points; if a pod runs several, from its reports.
pub fn succeeded(job: Job, pods: Pods) -> BTreeSet<u64> {
    let (points, each) = job.packing();
    let done = job.completed_indexes();
    let mut all: BTreeSet<u64> = (0..points).filter(|point| done.contains(point / each)).collect();
    if each > 1 {
        let reports = pods.iter().flat_map(|pod| Report::of_pod(pod, job));
        all.extend(reports.filter(|report| report.code == Some(0)).map(|report| report.index));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::k8s::manifests::{POINTS, POINTS_PER_POD};
    use crate::k8s::object::with;
    use serde_json::json;

    const MARK: &str = "k3v9zq2m4t";

    fn all(message: &str) -> Vec<Report> {
        Report::all(message, MARK, &(4..8))
    }

    #[test]
    fn a_message_is_a_line_for_each_point() {
        let all = all(&format!(
            "{MARK} 4 0 exit 120 file 14 {{\"loss\":\u{1e} NaN}}\n{MARK} 5 1 exit - - - \n{MARK} 6 143 told 9 file 70000 \n{MARK} 7 0 exit 1 lines 40 mrunner: {{\"a\":1}}\u{1e}\nTraceback\n"
        ));
        let told: Vec<_> = all.iter().map(|r| (r.index, r.code, r.more, r.printed)).collect();
        assert_eq!(
            told,
            [
                (4, Some(0), false, Some(120)),
                (5, Some(1), false, None),
                (6, Some(143), true, Some(9)),
                (7, Some(0), true, Some(1))
            ]
        );
        assert_eq!(all[0].metrics, Some(json!({"loss": "NaN"})));
        assert_eq!((&all[1].source, &all[1].metrics), (&None, &None));
        assert_eq!((all[2].source, all[2].ended_by), (Some((MetricsSource::File, Some(70_000))), Some(EndedBy::Told)));
        assert_eq!((all[3].source, &all[3].metrics), (Some((MetricsSource::Lines, Some(40))), &Some(json!({"a": 1}))));
    }

    #[test]
    fn nobody_else_reports() {
        for message in [
            // text printed by an experiment, and a report of another version
            "{\"index\":4,\"code\":0,\"metrics\":{\"a\":1}}",
            // another run's mark, no mark, a part of it, and one within a line
            "k3v9zq2m4u 4 0 exit 1 - - ",
            " 4 0 exit 1 - - ",
            "k3v9zq2m4t4 0 exit 1 - - ",
            "x k3v9zq2m4t 4 0 exit 1 - - ",
            // a point of another pod
            "k3v9zq2m4t 8 0 exit 1 - - ",
            "k3v9zq2m4t 3 0 exit 1 - - ",
            // not a line of the wrapper
            "k3v9zq2m4t 4 0 fine 1 - - ",
            "k3v9zq2m4t 4 256 exit 1 - - ",
            "k3v9zq2m4t 4 -1 exit 1 - - ",
            "k3v9zq2m4t 4",
        ] {
            assert_eq!(all(message), [], "{message}");
        }
        assert_eq!(Report::all(" 4 0 exit 1 - - ", "", &(0..9)), []);
        assert_eq!(words("k3v9zq2m4t 4 1 exit 1 - - \noh\nno\n").collect::<Vec<_>>(), ["oh", "no"]);
        assert_eq!(words("oh\nk3v9zq2m4t 4 1 exited").next_back(), Some("k3v9zq2m4t 4 1 exited"));
    }

    #[test]
    fn what_was_told_to_end_is_not_done() {
        for ended in ["told", "limit"] {
            assert_eq!(all(&format!("{MARK} 4 0 {ended} 1 - - "))[0].code, Some(143));
            let record = format!(r#"{{"index":4,"pod":"p","began":"1","ended":"2","code":0,"ended_by":"{ended}"}}"#);
            assert_eq!(Report::record(record.as_bytes()).unwrap().code, Some(143));
        }
    }

    #[test]
    fn a_record_is_a_line_and_the_bytes_behind_it() {
        let of = |end: &str| {
            let head = r#"{"index":3,"pod":"p","began":"1","ended":"2","code":0,"ended_by":"exit","printed":7,"params":{"lr":1}"#;
            Report::record(format!("{head}{end}").as_bytes()).unwrap()
        };
        let report = of(",\"metrics_from\":\"file\",\"metrics_size\":9}\n{\n\"a\": 1}");
        assert_eq!((report.metrics, report.printed, report.more), (Some(json!({"a": 1})), Some(7), false));
        assert_eq!((report.params, report.ended_by), (Some(json!({"lr": 1})), Some(EndedBy::Exit)));
        let report = of(",\"metrics_from\":\"file\",\"metrics_size\":8}\n{'a': 1}");
        assert_eq!(
            (report.metrics, report.why.as_deref()),
            (None, Some("metrics.json is not a JSON object (line 1: single quotes)"))
        );
        let report = of(",\"metrics_from\":\"file\",\"metrics_size\":100000}\n");
        assert_eq!((report.metrics, report.why, report.more), (None, None, true));
        let lines = of(",\"metrics_from\":\"lines\",\"metrics_size\":34}\nmrunner: {\"a\":1}\nmrunner: {\"b\":2}\n");
        assert_eq!((lines.metrics, lines.more), (Some(json!({"a": 1, "b": 2})), false));
        assert_eq!(of("}\n").source, None);
        for (code, expected) in
            [("255", Some(255)), ("256", None), ("-1", None), ("1000000000000000000", None), ("0.0", None)]
        {
            let record = format!(r#"{{"index":3,"pod":"p","began":"1","ended":"2","code":{code}}}"#);
            assert_eq!(Report::record(record.as_bytes()).unwrap().code, expected, "{code}");
        }
    }

    #[test]
    fn broken_metrics_of_an_older_version_break_nothing_else() {
        for text in [
            r#"{"index":3,"code":0,"metrics":{"accuracy": }}"#,
            r#"{"index":3,"code":0,"metrics":[1]}"#,
            r#"{"index":3,"code":0,"metrics":0.5}"#,
            r#"{"index":3,"code":0,"metrics":}}}"#,
        ] {
            let report = Report::record(text.as_bytes()).unwrap();
            assert_eq!((report.index, report.code, report.metrics), (3, Some(0), None), "{text}");
            assert_eq!(report.why.as_deref(), Some("its metrics are not a JSON object"));
        }
        let none = Report::record(br#"{"index":3,"code":0,"metrics":null}"#).unwrap();
        assert!(none.metrics.is_none() && none.why.is_none());
        assert_eq!(Report::record(b"{\"code\":0}"), None);
        assert_eq!(Report::record(br#"{"index":0,"metrics":{"a":1}}"#).unwrap().metrics, Some(json!({"a": 1})));
    }

    #[test]
    fn the_attempt_that_succeeded_counts() {
        let of = |code: &str, began: &str| {
            Report::record(format!(r#"{{"index":0,"began":"{began}"{code}}}"#).as_bytes()).unwrap()
        };
        let (good, late) = (of(r#","code":0"#, "1"), of(r#","code":1"#, "2"));
        assert_eq!((good.clone().with(late.clone()), late.clone().with(good.clone())), (good.clone(), good));
        assert_eq!(of("", "1").with(late.clone()), late);
        let short = Report::all(&format!("{MARK} 0 0 exit 1 file 7 {{\"a\":1}}"), MARK, &(0..1)).remove(0);
        assert_eq!(short.with(of(r#","code":0"#, "2")).metrics, Some(json!({"a": 1})));
        // a record has more room than a message
        let part = format!("{MARK} 0 0 exit 1 lines 34 mrunner: {{\"b\":2}}\u{1e}");
        let part = Report::all(&part, MARK, &(0..1)).remove(0);
        let whole = "{\"index\":0,\"pod\":\"p\",\"began\":\"1\",\"code\":0,\"metrics_from\":\"lines\",\"metrics_size\":34}\nmrunner: {\"a\":1}\nmrunner: {\"b\":2}\n";
        let both = part.with(Report::record(whole.as_bytes()).unwrap());
        assert_eq!((both.metrics, both.more), (Some(json!({"a": 1, "b": 2})), false));
        // the metrics of one attempt do not belong to another
        let of = |pod: &str, began: &str, metrics: &str| {
            let text = format!(r#"{{"index":0,"pod":"{pod}","began":"{began}","code":1{metrics}}}"#);
            Report::record(text.as_bytes()).unwrap()
        };
        let late = of("b", "2", "");
        assert_eq!(of("a", "1", r#","metrics":{"a":1}"#).with(late.clone()), late);
    }

    fn packed() -> Value {
        json!({
            "metadata": { "annotations": { POINTS: "10", POINTS_PER_POD: "4" } },
            "spec": { "completions": 3, "template": { "spec": { "containers": [{ "name": "experiment",
                "env": [{ "name": "MRUNNER_MARK", "value": "k3v9zq2m4t" }] }] } } },
            "status": { "completedIndexes": "0,2" },
        })
    }

    fn told(index: u64, message: &str) -> Value {
        json!({
            "metadata": { "labels": { "batch.kubernetes.io/job-completion-index": index.to_string() } },
            "status": { "containerStatuses": [{ "name": "experiment", "state": { "terminated": { "message": message } } }] },
        })
    }

    #[test]
    fn a_pod_that_failed_tells_which_of_its_points_have_not() {
        let message = "k3v9zq2m4t 4 0 exit 1 - - \nk3v9zq2m4t 5 3 exit 1 - - \nk3v9zq2m4t 6 0 told 1 - - \n";
        // a pod can't report for another pod's points, and the end of a log is no report
        let pods = [
            told(1, message),
            told(1, "{\"index\":7,\"code\":0}\nk3v9zq2m4t 10 0 exit 1 - - "),
            told(0, "k3v9zq2m4t 7 0 exit 1 - - "),
        ];
        let all: Vec<u64> = succeeded(Job::of(&packed()), Pods::of(&pods)).into_iter().collect();
        assert_eq!(all, [0, 1, 2, 3, 4, 8, 9]);
    }

    #[test]
    fn a_point_for_each_completion_is_told_by_the_job_alone() {
        let job = json!({ "spec": { "completions": 6 }, "status": { "completedIndexes": "1,3-5" } });
        assert_eq!(Job::of(&job).packing(), (6, 1));
        assert_eq!(
            succeeded(Job::of(&job), Pods::of(&[told(2, "k3v9zq2m4t 2 0 exit 1 - - ")]))
                .into_iter()
                .collect::<Vec<_>>(),
            [1, 3, 4, 5]
        );
        assert!(succeeded(Job::of(&json!({})), Pods::of(&[])).is_empty());
    }

    #[test]
    fn no_more_points_have_succeeded_than_there_are() {
        let endless = with(&packed(), &["status", "completedIndexes"], format!("0-{}", u64::MAX));
        assert_eq!(succeeded(Job::of(&endless), Pods::of(&[])).len(), 10);
    }
}
