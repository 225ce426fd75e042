//! Creates the objects that the Job owns and waits for (points, secret variables), and resumes the Job.

use super::ApplyError;
use super::submit::{Submitted, is_resumed, withdraw};
use crate::k8s::manifests::secret_env;
use crate::k8s::object::{ObjectRef, Resource};
use crate::plan::{Known, Plan, Step};
use crate::tools::cluster::Cluster;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Outcome, Scope};
use crate::tools::retry::{CHANGE, Retry};
use crate::util::error::{Fail, Refusal, fail};
use anyhow::Result;

/// Creates points and secret variables beside the Job, which owns them, or resumes the Job.
pub(super) fn create_owned(
    cluster: Cluster,
    plan: &Plan,
    step: Step,
    job: &Submitted,
    secrets: &[(String, String)],
) -> Result<(), ApplyError> {
    let known = Known { uid: &job.uid, secrets: Some(secrets), ..Known::default() };
    plan.commands(step, &known).iter().try_for_each(|cmd| create_one(cluster, plan, step, cmd, job.is_new, secrets))
}

fn create_one(
    cluster: Cluster,
    plan: &Plan,
    step: Step,
    cmd: &Cmd,
    is_new: bool,
    secrets: &[(String, String)],
) -> Result<(), ApplyError> {
    let mut retry = Retry::new(cluster.shell, CHANGE);
    // whether an earlier attempt without an answer may have succeeded
    let mut perhaps = false;
    loop {
        let reply = cluster.shell.run(cmd).map_err(ApplyError::Unclear)?;
        if reply.succeeded() {
            return Ok(());
        }
        if step.is_owned() && kubectl::all_already_exist(&reply.stderr) {
            let is_first = is_new && !perhaps;
            if is_ours(cluster, plan, step, is_first, secrets).map_err(ApplyError::Unclear)? {
                return Ok(());
            }
            return Err(withdraw(cluster, plan, others(plan, step).into()));
        }
        let outcome = kubectl::outcome(&reply.stderr);
        let refused = matches!(outcome, Outcome::Refused(refusal) if refusal != Refusal::AlreadyExists);
        perhaps |= outcome == Outcome::Unclear;
        if refused && perhaps && step == Step::Resume && is_resumed(cluster, plan) {
            // an earlier attempt at this change succeeded: the run is submitted
            return Ok(());
        }
        let is_last = retry.is_last();
        if refused || (is_last && !perhaps) {
            return Err(withdraw(cluster, plan, cluster.kubectl.failure(&reply, cmd).into()));
        }
        if is_last {
            return Err(ApplyError::Unclear(cluster.kubectl.failure(&reply, cmd).into()));
        }
        retry.again(cmd, &reply).map_err(ApplyError::Unclear)?;
    }
}

/// The error for objects of another owner.
fn others(plan: &Plan, step: Step) -> Fail {
    let (objects, kind) =
        if step == Step::Points { ("other points", "ConfigMaps") } else { ("another Secret", "Secret") };
    fail(format!("the cluster has {objects} under the name of the run `{}`", plan.run))
        .fact("cause", format!("somebody else created its {kind} at the same moment"))
        .hint(format!("see who may do so with `kubectl get rolebindings -n {}`", plan.namespace))
}

/// Whether the objects with the name of a plan's run are the plan's own. An earlier attempt may have created them.
/// So may another user who saw the name of the Job and wants to choose its commands and keys. At the first attempt,
/// the Secret can't be our own.
fn is_ours(cluster: Cluster, plan: &Plan, step: Step, is_first: bool, secrets: &[(String, String)]) -> Result<bool> {
    match (step, &plan.points) {
        (Step::Points, Some(points)) => {
            let names = points.names(&plan.run);
            let what: Vec<ObjectRef> = names.iter().map(|name| Resource::ConfigMap.named(name)).collect();
            let why = format!("compare the points of `{}` with those in the cluster", plan.run);
            let cmd = plan.kubectl.get_named(Scope::In(&plan.namespace), &what, why);
            let reply = cluster.shell.read(&cmd)?.ok(&cmd)?;
            Ok(points.are_in(&plan.run, &kubectl::objects(&reply, &cmd)?))
        }
        (Step::SecretEnv, _) if !is_first => is_secret_ours(cluster, plan, secrets),
        (step, _) => Ok(step != Step::SecretEnv),
    }
}

fn is_secret_ours(cluster: Cluster, plan: &Plan, secrets: &[(String, String)]) -> Result<bool> {
    let name = secret_env::name(plan.run.as_str());
    let why = format!("compare the secret variables of `{}` with those in the cluster", plan.run);
    let what = [Resource::Secret.named(&name)];
    let cmd = plan.kubectl.hiding_bodies().get_named(Scope::In(&plan.namespace), &what, why);
    let reply = cluster.shell.read(&cmd)?;
    if kubectl::refusal(&reply.stderr) == Some(Refusal::Forbidden) {
        cluster.ui.warn(format!("you may not read the Secret `{name}`: it is taken for the one of an earlier try"));
        return Ok(true);
    }
    let stored = kubectl::objects(&reply.ok(&cmd)?, &cmd)?;
    Ok(stored.iter().any(|stored| secret_env::is_same(stored, secrets)))
}
