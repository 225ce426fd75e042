//! What docker, kubectl, the registry and the cluster refuse. Their words were recorded from docker 28.2 with buildx 0.38,
//! and from kubectl and an API server 1.34.

mod cluster;
mod registry;
mod rights;
mod storage;
mod tools;

use crate::support::World;

/// A rule's script that says these words and fails.
fn refuses(words: &str) -> String {
    assert!(!words.contains('\''));
    format!("echo '{words}' >&2; exit 1")
}

const INSPECT: &str = "'docker manifest inspect'*|'docker buildx imagetools inspect'*";
const BUILD: &str = "'docker buildx build'*";

/// A run in which the calls that match are refused with these words.
fn refused(pattern: &str, words: &str) -> crate::support::Outcome {
    let mut world = World::new();
    world.on(pattern, &refuses(words));
    let outcome = world.run(&["run", "train.py"]);
    assert!(world.journals().is_empty());
    outcome
}
