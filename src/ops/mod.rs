//! The operations of the verbs, one file each.

pub mod apply;
pub(crate) mod archived_logs;
pub(crate) mod archived_metrics;
pub(crate) mod archived_run;
pub mod claim_cache;
pub mod facts;
pub(crate) mod held_log;
pub mod image_pull_test;
pub mod journal;
pub mod locate_volume;
pub(crate) mod log_reader;
pub mod outline;
pub(crate) mod project_request;
pub mod provision_storage;
pub mod registry;
pub(crate) mod run_ref;
pub mod storage_probe;
pub mod submit_limiter;
pub(crate) mod submitted_runs;
