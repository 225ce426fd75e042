//! One binary for all tests that need no cluster.

mod golden;
mod house;
mod support;

mod bad_input;
mod contexts;
mod refusals;
mod run;
mod what_is_sent;
