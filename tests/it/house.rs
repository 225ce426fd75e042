//! What must stay true of the code's structure.

use std::fs;
use std::path::{Path, PathBuf};

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { walk(&path, found) } else { found.push(path) }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs") && path.file_stem().is_some_and(|s| s != "tests"))
        .map(|path| {
            let name = path.strip_prefix(&root).unwrap().to_str().unwrap().to_owned();
            let text = fs::read_to_string(path).unwrap();
            // tests stand at the end of a file and may do as they like
            let own = text.split("\nmod tests {").next().unwrap().to_owned();
            (name, own)
        })
        .collect()
}

/// The code, not what is said about it.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn only(words: &[&str], allowed: &[&str]) {
    let all = sources();
    for name in allowed {
        let there = all.iter().any(|(file, text)| file == name && words.iter().any(|w| code(text).contains(w)));
        assert!(there, "{name} is allowed {words:?} and has none: does this test still look for the right thing?");
    }
    for (name, text) in &all {
        for word in words {
            assert!(
                allowed.contains(&name.as_str()) || !code(text).contains(word),
                "src/{name} has `{word}`, which belongs in {allowed:?}"
            );
        }
    }
}

#[track_caller]
fn none_of(words: &[&str], rooms: &[&str]) {
    let all = sources();
    for room in rooms {
        assert!(all.iter().any(|(name, _)| name.starts_with(room)), "there is no src/{room}");
    }
    for (name, text) in all.iter().filter(|(name, _)| rooms.iter().any(|room| name.starts_with(room))) {
        for word in words {
            assert!(!code(text).contains(word), "src/{name} has `{word}`");
        }
    }
}

#[test]
fn one_place_starts_processes() {
    only(&["duct::", "process::Command", "Command::new("], &["tools/shell.rs"]);
}

#[test]
fn one_place_prints() {
    only(&["println!", "print!(", "eprint", "io::stdout()", "io::stderr()"], &["ui.rs"]);
}

#[test]
fn one_place_renders() {
    only(&["minijinja"], &["render.rs"]);
}

#[test]
fn one_place_looks_at_the_environment() {
    // shell.rs and journal.rs read no variable; ui.rs decides about colour, main.rs about kuberc
    only(&["env::var", "env::current_dir", "var_os("], &["app.rs", "main.rs", "ui.rs"]);
}

#[test]
fn the_core_is_pure() {
    let impure = [
        "std::env",
        "std::fs",
        "fs_err",
        "std::process",
        "Utc::now",
        "SystemTime",
        "Instant",
        "getrandom",
        "tools::shell",
    ];
    none_of(
        &impure,
        &["plan.rs", "request/", "image/", "objects/", "names.rs", "quantity.rs", "storage/", "sweep/", "render.rs"],
    );
}

#[test]
fn tools_know_no_experiment() {
    none_of(
        &["crate::plan", "crate::request", "crate::objects", "crate::watch", "crate::config", "crate::commands"],
        &["tools/"],
    );
}

#[test]
fn dependencies_point_one_way() {
    let upper = ["crate::commands", "crate::apply", "crate::facts", "crate::journal", "crate::app", "crate::cli"];
    none_of(
        &upper,
        &["plan.rs", "request/", "image/", "objects/", "names.rs", "quantity.rs", "storage/", "folder/", "config/"],
    );
    none_of(&["crate::commands"], &["apply.rs", "facts/", "watch/", "outline.rs", "journal.rs", "target.rs", "tools/"]);
    none_of(&["crate::plan", "crate::request"], &["image/", "objects/", "storage/", "sweep/", "names.rs", "render.rs"]);
}

#[test]
fn only_these_start_tools() {
    let rooms = ["cli.rs", "config/", "folder/", "image/", "objects/", "plan.rs", "request/", "storage/", "target.rs"];
    none_of(&["tools::shell", "shell::Shell"], &rooms);
}

#[test]
fn nothing_panics_on_purpose() {
    none_of(
        &[".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("],
        &["", "tools/", "watch/"],
    );
}

#[test]
fn no_container_is_known_by_its_place() {
    // the kubelet sorts the list by name, and sidecars are in it
    only(&["\"containerStatuses\"][0]", "\"initContainerStatuses\"][0]"], &[]);
}

#[test]
fn no_file_is_a_barn() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= 520, "src/{name} has {lines} lines: which of its rooms wants a file of its own?");
    }
}
