//! Cards by their type, on nodes that only the API server knows: the real scheduler binds the pod.

use serde_json::json;

use crate::node::Node;
use crate::project::{Project, until};

#[test]
fn the_scheduler_puts_the_pod_on_the_node_with_the_card() {
    let project = Project::new();
    let _added = project.own_nodes();
    let small = Node::new(
        &project,
        "small",
        &json!({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB"}),
        &json!({"nvidia.com/gpu": "8"}),
    );
    let large = Node::new(
        &project,
        "large",
        &json!({"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}),
        &json!({"nvidia.com/gpu": "4"}),
    );
    let chips = json!({"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice", "cloud.google.com/gke-tpu-topology": "2x2"});
    let tpu = Node::new(&project, "tpu", &chips, &json!({"google.com/tpu": "4"}));
    for (flag, kind, node) in
        [("--gpu", "a100-80gb:2", &large), ("--gpu", "a100-sxm4:8", &small), ("--tpu", "v5e:4", &tpu)]
    {
        let run = project.run(&["run", flag, kind, "train.py"]).ok().name();
        let bound = until(|| {
            let pods = project.objects("pods");
            let own = pods.iter().find(|pod| pod["metadata"]["labels"]["mrunner/run"] == run.as_str())?;
            own["spec"]["nodeName"].as_str().map(str::to_owned)
        });
        assert_eq!(bound.as_ref(), Some(&node.name), "{kind}");
        project.run(&["delete", &run]).ok();
    }
    let refused = project.run(&["run", "--gpu", "a100-80gb:8", "train.py"]);
    refused.fails(2, "hint: the largest node has 4: `gpu: a100-80gb:4`\n");
    assert!(project.objects("jobs").is_empty());
}
