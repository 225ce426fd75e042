//! Questions to the API server by one kubectl for all of them, where there would be many at once: each that starts
//! takes a tenth of a second of a processor.

use std::io::{ErrorKind, Read};
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::k8s::list::items_of_api;
use crate::tools::cmd::{Cmd, Stdin};
use crate::tools::kubectl::Kubectl;
use crate::tools::proxy::Proxy;
use crate::tools::reply::Reply;
use crate::tools::shell::Shell;

/// How long an answer is waited for before kubectl itself is asked, which says what is wrong.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A way to the API server, as long as this is there.
#[derive(Debug)]
pub struct Api(Proxy);

impl Api {
    /// Opens it.
    ///
    /// # Errors
    /// If kubectl does not start to serve, or on Windows.
    pub fn open(shell: &Shell, kubectl: &Kubectl) -> Result<Self> {
        Proxy::open(shell, |socket| kubectl.proxy_all(socket)).map(Self)
    }

    /// What kubectl would answer; `None` if it must be asked, as the question has no path, or for its words about
    /// what is wrong. What is not there is left out of the answer, as by [`Kubectl::get`].
    pub fn read(&self, cmd: &Cmd) -> Option<Reply> {
        let body = match &cmd.stdin {
            Stdin::Document { text, .. } => Some(text.as_str()),
            _ => None,
        };
        let mut found = Vec::new();
        for path in &cmd.api {
            match self.0.ask(path, body, Some(ANSWER_TIMEOUT)) {
                Ok(mut answer) => {
                    let mut text = Vec::new();
                    answer.read_to_end(&mut text).ok()?;
                    found.extend(items_of_api(serde_json::from_slice(&text).ok()?));
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(_) => return None,
            }
        }
        let answer = match (body, found.pop(), cmd.api.len()) {
            (_, _, 0) => return None,
            (Some(_), only, _) => only?,
            (None, last, _) => {
                found.extend(last);
                json!({ "kind": "List", "items": found })
            }
        };
        Some(Reply { status: Some(ExitStatus::default()), stdout: answer.to_string().into(), stderr: String::new() })
    }
}
