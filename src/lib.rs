//! `kubectl mrunner`: from a local folder to a running experiment on any Kubernetes cluster.
//!
//! A run goes through these, and each knows only those below it:
//!
//! ```text
//! main -> commands -> { target, request, facts, plan, outline, apply, journal, watch }
//!      -> { image, objects, storage, folder } -> { names, quantity, render }
//! ```
//!
//! - [`cli`], [`flags`], [`app`], [`commands`]: the command line, the flags of every verb, what every
//!   verb works with, the verbs.
//! - [`complete`]: what can stand where the cursor is; [`seen`]: the runs that it knows.
//! - [`config`], [`target`]: the files a user writes; which cluster and settings they lead to.
//! - [`rights`]: what a user must be allowed to do; [`probe`]: whether the cluster reaches the registry.
//! - [`store`]: a project's storage is made ready; [`prove`]: whether nodes share it; [`remembered`]: what this machine knows of claims.
//! - [`provider`]: what a kube context's name tells of its cluster.
//! - [`request`]: a run, with every default and precedence rule applied once.
//! - [`sweep`]: the points of a sweep, which of them are taken.
//! - [`facts`]: what must be asked of the world, asked side by side.
//! - [`plan`]: what will be done, whole, before anything is; [`outline`] shows or saves it,
//!   [`apply`] does it, [`journal`] remembers it until it is done.
//! - [`turn`]: runs that are submitted at once on one machine.
//! - [`env_files`]: the variables that `--env-file` names.
//! - [`regular`], [`disk`]: reading files that may be none; writing files such that nothing is lost.
//! - [`accelerators`]: GPUs and TPUs by their type, found on the nodes' labels.
//! - [`folder`], [`image`], [`objects`], [`storage`]: the user's folder on the disk, the image made
//!   of it, the objects in the cluster, the project's volume.
//! - [`watch`]: how far a run is, why it waits, what it prints.
//! - [`results`]: what the points of a run measured, beside their parameters; [`loose`]: the JSON that they write.
//! - [`transfer`]: files from and to a volume, through a helper's pod, each byte of them verified.
//! - [`tools`]: docker, git, kubectl. [`tools::shell`] alone starts processes.
//! - [`ui`]: prints; [`error`]: what it prints of a failure.
//!
//! What must stay true is held by `tests/it/house.rs`.

pub mod accelerators;
pub mod app;
pub mod apply;
pub mod cli;
pub mod commands;
pub mod complete;
pub mod config;
pub mod disk;
pub mod env_files;
pub mod error;
pub mod facts;
pub mod flags;
pub mod folder;
pub mod image;
pub mod journal;
pub mod loose;
pub mod names;
pub mod objects;
pub mod outline;
pub mod plan;
pub mod platforms;
pub mod probe;
pub mod prove;
pub mod provider;
pub mod quantity;
pub mod regular;
pub mod remembered;
pub mod render;
pub mod request;
pub mod results;
pub mod rights;
pub mod seen;
pub mod storage;
pub mod store;
pub(crate) mod submitted;
pub mod sweep;
pub mod taints;
pub mod target;
pub mod tools;
pub mod transfer;
pub mod turn;
pub mod ui;
pub mod unstarted;
pub mod watch;
