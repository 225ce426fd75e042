//! Starting a process, and waiting for its end.

use super::{GRACE, LEAST, Shell, Started};
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::interrupt::POLL_INTERVAL;
use crate::tools::interrupt::{interrupted, is_interrupted};
use crate::tools::log::without_log;
use crate::tools::reply::Reply;
use crate::util::error::{Fail, fail};
use anyhow::{Context, Result};
use std::ffi::{OsStr, OsString};
use std::sync::mpsc::{self};
use std::thread;
use std::time::{Duration, Instant};

pub(super) fn missing_program(cmd: &Cmd) -> Fail {
    let name = cmd.program_name();
    let hint = match name.as_str() {
        "docker" => "install Docker Engine or Docker Desktop: https://docs.docker.com/engine/install/",
        "kubectl" => {
            "install kubectl: https://kubernetes.io/docs/tasks/tools/, or say where it is with `MRUNNER_KUBECTL=PATH`"
        }
        "gcloud" => "install the Google Cloud CLI: https://cloud.google.com/sdk/docs/install",
        _ => "check your `PATH`",
    };
    fail(format!("failed to {}: `{}` was not found", cmd.why, cmd.program.to_string_lossy())).hint(hint)
}

pub(super) fn could_not_start(cmd: &Cmd, error: &std::io::Error) -> Fail {
    fail(format!("failed to {}: `{}` could not be started: {error}", cmd.why, cmd.program.to_string_lossy()))
        .fact("command", cmd.to_string())
}

impl Shell {
    /// The program with its arguments and variables.
    pub(super) fn program(&self, cmd: &Cmd) -> Result<duct::Expression> {
        // duct's own error for a missing program does not name it
        let program = self.find_program(&cmd.program).ok_or_else(|| missing_program(cmd))?;
        let is_kept = |name: &OsStr| !cmd.without.iter().any(|begin| name.to_string_lossy().starts_with(begin));
        let inherited = self.inherited.iter().filter(|(name, _)| is_kept(name)).cloned();
        let low_gc = (self.low_gc && cmd.brief).then(|| ("GOGC".into(), "400".into()));
        // kubectl takes up to 85 MiB for what it does as fast in 37 (<https://go.dev/doc/gc-guide#Memory_limit>)
        let lean = cmd.lean.then(|| ("GOMEMLIMIT".into(), "24MiB".into()));
        let own = self.env.iter().map(|(name, value)| (name.into(), value.clone()));
        let its = cmd.env.iter().map(|(name, value)| (name.into(), value.into()));
        let all: Vec<(OsString, OsString)> = inherited.chain(own).chain(low_gc).chain(lean).chain(its).collect();
        Ok(duct::cmd(program, &cmd.args).unchecked().full_env(all))
    }

    pub(super) fn expression(&self, cmd: &Cmd, stream: Option<std::io::PipeReader>) -> Result<duct::Expression> {
        let expression = self.program(cmd)?;
        Ok(match (&cmd.stdin, stream) {
            (Stdin::Document { text, .. } | Stdin::Hidden { text, .. }, _) => expression.stdin_bytes(text.clone()),
            (_, Some(reader)) => expression.stdin_file(reader),
            _ => expression.stdin_null(),
        })
    }

    pub(super) fn start(&self, cmd: &Cmd, stream: Option<std::io::PipeReader>) -> Result<Started> {
        let expression = self.expression(cmd, stream)?;
        let mut passing_on = None;
        let expression = if !cmd.shown {
            expression.stdout_capture().stderr_capture()
        } else if self.ui.is_live() {
            expression.stdout_to_stderr()
        } else {
            // not handed our stderr: if nobody reads that any more, the command would die of it
            let (words, writer) = std::io::pipe().context("failed to make a pipe")?;
            let (ended, end) = mpsc::channel();
            let ui = self.ui.clone();
            thread::spawn(move || {
                ui.overhear(words);
                ended.send(())
            });
            passing_on = Some(end);
            expression.stdout_to_stderr().stderr_file(writer)
        };
        let handle = expression.start().map_err(|e| could_not_start(cmd, &e))?;
        Ok(Started { handle, passing_on })
    }

    pub(super) fn is_over(&self, cmd: &Cmd, since: Instant) -> bool {
        cmd.deadline.is_some_and(|deadline| since.elapsed() > self.scaled(deadline).max(deadline.min(LEAST)))
    }

    pub(super) fn wait(&self, cmd: &Cmd, Started { handle, passing_on }: &Started) -> Result<Reply> {
        let begun = Instant::now();
        let output = loop {
            // a child that died is reported as its status, as the expression is unchecked
            if let Some(output) =
                handle.wait_timeout(POLL_INTERVAL).with_context(|| format!("failed to {}", cmd.why))?
            {
                break output.clone();
            }
            if is_interrupted() && !self.ignores_interrupts {
                // a command that draws on the terminal was interrupted with us, and tidies up after itself
                if cmd.shown && matches!(handle.wait_timeout(GRACE), Ok(Some(_))) {
                    passing_on.as_ref().map(|end| end.recv_timeout(GRACE));
                } else {
                    handle.kill().ok();
                }
                return Err(interrupted().into());
            }
            if self.is_over(cmd, begun) {
                handle.kill().ok();
                // not waited for any longer: a grandchild may hold its pipes open
                return Ok(Reply::timed_out(cmd));
            }
        };
        // all that it said stands before what is told next, unless its own children say more
        passing_on.as_ref().map(|end| end.recv_timeout(Duration::from_secs(1)));
        // the terminal's Ctrl-C goes to the child as well, which may have ended before we heard of it
        if !output.status.success() && (cmd.shown || matches!(output.status.code(), None | Some(130))) {
            thread::sleep(POLL_INTERVAL);
        }
        if is_interrupted() && !self.ignores_interrupts {
            return Err(interrupted().into());
        }
        let mut stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        if self.logs {
            let (log, words) = without_log(&stderr);
            if !log.is_empty() {
                self.ui.say(log.trim_end());
            }
            stderr = words;
        }
        Ok(Reply { status: Some(output.status), stdout: output.stdout, stderr })
    }
}
