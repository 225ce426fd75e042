//! The checks of `doctor` on this machine.

use serde_json::Value;

use crate::app::App;
use crate::app::target::Target;
use crate::cli::commands::checks::{Check, CheckState, check, failed};
use crate::config;
use crate::k8s::provider::is_google;
use crate::ops::journal;
use crate::request::LOCAL_HOST;
use crate::tools::docker::{self, Info};
use crate::util::files;

/// Checks this machine.
pub(super) fn look(app: &App, place: Option<(&Target, Option<&str>)>) -> Vec<Check> {
    let mut checks = docker_side(app);
    let (local, host) = place.map_or((None, None), |(target, host)| (target.local.as_ref(), host));
    let loaded = host.is_some_and(|host| host == LOCAL_HOST);
    if let Some(local) = local.filter(|_| loaded) {
        let program = local.program();
        checks.push(match app.shell.find_program(program) {
            Some(path) => check("loader", CheckState::Ok, format!("{program}, {}", path.display())),
            None => check(
                "loader",
                CheckState::Failed,
                format!("`{program}`, which loads images into this cluster, is not on PATH"),
            )
            .hint(format!("put `{program}` on PATH, or name a registry with `--registry URL`")),
        });
    }
    if let Some(host) = host.filter(|host| is_google(host)) {
        let served = config::read_docker(&app.places.docker).serves(host);
        checks.push(match app.shell.find_program("gcloud") {
            _ if served => check("gcloud", CheckState::Ok, format!("docker has a login for `{host}`")),
            Some(_) => check("gcloud", CheckState::Ok, format!("the first run lets docker into `{host}` by it")),
            None => check(
                "gcloud",
                CheckState::Failed,
                format!("docker has no login for `{host}`, and `gcloud` is not on PATH"),
            )
            .hint("get gcloud: https://cloud.google.com/sdk/docs/install")
            .hint(format!("or log in by another way with `docker login {host}`")),
        });
    }
    let unfinished = journal::unfinished(&app.places.state);
    let writable =
        files::make_private(&app.places.state).and_then(|()| tempfile::tempfile_in(&app.places.state).map(drop));
    checks.push(match (writable, unfinished.first()) {
        (Err(error), _) => check(
            "journal",
            CheckState::Failed,
            format!("`{}` can't be written to: {error}", app.places.state.display()),
        )
        .hint("make it writable, or name another place with `export XDG_STATE_HOME=FOLDER`"),
        (Ok(()), Some(run)) => check("journal", CheckState::Warning, format!("unfinished: {}", unfinished.join(", ")))
            .hint(format!(
                "finish it with `kubectl mrunner run --resume {run}`, or give it up with `kubectl mrunner delete {run}`"
            )),
        (Ok(()), None) => check("journal", CheckState::Ok, "no run is unfinished"),
    });
    checks
}

fn docker_side(app: &App) -> Vec<Check> {
    let cmd = docker::info();
    let reply = match app.shell.read(&cmd) {
        Ok(reply) => reply,
        Err(error) => {
            return vec![failed("docker", &error), check("buildx", CheckState::Skipped, "it is a plugin of docker")];
        }
    };
    let told: Value = serde_json::from_slice(&reply.stdout).unwrap_or_default();
    let info = Info::of(&told);
    let client = info.client().map(|version| format!(", client {version}")).unwrap_or_default();
    let engine = if let Some(version) = info.engine() {
        check("docker", CheckState::Ok, format!("engine {version}{client}"))
    } else {
        let words = info.error().map(str::to_owned).or_else(|| reply.stderr.trim().lines().last().map(str::to_owned));
        check("docker", CheckState::Failed, format!("the Docker Engine does not answer: {}", words.unwrap_or_default()))
            .hint("start it (`systemctl start docker`, or Docker Desktop) and see `docker info`")
    };
    let new_enough = |version: &str| {
        let mut parts = version.trim_start_matches('v').split('.').map(|n| n.parse::<u32>().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0)) >= (0, 10)
    };
    let buildx = match info.buildx() {
        Some(version) if new_enough(version) => check("buildx", CheckState::Ok, version),
        Some(version) => {
            check("buildx", CheckState::Failed, format!("{version}, and 0.10 or newer is needed")).hint(docker::BUILDX)
        }
        None => check("buildx", CheckState::Failed, "docker has no buildx plugin").hint(docker::BUILDX),
    };
    vec![engine, buildx]
}
