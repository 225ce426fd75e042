//! What a process left behind when it ended.

use std::process::ExitStatus;

use anyhow::Result;
use serde::de::DeserializeOwned;

use crate::tools::cmd::Cmd;
use crate::util::error::{Fail, fail};

/// How much of an answer is shown where it is not what it should be, in bytes.
pub const BEGINNING: usize = 400;

/// What a process left behind.
#[derive(Debug, Clone)]
pub struct Reply {
    /// How it ended; `None` if it was ended here because its deadline had passed.
    pub status: Option<ExitStatus>,
    /// What it wrote to stdout.
    pub stdout: Vec<u8>,
    /// What it wrote to stderr, empty if that was shown instead.
    pub stderr: String,
}

impl Reply {
    /// The reply if the command succeeded, else an error with the command, its status and its words.
    pub fn ok(self, cmd: &Cmd) -> Result<Self> {
        if self.succeeded() { Ok(self) } else { Err(self.failure(cmd).into()) }
    }

    /// The last line that it wrote to stderr, which says why it failed.
    pub fn last_line(&self) -> &str {
        self.stderr.trim_end().lines().last().unwrap_or("no answer")
    }

    /// The error of an answer that should be JSON.
    pub fn invalid_json(&self, cmd: &Cmd, error: &serde_json::Error) -> Fail {
        fail(format!("failed to {}: the answer is not JSON: {error}", cmd.why))
            .fact("command", cmd.to_string())
            .details(&String::from_utf8_lossy(&self.stdout[..self.stdout.len().min(BEGINNING)]))
    }

    /// Of a command that was ended because its deadline had passed.
    pub fn timed_out(cmd: &Cmd) -> Self {
        let stderr = format!("no answer in {} s", cmd.deadline.unwrap_or_default().as_secs());
        Self { status: None, stdout: Vec::new(), stderr }
    }

    /// Whether it ended well.
    pub fn succeeded(&self) -> bool {
        self.status.is_some_and(|s| s.success())
    }

    /// A reply as a test would have it: exit status 1 and these words on stderr.
    #[cfg(test)]
    pub fn failed(stderr: &str) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self { status: Some(ExitStatus::from_raw(256)), stdout: Vec::new(), stderr: stderr.to_owned() }
    }

    /// A reply as a test would have it: exit status 0 and these words on stdout.
    #[cfg(test)]
    pub fn succeeded_with(stdout: &str) -> Self {
        use std::os::unix::process::ExitStatusExt;
        Self { status: Some(ExitStatus::from_raw(0)), stdout: stdout.into(), stderr: String::new() }
    }

    /// The error that this reply is.
    pub fn failure(&self, cmd: &Cmd) -> Fail {
        let words =
            if self.stderr.trim().is_empty() { String::from_utf8_lossy(&self.stdout) } else { (&*self.stderr).into() };
        let error = fail(format!("failed to {}", cmd.why)).fact("command", cmd.to_string());
        let Some(status) = self.status else { return error.details(&self.stderr) };
        // "exit status: 1" or "signal: 9 (SIGKILL)" on Unix, "exit code: 1" on Windows
        let status = status.to_string();
        let (kind, code) = status.split_once(": ").unwrap_or(("status", &status));
        error.fact(kind, code).details(words.trim_end())
    }

    /// What it wrote to stdout as JSON.
    pub fn json<T: DeserializeOwned>(&self, cmd: &Cmd) -> Result<T> {
        serde_json::from_slice(&self.stdout).map_err(|error| self.invalid_json(cmd, &error).into())
    }
}
