//! Parses a run argument: `RUN`, `RUN/POINT` or `job/RUN`.

use anyhow::Result;

use crate::app::App;
use crate::app::target::Target;
use crate::k8s::names::Namespace;
use crate::runs::lookup::Lookup;
use crate::runs::state::Run;
use crate::util::error::{Fail, fail, usage};

/// The lookup for these flags.
pub(crate) fn lookup<'a>(app: &'a App, target: &'a Target) -> Result<Lookup<'a>> {
    target.require_cluster()?;
    let namespace: Option<&Namespace> = target.namespace.as_ref();
    Ok(Lookup { cluster: target.cluster(app), namespace, fallback: &target.kube_namespace })
}

/// The namespace that the cluster returns for a run.
pub(crate) fn namespace_of(run: &Run) -> Result<Namespace> {
    let error = || fail(format!("the cluster names a namespace `{}` that can't be", run.namespace));
    Namespace::given(&run.namespace).ok_or_else(|| error().into())
}

/// An error if the run does not have the point.
pub(crate) fn require_point(run: &Run, point: Option<u64>) -> Result<()> {
    let (points, _) = run.job().packing();
    match point.filter(|point| *point >= points) {
        None => Ok(()),
        Some(point) => Err(fail(format!("the run `{}` has no point {point}", run.name))
            .hint(format!("its points are 0 to {}", points.saturating_sub(1)))
            .into()),
    }
}

/// The name of a run: `status -o name` and kubectl put the kind before the name.
pub(crate) fn run_name(word: &str) -> &str {
    ["job.batch/", "jobs.batch/", "job/", "jobs/"].iter().find_map(|kind| word.strip_prefix(kind)).unwrap_or(word)
}

/// Parses `RUN` or `RUN/POINT`.
pub(crate) fn run_and_point(word: &str) -> Result<(&str, Option<u64>), Fail> {
    let word = run_name(word);
    let Some((run, point)) = word.split_once('/') else { return Ok((word, None)) };
    match point.parse() {
        Ok(point) => Ok((run, Some(point))),
        Err(_) => Err(usage(format!("`{word}` names no point of a run"))
            .hint(format!("its points have numbers, from 0 on: `{}/0`", crate::util::ui::line(run)))),
    }
}
