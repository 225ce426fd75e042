//! What a user may write wrong.

mod experiment_file;
mod flags;
mod names;
mod script;
