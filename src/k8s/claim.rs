//! A view of `PersistentVolumeClaim`s. Pure.

use serde_json::Value;
use std::fmt;

use crate::k8s::manifests::claim::AccessMode;
use crate::k8s::manifests::{PROJECT_UID, RAW_PROJECT};
use crate::k8s::names::VolumeName;
use crate::k8s::object::{list, text, view};
use crate::k8s::quantity::{Quantity, amount};

view! {
    /// A claim.
    Claim
}

/// The phase of a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimPhase {
    /// It has no volume yet.
    Pending,
    /// It has its volume.
    Bound,
    /// Its volume is gone.
    Lost,
}

impl ClaimPhase {
    /// The word that Kubernetes uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Bound => "Bound",
            Self::Lost => "Lost",
        }
    }
}

impl<'a> Claim<'a> {
    /// Its phase.
    pub fn phase(self) -> Option<ClaimPhase> {
        let told = text(self.json(), &["status", "phase"]);
        [ClaimPhase::Pending, ClaimPhase::Bound, ClaimPhase::Lost]
            .into_iter()
            .find(|phase| told == Some(phase.as_str()))
    }

    /// The access mode.
    pub fn modes(self) -> AccessModes<'a> {
        AccessModes(list(self.json(), &["spec", "accessModes"]))
    }

    /// The class of its volume, if it names one.
    pub fn class(self) -> Option<&'a str> {
        text(self.json(), &["spec", "storageClassName"]).filter(|class| !class.is_empty())
    }

    /// The volume that it is bound to.
    pub fn volume(self) -> Option<VolumeName> {
        VolumeName::given(self.volume_text()?)
    }

    /// The same as the API server writes it.
    pub fn volume_text(self) -> Option<&'a str> {
        text(self.json(), &["spec", "volumeName"])
    }

    /// How much it asks for.
    pub fn requested(self) -> Option<&'a str> {
        text(self.json(), &["spec", "resources", "requests", "storage"])
    }

    /// Whether it asks for less than `wanted`.
    pub fn is_smaller(self, wanted: &Quantity) -> bool {
        self.requested().and_then(amount).is_some_and(|asked| asked < wanted.amount())
    }

    /// How much its volume holds.
    pub fn capacity(self) -> Option<&'a str> {
        text(self.json(), &["status", "capacity", "storage"])
    }

    /// The raw name of the project whose data it holds.
    pub fn project(self) -> Option<&'a str> {
        self.annotation(RAW_PROJECT)
    }

    /// The identity of its data.
    pub fn project_uid(self) -> Option<&'a str> {
        self.annotation(PROJECT_UID)
    }
}

/// The access modes of a claim or a volume; written as a list with commas.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AccessModes<'a>(pub(super) &'a [Value]);

impl<'a> AccessModes<'a> {
    /// Whether `mode` is one of them.
    pub fn has(self, mode: AccessMode) -> bool {
        self.texts().any(|known| known == mode.as_str())
    }

    /// Their names, as the API server writes them.
    pub fn texts(self) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter_map(Value::as_str)
    }
}

impl fmt::Display for AccessModes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.texts().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_fields_of_a_claim_are_read() {
        let claim = json!({
            "metadata": {"name": "storage", "annotations": {RAW_PROJECT: "p", PROJECT_UID: "u"}},
            "spec": {"accessModes": ["ReadWriteOnce", "ReadOnlyMany"], "storageClassName": "fast", "volumeName": "pvc-1",
                     "resources": {"requests": {"storage": "40G"}}},
            "status": {"phase": "Bound", "capacity": {"storage": "41G"}}});
        let claim = Claim::of(&claim);
        assert_eq!((claim.name(), claim.project(), claim.project_uid()), ("storage", Some("p"), Some("u")));
        assert_eq!(
            (claim.phase(), claim.class(), claim.volume_text()),
            (Some(ClaimPhase::Bound), Some("fast"), Some("pvc-1"))
        );
        assert_eq!((claim.requested(), claim.capacity()), (Some("40G"), Some("41G")));
        let modes = claim.modes();
        assert_eq!(modes.to_string(), "ReadWriteOnce, ReadOnlyMany");
        assert!(modes.has(AccessMode::ReadOnlyMany) && !modes.has(AccessMode::ReadWriteMany));
    }

    #[test]
    fn an_odd_claim_reads_as_one_without_fields() {
        let odd = json!({"spec": {"accessModes": "ReadWriteMany", "storageClassName": "", "volumeName": 1}, "status": {"phase": "New"}});
        let claim = Claim::of(&odd);
        assert_eq!((claim.phase(), claim.class(), claim.volume_text(), claim.requested()), (None, None, None, None));
        assert_eq!(claim.modes().to_string(), "");
    }

    #[test]
    fn only_a_smaller_claim_is_smaller() {
        let claim = json!({"spec": {"resources": {"requests": {"storage": "40G"}}}});
        for (wanted, smaller) in [("100G", true), ("40G", false), ("39Gi", true), ("1G", false)] {
            assert_eq!(Claim::of(&claim).is_smaller(&Quantity::parse(wanted).unwrap()), smaller, "{wanted}");
        }
    }
}
