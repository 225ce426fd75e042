//! The cluster that a command works with.

use crate::tools::kubectl::Kubectl;
use crate::tools::shell::Shell;
use crate::util::ui::Ui;

/// What it takes to ask a cluster for something, and to tell the user about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cluster<'a> {
    pub(crate) ui: &'a Ui,
    pub(crate) shell: &'a Shell,
    pub(crate) kubectl: &'a Kubectl,
}
