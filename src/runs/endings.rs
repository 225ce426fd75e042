//! How an attempt ended, from what is left of its pod. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::k8s::manifests::CONTAINER;
use crate::k8s::quantity::amount;
use crate::runs::faults::brief;
use crate::runs::pods::{self, By, Disruption, experiment, name_of};
use crate::runs::results::report::words;

/// Why a point failed that was ended by its time limit.
pub(crate) const TIME_LIMIT: &str = "it ran into its time limit";

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
            let words = kept.map_or(TIME_LIMIT.to_owned(), |name| {
                format!("the experiment ended with exit code 0, but container `{name}` kept the pod running into its time limit")
            });
            return Some(Self::failed(words));
        }
        // no disruption: it went over a limit of its own, and how its container ended is a consequence of that
        if status["reason"] == "Evicted" {
            return Some(over_limit(&brief(status["message"].as_str().unwrap_or_default())));
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

const WRITE_LESS: &str =
    "write less to the node's own disk (the image's folders, /tmp, printed lines); `$STORAGE_DIR` does not count";

/// One that its kubelet evicted, by its words: `Usage of EmptyDir volume "shm" exceeds the limit "1Gi"`, `Pod ephemeral
/// local storage usage exceeds the total limit of containers 1Gi`.
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

/// What holds a pod whose experiment has ended, in words: how that ended, and the containers.
pub fn held(pod: &Value) -> Option<String> {
    let pods::Stage::Held(code) = pods::Stage::of(pod) else { return None };
    let shown = |container: &Value| {
        let waits = container["state"]["waiting"]["reason"].as_str().map_or(String::new(), |why| format!(" ({why})"));
        format!("`{}`{waits}", name_of(container))
    };
    let names: Vec<String> = pods::holders(pod).map(shown).collect();
    let (what, keeps) = if names.len() == 1 { ("container", "keeps") } else { ("containers", "keep") };
    let own = experiment(pod).map(|own| exited(&own["state"]["terminated"]).words);
    // others of its words say what happened, and not how it ended
    let own =
        own.filter(|words| code != 0 && words.starts_with("exit code ")).unwrap_or_else(|| format!("exit code {code}"));
    Some(format!("the experiment ended with {own}, but {what} {} {keeps} the pod running", names.join(", ")))
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
    let ends = reported_ends(message);
    if ends.contains(&"limit") && !ends.contains(&"told") {
        if ends.iter().all(|end| *end == "limit") {
            return Ending::failed(TIME_LIMIT);
        }
        // of several points; the code of any other point's failure is its own
        if code == 143 {
            return Ending::failed("a point ran into its time limit");
        }
    }
    let words = match (ended["reason"].as_str().unwrap_or_default(), code) {
        ("OOMKilled", _) => "it ran out of memory; ask for more with `--mem`".to_owned(),
        ("StartError" | "ContainerCannotRun", _) => format!("its program can't be started: {}", brief(message)),
        // the kubelet keeps the end of a log where the container left no words of its own
        (_, code) => [Some(exit_code(code)), said(message)].into_iter().flatten().collect::<Vec<_>>().join(": "),
    };
    Ending::failed(words)
}

/// An exit code in words, with what it means.
pub(crate) fn exit_code(code: i64) -> String {
    meaning(code).map_or(format!("exit code {code}"), |meaning| format!("exit code {code}: {meaning}"))
}

/// What an exit code means by the custom of shells.
fn meaning(code: i64) -> Option<String> {
    match code {
        // the experiment's own program, or one that its script calls last
        126 => Some("a program can't be executed".to_owned()),
        127 => Some("a program was not found".to_owned()),
        _ => signal(code),
    }
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
            '\u{1b}' => match letters.next() {
                // to the letter that ends the sequence
                Some('[') => drop(letters.find(|c| ('\u{40}'..='\u{7e}').contains(c))),
                // a title, a link or the like: to BEL, or to ESC and the character after it
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

/// The attempts at each point that ended without success, the oldest first, by the number of their pod.
pub fn by_index(all: &[Value]) -> BTreeMap<u64, Vec<Ending>> {
    let mut endings: BTreeMap<u64, Vec<Ending>> = BTreeMap::new();
    for pod in all {
        if let Some(ending) = Ending::of(pod) {
            endings.entry(crate::runs::pods::index_of(pod)).or_default().push(ending);
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
mod tests;
