//! What a message of the cluster says about a pod that does not start: whether the fault passes by itself. Pure.
//!
//! A fault that is not known to be final counts as passing: a wait that is too long is reported and can be
//! interrupted, but a run that was reported as hopeless must not succeed later.

use crate::tools::kubectl::{self, Outcome};
use crate::util::error::Refusal;

/// Whether waiting can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hope {
    /// The pod may start at any time, and is waited for without limit.
    Some,
    /// The fault usually passes by itself; given up after 15 minutes.
    Minutes,
    /// The pod can start only if someone fixes a fault that rarely passes by itself; given up after a while.
    Little,
    /// The pod can never start as it is.
    None,
}

/// The longest text from the cluster that is shown.
const LONGEST: usize = 600;

/// Why an image can't be pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullFault {
    /// The registry has no such image.
    NotFound,
    /// The registry wants a login, or another one.
    Denied,
    /// The image is for another platform than the node.
    Platform,
    /// The reference is invalid.
    Name,
    /// The registry speaks plain HTTP, or its certificate is not trusted.
    Tls,
    /// The registry is away, busy or slow, or the cause is unknown.
    Passing,
}

impl PullFault {
    /// Whether waiting can help.
    pub fn hope(self) -> Hope {
        match self {
            Self::Passing => Hope::Minutes,
            Self::Name => Hope::None,
            Self::NotFound | Self::Denied | Self::Platform | Self::Tls => Hope::Little,
        }
    }

    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NotFound => {
                "is the registry's address right as seen from the cluster, and may the cluster read it (`image_pull_secret`)?"
            }
            Self::Denied => "may the cluster read the registry? name a Secret with a login in `image_pull_secret`",
            Self::Platform => "build or choose the image for the platform of the nodes (`--platform`)",
            Self::Name => "check the image's name",
            Self::Tls => "the nodes must trust the registry's certificate, or be told that it speaks plain HTTP",
            Self::Passing => {
                "can the nodes reach the registry under this address? `kubectl mrunner doctor --probe` tries it"
            }
        }
    }
}

/// The fault in a kubelet's message about an image.
pub fn pull(image: &str, message: &str) -> PullFault {
    let text = words_of(message, image);
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    // of several registries, one may be away and another may lack the image
    if has(PASSING) || has_server_error(&text) {
        PullFault::Passing
    } else if has(&["no match for platform", "no matching manifest", "does not match the specified platform"])
        || has(&["exec format error", "no image found in manifest list", "no image found in image index"])
    {
        PullFault::Platform
    } else if has(&["invalid reference", "invalidimagename", "couldn't parse image", "failed to parse image"]) {
        PullFault::Name
    } else if has(&["x509:", "http response to https", "tls: failed to verify", "certificate"]) {
        PullFault::Tls
    } else if has(&["unauthorized", "denied", "forbidden", "authentication required", "insufficient_scope"])
        || has(&["authorization failed", "no basic auth credentials", "signaturevalidationfailed"])
    {
        PullFault::Denied
    } else if has(&["not found", "notfound", "manifest unknown", "name unknown", "name_unknown", "manifest_unknown"])
        || has(&["does not exist", "no such manifest", "repository_unknown", "blob unknown"])
    {
        PullFault::NotFound
    } else {
        PullFault::Passing
    }
}

/// What networks, busy servers and the kubelet's own limits report.
const PASSING: &[&str] = &[
    "connection refused",
    "connection reset",
    "connection timed out",
    "connection closed",
    "broken pipe",
    "timeout",
    "timed out",
    "deadline exceeded",
    "deadlineexceeded",
    "code = unavailable",
    "code = canceled",
    "code = resourceexhausted",
    "context canceled",
    "no such host",
    "server misbehaving",
    "temporary failure",
    "try again",
    "no route to host",
    "network is unreachable",
    "network is down",
    "host is down",
    "qps exceeded",
    "toomanyrequests",
    "too many requests",
    "rate limit",
    "service unavailable",
    "bad gateway",
    "internal server error",
    "server error",
    "proxyconnect",
    "eof",
    "stream error",
    "http2:",
    "goaway",
    "unexpected status code 5",
    "no space left on device",
    "failed to sync",
    "i/o error",
    "input/output error",
    "resource temporarily unavailable",
    "failed calling webhook",
    "no endpoints available",
    "internal error occurred",
    "etcdserver:",
    "leader changed",
    "object has been modified",
    "is currently unable to handle",
    "please retry",
    "being used by another",
    "already in use",
    "is reserved for",
    "not registered",
    "not initialized",
    "not ready",
];

/// Whether the message has an HTTP status of 429 or 5xx.
fn has_server_error(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut before = ["", "", ""];
    for word in words {
        let is_status = word.len() == 3 && (word == "429" || word == "408" || word.starts_with('5'));
        let is_number = word.bytes().all(|b| b.is_ascii_digit());
        let is_named = before.iter().any(|word| matches!(*word, "status" | "code" | "http" | "error" | "request"));
        if is_status && is_number && is_named {
            return true;
        }
        before = [before[1], before[2], word];
    }
    false
}

/// The words of a message without names: the image, quoted names and addresses.
fn words_of(message: &str, image: &str) -> String {
    // the text between two quotes; an unclosed quote at the end is ignored
    let bare: Vec<&str> = message.split('"').step_by(2).collect();
    let is_address = |word: &&str| word.contains("://");
    let without = |word: &str| if image.is_empty() { word.to_owned() } else { word.replace(image, "") };
    let bare = bare.join(" ");
    bare.split_whitespace().filter(|word| !is_address(word)).map(without).collect::<Vec<_>>().join(" ").to_lowercase()
}

/// Whether waiting can help a volume that can't be attached or mounted.
pub fn mount(message: &str) -> Hope {
    // a driver that has just started on its node finds little at first, so only messages about a wrong setting are
    // final
    const FINAL: &[&str] = &[
        "access denied",
        "bad option",
        "wrong fs type",
        "protocol not supported",
        "unknown filesystem",
        "check failed",
        "references non-existent",
    ];
    // a volume of one node is attached to the next one when the former node releases it, which takes up to six
    // minutes for a dead node (`maxWaitForUnmountDuration` of the attach-detach controller); the node authorizer
    // learns of a pod a little after its kubelet does (kubernetes.io/docs/reference/access-authn-authz/node)
    const WAITS: &[&str] = &["no relationship found between node", "multi-attach error"];
    let text = message.to_lowercase();
    if WAITS.iter().any(|phrase| text.contains(phrase)) {
        return Hope::Some;
    }
    if names_missing(&text) { Hope::Little } else { finally(&text, FINAL) }
}

/// Whether an object that a pod refers to does not exist.
fn names_missing(text: &str) -> bool {
    text.contains("not found")
        && (text.contains("configmap \"") || text.contains("secret \""))
        && !text.contains("failed to sync")
}

/// Whether waiting can help a pod whose sandbox can't be created.
pub fn sandbox(message: &str) -> Hope {
    finally(&message.to_lowercase(), &["runtime handler", "no runtime for", "runtimeclass"])
}

/// Whether waiting can help a container that can't be created.
pub fn container(message: &str) -> Hope {
    const FINAL: &[&str] =
        &["couldn't find key", "no command specified", "runasnonroot", "run as root", "non-numeric user"];
    let text = message.to_lowercase();
    if names_missing(&text) { Hope::Little } else { finally(&text, FINAL) }
}

/// `Minutes`, unless a message is final and not about a passing fault.
fn finally(text: &str, last_words: &[&str]) -> Hope {
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    if has(last_words) && !has(PASSING) && !has_server_error(text) { Hope::Little } else { Hope::Minutes }
}

/// Why a Job can't create its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CreateFault {
    /// The quota is used up.
    Quota,
    /// The quota counts a resource that the pod does not set.
    Unnamed,
    /// The namespace's Pod Security level forbids the pod.
    PodSecurity,
    /// A policy of the cluster denies the pod.
    Policy,
    /// A `LimitRange` forbids the pod.
    Limits,
    /// The service account does not exist.
    Account,
    /// The namespace is being deleted.
    Ending,
    /// A webhook or similar does not answer, or the cause is unknown.
    Passing,
}

/// The fault in a Job controller's message about a pod.
pub fn create(message: &str) -> CreateFault {
    let text = message.to_lowercase();
    let has = |phrases: &[&str]| phrases.iter().any(|phrase| text.contains(phrase));
    let refused = |refusal| kubectl::outcome_of_event(message) == Outcome::Refused(refusal);
    if refused(Refusal::QuotaUnnamed) {
        CreateFault::Unnamed
    } else if has(&["exceeded quota"]) && !refused(Refusal::Denied) {
        CreateFault::Quota
    } else if has(&["denied the request", "denied request"]) {
        // a policy's own message may contain anything
        CreateFault::Policy
    } else if has(&["violates podsecurity"]) {
        CreateFault::PodSecurity
    } else if has(&["being terminated", "is being deleted"]) {
        CreateFault::Ending
    } else if has(&["maximum cpu usage", "maximum memory usage", "maximum ephemeral", "minimum cpu", "minimum memory"])
        || has(&["limit to request ratio", "minimum ephemeral"])
    {
        CreateFault::Limits
    } else if has(&["error looking up service account"]) && has(&["not found"]) {
        CreateFault::Account
    } else {
        CreateFault::Passing
    }
}

/// A text from the cluster as part of a sentence: on one line, and shortened.
pub fn brief(text: &str) -> String {
    // of a very long text, only the shown part is read
    let words = text.split_whitespace().take(LONGEST).collect::<Vec<_>>().join(" ");
    if words.chars().count() <= LONGEST { words } else { words.chars().take(LONGEST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_is_told_from_what_does_not() {
        // recorded from containerd 1.6 to 2.1, CRI-O and the kubelet
        for (message, fault) in [
            (
                r#"failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": failed to do request: Head "http://r/v2/x/manifests/1": dial tcp 127.0.0.1:5056: connect: connection refused"#,
                PullFault::Passing,
            ),
            (
                r#"failed to do request: Head "https://r/v2/x/manifests/1": net/http: TLS handshake timeout"#,
                PullFault::Passing,
            ),
            (r#"Head "https://r/v2/": dial tcp: lookup r on 10.96.0.10:53: no such host"#, PullFault::Passing),
            (
                "unexpected status from HEAD request to http://r/v2/x/manifests/1: 503 Service Unavailable",
                PullFault::Passing,
            ),
            ("unexpected status code [manifests 1]: 500 oops", PullFault::Passing),
            (
                "unexpected status from GET request to https://auth.docker.io/token: 429 Too Many Requests",
                PullFault::Passing,
            ),
            ("pull QPS exceeded", PullFault::Passing),
            ("rpc error: code = DeadlineExceeded desc = context deadline exceeded", PullFault::Passing),
            ("unexpected EOF", PullFault::Passing),
            ("read tcp 10.0.0.1:42->10.0.0.2:443: read: connection reset by peer", PullFault::Passing),
            (
                r#"failed to authorize: failed to fetch anonymous token: Get "https://auth/token": net/http: request canceled (Client.Timeout exceeded)"#,
                PullFault::Passing,
            ),
            ("something nobody has seen yet", PullFault::Passing),
            ("", PullFault::Passing),
            (
                r#"rpc error: code = NotFound desc = failed to pull and unpack image "r/x:1": failed to resolve reference "r/x:1": r/x:1: not found"#,
                PullFault::NotFound,
            ),
            ("manifest unknown: manifest unknown", PullFault::NotFound),
            (
                "pull access denied, repository does not exist or may require authorization: server message: insufficient_scope: authorization failed",
                PullFault::Denied,
            ),
            (
                "failed to authorize: failed to fetch anonymous token: unexpected status from GET request to https://r/token: 401 Unauthorized",
                PullFault::Denied,
            ),
            ("unexpected status from HEAD request to https://r/v2/x: 403 Forbidden", PullFault::Denied),
            ("no match for platform in manifest: not found", PullFault::Platform),
            ("no image found in manifest list for architecture amd64, variant \"\", OS linux", PullFault::Platform),
            ("tls: failed to verify certificate: x509: certificate signed by unknown authority", PullFault::Tls),
            ("http: server gave HTTP response to HTTPS client", PullFault::Tls),
            ("couldn't parse image name \"A B\": invalid reference format", PullFault::Name),
        ] {
            assert_eq!(pull("r/x:1", message), fault, "{message}");
        }
    }

    #[test]
    fn names_are_no_reasons() {
        let refused = |image: &str| {
            format!(
                "failed to resolve reference \"{image}\": failed to do request: Head \"http://{image}\": dial tcp 127.0.0.1:5056: connect: connection refused"
            )
        };
        for image in ["r/unauthorized:not-found", "r/denied/x:1", "r/no-match-for-platform:1"] {
            assert_eq!(pull(image, &refused(image)), PullFault::Passing);
        }
        for image in ["r/timeout:eof", "r/503:429", "r/too-many-requests:1"] {
            assert_eq!(
                pull(image, &format!("code = NotFound desc = {image}: not found")),
                PullFault::NotFound,
                "{image}"
            );
            let asked =
                format!("unexpected status from HEAD request to http://{image}/manifests/503: 401 Unauthorized");
            assert_eq!(pull(image, &asked), PullFault::Denied, "{image}");
        }
    }

    #[test]
    fn volumes_and_sandboxes_get_minutes_unless_they_can_never_be() {
        assert_eq!(
            mount(
                "MountVolume.SetUp failed for volume \"points\" : failed to sync configmap cache: timed out waiting for the condition"
            ),
            Hope::Minutes
        );
        assert_eq!(mount("Unable to attach or mount volumes: timed out waiting for the condition"), Hope::Minutes);
        assert_eq!(mount("mount failed: exit status 32 mount.nfs: Connection refused"), Hope::Minutes);
        assert_eq!(mount("mount.nfs: access denied by server while mounting 10.0.0.5:/export"), Hope::Little);
        assert_eq!(mount("configmap \"x\" not found"), Hope::Little);
        assert_eq!(mount("configmap references non-existent config key: wrapper"), Hope::Little);
        assert_eq!(
            mount(
                "kubernetes.io/csi: attacher.MountDevice failed: driver name nfs.csi.k8s.io not found in the list of registered CSI drivers"
            ),
            Hope::Minutes
        );
        assert_eq!(
            mount("AttachVolume.Attach failed: rpc error: code = NotFound desc = instance not found"),
            Hope::Minutes
        );
        assert_eq!(mount("stat /var/lib/kubelet/plugins/x: no such file or directory"), Hope::Minutes);
        assert_eq!(
            sandbox(
                "failed to setup network for sandbox \"a\": plugin type=\"calico\" failed (add): error getting ClusterInformation: connection is unauthorized"
            ),
            Hope::Minutes
        );
        assert_eq!(sandbox("no runtime for \"gvisor\" is configured"), Hope::Little);
        assert_eq!(container("failed to sync secret cache: timed out waiting for the condition"), Hope::Minutes);
        assert_eq!(container("context deadline exceeded"), Hope::Minutes);
        assert_eq!(container("secret \"x\" not found"), Hope::Little);
    }

    #[test]
    fn a_pod_that_is_refused_is_told_from_one_that_nobody_judged() {
        for (message, fault) in [
            (
                "pods \"a\" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0",
                CreateFault::Quota,
            ),
            (
                "Internal error occurred: failed calling webhook \"x\": failed to call webhook: Post \"https://x\": dial tcp 10.0.0.1:443: connect: connection refused",
                CreateFault::Passing,
            ),
            ("admission webhook \"x\" denied the request: timeout must be set", CreateFault::Policy),
            (
                "Error creating: admission webhook \"x\" denied the request: exceeded quota of a team",
                CreateFault::Policy,
            ),
            (
                "Error creating: pods \"a\" is forbidden: failed quota: q: must specify limits.cpu for: experiment",
                CreateFault::Unnamed,
            ),
            ("ValidatingAdmissionPolicy 'x' with binding 'y' denied request: no", CreateFault::Policy),
            ("violates PodSecurity \"restricted:latest\"", CreateFault::PodSecurity),
            (
                "pods \"a\" is forbidden: error looking up service account n/x: serviceaccount \"x\" not found",
                CreateFault::Account,
            ),
            ("pods \"a\" is forbidden: [maximum cpu usage per Container is 1, but limit is 4]", CreateFault::Limits),
            (
                "pods \"a\" is forbidden: unable to create new content in namespace n because it is being terminated",
                CreateFault::Ending,
            ),
            ("etcdserver: request timed out", CreateFault::Passing),
            ("something new", CreateFault::Passing),
        ] {
            assert_eq!(create(message), fault, "{message}");
        }
    }

    #[test]
    fn what_the_cluster_says_is_bounded() {
        assert_eq!(brief(" a\n\n  b\tc "), "a b c");
        assert_eq!(brief(&"x".repeat(100_000)).chars().count(), LONGEST + 1);
        assert_eq!(brief(&"é ".repeat(100_000)).chars().count(), LONGEST + 1);
    }
}
