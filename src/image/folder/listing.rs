//! What a folder lists, and what the rules say of it.

use std::ffi::OsString;
use std::fs::{self, FileType};
use std::rc::Rc;

/// What becomes of a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes along.
    Keep,
    /// It does not, and neither does anything below it.
    LeaveOut,
    /// It does not by itself, but something below it may.
    LookInside,
}

/// What a folder hands down to what is in it: for each of docker's patterns, whether it matched.
#[derive(Debug, Clone)]
pub(super) struct Inherited(pub(super) Rc<[bool]>);

impl Inherited {
    /// What the topmost folder hands down.
    pub(super) fn nothing() -> Self {
        Self(Rc::new([]))
    }
}

/// The number of a faulty line and what is wrong with it.
pub(super) type LineFault = (usize, String);

/// One line of a folder's listing.
pub(super) struct Listed {
    pub(super) name: OsString,
    pub(super) kind: FileType,
    pub(super) entry: fs::DirEntry,
}
