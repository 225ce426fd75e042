//! The registry of an image: logging docker in, and what is published.

use anyhow::Result;

use crate::app::variable;
use crate::k8s::manifests::pull_secret::RegistryLogin;
use crate::plan::Login;
use crate::tools::docker::{self, Published, RegistryProblem};
use crate::tools::shell::Shell;
use crate::util::error::{flatten, usage};

/// Returns the password that the login's variable holds.
pub fn password(login: &RegistryLogin) -> Result<String> {
    variable(&login.variable).ok_or_else(|| {
        usage(format!("the variable `{}` holds no password for `{}`", login.variable, login.host))
            .hint(format!("set it, such as with `read -rs {0} && export {0}`", login.variable))
            .into()
    })
}

/// Logs docker in to the registry.
pub fn log_in(shell: &Shell, login: &Login) -> Result<()> {
    let password = match login {
        Login::Password(login) => Some(password(login)?),
        Login::Google(_) => None,
    };
    let cmd = login.cmd(password.as_deref());
    let reply = shell.run(&cmd).map_err(|error| match login {
        Login::Google(host) => flatten(&error)
            .hint("get gcloud: https://cloud.google.com/sdk/docs/install")
            .hint(format!("or log in to `{host}` by another way with `docker login {host}`"))
            .into(),
        Login::Password(_) => error,
    })?;
    if reply.succeeded() {
        return Ok(());
    }
    Err(match login {
        Login::Google(_) => reply.failure(&cmd).hint("log in with `gcloud auth login`"),
        Login::Password(login) => reply
            .failure(&cmd)
            .hint(format!("does the variable `{}` hold the password of `{}`?", login.variable, login.user)),
    }
    .into())
}

/// Returns the digest of what the registry has under `reference`, `None` if it has nothing.
pub fn published(shell: &Shell, reference: &str, plain: bool) -> Result<Option<String>> {
    let mut cmd = docker::inspect(reference, plain);
    let mut reply = shell.read(&cmd)?;
    if let Some(digest) = docker::digest_of_image(&reply) {
        return Ok(Some(digest));
    }
    // the second request works only with TLS, or with a registry on this machine
    let said = docker::published(&reply);
    let is_clear = said == Published::Unknown(RegistryProblem::Denied) || (plain && said == Published::No);
    if reply.status.is_some() && !is_clear {
        cmd = docker::look_again(reference);
        reply = shell.read(&cmd)?;
    }
    match docker::published(&reply) {
        Published::Yes(digest) => Ok(Some(digest)),
        Published::No => Ok(None),
        Published::Unknown(problem) => {
            let host = reference.split('/').next().unwrap_or_default();
            Err(reply.failure(&cmd).hint(docker::hint(problem, host)).into())
        }
    }
}
