//! Changing the contexts' file on the disk: whole or not at all, and one change at a time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::contexts::ContextsFile;
use super::edit::{self, Change};
use super::load::contexts_text;
use crate::util::error::{Fail, usage};
use crate::util::files;

/// An error for what can be read as a file and not be replaced as one, such as `/dev/null`.
pub fn require_file(path: &Path) -> Result<(), Fail> {
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return Err(usage(format!("`{}` is not a regular file, so no context can be kept in it", path.display()))
            .hint("name a file, such as with `export MRUNNER_CONFIG=~/.config/mrunner/config.yaml`"));
    }
    Ok(())
}

/// The file, with nobody else changing it.
#[derive(Debug)]
pub struct Held {
    /// Where it really is: a file that is a link stays one.
    path: PathBuf,
    /// What it holds; nothing if there is none.
    pub text: String,
    /// Released by the system when it is dropped.
    _lock: File,
}

impl Held {
    /// Waits for others that change it, and reads it.
    ///
    /// # Errors
    /// If it can't be read, or a file beside it can't be written.
    pub fn take(path: &Path) -> Result<Self> {
        // also tells what is wrong with a path that leads nowhere
        contexts_text(path)?;
        require_file(path)?;
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let cannot = || format!("failed to change `{}`", path.display());
        let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        files::make_private(folder).with_context(cannot)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let lock = files::lock_file(&folder.join(format!(".{name}.lock")), true).with_context(cannot)?;
        // the others only rename a file, so this takes no time to speak of
        lock.lock().with_context(cannot)?;
        let text = contexts_text(&path)?.unwrap_or_default();
        Ok(Self { path, text, _lock: lock })
    }

    /// Makes one change. What the file says now.
    ///
    /// # Errors
    /// As [`edit::change`], and if it can't be written; the file is as it was then.
    pub fn change(&mut self, change: &Change) -> Result<ContextsFile> {
        let (text, file) = edit::change(&self.text, &self.path, change)?;
        self.text = text;
        Ok(file)
    }

    /// Puts the text into the file.
    ///
    /// # Errors
    /// If it can't be written; the file is as it was then.
    pub fn save(self) -> Result<()> {
        let cannot = || format!("failed to write `{}`, which is as it was", self.path.display());
        files::replace(&self.path, self.text.as_bytes()).with_context(cannot)
    }

    /// Puts `text` into the file.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub fn replace(mut self, text: &str) -> Result<()> {
        text.clone_into(&mut self.text);
        self.save()
    }
}
