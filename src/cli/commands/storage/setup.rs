//! `storage setup`: creates and tests a project's storage before its first run.

use anyhow::Result;

use super::place::Project;
use crate::app::App;
use crate::ops::apply::prepare_storage;
use crate::ops::facts::secrets::Secrets;
use crate::ops::facts::storage::answers;
use crate::ops::locate_volume::image_for;
use crate::plan::{Plan, PlannedImage};

/// Creates the storage.
pub fn exec(project: Option<String>, storage_class: Option<String>, image: Option<String>, app: &App) -> Result<()> {
    let project = Project::find(app, project, storage_class)?;
    let (cluster, request) = (project.cluster(), &project.request);
    app.ui.tell("context", format!("{}, namespace {}", project.target.describe(), request.namespace));
    let answers = answers(cluster, request).settle(cluster)?;
    if let Some(choice) = &answers.choice {
        let words = format!("a new claim `{}` of {}: {}", request.storage.claim, request.storage.size, choice.why);
        app.ui.tell("storage", words);
    }
    let mut plan = Plan::for_storage(request, answers, cluster.kubectl)?;
    if plan.probe.is_some() {
        let standing = project.standing()?;
        let reference = image.unwrap_or_else(|| image_for(request, standing.claim(), app, &project.target));
        plan.image = PlannedImage::Ready { reference };
    }
    let secrets = Secrets::read(&plan, app)?;
    prepare_storage(cluster, &mut plan, &secrets)?;
    if plan.storage.is_empty() && plan.probe.is_none() {
        app.ui.tell("storage", "all is in place");
    }
    app.ui.answer(request.storage.claim.as_str())
}
