//! The project's volume: which claim to use, and whether it can be used.

pub mod check;
pub mod choose;
pub mod image;
pub mod nfs_server;
pub mod proof;
pub mod steps;
