//! One binary for all tests that need no cluster.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod golden;
mod house;
mod objects;
mod support;

mod accelerators;
mod admission;
mod bad_input;
mod citizen;
mod completion;
mod context;
mod contexts;
mod doctor;
mod dry_run;
mod experiments;
mod foreign_folder;
mod hostile;
mod inside;
mod interrupts;
mod metrics;
mod nfs_server;
mod older;
mod packed;
mod pipes;
mod platforms;
mod pods;
mod project;
mod properties;
mod queue;
mod readme;
mod refusals;
mod registry;
mod rerun;
mod results;
mod run;
mod secrets;
mod seeing;
mod storage;
mod streams;
mod submit_once;
mod sweep;
mod transfer;
mod what_is_sent;
mod whole_logs;
mod wrapper;
