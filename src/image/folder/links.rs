//! Where symbolic links lead, step by step, as the kernel goes.
//!
//! Asking the kernel itself would not do: a link such as `../project/x` comes back into the folder
//! here, and nowhere in the image.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};

use crate::image::entry::below;

/// Links followed until it is taken for a circle; the kernel's own limit.
const STEPS: usize = 40;

/// Where a link leads, as a path below its tree's top.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// To something that is there.
    Inside(PathBuf),
    /// To nothing, but inside.
    Missing(PathBuf),
    /// Out of the tree, by an absolute path or too many `..`.
    Outside,
    /// Round in a circle.
    Circle,
}

/// Follows the link at `link` (below `top`) with this target. A path in `replaced` is a link on the
/// disk, but not in the image.
pub(super) fn follow(top: &Path, link: &Path, target: &Path, replaced: &HashSet<PathBuf>) -> End {
    let mut at = link.parent().map(Path::to_path_buf).unwrap_or_default();
    let mut missing = false;
    let mut steps = 0;
    // the next name is the last one
    let mut ahead: Vec<LinkStep> = Vec::new();
    if !push(&mut ahead, target) {
        return End::Outside;
    }
    while let Some(step) = ahead.pop() {
        match step {
            LinkStep::Up if at.as_os_str().is_empty() => return End::Outside,
            LinkStep::Up => _ = at.pop(),
            LinkStep::Into(name) => {
                at = below(&at, Path::new(&name));
                if replaced.contains(&at) {
                    continue;
                }
                let path = top.join(&at);
                match fs::symlink_metadata(&path) {
                    Err(_) => missing = true,
                    Ok(metadata) if metadata.is_symlink() => {
                        steps += 1;
                        let Ok(next) = fs::read_link(&path) else { return End::Missing(at) };
                        if steps > STEPS {
                            return End::Circle;
                        }
                        at.pop();
                        if !push(&mut ahead, &next) {
                            return End::Outside;
                        }
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    if missing { End::Missing(at) } else { End::Inside(at) }
}

enum LinkStep {
    Up,
    Into(OsString),
}

/// Puts the steps of `target` before those ahead; `false` if it starts somewhere else.
fn push(ahead: &mut Vec<LinkStep>, target: &Path) -> bool {
    let mut steps = Vec::new();
    for component in target.components() {
        match component {
            Component::Normal(name) => steps.push(LinkStep::Into(name.to_owned())),
            Component::ParentDir => steps.push(LinkStep::Up),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    ahead.extend(steps.into_iter().rev());
    true
}
