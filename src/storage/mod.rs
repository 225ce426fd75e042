//! The project's volume: which claim it is, and whether that claim can be used.

pub mod check;
pub mod choose;
pub mod image;
pub mod nfs_server;
pub mod proof;
pub mod steps;
