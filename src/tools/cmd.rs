//! A command is data: made by pure functions, shown by one `Display`, started by the shell alone.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::time::Duration;

pub use crate::util::shell_words::quote;
use crate::util::shell_words::quote_posix;

/// A command that the user could have typed.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a command does nothing until the shell is given it"]
pub struct Cmd {
    /// What it is for, in words that follow "failed to".
    pub why: String,
    /// The program: a name to be found on PATH, or a path.
    pub program: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Variables set for it, beside those it inherits.
    pub env: Vec<(String, String)>,
    /// What variables that it does not inherit begin with.
    pub without: &'static [&'static str],
    /// What it reads.
    pub stdin: Stdin,
    /// How long an answer may take; only [`crate::tools::shell::Shell::read`] heeds it.
    pub deadline: Option<Duration>,
    /// Words on stderr after which a question is asked again; only [`crate::tools::shell::Shell::read`] heeds it.
    pub retry_on: &'static [&'static str],
    /// The same question as paths of the API server; only [`crate::tools::api::Api::read`] heeds them.
    pub api: Vec<String>,
    /// Whether what it writes is for the user's eyes while it runs.
    pub shown: bool,
    /// Whether it handles little, and ends soon.
    pub brief: bool,
    /// Whether it passes much on, and should hold little of it.
    pub lean: bool,
}

/// What a command reads on its standard input.
#[derive(Debug, Clone, PartialEq)]
pub enum Stdin {
    /// Nothing.
    Null,
    /// A document, with the name under which `--out` saves it.
    Document {
        /// Such as `job.json`.
        name: String,
        /// The whole text.
        text: String,
    },
    /// A document with a secret in it.
    Hidden {
        /// The whole text, which is shown nowhere.
        text: String,
        /// The same as a shell would make it, from a variable.
        typed: String,
    },
    /// Bytes that are made while they are sent, with the name under which `--out` saves them.
    Stream {
        /// Such as `context.tar`.
        name: String,
    },
}

impl Cmd {
    /// A command without arguments.
    pub fn new(program: impl Into<OsString>, why: impl Into<String>) -> Self {
        Self {
            why: why.into(),
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            without: &[],
            stdin: Stdin::Null,
            deadline: None,
            retry_on: &[],
            api: Vec::new(),
            shown: false,
            brief: false,
            lean: false,
        }
    }

    /// Adds one argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Adds arguments.
    pub fn args<A: Into<OsString>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable for it.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Lets it inherit no variable that begins with one of these.
    pub fn without(mut self, beginnings: &'static [&'static str]) -> Self {
        self.without = beginnings;
        self
    }

    /// Gives it a document to read, see [`Stdin::Document`].
    pub fn document(mut self, name: &str, text: impl Into<String>) -> Self {
        self.stdin = Stdin::Document { name: name.to_owned(), text: text.into() };
        self
    }

    /// Gives it a document with a secret in it, see [`Stdin::Hidden`].
    pub fn hidden(mut self, text: impl Into<String>, typed: impl Into<String>) -> Self {
        self.stdin = Stdin::Hidden { text: text.into(), typed: typed.into() };
        self
    }

    /// Lets it read a stream, see [`Stdin::Stream`].
    pub fn stream(mut self, name: &str) -> Self {
        self.stdin = Stdin::Stream { name: name.to_owned() };
        self
    }

    /// Bounds the time to its answer.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Has it asked again where it fails with any of these words.
    pub fn retry_on(mut self, words: &'static [&'static str]) -> Self {
        self.retry_on = words;
        self
    }

    /// Names the paths under which the API server answers the same. What the command reads is sent to each.
    pub fn api(mut self, paths: Vec<String>) -> Self {
        self.api = paths;
        self
    }

    /// Shows what it writes while it runs.
    pub fn shown(mut self) -> Self {
        self.shown = true;
        self
    }

    /// Says that it passes much on, and should hold little of it.
    pub fn lean(mut self) -> Self {
        self.lean = true;
        self
    }

    /// Says that it handles little, however large the cluster is.
    pub fn brief(mut self) -> Self {
        self.brief = true;
        self
    }

    /// The command as a line of a POSIX script, which knows no `$'...'`; unlike the [`fmt::Display`] it
    /// may hold what a terminal would obey.
    pub fn script_line(&self) -> String {
        let env = self.env.iter().map(|(name, value)| format!("{name}={}", quote_posix(OsStr::new(value))));
        let words = std::iter::once(&self.program).chain(&self.args).map(|word| quote_posix(word));
        let line = env.chain(words).collect::<Vec<_>>().join(" ");
        match &self.stdin {
            Stdin::Null => line,
            Stdin::Hidden { typed, .. } => format!("{line} <<END\n{typed}\nEND"),
            Stdin::Document { name, .. } | Stdin::Stream { name } => {
                format!("{line} < {}", quote_posix(OsStr::new(name)))
            }
        }
    }

    /// The name of its program, for messages.
    pub fn program_name(&self) -> String {
        let path = std::path::Path::new(&self.program);
        path.file_name().unwrap_or(&self.program).to_string_lossy().into_owned()
    }
}

/// The command as it could be pasted into a shell; the name of what it reads stands behind `<`.
impl fmt::Display for Cmd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.env {
            write!(f, "{name}={} ", quote(OsStr::new(value)))?;
        }
        f.write_str(&quote(&self.program))?;
        for arg in &self.args {
            write!(f, " {}", quote(arg))?;
        }
        match &self.stdin {
            Stdin::Null => Ok(()),
            Stdin::Hidden { typed, .. } if !typed.contains(['\n', '"']) => write!(f, " <<< \"{typed}\""),
            Stdin::Hidden { typed, .. } => write!(f, " <<END\n{typed}\nEND"),
            Stdin::Document { name, .. } | Stdin::Stream { name } => write!(f, " < {}", quote(OsStr::new(name))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hidden_document_can_be_pasted() {
        for (typed, read) in [("$PW", "s3\n"), (r#"{"a":"\"$(printf %s "$PW")\""}"#, "{\"a\":\"\\\"s3\\\"\"}\n")] {
            let cmd = Cmd::new("cat", "read").hidden("s3", typed).to_string();
            let shell = std::process::Command::new("bash").args(["-c", &cmd]).env("PW", "s3").output().unwrap();
            assert_eq!(String::from_utf8_lossy(&shell.stdout), read, "{cmd}");
        }
    }

    #[test]
    fn it_can_be_pasted() {
        let cmd =
            Cmd::new("kubectl", "read").args(["get", "a b", "", "it's", "x\n\u{1b}[31m", "ünï"]).env("KUBERC", "off");
        let cmd = cmd.document("job.json", "{}");
        let text = cmd.to_string();
        let shell = std::process::Command::new("bash")
            .args(["-c", &format!("kubectl() {{ printf '%s\\0' \"$@\"; }}; {}", text.replace("< job.json", ""))])
            .output()
            .unwrap();
        assert_eq!(shell.stdout, "get\0a b\0\0it's\0x\n\u{1b}[31m\0ünï\0".as_bytes());
        assert!(text.starts_with("KUBERC=off kubectl get 'a b' ''"), "{text}");
        let script = format!("kubectl() {{ printf '%s\\0' \"$@\"; }}; {}", cmd.script_line().replace("< job.json", ""));
        let dash = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        assert_eq!(dash.stdout, shell.stdout);
        assert!(!text.contains('\u{1b}'));
    }
}
