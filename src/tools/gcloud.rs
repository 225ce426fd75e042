//! gcloud: started for one thing only.

use crate::tools::cmd::Cmd;

/// Has docker ask gcloud for the logins of one of Google's registries. It edits docker's own
/// configuration, so it is an effect.
pub fn configure_docker(host: &str) -> Cmd {
    Cmd::new("gcloud", format!("let docker log in to `{host}` by gcloud"))
        // one host: without it, gcloud takes over all that it knows. --quiet: it would ask
        .args(["auth", "configure-docker", host, "--quiet"])
        .env("CLOUDSDK_CORE_DISABLE_PROMPTS", "1")
}
