//! Whether a volume was tried: that what one node writes, another one sees.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::objects::PROVED;
use crate::quantity::amount;

/// How long two pods that run at the same time may take to see what the other wrote. A client of NFS asks
/// the server again after 60 s at the latest (nfs(5), `acdirmax`).
const UNSEEN_SECONDS: i64 = 75;

/// What was found, as the claim's annotation keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// The uid of the claim.
    pub claim: String,
    /// The volume that the claim was bound to.
    pub volume: String,
    /// The nodes that the pods were on.
    pub nodes: Vec<String>,
    /// Whether each saw what the other wrote.
    pub shared: bool,
    /// The image that the pods ran, which is on these nodes.
    pub image: String,
    /// When, in RFC 3339.
    pub time: String,
}

impl Proof {
    /// The proof that a claim carries, if it is about this claim and the volume that it has now.
    pub fn of(claim: &Value) -> Option<Self> {
        let text = claim["metadata"]["annotations"][PROVED].as_str()?;
        let proof: Self = serde_json::from_str(text).ok()?;
        proof.is_about(claim).then_some(proof)
    }

    /// Whether it is about this claim and the volume that it has now.
    pub fn is_about(&self, claim: &Value) -> bool {
        claim["metadata"]["uid"] == self.claim.as_str() && claim["spec"]["volumeName"] == self.volume.as_str()
    }
}

/// What the pods of a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The volume is what it should be.
    Proved(Found),
    /// What one node writes, the other does not see.
    Split(Vec<String>),
    /// A pod could not do this with it.
    Failed(String),
}

/// What else the pods saw.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The nodes that they were on.
    pub nodes: Vec<String>,
    /// How many bytes are free, if the pod could tell.
    pub free: Option<u64>,
    /// Who owns what the user `1` made, where that is somebody else.
    pub squashed: Option<(String, String)>,
}

/// The verdict, `None` as long as there is none.
pub fn judge(pods: &[Value], wanted: usize, now: DateTime<Utc>) -> Option<Verdict> {
    let nodes: Vec<String> =
        pods.iter().filter_map(|pod| pod["spec"]["nodeName"].as_str()).map(str::to_owned).collect();
    let state = |pod: &Value| pod["status"]["containerStatuses"][0]["state"].clone();
    let messages: Vec<String> =
        pods.iter().filter_map(|pod| state(pod)["terminated"]["message"].as_str().map(str::to_owned)).collect();
    if let Some(what) = messages.iter().find_map(|words| in_words(words.trim().strip_prefix("failed ")?)) {
        return Some(Verdict::Failed(what.to_owned()));
    }
    if let Some(found) = messages.iter().find_map(|words| words.trim().strip_prefix("proved ")) {
        return Some(Verdict::Proved(found_in(found, nodes)));
    }
    let running = |pod: &&Value| {
        let since = state(pod)["running"]["startedAt"].as_str().and_then(|t| t.parse::<DateTime<Utc>>().ok());
        since.is_some_and(|since| (now - since).num_seconds() > UNSEEN_SECONDS)
    };
    (wanted > 1 && pods.iter().filter(running).count() == wanted).then_some(Verdict::Split(nodes))
}

/// What a pod could not do; nothing for words that are none of its own, as those of a runtime that could not
/// start it.
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

fn found_in(words: &str, nodes: Vec<String>) -> Found {
    let value = |key: &str| words.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
    let free = value("free").and_then(|text| text.split_once('*'));
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an amount of bytes to be shown")]
    let free = free.and_then(|(blocks, size)| Some((amount(blocks)? * amount(size)?) as u64));
    let squashed = value("user").zip(value("owner")).filter(|(user, owner)| user != owner && !owner.is_empty());
    Found { nodes, free, squashed: squashed.map(|(user, owner)| (user.to_owned(), owner.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: &str, state: &Value) -> Value {
        json!({"spec": {"nodeName": node}, "status": {"containerStatuses": [{"state": state}]}})
    }

    fn ended(node: &str, words: &str) -> Value {
        pod(node, &json!({"terminated": {"message": words}}))
    }

    fn at(time: &str) -> DateTime<Utc> {
        time.parse().unwrap()
    }

    #[test]
    fn the_pods_words_are_the_verdict() {
        let now = at("2026-11-24T12:02:00Z");
        let pods = [ended("a", "proved owner=65534 user=1000 free=10*4096\n"), ended("b", "seen\n")];
        let Some(Verdict::Proved(found)) = judge(&pods, 2, now) else { panic!() };
        assert_eq!(found.nodes, ["a", "b"]);
        assert_eq!((found.free, found.squashed), (Some(40960), Some(("1000".into(), "65534".into()))));
        let own = [ended("a", "proved owner=1000 user=1000 free=*")];
        let Some(Verdict::Proved(found)) = judge(&own, 1, now) else { panic!() };
        assert_eq!((found.free, found.squashed), (None, None));
        let failed = [ended("a", "failed folder")];
        assert_eq!(judge(&failed, 1, now), Some(Verdict::Failed("a folder could not be made in it".into())));
    }

    #[test]
    fn only_pods_that_ran_together_for_long_tell_that_nothing_is_shared() {
        let running = |node: &str, since: &str| pod(node, &json!({"running": {"startedAt": since}}));
        let pods = [running("a", "2026-11-24T12:00:00Z"), running("b", "2026-11-24T12:00:30Z")];
        assert_eq!(judge(&pods, 2, at("2026-11-24T12:01:30Z")), None);
        let split = Some(Verdict::Split(vec!["a".into(), "b".into()]));
        assert_eq!(judge(&pods, 2, at("2026-11-24T12:01:46Z")), split);
        assert_eq!(judge(&pods[..1], 2, at("2026-11-24T13:00:00Z")), None);
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
        let claim = |uid: &str, volume: &str| json!({"metadata": {"uid": uid, "annotations": {PROVED: text}}, "spec": {"volumeName": volume}});
        assert_eq!(Proof::of(&claim("u", "v")), Some(proof));
        assert_eq!(Proof::of(&claim("u", "w")), None);
        assert_eq!(Proof::of(&claim("x", "v")), None);
        assert_eq!(Proof::of(&json!({})), None);
    }
}
