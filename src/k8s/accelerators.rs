//! GPUs and TPUs by their type: found on the labels that nodes carry, and never a smaller card.
//!
//! | label | who puts it |
//! |---|---|
//! | `cloud.google.com/gke-accelerator`, `gke-tpu-accelerator`, `gke-tpu-topology` | GKE (<https://cloud.google.com/kubernetes-engine/docs/how-to/gpus>, `/tpus`) |
//! | `nvidia.com/gpu.product`, `nvidia.com/gpu.memory` (MiB) | NVIDIA's GPU feature discovery, also on Nebius (<https://github.com/NVIDIA/k8s-device-plugin/tree/main/docs/gpu-feature-discovery>) |
//! | `karpenter.k8s.aws/instance-gpu-name`, `-memory` (MiB) | Karpenter (<https://karpenter.sh/docs/concepts/scheduling/>) |
//! | `gpu.nvidia.com/class`, `gpu.nvidia.com/vram` (GB) | CoreWeave (<https://docs.coreweave.com/docs/products/instances/gpu-instances>) |
//! | `amd.com/gpu.product-name`, `amd.com/gpu.vram` (`64G`) | AMD's node labeller (<https://github.com/ROCm/k8s-device-plugin>) |

mod place;

use std::collections::BTreeMap;

use serde_json::{Value, json};

pub use self::place::{place, place_unlisted};
use crate::k8s::taints::{self, Taint};

/// What an experiment asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Whether it is a TPU and no GPU.
    pub tpu: bool,
    /// The type, as the user wrote it.
    pub kind: Option<String>,
    /// How many for each pod, not 0.
    pub count: u64,
}

impl Want {
    /// Reads `2` or `a100:2`, which was checked before; 0 is nothing.
    pub fn parse(tpu: bool, text: &str) -> Option<Self> {
        let (kind, number) = text.rsplit_once(':').map_or((None, text), |(kind, number)| (Some(kind), number));
        let count = number.parse().ok().filter(|count| *count > 0)?;
        Some(Self { tpu, kind: kind.map(str::to_owned), count })
    }

    fn noun(&self) -> &'static str {
        if self.tpu { "TPU" } else { "GPU" }
    }

    /// In words, such as "2 GPUs of type `a100`".
    pub fn shown(&self) -> String {
        let plural = if self.count == 1 { "" } else { "s" };
        let kind = self.kind.as_ref().map(|kind| format!(" of type `{kind}`")).unwrap_or_default();
        format!("{} {}{plural}{kind}", self.count, self.noun())
    }
}

/// How a pod comes to what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// The resource that the pod's limits name.
    pub resource: String,
    /// How many.
    pub count: u64,
    /// Labels of which a node must have all of one list; none if any node will do.
    pub labels: Vec<Vec<(String, String)>>,
    /// Keys of taints that those nodes carry to keep others away.
    pub taints: Vec<String>,
    /// What the user should know.
    pub note: Option<String>,
}

/// One node's accelerators of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The resource.
    pub resource: String,
    /// How many the node can give to one pod.
    pub count: u64,
    /// The type in the label's own words, with the label.
    pub product: Option<(String, String)>,
    /// Memory of one card in GB, with the label that says it if the product's name does not.
    memory: Option<(u64, Option<(String, String)>)>,
    /// The chips of a TPU's slice, with the label: a pod must take all of them.
    topology: Option<(u64, (String, String))>,
    taints: Vec<Taint>,
    schedulable: bool,
}

/// A type that GKE can make a node of: the name's words, GB of memory, and the label's value.
const GKE: &[(&[&str], u64, &str)] = &[
    (&["t4"], 16, "nvidia-tesla-t4"),
    (&["p4"], 8, "nvidia-tesla-p4"),
    (&["p100"], 16, "nvidia-tesla-p100"),
    (&["v100"], 16, "nvidia-tesla-v100"),
    (&["l4"], 24, "nvidia-l4"),
    (&["a100"], 40, "nvidia-tesla-a100"),
    (&["a100"], 80, "nvidia-a100-80gb"),
    (&["h100"], 80, "nvidia-h100-80gb"),
    (&["h100", "mega"], 80, "nvidia-h100-mega-80gb"),
    (&["h200"], 141, "nvidia-h200-141gb"),
    (&["b200"], 180, "nvidia-b200"),
];

/// Names of TPUs as users write them, and GKE's.
const TPUS: &[(&[&str], &[&str])] = &[
    (&["v3"], &["tpu-v3-device", "tpu-v3-slice"]),
    (&["v4"], &["tpu-v4-podslice"]),
    (&["v5e", "v5lite", "v5litepod"], &["tpu-v5-lite-podslice", "tpu-v5-lite-device"]),
    (&["v5p"], &["tpu-v5p-slice"]),
    (&["v6e", "trillium"], &["tpu-v6e-slice"]),
    (&["v7x", "tpu7x", "ironwood"], &["tpu7x"]),
];

const GKE_GPU: &str = "cloud.google.com/gke-accelerator";
const GKE_TPU: &str = "cloud.google.com/gke-tpu-accelerator";
const GKE_TOPOLOGY: &str = "cloud.google.com/gke-tpu-topology";
/// The resource name of shared cards, if NVIDIA's device plugin is configured to rename them
/// (<https://github.com/NVIDIA/k8s-device-plugin#shared-access-to-gpus>, `renameByDefault`).
const SHARED: &str = "nvidia.com/gpu.shared";
const KARPENTER_GPU: &str = "karpenter.k8s.aws/instance-gpu-name";

/// The words of a type's name, lower case, without the makers' names, and GB if one tells them.
fn words(name: &str) -> (Vec<String>, Option<u64>) {
    let mut words = Vec::new();
    let mut memory = None;
    for word in name.to_ascii_lowercase().split(|c: char| !c.is_ascii_alphanumeric() && c != '.') {
        let gb = word.strip_suffix("gb").or_else(|| word.strip_suffix("gib")).and_then(|number| number.parse().ok());
        match word {
            "" | "nvidia" | "tesla" | "geforce" | "quadro" | "amd" | "instinct" => {}
            _ if gb.is_some() => memory = gb,
            _ => words.push(word.to_owned()),
        }
    }
    (words, memory)
}

/// Whether a node can give what the placement asks for, once nobody else has it.
pub fn gives(placement: &Placement, node: &Value) -> bool {
    let labels = &node["metadata"]["labels"];
    let has = |all: &Vec<(String, String)>| all.iter().all(|(key, value)| labels[key] == value.as_str());
    let enough = |offer: Offer| offer.resource == placement.resource && offer.count >= placement.count;
    (placement.labels.is_empty() || placement.labels.iter().any(has)) && of_node(node).into_iter().any(enough)
}

/// What each node offers.
pub fn offers(nodes: &[Value]) -> Vec<Offer> {
    nodes.iter().flat_map(of_node).collect()
}

fn of_node(node: &Value) -> Vec<Offer> {
    let label = |key: &str| {
        let value = node["metadata"]["labels"][key].as_str().filter(|value| !value.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    };
    let number = |pair: &(String, String)| pair.1.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().ok();
    let taints: Vec<Taint> = taints::of_node(node).into_iter().filter(|taint| !taint.passes()).collect();
    let resources = node["status"]["allocatable"].as_object();
    let mut found = Vec::new();
    for (resource, amount) in resources.into_iter().flatten() {
        let Some(count) = amount.as_str().and_then(|n| n.parse().ok()).or(amount.as_u64()).filter(|n| *n > 0) else {
            continue;
        };
        let (products, memories): (&[&str], &[(&str, u64)]) = match resource.as_str() {
            "google.com/tpu" => (&[GKE_TPU], &[]),
            "amd.com/gpu" => (&["amd.com/gpu.product-name"], &[("amd.com/gpu.vram", 1000)]),
            r if r.starts_with("nvidia.com/mig-") || r == "nvidia.com/gpu" || r == SHARED => (
                &["nvidia.com/gpu.product", GKE_GPU, KARPENTER_GPU, "gpu.nvidia.com/class"],
                // in thousandths of a GB
                &[
                    ("nvidia.com/gpu.memory", 1),
                    ("karpenter.k8s.aws/instance-gpu-memory", 1),
                    ("gpu.nvidia.com/vram", 1000),
                ],
            ),
            _ => continue,
        };
        let product = products.iter().find_map(|key| label(key));
        let by_label = memories.iter().find_map(|(key, unit)| {
            let pair = label(key)?;
            let amount = number(&pair)?;
            // MiB are a little more than MB
            let gb = if *unit == 1 { amount * 1_048_576 / 1_000_000_000 } else { amount };
            Some((gb, Some(pair)))
        });
        let by_name = product.as_ref().and_then(|(key, value)| {
            let gke = GKE.iter().find(|(.., known)| key == GKE_GPU && known == value).map(|(_, memory, _)| *memory);
            gke.or(words(value).1)
        });
        let topology = label(GKE_TOPOLOGY).and_then(|pair| {
            let sides = pair.1.split('x').map(|n| n.parse::<u64>().ok());
            let chips: Option<u64> = sides.product();
            let chips = chips?;
            Some((chips, pair))
        });
        found.push(Offer {
            resource: resource.clone(),
            count,
            memory: by_name.map(|gb| (gb, None)).or(by_label),
            topology: topology.filter(|_| resource == "google.com/tpu"),
            product,
            taints: taints.clone(),
            schedulable: node["spec"]["unschedulable"] != true,
        });
    }
    found
}

impl Offer {
    /// Returns whether the taint reserves nodes for these cards. Pods that ask for one tolerate it.
    fn is_own(&self, taint: &Taint) -> bool {
        let nvidia = self.resource.starts_with("nvidia.com/") && taint.key == "nvidia.com/gpu";
        taint.key == self.resource || nvidia
    }

    /// The taints that keep a pod with these tolerations away.
    fn that_hold(&self, tolerations: &[Value]) -> Vec<Taint> {
        let holds = |taint: &&Taint| !self.is_own(taint) && !taint.is_tolerated(tolerations);
        self.taints.iter().filter(holds).cloned().collect()
    }

    fn is_a(&self, want: &Want) -> bool {
        if want.tpu != (self.resource == "google.com/tpu") {
            return false;
        }
        let Some(kind) = &want.kind else {
            // a slice of a card is no card
            return !self.resource.starts_with("nvidia.com/mig-");
        };
        if want.tpu {
            let value = self.product.as_ref().map(|(_, value)| value.as_str()).unwrap_or_default();
            return value == kind || tpu_values(kind).contains(&value);
        }
        // a slice is asked for by its own name, `mig-1g.5gb`
        if let Some(slice) = self.resource.strip_prefix("nvidia.com/")
            && slice.starts_with("mig-")
        {
            return kind.eq_ignore_ascii_case(slice);
        }
        let Some((_, product)) = &self.product else { return false };
        let ((asked, least), (mut has, _)) = (words(kind), words(product));
        if self.resource == SHARED && !has.iter().any(|word| word == "shared") {
            has.push("shared".to_owned());
        }
        // a card that is shared or cut is not the card that was asked for
        let is_part = has.iter().any(|word| (word == "shared" || word == "mig") && !asked.contains(word));
        let same = !asked.is_empty() && (asked.iter().all(|word| has.contains(word)) || asked.concat() == has.concat());
        // GB and GiB are told apart by nobody: 39.6 GiB are a card of 40 GB
        same && !is_part && least.is_none_or(|least| self.memory.as_ref().is_some_and(|(gb, _)| gb + 1 >= least))
    }

    /// The labels that lead a pod to such nodes.
    fn labels(&self, want: &Want) -> Vec<(String, String)> {
        let Some(kind) = &want.kind else { return Vec::new() };
        if self.resource.starts_with("nvidia.com/mig-") {
            return Vec::new();
        }
        let memory = self.memory.iter().filter(|_| words(kind).1.is_some()).filter_map(|(_, label)| label.clone());
        self.product.iter().cloned().chain(memory).chain(self.slice()).collect()
    }

    fn slice(&self) -> Option<(String, String)> {
        self.topology.as_ref().map(|(_, label)| label.clone())
    }

    /// The type as the user could ask for it.
    fn kind(&self) -> String {
        if let Some(slice) = self.resource.strip_prefix("nvidia.com/").filter(|slice| slice.starts_with("mig-")) {
            return slice.to_owned();
        }
        let Some((_, product)) = &self.product else {
            return if self.resource == SHARED { "shared, of no told type" } else { "of no told type" }.to_owned();
        };
        if let Some((names, _)) = TPUS.iter().find(|(_, values)| values.contains(&product.as_str())) {
            return names[0].to_owned();
        }
        let (mut words, told) = words(product);
        if self.resource == SHARED && !words.iter().any(|word| word == "shared") {
            words.push("shared".to_owned());
        }
        let memory = told.or(self.memory.as_ref().map(|(gb, _)| *gb)).map(|gb| format!("-{gb}gb")).unwrap_or_default();
        words.join("-") + &memory
    }
}

fn tpu_values(kind: &str) -> &'static [&'static str] {
    let kind = kind.to_ascii_lowercase().replace(['-', '_'], "");
    let kind = kind.strip_prefix("tpu").filter(|rest| rest.starts_with('v')).unwrap_or(&kind).to_owned();
    TPUS.iter().find(|(names, _)| names.contains(&kind.as_str())).map_or(&[], |(_, values)| values)
}

/// What the nodes have, a line for each type: for people.
pub fn summary(offers: &[Offer]) -> Vec<String> {
    let mut nodes: BTreeMap<(String, u64, &str), (usize, usize)> = BTreeMap::new();
    for offer in offers {
        let entry = nodes.entry((offer.kind(), offer.count, &offer.resource)).or_default();
        entry.0 += 1;
        entry.1 += usize::from(!offer.schedulable);
    }
    let line = |((kind, count, resource), (all, cordoned)): (&(String, u64, &str), &(usize, usize))| {
        let plural = if *all == 1 { "" } else { "s" };
        let cordoned = if *cordoned > 0 { format!(", {cordoned} of them cordoned") } else { String::new() };
        format!("`{kind}`: {count} on each of {all} node{plural} ({resource}){cordoned}")
    };
    nodes.iter().map(line).collect()
}

/// The node affinity of these places: a node must fit all of them.
pub fn affinity(placements: &[Placement]) -> Option<Value> {
    let mut terms: Vec<Vec<(String, String)>> = vec![vec![]];
    for placement in placements.iter().filter(|p| !p.labels.is_empty()) {
        let both = |term: &Vec<(String, String)>| {
            placement.labels.iter().map(|l| [term.as_slice(), l].concat()).collect::<Vec<_>>()
        };
        terms = terms.iter().flat_map(both).collect();
    }
    if terms == [vec![]] {
        return None;
    }
    let expressions = |term: &Vec<(String, String)>| -> Value {
        let one = |(key, value): &(String, String)| json!({ "key": key, "operator": "In", "values": [value] });
        json!({ "matchExpressions": term.iter().map(one).collect::<Vec<_>>() })
    };
    let terms: Vec<Value> = terms.iter().map(expressions).collect();
    Some(
        json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } }),
    )
}

#[cfg(test)]
mod tests;
