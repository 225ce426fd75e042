//! What must stay true of the code's structure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};

/// The rooms: each uses only those that stand behind it.
const ROOMS: [&str; 13] =
    ["cli", "ops", "transfer", "runs", "plan", "request", "app", "storage", "image", "config", "tools", "k8s", "util"];

/// Rooms and files without disk, clock, environment and processes.
pub const PURE: [&str; 4] = ["plan", "request", "storage", "k8s"];

/// Files of other rooms that are as pure.
const PURE_FILES: [&str; 7] = [
    "image/context.rs",
    "image/dockerfile.rs",
    "image/key.rs",
    "image/reference.rs",
    "image/repository.rs",
    "util/template.rs",
    "util/shell_words.rs",
];

/// A file of `src/`, without the tests at its end, which may do as they like.
pub struct Source {
    /// Below `src/`.
    pub name: String,
    /// Its path as a module, such as `["runs", "state"]`.
    module: Vec<String>,
    pub text: String,
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

pub fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let rust = found.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.filter(|path| path.file_stem().is_some_and(|s| s != "tests")).map(|path| source(&root, path)).collect()
}

/// The Rust files of `tests/`, with their names and texts.
pub fn tests() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    files(&root.join("tests"), &mut found);
    found.retain(|path| path.extension().is_some_and(|e| e == "rs"));
    found.sort();
    assert!(found.len() > 100);
    let name = |path: &Path| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// All files of `src/`, their tests as well: the name of each and its text.
pub fn all_sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    files(&root, &mut found);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().to_str().unwrap().replace('\\', "/");
    let rust = found.iter().filter(|path| path.extension().is_some_and(|e| e == "rs"));
    rust.map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn source(root: &Path, path: &Path) -> Source {
    let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
    let mut module: Vec<String> = name.trim_end_matches(".rs").split('/').map(str::to_owned).collect();
    if module.last().is_some_and(|last| last == "mod") {
        module.pop();
    }
    let text = fs::read_to_string(path).unwrap();
    let own = text.split("\nmod tests {").next().unwrap();
    // their attributes say when they are built
    let own = own.lines().rev().skip_while(|line| own.len() < text.len() && line.starts_with("#["));
    let own: Vec<&str> = own.collect::<Vec<_>>().into_iter().rev().collect();
    Source { name, module, text: own.join("\n") + "\n" }
}

impl Source {
    pub fn syntax(&self) -> syn::File {
        syn::parse_file(&self.text).unwrap_or_else(|e| panic!("src/{}: {e}", self.name))
    }

    /// The code, not what is said about it.
    fn code(&self) -> String {
        self.text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
    }
}

// --- rooms and arrows -----------------------------------------------------------

/// The paths into the crate that a file names, from the crate's root.
struct Paths {
    /// The module that is being read: the file's, or one inside it.
    own: Vec<String>,
    found: Vec<Vec<String>>,
}

impl Paths {
    fn add(&mut self, path: &[String]) {
        match path.first().map(String::as_str) {
            Some("crate") => self.found.push(path[1..].to_vec()),
            Some("super") => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                let base = &self.own[..self.own.len().saturating_sub(ups)];
                self.found.push([base, &path[ups..]].concat());
            }
            _ => {}
        }
    }

    fn tree(&mut self, before: &[String], tree: &syn::UseTree) {
        let with = |word: &syn::Ident| [before, &[word.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&with(&path.ident), &path.tree),
            syn::UseTree::Name(name) => self.add(&with(&name.ident)),
            syn::UseTree::Rename(name) => self.add(&with(&name.ident)),
            syn::UseTree::Glob(_) => self.add(before),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(before, tree)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.own.push(item.ident.to_string());
        visit::visit_item_mod(self, item);
        self.own.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&words);
        visit::visit_path(self, path);
    }
}

/// The arrows between modules: from each module to those it uses.
/// A module and those inside it are one: a child may use its parent, which uses the child.
fn arrows(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let modules: BTreeSet<String> = sources.iter().map(|source| source.module.join("::")).collect();
    let arrows_of = |source: &Source| {
        let mut paths = Paths { own: source.module.clone(), found: Vec::new() };
        paths.visit_file(&source.syntax());
        let own = source.module.join("::");
        let module_of = |path: &Vec<String>| {
            (1..=path.len()).rev().map(|n| path[..n].join("::")).find(|path| modules.contains(path))
        };
        let used = paths
            .found
            .iter()
            .filter_map(module_of)
            .filter(|module| !is_inside(module, &own) && !is_inside(&own, module))
            .collect();
        (own, used)
    };
    sources.iter().filter(|source| !["lib", "main"].contains(&source.module[0].as_str())).map(arrows_of).collect()
}

fn is_inside(module: &str, other: &str) -> bool {
    module.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn room(module: &str) -> usize {
    let name = module.split("::").next().unwrap();
    ROOMS.iter().position(|room| *room == name).unwrap_or_else(|| panic!("src/{name} is none of the rooms"))
}

#[test]
fn arrows_point_one_way() {
    let arrows = arrows(&sources());
    let back = arrows.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    let back: Vec<String> =
        back.filter(|(from, to)| room(to) < room(from)).map(|(f, t)| format!("{f} -> {t}")).collect();
    assert!(back.is_empty(), "these arrows point back up: {back:#?}");
    // the count says that the graph is still read
    assert!(arrows.values().map(BTreeSet::len).sum::<usize>() > 500);
}

/// The modules that `from` leads to.
fn reached<'a>(arrows: &'a BTreeMap<String, BTreeSet<String>>, from: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = arrows[from].iter().map(String::as_str).collect();
    while let Some(module) = next.pop() {
        if reached.insert(module) {
            next.extend(arrows.get(module).into_iter().flatten().map(String::as_str));
        }
    }
    reached
}

#[test]
fn no_modules_form_a_circle() {
    let arrows = arrows(&sources());
    let all: BTreeMap<&str, BTreeSet<&str>> =
        arrows.keys().map(|module| (module.as_str(), reached(&arrows, module))).collect();
    let in_circle = |from: &str, to: &str| all.get(to).is_some_and(|reached| reached.contains(from));
    let pairs = arrows.iter().flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    let circles: Vec<String> =
        pairs.filter(|(from, to)| in_circle(from, to)).map(|(from, to)| format!("{from} -> {to}")).collect();
    assert!(circles.is_empty(), "these arrows lead in circles: {circles:#?}");
}

// --- what belongs where ---------------------------------------------------------

#[track_caller]
fn only(words: &[&str], allowed: &[&str]) {
    let all = sources();
    for name in allowed {
        let there = all.iter().any(|source| source.name == *name && words.iter().any(|w| source.code().contains(w)));
        assert!(there, "{name} is allowed {words:?} and has none: does this test still look for the right thing?");
    }
    for source in all.iter().filter(|source| !allowed.contains(&source.name.as_str())) {
        for word in words {
            assert!(!source.code().contains(word), "src/{} has `{word}`, which belongs in {allowed:?}", source.name);
        }
    }
}

#[track_caller]
fn none_of(words: &[&str], rooms: &[&str]) {
    let all = sources();
    for room in rooms {
        assert!(all.iter().any(|source| source.name.starts_with(room)), "there is no src/{room}");
    }
    for source in all.iter().filter(|source| rooms.iter().any(|room| source.name.starts_with(room))) {
        for word in words {
            assert!(!source.code().contains(word), "src/{} has `{word}`", source.name);
        }
    }
}

#[test]
fn one_place_starts_processes() {
    only(&["duct::", "process::Command", "Command::new("], &["tools/shell.rs", "tools/shell/wait.rs"]);
}

#[test]
fn one_place_prints() {
    only(&["println!", "print!(", "eprint", "io::stdout()", "io::stderr()"], &["util/ui.rs"]);
}

#[test]
fn one_place_renders() {
    only(&["minijinja"], &["util/template.rs"]);
}

#[test]
fn one_place_looks_at_the_environment() {
    // ui.rs decides about colour, main.rs about kuberc
    only(&["env::var", "env::current_dir", "var_os("], &["app/mod.rs", "main.rs", "util/ui.rs"]);
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
    none_of(&impure, &PURE);
    none_of(&impure, &PURE_FILES);
    none_of(&["tools::shell", "shell::Shell"], &["cli/mod.rs", "config/", "image/", "app/target.rs"]);
}

#[test]
fn nothing_panics_on_purpose() {
    none_of(&[".unwrap()", ".expect(", "panic!(", "todo!(", "unimplemented!(", "unreachable!("], &[""]);
}

#[test]
fn one_place_tries_again() {
    // a slot to submit is waited for with the same pauses, so that many who wait do not look at the same time
    only(&["shell.pause("], &["ops/submit_limiter.rs", "tools/retry.rs"]);
    only(&[".tries", ".first_pause"], &["tools/retry.rs"]);
}

/// The functions that take these types apart by reference.
struct Takers<'a>(&'a [&'a str], Vec<String>);

impl<'ast> Visit<'ast> for Takers<'_> {
    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        let type_of = |input: &syn::FnArg| match input {
            syn::FnArg::Typed(typed) => match &*typed.ty {
                syn::Type::Reference(reference) => match &*reference.elem {
                    syn::Type::Path(path) => path.path.segments.last().map(|last| last.ident.to_string()),
                    _ => None,
                },
                _ => None,
            },
            syn::FnArg::Receiver(_) => None,
        };
        let types: Vec<String> = signature.inputs.iter().filter_map(type_of).collect();
        if self.0.iter().all(|wanted| types.iter().any(|own| own == wanted)) {
            self.1.push(signature.ident.to_string());
        }
    }
}

fn takers(source: &Source, types: &[&str]) -> Vec<String> {
    let mut takers = Takers(types, Vec::new());
    takers.visit_file(&source.syntax());
    takers.1.iter().map(|name| format!("src/{}: {name}", source.name)).collect()
}

#[test]
fn a_cluster_is_passed_as_one_value() {
    let outside = sources().into_iter().filter(|source| !source.name.starts_with("tools/"));
    let apart = |source: &Source| [takers(source, &["Shell", "Kubectl"]), takers(source, &["Ui", "Kubectl"])].concat();
    let apart: Vec<String> = outside.flat_map(|source| apart(&source)).collect();
    assert!(apart.is_empty(), "these take what a Cluster holds: {apart:#?}");
    // inside, there are some: the test still reads what functions take
    let inside = sources().into_iter().filter(|source| source.name.starts_with("tools/"));
    assert!(inside.flat_map(|source| takers(&source, &["Shell", "Kubectl"])).next().is_some());
}

#[test]
fn gathering_facts_tells_and_writes_nothing() {
    let words = [".ui", "claim_cache::note", "claim_cache::write", "shell.run(", "cluster.run("];
    let gathers = ["commit", "mod", "platform", "queue", "snapshot", "storage"];
    none_of(&words, &gathers.map(|name| format!("ops/facts/{name}.rs")).each_ref().map(String::as_str));
}

#[test]
fn no_container_is_known_by_its_place() {
    // the kubelet sorts the list by name, and sidecars are in it
    only(&["\"containerStatuses\"][0]", "\"initContainerStatuses\"][0]"], &[]);
}
