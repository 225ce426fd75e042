//! GPUs and TPUs: asked for by type or count, found on the nodes, or refused before anything is made.

use serde_json::json;

use crate::support::World;

/// A world whose nodes have these labels and resources.
fn with(nodes: &serde_json::Value) -> World {
    let mut world = World::new();
    world.write("nodes.json", json!({"kind": "List", "items": nodes}).to_string());
    world.on("*' get nodes '*", "cat \"$world/nodes.json\"; exit 0");
    world
}

fn a100s() -> serde_json::Value {
    json!([{"kind": "Node", "metadata": {"name": "g1", "labels": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}},
        "spec": {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
        "status": {"allocatable": {"nvidia.com/gpu": "8"}}}])
}

#[test]
fn a_type_leads_the_pod_to_its_nodes() {
    let world = with(&a100s());
    world.run(&["run", "--gpu", "a100:2", "train.py"]).ok();
    let pod = &world.job()["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["resources"]["limits"], json!({"nvidia.com/gpu": "2"}));
    let terms = &pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"];
    assert_eq!(
        terms,
        &json!([{"matchExpressions": [{"key": "nvidia.com/gpu.product", "operator": "In", "values": ["NVIDIA-A100-SXM4-80GB"]}]}])
    );
    assert_eq!(pod["tolerations"], json!([{"key": "nvidia.com/gpu", "operator": "Exists"}]));
}

#[test]
fn a_file_may_ask_as_well_and_a_flag_beats_it() {
    let world = with(&a100s());
    world.write("vision/mrunner.yaml", "resources: {gpu: a100:2}\n");
    world.run(&["run", "--gpu", "8", "train.py"]).ok();
    let job = world.job();
    let pod = &job["spec"]["template"]["spec"];
    assert_eq!(pod["containers"][0]["resources"]["limits"], json!({"nvidia.com/gpu": "8"}));
    assert!(pod["affinity"].is_null());
    world.run(&["run", "--gpu", "0", "train.py"]).ok();
    assert_eq!(world.calls_with(" get nodes ").len(), 1);
}

#[test]
fn what_no_node_can_give_fails_before_anything_is_made() {
    for (words, told) in [
        (
            ["--gpu", "h100:1"],
            "error: no node of the cluster can give 1 GPU of type `h100`\n  it has: `a100-sxm4-80gb`: 8 on each of 1 node (nvidia.com/gpu)\n",
        ),
        (["--gpu", "a100:9"], "hint: the largest node has 8: `gpu: a100:8`\n"),
        (["--gpu", "9"], "hint: the largest node has 8: `gpu: 8`\n"),
        (["--tpu", "v5e:4"], "error: no node of the cluster can give 4 TPUs of type `v5e`\n"),
    ] {
        let world = with(&a100s());
        let outcome = world.run(&["run", words[0], words[1], "train.py"]);
        assert_eq!(outcome.code, 2, "{}", outcome.stderr);
        assert!(outcome.stderr.contains(told), "{}", outcome.stderr);
        assert!(
            world.calls_with("buildx build").is_empty()
                && world.submissions().is_empty()
                && world.calls_with(" apply ").is_empty()
        );
    }
}

#[test]
fn a_taint_that_holds_the_cards_back_is_told_before_anything_is_made() {
    let mut nodes = a100s();
    let sku = json!({"key": "sku", "value": "gpu", "effect": "NoSchedule"});
    nodes[0]["spec"]["taints"].as_array_mut().unwrap().push(sku);
    let world = with(&nodes);
    world.run(&["run", "--gpu", "a100:1", "train.py"]).fails(
        2,
        "error: the 1 node with 1 GPU of type `a100` has the taint `sku=gpu:NoSchedule`
hint: tolerate that in the context with `tolerations: [{key: sku, operator: Exists}]`
",
    );
    assert!(world.submissions().is_empty() && world.calls_with(" apply ").is_empty());
    let contexts = world.read("home/.config/mrunner/config.yaml");
    let with_key = |key: &str| {
        let tolerations = format!("    tolerations: [{{key: {key}, operator: Exists}}]\n");
        world.write("home/.config/mrunner/config.yaml", format!("{contexts}{tolerations}"));
        world.run(&["run", "--gpu", "a100:1", "train.py"])
    };
    assert_eq!(with_key("other").code, 2);
    with_key("sku").ok();
}

#[test]
fn who_may_not_list_the_nodes_can_ask_for_a_count() {
    let mut world = World::new();
    world.on("*' get nodes '*", "echo 'Error from server (Forbidden): nodes is forbidden' >&2; exit 1");
    let outcome = world.run(&["run", "--gpu", "2", "train.py"]).ok();
    assert!(outcome.stderr.contains("warning: you may not list the nodes"), "{}", outcome.stderr);
    let refused = world.run(&["run", "--gpu", "a100:2", "train.py"]);
    assert!(
        refused.code == 1 && refused.stderr.contains("put the labels into the context's `node_selector`: `gpu: 2`"),
        "{}",
        refused.stderr
    );
}

#[test]
fn nobody_is_told_of_nodes_where_none_is_wanted_and_in_a_dry_run() {
    let mut world = World::new();
    // their platforms are asked for all the same, and nobody has to be able to say
    world.on("*' get nodes '*", "echo 'Error from server (Forbidden): nodes is forbidden' >&2; exit 1");
    let outcome = world.run(&["run", "train.py"]).ok();
    assert!(!outcome.stderr.contains("nodes"), "{}", outcome.stderr);
    let world = with(&a100s());
    let shown = world.run(&["run", "--dry-run", "--gpu", "a100:2", "train.py"]).ok();
    assert!(
        shown.stderr.contains("warning: on which nodes there is 2 GPUs of type `a100` is not looked up"),
        "{}",
        shown.stderr
    );
    assert!(shown.stdout.contains(r#""nvidia.com/gpu": "2""#) && world.calls_with("kubectl").is_empty());
}
