//! The programs that mrunner orchestrates. They know no experiment: names and documents go in,
//! commands and parsed answers come out.

pub mod api;
pub mod cluster;
pub mod cmd;
pub mod docker;
pub mod ends_with_parent;
pub mod environment;
pub mod gcloud;
pub mod git;
pub mod interrupt;
pub mod kubectl;

pub mod local;
pub mod log;
pub mod pod_logs;
pub mod proxy;
pub mod python;
pub mod reply;
pub mod retry;
pub mod shell;
