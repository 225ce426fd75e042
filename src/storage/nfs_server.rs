//! The NFS server in the cluster, as far as projects use it.

use serde_json::Value;

use crate::k8s::manifests::MANAGED_BY;
use crate::k8s::manifests::nfs_server::{EXPORTS, NAME, folder};
use crate::k8s::names::Namespace;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{Kubectl, REQUEST_TIMEOUT, Scope};

/// Makes a project's folder in the server, for user and group to write in. The same again does no harm.
pub fn create_folder(kubectl: &Kubectl, namespace: &Namespace, (user, group): (u32, u32)) -> Cmd {
    let path = format!("{EXPORTS}{}", folder(namespace));
    kubectl
        .cmd(Scope::In(&Namespace::nfs_server()), format!("make the folder of `{namespace}` on the NFS server"))
        .args(["exec", &format!("deployment/{NAME}"), "--", "sh", "-c"])
        .arg(r#"mkdir -p "$1" && chown "$2" "$1" && chmod g+rwxs "$1""#)
        .args(["sh", &path, &format!("{user}:{group}")])
        .deadline(REQUEST_TIMEOUT)
}

/// The address of the server, from its service, if that is one of ours.
pub fn address(service: &Value) -> Option<&str> {
    let ours = service["metadata"]["labels"][MANAGED_BY] == "mrunner";
    service["spec"]["clusterIP"].as_str().filter(|ip| ours && !ip.is_empty() && *ip != "None")
}

/// Who would lose their data with the server at `address`: the volumes on it, each with its claim.
pub fn users(volumes: &[Value], address: Option<&str>) -> Vec<String> {
    let on_it = |volume: &&Value| {
        let server = volume["spec"]["nfs"]["server"].as_str();
        let driver = volume["spec"]["csi"]["volumeAttributes"]["server"].as_str();
        address.is_some() && (server == address || driver == address)
    };
    let told = |volume: &Value| {
        let name = volume["metadata"]["name"].as_str().unwrap_or_default();
        let claim = &volume["spec"]["claimRef"];
        match (claim["namespace"].as_str(), claim["name"].as_str()) {
            (Some(namespace), Some(claim)) => format!("`{claim}` in `{namespace}` (volume `{name}`)"),
            _ => format!("the volume `{name}`"),
        }
    };
    volumes.iter().filter(on_it).map(told).collect()
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
