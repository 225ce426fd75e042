//! Names that Kubernetes, a registry or a label accepts, made from whatever a user wrote.
//!
//! The rule is the same everywhere: lower-case, map, trim; if that changed or cut the input, a hash
//! of the raw input is appended, so that two inputs never share a name by accident. The raw name is
//! kept in an annotation by whoever makes the object.

use std::fmt;

use data_encoding::Encoding;
use data_encoding_macro::new_encoding;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// Longest DNS label (RFC 1123), and longest label value in Kubernetes.
pub const LABEL_MAX: usize = 63;

/// Room a Job's name leaves for what Kubernetes appends: `-<index>` of up to 100,000 completions,
/// and `-xxxxx` of a pod's name is cut by the API server itself.
const INDEX_ROOM: usize = "-99999".len();

/// Characters of a run's own suffix, see [`RunName`].
const SUFFIX: usize = 8;

/// No i, l, o, u: what is read aloud or typed from a screen is not mistaken (Crockford's base 32).
const BASE32: Encoding = new_encoding! { symbols: "0123456789abcdefghjkmnpqrstvwxyz", };

/// The first `len` base-32 characters of `bytes`, five bits each.
pub fn base32(bytes: &[u8], len: usize) -> String {
    let mut text = BASE32.encode(bytes);
    text.truncate(len);
    text
}

fn hash8(raw: &str) -> String {
    base32(&Sha256::digest(raw.as_bytes()), 8)
}

/// A DNS label of at most `max` characters (`max` >= 8) made from any text.
///
/// Text that is such a label already comes back unchanged; any other gets a hash of itself appended.
pub fn dns_label(raw: &str, max: usize) -> String {
    let mapped = mapped(raw);
    if mapped == raw && !raw.is_empty() && raw.len() <= max {
        return mapped;
    }
    let hash = hash8(raw);
    let room = max.saturating_sub(hash.len() + 1);
    let cut = mapped[..mapped.len().min(room)].trim_end_matches('-');
    if cut.is_empty() { hash } else { format!("{cut}-{hash}") }
}

/// Letters in lower case and digits, with one `-` for whatever stands between them.
fn mapped(raw: &str) -> String {
    let mut mapped = String::new();
    for c in raw.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            mapped.push(c);
        } else if !mapped.is_empty() && !mapped.ends_with('-') {
            mapped.push('-');
        }
    }
    mapped.trim_end_matches('-').to_owned()
}

/// A label's value or the name part of its key, from any text: letters keep their case, and `_`
/// and `.` stay, as Kubernetes allows them there.
pub fn label_value(raw: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let mapped: String = raw.chars().map(|c| if fits(c) { c } else { '-' }).collect();
    let edge = |c: char| !c.is_ascii_alphanumeric();
    let mapped = mapped.trim_matches(edge);
    if mapped == raw && !raw.is_empty() && raw.len() <= LABEL_MAX {
        return raw.to_owned();
    }
    let hash = hash8(raw);
    let cut = mapped[..mapped.len().min(LABEL_MAX - hash.len() - 1)].trim_end_matches(edge);
    if cut.is_empty() { hash } else { format!("{cut}-{hash}") }
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// The name as it is sent.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A namespace: a DNS label.
    Namespace
}
name! {
    /// A run: the name of its Job and of its folder in the storage, and the value of `mrunner/run`.
    RunName
}
name! {
    /// The identity of one submission: 128 random bits in base 32, written to the journal before
    /// anything is sent. The run's name follows from it.
    RunId
}
name! {
    /// A PersistentVolumeClaim: a DNS label here, though Kubernetes would allow a subdomain.
    ClaimName
}

name! {
    /// A `PersistentVolume`.
    VolumeName
}

impl VolumeName {
    /// The volume that is made for a claim; it stands beside those of all namespaces.
    pub fn of_claim(namespace: &Namespace, claim: &ClaimName) -> Self {
        Self(dns_label(&format!("mrunner-{namespace}-{claim}"), LABEL_MAX))
    }

    /// A volume that the cluster named; `None` if none can be called so.
    pub fn given(name: &str) -> Option<Self> {
        ClaimName::given(name).map(|name| Self(name.0))
    }
}

impl Namespace {
    /// The namespace of a project.
    pub fn of_project(raw: &str) -> Self {
        Self(dns_label(raw, LABEL_MAX))
    }

    /// That of the NFS server in the cluster: no project's, so that no project's end takes it along.
    pub fn nfs_server() -> Self {
        Self("mrunner-nfs".to_owned())
    }

    /// A namespace that the user or the cluster named; `None` if it can't be one.
    pub fn given(name: &str) -> Option<Self> {
        is_dns_label(name).then(|| Self(name.to_owned()))
    }
}

impl ClaimName {
    /// The claim of a project that has a namespace of its own.
    pub fn storage() -> Self {
        Self("storage".to_owned())
    }

    /// The claim of a project that shares a namespace with others.
    pub fn of_project(raw: &str) -> Self {
        Self(dns_label(&format!("storage-{raw}"), LABEL_MAX))
    }

    /// A claim that the user named; `None` if it can't be one.
    pub fn given(name: &str) -> Option<Self> {
        let subdomain = name.len() <= 253 && name.split('.').all(is_dns_label);
        subdomain.then(|| Self(name.to_owned()))
    }
}

impl RunId {
    /// The id made of 16 random bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(base32(&bytes, 26))
    }

    /// The word that marks what the wrapper tells of this run. It follows from the id, and nothing that an
    /// experiment can see tells it but its own pod's processes.
    pub fn mark(&self) -> String {
        base32(&Sha256::digest(format!("mark {}", self.0)), 10)
    }
}

impl RunName {
    /// The name of run `id` of the experiment called `raw`.
    pub fn new(raw: &str, id: &RunId) -> Self {
        // no hash of the raw name: the suffix tells two runs apart
        let stem = mapped(raw);
        let stem = stem[..stem.len().min(LABEL_MAX - INDEX_ROOM - SUFFIX - 1)].trim_end_matches('-');
        Self(format!("{}-{}", if stem.is_empty() { "run" } else { stem }, &id.0[..SUFFIX]))
    }

    /// A run that the user or the cluster named; `None` if no run can be called so.
    pub fn given(name: &str) -> Option<Self> {
        is_dns_label(name).then(|| Self(name.to_owned()))
    }
}

pub(crate) fn is_dns_label(name: &str) -> bool {
    let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=LABEL_MAX).contains(&name.len()) && name.bytes().all(fits) && !name.starts_with('-') && !name.ends_with('-')
}

/// The known name that is nearest to `given`, if any is near enough to be what was meant.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::levenshtein(given, name), name))
        .filter(|(d, name)| *d <= 1 + name.chars().count().max(given.chars().count()) / 3)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_name_is_kept() {
        for name in ["a", "grid-search-1", "0"] {
            assert_eq!(dns_label(name, 63), name);
        }
        assert_eq!(label_value("grid_search_k-12-48"), "grid_search_k-12-48");
    }

    #[test]
    fn any_other_name_gets_a_hash_of_itself() {
        for raw in ["My_Project", "a_b", "a.b", "a b", "-a", "a--b", "Ä", "🦀", "", "$(HOME)", "x\ny"] {
            let label = dns_label(raw, 63);
            assert!(is_dns_label(&label), "{raw:?} -> {label}");
            assert_ne!(label, raw);
            assert!(label.ends_with(&hash8(raw)), "{raw:?} -> {label}");
        }
        assert_ne!(dns_label("a_b", 63), dns_label("a.b", 63));
    }

    #[test]
    fn long_names_keep_their_bounds() {
        for raw in ["x".repeat(300), "é".repeat(300), "a-".repeat(150)] {
            let id = RunId::from_bytes([255; 16]);
            let run = RunName::new(&raw, &id);
            assert!(run.as_str().len() + INDEX_ROOM <= LABEL_MAX, "{run}");
            assert!(is_dns_label(run.as_str()), "{run}");
            assert!(label_value(&raw).len() <= LABEL_MAX);
        }
    }

    #[test]
    fn label_values_start_and_end_with_a_letter_or_digit() {
        for raw in ["_a", "a.", "...", "a/b", "new data", "é"] {
            let value = label_value(raw);
            assert!(value.starts_with(|c: char| c.is_ascii_alphanumeric()), "{raw} -> {value}");
            assert!(value.ends_with(|c: char| c.is_ascii_alphanumeric()), "{raw} -> {value}");
        }
    }

    #[test]
    fn base32_takes_five_bits_a_character() {
        assert_eq!(base32(&[0xff, 0x00, 0xff], 4), "zw0f");
        assert_eq!(base32(&[0x12, 0x34, 0x56, 0x78, 0x9a], 8), "28t5cy4t");
        assert_eq!(RunId::from_bytes([0; 16]).as_str(), "0".repeat(26));
        assert_eq!(RunId::from_bytes([0xff; 16]).as_str(), format!("{}w", "z".repeat(25)));
    }

    #[test]
    fn the_nearest_name_is_near() {
        assert_eq!(nearest("registry_uri", ["storage", "registry_url"]), Some("registry_url"));
        assert_eq!(nearest("zzz", ["storage", "registry_url"]), None);
    }
}
