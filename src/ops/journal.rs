//! The journal: the submission is written to disk before anything is sent, so that an interrupted submission can be
//! finished and no run is created twice.
//!
//! One file per run in `$XDG_STATE_HOME/mrunner/runs`, which exists only while its run is unfinished. The process
//! that works on it holds its lock; the system releases the lock when the process ends.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::k8s::names::RunName;
use crate::plan::Plan;
use crate::util::error::fail;
use crate::util::{files, regular_file};

/// The journal of one run, locked.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// Holds the lock.
    lock: File,
}

impl Journal {
    /// Writes `plan` to disk, before the first call.
    pub fn begin(state: &Path, plan: &Plan) -> Result<Self> {
        let folder = folder(state);
        let cannot = || format!("failed to write the journal in `{}`", folder.display());
        files::make_private(&folder).with_context(cannot)?;
        let path = folder.join(format!("{}.json", plan.run));
        let lock = lock_file(&path, true).with_context(cannot)?;
        let journal = Self { path, lock };
        if let Err(error) = journal.update(plan) {
            fs_err::remove_file(lock_path(&journal.path)).ok();
            return Err(error);
        }
        Ok(journal)
    }

    /// Writes the current state of the plan.
    pub fn update(&self, plan: &Plan) -> Result<()> {
        let cannot = || format!("failed to write the journal `{}`", self.path.display());
        files::replace(&self.path, &plan.written()?).with_context(cannot)
    }

    /// Lets processes that are started from now on inherit the lock: a kubectl that outlives its mrunner may still
    /// submit the run.
    pub fn hand_down(&self) -> Result<()> {
        #[cfg(unix)]
        rustix::io::fcntl_setfd(&self.lock, rustix::io::FdFlags::empty())?;
        #[cfg(not(unix))]
        let _ = &self.lock;
        Ok(())
    }

    /// The parent of the journals' folder.
    pub(crate) fn state(&self) -> &Path {
        self.path.ancestors().nth(2).unwrap_or(&self.path)
    }

    /// Removes the journal: the run is finished or was never started.
    pub fn close(self) -> Result<()> {
        remove(&self.path)
    }

    /// Locks and reads the unfinished run `name` (its name or its ID).
    pub fn take_up(state: &Path, name: &str) -> Result<(Self, Plan)> {
        let all = names(state)?;
        let by_id = |known: &&String| read(state, known).is_ok_and(|plan| plan.id.as_str() == name);
        let Some(run) = all.iter().find(|known| *known == name).or_else(|| all.iter().find(by_id)) else {
            let error = fail(format!("no unfinished run is called `{name}`"));
            return Err(match all.first() {
                Some(first) => error
                    .hint(format!("unfinished: {}; such as `kubectl mrunner run --resume {first}`", all.join(", "))),
                None => error.hint("nothing is unfinished; see the runs with `kubectl mrunner status`"),
            }
            .into());
        };
        let path = folder(state).join(format!("{run}.json"));
        let lock = lock_file(&path, true).with_context(|| format!("failed to take up the run `{run}`"))?;
        let plan = read(state, run)?;
        Ok((Self { path, lock }, plan))
    }
}

/// The names of unfinished runs that no process works on.
pub fn unfinished(state: &Path) -> Vec<String> {
    let names = names(state).unwrap_or_default();
    let is_left = |name: &String| {
        let path = folder(state).join(format!("{name}.json"));
        let locked = lock_file(&path, false);
        let missing =
            |e: &anyhow::Error| e.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == ErrorKind::NotFound);
        // a run that was finished meanwhile has no lock and no journal
        (locked.is_ok() || locked.is_err_and(|e| missing(&e))) && path.is_file()
    };
    names.into_iter().filter(is_left).collect()
}

/// Whether the journal of a run can be read, so that its submission can be finished.
pub fn is_readable(state: &Path, run: &str) -> bool {
    read(state, run).is_ok()
}

/// Whether there is an unfinished run of this name, even if a process works on it.
pub fn holds(state: &Path, run: &RunName) -> bool {
    folder(state).join(format!("{run}.json")).exists()
}

/// Removes a journal that can't be read. Returns whether there was one.
pub fn forget_unreadable(state: &Path, run: &RunName) -> Result<bool> {
    if !holds(state, run) || read(state, run.as_str()).is_ok() {
        return Ok(false);
    }
    remove(&folder(state).join(format!("{run}.json")))?;
    Ok(true)
}

fn folder(state: &Path) -> PathBuf {
    state.join("runs")
}

fn names(state: &Path) -> Result<Vec<String>> {
    let folder = folder(state);
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs_err::read_dir(&folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        // a name that begins with a dot is a journal that is being written
        names.extend(name.strip_suffix(".json").filter(|name| !name.starts_with('.')).map(str::to_owned));
    }
    names.sort();
    Ok(names)
}

fn read(state: &Path, run: &str) -> Result<Plan> {
    let path = folder(state).join(format!("{run}.json"));
    let text =
        regular_file::read(&path).map_err(|e| fail(format!("the journal `{}` can't be read: {e}", path.display())))?;
    Plan::read(&text).map_err(|e| {
        fail(format!("the journal `{}` can't be read: {e}", path.display()))
            .hint(format!("forget it with `kubectl mrunner delete {run}`"))
            .into()
    })
}

fn remove(path: &Path) -> Result<()> {
    fs_err::remove_file(path)?;
    // the lock's file is removed last: a process that waits for it then finds no journal
    match fs_err::remove_file(lock_path(path)) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

fn lock_path(path: &Path) -> PathBuf {
    path.with_extension("lock")
}

/// The lock is a separate file, because the journal itself is replaced by renaming.
fn lock_file(path: &Path, create: bool) -> Result<File> {
    let file = files::lock_file(&lock_path(path), create)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            return Err(fail("another mrunner, or a kubectl that it started, is at work on it")
                .hint("wait until that has ended")
                .into());
        }
        Err(e) => return Err(std::io::Error::from(e).into()),
    }
    Ok(file)
}
