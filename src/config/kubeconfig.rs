//! The names in a kubeconfig: which contexts there are, and which of them is current.
//!
//! kubectl is given these names and reads the file itself. Certificates, tokens and servers are
//! skipped while parsing, so that no message of ours can hold one.

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::fault::{Fault, Faults, Spot, shown, wrong};

/// What kubectl would see of all files together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KubeConfig {
    /// The files that were there, in the order in which they count.
    pub files: Vec<PathBuf>,
    /// Those that were looked for in vain.
    pub missing: Vec<PathBuf>,
    /// The current context; it may name one that is not there.
    pub current: Option<String>,
    /// The contexts, each name once.
    pub contexts: Vec<KubeContext>,
}

impl KubeConfig {
    /// The context called `name`.
    pub fn get(&self, name: &str) -> Option<&KubeContext> {
        self.contexts.iter().find(|context| context.name == name)
    }

    /// What to do where there is no context at all.
    pub fn lack(&self) -> String {
        let named = |files: &[PathBuf]| {
            let names = files.iter().map(|file| format!("`{}`", shown(&file.display().to_string())));
            names.collect::<Vec<_>>().join(", ")
        };
        let files = named(&self.files);
        let what = match (self.files.len(), self.missing.len()) {
            (0, 0) => "there is no kubeconfig".to_owned(),
            (0, _) => format!("there is no kubeconfig {}", named(&self.missing)),
            (1, _) => format!("the kubeconfig {files} holds no context"),
            _ => format!("the kubeconfigs {files} hold no context"),
        };
        format!("{what}: fetch the cluster's, and name it such as with `export KUBECONFIG=FILE`")
    }
}

/// A context of the kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeContext {
    /// Its name.
    pub name: String,
    /// The name of its cluster, empty if it has none.
    pub cluster: String,
    /// The name of its user, empty if it has none.
    pub user: String,
    /// The namespace that kubectl takes when none is named.
    pub namespace: Option<String>,
    /// Whether minikube made it, which says so in an extension.
    pub by_minikube: bool,
}

#[derive(Deserialize, Default)]
#[serde(default)]
#[serde(expecting = "a mapping with the list `contexts`")]
struct Config {
    #[serde(rename = "current-context")]
    current_context: Option<String>,
    contexts: Option<Vec<Named>>,
}

#[derive(Deserialize)]
#[serde(expecting = "a context")]
struct Named {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    context: Option<Context>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
#[serde(expecting = "a context's cluster and user")]
struct Context {
    cluster: Option<String>,
    user: Option<String>,
    namespace: Option<String>,
    extensions: Option<Vec<Extension>>,
}

/// What a tool left in a context for itself: anything at all, of which only the maker's name is read.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Extension {
    extension: Maker,
}

#[derive(Default)]
struct Maker(Option<String>);

impl<'de> Deserialize<'de> for Maker {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(MakerVisitor)
    }
}

struct MakerVisitor;

impl<'de> Visitor<'de> for MakerVisitor {
    type Value = Maker;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an extension")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Maker, A::Error> {
        let mut maker = Maker(None);
        while let Some(key) = map.next_key::<String>()? {
            if key == "provider" {
                maker.0 = map.next_value()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(maker)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Maker, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Maker(None))
    }

    fn visit_unit<E>(self) -> Result<Maker, E> {
        Ok(Maker(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Maker, E> {
        Ok(Maker(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Maker, E> {
        Ok(Maker(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Maker, E> {
        Ok(Maker(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Maker, E> {
        Ok(Maker(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Maker, E> {
        Ok(Maker(None))
    }
}

/// Merges the texts of several files by kubectl's rules: the first that names a context or the
/// current one counts.
///
/// # Errors
/// When kubectl could not read one of them either: not YAML or JSON, a name twice in one file.
pub fn merge(files: Vec<(PathBuf, String)>) -> Result<KubeConfig, Vec<Fault>> {
    let mut merged = KubeConfig::default();
    let mut faults = Vec::new();
    let mut seen = HashSet::new();
    for (file, text) in files {
        match parse(&file, &text) {
            Ok((current, contexts)) => {
                merged.current = merged.current.or(current);
                merged.contexts.extend(contexts.into_iter().filter(|context| seen.insert(context.name.clone())));
            }
            Err(found) => faults.extend(found),
        }
        merged.files.push(file);
    }
    if faults.is_empty() { Ok(merged) } else { Err(faults) }
}

fn parse(file: &Path, text: &str) -> Result<(Option<String>, Vec<KubeContext>), Vec<Fault>> {
    let mut faults = Faults::of(file);
    let config = match read(text) {
        Ok(config) => config,
        Err(error) => {
            let cause = without_value(&error.to_string());
            match error.location() {
                Some(at) => {
                    let spot = Spot { line: at.line(), key: String::new() };
                    faults.add(&spot, wrong(format!("this is no kubeconfig: {cause}")));
                }
                None => faults.add_whole(wrong(format!("is no kubeconfig: {cause}"))),
            }
            return faults.finish(None);
        }
    };
    let mut contexts = Vec::new();
    let mut seen = HashSet::new();
    for Named { name, context } in config.contexts.unwrap_or_default() {
        let Some(name) = given(name) else { continue };
        if !seen.insert(name.clone()) {
            faults.add_whole(wrong(format!("has the context `{}` twice", shown(&name))));
            continue;
        }
        let Context { cluster, user, namespace, extensions } = context.unwrap_or_default();
        let mut makers = extensions.iter().flatten().filter_map(|extension| extension.extension.0.as_deref());
        let by_minikube = makers.any(|maker| maker == "minikube.sigs.k8s.io");
        let (cluster, user) = (cluster.unwrap_or_default(), user.unwrap_or_default());
        contexts.push(KubeContext { name, cluster, user, namespace: given(namespace), by_minikube });
    }
    faults.finish(Some((given(config.current_context), contexts)))
}

/// As kubectl: an empty file is no fault, and of several documents the first counts.
fn read(text: &str) -> Result<Config, serde_yaml::Error> {
    // JSON is not quite a subset of YAML (escaped surrogates are not), and is read faster as itself
    if text.trim_start().starts_with('{')
        && let Ok(config) = serde_json::from_str(text)
    {
        return Ok(config);
    }
    match serde_yaml::Deserializer::from_str(text).next() {
        Some(document) => Option::<Config>::deserialize(document).map(Option::unwrap_or_default),
        None => Ok(Config::default()),
    }
}

fn given(name: Option<String>) -> Option<String> {
    name.filter(|name| !name.is_empty())
}

/// The error without its place, which is told in front, and without the value that it repeats:
/// a file given by mistake may be a token.
fn without_value(error: &str) -> String {
    let what = error.rsplit_once(" at line ").map_or(error, |(what, _)| what);
    match what.rsplit_once(", expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(texts: &[&str]) -> Vec<(PathBuf, String)> {
        texts.iter().enumerate().map(|(i, text)| (format!("/k{i}").into(), (*text).to_owned())).collect()
    }

    fn names(config: &KubeConfig) -> Vec<&str> {
        config.contexts.iter().map(|context| context.name.as_str()).collect()
    }

    fn faults(texts: &[&str]) -> Vec<String> {
        merge(files(texts)).unwrap_err().iter().map(|f| format!("{} {}", f.file.display(), f.detail())).collect()
    }

    const FIRST: &str = r"
apiVersion: v1
kind: Config
clusters:
- {name: gke, cluster: {server: https://10.0.0.1, certificate-authority-data: c2VjcmV0}}
users:
- {name: anna, user: {token: hunter2}}
contexts:
- context: {cluster: gke, user: anna, namespace: lab}
  name: gke.sandbox
- {name: bare, context: {cluster: gke, user: anna}}
";

    #[test]
    fn names_are_read() {
        let config = merge(files(&[FIRST])).unwrap();
        let context = config.get("gke.sandbox").unwrap();
        assert_eq!((context.cluster.as_str(), context.user.as_str()), ("gke", "anna"));
        assert_eq!(context.namespace.as_deref(), Some("lab"));
        assert_eq!(config.get("bare").unwrap().namespace, None);
        assert_eq!((config.current, config.files), (None, vec!["/k0".into()]));
    }

    #[test]
    fn the_first_file_counts() {
        let second = "current-context: b\ncontexts: [{name: bare, context: {cluster: other}}, {name: b}]\n";
        let third = "current-context: c\ncontexts: null\n";
        let config = merge(files(&[FIRST, second, third])).unwrap();
        assert_eq!(config.current.as_deref(), Some("b"));
        assert_eq!(names(&config), ["gke.sandbox", "bare", "b"]);
        assert_eq!(config.get("bare").unwrap().cluster, "gke");
        assert_eq!(config.get("b").unwrap().user, "");
        assert_eq!(config.files.len(), 3);
    }

    #[test]
    fn nothing_is_no_fault() {
        let empty = ["", "\n", "# nothing\n", "---\n", "current-context: \"\"\ncontexts: []\n", "kind: Config\n", "{}"];
        let config = merge(files(&empty)).unwrap();
        assert_eq!((config.current, config.contexts.len()), (None, 0));
        assert_eq!(merge(Vec::new()).unwrap(), KubeConfig::default());
    }

    #[test]
    fn json_and_a_bom_are_read() {
        let json = "{\n\t\"current-context\": \"a\",\n\t\"contexts\": [{\"name\": \"a\\ud83e\\udd80\"}]\n}";
        let config = merge(files(&[json, "\u{feff}contexts: [{name: b}]"])).unwrap();
        assert_eq!((config.current.as_deref(), names(&config)), (Some("a"), vec!["a🦀", "b"]));
    }

    #[test]
    fn of_several_documents_the_first_counts() {
        assert_eq!(names(&merge(files(&["contexts: [{name: a}]\n---\ncontexts: [{name: b}]"])).unwrap()), ["a"]);
    }

    #[test]
    fn faults_of_all_files_are_told() {
        let twice = "contexts: [{name: a}, {name: a}]";
        let told = faults(&[twice, "contexts:\n- name: [x]\n", "a: b: c"]);
        assert_eq!(told[0], "/k0 has the context `a` twice");
        assert_eq!(told[1], "/k1 line 2: this is no kubeconfig: expected a string");
        assert!(told[2].starts_with("/k2 line 1: this is no kubeconfig: mapping values are not allowed"), "{told:?}");
    }

    #[test]
    fn a_value_is_never_repeated() {
        for text in ["hunter2", "contexts: hunter2", "current-context: [hunter2]", "contexts: [hunter2]"] {
            let told = faults(&[text]).join(" ");
            assert!(told.contains("this is no kubeconfig") && !told.contains("hunter2"), "{told}");
        }
    }

    #[test]
    fn a_bomb_does_not_go_off() {
        let level = |i: usize| format!("a{i}: &a{i} [{}]\n", format!("*a{},", i - 1).repeat(10));
        let levels: Vec<String> = (1..20).map(level).collect();
        let bomb = format!("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n{}", levels.concat());
        // what is skipped is never unfolded
        assert_eq!(names(&merge(files(&[&format!("{bomb}contexts: [{{name: a, other: *a19}}]")])).unwrap()), ["a"]);
        assert_eq!(faults(&[&format!("{bomb}contexts: *a19")]).len(), 1);
        assert_eq!(faults(&[&"[".repeat(5_000)]).len(), 1);
    }
}
