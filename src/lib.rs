//! `kubectl mrunner`: from a local folder to a running experiment on any Kubernetes cluster.

pub mod config;
pub mod error;
pub mod folder;
pub mod image;
pub mod names;
pub mod quantity;
pub mod render;
pub mod tools;
pub mod ui;
