//! Removes the NFS server.

use super::Admin;
use crate::k8s::claim::Claim;
use crate::k8s::manifests::nfs_server::NAME;
use crate::k8s::names::Namespace;
use crate::storage::nfs_server::{address, users};
use crate::tools::kubectl::{REQUEST_TIMEOUT, Scope};
use crate::util::error::{Fail, fail, usage};
use anyhow::Result;
use serde_json::Value;

impl Admin<'_> {
    /// Sets the reclaim policy of the server's volume.
    pub(super) fn keep_volume(&self, claim: Option<&Value>) {
        let Some(volume) = claim.and_then(|claim| Claim::of(claim).volume_text()) else { return };
        if let Err(error) = self.reclaim(volume, "Retain") {
            self.app.ui.warn(format!(
                "the volume `{volume}` goes when its claim is deleted, and all data with it: {error:#}; an administrator can \
                 set `persistentVolumeReclaimPolicy: Retain`"
            ));
        }
    }

    pub(super) fn reclaim(&self, volume: &str, policy: &str) -> Result<()> {
        let patch = format!(r#"{{"spec":{{"persistentVolumeReclaimPolicy":"{policy}"}}}}"#);
        let cmd = self
            .target
            .kubectl
            .cmd(Scope::Everywhere, format!("set the reclaim policy of the volume `{volume}` to {policy}"))
            .args(["patch", "persistentvolume", volume, "--field-manager=mrunner", "-p", &patch, "-o", "name"])
            .deadline(REQUEST_TIMEOUT);
        self.run(&cmd)
    }

    pub(super) fn remove(&self, delete_data: bool) -> Result<()> {
        let ui = &self.app.ui;
        let standing = self.standing()?;
        if standing.deployment.is_none() && standing.service.is_none() && (!delete_data || standing.claim.is_none()) {
            ui.say("there is no NFS server in the cluster");
            return Ok(());
        }
        let address = standing.service.as_ref().and_then(address);
        let cmd = self.target.kubectl.get(
            Scope::Everywhere,
            &["persistentvolumes"],
            None,
            "see which volumes are on the server",
        );
        let users = users(&self.ask(&cmd)?, address);
        if !users.is_empty() {
            return Err(fail(format!("the NFS server is in use: {}", users.join(", ")))
                .hint("pods that use it would hang, and could not even be deleted: remove these projects first, with `kubectl mrunner project delete`")
                .into());
        }
        self.confirm(delete_data)?;
        let own = Namespace::nfs_server();
        self.delete(
            Scope::In(&own),
            &[&format!("deployment/{NAME}"), &format!("service/{NAME}")],
            "remove the NFS server",
        )?;
        ui.tell("server", "removed");
        if !delete_data {
            ui.say(format!(
                "its data stay in the claim `{NAME}` of the namespace `{own}`: a new server finds them there"
            ));
            return Ok(());
        }
        if let Some(volume) = standing.claim.as_ref().and_then(|claim| Claim::of(claim).volume_text()) {
            // otherwise the volume would stay and cost money
            self.reclaim(volume, "Delete")?;
        }
        self.delete(Scope::In(&own), &[&format!("persistentvolumeclaim/{NAME}")], "delete the server's data")?;
        self.delete(Scope::Everywhere, &[&format!("namespace/{own}")], "delete the namespace `mrunner-nfs`")?;
        ui.tell("data", "deleted");
        Ok(())
    }

    /// Asks for the confirmation; no flag replaces it when data are deleted.
    pub(super) fn confirm(&self, delete_data: bool) -> Result<(), Fail> {
        let what = if delete_data { "the NFS server and ALL DATA ON IT" } else { "the NFS server" };
        let own = Namespace::nfs_server();
        if !self.app.ui.can_ask() {
            return Err(usage(format!("removing {what} has to be confirmed, and nobody can be asked here"))
                .hint(format!("do it in a terminal, and type `{own}` when asked")));
        }
        let answer = self.app.ui.ask(&format!("type `{own}` to remove {what}"), "");
        if answer.as_deref() == Some(own.as_str()) { Ok(()) } else { Err(fail("nothing was removed")) }
    }

    pub(super) fn delete(&self, scope: Scope, what: &[&str], why: &str) -> Result<()> {
        let cmd = self.target.kubectl.cmd(scope, why).args(["delete"]).args(what.iter().copied());
        self.run(
            &cmd.args(["--ignore-not-found", "--wait=true", "--timeout=90s", "-o", "name"])
                .deadline(4 * REQUEST_TIMEOUT),
        )
    }
}
