//! `storage setup`: a project's storage, made and tried before its first run.

use anyhow::Result;

use super::place::Project;
use crate::app::App;
use crate::commands::place::image_for;
use crate::objects::{job, namespace, pretty};
use crate::plan::probe_of;
use crate::store::Store;
use crate::tools::kubectl::Scope;

/// Makes it.
pub fn exec(project: Option<String>, storage_class: Option<String>, image: Option<String>, app: &App) -> Result<()> {
    let project = Project::find(app, project, storage_class)?;
    let (facts, request) = (project.facts(), &project.request);
    app.ui.tell("context", format!("{}, namespace {}", project.target.describe(), request.namespace));
    let answers = facts.storage(request)?;
    if let Some(choice) = &answers.choice {
        let words = format!("a new claim `{}` of {}: {}", request.storage.claim, request.storage.size, choice.why);
        app.ui.tell("storage", words);
    }
    let steps = answers.steps(request);
    let store = Store {
        kubectl: facts.kubectl,
        namespace: &request.namespace,
        claim: &request.storage.claim,
        project: project.owner(),
        steps: &steps,
    };
    if answers.namespace_missing {
        let document = pretty(&namespace::manifest(&request.namespace, &request.project));
        let why = format!("make the namespace `{}`", request.namespace);
        store.ensure(&facts, facts.kubectl.apply(Scope::Everywhere, "namespace.json", &document, why))?;
        app.ui.tell("namespace", "made");
    }
    store.prepare(&facts)?;
    if let Some(pods) = answers.probe {
        let claim = project.standing()?.claim.unwrap_or_default();
        let image = image.unwrap_or_else(|| image_for(request, &claim, app, &project.target));
        let probe = probe_of(request, request.image_pull_secret.as_deref(), pods);
        store.try_volume(&facts, &job::with_container_image(probe, &image))?;
    } else if steps.is_empty() {
        app.ui.tell("storage", "all is in place");
    }
    store.secure(&facts)?;
    app.ui.answer(request.storage.claim.as_str())
}
