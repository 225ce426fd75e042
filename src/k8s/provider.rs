//! What the name of a kube context tells of its cluster: the tools that make clusters give it a form.

use serde::{Deserialize, Serialize};

/// A cluster on this machine that takes images without a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Local {
    /// `kind-NAME` (<https://kind.sigs.k8s.io/docs/user/quick-start/#interacting-with-your-cluster>).
    Kind(String),
    /// `minikube`, or the name of a profile that starts with it; minikube calls the context as the
    /// profile (<https://minikube.sigs.k8s.io/docs/commands/start/>, `--profile`).
    Minikube(String),
    /// `k3d-NAME` (<https://k3d.io/stable/usage/kubeconfig/>).
    K3d(String),
}

impl Local {
    /// The cluster behind a kube context, `None` if it is none of these.
    pub fn of(kube_context: &str, by_minikube: bool) -> Option<Self> {
        let named = |prefix: &str| kube_context.strip_prefix(prefix).filter(|name| !name.is_empty()).map(str::to_owned);
        // its profiles may have any name
        if by_minikube || kube_context == "minikube" {
            return Some(Self::Minikube(kube_context.to_owned()));
        }
        named("kind-").map(Self::Kind).or_else(|| named("k3d-").map(Self::K3d))
    }

    /// The program that loads images.
    pub fn program(&self) -> &'static str {
        match self {
            Self::Kind(_) => "kind",
            Self::Minikube(_) => "minikube",
            Self::K3d(_) => "k3d",
        }
    }
}

/// The registry that a GKE cluster's project would have, as a URL; the repository in it is `mrunner`.
///
/// gcloud names a context `gke_PROJECT_LOCATION_CLUSTER`; a location is a region or a zone in one,
/// and Artifact Registry has a host for each region
/// (<https://cloud.google.com/artifact-registry/docs/docker/names>).
pub fn google_registry(kube_context: &str) -> Option<String> {
    let mut parts = kube_context.strip_prefix("gke_")?.split('_');
    let (project, location, _cluster) = (parts.next()?, parts.next()?, parts.next()?);
    let mut words: Vec<&str> = location.split('-').collect();
    // `europe-west4-a` is a zone of `europe-west4`
    if words.len() == 3 && words[2].len() == 1 {
        words.pop();
    }
    // a project of a domain, `example.com:anna`, has a slash in the names of its images
    let project = project.replacen(':', "/", 1);
    (words.len() == 2).then(|| format!("https://{}-docker.pkg.dev/{project}/mrunner", words.join("-")))
}

/// Whether Google serves the registry at `host`: `gcr.io`, `*.gcr.io` or `*-docker.pkg.dev`.
pub fn is_google(host: &str) -> bool {
    host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with("-docker.pkg.dev")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_of_this_machine() {
        let of = |name: &str| Local::of(name, false);
        assert_eq!(of("kind-kind"), Some(Local::Kind("kind".into())));
        assert_eq!(of("k3d-a-b"), Some(Local::K3d("a-b".into())));
        assert_eq!(of("minikube"), Some(Local::Minikube("minikube".into())));
        assert_eq!(Local::of("lab", true), Some(Local::Minikube("lab".into())));
        for other in ["kind", "kind-", "k3d", "mykind-x", "minikube2", "gke_a_b_c", ""] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    #[test]
    fn a_gke_cluster_tells_its_registry() {
        let told = |name: &str| google_registry(name).unwrap_or_default();
        assert_eq!(told("gke_rl-1234_europe-west4-a_train"), "https://europe-west4-docker.pkg.dev/rl-1234/mrunner");
        assert_eq!(told("gke_rl-1234_us-central1_a_b"), "https://us-central1-docker.pkg.dev/rl-1234/mrunner");
        assert_eq!(told("gke_example.com:p_us-central1_a"), "https://us-central1-docker.pkg.dev/example.com/p/mrunner");
        assert_eq!((told("gke_a_b"), told("lab"), told("gke_a_here_c")), (String::new(), String::new(), String::new()));
        assert!(is_google("eu.gcr.io") && is_google("gcr.io") && is_google("us-docker.pkg.dev"));
        assert!(!is_google("evilgcr.io") && !is_google("pkg.dev") && !is_google("gcr.io.evil.com"));
    }
}
