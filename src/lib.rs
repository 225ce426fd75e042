//! `kubectl mrunner`: from a local folder to a running experiment on any Kubernetes cluster.
//!
//! One room a module; each uses only those that stand behind it in this list, which `tests/it/house.rs` holds:
//!
//! - [`cli`]: the command line, completion, one file for each verb.
//! - [`ops`]: what verbs do: submit a run, prepare storage, read a log, gather facts.
//! - [`transfer`]: files from and to a volume.
//! - [`runs`]: the state of runs, why they wait or failed, their logs and results.
//! - [`plan`]: what a run will do, whole, before anything is done. Pure.
//! - [`request`]: a run with every default and precedence rule applied; the points of a sweep. Pure.
//! - [`app`]: what every verb works with: the global options, the paths, the target cluster.
//! - [`storage`]: which claim holds a project's data, and whether it can be used. Pure.
//! - [`image`]: the user's folder, and the image that is built from it.
//! - [`config`]: the files that a user writes.
//! - [`tools`]: docker, gcloud, git, kubectl, python; [`tools::shell`] alone starts processes.
//! - [`k8s`]: names, quantities, manifests and other knowledge of Kubernetes. Pure.
//! - [`util`]: errors, printing, templates, files.

pub mod app;
pub mod cli;
pub mod config;
pub mod image;
pub mod k8s;
pub mod ops;
pub mod plan;
pub mod request;
pub mod runs;
pub mod storage;
pub mod tools;
pub mod transfer;
pub mod util;
