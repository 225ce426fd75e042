//! Errors: a message, facts, details, hints and an exit code.

use std::fmt;

/// Exit codes, as documented in `docs/run.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Exit {
    /// An error without a more specific code.
    #[default]
    Error = 1,
    /// A wrong command line or file of the user.
    Usage = 2,
    /// The experiment failed or can never start; mrunner itself had no error.
    Experiment = 3,
    /// Ctrl-C or a termination signal; a submitted run continues.
    Interrupted = 130,
}

/// A program in the terminal failed and reported why: its exit code becomes ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended(pub u8);

impl From<std::process::ExitStatus> for Ended {
    fn from(status: std::process::ExitStatus) -> Self {
        // a program that a signal ended, such as Ctrl-C, has no code
        Self(status.code().map_or(Exit::Interrupted as u8, |code| u8::try_from(code).unwrap_or(Exit::Error as u8)))
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it ended with exit code {}", self.0)
    }
}

impl std::error::Error for Ended {}

/// Why the API server refused a request. Nothing was stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// An object of that name exists.
    AlreadyExists,
    /// The object does not exist.
    NotFound,
    /// The namespace of the object does not exist.
    NoNamespace,
    /// The namespace is being deleted.
    Terminating,
    /// The user lacks permission (RBAC).
    Forbidden,
    /// The user is not logged in.
    Unauthorized,
    /// The object is not valid.
    Invalid,
    /// A field belongs to another manager.
    Conflict,
    /// A policy of the cluster: an admission webhook or a `ValidatingAdmissionPolicy`.
    Denied,
    /// The quota is exceeded.
    QuotaExceeded,
    /// The quota counts a resource that the pod does not set.
    QuotaUnnamed,
    /// A `LimitRange` limits the resources of a container or pod.
    LimitRange,
    /// A `LimitRange` limits the size of a claim.
    ClaimRange,
    /// The namespace's Pod Security level.
    PodSecurity,
    /// The service account of the pod does not exist.
    NoServiceAccount,
}

/// The cause of an error, if code depends on it: set where another program's output is parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The API server refused the request.
    Refused(Refusal),
    /// The request was not stored; a retry may succeed.
    NotYet,
    /// A pod can't start as it is.
    CannotStart,
    /// A name is not known, and one that is much like it is.
    Mistyped,
}

/// An error in parts, formatted in one place.
///
/// `message` is lower case, names the thing in backticks and gives the cause. `details` are lines of another
/// program, shown after `|`. `hints` can be typed.
#[derive(Debug, Clone, Default)]
pub struct Fail {
    /// The sentence after `error: `.
    pub message: String,
    /// `name: value` lines below the message, such as the command that failed.
    pub facts: Vec<(String, String)>,
    /// The output of another program.
    pub details: Vec<String>,
    /// What to do about it, one line each after `hint: `.
    pub hints: Vec<String>,
    /// The exit code of the process.
    pub exit: Exit,
    /// The cause, if code depends on it.
    pub known: Option<Cause>,
}

/// Starts a [`Fail`] with its message.
pub fn fail(message: impl Into<String>) -> Fail {
    Fail { message: message.into(), ..Fail::default() }
}

/// A [`Fail`] with the exit code for a wrong command line or file.
pub fn usage(message: impl Into<String>) -> Fail {
    Fail { message: message.into(), exit: Exit::Usage, ..Fail::default() }
}

impl Fail {
    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Adds a line such as `command: …`.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<String>) -> Self {
        self.facts.push((name.to_owned(), value.into()));
        self
    }

    /// Adds the lines that another program wrote.
    #[must_use]
    pub fn details(mut self, text: &str) -> Self {
        self.details.extend(text.lines().map(str::to_owned));
        self
    }

    /// Appends the error's cause: its message and its other parts.
    #[must_use]
    pub fn because(mut self, cause: &anyhow::Error) -> Self {
        let cause = flatten(cause);
        self.message = format!("{}: {}", self.message, cause.message);
        self.facts.extend(cause.facts);
        self.details.extend(cause.details);
        self.hints.extend(cause.hints);
        self.known = self.known.or(cause.known);
        self
    }

    /// Sets the exit code.
    #[must_use]
    pub fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }
}

/// The API server's refusal in an error, if there is one.
pub fn refusal_of(error: &anyhow::Error) -> Option<Refusal> {
    match flatten(error).known {
        Some(Cause::Refused(refusal)) => Some(refusal),
        _ => None,
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fail {}

/// Combines an error with its context: the messages joined from the outside in, the other parts collected.
pub fn flatten(error: &anyhow::Error) -> Fail {
    let mut whole = Fail::default();
    let mut exit = None;
    let mut messages: Vec<String> = Vec::new();
    for cause in error.chain() {
        let message = cause.to_string();
        // a library's error often repeats the message of its source
        if !messages.iter().any(|m| m.contains(&message)) {
            messages.push(message);
        }
        if let Some(part) = cause.downcast_ref::<Fail>() {
            whole.facts.extend(part.facts.iter().cloned());
            whole.details.extend(part.details.iter().cloned());
            whole.hints.extend(part.hints.iter().cloned());
            exit = exit.or(Some(part.exit));
            whole.known = whole.known.or(part.known);
        }
    }
    whole.message = messages.join(": ");
    whole.exit = exit.unwrap_or_default();
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_cause_goes_behind() {
        let cause = anyhow::Error::new(fail("no answer").hint("ask again").exit(Exit::Usage)).context("failed to ask");
        let whole = fail("it is unclear").hint("look").because(&cause);
        assert_eq!(whole.message, "it is unclear: failed to ask: no answer");
        assert_eq!(whole.hints, ["look", "ask again"]);
        assert_eq!(whole.exit, Exit::Error);
    }

    #[test]
    fn parts_of_every_layer_are_gathered() {
        let inner: anyhow::Result<()> = Err(fail("no such thing `x`").hint("type `y`").exit(Exit::Usage).into());
        let flat = flatten(&inner.context("failed to read the thing").unwrap_err());
        assert_eq!(flat.message, "failed to read the thing: no such thing `x`");
        assert_eq!(flat.hints, ["type `y`"]);
        assert_eq!(flat.exit, Exit::Usage);
    }
}
