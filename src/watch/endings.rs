//! How an attempt ended, from what is left of its pod. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::objects::job::CONTAINER;
use crate::quantity::amount;
use crate::results::report::words;
use crate::watch::faults::brief;
use crate::watch::pods::{self, By, Disruption, experiment, name_of};

/// How an attempt ended that did not succeed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What happened to it.
    pub how: How,
    /// Why, in words.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The pod and the container whose log says more.
    pub log: Option<(String, String)>,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It failed, which costs a retry.
    Failed,
    /// The cluster ended it, which costs none.
    Disrupted(By),
    /// The same, as it used up what its node has of something.
    UsedUp(String),
}

impl Ending {
    /// That of a pod that has failed.
    pub fn of(pod: &Value) -> Option<Self> {
        let status = &pod["status"];
        if status["phase"] != "Failed" {
            return None;
        }
        let own = experiment(pod).map(|c| &c["state"]["terminated"]).filter(|t| t.is_object());
        if let Some(disruption) = Disruption::of(pod) {
            return Some(disrupted(disruption));
        }
        if status["reason"] == "DeadlineExceeded" {
            // one that ended well was not ended by the limit
            let kept = own.filter(|own| own["exitCode"] == 0).and_then(|_| last_beside(pod));
            let words = kept.map_or("it ran into its time limit".to_owned(), |name| {
                format!("the experiment ended with exit code 0, but container `{name}` kept the pod running into its time limit")
            });
            return Some(Self::failed(words));
        }
        if let Some(own) = own.filter(|own| own["exitCode"] != 0) {
            return Some(exited(own));
        }
        if let Some(ending) = before(pod).or_else(|| beside(pod, own.is_some())) {
            return Some(ending);
        }
        if let Some(reason) = status["reason"].as_str().filter(|reason| !reason.is_empty()) {
            return Some(Self::failed(with(reason, &brief(status["message"].as_str().unwrap_or_default()))));
        }
        own.map(exited)
    }

    /// One that costs a retry.
    pub fn failed(words: impl Into<String>) -> Self {
        Self { how: How::Failed, words: words.into(), hint: None, log: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What happened, as the end of a sentence that begins with the attempt.
    pub fn sentence(&self) -> String {
        let verb = match &self.how {
            How::Failed => "failed",
            How::Disrupted(By::Preemption) => "was preempted",
            How::Disrupted(By::NodeGone) => "was lost with its node",
            How::Disrupted(_) | How::UsedUp(_) => "was evicted",
        };
        with(verb, &self.words)
    }

    /// Whether it costs no retry.
    pub fn is_free(&self) -> bool {
        self.how != How::Failed
    }
}

fn with(what: &str, words: &str) -> String {
    if words.is_empty() { what.to_owned() } else { format!("{what}: {words}") }
}

fn disrupted(disruption: Disruption) -> Ending {
    let said = brief(disruption.message);
    let said = said.trim_end_matches('.');
    let how = match (disruption.by, shortage(said)) {
        (By::Kubelet, Some(what)) => How::UsedUp(what.to_owned()),
        (by, _) => How::Disrupted(by),
    };
    let hint = match &how {
        How::UsedUp(what) if what == "memory" => {
            Some("ask for the memory that it needs with `--mem`, so that it gets a node that has it".to_owned())
        }
        How::UsedUp(_) => Some(
            "write less to the node's own disk (the image's folders, /tmp, printed lines); `$STORAGE_DIR` does not count"
                .to_owned(),
        ),
        _ => None,
    };
    let words = said.strip_prefix("The ").map_or(said.to_owned(), |rest| format!("the {rest}"));
    Ending { how, words, hint, log: None }
}

/// Of what a node ran short by the pod's own use, by what its kubelet says:
/// `The node was low on resource: memory. Threshold quantity: 100Mi, available: 9Mi. Container experiment was using
/// 7Gi, request is 0, has larger consumption of memory`.
fn shortage(message: &str) -> Option<&str> {
    let what = message.split_once("low on resource: ")?.1.split(['.', ' ', ',']).next()?;
    let number = |before: &str| {
        let text = message.split_once(before)?.1.split([',', ' ']).next()?;
        amount(text.trim_end_matches('.'))
    };
    let own = number(&format!("Container {CONTAINER} was using "))?;
    // who used less than the node lacks did not bring it about
    let threshold = number("Threshold quantity: ").unwrap_or(0.0);
    (own >= threshold / 2.0).then_some(what)
}

/// The first container before the experiment's that failed.
fn before(pod: &Value) -> Option<Ending> {
    let failed = |c: &&Value| c["state"]["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0);
    let container = pods::before(pod).find(failed)?;
    Some(other(pod, "init container", container, ""))
}

/// A container beside the experiment's that failed.
fn beside(pod: &Value, experiment_ended: bool) -> Option<Ending> {
    let failed = |c: &&Value| c["state"]["terminated"]["exitCode"].as_i64().is_some_and(|code| code != 0);
    let container = pods::others(pod).find(failed)?;
    let more = if experiment_ended {
        "; the experiment ended with exit code 0, but Kubernetes counts the pod as failed"
    } else {
        ""
    };
    Some(other(pod, "container", container, more))
}

/// That a container failed that is not ours.
fn other(pod: &Value, what: &str, container: &Value, more: &str) -> Ending {
    let name = name_of(container);
    let ended = &container["state"]["terminated"];
    let code = ended["exitCode"].as_i64().unwrap_or_default();
    let reason = ended["reason"].as_str().filter(|reason| *reason == "OOMKilled").map_or("", |_| " (out of memory)");
    let said = said(ended["message"].as_str().unwrap_or_default());
    let log = said.is_none().then(|| (pods::name(pod).to_owned(), name.to_owned()));
    let said = said.map_or(String::new(), |said| format!(": {said}"));
    let ending = Ending::failed(format!("{what} `{name}` failed: exit code {code}{reason}{said}{more}"));
    Ending {
        log,
        ..ending.hint(format!("`{name}` is not of mrunner's making; see `{}`", pods::log_command(pod, name)))
    }
}

/// The words of a failure with what the container's log ends with.
pub fn with_log(words: &str, log: &str) -> Option<String> {
    let said = said(log)?;
    let (code, more) = words.split_once(';').map_or((words, String::new()), |(code, more)| (code, format!(";{more}")));
    Some(format!("{code}: {said}{more}"))
}

/// The container beside the experiment's that ended last, or has not.
fn last_beside(pod: &Value) -> Option<&str> {
    let ended = |c: &&Value| c["state"]["terminated"]["finishedAt"].as_str().map(str::to_owned);
    let alive = pods::holders(pod).next();
    alive.or_else(|| pods::others(pod).max_by_key(ended)).map(name_of)
}

/// The end of the experiment's own container.
pub(super) fn exited(ended: &Value) -> Ending {
    let code = ended["exitCode"].as_i64().unwrap_or(0);
    let message = ended["message"].as_str().unwrap_or_default();
    // as the runtime says it: `exec /bin/sh: exec format error`
    if let Some(said) = said(message).filter(|said| said.ends_with("exec format error") && said.contains("exec ")) {
        return Ending::failed(format!("exit code {code}: {said}"))
            .hint("the image is not for the node's platform: build or choose it for that (`--platform`)");
    }
    if let [end] = reported_ends(message).as_slice()
        && *end == "limit"
    {
        return Ending::failed("it ran into its time limit");
    }
    let signal = signal(code);
    let words = match (ended["reason"].as_str().unwrap_or_default(), code) {
        ("OOMKilled", _) => "it ran out of memory; ask for more with `--mem`".to_owned(),
        ("StartError" | "ContainerCannotRun", _) => format!("its program can't be started: {}", brief(message)),
        (_, 126) => "exit code 126: its program can't be executed".to_owned(),
        (_, 127) => "exit code 127: its program was not found in the image".to_owned(),
        // the kubelet keeps the end of a log where the container left no words of its own
        (_, code) => [Some(format!("exit code {code}")), signal, said(message)]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(": "),
    };
    Ending::failed(words)
}

/// The signal in an exit code of 128 and more, as a shell makes it, and what it often means.
fn signal(code: i64) -> Option<String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    let number = usize::try_from(code.checked_sub(128)?).ok()?;
    let name = match number.checked_sub(1)? {
        at if at < NAMES.len() => format!("SIG{}", NAMES[at]),
        // those of real time
        33..64 => format!("signal {number}"),
        _ => return None,
    };
    let often = match number {
        6 => " (abort)",
        7 => " (bus error), often for lack of shared memory (`--shm`)",
        8 => " (arithmetic error)",
        9 => " (killed), often for lack of memory (`--mem`)",
        11 => " (segmentation fault)",
        15 => " (asked to end)",
        _ => "",
    };
    Some(name + often)
}

/// The last line that a program wrote, as a terminal would show it, without the reports of points.
pub fn said(message: &str) -> Option<String> {
    // what was written over is gone
    let shown = |line: &str| line.split('\r').map(|text| plain(text).trim().to_owned()).rfind(|text| !text.is_empty());
    let last = words(message).filter(|line| !line.starts_with("{\"index\":")).rev().find_map(shown)?;
    Some(brief(&last))
}

/// How each point that is reported in a termination message ended: `exit`, `told` or `limit`.
fn reported_ends(message: &str) -> Vec<&str> {
    message.split('\n').filter_map(reported_end).collect()
}

/// The same of one line, `MARK INDEX CODE ENDED ...`, whatever its mark: it is only shown or not.
fn reported_end(line: &str) -> Option<&str> {
    let mut words = line.splitn(5, ' ');
    let mark = words.next().filter(|mark| mark.len() == 10 && mark.bytes().all(|b| b.is_ascii_alphanumeric()));
    let numbers = mark.is_some() && words.next()?.parse::<u64>().is_ok() && words.next()?.parse::<u8>().is_ok();
    words.next().filter(|end| numbers && matches!(*end, "exit" | "told" | "limit"))
}

/// A text without what only moves or colours it on a terminal, and without half a character at its beginning.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.trim_start_matches('\u{fffd}').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' if letters.next_if_eq(&'[').is_some() => {
                // to the letter that ends the sequence
                letters.find(|c| ('\u{40}'..='\u{7e}').contains(c));
            }
            '\u{8}' => drop(plain.pop()),
            c if c.is_control() && c != '\t' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// The attempts at each point that ended without success, the oldest first, by the number of their pod.
pub fn by_index(all: &[Value]) -> BTreeMap<u64, Vec<Ending>> {
    let mut endings: BTreeMap<u64, Vec<Ending>> = BTreeMap::new();
    for pod in all {
        if let Some(ending) = Ending::of(pod) {
            endings.entry(crate::watch::state::index_of(pod)).or_default().push(ending);
        }
    }
    endings
}

/// How often an attempt may use up what its node has of something before there is no hope in another one.
pub const USED_UP: usize = 3;

/// What the last attempts used up, each of them, if there are so many.
pub fn used_up(endings: &[Ending]) -> Option<&Ending> {
    let last = endings.last()?;
    let same = |ending: &&Ending| matches!(ending.how, How::UsedUp(_)) && ending.how == last.how;
    (endings.iter().rev().take_while(same).count() >= USED_UP).then_some(last)
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "reads better where they are called")]
mod tests {
    use super::*;
    use serde_json::json;

    fn ended(name: &str, code: i64, more: Value) -> Value {
        let mut terminated = json!({"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }});
        for (key, value) in more.as_object().into_iter().flatten() {
            terminated[key] = value.clone();
        }
        json!({"name": name, "state": {"terminated": terminated}})
    }

    fn failed(own: Value) -> Value {
        json!({"metadata": {"name": "a-0-x", "namespace": "p"}, "status": {"phase": "Failed", "containerStatuses": [own]}})
    }

    fn words(pod: &Value) -> String {
        Ending::of(pod).unwrap().words
    }

    fn exit(code: i64) -> String {
        words(&failed(ended(CONTAINER, code, json!({}))))
    }

    #[test]
    fn a_signal_has_its_name() {
        assert_eq!(exit(1), "exit code 1");
        assert_eq!(exit(134), "exit code 134: SIGABRT (abort)");
        assert_eq!(exit(135), "exit code 135: SIGBUS (bus error), often for lack of shared memory (`--shm`)");
        assert_eq!(exit(136), "exit code 136: SIGFPE (arithmetic error)");
        assert_eq!(exit(137), "exit code 137: SIGKILL (killed), often for lack of memory (`--mem`)");
        assert_eq!(exit(139), "exit code 139: SIGSEGV (segmentation fault)");
        assert_eq!(exit(143), "exit code 143: SIGTERM (asked to end)");
        assert_eq!(exit(159), "exit code 159: SIGSYS");
        assert_eq!(exit(130), "exit code 130: SIGINT");
        assert_eq!(exit(168), "exit code 168: signal 40");
        for code in [128, 160, 161, 193, 255, 126 + 256] {
            assert_eq!(exit(code), format!("exit code {code}"));
        }
        let said = words(&failed(ended(CONTAINER, 139, json!({"message": "loading\n"}))));
        assert_eq!(said, "exit code 139: SIGSEGV (segmentation fault): loading");
    }

    #[test]
    fn the_last_words_are_what_a_terminal_would_show() {
        let said = |text: &str| said(text).unwrap_or_default();
        assert_eq!(said("Traceback\nValueError: x\n\n"), "ValueError: x");
        assert_eq!(
            said("\u{fffd}\u{fffd}###  | 84/100\rTraining: 85%|###\rTraining: 100%|####| 100/100 [00:01]\r"),
            "Training: 100%|####| 100/100 [00:01]"
        );
        assert_eq!(said("first\r\nsecond\r\n"), "second");
        assert_eq!(said("\u{1b}[32m 10%\u{1b}[0m\r\u{1b}[2K\u{1b}[1;31mERROR\u{1b}[0m no\n\r\n"), "ERROR no");
        assert_eq!(said("\u{fffd}▊| 9/9"), "▊| 9/9");
        assert_eq!(said("1%\u{8}\u{8}2%"), "2%");
        assert_eq!(said("{\"index\":0,\"code\":1}"), "");
        assert_eq!(
            (said("k3v9zq2m4t 4 1 exit 1 - - \n"), said("k3v9zq2m4t 4 1 exit 1 - - \noh")),
            (String::new(), "oh".to_owned())
        );
        assert_eq!(said(&"x".repeat(5000)).chars().count(), 601);
        assert_eq!(said("\r\r\n \n"), "");
        assert_eq!(said("no luck\nabcdefghij 3 1 exit 20 file 8 {}\n"), "no luck");
        assert_eq!(said("{\"index\":0,\"code\":1}\nabcdefghij 3 1 exit 20 - -"), "");
        assert_eq!(said("abcdefghij it ended"), "abcdefghij it ended");
    }

    #[test]
    fn another_container_that_failed_is_named() {
        let mut pod = failed(ended(CONTAINER, 0, json!({})));
        let statuses = pod["status"]["containerStatuses"].as_array_mut().unwrap();
        statuses.insert(0, ended("istio-proxy", 5, json!({})));
        let ending = Ending::of(&pod).unwrap();
        assert_eq!(
            ending.words,
            "container `istio-proxy` failed: exit code 5; the experiment ended with exit code 0, but Kubernetes counts the pod as failed"
        );
        assert_eq!(ending.log, Some(("a-0-x".to_owned(), "istio-proxy".to_owned())));
        assert_eq!(
            with_log(&ending.words, "a\nno xds\n").unwrap(),
            "container `istio-proxy` failed: exit code 5: no xds; the experiment ended with exit code 0, but Kubernetes counts the pod as failed"
        );
        assert_eq!(
            ending.hint.unwrap(),
            "`istio-proxy` is not of mrunner's making; see `kubectl logs -n p a-0-x -c istio-proxy`"
        );
        // the experiment's own failure comes first
        pod["status"]["containerStatuses"][1] = ended(CONTAINER, 3, json!({}));
        assert_eq!(words(&pod), "exit code 3");
        let init = json!({"metadata": {"name": "a-0-x"}, "status": {"phase": "Failed",
            "initContainerStatuses": [ended("istio-init", 0, json!({})), ended("istio-validation", 126, json!({"message": "iptables validation failed\n"}))],
            "containerStatuses": [{"name": CONTAINER, "state": {"waiting": {"reason": "PodInitializing"}}}]}});
        assert_eq!(words(&init), "init container `istio-validation` failed: exit code 126: iptables validation failed");
    }

    #[test]
    fn a_sidecar_may_take_the_time_limit() {
        let mut pod = failed(ended(CONTAINER, 0, json!({})));
        pod["status"]["reason"] = "DeadlineExceeded".into();
        assert_eq!(words(&pod), "it ran into its time limit");
        pod["status"]["containerStatuses"].as_array_mut().unwrap().push(ended("istio-proxy", 0, json!({})));
        assert_eq!(
            words(&pod),
            "the experiment ended with exit code 0, but container `istio-proxy` kept the pod running into its time limit"
        );
        pod["status"]["containerStatuses"][0] = ended(CONTAINER, 143, json!({}));
        assert_eq!(words(&pod), "it ran into its time limit");
        let told = json!({"message": "abcdefghij 0 143 limit 20 - - \n"});
        assert_eq!(words(&failed(ended(CONTAINER, 143, told))), "it ran into its time limit");
    }

    const LOW: &str = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 9Gi. Container experiment was using 200Gi, request is 0, has larger consumption of ephemeral-storage. ";

    fn evicted(reason: &str, message: &str) -> Value {
        let mut pod = failed(ended(CONTAINER, 137, json!({})));
        pod["status"]["reason"] = "Evicted".into();
        pod["status"]["conditions"] =
            json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]);
        pod
    }

    #[test]
    fn an_eviction_is_told_from_one_of_its_own_making() {
        let ending = Ending::of(&evicted("TerminationByKubelet", LOW)).unwrap();
        assert_eq!(ending.how, How::UsedUp("ephemeral-storage".to_owned()));
        assert!(
            ending.sentence().starts_with("was evicted: the node was low on resource: ephemeral-storage. Threshold"),
            "{ending:?}"
        );
        assert!(ending.is_free() && ending.hint.is_some());
        let little = LOW.replace("200Gi", "2Mi");
        assert_eq!(Ending::of(&evicted("TerminationByKubelet", &little)).unwrap().how, How::Disrupted(By::Kubelet));
        let other = LOW.replace("Container experiment", "Container istio-proxy");
        assert_eq!(Ending::of(&evicted("TerminationByKubelet", &other)).unwrap().how, How::Disrupted(By::Kubelet));
        let preempted = Ending::of(&evicted(
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
        ))
        .unwrap();
        assert_eq!(
            preempted.sentence(),
            "was preempted: default-scheduler: preempting to accommodate a higher priority pod"
        );
        assert_eq!(
            Ending::of(&evicted("EvictionByEvictionAPI", "Eviction API: evicting")).unwrap().sentence(),
            "was evicted: Eviction API: evicting"
        );
    }

    #[test]
    fn the_third_time_in_a_row_there_is_no_hope() {
        let low = Ending::of(&evicted("TerminationByKubelet", LOW)).unwrap();
        let memory = Ending::of(&evicted("TerminationByKubelet", &LOW.replace("ephemeral-storage", "memory"))).unwrap();
        let drained = Ending::of(&evicted("EvictionByEvictionAPI", "Eviction API: evicting")).unwrap();
        assert_eq!(used_up(&[low.clone(), low.clone()]), None);
        assert_eq!(used_up(&[low.clone(), low.clone(), low.clone()]), Some(&low));
        assert_eq!(used_up(&[low.clone(), low.clone(), memory, low.clone()]), None);
        assert_eq!(used_up(&[drained.clone(), drained.clone(), drained]), None);
    }

    #[test]
    fn a_pod_says_why_it_failed() {
        assert!(words(&failed(ended(CONTAINER, 137, json!({"reason": "OOMKilled"})))).contains("memory"));
        let deadline = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}});
        assert_eq!(words(&deadline), "it ran into its time limit");
        let admitted =
            json!({"status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed"}});
        assert_eq!(words(&admitted), "UnexpectedAdmissionError: Allocate failed");
        let platform =
            Ending::of(&failed(ended(CONTAINER, 1, json!({"message": "exec /bin/sh: exec format error"})))).unwrap();
        assert_eq!(platform.words, "exit code 1: exec /bin/sh: exec format error");
        assert!(platform.hint.unwrap().contains("--platform"));
        assert_eq!(Ending::of(&json!({"status": {"phase": "Running"}})), None);
    }
}
