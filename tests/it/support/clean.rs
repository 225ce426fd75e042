//! The one place where tests start programs, so that no test depends on the environment of whoever runs the tests.

use std::env;
use std::ffi::OsStr;
use std::process::Command;

/// A program that inherits only these variables: no `MRUNNER_*`, `KUBECONFIG` or `NO_COLOR` that nobody named.
pub fn clean(program: impl AsRef<OsStr>, inherited: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().envs(inherited.iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command
}
