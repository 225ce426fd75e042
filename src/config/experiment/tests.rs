use super::*;
use crate::config::parameters::Parameter;

fn read(text: &str) -> Experiment {
    parse(text, Path::new("f")).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

fn faults(text: &str) -> Vec<String> {
    parse(text, Path::new("f")).unwrap_err().iter().map(Fault::detail).collect()
}

#[test]
fn every_key() {
    let text = "
name: grid search 🦀
project: lab/rl
description: words
tags: [a, 2024]
parameters: {lr: 1e-3}
exclude: data/
paths_to_copy: [lib, ./conf]
base_image: python:3.12
requirements: deps/requirements.txt
resources: {cpu: 4, mem: 8G, gpu: a100:2, tpu: 1}
env: {A: 0.10, B: \"\", C: yes}
";
    let experiment = read(text);
    let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(experiment.name.as_deref(), Some("grid search 🦀"));
    assert_eq!(experiment.project.as_deref(), Some("lab/rl"));
    assert_eq!(experiment.tags, ["a", "2024"]);
    assert_eq!(experiment.exclude, ["data/"]);
    assert_eq!(experiment.paths_to_copy, ["lib", "./conf"]);
    assert_eq!(experiment.base_image.as_deref(), Some("python:3.12"));
    assert_eq!(experiment.requirements.as_deref(), Some("deps/requirements.txt"));
    assert_eq!(experiment.resources.gpu.as_deref(), Some("a100:2"));
    assert_eq!(experiment.env, [pair("A", "0.10"), pair("B", ""), pair("C", "yes")]);
    assert!(matches!(experiment.parameters.as_slice(), [Parameter { name, .. }] if name == "lr"));
}

#[test]
fn it_is_never_empty() {
    for text in ["", "# nothing\n", "---\n"] {
        assert_eq!(faults(text), ["is empty, write `name: NAME` and `parameters:`"]);
    }
    assert_eq!(read("name: a"), Experiment { name: Some("a".to_owned()), ..Experiment::default() });
}

#[test]
fn a_limit_belongs_into_resources() {
    assert_eq!(faults("mem: 8G"), ["line 1: mem: is not a known key, move this key into `resources`"]);
}

#[test]
fn what_a_repository_may_not_choose_is_not_known() {
    let hint = "it belongs to a remote context, in mrunner's own file";
    for key in contexts::KEYS {
        if ["name", "project", "tags", "exclude", "paths_to_copy", "base_image", "resources", "env", "shm"]
            .contains(key)
        {
            continue;
        }
        assert_eq!(faults(&format!("{key}: x")), [format!("line 1: {key}: is not a known key, {hint}")]);
    }
    for key in ["context", "current_context", "kubeconfig", "volumes", "host_path", "secret_env"] {
        let told = faults(&format!("{key}: x"));
        assert!(told[0].starts_with(&format!("line 1: {key}: is not a known key")), "{told:?}");
    }
}

#[test]
fn no_path_leads_out_of_the_folder() {
    let expected = [
        "line 1: requirements: must be a path inside the experiment's folder, not `../r.txt`",
        "line 2: paths_to_copy[1]: must be a path inside the experiment's folder, not `/etc`",
    ];
    assert_eq!(faults("requirements: ../r.txt\npaths_to_copy: [lib, /etc]"), expected);
}

#[test]
fn wrong_types_are_told_together() {
    let text = "\
name: [a]
project: {a: b}
tags: {a: b}
exclude: [[a]]
resources: 4
env: [A]
paramters: {}
base_image: a b
";
    let expected = [
        "line 1: name: must be a single value, not a list",
        "line 2: project: must be a single value, not a mapping",
        "line 3: tags: must be a list, not a mapping",
        "line 4: exclude[0]: must be a single value, not a list",
        "line 5: resources: must be a mapping of keys, not `4`",
        "line 6: env: must be a mapping, not a list",
        "line 7: paramters: is not a known key, did you mean `parameters`?",
        "line 8: base_image: must be the name of an image, not `a b`, write a name such as `python:3`",
    ];
    assert_eq!(faults(text), expected);
    assert_eq!(faults("- a\n"), ["line 1: must be a mapping of keys, not a list"]);
}

#[test]
fn env_is_what_a_process_can_be_given() {
    let text = "env:\n  A-B: x\n  C:\n  D: [x]\n  E: \"a\\0b\"\n  F: \"two\\nlines\"\n";
    let expected = [
        "line 2: env.A-B: is no name of an environment variable, use letters, digits and `_`, a digit not first",
        "line 3: env.C: has no value, write `\"\"` for an empty one",
        "line 4: env.D: must be a single value, not a list",
        "line 5: env.E: must not hold a NUL character",
    ];
    assert_eq!(faults(text), expected);
    assert_eq!(read("env: {F: \"two\\nlines\"}").env[0].1, "two\nlines");
}

#[test]
fn a_name_is_one_line() {
    assert_eq!(faults("name: \"a\\nb\""), ["line 1: name: must not hold the control character `\\n`"]);
    assert_eq!(faults("name: \"\""), ["line 1: name: must not be empty"]);
    assert_eq!(read("name: ~").name, None);
}
