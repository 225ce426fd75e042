//! Which commit a folder stands at.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::request::{ImageRequest, RunRequest};
use crate::tools::cmd::Cmd;
use crate::tools::git::{self, Comparison, Differences, Head, Repository};
use crate::tools::reply::Reply;
use crate::tools::shell::{Shell, is_interrupted};

/// How deep submodules are looked for in submodules.
const DEPTH: u32 = 5;

/// How long the folder and all its submodules may take together.
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

/// One look at a repository and its submodules, which may be anybody's: it ends in time, whatever they hold.
struct Look<'a> {
    shell: &'a Shell,
    until: Instant,
    /// The git directories that were looked at.
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

    /// Whether `folder` differs from the commit; `None` if that is not known.
    fn differs(&mut self, repository: &Repository, commit: &str, folder: &Path, depth: u32) -> Option<bool> {
        // one whose work trees hold each other has no end
        if !self.seen.insert(std::fs::canonicalize(repository.git_dir()).ok()?) {
            return None;
        }
        let stand_in = repository.stand_in(commit).ok()?;
        let comparison = Comparison { repository, stand_in: stand_in.path() };
        // it fails if there are none
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
            // one that differs decides, whatever is not known of others
            match one {
                Some(true) => return one,
                Some(false) => {}
                None => all = None,
            }
        }
        all
    }
}
