use super::*;
use crate::util::error::Fail;

fn node(resource: &str, count: u64, labels: &[(&str, &str)]) -> Value {
    let labels: serde_json::Map<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), Value::from(*v))).collect();
    json!({"kind": "Node", "metadata": {"name": "n", "labels": labels}, "spec": {},
           "status": {"allocatable": {"cpu": "8", resource: count.to_string()}}})
}

fn gpu(label: &str, value: &str) -> Value {
    node("nvidia.com/gpu", 8, &[(label, value)])
}

const GFD: &str = "nvidia.com/gpu.product";

fn want(text: &str) -> Want {
    Want::parse(false, text).unwrap()
}

fn place(want: &Want, nodes: &[Value]) -> Result<Placement, Fail> {
    super::place(want, nodes, &[], false)
}

/// The products of those nodes that a pod that wants `text` may land on.
fn lands(text: &str, nodes: &[Value]) -> Vec<String> {
    let Ok(placement) = place(&want(text), nodes) else { return vec![] };
    placement.labels.iter().map(|labels| labels[0].1.clone()).collect()
}

#[test]
fn each_schemes_label_is_read() {
    for (label, value, kind) in [
        (GKE_GPU, "nvidia-tesla-a100", "a100"),
        (GKE_GPU, "nvidia-a100-80gb", "A100-80GB"),
        (GKE_GPU, "nvidia-tesla-a100", "a100-40gb"),
        (GKE_GPU, "nvidia-l4", "l4"),
        (GKE_GPU, "nvidia-h100-mega-80gb", "h100"),
        (GFD, "NVIDIA-A100-SXM4-40GB", "a100"),
        (GFD, "NVIDIA-A100-SXM4-40GB", "A100-SXM4-40GB"),
        (GFD, "NVIDIA-A100-SXM4-40GB", "NVIDIA-A100-SXM4-40GB"),
        (GFD, "Tesla-V100-SXM2-16GB", "v100"),
        (GFD, "NVIDIA-RTX-A6000", "rtx-a6000"),
        (GFD, "NVIDIA-RTX-A6000", "rtxa6000"),
        (GFD, "NVIDIA-GeForce-RTX-4090", "rtx_4090"),
        (KARPENTER_GPU, "a10g", "a10g"),
        ("gpu.nvidia.com/class", "A100_NVLINK_80GB", "a100"),
        ("gpu.nvidia.com/class", "H100_NVLINK_80GB", "h100-80gb"),
    ] {
        assert_eq!(lands(&format!("{kind}:2"), &[gpu(label, value)]), [value], "{kind}");
    }
    let amd = node(
        "amd.com/gpu",
        4,
        &[("amd.com/gpu.product-name", "AMD_Instinct_MI300X_OAM"), ("amd.com/gpu.vram", "192G")],
    );
    let placement = place(&want("mi300x-192gb:1"), &[amd]).unwrap();
    assert_eq!((placement.resource.as_str(), placement.labels[0].len()), ("amd.com/gpu", 2));
}

#[test]
fn a_name_is_not_the_beginning_of_another() {
    for (kind, value) in [
        ("l4", "NVIDIA-L40S"),
        ("a10", "NVIDIA-A100-SXM4-40GB"),
        ("a10", "NVIDIA-A10G"),
        ("h100", "NVIDIA-H1000"),
        ("v100", "NVIDIA-GV100"),
        ("a100", "NVIDIA-A100-SXM4-40GB-SHARED"),
        ("a100", "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"),
        ("a6000", "NVIDIA-RTX-6000-Ada-Generation"),
        ("t4", "nvidia-tesla-t40"),
        ("nvidia", "NVIDIA-L4"),
    ] {
        assert_eq!(lands(&format!("{kind}:1"), &[gpu(GFD, value)]), [""; 0], "{kind} {value}");
    }
}

#[test]
fn never_a_card_with_less_memory() {
    let nodes =
        [gpu(GFD, "NVIDIA-A100-SXM4-40GB"), gpu(GFD, "NVIDIA-A100-SXM4-80GB"), gpu(GKE_GPU, "nvidia-tesla-a100")];
    assert_eq!(lands("a100-80gb:1", &nodes), ["NVIDIA-A100-SXM4-80GB"]);
    assert_eq!(lands("a100-40gb:1", &nodes).len(), 3);
    assert_eq!(lands("a100:1", &nodes).len(), 3);
    // MiB as the driver tells them
    let told = |mib: &str| node("nvidia.com/gpu", 1, &[(GFD, "NVIDIA-H100-PCIe"), ("nvidia.com/gpu.memory", mib)]);
    let placement = place(&want("h100-80gb:1"), &[told("81559")]).unwrap();
    assert_eq!(placement.labels[0][1], ("nvidia.com/gpu.memory".to_owned(), "81559".to_owned()));
    assert!(place(&want("h100-94gb:1"), &[told("81559")]).is_err());
    // memory that nobody tells may be too little
    assert!(place(&want("h100-80gb:1"), &[gpu(GFD, "NVIDIA-H100-PCIe")]).is_err());
}

#[test]
fn counts_are_those_of_one_node() {
    let nodes = [gpu(GFD, "NVIDIA-L4"), node("nvidia.com/gpu", 2, &[(GFD, "NVIDIA-L4")])];
    assert!(place(&want("l4:8"), &nodes).is_ok());
    let error = place(&want("l4:9"), &nodes).unwrap_err();
    assert_eq!(error.message, "no node of the cluster can give 9 GPUs of type `l4`");
    assert_eq!(error.hints, ["the largest node has 8: `gpu: l4:8`"]);
    assert_eq!(error.facts[0], ("it has".to_owned(), "`l4`: 2 on each of 1 node (nvidia.com/gpu)".to_owned()));
    let plain = place(&want("4"), &nodes).unwrap();
    assert_eq!((plain.labels.len(), plain.resource.as_str()), (0, "nvidia.com/gpu"));
    assert_eq!(place(&want("1"), &[]).unwrap_err().message, "no node of the cluster can give 1 GPU");
    let near = place(&want("a1oo:1"), &[gpu(GFD, "NVIDIA-A100")]).unwrap_err();
    assert_eq!(near.hints, ["did you mean `a100`?"]);
}

#[test]
fn a_slice_of_a_card_is_asked_for_by_its_name() {
    let nodes = [node("nvidia.com/mig-1g.5gb", 7, &[(GFD, "NVIDIA-A100-SXM4-40GB")])];
    assert_eq!(place(&want("mig-1g.5gb:2"), &nodes).unwrap().resource, "nvidia.com/mig-1g.5gb");
    assert!(place(&want("1"), &nodes).is_err());
    assert!(place(&want("a100:1"), &nodes).is_err());
}

#[test]
fn tpus_come_as_whole_hosts() {
    let slice =
        |kind: &str, topology: &str, chips| node("google.com/tpu", chips, &[(GKE_TPU, kind), (GKE_TOPOLOGY, topology)]);
    let tpu = |text: &str| Want::parse(true, text).unwrap();
    let nodes = [
        slice("tpu-v5-lite-podslice", "2x2", 4),
        slice("tpu-v5-lite-podslice", "2x4", 8),
        slice("tpu-v5p-slice", "2x2x2", 4),
    ];
    let placement = place(&tpu("v5e:4"), &nodes).unwrap();
    let pairs = [(GKE_TPU, "tpu-v5-lite-podslice"), (GKE_TOPOLOGY, "2x2")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    assert_eq!((placement.resource.as_str(), placement.labels), ("google.com/tpu", vec![pairs.to_vec()]));
    assert!(place(&tpu("v5litepod:8"), &nodes).is_ok() && place(&tpu("V5E:8"), &nodes).is_ok());
    assert!(place(&tpu("v5e:1"), &nodes).is_err());
    assert!(place(&tpu("v5p:4"), &nodes).unwrap_err().hints[0].contains("several hosts"));
    assert!(place(&tpu("v4:4"), &nodes).is_err() && place(&want("v5e:4"), &nodes).is_err());
    assert_eq!(place(&tpu("4"), &nodes).unwrap().labels.len(), 0);
}

#[test]
fn a_node_that_is_not_there_yet_is_only_counted_on_where_nodes_are_made() {
    let pool = |key: &str| json!({"metadata": {"labels": {key: "default"}}, "spec": {}, "status": {}});
    let gke = place(&want("a100-80gb:2"), &[pool("cloud.google.com/gke-nodepool")]).unwrap();
    assert_eq!(gke.labels, [vec![(GKE_GPU.to_owned(), "nvidia-a100-80gb".to_owned())]]);
    assert!(gke.note.unwrap().contains("the cluster may make one"));
    assert!(place(&want("zx9:1"), &[pool("cloud.google.com/gke-nodepool")]).is_err());
    let karpenter = place(&want("l4:1"), &[pool("karpenter.sh/nodepool")]).unwrap();
    assert_eq!(karpenter.labels, [vec![(KARPENTER_GPU.to_owned(), "l4".to_owned())]]);
    assert!(place(&want("1"), &[pool("karpenter.sh/nodepool")]).is_ok());
    assert!(place(&want("l4:1"), &[pool("other")]).is_err());
}

#[test]
fn taints_of_the_cards_own_are_tolerated() {
    let mut tainted = gpu(GFD, "NVIDIA-L4");
    tainted["spec"]["taints"] =
        json!([{"key": "nvidia.com/gpu", "effect": "NoSchedule"}, {"key": "team", "effect": "NoSchedule"}]);
    let team = [json!({"key": "team", "operator": "Exists"})];
    assert_eq!(super::place(&want("l4:1"), &[tainted.clone()], &team, false).unwrap().taints, ["nvidia.com/gpu"]);
    tainted["spec"]["unschedulable"] = true.into();
    assert!(super::place(&want("l4:1"), &[tainted], &team, false).unwrap().note.unwrap().contains("cordoned"));
}

#[test]
fn a_gpu_and_a_tpu_are_both_needed() {
    let both = |labels: &[&[(&str, &str)]]| Placement {
        resource: "r".into(),
        count: 1,
        labels: labels.iter().map(|l| l.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()).collect(),
        taints: vec![],
        note: None,
    };
    let value = affinity(&[both(&[&[("a", "1")], &[("a", "2")]]), both(&[&[("b", "3")]])]).unwrap();
    let terms = &value["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    assert_eq!(terms.as_array().unwrap().len(), 2);
    assert_eq!(terms[1]["matchExpressions"].as_array().unwrap().len(), 2);
    assert_eq!(affinity(&[both(&[])]), None);
}

fn tainted(mut node: Value, taints: &[(&str, &str)]) -> Value {
    let one = |(key, value): &(&str, &str)| json!({"key": key, "value": value, "effect": "NoSchedule"});
    node["spec"]["taints"] = taints.iter().map(one).collect();
    node
}

#[test]
fn a_taint_that_holds_the_cards_back_is_named_with_its_toleration() {
    let t4 = || gpu(GFD, "Tesla-T4");
    let nodes = [tainted(t4(), &[("sku", "gpu"), ("nvidia.com/gpu", "present")])];
    let error = place(&want("t4:1"), &nodes).unwrap_err();
    assert_eq!(error.message, "the 1 node with 1 GPU of type `t4` has the taint `sku=gpu:NoSchedule`");
    assert_eq!(error.hints, ["tolerate that in the context with `tolerations: [{key: sku, operator: Exists}]`"]);
    assert!(place(&want("1"), &nodes).is_err());
    let other = [json!({"key": "other", "operator": "Exists"})];
    assert!(super::place(&want("t4:1"), &nodes, &other, false).is_err());
    for tolerated in [
        json!({"key": "sku", "operator": "Exists"}),
        json!({"key": "sku", "value": "gpu", "effect": "NoSchedule"}),
        json!({"operator": "Exists"}),
    ] {
        let placement = super::place(&want("t4:1"), &nodes, &[tolerated], false).unwrap();
        assert_eq!(placement.taints, ["nvidia.com/gpu"]);
    }
    let two = [tainted(t4(), &[("a", ""), ("b", "")]), tainted(t4(), &[("dedicated", "vision")])];
    let error = place(&want("t4:1"), &two).unwrap_err();
    assert_eq!(
        error.message,
        "the 2 nodes with 1 GPU of type `t4` have the taints `a:NoSchedule`, `b:NoSchedule`, `dedicated=vision:NoSchedule`"
    );
    assert_eq!(error.hints, ["tolerate that in the context with `tolerations: [{key: dedicated, operator: Exists}]`"]);
    // one node is open, or will be
    assert!(place(&want("t4:1"), &[two[0].clone(), t4()]).is_ok());
    assert!(place(&want("t4:1"), &[tainted(t4(), &[("node.kubernetes.io/not-ready", "")])]).is_ok());
}

#[test]
fn a_taint_is_a_warning_where_nodes_or_tolerations_may_be_added() {
    let mut pool = tainted(gpu(GFD, "Tesla-T4"), &[("dedicated", "x")]);
    let taint = "the 1 node with 1 GPU has the taint `dedicated=x:NoSchedule`; ";
    let remedy = "tolerate that in the context with `tolerations: [{key: dedicated, operator: Exists}]`";
    // Kueue adds the tolerations of a ResourceFlavor when it admits the Job
    let queued = super::place(&want("1"), &[pool.clone()], &[], true).unwrap();
    assert_eq!(queued.note.unwrap(), format!("{taint}if the queue's ResourceFlavor does not tolerate that, {remedy}"));
    assert!(super::place(&want("h100:1"), &[pool.clone()], &[], true).is_err());
    assert_eq!(super::place(&want("t4:1"), &[pool.clone()], &[], true).unwrap().labels[0][0].1, "Tesla-T4");
    // nodes of another pool, which has none now
    for key in ["cloud.google.com/gke-nodepool", "karpenter.sh/nodepool"] {
        pool["metadata"]["labels"][key] = "x".into();
        let placement = place(&want("1"), &[pool.clone()]).unwrap();
        let waits = format!("{taint}the run waits until the cluster makes another node, or {remedy}");
        assert_eq!((placement.resource.as_str(), placement.note.unwrap()), ("nvidia.com/gpu", waits));
        pool["metadata"]["labels"][key] = Value::Null;
    }
}

#[test]
fn only_is_said_only_if_it_is_true() {
    let shared = || node(SHARED, 4, &[(GFD, "Tesla-T4")]);
    let whole = |count| node("nvidia.com/gpu", count, &[(GFD, "Tesla-T4")]);
    let ask = "or ask for a GPU that several pods share: `gpu: t4-shared:1`";
    let error = place(&want("1"), &[tainted(whole(1), &[("sku", "gpu")]), shared()]).unwrap_err();
    assert_eq!(error.message, "the 1 node with 1 GPU has the taint `sku=gpu:NoSchedule`");
    assert_eq!(error.hints[1], ask);
    let error = place(&want("2"), &[whole(1), shared()]).unwrap_err();
    assert_eq!(error.message, "no node of the cluster can give 2 GPUs");
    assert_eq!(error.hints, ["the largest node has 1: `gpu: 1`", ask]);
    assert!(place(&want("1"), &[whole(1), shared()]).unwrap().note.is_none());
    assert!(place(&want("1"), &[shared()]).unwrap().note.unwrap().contains("only GPUs that several pods share"));
    assert!(place(&want("t4-shared:1"), &[whole(1), shared()]).unwrap().note.is_none());
}

#[test]
fn a_card_that_is_shared_is_one_of_its_own_kind() {
    for product in ["Tesla-T4-SHARED", "Tesla-T4"] {
        let nodes = [tainted(node(SHARED, 4, &[(GFD, product)]), &[("nvidia.com/gpu", "present")])];
        let any = place(&want("1"), &nodes).unwrap();
        assert_eq!((any.resource.as_str(), any.taints.as_slice()), (SHARED, &["nvidia.com/gpu".to_owned()][..]));
        assert!(any.note.unwrap().contains("share"));
        let error = place(&want("t4:1"), &nodes).unwrap_err();
        assert_eq!(error.hints, ["several pods share such a card: ask for it with `t4-shared:1`"]);
        assert!(error.facts.iter().any(|(_, fact)| fact.contains("`t4-shared`: 4 on each of 1 node")), "{error:?}");
        assert_eq!(place(&want("t4-shared:1"), &nodes).unwrap().labels[0][0].1, product);
        let own = gpu(GFD, "Tesla-T4");
        let both = [nodes[0].clone(), own];
        assert_eq!(place(&want("1"), &both).unwrap().resource, "nvidia.com/gpu");
        assert_eq!(place(&want("t4:1"), &both).unwrap().resource, "nvidia.com/gpu");
    }
}
