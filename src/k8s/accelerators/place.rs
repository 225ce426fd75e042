//! Which nodes a pod is sent to for its accelerators, and what is said where none fit.

use super::{GKE, GKE_GPU, KARPENTER_GPU, Offer, Placement, SHARED, Want, offers, summary, words};
use crate::k8s::names::nearest;
use crate::k8s::taints::{self, Taint};
use crate::util::error::{Fail, fail, usage};
use serde_json::Value;

/// Finds a place for what is wanted. A run that is `queued` may get more tolerations when Kueue admits it.
///
/// # Errors
/// If no node, nor any that the cluster is known to make when asked, can ever give it.
pub fn place(want: &Want, nodes: &[Value], tolerations: &[Value], queued: bool) -> Result<Placement, Fail> {
    let offers = offers(nodes);
    let mut matching: Vec<&Offer> = offers.iter().filter(|offer| offer.is_a(want)).collect();
    let only_shared = want.kind.is_none() && matching.iter().all(|offer| offer.resource == SHARED);
    if want.kind.is_none() && !only_shared {
        // who wants a card of whatever type wants a whole one, where there are any
        matching.retain(|offer| offer.resource != SHARED);
    }
    let fits = |offer: &Offer| {
        // a slice of several hosts needs several pods at once
        let whole = offer.topology.as_ref().is_none_or(|(chips, _)| *chips == want.count || want.kind.is_none());
        offer.count >= want.count && whole
    };
    let fitting: Vec<&Offer> = matching.iter().copied().filter(|offer| fits(offer)).collect();
    let open: Vec<&Offer> = fitting.iter().copied().filter(|offer| offer.that_hold(tolerations).is_empty()).collect();
    if !open.is_empty() {
        let note = only_shared.then(|| "the cluster has only GPUs that several pods share".to_owned());
        return Ok(on(want, &open, note));
    }
    if !fitting.is_empty() {
        let (taints, remedy) = held_back(want, &fitting, tolerations);
        if queued {
            let note = format!("{taints}; if the queue's ResourceFlavor does not tolerate that, {remedy}");
            return Ok(on(want, &fitting, Some(note)));
        }
        if let Some(made) = made_on_demand(want, nodes) {
            let note = format!("{taints}; the run waits until the cluster makes another node, or {remedy}");
            return Ok(Placement { note: Some(note), ..made });
        }
        return Err(instead(usage(taints).hint(remedy), want, &offers));
    }
    if matching.is_empty()
        && let Some(placement) = made_on_demand(want, nodes)
    {
        return Ok(placement);
    }
    Err(instead(cannot_give(want, &offers, &matching), want, &offers))
}

/// The place on nodes that are there.
pub(super) fn on(want: &Want, nodes: &[&Offer], note: Option<String>) -> Placement {
    let resource = &nodes[0].resource;
    let same: Vec<&&Offer> = nodes.iter().filter(|offer| offer.resource == *resource).collect();
    let mut labels: Vec<_> = same.iter().map(|offer| offer.labels(want)).filter(|l| !l.is_empty()).collect();
    labels.sort();
    labels.dedup();
    let own = same.iter().flat_map(|offer| offer.taints.iter().filter(|taint| offer.is_own(taint)));
    let mut taints: Vec<String> = own.map(|taint| taint.key.clone()).collect();
    taints.sort();
    taints.dedup();
    let cordoned = same.iter().all(|offer| !offer.schedulable);
    let cordoned = cordoned.then(|| format!("all nodes that have {} are cordoned now", want.shown()));
    Placement { resource: resource.clone(), count: want.count, labels, taints, note: cordoned.or(note) }
}

/// Adds the shared card that could be asked for where whole ones can't be had.
pub(super) fn instead(error: Fail, want: &Want, offers: &[Offer]) -> Fail {
    let mut shared = offers.iter().filter(|offer| offer.resource == SHARED && offer.product.is_some());
    let has_whole = offers.iter().any(|offer| offer.resource != SHARED && offer.is_a(want));
    match shared.next().filter(|_| has_whole && want.kind.is_none() && !want.tpu) {
        Some(shared) => error.hint(format!("or ask for a GPU that several pods share: `gpu: {}:1`", shared.kind())),
        None => error,
    }
}

/// The error for what the nodes do not have.
pub(super) fn cannot_give(want: &Want, offers: &[Offer], matching: &[&Offer]) -> Fail {
    let error = usage(format!("no node of the cluster can give {}", want.shown()));
    let error = summary(offers).into_iter().fold(error, |error, line| error.fact("it has", line));
    let error = if offers.is_empty() { error.fact("it has", "neither a GPU nor a TPU") } else { error };
    let most = matching.iter().map(|offer| offer.count).max();
    match (most, want.kind.as_deref()) {
        (Some(_), _)
            if want.tpu && matching.iter().any(|o| o.topology.as_ref().is_some_and(|(chips, _)| *chips != o.count)) =>
        {
            error.hint(
                "slices of several hosts need several pods at once, which mrunner does not make; take a single host's",
            )
        }
        (Some(most), kind) => {
            let kind = kind.map(|kind| format!("{kind}:")).unwrap_or_default();
            error.hint(format!("the largest node has {most}: `{}: {kind}{most}`", want.noun().to_lowercase()))
        }
        (None, Some(kind)) => {
            let known: Vec<String> =
                offers.iter().filter(|o| want.tpu == (o.resource == "google.com/tpu")).map(Offer::kind).collect();
            // the same card, which is shared or cut
            let part =
                offers.iter().find(|offer| offer.is_a(&Want { kind: Some(format!("{kind}-shared")), ..want.clone() }));
            if part.is_some() {
                return error.hint(format!("several pods share such a card: ask for it with `{kind}-shared:1`"));
            }
            match nearest(kind, known.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("see what the nodes say of themselves with `kubectl get nodes --show-labels`"),
            }
        }
        (None, None) => error.hint("see what the nodes have with `kubectl describe nodes`"),
    }
}

/// What is said of cards whose nodes all have taints that the pod does not tolerate, and what to do.
pub(super) fn held_back(want: &Want, fitting: &[&Offer], tolerations: &[Value]) -> (String, String) {
    let mut taints: Vec<Taint> = fitting.iter().flat_map(|offer| offer.that_hold(tolerations)).collect();
    taints.sort();
    taints.dedup();
    let names: Vec<String> = taints.iter().map(|taint| format!("`{taint}`")).collect();
    let (the, have) = match fitting.len() {
        1 => ("the 1 node".to_owned(), "has"),
        many => (format!("the {many} nodes"), "have"),
    };
    let plural = if taints.len() == 1 { "" } else { "s" };
    let nodes = format!("{the} with {} {have} the taint{plural} {}", want.shown(), names.join(", "));
    // one node's are enough
    let fewest = fitting.iter().map(|offer| offer.that_hold(tolerations)).min_by_key(Vec::len).unwrap_or_default();
    (nodes, format!("tolerate that in the context with `{}`", taints::tolerations_for(&fewest)))
}

/// The place on a node that is not there yet, where the cluster makes nodes as pods need them.
pub(super) fn made_on_demand(want: &Want, nodes: &[Value]) -> Option<Placement> {
    let marked = |key: &str| nodes.iter().any(|node| !node["metadata"]["labels"][key].is_null());
    let (gke, karpenter) = (marked("cloud.google.com/gke-nodepool"), marked("karpenter.sh/nodepool"));
    let resource = if want.tpu { "google.com/tpu" } else { "nvidia.com/gpu" };
    let found = |labels: Vec<(String, String)>| {
        let labels = if labels.is_empty() { vec![] } else { vec![labels] };
        let note = format!("no node with {} is up now; the cluster may make one for it", want.shown());
        Some(Placement { resource: resource.to_owned(), count: want.count, labels, taints: vec![], note: Some(note) })
    };
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    match &want.kind {
        None if gke || karpenter => found(vec![]),
        None => None,
        // which topology a slice has must be known, and only a node tells it
        Some(_) if want.tpu => None,
        Some(kind) => {
            let (asked, least) = words(kind);
            let known =
                GKE.iter().find(|(words, memory, _)| *words == asked.as_slice() && least.is_none_or(|l| *memory >= l));
            if gke {
                return found(vec![pair(GKE_GPU, known?.2)]);
            }
            // Karpenter's label has the card's name alone, and no memory that could be too little
            (karpenter && known.is_some() && least.is_none())
                .then(|| found(vec![pair(KARPENTER_GPU, &asked.concat())]))?
        }
    }
}

/// The error where nobody may look at the nodes.
pub fn place_unlisted(want: &Want) -> Result<Placement, Fail> {
    let resource = if want.tpu { "google.com/tpu" } else { "nvidia.com/gpu" }.to_owned();
    match &want.kind {
        None => Ok(Placement { resource, count: want.count, labels: vec![], taints: vec![], note: None }),
        Some(kind) => Err(fail(format!(
            "a {} of type `{kind}` is found by the nodes' labels, and you may not list the nodes",
            want.noun()
        ))
        .hint(format!(
            "ask for the count alone, and put the labels into the context's `node_selector`: `{}: {}`",
            want.noun().to_lowercase(),
            want.count
        ))),
    }
}
