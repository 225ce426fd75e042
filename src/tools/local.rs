//! kind, minikube, k3d: loading an image into a cluster on this machine.

use crate::k8s::provider::Local;
use crate::tools::cmd::Cmd;

/// Loads an image that this machine's docker has onto the nodes of the cluster.
pub fn load(cluster: &Local, reference: &str) -> Cmd {
    let cmd =
        Cmd::new(cluster.program(), format!("load the image into the cluster with {}", cluster.program())).shown();
    match cluster {
        Local::Kind(name) => cmd.args(["load", "docker-image", reference, "--name", name]),
        // `image load` keeps an older image of the same tag (kubernetes/minikube#11276): ours is unique
        Local::Minikube(profile) => cmd.args(["--profile", profile, "image", "load", reference]),
        Local::K3d(name) => cmd.args(["image", "import", reference, "--cluster", name]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_words() {
        let line = |cluster: Local| load(&cluster, "mrunner.local/p/x:t-1").to_string();
        assert_eq!(line(Local::Kind("lab".into())), "kind load docker-image mrunner.local/p/x:t-1 --name lab");
        assert_eq!(line(Local::Minikube("m".into())), "minikube --profile m image load mrunner.local/p/x:t-1");
        assert_eq!(line(Local::K3d("a".into())), "k3d image import mrunner.local/p/x:t-1 --cluster a");
    }
}
