//! The registry checks of `doctor`, from this machine and from the cluster.

use crate::app::App;
use crate::cli::commands::checks::{Check, CheckState, check, failed};
use crate::config;
use crate::k8s::provider::is_google;
use crate::ops::image_pull_test::{self, Pull};
use crate::ops::registry::{password, published};
use crate::request::{ImageRequest, RunRequest};
use crate::tools::cluster::Cluster;
use crate::util::error::{Refusal, refusal_of};

/// Checks the registry from this machine, with docker.
pub(super) fn from_here(app: &App, request: &RunRequest) -> Check {
    let ImageRequest::Built(build) = &request.image else {
        return check("registry", CheckState::Skipped, "no image is built");
    };
    if let Some(local) = &build.load {
        return check("registry", CheckState::Ok, format!("none is needed: images are loaded by {}", local.program()));
    }
    let host = build.repository.host();
    let served = config::read_docker(&app.places.docker).serves(host);
    if let Some(login) = &request.registry_login {
        // for docker, and for the Secret of the cluster
        let wanted = !served || request.image_pull_secret.is_none();
        match password(login) {
            Err(error) if wanted => return failed("registry", &error),
            _ if !served => {
                return check(
                    "registry",
                    CheckState::Ok,
                    format!("the first run logs in to `{host}` as `{}`", login.user),
                );
            }
            _ => {}
        }
    }
    if is_google(host) && !served {
        return check("registry", CheckState::Skipped, "docker is let in by the first run");
    }
    match published(&app.shell, &build.repository.tagged("doctor"), build.plain) {
        Ok(_) => check("registry", CheckState::Ok, format!("`{host}` answers")),
        Err(error) => failed("registry", &error),
    }
}

/// Checks the registry from a node of the cluster.
pub(super) fn from_the_cluster(cluster: Cluster, request: &RunRequest) -> Check {
    let ImageRequest::Built(build) = &request.image else {
        return check("probe", CheckState::Skipped, "no image is built");
    };
    if build.load.is_some() {
        return check("probe", CheckState::Skipped, "images are loaded, and pulled from nowhere");
    }
    let host = build.repository.host();
    let given = request.registry_login.as_ref().filter(|_| request.image_pull_secret.is_none());
    match (image_pull_test::pull(cluster, request, &build.repository), given) {
        (Ok(Pull::Reached), _) => check("probe", CheckState::Ok, format!("the cluster reaches `{host}`")),
        (Ok(Pull::Refused(words)), Some(login)) => check(
            "probe",
            CheckState::Warning,
            format!(
                "the cluster reaches `{host}`, and is not let in with the Secret `{}`: {words}",
                login.secret_name()
            ),
        )
        .hint("each run makes that Secret anew: look again after the first one"),
        (Ok(Pull::Refused(words)), None) => check(
            "probe",
            CheckState::Failed,
            format!("the cluster can't pull from `{host}`: {words}"),
        )
        .hint("let it in with `registry_username` and `registry_password_env`, or `image_pull_secret`, in the context"),
        (Ok(Pull::Failed(words)), _) => {
            check("probe", CheckState::Failed, format!("the cluster can't pull from `{host}`: {words}"))
                .hint("is the registry's address right as the nodes see it?")
        }
        (Err(error), _) => match refusal_of(&error) {
            Some(Refusal::NoNamespace) => {
                check("probe", CheckState::Skipped, format!("the namespace `{}` is not there yet", request.namespace))
            }
            // no run needs this
            Some(Refusal::Forbidden) => {
                check("probe", CheckState::Skipped, "you may not make and delete pods of your own")
            }
            _ => failed("probe", &error),
        },
    }
}
