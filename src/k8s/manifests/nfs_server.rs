//! The NFS server in the cluster: one pod on a claim of its own, behind an address that stays.

use serde_json::{Value, json};

use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::{MANAGED_BY, claim::AccessMode};
use crate::k8s::names::Namespace;
use crate::k8s::namespace::POD_SECURITY;
use crate::k8s::quantity::Quantity;

/// Deployment, service and claim are called so.
pub const NAME: &str = "nfs-server";

/// The server's container; others may be injected.
pub const CONTAINER: &str = "server";

/// Where the exported folder is in the pod; clients see it as `/`.
pub const EXPORTS: &str = "/exports";

/// What an image runs with that the usual containers have as well: ganesha takes the caller's ids on for each
/// request, root's own requests may change owners, and the portmapper has a low port. One more is needed, which
/// Pod Security grants at its level `privileged` only: the calls by which a file is opened by its handle.
const CAPABILITIES: [&str; 8] =
    ["CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "NET_BIND_SERVICE", "SETGID", "SETUID"];

fn metadata(kind: &str) -> Value {
    let mut metadata = json!({ "name": NAME, "labels": { MANAGED_BY: "mrunner", "app.kubernetes.io/name": NAME } });
    if kind != "Pod" {
        metadata["namespace"] = Namespace::nfs_server().as_str().into();
    }
    metadata
}

/// The server's namespace, which allows what the server needs, and which nobody else should use.
pub fn namespace() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": Namespace::nfs_server().as_str(),
            "labels": { MANAGED_BY: "mrunner", POD_SECURITY: "privileged" },
        },
    })
}

/// The claim that holds all data.
pub fn claim(class: Option<&str>, size: &Quantity) -> Value {
    let mut claim = json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata("PersistentVolumeClaim"),
        "spec": {
            "accessModes": [AccessMode::ReadWriteOnce.as_str()],
            "resources": { "requests": { "storage": size.as_str() } },
        },
    });
    if let Some(class) = class {
        claim["spec"]["storageClassName"] = class.into();
    }
    claim
}

/// The address that clients mount from. Without a name: nodes do not resolve the cluster's names.
pub fn service() -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata("Service"),
        "spec": {
            "type": "ClusterIP",
            "selector": { "app.kubernetes.io/name": NAME },
            "ports": [
                { "name": "nfs", "port": 2049 },
                // for clients of NFSv3 only
                { "name": "mountd", "port": 20048 },
                { "name": "portmapper", "port": 111 },
            ],
        },
    })
}

/// What the server's pod is made from.
#[derive(Debug, Clone, Copy)]
pub struct Server<'a> {
    /// The image.
    pub image: &'a str,
    /// A Secret with the registry's login.
    pub pull_secret: Option<&'a str>,
    /// Labels and annotations of the pod beside mrunner's own.
    pub pod: &'a PodMetadata,
    /// What its container asks for.
    pub resources: &'a Value,
}

/// The resources of the server.
pub fn usual() -> Value {
    json!({ "requests": { "cpu": "100m", "memory": "128Mi" }, "limits": { "cpu": "2", "memory": "2Gi" } })
}

/// The server.
pub fn deployment(server: &Server) -> Value {
    let mut metadata_of_pod = json!({ "labels": metadata("Pod")["labels"] });
    server.pod.add_to(&mut metadata_of_pod);
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata("Deployment"),
        "spec": {
            "replicas": 1,
            // never two servers on one volume
            "strategy": { "type": "Recreate" },
            "selector": { "matchLabels": { "app.kubernetes.io/name": NAME } },
            "template": { "metadata": metadata_of_pod, "spec": pod(server) },
        },
    })
}

/// A pod like the server's: what an API server says of it, it would say of the server's.
pub fn trial(server: &Server) -> Value {
    let mut metadata = metadata("Pod");
    metadata["name"] = "nfs-server-trial".into();
    metadata["namespace"] = Namespace::nfs_server().as_str().into();
    server.pod.add_to(&mut metadata);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod(server) })
}

fn pod(server: &Server) -> Value {
    let mut pod = json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 10,
        // the usual profile refuses name_to_handle_at, and without it nothing can be exported
        "securityContext": { "runAsUser": 0, "seccompProfile": { "type": "Unconfined" } },
        "containers": [{
            "name": CONTAINER,
            "image": server.image,
            "ports": [{ "containerPort": 2049 }, { "containerPort": 20048 }, { "containerPort": 111 }],
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"], "add": CAPABILITIES },
            },
            "resources": server.resources,
            "readinessProbe": {
                "exec": { "command": ["/bin/bash", "/opt/mrunner/ready"] },
                "periodSeconds": 2,
                "timeoutSeconds": 5,
            },
            "volumeMounts": [{ "name": "exports", "mountPath": EXPORTS }],
        }],
        "volumes": [{ "name": "exports", "persistentVolumeClaim": { "claimName": NAME } }],
    });
    if let Some(secret) = server.pull_secret {
        pod["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    pod
}

/// The folder of a project's namespace on the server, as its clients see it.
pub fn folder(namespace: &Namespace) -> String {
    format!("/{namespace}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_finds_the_pod() {
        let own =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect::<Vec<_>>();
        // a label of the user's own can't take the pod from the service
        let metadata =
            PodMetadata::new(&own(&[("team", "a"), ("app.kubernetes.io/name", "x")]), &own(&[("note", "n")]));
        let resources = usual();
        let server =
            Server { image: "r/nfs@sha256:0", pull_secret: Some("login"), pod: &metadata, resources: &resources };
        let deployment = deployment(&server);
        for metadata in [&deployment["spec"]["template"]["metadata"], &trial(&server)["metadata"]] {
            assert_eq!((&metadata["labels"]["team"], &metadata["annotations"]["note"]), (&json!("a"), &json!("n")));
        }
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (key, value) in service()["spec"]["selector"].as_object().unwrap() {
            assert_eq!(labels[key], *value);
        }
        assert_eq!(deployment["spec"]["template"]["spec"]["imagePullSecrets"][0]["name"], "login");
    }
}
