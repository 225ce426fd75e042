//! Where an experiment's images are published.

use std::fmt;

use crate::image::reference::{Digest, NAME_MAX, component_fault, is_component, is_host};
use crate::k8s::names::{LABEL_MAX, dns_label};
use crate::util::error::{Fail, usage};

/// A repository in a registry: `HOST[/PATH][/GOOGLE_PROJECT]/PROJECT/EXPERIMENT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository(String);

impl Repository {
    /// The repository of an experiment. The host and the path are the registry's and must be right;
    /// the names of project and experiment may be anything, see [`crate::k8s::names`].
    ///
    /// Docker Hub knows no names of more than two parts, so there the last two are joined.
    pub fn new(
        host: &str,
        path: &str,
        google_project_id: Option<&str>,
        project: &str,
        experiment: &str,
    ) -> Result<Self, Fail> {
        if !is_host(host) {
            return Err(usage(format!("`{}` is not a registry's host", host.escape_debug())));
        }
        // a project of a domain, `example.com:anna`, has a slash in the names of its images
        let google = google_project_id.map(|id| id.replacen(':', "/", 1)).unwrap_or_default();
        let given =
            [path.trim_matches('/'), &google].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/");
        if let Some(bad) = given.split('/').find(|c| !given.is_empty() && !is_component(c)) {
            let why = component_fault(bad).escape_debug().to_string();
            return Err(usage(format!("`{host}/{}` can't hold images: {why}", given.escape_debug())));
        }
        let own = match (is_docker_hub(host), given.is_empty()) {
            (true, true) => {
                return Err(usage(format!("`{host}` needs the name of a user or an organisation"))
                    .hint(format!("write `{host}/NAME` as the registry's address")));
            }
            (true, false) => component(&format!("{project}-{experiment}")),
            (false, _) => format!("{}/{}", component(project), component(experiment)),
        };
        let whole = [host, &given, &own].into_iter().filter(|p| !p.is_empty()).collect::<Vec<_>>().join("/");
        if whole.len() > NAME_MAX {
            return Err(usage(format!(
                "`{whole}` is too long for the name of an image: more than {NAME_MAX} characters"
            )));
        }
        Ok(Self(whole))
    }

    /// The name of the image with this tag.
    pub fn tagged(&self, tag: &str) -> String {
        format!("{}:{tag}", self.0)
    }

    /// The name of exactly one image, whatever becomes of its tags.
    pub fn pinned(&self, digest: &Digest) -> String {
        format!("{}@{digest}", self.0)
    }

    /// The name without tag and digest.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The registry's host, with its port.
    pub fn host(&self) -> &str {
        self.0.split('/').next().unwrap_or(&self.0)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_docker_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io")
}

/// A registry allows `.` and `_` where a DNS label does not.
fn component(raw: &str) -> String {
    if raw.len() <= LABEL_MAX && is_component(raw) { raw.to_owned() } else { dns_label(raw, LABEL_MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::reference::ImageRef;

    fn named(host: &str, path: &str, google: Option<&str>, project: &str, name: &str) -> String {
        Repository::new(host, path, google, project, name).unwrap().to_string()
    }

    #[test]
    fn the_parts_are_joined() {
        assert_eq!(named("gcr.io", "", Some("rl-sandbox-1234"), "lab", "cifar"), "gcr.io/rl-sandbox-1234/lab/cifar");
        assert_eq!(named("localhost:5000", "", None, "lab", "a_b.c"), "localhost:5000/lab/a_b.c");
        assert_eq!(named("ghcr.io", "/anna/x/", None, "lab", "cifar"), "ghcr.io/anna/x/lab/cifar");
        assert_eq!(named("gcr.io", "", Some("example.com:p"), "lab", "c"), "gcr.io/example.com/p/lab/c");
    }

    #[test]
    fn any_name_becomes_one_of_its_own() {
        let long = "x".repeat(300);
        let raws = ["My Lab", "my lab", "my-lab", "a/b", "a..b", "_a", "🦀", "", "$(x)\n", &long];
        let names: std::collections::HashSet<_> = raws.iter().map(|raw| named("h:1", "", None, "p", raw)).collect();
        assert_eq!(names.len(), raws.len());
        for name in &names {
            assert!(ImageRef::parse(name).is_ok(), "{name}");
        }
    }

    #[test]
    fn docker_hub_has_two_parts() {
        assert_eq!(named("docker.io", "anna", None, "lab", "cifar"), "docker.io/anna/lab-cifar");
        assert_ne!(named("docker.io", "anna", None, "Lab", "cifar"), named("docker.io", "anna", None, "lab", "cifar"));
        let fault = Repository::new("docker.io", "", None, "lab", "cifar").unwrap_err();
        assert_eq!(fault.message, "`docker.io` needs the name of a user or an organisation");
    }

    #[test]
    fn a_wrong_registry_is_an_error() {
        let fault = |host: &str, path: &str| Repository::new(host, path, None, "p", "e").unwrap_err().message;
        assert_eq!(fault("https://gcr.io", ""), "`https://gcr.io` is not a registry's host");
        assert_eq!(fault("a\nb", ""), "`a\\nb` is not a registry's host");
        assert_eq!(fault("gcr.io", "Anna"), "`gcr.io/Anna` can't hold images: `Anna` has upper-case letters");
        assert_eq!(fault("gcr.io", "a//b"), "`gcr.io/a//b` can't hold images: a part of it is empty");
        let long = vec!["x".repeat(60); 4].join("/");
        assert!(Repository::new("gcr.io", &long, None, "p", &"x".repeat(300)).is_err());
    }
}
