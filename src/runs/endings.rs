//! How an attempt ended, from the state of its pod. Pure.

use std::collections::BTreeMap;

use crate::k8s::manifests::CONTAINER;
use crate::k8s::pod::{ContainerStatus, Pod, PodPhase, Pods, Terminated, Waiting};
use crate::k8s::quantity::amount;
use crate::runs::faults::brief;
use crate::runs::pods::{self, By, Disruption, experiment};
use crate::runs::results::report::words;

/// The reason for a point that its time limit ended.
pub(crate) const TIME_LIMIT: &str = "it ran into its time limit";

/// How an attempt that did not succeed ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The kind of ending.
    pub how: How,
    /// The reason in words.
    pub words: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The log that says more.
    pub log: Option<ContainerLog>,
}

/// The log of a container that says more of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerLog {
    /// The container's pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Where in the words of the failure the last line of the log belongs.
    at: usize,
}

impl ContainerLog {
    /// The words of the failure with what the log ends with.
    pub fn add_to(&self, words: &str, log: &str) -> Option<String> {
        let (failure, more) = words.split_at_checked(self.at)?;
        Some(format!("{failure}: {}{more}", said(log)?))
    }
}

/// The kind of ending of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// Failed, which uses a retry.
    Failed,
    /// Ended by the cluster, which uses no retry.
    Disrupted(By),
    /// Ended by the cluster because the attempt used up a resource of its node.
    UsedUp(String),
}

impl Ending {
    /// The ending of a failed pod.
    pub fn of(pod: Pod) -> Option<Self> {
        if pod.phase() != Some(PodPhase::Failed) {
            return None;
        }
        let own = experiment(pod).and_then(ContainerStatus::terminated);
        if let Some(disruption) = Disruption::of(pod) {
            return Some(disrupted(disruption));
        }
        if pod.reason() == Some("DeadlineExceeded") {
            // an attempt that ended well was not ended by the limit
            let kept = own.filter(|own| own.exit_code() == Some(0)).and_then(|_| last_beside(pod));
            let words = kept.map_or(TIME_LIMIT.to_owned(), |name| {
                format!("the experiment ended with exit code 0, but container `{name}` kept the pod running into its time limit")
            });
            return Some(Self::failed(words));
        }
        // not a disruption: the pod exceeded its own limit, and its container ended because of that
        if pod.reason() == Some("Evicted") {
            return Some(over_limit(&brief(pod.message())));
        }
        if let Some(own) = own.filter(|own| own.exit_code() != Some(0)) {
            return Some(exited(own));
        }
        if let Some(ending) = before(pod).or_else(|| beside(pod, own.is_some())) {
            return Some(ending);
        }
        if let Some(reason) = pod.reason().filter(|reason| !reason.is_empty()) {
            return Some(Self::failed(with(reason, &brief(pod.message()))));
        }
        own.map(exited)
    }

    /// An ending that uses a retry.
    pub fn failed(words: impl Into<String>) -> Self {
        Self { how: How::Failed, words: words.into(), hint: None, log: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// What happened, as the end of a sentence whose subject is the attempt.
    pub fn sentence(&self) -> String {
        let verb = match &self.how {
            How::Failed => "failed",
            How::Disrupted(By::Preemption) => "was preempted",
            How::Disrupted(By::NodeGone) => "was lost with its node",
            How::Disrupted(_) | How::UsedUp(_) => "was evicted",
        };
        with(verb, &self.words)
    }

    /// Whether the ending uses no retry.
    pub fn is_free(&self) -> bool {
        self.how != How::Failed
    }
}

fn with(what: &str, words: &str) -> String {
    if words.is_empty() { what.to_owned() } else { format!("{what}: {words}") }
}

const WRITE_LESS: &str =
    "write less to the node's own disk (the image's folders, /tmp, printed lines); `$STORAGE_DIR` does not count";

/// The ending of a pod that its kubelet evicted, from the kubelet's message: `Usage of EmptyDir volume "shm"
/// exceeds the limit "1Gi"`, `Pod ephemeral local storage usage exceeds the total limit of containers 1Gi`.
fn over_limit(said: &str) -> Ending {
    let words = with("its pod was evicted", said.trim_end_matches('.'));
    let hint =
        if said.contains("EmptyDir volume \"shm\"") { "ask for a larger /dev/shm with `--shm`" } else { WRITE_LESS };
    Ending::failed(words).hint(hint)
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
        How::UsedUp(what) if what == "pids" => Some("start fewer processes and threads at once".to_owned()),
        How::UsedUp(_) => Some(WRITE_LESS.to_owned()),
        _ => None,
    };
    let words = said.strip_prefix("The ").map_or(said.to_owned(), |rest| format!("the {rest}"));
    Ending { how, words, hint, log: None }
}

/// The resource that a pod used up on its node, from the kubelet's message: `The node was low on resource: memory.
/// Threshold quantity: 100Mi, available: 9Mi. Container experiment was using 7Gi, request is 0, has larger
/// consumption of memory`.
fn shortage(message: &str) -> Option<&str> {
    let what = message.split_once("low on resource: ")?.1.split(['.', ' ', ',']).next()?;
    let number = |before: &str| {
        let text = message.split_once(before)?.1.split([',', ' ']).next()?;
        amount(text.trim_end_matches('.'))
    };
    let own = number(&format!("Container {CONTAINER} was using "))?;
    // a pod that used less than the node lacks did not cause the shortage
    let threshold = number("Threshold quantity: ").unwrap_or(0.0);
    (own >= threshold / 2.0).then_some(what)
}

/// The first failed container that runs before the experiment.
fn before(pod: Pod) -> Option<Ending> {
    let (container, ended) = pod.init_statuses().find_map(failed)?;
    Some(other(pod, "init container", container, ended, ""))
}

/// A container that failed, with its end.
fn failed(container: ContainerStatus<'_>) -> Option<(ContainerStatus<'_>, Terminated<'_>)> {
    Some((container, container.terminated().filter(|ended| ended.has_failed())?))
}

/// A failed container beside the experiment.
fn beside(pod: Pod, experiment_ended: bool) -> Option<Ending> {
    let (container, ended) = pods::others(pod).find_map(failed)?;
    let more = if experiment_ended {
        "; the experiment ended with exit code 0, but Kubernetes counts the pod as failed"
    } else {
        ""
    };
    Some(other(pod, "container", container, ended, more))
}

/// The ending caused by a container that mrunner did not add.
fn other(pod: Pod, what: &str, container: ContainerStatus, ended: Terminated, more: &str) -> Ending {
    let name = container.name();
    let code = ended.exit_code().unwrap_or_default();
    let reason = if ended.reason() == "OOMKilled" { " (out of memory)" } else { "" };
    let said = said(ended.message());
    let words = format!("{what} `{name}` failed: exit code {code}{reason}");
    let log = ContainerLog { pod: pod.name().to_owned(), container: name.to_owned(), at: words.len() };
    let log = Some(log).filter(|_| said.is_none());
    let said = said.map_or(String::new(), |said| format!(": {said}"));
    Ending {
        log,
        ..Ending::failed(format!("{words}{said}{more}"))
            .hint(format!("`{name}` is not of mrunner's making; see `{}`", pods::log_command(pod, name)))
    }
}

/// The container beside the experiment that is still running, or ended last.
fn last_beside(pod: Pod<'_>) -> Option<&str> {
    let ended = |c: &ContainerStatus| c.terminated().and_then(Terminated::finished);
    let alive = pods::holders(pod).next();
    alive.or_else(|| pods::others(pod).max_by_key(ended)).map(ContainerStatus::name)
}

/// What keeps a pod whose experiment has ended, in words: how the experiment ended, and the containers.
pub fn held(pod: Pod) -> Option<String> {
    let pods::Stage::Held(code) = pods::Stage::of(pod) else { return None };
    let shown = |container: ContainerStatus| {
        let waits = container.waiting().and_then(Waiting::reason).map_or(String::new(), |why| format!(" ({why})"));
        format!("`{}`{waits}", container.name())
    };
    let names: Vec<String> = pods::holders(pod).map(shown).collect();
    let (what, keeps) = if names.len() == 1 { ("container", "keeps") } else { ("containers", "keep") };
    // where its words say what happened, they do not say how it ended
    let own = experiment(pod).and_then(ContainerStatus::terminated).filter(|_| code != 0).and_then(exit_words);
    let own = own.unwrap_or_else(|| format!("exit code {code}"));
    Some(format!("the experiment ended with {own}, but {what} {} {keeps} the pod running", names.join(", ")))
}

/// The ending of the experiment's own container.
pub(super) fn exited(ended: Terminated) -> Ending {
    let code = ended.exit_code().unwrap_or(0);
    // as the runtime reports it: `exec /bin/sh: exec format error`
    if let Some(said) = is_foreign(ended.message()) {
        return Ending::failed(format!("exit code {code}: {said}"))
            .hint("the image is not for the node's platform: build or choose it for that (`--platform`)");
    }
    Ending::failed(happened(ended).unwrap_or_else(|| code_and_words(ended)))
}

/// The last words of a program that is not for the node's platform.
fn is_foreign(message: &str) -> Option<String> {
    said(message).filter(|said| said.ends_with("exec format error") && said.contains("exec "))
}

/// What ended a container, where that says more than its exit code.
fn happened(ended: Terminated) -> Option<String> {
    let ends = reported_ends(ended.message());
    if ends.contains(&"limit") && !ends.contains(&"told") {
        if ends.iter().all(|end| *end == "limit") {
            return Some(TIME_LIMIT.to_owned());
        }
        // with several points; the exit code of any other failed point is its own
        if ended.exit_code() == Some(143) {
            return Some("a point ran into its time limit".to_owned());
        }
    }
    match ended.reason() {
        "OOMKilled" => Some("it ran out of memory; ask for more with `--mem`".to_owned()),
        "StartError" | "ContainerCannotRun" => {
            Some(format!("its program can't be started: {}", brief(ended.message())))
        }
        _ => None,
    }
}

/// A container's exit code and its last words.
fn code_and_words(ended: Terminated) -> String {
    let code = ended.exit_code().unwrap_or(0);
    // if the container left no message, the kubelet stores the end of its log
    [Some(exit_code(code)), said(ended.message())].into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// The exit code and the last words of a container, unless something else says more of its end.
fn exit_words(ended: Terminated) -> Option<String> {
    match is_foreign(ended.message()) {
        Some(said) => Some(format!("exit code {}: {said}", ended.exit_code().unwrap_or(0))),
        None => happened(ended).is_none().then(|| code_and_words(ended)),
    }
}

/// An exit code in words, with its meaning.
pub(crate) fn exit_code(code: i64) -> String {
    meaning(code).map_or(format!("exit code {code}"), |meaning| format!("exit code {code}: {meaning}"))
}

/// The conventional meaning of an exit code in shells.
fn meaning(code: i64) -> Option<String> {
    match code {
        // the experiment's own program, or the last one that its script calls
        126 => Some("a program can't be executed".to_owned()),
        127 => Some("a program was not found".to_owned()),
        _ => signal(code),
    }
}

/// The signal in an exit code above 128, with its usual cause.
fn signal(code: i64) -> Option<String> {
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    let number = usize::try_from(code.checked_sub(128)?).ok()?;
    let name = match number.checked_sub(1)? {
        at if at < NAMES.len() => format!("SIG{}", NAMES[at]),
        // real-time signals
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
    // overwritten text is dropped
    let shown = |line: &str| line.split('\r').map(|text| plain(text).trim().to_owned()).rfind(|text| !text.is_empty());
    let last = words(message).filter(|line| !line.starts_with("{\"index\":")).rev().find_map(shown)?;
    Some(brief(&last))
}

/// How each point that is reported in a termination message ended: `exit`, `told` or `limit`.
fn reported_ends(message: &str) -> Vec<&str> {
    message.split('\n').filter_map(reported_end).collect()
}

/// How the point in one line ended. The line is `MARK INDEX CODE ENDED ...`; the mark is not checked, because the
/// result is only used for display.
fn reported_end(line: &str) -> Option<&str> {
    let mut words = line.splitn(5, ' ');
    let mark = words.next().filter(|mark| mark.len() == 10 && mark.bytes().all(|b| b.is_ascii_alphanumeric()));
    let numbers = mark.is_some() && words.next()?.parse::<u64>().is_ok() && words.next()?.parse::<u8>().is_ok();
    words.next().filter(|end| numbers && matches!(*end, "exit" | "told" | "limit"))
}

/// A text without terminal control sequences, and without a partial character at its beginning.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.trim_start_matches('\u{fffd}').chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1b}' => match letters.next() {
                // up to the letter that ends the sequence
                Some('[') => drop(letters.find(|c| ('\u{40}'..='\u{7e}').contains(c))),
                // a title, link or similar: up to BEL, or to ESC and the next character
                Some(']' | 'P' | 'X' | '^' | '_') => {
                    let end = letters.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                    if end == Some('\u{1b}') {
                        letters.next();
                    }
                }
                // a character set
                Some('(' | ')' | '#' | '%') => drop(letters.next()),
                _ => {}
            },
            '\u{8}' => drop(plain.pop()),
            c if c.is_control() && c != '\t' => {}
            c => plain.push(c),
        }
    }
    plain
}

/// The attempts at each point that ended without success, the oldest first, by the index of their pod.
pub fn by_index(all: Pods) -> BTreeMap<u64, Vec<Ending>> {
    let mut endings: BTreeMap<u64, Vec<Ending>> = BTreeMap::new();
    for pod in all {
        if let Some(ending) = Ending::of(pod) {
            endings.entry(pod.index()).or_default().push(ending);
        }
    }
    endings
}

/// How many attempts in a row may use up a resource of their nodes before another one is considered hopeless.
pub const USED_UP: usize = 3;

/// The resource that each of the last attempts used up, if there are enough such attempts.
pub fn used_up(endings: &[Ending]) -> Option<&Ending> {
    let last = endings.last()?;
    let same = |ending: &&Ending| matches!(ending.how, How::UsedUp(_)) && ending.how == last.how;
    (endings.iter().rev().take_while(same).count() >= USED_UP).then_some(last)
}

#[cfg(test)]
#[allow(clippy::needless_pass_by_value, reason = "reads better where they are called")]
mod tests;
