//! The runs in the cluster: their state, why they wait or failed, their logs and metrics. Everything comes from the
//! cluster's objects and from the records on the volume, so it works on any machine.

pub mod archive;
pub mod attempts;
pub mod diagnosis;
pub mod endings;
pub mod events;
pub mod faults;
pub mod follow;
pub(crate) mod gaps;
pub mod informer;
pub mod inquiry;
pub mod lenient_json;
pub mod lines;
pub mod logs;
pub mod lookup;
pub mod obstacle;
pub mod pods;
pub mod printed;
pub mod progress;
pub mod results;
pub mod run_name_cache;
pub mod state;
pub mod streams;
pub mod throughput;
pub(crate) mod unstarted;
