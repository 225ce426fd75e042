//! Seeing a run: how far it is, why it waits or failed, what it prints. All of it from the
//! cluster's own objects, so that it works on any machine.

pub mod attempts;
pub mod board;
pub mod endings;
pub mod events;
pub mod faults;
pub mod follow;
pub(crate) mod gaps;
pub mod informer;
pub mod inquiry;
pub mod kept;
pub mod lines;
pub mod logs;
pub mod lookup;
pub mod obstacle;
pub mod outage;
pub mod pace;
pub mod pods;
pub mod printed;
pub mod slim;
pub mod state;
pub mod streams;
pub mod why;
