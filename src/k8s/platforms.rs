//! Platforms of nodes and images, such as `linux/amd64`. Pure.

use serde_json::Value;

/// The labels that every node has (<https://kubernetes.io/docs/reference/labels-annotations-taints/>).
const OS: &str = "kubernetes.io/os";
const ARCH: &str = "kubernetes.io/arch";

/// Whether the nodes run an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fit {
    /// Every node does, or nothing is known.
    Every,
    /// Those that have these labels do.
    Labelled(Vec<(String, String)>),
    /// None does.
    Nowhere,
}

/// The platforms of nodes, each once.
pub fn of_nodes<'a>(nodes: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let label = |node: &Value, name: &str| node["metadata"]["labels"][name].as_str().map(str::to_owned);
    let of = |node| Some(format!("{}/{}", label(node, OS)?, label(node, ARCH)?));
    let mut all: Vec<String> = nodes.into_iter().filter_map(of).collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The platforms of an image, from its index or its configuration; none where it does not say.
pub fn of_image(document: &Value) -> Vec<String> {
    let one = |platform: &Value| {
        let (os, arch) = (platform["os"].as_str()?, platform["architecture"].as_str()?);
        // attestations are of no platform
        (os != "unknown" && !os.is_empty() && !arch.is_empty()).then(|| format!("{os}/{arch}"))
    };
    let mut all: Vec<String> = match document["manifests"].as_array() {
        Some(manifests) => manifests.iter().filter_map(|manifest| one(&manifest["platform"])).collect(),
        None => one(document).into_iter().collect(),
    };
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether the manifest of an image leaves its platform to its configuration.
pub fn has_config(manifest: &Value) -> bool {
    manifest["config"].is_object()
}

/// A platform as nodes name it: without the variant, in Go's words.
fn as_nodes_name_it(platform: &str) -> String {
    let (os, rest) = platform.split_once('/').unwrap_or(("linux", platform));
    let arch = match rest.split('/').next().unwrap_or_default() {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "armhf" | "armel" => "arm",
        "i386" => "386",
        arch => arch,
    };
    format!("{}/{arch}", os.to_ascii_lowercase())
}

/// The platforms whose images a node's runtime takes as well, in the order of preference that containerd has
/// (<https://github.com/containerd/platforms/blob/main/compare.go>, `platformVector`).
const TAKEN_AS_WELL: &[(&str, &str)] = &[("amd64", "386"), ("arm64", "arm")];

/// Whether a node of the platform `node` takes an image of one of these platforms.
fn takes(node: &str, image: &[String]) -> bool {
    let is_for = |platform: &str| image.iter().any(|own| own == platform);
    let older = TAKEN_AS_WELL.iter().find_map(|(own, older)| Some((node.strip_suffix(own)?, older)));
    is_for(node) || older.is_some_and(|(os, older)| os.ends_with('/') && is_for(&format!("{os}{older}")))
}

/// On which of the nodes an image of these platforms runs.
pub fn fit(image: &[String], nodes: &[String]) -> Fit {
    if image.is_empty() || nodes.is_empty() {
        return Fit::Every;
    }
    let image: Vec<String> = image.iter().map(|platform| as_nodes_name_it(platform)).collect();
    let (fitting, others): (Vec<&String>, Vec<&String>) = nodes.iter().partition(|node| takes(node, &image));
    if fitting.is_empty() {
        return Fit::Nowhere;
    }
    let parts = |all: &[&String], at: usize| {
        let mut parts: Vec<String> =
            all.iter().filter_map(|platform| platform.split('/').nth(at)).map(str::to_owned).collect();
        parts.sort_unstable();
        parts.dedup();
        parts
    };
    let mut labels = Vec::new();
    for (at, name) in [(0, OS), (1, ARCH)] {
        // one label has one value: where several would do, the scheduler is left the choice
        if let ([own], true) = (
            parts(&fitting, at).as_slice(),
            parts(&others, at).iter().any(|other| !parts(&fitting, at).contains(other)),
        ) {
            labels.push((name.to_owned(), own.clone()));
        }
    }
    if labels.is_empty() { Fit::Every } else { Fit::Labelled(labels) }
}

/// The labels that lead a pod to nodes of this platform.
pub fn labels(platform: &str) -> Vec<(String, String)> {
    let named = as_nodes_name_it(platform);
    let (os, arch) = named.split_once('/').unwrap_or_default();
    // nodes of several architectures may take it
    let one = !TAKEN_AS_WELL.iter().any(|(_, older)| *older == arch);
    let arch = one.then(|| (ARCH.to_owned(), arch.to_owned()));
    std::iter::once((OS.to_owned(), os.to_owned())).chain(arch).collect()
}

/// Whether nodes may be made as pods need them, by the labels of those that are there.
pub fn may_grow(nodes: &[Value]) -> bool {
    const GROUPS: &[&str] = &[
        "karpenter.sh/nodepool",
        "cloud.google.com/gke-nodepool",
        "eks.amazonaws.com/nodegroup",
        "kubernetes.azure.com/agentpool",
    ];
    nodes.iter().any(|node| GROUPS.iter().any(|label| node["metadata"]["labels"][label].is_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fit_of(image: &[&str], nodes: &[&str]) -> Fit {
        let owned = |all: &[&str]| all.iter().map(|platform| (*platform).to_owned()).collect::<Vec<_>>();
        fit(&owned(image), &owned(nodes))
    }

    #[test]
    fn an_image_fits_the_nodes_of_its_platform() {
        let labelled = |pairs: &[(&str, &str)]| {
            Fit::Labelled(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
        };
        for (image, nodes, expected) in [
            (&["linux/amd64"][..], &["linux/amd64"][..], Fit::Every),
            (&["linux/arm64"], &["linux/amd64"], Fit::Nowhere),
            (&["linux/arm64/v8"], &["linux/arm64"], Fit::Every),
            (&["linux/aarch64"], &["linux/arm64"], Fit::Every),
            (&["linux/arm/v7"], &["linux/arm64"], Fit::Every),
            (&["linux/386"], &["linux/amd64", "linux/arm64"], labelled(&[(ARCH, "amd64")])),
            (&["linux/arm64"], &["linux/arm"], Fit::Nowhere),
            (&["linux/amd64"], &["linux/386"], Fit::Nowhere),
            (&["linux/amd64"], &["linux/amd64", "linux/arm64"], labelled(&[(ARCH, "amd64")])),
            (&["linux/amd64"], &["linux/amd64", "windows/amd64"], labelled(&[(OS, "linux")])),
            (
                &["linux/amd64"],
                &["linux/amd64", "linux/arm64", "windows/amd64"],
                labelled(&[(OS, "linux"), (ARCH, "amd64")]),
            ),
            (&["linux/amd64", "linux/arm64"], &["linux/amd64", "linux/arm64"], Fit::Every),
            (
                &["linux/amd64", "linux/arm64"],
                &["linux/amd64", "linux/arm64", "windows/amd64"],
                labelled(&[(OS, "linux")]),
            ),
            (&["linux/amd64", "linux/arm64"], &["linux/amd64", "linux/arm64", "linux/s390x"], Fit::Every),
            (&[], &["linux/amd64"], Fit::Every),
            (&["linux/amd64"], &[], Fit::Every),
        ] {
            assert_eq!(fit_of(image, nodes), expected, "{image:?} {nodes:?}");
        }
    }

    #[test]
    fn platforms_are_read_of_nodes_and_images() {
        let node = |arch: &str| json!({"metadata": {"labels": {OS: "linux", ARCH: arch}}});
        let nodes = [node("arm64"), node("amd64"), node("arm64"), json!({"metadata": {}})];
        assert_eq!(of_nodes(&nodes), ["linux/amd64", "linux/arm64"]);
        let index = json!({"manifests": [
            {"platform": {"os": "linux", "architecture": "arm64", "variant": "v8"}},
            {"platform": {"os": "unknown", "architecture": "unknown"}}, {}]});
        assert_eq!(of_image(&index), ["linux/arm64"]);
        assert_eq!(of_image(&json!({"os": "linux", "architecture": "amd64", "config": {}})), ["linux/amd64"]);
        assert!(of_image(&json!({"config": {"digest": "x"}})).is_empty() && of_image(&Value::Null).is_empty());
    }
}
