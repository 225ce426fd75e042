//! Creates the Job exactly once.

use super::ApplyError;
use crate::k8s::job::Job;
use crate::k8s::manifests::job;
use crate::k8s::object::Resource;
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
    /// Whether it was created by this call, not by an earlier attempt.
    pub(super) is_new: bool,
}

/// Submits the Job, and records that this machine did.
pub(super) fn submit_once(cluster: Cluster, plan: &Plan, journal: Option<&Journal>) -> Result<Submitted, ApplyError> {
    journal.map_or(Ok(()), Journal::hand_down).map_err(ApplyError::NothingSubmitted)?;
    let (uid, is_new) = submit(cluster, plan)?;
    if let Some(journal) = journal {
        submitted_runs::note(journal.state(), plan, &uid);
    }
    Ok(Submitted { uid, is_new })
}

/// Creates the Job. After an unclear answer, checks whether it exists, and adopts it only if it is this submission.
/// Returns the UID from the cluster, and whether the Job was created by this call.
fn submit(cluster: Cluster, plan: &Plan) -> Result<(String, bool), ApplyError> {
    let cmd = plan.submit();
    let mut retry = Retry::new(cluster.shell, CHANGE);
    // whether an attempt without an answer may have succeeded
    let mut perhaps = false;
    loop {
        let reply = cluster.shell.run(&cmd).map_err(ApplyError::Unclear)?;
        let is_last = retry.is_last();
        // kubectl can succeed without the server's answer, for example if a proxy answers
        if let Some(stored) =
            reply.json(&cmd).ok().filter(|stored| reply.succeeded() && job::is_same(stored, &plan.job))
        {
            return Ok((check_stored(cluster, plan, &stored)?, true));
        }
        let outcome = if reply.succeeded() { Outcome::Unclear } else { kubectl::outcome(&reply.stderr) };
        perhaps |= outcome == Outcome::Unclear;
        let stands = match outcome {
            // a refusal now may follow an earlier attempt that succeeded
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
            // also if it does not exist: the last request may still be on its way
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

/// The UID of a Job in the cluster. A Job that would not run as planned is deleted; other fields that the cluster
/// dropped are reported.
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

/// What the cluster has under the name of a planned Job.
#[derive(Debug, Clone, PartialEq, Eq)]
enum JobInCluster {
    /// The planned Job, as stored in the cluster.
    Ours(Value),
    Others,
    Missing,
}

fn find_job(cluster: Cluster, plan: &Plan) -> Result<JobInCluster> {
    let why = format!("look for the Job `{}`", plan.run);
    let what = [Resource::Job.named(plan.run.as_str())];
    let cmd = plan.kubectl.get_named(Scope::In(&plan.namespace), &what, why);
    let reply = cluster.shell.read(&cmd)?.ok(&cmd)?;
    Ok(match kubectl::objects(&reply, &cmd)?.pop() {
        None => JobInCluster::Missing,
        Some(stored) if job::is_same(&stored, &plan.job) => JobInCluster::Ours(stored),
        Some(_) => JobInCluster::Others,
    })
}

/// Whether the Job, which was submitted suspended, was resumed.
pub(super) fn is_resumed(cluster: Cluster, plan: &Plan) -> bool {
    matches!(find_job(cluster, plan), Ok(JobInCluster::Ours(stored)) if !Job::of(&stored).is_suspended())
}

/// Deletes the Job: a Job whose points or Secret were refused would stay suspended.
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
