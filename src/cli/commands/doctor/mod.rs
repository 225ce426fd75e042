//! `doctor`: checks everything that `run` needs, and suggests fixes.

mod cluster;
mod machine;
mod registry;

use std::thread;

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::checks::{self, Check, CheckState, Format, check, failed};
use crate::ops::project_request::project_request;
use crate::request::{ImageRequest, RunFlags, RunRequest};
use crate::tools::api::Api;
use crate::tools::cluster::Cluster;

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner doctor\n  kubectl mrunner --context lab doctor --project vision --probe -o json"
)]
pub struct DoctorArgs {
    /// Project to check [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// Registry to check [default: the context's]
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Storage class to check [default: the context's]
    #[arg(long, value_name = "NAME")]
    storage_class: Option<String>,
    /// Claim to check [default: the context's]
    #[arg(long, value_name = "NAME")]
    storage_claim: Option<String>,
    /// Also check from a pod whether the cluster reaches the registry
    #[arg(long)]
    probe: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Runs all checks in parallel.
pub fn exec(args: &DoctorArgs, app: &App) -> Result<()> {
    let target = Target::resolve(app).and_then(|target| target.require_cluster().map(|()| target).map_err(Into::into));
    let checks = match &target {
        Err(error) => {
            let mut checks = vec![failed("settings", error)];
            checks.extend(machine::look(app, None));
            checks.extend(
                OF_THE_CLUSTER.map(|name| check(name, CheckState::Skipped, "it is not known which cluster is meant")),
            );
            checks.push(check("registry", CheckState::Skipped, "it is not known which one is meant"));
            checks
        }
        Ok(target) => look(args, app, target),
    };
    checks::answer(&checks, args.output, app)
}

/// The checks that need the cluster.
const OF_THE_CLUSTER: [&str; 5] = ["cluster", "rights", "namespace", "storage", "nodes"];

fn look(args: &DoctorArgs, app: &App, target: &Target) -> Vec<Check> {
    let flags = RunFlags {
        project: args.project.clone(),
        registry: args.registry.clone(),
        storage_class: args.storage_class.clone(),
        storage_claim: args.storage_claim.clone(),
        ..RunFlags::default()
    };
    let whole = project_request(flags.clone(), app, target);
    // without a registry, the project can still be checked
    let project = match &whole {
        Ok(request) => Ok(request.clone()),
        Err(_) => project_request(RunFlags { image: Some("scratch".to_owned()), ..flags }, app, target),
    };
    // `run` tests the volume, so the number of nodes does not matter here
    let project = project.map(|mut request| {
        request.storage.probe = false;
        request
    });
    let host = whole.as_ref().ok().and_then(|request| match &request.image {
        ImageRequest::Built(build) => Some(build.repository.host()),
        ImageRequest::Given(_) => None,
    });
    let context = target.cluster(app);
    let mut checks = vec![check("settings", CheckState::Ok, target.describe())];
    thread::scope(|scope| {
        let here = scope.spawn(|| machine::look(app, Some((target, host))));
        let version = scope.spawn(|| cluster::version(context));
        let asked = scope.spawn(|| ask(app, context, project.as_ref().ok()));
        let registry = match (&whole, &project) {
            (Ok(request), _) => registry::from_here(app, request),
            (Err(error), Ok(_)) => failed("registry", error),
            (Err(_), Err(_)) => check("registry", CheckState::Skipped, "there is no project to publish for"),
        };
        checks.extend(join(here));
        checks.extend(join(version));
        checks.extend(project.as_ref().err().map(|error| failed("project", error)));
        checks.extend(join(asked));
        checks.push(registry);
    });
    pass_over(&mut checks);
    if args.probe
        && let Ok(request) = &whole
    {
        checks.push(registry::from_the_cluster(context, request));
    }
    checks
}

/// The checks that ask the API server, over one kubectl. Each uses its own kubectl if the user wants kubectl's log.
fn ask(app: &App, context: Cluster, project: Option<&RunRequest>) -> Vec<Check> {
    let opened = (!app.global.kubernetes.wants_log()).then(|| Api::open(context.shell, context.kubectl).ok()).flatten();
    let context = Cluster { api: opened.as_ref(), ..context };
    thread::scope(|scope| {
        let nodes = scope.spawn(|| cluster::nodes(context));
        let rights = project.map(|request| scope.spawn(|| cluster::rights(context, request)));
        let queue = project.map(|request| scope.spawn(|| cluster::queue(context, request)));
        let space = project.map(|request| cluster::space(context, request));
        rights
            .into_iter()
            .flat_map(join)
            .chain(space.into_iter().flatten())
            .chain(queue.and_then(join))
            .chain([join(nodes)])
            .collect()
    })
}

/// Marks checks as skipped that failed only because of an earlier failure, which is reported once.
fn pass_over(checks: &mut [Check]) {
    let is = |name: &str, state: CheckState| checks.iter().any(|check| check.name == name && check.state == state);
    let why_not = if is("kubectl", CheckState::Failed) {
        Some("it is asked by kubectl")
    // a version that is too old answers too
    } else if is("cluster", CheckState::Failed) && is("nodes", CheckState::Failed) {
        Some("the cluster does not answer")
    } else {
        None
    };
    let no_docker = is("buildx", CheckState::Skipped);
    for check in checks.iter_mut().filter(|check| check.state != CheckState::Skipped || check.name == "namespace") {
        let message = match (check.name, why_not) {
            ("rights" | "namespace" | "storage" | "queue" | "nodes", Some(why)) => why,
            ("registry", _) if no_docker && check.state == CheckState::Failed => "it is asked by docker",
            _ => continue,
        };
        (check.state, check.message) = (CheckState::Skipped, message.to_owned());
        check.hints.clear();
    }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
