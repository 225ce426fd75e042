//! The experiment's file, in neptune.yaml's form.
//!
//! It may come with somebody's repository: that it has no key for a cluster, a registry, a
//! credential or a path outside its folder is what makes it safe to use where it is found.

use std::path::Path;

use super::fault::{Fault, Spot, wrong};
use super::parameters::Parameter;
use super::resources::Resources;
use super::section::Section;
use super::{check, contexts, parameters, resources, sweep, yaml};
use crate::k8s::quantity::Quantity;

/// What an experiment's file says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Experiment {
    /// `name`: of the experiment; any text.
    pub name: Option<String>,
    /// `project`: the group of experiments it belongs to.
    pub project: Option<String>,
    /// `tags`: of every run of it.
    pub tags: Vec<String>,
    /// `parameters`: in the order of the file, which is the order of the script's arguments.
    pub parameters: Vec<Parameter>,
    /// `sweep`: the points that a run of it tries.
    pub sweep: Option<sweep::Table>,
    /// `exclude`: what stays out of the image.
    pub exclude: Vec<String>,
    /// `paths_to_copy`: what goes into the image beside the script.
    pub paths_to_copy: Vec<String>,
    /// `base_image`: what its image is built on.
    pub base_image: Option<String>,
    /// `requirements`: the file of Python packages that it needs.
    pub requirements: Option<String>,
    /// `resources`: its limits.
    pub resources: Resources,
    /// `shm`: size of its `/dev/shm`; `0` for none of its own.
    pub shm: Option<Quantity>,
    /// `env`: its variables, values as they were written.
    pub env: Vec<(String, String)>,
}

/// Reads the text of `file`, which is named in faults only.
///
/// # Errors
/// All faults of the file, in its order.
pub fn parse(text: &str, file: &Path) -> Result<Experiment, Vec<Fault>> {
    let (root, mut faults) = yaml::parse(text, file)?;
    let Some(root) = root else {
        faults.add_whole(wrong("is empty").hint("write `name: NAME` and `parameters:`"));
        return faults.finish(None);
    };
    let spot = Spot { line: root.line, key: String::new() };
    let experiment = Section::read(&root, spot, &mut faults, read);
    faults.finish(experiment)
}

fn read(section: &mut Section) -> Experiment {
    section.foreign(resources::KEYS, resources::INSIDE);
    section.foreign(contexts::KEYS, "it belongs to a remote context, in mrunner's own file");
    // words for people, which nothing here shows
    section.find("description");
    Experiment {
        name: section.text("name"),
        project: section.text("project"),
        tags: section.texts("tags", |tag| Ok(tag.to_owned())),
        parameters: section
            .find("parameters")
            .map(|found| parameters::read(&found, section.faults))
            .unwrap_or_default(),
        sweep: section.find("sweep").map(|found| sweep::read(&found, section.faults)),
        exclude: section.texts("exclude", |pattern| Ok(pattern.to_owned())),
        paths_to_copy: section.texts("paths_to_copy", check::inner_path),
        base_image: section.checked("base_image", check::image),
        requirements: section.checked("requirements", check::inner_path),
        resources: section.section("resources", Resources::read).unwrap_or_default(),
        shm: section.checked("shm", check::shm),
        env: section.pairs("env", check::env_name, check::no_nul),
    }
}

#[cfg(test)]
mod tests;
