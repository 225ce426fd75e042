//! The result of testing a volume: whether what one node writes is visible on another.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::k8s::claim::Claim;
use crate::k8s::manifests::PROVED;
use crate::k8s::manifests::helper_pod::state;
use crate::k8s::pod::{ContainerState, Pod, Terminated};
use crate::k8s::quantity::amount;
use crate::util::json;

/// How long two pods must have run at the same time before the volume counts as not shared. An NFS client asks the
/// server again after 60 s at most (nfs(5), `acregmax` and `acdirmax`).
pub const LEAST_OVERLAP: Duration = Duration::from_secs(75);

/// The message of a pod that waited longer than that for the other pod's file, see `templates/probe.sh`.
const NOT_SEEN: &str = "unseen";

/// The result, as stored in the claim's annotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The UID of the claim.
    pub claim: String,
    /// The volume that the claim was bound to.
    pub volume: String,
    /// The nodes of the pods.
    pub nodes: Vec<String>,
    /// Whether the nodes share the volume.
    pub shared: bool,
    /// The image of the pods, which is on these nodes.
    pub image: String,
    /// When, in RFC 3339.
    pub time: String,
}

impl Proof {
    /// The stored result of a claim, if it is about this claim and its current volume.
    pub fn of(claim: Claim) -> Option<Self> {
        let proof: Self = serde_json::from_str(claim.annotation(PROVED)?).ok()?;
        proof.is_about(claim).then_some(proof)
    }

    /// Whether the result is about this claim and its current volume.
    pub fn is_about(&self, claim: Claim) -> bool {
        claim.uid() == Some(&self.claim) && claim.volume_text() == Some(&self.volume)
    }
}

/// The image that a claim was proved with, whichever volume it had then.
pub fn proved_with(claim: Claim) -> Option<String> {
    let record: Value = serde_json::from_str(claim.annotation(PROVED)?).ok()?;
    json::text(&record, &["image"]).map(str::to_owned)
}

/// The result of the test pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The volume is shared and writable.
    Proved(ProbeReport),
    /// The nodes do not share the volume.
    Split(Vec<String>),
    /// A pod could not do this with the volume.
    Failed(String),
}

/// The judgement on the test pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// There is a result.
    Verdict(Verdict),
    /// The pods did not see each other's files, and did not run at the same time for long enough.
    Apart,
}

/// More facts from the pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeReport {
    /// The nodes of the pods.
    pub nodes: Vec<String>,
    /// The free space in bytes, if known.
    pub free: Option<u64>,
    /// The user and the owner of the files that the user created, if they differ.
    pub squashed: Option<(String, String)>,
}

/// Whether a test pod runs.
pub fn is_running(pod: &Value) -> bool {
    matches!(state(pod), ContainerState::Running(_))
}

/// The verdict, `None` as long as there is none. `together` tells whether all pods were seen to run at the same time
/// for as long as [`LEAST_OVERLAP`]; no time that a node or this machine tells counts, as their clocks may differ.
pub fn judge(pods: &[Value], wanted: usize, together: bool) -> Option<Judgement> {
    let nodes: Vec<String> = pods.iter().filter_map(|pod| Pod::of(pod).node()).map(str::to_owned).collect();
    let messages: Vec<&str> = pods.iter().filter_map(|pod| state(pod).terminated()).map(Terminated::message).collect();
    if let Some(what) = messages.iter().find_map(|words| in_words(words.trim().strip_prefix("failed ")?)) {
        return Some(Judgement::Verdict(Verdict::Failed(what.to_owned())));
    }
    if let Some(found) = messages.iter().find_map(|words| words.trim().strip_prefix("proved ")) {
        return Some(Judgement::Verdict(Verdict::Proved(found_in(found, nodes))));
    }
    let unseen = messages.iter().filter(|words| words.trim() == NOT_SEEN).count();
    if wanted < 2 || unseen < wanted {
        return None;
    }
    Some(if together { Judgement::Verdict(Verdict::Split(nodes)) } else { Judgement::Apart })
}

/// What a pod could not do; `None` for messages that are not the test's own, such as those of a runtime that could
/// not start it.
fn in_words(what: &str) -> Option<&'static str> {
    Some(match what {
        "folder" => "a folder could not be made in it",
        "write" => "a file could not be written to the disk",
        "rename" => "a file could not be renamed",
        "read" => "what was written was not what was read",
        "append" => "what was appended on one node did not arrive on the other",
        _ => return None,
    })
}

fn found_in(words: &str, nodes: Vec<String>) -> ProbeReport {
    let value = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let free = value("free").and_then(|text| text.split_once('*'));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an amount of bytes to be shown")]
    let free = free.and_then(|(blocks, size)| Some((amount(blocks)? * amount(size)?) as u64));
    let squashed = value("user").zip(value("owner")).filter(|(user, owner)| user != owner && !owner.is_empty());
    ProbeReport { nodes, free, squashed: squashed.map(|(user, owner)| (user.to_owned(), owner.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: &str, state: &Value) -> Value {
        json!({"spec": {"nodeName": node}, "status": {"containerStatuses": [
            {"name": "envoy", "state": {"running": {}}}, {"name": "helper", "state": state}]}})
    }

    fn ended(node: &str, words: &str) -> Value {
        pod(node, &json!({"terminated": {"message": words}}))
    }

    #[test]
    fn the_pods_words_are_the_verdict() {
        let pods = [ended("a", "proved owner=65534 user=1000 free=10*4096\n"), ended("b", "seen\n")];
        let Some(Judgement::Verdict(Verdict::Proved(found))) = judge(&pods, 2, false) else { panic!() };
        assert_eq!(found.nodes, ["a", "b"]);
        assert_eq!((found.free, found.squashed), (Some(40960), Some(("1000".into(), "65534".into()))));
        let own = [ended("a", "proved owner=1000 user=1000 free=*")];
        let Some(Judgement::Verdict(Verdict::Proved(found))) = judge(&own, 1, false) else { panic!() };
        assert_eq!((found.free, found.squashed), (None, None));
        let failed = [ended("a", "failed folder")];
        let expected = Verdict::Failed("a folder could not be made in it".into());
        assert_eq!(judge(&failed, 1, false), Some(Judgement::Verdict(expected)));
    }

    #[test]
    fn only_pods_that_looked_while_they_ran_together_tell_that_nothing_is_shared() {
        // whatever a node's clock says
        let running = |node: &str| pod(node, &json!({"running": {"startedAt": "2000-01-01T00:00:00Z"}}));
        let split = Some(Judgement::Verdict(Verdict::Split(vec!["a".into(), "b".into()])));
        for (pods, together, expected) in [
            ([running("a"), running("b")], true, None),
            ([running("a"), ended("b", "unseen\n")], true, None),
            ([ended("a", "unseen\n"), ended("b", "unseen\n")], true, split),
            ([ended("a", "unseen\n"), ended("b", "unseen\n")], false, Some(Judgement::Apart)),
            ([ended("a", "unseen\n"), ended("b", "seen\n")], true, None),
        ] {
            assert_eq!(judge(&pods, 2, together), expected, "{pods:?}");
        }
        assert_eq!(judge(&[ended("a", "unseen")], 2, true), None);
    }

    #[test]
    fn a_proof_is_about_one_claim_and_one_volume() {
        let proof = Proof {
            claim: "u".into(),
            volume: "v".into(),
            nodes: vec!["a".into()],
            shared: true,
            image: "i".into(),
            time: "2026-11-24T12:00:00Z".into(),
        };
        let text = serde_json::to_string(&proof).unwrap();
        let of = |uid: &str, volume: &str| {
            let claim =
                json!({"metadata": {"uid": uid, "annotations": {PROVED: text}}, "spec": {"volumeName": volume}});
            Proof::of(Claim::of(&claim))
        };
        assert_eq!((of("u", "v"), of("u", "w"), of("x", "v")), (Some(proof), None, None));
        assert_eq!(Proof::of(Claim::of(&json!({}))), None);
    }
}
