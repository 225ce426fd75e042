//! One binary for all tests that need no cluster.

mod golden;
mod house;
mod support;

mod run;
