//! The files that a user writes, and the names in their kubeconfig.
//!
//! - [`contexts`]: mrunner's own file, `config.yaml`: the remote contexts.
//! - [`experiment`]: what an experiment's file says, in neptune.yaml's form. It may come with
//!   somebody's repository, so it knows no key that chooses a cluster, a registry, a credential or
//!   a path outside its folder.
//! - [`kubeconfig`]: which contexts kubectl knows. Only names are read.
//! - [`edit`]: changes of the first as text, so that all else in it stays as it was written.
//! - [`load`], [`save`]: the only parts that touch the disk; all else goes from text to values.
//!
//! A file is read whole before it is refused: every [`Fault`] is collected with its line and key,
//! and all of them become one [`Fail`](crate::util::error::Fail). Scalars keep their source text
//! (`python: 3.10` is "3.10"), which is why the first two are read from a tree of our own
//! ([`yaml`]) and not through serde.

pub mod check;
pub mod contexts;
pub mod docker;
pub mod edit;
mod env_file;
pub mod experiment;
mod fault;
pub mod kubeconfig;
pub mod load;
pub mod parameters;
pub mod registry;
pub mod resources;
pub mod save;
mod section;
pub mod sweep;
mod tolerations;
pub mod yaml;

pub use contexts::{ContextsFile, RemoteContext};
pub use docker::Docker;
pub use env_file::{Variable, parse as parse_env_file};
pub use experiment::Experiment;
pub use fault::{Fault, Faults, Spot, Wrong, wrong};
pub use kubeconfig::{KubeConfig, KubeContext};
pub use load::{
    contexts_text, read_contexts, read_docker, read_env_file, read_experiment, read_explicit_kubeconfig,
    read_kubeconfig, read_sweep,
};
pub use parameters::{ParamKind, Parameter, Value};
pub use registry::Registry;
pub use resources::Resources;
