//! What every room needs: errors, printing, templates, files.

pub mod error;
pub mod files;
pub(crate) mod json;
pub mod regular_file;
pub mod shell_words;
pub mod template;
pub mod ui;
pub mod width;
