//! Which commit a folder stands at.

use std::path::Path;

use super::Facts;
use crate::request::{ImageRequest, RunRequest};
use crate::tools::git::{self, Comparison, Differences, Head, Repository};
use crate::tools::reply::Reply;

/// How deep submodules are looked for in submodules.
const DEPTH: u32 = 5;

impl Facts<'_> {
    /// The commit of the folder that is built, as it is noted; `None` if there is none.
    pub(super) fn commit(&self, request: &RunRequest) -> Option<String> {
        let ImageRequest::Built(build) = &request.image else { return None };
        let folder = std::fs::canonicalize(&build.sources.folder).ok()?;
        let repository = Repository::of(&folder)?;
        let commit = self.head(&repository)?;
        let differs = self.differs(&repository, &commit, &folder, DEPTH);
        Some(git::noted(&commit, differs))
    }

    fn head(&self, repository: &Repository) -> Option<String> {
        match repository.head() {
            Head::Commit(commit) => Some(commit),
            Head::Table => {
                let reply = self.shell.read(&git::head(repository)).ok().filter(Reply::succeeded)?;
                git::hash(&reply.stdout)
            }
            Head::None => None,
        }
    }

    /// Whether `folder` differs from the commit; `None` if that is not known.
    fn differs(&self, repository: &Repository, commit: &str, folder: &Path, depth: u32) -> Option<bool> {
        let stand_in = repository.stand_in(commit).ok()?;
        let comparison = Comparison { repository, stand_in: stand_in.path() };
        // it fails if there are none
        let filters = git::filters(&self.shell.read(&comparison.filters()).ok()?.stdout)?;
        let reply = self.shell.read(&comparison.status(folder, &filters)).ok().filter(Reply::succeeded)?;
        match git::differences(&reply.stdout) {
            Differences::None => {}
            Differences::Contents(files) if !filters.is_empty() => {
                let reply = self.shell.read(&comparison.attributes(&files)).ok().filter(Reply::succeeded)?;
                return (!git::all_filtered(&reply.stdout, &filters)).then_some(true);
            }
            Differences::Contents(_) | Differences::Some => return Some(true),
        }
        let submodules = repository.submodules(folder)?;
        if depth == 0 && !submodules.is_empty() {
            return None;
        }
        let one = |submodule: &Repository| {
            let commit = self.head(submodule)?;
            self.differs(submodule, &commit, submodule.root(), depth.checked_sub(1)?)
        };
        // one that differs decides, whatever is not known of others
        let all: Vec<Option<bool>> = submodules.iter().map(one).collect();
        if all.contains(&Some(true)) { Some(true) } else { all.into_iter().collect::<Option<Vec<_>>>().map(|_| false) }
    }
}
