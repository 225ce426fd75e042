//! The program against a real Kubernetes, Docker Engine and registry: `tests/cluster/cluster up`,
//! then `eval "$(tests/cluster/cluster env)"` and `cargo test --test cluster`.
//!
//! Each test has a namespace of its own, so they run side by side.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod node;
mod project;
mod wire;

mod accelerators;
mod admission;
mod crowd;
mod cut_off;
mod dry_run;
mod failures;
mod fates;
mod image;
mod interrupted;
mod kept_logs;
mod killed;
mod kubeconfig;
mod logs;
mod nfs;
mod passing;
mod registry;
mod rights;
mod run;
mod secrets;
mod size;
mod status;
mod storage;
mod sweep;
mod transfer;
