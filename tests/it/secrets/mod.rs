//! Secret values: they are only in a Secret that belongs to the run, or in a secret mount of the build.

mod build;
mod rerun;
mod submission;
mod variables;

use std::fs;

use serde_json::Value;

use crate::support::World;

/// Stands for a password; in base64, too, as a Secret has it.
const CANARY: &str = "can'ary\"$(id)`x`";
const ENCODED: &str = "Y2FuJ2FyeSIkKGlkKWB4YA==";

/// A world whose cluster gives a Job its uid, and in which the variable `HF_TOKEN` is set.
fn world() -> World {
    let mut world = World::new();
    world.on(
        "*' create '*'-o json'*",
        r#"sed 's/^  "metadata": {$/  "metadata": { "uid": "u-7",/' "$call.stdin"; exit 0"#,
    );
    world.on("*' create '*'-o name'*", "echo made; exit 0");
    world.env("HF_TOKEN", CANARY);
    world
}

/// The Secret of the run.
fn secret(world: &World) -> Value {
    let made = world.calls_with("-o name --validate=false");
    assert_eq!(made.len(), 1, "{made:?}");
    made[0].json()
}

/// The variables of a Job's container that are in a Secret.
fn referred(job: &Value) -> Vec<(&str, &str)> {
    let env = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
    let refer = |variable: &'_ Value| variable["valueFrom"]["secretKeyRef"]["key"].is_string();
    let names = |variable| -> Option<(&str, &str)> {
        let variable: &Value = variable;
        Some((variable["name"].as_str()?, variable["valueFrom"]["secretKeyRef"]["name"].as_str()?))
    };
    env.iter().filter(|variable| refer(variable)).filter_map(names).collect()
}

/// That the canary is in the input of that many calls, and nowhere else below the world's folder.
#[track_caller]
fn assert_hidden(world: &World, calls: usize) {
    let mut found = Vec::new();
    let mut folders = vec![world.path("")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if let Ok(bytes) = fs::read(entry.path()) {
                let text = String::from_utf8_lossy(&bytes);
                if text.contains("ary\"$(id)") || text.contains("ary\\\"$(id)") || text.contains(ENCODED) {
                    found.push(entry.path());
                }
            }
        }
    }
    let in_calls = found.iter().filter(|path| path.extension().is_some_and(|e| e == "stdin")).count();
    assert_eq!((in_calls, found.len()), (calls, calls), "{found:?}");
}

fn forget_calls(world: &World) {
    fs::remove_dir_all(world.path("calls")).unwrap();
    fs::create_dir(world.path("calls")).unwrap();
}
