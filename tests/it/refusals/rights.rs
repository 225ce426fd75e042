//! Rights that the user lacks.

use super::{refused, refuses};
use crate::support::World;

#[test]
fn the_user_may_not_make_a_namespace() {
    let mut world = World::new();
    // to apply takes the right to patch; without that, it is created
    world.on("*' apply '*", &refuses(r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot patch resource "namespaces" in API group "" in the namespace "vision""#));
    world.on("*' create '*", &refuses(r#"Error from server (Forbidden): error when creating "STDIN": namespaces is forbidden: User "anna" cannot create resource "namespaces" in API group "" at the cluster scope"#));
    world.run(&["run", "train.py"]).fails(1, r#"error: failed to make the namespace `vision`; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < namespace.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": namespaces is forbidden: User "anna" cannot create resource "namespaces" in API group "" at the cluster scope
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
    assert!(world.journals().is_empty());
}

#[test]
fn the_user_may_not_make_a_claim() {
    let mut world = World::new();
    world.on("*' -n vision apply '*", &refuses(r#"Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: User "anna" cannot patch resource "persistentvolumeclaims" in API group "" in the namespace "vision""#));
    world.on("*' create '*", &refuses(r#"Error from server (Forbidden): error when creating "STDIN": persistentvolumeclaims is forbidden: User "anna" cannot create resource "persistentvolumeclaims" in API group "" in the namespace "vision""#));
    world.run(&["run", "train.py"]).fails(1, r#"error: failed to make the claim `storage`; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o name < claim.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": persistentvolumeclaims is forbidden: User "anna" cannot create resource "persistentvolumeclaims" in API group "" in the namespace "vision"
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
    assert!(world.journals().is_empty());
}

#[test]
fn the_user_may_create_and_not_patch() {
    let mut world = World::new();
    world.on("*' apply '*", &refuses(r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot patch resource "namespaces" in API group "" in the namespace "vision""#));
    world.run(&["run", "train.py"]).ok();
    assert_eq!(world.calls_with(" create ").len(), 3);
}

#[test]
fn the_user_may_not_make_a_job() {
    refused("*' create '*'-o json'*", r#"Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden: User "anna" cannot create resource "jobs" in API group "batch" in the namespace "vision""#).fails(1, r#"error: failed to submit the Job `train-[ID]`; nothing was submitted
  command: kubectl --context kube-lab -n vision create -f - --field-manager=mrunner -o json < job.json
  exit status: 1
  | Error from server (Forbidden): error when creating "STDIN": jobs.batch is forbidden: User "anna" cannot create resource "jobs" in API group "batch" in the namespace "vision"
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
}

#[test]
fn the_user_may_see_only_their_claim() {
    let mut world = World::new();
    // kubectl prints what it got beside what it was refused
    let refused = refuses(
        r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot get resource "namespaces" in API group "" in the namespace "vision""#,
    );
    world.on("*' get namespace/'*", &format!(r#"echo '{{"kind":"PersistentVolumeClaim","metadata":{{"name":"storage","annotations":{{"mrunner/project-name":"vision"}}}},"spec":{{"accessModes":["ReadWriteMany"]}}}}'; {refused}"#));
    world.run(&["run", "train.py"]).ok();
    assert!(world.calls_with(" apply ").is_empty());
}

#[test]
fn the_user_may_see_nothing() {
    refused("*' get '*", r#"Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot get resource "namespaces" in API group "" in the namespace "vision"
Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: User "anna" cannot get resource "persistentvolumeclaims" in API group "" in the namespace "vision""#).fails(1, r#"error: failed to read the storage of `vision`
  command: kubectl --context kube-lab -n vision get namespace/vision pvc/storage --ignore-not-found -o json
  exit status: 1
  | Error from server (Forbidden): namespaces "vision" is forbidden: User "anna" cannot get resource "namespaces" in API group "" in the namespace "vision"
  | Error from server (Forbidden): persistentvolumeclaims "storage" is forbidden: User "anna" cannot get resource "persistentvolumeclaims" in API group "" in the namespace "vision"
hint: see what this user may do with `kubectl --context kube-lab auth can-i --list`
"#);
}
