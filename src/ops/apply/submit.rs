//! Creating the Job exactly once.

use super::ApplyError;
use crate::k8s::job::Job;
use crate::k8s::manifests::job;
use crate::ops::journal::Journal;
use crate::ops::submitted_runs;
use crate::plan::Plan;
use crate::tools::cluster::Cluster;
use crate::tools::kubectl::{self, Outcome, Scope};
use crate::tools::retry::{CHANGE, Retry};
use crate::tools::shell;
use crate::util::error::{Refusal, fail};
use anyhow::Result;
use serde_json::Value;

/// The Job in the cluster.
#[derive(Debug, Default)]
pub(super) struct Submitted {
    pub(super) uid: String,
    /// Whether it was created just now, and not by an earlier try.
    pub(super) is_new: bool,
}

/// Submits the Job, and notes that this machine did.
pub(super) fn submit_once(cluster: Cluster, plan: &Plan, journal: Option<&Journal>) -> Result<Submitted, ApplyError> {
    journal.map_or(Ok(()), Journal::hand_down).map_err(ApplyError::NothingSubmitted)?;
    let (uid, is_new) = submit(cluster, plan)?;
    if let Some(journal) = journal {
        submitted_runs::note(journal.state(), plan, &uid);
    }
    Ok(Submitted { uid, is_new })
}

/// Creates the Job; after an unclear answer looks whether it is there and adopts it only if it is
/// this very submission. The uid that the cluster gave it, and whether it was created just now.
fn submit(cluster: Cluster, plan: &Plan) -> Result<(String, bool), ApplyError> {
    let cmd = plan.submit();
    let mut retry = Retry::new(cluster.shell, CHANGE);
    // whether a try may have got through though its answer did not come
    let mut perhaps = false;
    loop {
        let reply = cluster.shell.run(&cmd).map_err(ApplyError::Unclear)?;
        let is_last = retry.is_last();
        // kubectl can end well without the server's answer, as when a proxy gives one of its own
        if let Some(stored) =
            reply.json(&cmd).ok().filter(|stored| reply.succeeded() && job::is_same(stored, &plan.job))
        {
            return Ok((check_stored(cluster, plan, &stored)?, true));
        }
        let outcome = if reply.succeeded() { Outcome::Unclear } else { kubectl::outcome(&reply.stderr) };
        perhaps |= outcome == Outcome::Unclear;
        let stands = match outcome {
            // what refuses now could be an earlier try that got through
            Outcome::Refused(refusal) if !perhaps && refusal != Refusal::AlreadyExists => {
                return Err(ApplyError::NothingSubmitted(cluster.kubectl.failure(&reply, &cmd).into()));
            }
            Outcome::NotYet(_) if !perhaps && is_last => {
                return Err(ApplyError::NothingSubmitted(cluster.kubectl.failure(&reply, &cmd).into()));
            }
            Outcome::NotYet(_) if !perhaps => Ok(JobInCluster::Missing),
            _ => find_job(cluster, plan),
        };
        match stands {
            Ok(JobInCluster::Ours(stored)) => {
                cluster.ui.tell("job", "it had been submitted already");
                return Ok((check_stored(cluster, plan, &stored)?, false));
            }
            Ok(JobInCluster::Others) => {
                return Err(ApplyError::NothingSubmitted(
                    fail(format!("another run is called `{}`", plan.run))
                        .hint("run the same command again: the new run gets another name")
                        .into(),
                ));
            }
            Err(error) if shell::was_interrupted(&error) => return Err(ApplyError::Unclear(error)),
            // also if it is not there: what was sent last may still be on its way
            Ok(JobInCluster::Missing) | Err(_) if is_last => {
                return Err(ApplyError::Unclear(cluster.kubectl.failure(&reply, &cmd).into()));
            }
            Ok(JobInCluster::Missing) | Err(_) => {}
        }
        retry
            .again(&cmd, &reply)
            .map_err(|error| if perhaps { ApplyError::Unclear(error) } else { ApplyError::NothingSubmitted(error) })?;
    }
}

/// The uid of a Job that is in the cluster. One that would not be run as promised is taken back; what else the
/// cluster left out of it is told.
fn check_stored(cluster: Cluster, plan: &Plan, stored: &Value) -> Result<String, ApplyError> {
    let lost = job::left_out(&plan.final_job(), stored);
    let newer = format!("Kubernetes 1.{} or newer keeps it, unless it is switched off there", kubectl::OLDEST_MINOR);
    if lost.iter().any(|field| field == "spec.backoffLimitPerIndex") {
        let error = fail("the cluster does not keep `backoffLimitPerIndex` of a Job, without which a failed point would be tried again and again and end the others")
            .hint(format!("{newer}: see its version with `{} version`", plan.kubectl.cmd(Scope::Everywhere, "")));
        return Err(withdraw(cluster, plan, error.into()));
    }
    for field in lost {
        cluster.ui.warn(format!("the cluster does not keep `{field}` of the Job; {newer}"));
    }
    Ok(Job::of(stored).uid().unwrap_or_default().to_owned())
}

/// What stands in the cluster under the name of a planned Job.
#[derive(Debug, Clone, PartialEq, Eq)]
enum JobInCluster {
    /// The planned Job, as it is kept there.
    Ours(Value),
    Others,
    Missing,
}

fn find_job(cluster: Cluster, plan: &Plan) -> Result<JobInCluster> {
    let why = format!("look for the Job `{}`", plan.run);
    let name = format!("job/{}", plan.run);
    let cmd = plan.kubectl.get(Scope::In(&plan.namespace), &[&name], None, why);
    let reply = cluster.shell.read(&cmd)?.ok(&cmd)?;
    Ok(match kubectl::objects(&reply, &cmd)?.pop() {
        None => JobInCluster::Missing,
        Some(stored) if job::is_same(&stored, &plan.job) => JobInCluster::Ours(stored),
        Some(_) => JobInCluster::Others,
    })
}

/// Whether the Job, which was submitted suspended, is no longer.
pub(super) fn is_resumed(cluster: Cluster, plan: &Plan) -> bool {
    matches!(find_job(cluster, plan), Ok(JobInCluster::Ours(stored)) if !Job::of(&stored).is_suspended())
}

/// Deletes the Job: one that was refused its points or its Secret is suspended, and would be so for ever.
pub(super) fn withdraw(cluster: Cluster, plan: &Plan, error: anyhow::Error) -> ApplyError {
    let cmd = plan.kubectl.delete_jobs(&plan.namespace, &[plan.run.as_str()]);
    let mut retry = Retry::new(cluster.shell, CHANGE);
    loop {
        match cluster.shell.run(&cmd) {
            Ok(reply) if reply.succeeded() => return ApplyError::NothingSubmitted(error),
            Ok(reply) if kubectl::refusal(&reply.stderr).is_some() => {
                let typed = format!("kubectl mrunner delete -n {} {}", plan.namespace, plan.run);
                let words = "the Job is suspended in the cluster and could not be deleted";
                return ApplyError::Unclear(
                    fail(words).hint(format!("delete it with `{typed}`")).because(&error).into(),
                );
            }
            Ok(reply) if !retry.is_last() && retry.again(&cmd, &reply).is_ok() => {}
            _ => return ApplyError::Unclear(error),
        }
    }
}
