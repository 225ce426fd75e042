//! The NFS server in the cluster, from a project's view.

use serde_json::Value;

use crate::k8s::manifests::nfs_server::{EXPORTS, NAME, folder};
use crate::k8s::names::Namespace;
use crate::k8s::service::Service;
use crate::k8s::volume::Volume;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, REQUEST_TIMEOUT, Scope};

/// Creates a project's folder on the server, writable for user and group. Repeating it is harmless.
pub fn create_folder(kubectl: &Kubectl, namespace: &Namespace, (user, group): (u32, u32)) -> Cmd {
    let path = format!("{EXPORTS}{}", folder(namespace));
    kubectl
        .cmd(Scope::In(&Namespace::nfs_server()), format!("make the folder of `{namespace}` on the NFS server"))
        .args(["exec", &format!("deployment/{NAME}"), "--", "sh", "-c"])
        .arg(r#"mkdir -p "$1" && chown "$2" "$1" && chmod g+rwxs "$1""#)
        .args(["sh", &path, &format!("{user}:{group}")])
        .deadline(REQUEST_TIMEOUT)
}

/// The address of the server, from its service, if mrunner created it.
pub fn address(service: &Value) -> Option<&str> {
    let service = Service::of(service);
    service.address().filter(|_| service.is_from_mrunner())
}

/// The volumes on the server at `address`, each with its claim: they would lose their data.
pub fn users(volumes: &[Value], address: Option<&str>) -> Vec<String> {
    let on_it = |volume: &Volume| {
        let server = volume.nfs().map(|nfs| nfs.server);
        address.is_some() && (server == address || volume.driver_server() == address)
    };
    let told = |volume: Volume| {
        let (name, claim) = (volume.name(), volume.claim());
        match (claim.namespace(), claim.name()) {
            (Some(namespace), Some(claim)) => format!("`{claim}` in `{namespace}` (volume `{name}`)"),
            _ => format!("the volume `{name}`"),
        }
    };
    volumes.iter().map(Volume::of).filter(on_it).map(told).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn whoever_mounts_from_it_is_told() {
        let volumes = [
            json!({"metadata": {"name": "a"}, "spec": {"nfs": {"server": "10.0.0.7", "path": "/vision"},
                   "claimRef": {"namespace": "vision", "name": "storage"}}}),
            json!({"metadata": {"name": "b"}, "spec": {"nfs": {"server": "10.0.0.8", "path": "/"}}}),
            json!({"metadata": {"name": "c"}, "spec": {"csi": {"volumeAttributes": {"server": "10.0.0.7"}}}}),
        ];
        assert_eq!(users(&volumes, Some("10.0.0.7")), ["`storage` in `vision` (volume `a`)", "the volume `c`"]);
        assert!(users(&volumes, None).is_empty());
        assert_eq!(address(&json!({"spec": {"clusterIP": "None"}})), None);
    }

    #[test]
    fn a_folder_is_made_for_its_user() {
        let kubectl = Kubectl { program: "kubectl".into(), flags: vec![] };
        let cmd = create_folder(&kubectl, &Namespace::of_project("vision"), (1000, 2000));
        let line = "kubectl -n mrunner-nfs exec deployment/nfs-server -- sh -c 'mkdir -p \"$1\" && chown \"$2\" \"$1\" && chmod g+rwxs \"$1\"' sh /exports/vision 1000:2000";
        assert_eq!(cmd.to_string(), line);
    }
}
