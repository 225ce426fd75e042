//! The commit of a folder.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::request::{ImageRequest, RunRequest};
use crate::tools::cmd::Cmd;
use crate::tools::git::{self, Comparison, Differences, Head, Repository};
use crate::tools::reply::Reply;
use crate::tools::shell::{Shell, is_interrupted};

/// How many levels of submodules are checked.
const DEPTH: u32 = 5;

/// How long checking the folder and its submodules may take in total.
const LONGEST: Duration = Duration::from_secs(10);

/// Returns the commit of the folder that is built, as it is noted; `None` if there is none.
pub(super) fn commit(shell: &Shell, request: &RunRequest) -> Option<String> {
    let ImageRequest::Built(build) = &request.image else { return None };
    let folder = std::fs::canonicalize(&build.sources.folder).ok()?;
    let repository = Repository::of(&folder)?;
    let mut look = Look { shell, until: Instant::now() + LONGEST, seen: BTreeSet::new() };
    let commit = look.head(&repository)?;
    let differs = look.differs(&repository, &commit, &folder, DEPTH);
    Some(git::noted(&commit, differs))
}

/// Compares a repository and its submodules with their commits, within a time limit: the repository may be from
/// anyone.
struct Look<'a> {
    shell: &'a Shell,
    until: Instant,
    /// The git directories that were checked.
    seen: BTreeSet<PathBuf>,
}

impl Look<'_> {
    fn ask(&self, cmd: Cmd) -> Option<Reply> {
        let left = self.until.checked_duration_since(Instant::now())?;
        self.shell.read(&cmd.deadline(left)).ok()
    }

    fn head(&self, repository: &Repository) -> Option<String> {
        match repository.head() {
            Head::Commit(commit) => Some(commit),
            Head::Table => {
                let reply = self.ask(git::head(repository)).filter(Reply::succeeded)?;
                git::hash(&reply.stdout)
            }
            Head::None => None,
        }
    }

    /// Whether `folder` differs from its commit; `None` if that is unknown.
    fn differs(&mut self, repository: &Repository, commit: &str, folder: &Path, depth: u32) -> Option<bool> {
        // work trees that contain each other would never end
        if !self.seen.insert(std::fs::canonicalize(repository.git_dir()).ok()?) {
            return None;
        }
        let stand_in = repository.stand_in(commit).ok()?;
        let comparison = Comparison { repository, stand_in: stand_in.path() };
        // the command fails if there are none
        let filters = git::filters(&self.ask(comparison.filters())?.stdout)?;
        let reply = self.ask(comparison.status(folder, &filters)).filter(Reply::succeeded)?;
        match git::differences(&reply.stdout) {
            Differences::None => {}
            Differences::Contents(files) if !filters.is_empty() => {
                let reply = self.ask(comparison.attributes(&files)).filter(Reply::succeeded)?;
                return (!git::all_filtered(&reply.stdout, &filters)).then_some(true);
            }
            Differences::Contents(_) | Differences::Some => return Some(true),
        }
        self.submodules_differ(&repository.submodules(folder)?, depth)
    }

    /// Whether one of them differs from its commit.
    fn submodules_differ(&mut self, submodules: &[Repository], depth: u32) -> Option<bool> {
        let mut all = Some(false);
        for submodule in submodules {
            if depth == 0 || is_interrupted() || Instant::now() > self.until {
                return None;
            }
            let one = self.head(submodule).and_then(|head| self.differs(submodule, &head, submodule.root(), depth - 1));
            // one that differs decides, even if others are unknown
            match one {
                Some(true) => return one,
                Some(false) => {}
                None => all = None,
            }
        }
        all
    }
}
