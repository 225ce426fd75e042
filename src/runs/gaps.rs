//! Finds missing parts of a followed log: the beginning if it is followed late, and parts that the node dropped
//! before they were read.

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::k8s::manifests::CONTAINER;
use crate::k8s::names::Namespace;
use crate::k8s::pod::Pod;
use crate::runs::lines::{LATE, VERY_LATE};
use crate::runs::logs::{Position, Sink};
use crate::runs::pods::container_state;
use crate::runs::printed;
use crate::runs::state::Run;
use crate::tools::cluster::Cluster;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, REQUEST_TIMEOUT, Scope};
use crate::tools::shell::Shell;
use crate::util::ui::{Ui, size};

/// The shell command that prints the size of the first part of a pod's stored log, then its beginning.
const KEPT: &str = r#"f=$STORAGE_DIR/.mrunner/runs/$MRUNNER_RUN/$1; wc -c <"$f" && head -c 512 "$f""#;

/// The most that the command prints.
const ANSWER: usize = 1024;

/// The first part of the log that a pod stores.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirstPart {
    /// The size in bytes.
    pub(crate) size: u64,
    /// The first bytes.
    pub(crate) beginning: Vec<u8>,
}

impl FirstPart {
    /// Asks a pod that runs one point, with [`first_part_of`]; `None` if it can't be asked, or has none.
    ///
    /// # Errors
    /// If the user interrupted.
    pub(crate) fn ask(shell: &Shell, cmd: &Cmd) -> Result<Option<Self>> {
        // the pod's own `sh` may print without end
        Ok(shell.read_at_most(cmd, ANSWER)?.and_then(|answer| Self::parse(&answer)))
    }

    fn parse(answer: &[u8]) -> Option<Self> {
        let (size, beginning) = answer.split_at(answer.iter().position(|byte| *byte == b'\n')?);
        let size = std::str::from_utf8(size).ok()?.trim().parse().ok()?;
        Some(Self { size, beginning: beginning[1..].to_vec() })
    }
}

/// Asks a pod that runs one point for the first part of the log that it keeps.
pub(crate) fn first_part_of(pod: Pod, kubectl: &Kubectl, namespace: &Namespace) -> Cmd {
    let name = pod.name();
    let file = format!("{}.{name}.log", pod.index());
    let cmd = kubectl.cmd(Scope::In(namespace), "see how much a pod has kept of its log");
    cmd.args(["exec", name, "-c", CONTAINER, "--", "sh", "-c", KEPT, "mrunner", &file]).deadline(REQUEST_TIMEOUT)
}

/// A pod whose log may have lost its beginning.
#[derive(Debug)]
pub(crate) struct Doubt {
    pod: Value,
    run: String,
    namespace: Namespace,
    shell: Shell,
    kubectl: Kubectl,
    /// Whether the pod stores its log.
    keeps: bool,
    is_told: bool,
}

/// The pods of a run of one point that started before they were followed.
pub(crate) fn doubts(run: &Run, cluster: Cluster) -> BTreeMap<String, Doubt> {
    let Some(namespace) = Namespace::given(&run.namespace) else { return BTreeMap::new() };
    if run.is_sweep() || run.job().packing().1 > 1 {
        return BTreeMap::new();
    }
    let doubt = |pod: Pod| Doubt {
        pod: pod.json().clone(),
        run: run.name.clone(),
        namespace: namespace.clone(),
        shell: cluster.shell.clone(),
        kubectl: cluster.kubectl.clone(),
        keeps: printed::keeps(run.job()),
        is_told: false,
    };
    let begun = run.pods().iter().filter(|pod| container_state(*pod).0);
    begun.map(|pod| (pod.name().to_owned(), doubt(pod))).collect()
}

/// Passes a log on, and warns if its beginning is lost.
pub(crate) struct Onward<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) doubt: Option<&'a mut Doubt>,
}

impl Sink for Onward<'_> {
    fn take(&mut self, bytes: &[u8], position: &Position) -> Result<()> {
        self.ui.pass_on(bytes)?;
        if let Some(doubt) = self.doubt.take_if(|doubt| !doubt.is_told) {
            doubt.is_told = true;
            let late = printed::lateness(Pod::of(&doubt.pod), position.first());
            if doubt.keeps && late > LATE {
                doubt.look(self.ui.clone(), position.clone(), late);
            } else if late > VERY_LATE {
                self.ui.warn(begins_late(Pod::of(&doubt.pod).name(), late, "nothing was kept in the storage"));
            }
        }
        Ok(())
    }
}

impl Doubt {
    /// Asks the pod how its log began, without delaying the log.
    fn look(&self, ui: Ui, position: Position, late: Duration) {
        let (shell, kubectl) = (self.shell.clone(), self.kubectl.clone());
        let (namespace, pod, run) = (self.namespace.clone(), self.pod.clone(), self.run.clone());
        thread::spawn(move || {
            let pod = Pod::of(&pod);
            let Ok(first) = FirstPart::ask(&shell, &first_part_of(pod, &kubectl, &namespace)) else { return };
            let name = pod.name();
            match first {
                Some(first) if position.begins_as(&first.beginning) && (first.size > 0 || late <= VERY_LATE) => {}
                Some(first) if first.size > 0 => ui.warn(format!(
                    "the node no longer has the beginning of the log of `{name}`; {}",
                    the_kept(namespace.as_str(), &run)
                )),
                Some(_) => ui.warn(begins_late(name, late, "nothing was kept in the storage")),
                None if late > VERY_LATE => {
                    let words = begins_late(name, late, "the pod does not say what it kept");
                    ui.warn(format!("{words}; {}", the_kept(namespace.as_str(), &run)));
                }
                None => {}
            }
        });
    }
}

/// The warning for a log that starts this long after its container, if it is unknown whether earlier lines are
/// lost.
pub(crate) fn begins_late(pod: &str, late: Duration, storage: &str) -> String {
    format!(
        "the log of `{pod}` begins {} s after its start: what it may have printed before is not shown, as its node \
         keeps only the last part of a long log, and {storage}",
        late.as_secs()
    )
}

/// The command that shows the stored logs of a run, which may be incomplete.
fn the_kept(namespace: &str, run: &str) -> String {
    format!("what the storage kept of it: `kubectl mrunner logs -n {namespace} {run}`")
}

/// The warning if less was shown than the pods of a run printed, as far as that is known. `read` has each pod with
/// the position that was read, and whether that is its end.
pub(crate) fn missing<'a>(run: &Run, read: impl Iterator<Item = (&'a str, &'a Position, bool)>) -> Option<String> {
    let pods: BTreeMap<&str, Pod> = run.pods().iter().map(|pod| (pod.name(), pod)).collect();
    let (mut all, mut lacks) = (0_u64, 0_u64);
    let (mut short, mut gone, mut broken) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    let mut torn = BTreeSet::new();
    // for a pod that was read in two ways, the later one counts
    let read: BTreeMap<&str, (&Position, bool)> =
        read.map(|(name, position, whole)| (name, (position, whole))).collect();
    for (name, (position, is_complete)) in read {
        let passed = position.passed();
        match pods.get(name).map(|pod| printed::printed(run.job(), *pod)) {
            Some(Some(printed)) if printed.bytes > passed.bytes && !passed.lacks_only_returns(printed.bytes) => {
                short.insert(name);
                all = printed.bytes.saturating_add(all);
                lacks = (printed.bytes - passed.bytes).saturating_add(lacks);
            }
            // repeated lines would hide missing ones
            Some(_) if position.was_torn() => drop(torn.insert(name)),
            Some(None) if position.was_broken() => drop(broken.insert(name)),
            None if !is_complete => drop(gone.insert(name)),
            _ => {}
        }
    }
    let whose = |pods: &BTreeSet<&str>| match pods.first() {
        Some(pod) if pods.len() == 1 => format!("`{pod}`"),
        _ => format!("{} pods", pods.len()),
    };
    let mut words = Vec::new();
    if !short.is_empty() {
        let (lacks, all) = (size(lacks), size(all));
        words.push(format!("{lacks} of the {all} that {} printed are missing here", whose(&short)));
    }
    if !torn.is_empty() {
        words.push(format!("parts of long lines of {} may be missing here, or come twice", whose(&torn)));
    }
    if !broken.is_empty() {
        words.push(format!("lines of {} may be missing here", whose(&broken)));
    }
    if !gone.is_empty() {
        words.push(format!("the last lines of {} may be missing here", whose(&gone)));
    }
    let keeps = printed::keeps(run.job());
    let way = if keeps { format!("; {}", the_kept(&run.namespace, &run.name)) } else { String::new() };
    (!words.is_empty()).then(|| words.join(", ") + &way)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_is_read_from_what_the_pod_says() {
        let part = |size, beginning: &str| Some(FirstPart { size, beginning: beginning.into() });
        assert_eq!(FirstPart::parse(b"  12\nhello\nyou"), part(12, "hello\nyou"));
        assert_eq!(FirstPart::parse(b"0\n"), part(0, ""));
        for other in [&b""[..], b"12", b"x\ny", b"-1\n"] {
            assert_eq!(FirstPart::parse(other), None);
        }
    }
}
