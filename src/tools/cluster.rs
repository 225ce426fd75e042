//! The cluster that a command works with.

use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use crate::tools::api::Api;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Kubectl, Scope};
use crate::tools::reply::Reply;
use crate::tools::shell::Shell;
use crate::util::error::Refusal;
use crate::util::ui::Ui;

/// What it takes to ask a cluster for something, to change it, and to tell the user about it.
#[derive(Debug, Clone, Copy)]
pub struct Cluster<'a> {
    /// Prints.
    pub ui: &'a Ui,
    /// Starts processes.
    pub shell: &'a Shell,
    /// The kubectl for this cluster.
    pub kubectl: &'a Kubectl,
    /// The folder of what this machine remembers of clusters.
    pub cache: &'a Path,
    /// A connection to the API server that is open already.
    pub api: Option<&'a Api>,
}

impl Cluster<'_> {
    /// Returns the answer to a question, over the open connection if there is one.
    pub fn read(&self, cmd: &Cmd) -> Result<Reply> {
        self.api.and_then(|api| api.read(cmd)).map_or_else(|| self.shell.read(cmd), Ok)
    }

    /// Returns the answer to a question.
    ///
    /// # Errors
    /// If the cluster refuses or does not answer.
    pub fn answer(&self, cmd: &Cmd) -> Result<Reply> {
        let reply = self.read(cmd)?;
        if reply.succeeded() { Ok(reply) } else { Err(self.kubectl.failure(&reply, cmd).into()) }
    }

    /// Returns the objects that a question is about; without those that do not exist.
    ///
    /// # Errors
    /// If the cluster refuses or does not answer.
    pub fn objects(&self, cmd: &Cmd) -> Result<Vec<Value>> {
        kubectl::objects(&self.answer(cmd)?, cmd)
    }

    /// Returns the objects that this user may read; an empty list if that is none of them.
    pub fn visible_objects(&self, cmd: &Cmd) -> Result<Vec<Value>> {
        let reply = self.read(cmd)?;
        if !reply.succeeded() && !kubectl::all_forbidden(&reply.stderr) {
            return Err(self.kubectl.failure(&reply, cmd).into());
        }
        kubectl::objects(&reply, cmd)
    }

    /// Returns the nodes; `None` if this user may not list them.
    pub fn nodes(&self) -> Result<Option<Vec<Value>>> {
        let cmd = self.kubectl.get(Scope::Everywhere, &["nodes"], None, "list the nodes");
        let reply = self.read(&cmd)?;
        match kubectl::refusal(&reply.stderr) {
            _ if reply.succeeded() => kubectl::objects(&reply, &cmd).map(Some),
            Some(Refusal::Forbidden) => Ok(None),
            _ => Err(self.kubectl.failure(&reply, &cmd).into()),
        }
    }

    /// Runs a command that changes something.
    ///
    /// # Errors
    /// If it fails, with a hint where kubectl's words say what is wrong.
    pub fn run(&self, cmd: &Cmd) -> Result<()> {
        let reply = self.shell.run(cmd)?;
        if reply.succeeded() { Ok(()) } else { Err(self.kubectl.failure(&reply, cmd).into()) }
    }
}
