//! `doctor`: each thing that `run` needs, looked at and told with its remedy.

use std::thread;

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::{Value, json};

use crate::accelerators::{offers, summary};
use crate::app::{App, variable};
use crate::commands::project_request;
use crate::config;
use crate::error::{Exit, Fail, fail, flatten};
use crate::facts::Facts;
use crate::journal;
use crate::objects::pretty;
use crate::provider::is_google;
use crate::request::{ImageRequest, RunRequest, Wishes};
use crate::rights::{FOR_PULL_SECRET, IN_NAMESPACE, missing};
use crate::storage::check::is_schedulable;
use crate::target::Target;
use crate::tools::cmd::Cmd;
use crate::tools::docker;
use crate::tools::kubectl::{self, Scope};
use crate::tools::shell::{Reply, place_of};
use crate::ui::Table;
use crate::{disk, probe};

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner doctor\n  kubectl mrunner --context lab doctor --project vision --probe -o json"
)]
pub struct DoctorArgs {
    /// The project whose namespace and storage are looked at [default: the folder's name]
    #[arg(long, value_name = "NAME")]
    project: Option<String>,
    /// The registry to look at, instead of the context's
    #[arg(long, value_name = "URL")]
    registry: Option<String>,
    /// Have a pod look whether the cluster reaches the registry, too; it is gone afterwards
    #[arg(long)]
    probe: bool,
    /// As a table, json, or yaml
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Warning,
    Failed,
    Skipped,
}

impl State {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// What was found of one thing.
#[derive(Debug)]
struct Check {
    name: &'static str,
    state: State,
    message: String,
    hints: Vec<String>,
}

fn check(name: &'static str, state: State, message: impl Into<String>) -> Check {
    Check { name, state, message: message.into(), hints: Vec::new() }
}

impl Check {
    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

fn failed(name: &'static str, error: &anyhow::Error) -> Check {
    let Fail { message, details, hints, .. } = flatten(error);
    // of what a tool said, its last line is the cause
    let cause = details.last().map(|line| format!(": {line}")).unwrap_or_default();
    Check { name, state: State::Failed, message: message + &cause, hints }
}

/// Looks at everything side by side.
pub fn exec(args: &DoctorArgs, app: &App) -> Result<()> {
    let target = Target::resolve(app).and_then(|target| target.require_cluster().map(|()| target).map_err(Into::into));
    let mut checks = Vec::new();
    match &target {
        Err(error) => {
            checks.push(failed("settings", error));
            checks.extend(here(app, None));
            for name in ["cluster", "rights", "namespace", "storage", "nodes", "registry"] {
                checks.push(check(name, State::Skipped, "it is not known which cluster is meant"));
            }
        }
        Ok(target) => {
            checks.push(check("settings", State::Ok, target.describe()));
            let wishes = Wishes { project: args.project.clone(), registry: args.registry.clone(), ..Wishes::default() };
            let request = project_request(wishes, app, target);
            let built = request.as_ref().ok().and_then(|r| match &r.image {
                ImageRequest::Built(build) => Some(build),
                ImageRequest::Given(_) => None,
            });
            let facts =
                Facts { ui: &app.ui, shell: &app.shell, kubectl: &target.kubectl, cache: &app.places.cache, variable };
            thread::scope(|scope| {
                let here = scope.spawn(|| here(app, Some((target, built.map(|b| b.repository.host())))));
                let version = scope.spawn(|| version(&facts));
                let space = request.as_ref().ok().map(|request| {
                    (
                        scope.spawn(|| rights(&facts, request)),
                        scope.spawn(|| namespace(&facts, request)),
                        scope.spawn(|| storage(&facts, request)),
                    )
                });
                let nodes = scope.spawn(|| nodes(&facts));
                let registry = match &request {
                    Ok(request) => registry(&facts, app, request),
                    Err(error) => vec![failed("registry", error)],
                };
                checks.extend(join(here));
                checks.extend(join(version));
                if let Some((rights, namespace, storage)) = space {
                    checks.extend(join(rights));
                    checks.push(join(namespace));
                    checks.push(join(storage));
                }
                checks.push(join(nodes));
                checks.extend(registry);
            });
            if checks.iter().any(|check| check.name == "cluster" && check.state == State::Failed) {
                for check in
                    checks.iter_mut().filter(|c| matches!(c.name, "rights" | "namespace" | "storage" | "nodes"))
                {
                    (check.state, check.message) = (State::Skipped, "the cluster does not answer".to_owned());
                    check.hints.clear();
                }
            }
            if args.probe
                && let Ok(request) = &request
            {
                checks.push(from_the_cluster(&facts, request));
            }
        }
    }
    let fine = checks.iter().all(|check| check.state != State::Failed);
    show(&checks, fine, args, app)?;
    if fine { Ok(()) } else { Err(fail("").exit(Exit::Error).into()) }
}

fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn show(checks: &[Check], fine: bool, args: &DoctorArgs, app: &App) -> Result<()> {
    let one = |c: &Check| json!({ "name": c.name, "state": c.state.word(), "message": c.message, "hints": c.hints });
    let document = json!({ "ok": fine, "checks": checks.iter().map(one).collect::<Vec<_>>() });
    match args.output {
        Format::Json => app.ui.answer(serde_json::to_string_pretty(&document)?),
        Format::Yaml => app.ui.answer(serde_yaml::to_string(&document)?.trim_end()),
        Format::Table => {
            let mut rows = Vec::new();
            for check in checks {
                rows.push(vec![check.state.word().to_owned(), check.name.to_owned(), check.message.clone()]);
                rows.extend(check.hints.iter().map(|hint| vec![String::new(), String::new(), format!("hint: {hint}")]));
            }
            app.ui.answer(Table::default().lines(&rows, None))
        }
    }
}

/// What is on this machine.
fn here(app: &App, place: Option<(&Target, Option<&str>)>) -> Vec<Check> {
    let mut checks = docker_side(app);
    let (local, host) = place.map_or((None, None), |(target, host)| (target.local.as_ref(), host));
    let loaded = host.is_some_and(|host| host == crate::request::LOCAL_HOST);
    if let Some(local) = local.filter(|_| loaded) {
        let program = local.program();
        checks.push(match place_of(program) {
            Some(path) => check("loader", State::Ok, format!("{program}, {}", path.display())),
            None => check(
                "loader",
                State::Failed,
                format!("`{program}`, which loads images into this cluster, is not on PATH"),
            )
            .hint(format!("put `{program}` on PATH, or name a registry with `--registry URL`")),
        });
    }
    if let Some(host) = host.filter(|host| is_google(host)) {
        let served = config::read_docker(&app.places.docker).serves(host);
        checks.push(match place_of("gcloud") {
            _ if served => check("gcloud", State::Ok, format!("docker has a login for `{host}`")),
            Some(_) => check("gcloud", State::Ok, format!("the first run lets docker into `{host}` by it")),
            None => {
                check("gcloud", State::Failed, format!("docker has no login for `{host}`, and `gcloud` is not on PATH"))
                    .hint("get gcloud: https://cloud.google.com/sdk/docs/install")
                    .hint(format!("or log in by another way with `docker login {host}`"))
            }
        });
    }
    let unfinished = journal::unfinished(&app.places.state);
    let writable =
        disk::make_private(&app.places.state).and_then(|()| tempfile::tempfile_in(&app.places.state).map(drop));
    checks.push(match (writable, unfinished.first()) {
        (Err(error), _) => {
            check("journal", State::Failed, format!("`{}` can't be written to: {error}", app.places.state.display()))
                .hint("make it writable, or name another place with `export XDG_STATE_HOME=FOLDER`")
        }
        (Ok(()), Some(run)) => {
            check("journal", State::Warning, format!("unfinished: {}", unfinished.join(", "))).hint(format!(
                "finish it with `kubectl mrunner run --resume {run}`, or give it up with `kubectl mrunner delete {run}`"
            ))
        }
        (Ok(()), None) => check("journal", State::Ok, "no run is unfinished"),
    });
    checks
}

fn docker_side(app: &App) -> Vec<Check> {
    let cmd = docker::info();
    let reply = match app.shell.read(&cmd) {
        Ok(reply) => reply,
        Err(error) => {
            return vec![failed("docker", &error), check("buildx", State::Skipped, "it is a plugin of docker")];
        }
    };
    // with the engine down, docker still tells of itself
    let told: Value = serde_json::from_slice(&reply.stdout).unwrap_or_default();
    let plugins = told["ClientInfo"]["Plugins"].as_array().map(Vec::as_slice).unwrap_or_default();
    let buildx = plugins.iter().find(|plugin| plugin["Name"] == "buildx").and_then(|plugin| plugin["Version"].as_str());
    let engine = told["ServerVersion"].as_str().filter(|version| !version.is_empty());
    let client = told["ClientInfo"]["Version"].as_str().map(|v| format!(", client {v}")).unwrap_or_default();
    let engine = if let Some(version) = engine {
        check("docker", State::Ok, format!("engine {version}{client}"))
    } else {
        let errors = told["ServerErrors"].as_array().into_iter().flatten().filter_map(Value::as_str).next_back();
        let words = errors.map(str::to_owned).or_else(|| reply.stderr.trim().lines().last().map(str::to_owned));
        check("docker", State::Failed, format!("the Docker Engine does not answer: {}", words.unwrap_or_default()))
            .hint("start it (`systemctl start docker`, or Docker Desktop) and see `docker info`")
    };
    let new_enough = |version: &str| {
        let mut parts = version.trim_start_matches('v').split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (0, 10)
    };
    let buildx = match buildx {
        Some(version) if new_enough(version) => check("buildx", State::Ok, version),
        Some(version) => {
            check("buildx", State::Failed, format!("{version}, and 0.10 or newer is needed")).hint(docker::BUILDX)
        }
        None => check("buildx", State::Failed, "docker has no buildx plugin").hint(docker::BUILDX),
    };
    vec![engine, buildx]
}

/// kubectl's version and the cluster's.
fn version(facts: &Facts) -> Vec<Check> {
    let cmd = facts.kubectl.version();
    let reply = match facts.shell.read(&cmd) {
        Ok(reply) => reply,
        Err(error) => {
            return vec![failed("kubectl", &error), check("cluster", State::Skipped, "it is asked by kubectl")];
        }
    };
    let told: Value = serde_json::from_slice(&reply.stdout).unwrap_or_default();
    let of = |side: &str| told[side]["gitVersion"].as_str().map(str::to_owned);
    let minor = |side: &str| -> Option<i64> {
        told[side]["minor"].as_str()?.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()
    };
    let mut kubectl = match of("clientVersion") {
        Some(version) => check("kubectl", State::Ok, version),
        None => check("kubectl", State::Failed, "it does not tell its version"),
    };
    if let (Some(ours), Some(theirs)) = (minor("clientVersion"), minor("serverVersion"))
        && (ours - theirs).abs() > 1
    {
        kubectl.state = State::Warning;
        kubectl.message += ", more than one minor version away from the cluster's";
        kubectl.hints.push("get one that is nearer: https://kubernetes.io/releases/version-skew-policy/".to_owned());
    }
    let cluster = match of("serverVersion") {
        Some(version) => check("cluster", State::Ok, format!("answers, {version}")),
        None => failed("cluster", &facts.kubectl.failure(&reply, &cmd).into()),
    };
    vec![kubectl, cluster]
}

/// The answer to a question whose failure is told.
fn answer(facts: &Facts, cmd: &Cmd) -> Result<Reply> {
    let reply = facts.shell.read(cmd)?;
    if reply.succeeded() { Ok(reply) } else { Err(facts.kubectl.failure(&reply, cmd).into()) }
}

fn rights(facts: &Facts, request: &RunRequest) -> Vec<Check> {
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": { "namespace": request.namespace.as_str() },
    });
    let cmd = facts
        .kubectl
        .create(&request.namespace, "review.json", &pretty(&review), "ask what you may do")
        // nothing in it is the user's, and to validate takes rights of its own
        .arg("--validate=false");
    let review = match answer(facts, &cmd).and_then(|reply| reply.json(&cmd)) {
        Ok(review) => review,
        Err(error) => return vec![failed("rights", &error)],
    };
    let secrets =
        if request.registry_login.is_some() && request.image_pull_secret.is_none() { FOR_PULL_SECRET } else { &[] };
    let mut lacks = Vec::new();
    for right in IN_NAMESPACE.iter().chain(secrets) {
        let verbs = missing(right, &review);
        if !verbs.is_empty() {
            // a run that needs the Secret can't do without
            let needed = !right.optional || right.resource == "secrets";
            lacks.push((needed, format!("{} {}, to {}", verbs.join(", "), right.resource, right.why)));
        }
    }
    let grant = format!(
        "have them granted: `kubectl mrunner rbac -n {} --for-user USER | kubectl apply -f -`",
        request.namespace
    );
    if lacks.is_empty() {
        return vec![check(
            "rights",
            State::Ok,
            format!("all that is needed in the namespace `{}`", request.namespace),
        )];
    }
    // some authorizers can't list their rules (Kubernetes API, SubjectRulesReviewStatus)
    let unsure = review["status"]["incomplete"] == true;
    let state = |needed: bool| if needed && !unsure { State::Failed } else { State::Warning };
    let words = |what: String| {
        if unsure {
            format!("perhaps you may not {what}; the cluster can't tell all")
        } else {
            format!("you may not {what}")
        }
    };
    lacks.into_iter().map(|(needed, what)| check("rights", state(needed), words(what)).hint(&grant)).collect()
}

fn namespace(facts: &Facts, request: &RunRequest) -> Check {
    let name = &request.namespace;
    let cmd = facts.kubectl.get(
        Scope::Everywhere,
        &[&format!("namespace/{name}")],
        None,
        format!("read the namespace `{name}`"),
    );
    let object = match facts.shell.read(&cmd) {
        Ok(reply) if reply.succeeded() => kubectl::objects(&reply, &cmd).unwrap_or_default().pop(),
        Ok(reply) if kubectl::refusal(&reply.stderr) == Some(kubectl::Refusal::Forbidden) => {
            return check("namespace", State::Ok, format!("`{name}`; you may not look at it, which is not needed"));
        }
        Ok(reply) => return failed("namespace", &facts.kubectl.failure(&reply, &cmd).into()),
        Err(error) => return failed("namespace", &error),
    };
    let Some(object) = object else {
        return if request.own_namespace {
            check("namespace", State::Ok, format!("`{name}` is not there; the first run makes it"))
        } else {
            check("namespace", State::Failed, format!("`{name}` does not exist"))
                .hint(format!("make it with `{} create namespace {name}`", facts.kubectl.cmd(Scope::Everywhere, "")))
        };
    };
    let level = object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].as_str();
    match level {
        Some(level) if request.run_as.0 == 0 && level != "privileged" && level != "baseline" => check(
            "namespace",
            State::Failed,
            format!("`{name}` enforces Pod Security `{level}`, and the context runs as root"),
        )
        .hint("run as somebody else: `run_as: 1000` in the context"),
        Some(level) => {
            check("namespace", State::Ok, format!("`{name}` enforces Pod Security `{level}`, which runs pass"))
        }
        None => check("namespace", State::Ok, format!("`{name}` is there; it enforces no Pod Security of its own")),
    }
}

fn storage(facts: &Facts, request: &RunRequest) -> Check {
    match facts.storage(request).map(|answers| answers.choice) {
        Ok(None) => check("storage", State::Ok, format!("the claim `{}` can be used", request.storage.claim)),
        Ok(Some(choice)) => check(
            "storage",
            State::Ok,
            format!(
                "a new claim `{}` of {} would be made: {}",
                request.storage.claim, request.storage.size, choice.why
            ),
        ),
        Err(error) => failed("storage", &error),
    }
}

fn nodes(facts: &Facts) -> Check {
    let nodes = match facts.nodes() {
        Ok(Some(nodes)) => nodes,
        Ok(None) => return check("nodes", State::Warning, "you may not list them, so no GPU is found by its type"),
        Err(error) => return failed("nodes", &error),
    };
    let usable = nodes.iter().filter(|node| is_schedulable(node)).count();
    let cards = summary(&offers(&nodes));
    let cards = if cards.is_empty() { "no GPUs, no TPUs".to_owned() } else { cards.join("; ") };
    let state = if usable == 0 { State::Failed } else { State::Ok };
    let check = check("nodes", state, format!("{}, of which {usable} take pods; {cards}", nodes.len()));
    if usable == 0 { check.hint("see why with `kubectl describe nodes`") } else { check }
}

fn registry(facts: &Facts, app: &App, request: &RunRequest) -> Vec<Check> {
    let ImageRequest::Built(build) = &request.image else { return Vec::new() };
    if let Some(local) = &build.load {
        return vec![check("registry", State::Ok, format!("none is needed: images are loaded by {}", local.program()))];
    }
    let host = build.repository.host();
    if let Some(login) = &request.registry_login
        && !config::read_docker(&app.places.docker).serves(host)
    {
        return vec![match facts.password(login) {
            Ok(_) => check("registry", State::Ok, format!("the first run logs in to `{host}` as `{}`", login.user)),
            Err(error) => failed("registry", &error),
        }];
    }
    if is_google(host) && !config::read_docker(&app.places.docker).serves(host) {
        return vec![check("registry", State::Skipped, "docker is let in by the first run")];
    }
    vec![match facts.published(&build.repository.tagged("doctor"), build.plain) {
        Ok(_) => check("registry", State::Ok, format!("`{host}` answers")),
        Err(error) => failed("registry", &error),
    }]
}

fn from_the_cluster(facts: &Facts, request: &RunRequest) -> Check {
    let ImageRequest::Built(build) = &request.image else { return check("probe", State::Skipped, "no image is built") };
    if build.load.is_some() {
        return check("probe", State::Skipped, "images are loaded, and pulled from nowhere");
    }
    match probe::pull(facts, request, &build.repository) {
        Ok(words) => check("probe", State::Ok, words),
        Err(error) if flatten(&error).details.iter().any(|line| line.contains("(NotFound)")) => {
            check("probe", State::Skipped, format!("the namespace `{}` is not there yet", request.namespace))
        }
        Err(error) => failed("probe", &error),
    }
}
