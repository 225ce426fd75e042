//! What the API server did with a request that failed, from kubectl's words.

use crate::util::error::Refusal;
use crate::util::ui::line;

/// Why a request was not stored, though the same request may be taken a moment later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotYet {
    /// This admission webhook can't be called.
    Webhook(String),
    /// An admission plugin of the API server is not ready.
    Admission,
}

/// What became of a request that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was refused.
    Refused(Refusal),
    /// It was not stored, and can be tried again.
    NotYet(NotYet),
    /// The request may have been carried out.
    Unclear,
}

/// What became of a request, from what kubectl wrote to stderr. A refusal of one object of several counts more than
/// that another one exists.
pub fn outcome(stderr: &str) -> Outcome {
    let all: Vec<Outcome> = errors(stderr).iter().map(|error| of_error(error)).collect();
    let is_refusal = |o: &&Outcome| matches!(o, Outcome::Refused(r) if *r != Refusal::AlreadyExists);
    let first = all.iter().find(is_refusal).or_else(|| all.iter().find(|o| **o == Outcome::Unclear));
    first
        .or_else(|| all.iter().find(|o| matches!(o, Outcome::NotYet(_))))
        .or(all.first())
        .cloned()
        .unwrap_or(Outcome::Unclear)
}

/// The refusal in kubectl's words, `None` where there is none, or where it is unclear what the server did.
pub fn refusal(stderr: &str) -> Option<Refusal> {
    match outcome(stderr) {
        Outcome::Refused(refusal) => Some(refusal),
        Outcome::NotYet(_) | Outcome::Unclear => errors(stderr).iter().find_map(|error| match of_error(error) {
            Outcome::Refused(refusal) => Some(refusal),
            _ => None,
        }),
    }
}

/// Whether every error is the lack of a right; kubectl then prints the objects that it could read.
pub fn all_forbidden(stderr: &str) -> bool {
    all_are(stderr, Refusal::Forbidden)
}

/// Whether every error says that an object exists.
pub fn all_already_exist(stderr: &str) -> bool {
    all_are(stderr, Refusal::AlreadyExists)
}

fn all_are(stderr: &str, refusal: Refusal) -> bool {
    let errors = errors(stderr);
    !errors.is_empty() && errors.iter().all(|error| of_error(error) == Outcome::Refused(refusal))
}

/// Whether this user may not look at objects of a kind, such as `namespaces`.
pub fn may_not_see(stderr: &str, kind: &str) -> bool {
    let about = |error: &String| error.strip_prefix(FORBIDDEN).is_some_and(|rest| rest.starts_with(kind));
    errors(stderr).iter().any(about)
}

/// Whether this user may not patch, in the words that the API server has for every kind.
pub fn may_not_patch(stderr: &str) -> bool {
    refusal(stderr) == Some(Refusal::Forbidden) && stderr.contains(" cannot patch resource ")
}

/// Whether the API server can't check the request without carrying it out, as a webhook has side effects.
pub fn no_dry_run(stderr: &str) -> bool {
    let has = |error: &String| error.contains("admission webhook \"") && error.contains("does not support dry run");
    errors(stderr).iter().any(has)
}

/// kubectl's errors in one line, without its warnings.
pub fn in_one_line(stderr: &str) -> String {
    let words = errors(stderr).join(" ");
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

const SERVER: &str = "Error from server";
const FORBIDDEN: &str = "Error from server (Forbidden): ";

/// kubectl's errors: each begins with words of kubectl's own and may go on over several lines, as the words of a
/// policy do.
fn errors(stderr: &str) -> Vec<String> {
    let mut errors: Vec<String> = Vec::new();
    for line in stderr.lines().filter(|line| !line.starts_with("Warning: ")) {
        let begins =
            [SERVER, "error: ", "The ", "Unable to ", "Apply failed with"].iter().any(|own| line.starts_with(own));
        match errors.last_mut() {
            Some(last) if !begins => *last = format!("{last}\n{line}"),
            _ if line.trim().is_empty() => {}
            _ => errors.push(line.to_owned()),
        }
    }
    errors
}

/// kubectl prints `Error from server (REASON): ...` with the API's reason, `Error from server: ...` where that is
/// none or unknown, and forms of its own for Invalid and Unauthorized (kubectl, `pkg/cmd/util/helpers.go`,
/// `StandardErrorMessage`).
fn of_error(error: &str) -> Outcome {
    let (reason, said) = match error.strip_prefix(SERVER) {
        Some(rest) => match rest.strip_prefix(" (").and_then(|rest| rest.split_once("): ")) {
            Some((reason, said)) => (reason, said),
            None => ("", rest.trim_start_matches(": ")),
        },
        None => ("", error),
    };
    // what the webhook gives as a reason is its own, and may be anything: `AlreadyExists`, or nothing
    if let Some(webhook) = denial(error) {
        return webhook;
    }
    if let Some(outcome) = unanswered(said).or_else(|| forbids(said)) {
        return outcome;
    }
    let refusal = match reason {
        "AlreadyExists" => Refusal::AlreadyExists,
        "NotFound" if said.contains("namespaces \"") => Refusal::NoNamespace,
        "NotFound" => Refusal::NotFound,
        // RBAC names the user; every other admission plugin, such as OpenShift's, judges the object
        "Forbidden" if said.contains(" is forbidden: ") && !said.contains(" is forbidden: User \"") => Refusal::Denied,
        "Forbidden" => Refusal::Forbidden,
        "Unauthorized" => Refusal::Unauthorized,
        "BadRequest"
        | "Invalid"
        | "RequestEntityTooLarge"
        | "MethodNotAllowed"
        | "NotAcceptable"
        | "UnsupportedMediaType" => Refusal::Invalid,
        "Conflict" => Refusal::Conflict,
        _ if error.starts_with("The ") && error.lines().next().is_some_and(|line| line.contains(" is invalid")) => {
            Refusal::Invalid
        }
        _ if error.contains("You must be logged in to the server") => Refusal::Unauthorized,
        _ if error.contains("Apply failed with") => Refusal::Conflict,
        _ => return Outcome::Unclear,
    };
    Outcome::Refused(refusal)
}

/// The refusal of a webhook (apiserver, `pkg/admission/plugin/webhook/errors/statuserror.go`): kubectl may put its own
/// words before it, but nothing of the user's.
fn denial(error: &str) -> Option<Outcome> {
    let (before, rest) = error.split_once("admission webhook \"")?;
    // the name of a user or an object may have any words in it
    let own = |words: &str| !words.contains(" is forbidden") && !words.contains("\\\"");
    let (_, said) = rest.split_once('"')?;
    (own(before) && said.starts_with(" denied the request")).then_some(Outcome::Refused(Refusal::Denied))
}

/// A webhook that can't be called, or that answers with no verdict (`pkg/admission/plugin/webhook/errors`,
/// `ToStatusErr`; the dispatchers' `NewInternalError`): admission comes before an object is stored.
fn unanswered(said: &str) -> Option<Outcome> {
    let (_, name) = said.split_once("Internal error occurred: failed calling webhook \"")?;
    Some(Outcome::NotYet(NotYet::Webhook(name.split('"').next().unwrap_or_default().to_owned())))
}

/// What became of a controller's request, from its event such as `Error creating: pods "x" is forbidden: ...`.
pub fn outcome_of_event(message: &str) -> Outcome {
    let said = message.strip_prefix("Error creating: ").unwrap_or(message);
    denial(said).or_else(|| unanswered(said)).or_else(|| forbids(said)).unwrap_or(Outcome::Unclear)
}

/// What forbids an object, in the words of the API server's own admission plugins, which stand in an error of
/// kubectl's as well as in the event of a controller that could not create a pod.
fn forbids(said: &str) -> Option<Outcome> {
    // `jobs.batch "x" is forbidden: WORDS`, `The jobs "x" is invalid: : WORDS`
    let words =
        [" is forbidden: ", " is invalid: : "].iter().find_map(|own| Some(said.split_once(own)?.1)).unwrap_or(said);
    let refused = |refusal| Some(Outcome::Refused(refusal));
    let begins = |own: &str| words.starts_with(own);
    if begins("ValidatingAdmissionPolicy '") && words.contains(" denied request") {
        return refused(Refusal::Denied);
    }
    if begins("exceeded quota: ") {
        return refused(Refusal::QuotaExceeded);
    }
    if begins("failed quota: ") {
        return refused(Refusal::QuotaUnnamed);
    }
    if begins("violates PodSecurity ") {
        return refused(Refusal::PodSecurity);
    }
    if begins("unable to create new content in namespace ") {
        return refused(Refusal::Terminating);
    }
    if begins("error looking up service account ") {
        return refused(Refusal::NoServiceAccount);
    }
    if begins("status unknown for quota: ") || begins("not yet ready to handle request") {
        return Some(Outcome::NotYet(NotYet::Admission));
    }
    let range = words.trim_start_matches('[');
    let bounds = ["minimum ", "maximum "].iter().any(|own| range.starts_with(own)) && range.contains(" usage per ");
    let ratio = range.contains(" max limit to request ratio per ");
    if bounds && range.contains(" per PersistentVolumeClaim ") {
        return refused(Refusal::ClaimRange);
    }
    (bounds || ratio).then_some(Outcome::Refused(Refusal::LimitRange))
}

impl NotYet {
    /// What is not ready.
    pub fn words(&self) -> String {
        match self {
            Self::Webhook(name) => format!("the cluster's webhook `{}` does not answer", line(name)),
            Self::Admission => "the API server is not ready to check it".to_owned(),
        }
    }
}

impl Refusal {
    /// Who refused, where kubectl's words do not lead to it at once.
    pub fn words(self) -> Option<&'static str> {
        Some(match self {
            Self::Denied => "a policy of the cluster denied it",
            Self::QuotaExceeded => "the quota of the namespace has no room for it",
            Self::QuotaUnnamed => "the quota of the namespace demands more limits",
            Self::LimitRange | Self::ClaimRange => "a LimitRange of the namespace does not allow it",
            Self::PodSecurity => "the Pod Security level of the namespace does not allow it",
            Self::NoServiceAccount => "its service account does not exist",
            Self::NoNamespace => "the namespace does not exist",
            Self::Terminating => "the namespace is being deleted",
            _ => return None,
        })
    }

    /// What to do about it, where that can be said without a command for this cluster. `said` are the words; `changes`
    /// tells whether the context or a flag changes the object that was refused.
    pub fn advice(self, said: &str, changes: bool) -> Option<String> {
        let storage = said.contains("requests.storage=") || said.contains("persistentvolumeclaims=");
        // what goes with a run, and not before
        let kept = ["jobs.batch=", "secrets=", "configmaps="];
        Some(match self {
            Self::Denied if !changes => {
                "ask the cluster's administrator to let mrunner create it; its label is \
                 `app.kubernetes.io/managed-by: mrunner`"
                    .to_owned()
            }
            Self::Denied => "change the run so that the policy allows it, such as with `pod_labels` of the context, or \
                             ask the cluster's administrator for an exception"
                .to_owned(),
            Self::QuotaExceeded if said.contains("requests.storage=") => {
                "ask for a smaller volume with `default_pvc_size` in the context, or for a larger quota".to_owned()
            }
            Self::QuotaExceeded if storage => {
                "use a claim that exists with `--storage-claim NAME`, or ask for a larger quota".to_owned()
            }
            Self::QuotaExceeded if kept.iter().any(|kind| said.contains(kind)) => {
                "delete runs that have ended; list them with `kubectl mrunner status`".to_owned()
            }
            Self::QuotaExceeded => {
                "wait for other runs to end, or ask for less with `--cpu`, `--mem`, `--gpu`".to_owned()
            }
            Self::QuotaUnnamed => unnamed(said),
            Self::LimitRange => "ask for an amount within its bounds with `--cpu` and `--mem`".to_owned(),
            Self::ClaimRange => {
                "ask for a size within its bounds with `default_pvc_size` in the context, such as `default_pvc_size: 10G`"
                    .to_owned()
            }
            Self::PodSecurity => {
                "leave `run_as: 0` out of the context, or ask the cluster's administrator for another level".to_owned()
            }
            Self::NoServiceAccount => {
                "name another one with `service_account` in the context, or create it".to_owned()
            }
            _ => return None,
        })
    }
}

/// The flags that name what a quota counts: `must specify limits.cpu for: c; requests.memory for: c`.
fn unnamed(said: &str) -> String {
    let names = said.split_once("must specify ").map_or("", |(_, names)| names);
    let mut flags: Vec<&str> = Vec::new();
    let mut others: Vec<&str> = Vec::new();
    for name in names.split(';').map(|part| part.trim().split_once(" for: ").map_or(part.trim(), |(name, _)| name)) {
        for name in name.split(',').filter(|name| !name.is_empty()) {
            match name.trim_start_matches("limits.").trim_start_matches("requests.") {
                "cpu" => flags.push("`--cpu`"),
                "memory" => flags.push("`--mem`"),
                _ => others.push(name),
            }
        }
    }
    flags.sort_unstable();
    flags.dedup();
    match (flags.is_empty(), others.is_empty()) {
        (false, true) => format!("name the limits with {}", flags.join(" and ")),
        (false, false) => format!(
            "name the limits with {}; a LimitRange must give a default for `{}`",
            flags.join(" and "),
            others.join("`, `")
        ),
        (true, _) => "ask the cluster's administrator for a LimitRange that gives defaults".to_owned(),
    }
}

#[cfg(test)]
mod tests;
