//! What the image of an experiment is: its Dockerfile, its build context, its key, its names.
//!
//! Everything here is a value or a pure function of values: no disk, clock, environment or process.
//! The files' content comes through a function that the caller brings, see [`context::Open`].
//!
//! - [`entry`]: a file, folder or link of the context. [`crate::image::folder`] finds them.
//! - [`dockerfile`]: the Dockerfile from the template.
//! - [`requirements`]: what a requirements file mentions.
//! - [`context`]: the tar that BuildKit reads on its standard input.
//! - [`key`]: the hash over all that, and sending exactly what was hashed.
//! - [`nfs_server`]: the one image that is no experiment's.
//! - [`mod@reference`], [`repository`]: names of images.

pub mod context;
pub mod dockerfile;
pub mod entry;
pub mod folder;
pub mod key;
pub mod nfs_server;
pub mod reference;
pub mod repository;
pub mod requirements;

#[cfg(test)]
mod tests;

pub use context::{ContextSpec, Open};
pub use dockerfile::{DockerfileContext, Template};
pub use entry::{Entry, Kind};
pub use key::Key;
pub use reference::{Digest, ImageRef};
pub use repository::Repository;

/// An image to be built and published, unless the registry has it under [`Key::tag`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// What goes into it.
    pub context: ContextSpec,
    /// The key of `context`.
    pub key: Key,
    /// Where it is published.
    pub repository: Repository,
}

impl ImageSpec {
    /// The name that says what is in the image: the one to look for and to load.
    pub fn named(&self) -> String {
        self.repository.tagged(&self.key.tag())
    }

    /// Both names of a new image: by its key, and by the time of publishing, such as
    /// `20261123-101500` in UTC.
    pub fn names(&self, stamp: &str) -> [String; 2] {
        [self.named(), self.repository.tagged(stamp)]
    }
}
