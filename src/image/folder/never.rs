//! What never belongs into an image: histories, caches, virtual environments, runs that were saved.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use super::listing::Listed;

/// Left out wherever they are, and whatever they are.
const NAMES: &[&str] = &[
    ".git",
    ".hg",
    ".svn",
    "__pycache__",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".ipynb_checkpoints",
    ".tox",
    ".nox",
    ".DS_Store",
];

/// How a `CACHEDIR.TAG` starts, see <https://bford.info/cachedir/>.
const SIGNATURE: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// Whether a thing of this name is left out.
pub(super) fn by_name(name: &OsStr) -> bool {
    NAMES.iter().any(|n| name == *n)
}

/// What a folder is, if what it holds shows that it can be made anew anywhere.
pub(super) fn by_content(folder: &Path, listed: &[Listed]) -> Option<&'static str> {
    let has = |name: &str| listed.iter().find(|l| l.name == name);
    if has("pyvenv.cfg").is_some_and(|l| l.kind.is_file()) {
        return Some("a virtual environment");
    }
    if has("conda-meta").is_some_and(|l| l.kind.is_dir()) {
        return Some("a conda environment");
    }
    if ["run.sh", "job.json", "context.tar"].iter().all(|name| has(name).is_some()) {
        return Some("a run saved by `--out`");
    }
    let tag = has("CACHEDIR.TAG").filter(|l| l.kind.is_file())?;
    let mut start = [0; SIGNATURE.len()];
    File::open(folder.join(&tag.name)).and_then(|mut file| file.read_exact(&mut start)).ok()?;
    (start == *SIGNATURE).then_some("a cache, as its CACHEDIR.TAG says")
}
