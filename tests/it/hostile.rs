//! Whatever text comes from a user, a file or the cluster: it arrives as it is or is refused, and never
//! becomes another instruction, key, argument or command of the terminal.

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Component, Path};
use std::process::Stdio;

use chrono::DateTime;
use mrunner::config::{Experiment, contexts, experiment};
use mrunner::image::{DockerfileContext, ImageRef};
use mrunner::k8s::manifests::points;
use mrunner::k8s::names::{Namespace, RunName, dns_label, label_value};
use mrunner::k8s::prune::Pruned;
use mrunner::plan::{Answers, Plan};
use mrunner::request::sweep::{Factor, Selection, Sweep, read};
use mrunner::request::{RunEnv, RunFlags, RunRequest};
use mrunner::runs::results::gather::gather;
use mrunner::runs::results::measured;
use mrunner::runs::results::report::Report;
use mrunner::runs::{lenient_json, state};
use mrunner::tools::cmd::{Cmd, quote};
use mrunner::tools::kubectl::Kubectl;
use mrunner::transfer::safe;
use mrunner::util::error::{Exit, Fail};
use mrunner::util::ui::{clean, line};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

use crate::support::program;

/// What means something to a shell, YAML, JSON, a Dockerfile, a template, Kubernetes or a terminal.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "\n", "\r\n", "\t", " ", "\0", "\u{1b}[31m", "\u{1b}]0;title\u{7}", "\u{9b}2J", "\u{8}", "\u{7f}", "\u{202e}",
    "\u{2028}", "\u{feff}", "\u{fffd}", "é", "𝒳", "İ", "$(MRUNNER_RUN)", "$(HOME)", "$(", "$$", "$$(", "$", ")",
    "${HOME}", "`id`", "$(id)", "'", "\"", "\\", "\\\n", "\\u0000", ";", "&&", "|", ">", "<<EOF\n", "EOF", "#",
    "# syntax=evil\n", "FROM evil\n", "RUN evil", "--push", "--", "-", "=", "{{ 7 * 7 }}", "{% for x in y %}", "{#",
    "}}", "---\n", "...\n", ": ", "- ", "&a ", "*a", "!!python/object ", "? ", "null", "~", "true", "1e999", "NaN",
    "{", "}", "[", "]", ",", "..", ".", "/", "../../etc/passwd", "a", "0", "Z9",
];

/// Text that somebody would send to do harm, or by accident.
pub fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![4 => select(PIECES).prop_map(str::to_owned), 1 => any::<String>(), 2 => "[a-z0-9]{1,6}"];
    let whole = vec(piece, 0..7).prop_map(|pieces| pieces.concat());
    // now and then long: a name is cut, a value is not
    prop_oneof![40 => whole.clone(), 1 => (whole, 1..300_usize).prop_map(|(text, times)| text.repeat(times))]
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let object = vec((text(), inner.clone()), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect()));
        prop_oneof![vec(inner, 0..4).prop_map(Value::from), object]
    })
}

/// An object as a broken or hostile cluster might send it: with the names that mrunner looks at.
fn object() -> impl Strategy<Value = Value> {
    #[rustfmt::skip]
    const NAMES: &[&str] = &[
        "kind", "metadata", "name", "namespace", "uid", "labels", "annotations", "ownerReferences",
        "creationTimestamp", "deletionTimestamp", "mrunner/run", "mrunner/project-name", "mrunner/points",
        "mrunner/points-per-pod", "batch.kubernetes.io/job-completion-index", "spec", "completions", "parallelism",
        "suspend", "template", "containers", "nodeName", "status", "phase", "active", "succeeded", "failed",
        "completedIndexes", "failedIndexes", "conditions", "type", "reason", "message", "containerStatuses", "state",
        "terminated", "exitCode", "waiting", "data", "points", "startTime", "completionTime", "env", "value",
        "ready",
    ];
    #[rustfmt::skip]
    const VALUES: &[&str] = &[
        "Job", "Pod", "ConfigMap", "True", "Failed", "0-3,7", "9-1,,-", "-1", "18446744073709551615", "a-points-0",
        "2026-11-25T00:00:00Z",
    ];
    let leaf = prop_oneof![
        4 => select(VALUES).prop_map(Value::from),
        2 => any::<i64>().prop_map(Value::from),
        2 => json_value(),
    ];
    leaf.prop_recursive(5, 40, 6, |inner| {
        let pair = (select(NAMES).prop_map(str::to_owned), inner.clone());
        let object = vec(pair, 0..8).prop_map(|pairs| Value::Object(pairs.into_iter().collect()));
        prop_oneof![4 => object, 1 => vec(inner, 0..4).prop_map(Value::from)]
    })
}

/// What of a run comes from a user or a file.
#[derive(Debug, Clone)]
struct Words {
    name: String,
    project: String,
    tags: Vec<String>,
    args: Vec<String>,
    env: String,
}

fn words() -> impl Strategy<Value = Words> {
    (text(), text(), vec(text(), 0..3), vec(text(), 0..4), text()).prop_map(|(name, project, tags, args, env)| Words {
        name,
        project,
        tags,
        args,
        env,
    })
}

fn request(words: &Words) -> Result<RunRequest, Fail> {
    let experiment = Experiment { env: vec![("GIVEN".into(), words.env.clone())], ..Experiment::default() };
    let wishes = RunFlags {
        name: Some(words.name.clone()),
        project: Some(words.project.clone()),
        tags: words.tags.clone(),
        image: Some("registry.example.com/team/train:1".into()),
        script: "train.py".into(),
        args: words.args.clone(),
        ..RunFlags::default()
    };
    let moment = RunEnv {
        folder: "/work/vision".into(),
        random: [7; 16],
        now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
        namespace: None,
        local: None,
        machine: "linux/amd64".into(),
    };
    RunRequest::new(wishes, Some(&experiment), None, &moment)
}

fn planned(request: &RunRequest) -> Result<Plan, Fail> {
    let plan = Plan::new(request, &Answers::default(), &Kubectl { program: "kubectl".into(), flags: Vec::new() })?;
    plan.fits().map(|()| plan)
}

/// What the kubelet makes of a word: `$(NAME)` is the variable's value, `$$` is `$`, all else is itself
/// (kubernetes, `third_party/forked/golang/expansion/expand.go`).
fn expanded(word: &str, names: &[&str]) -> String {
    let mut all = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        all.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('$') {
            all.push('$');
            rest = behind;
        } else if let Some((name, behind)) = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            all.push_str(&if names.contains(&name) { format!("<{name}>") } else { format!("$({name})") });
            rest = behind;
        } else {
            all.push('$');
        }
    }
    all + rest
}

fn is_name(text: &str, others: &str, most: usize) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let inner = |c: char| c.is_ascii_alphanumeric() || others.contains(c);
    text.len() <= most && edge(text.chars().next()) && edge(text.chars().last()) && text.chars().all(inner)
}

fn is_dns_label(text: &str) -> bool {
    is_name(text, "-", 63) && !text.contains(char::is_uppercase)
}

/// Keys and kinds of values, without the texts.
fn shape(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let part = |(key, value): (&String, &Value)| {
                (if key.starts_with("tag.mrunner/") { "tag".to_owned() } else { key.clone() }, shape(value))
            };
            Value::Object(map.iter().map(part).collect::<Map<_, _>>())
        }
        Value::Array(list) => list.iter().map(shape).collect(),
        Value::String(_) => "text".into(),
        other => other.clone(),
    }
}

/// What a program named `seen` is given when `script` runs, each word with a NUL behind it.
fn seen_by(shell: &str, script: &str, input: &str) -> String {
    let text = format!("n='\n'\nseen() {{ printf '%s\\0' \"$@\"; }}\n{script}");
    let mut child = program(shell).args(["-c", &text]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
}

fn with_ends(words: &[String]) -> String {
    words.iter().flat_map(|word| [word, "\0"]).collect()
}

/// Nothing that a terminal obeys, but lines and tabs.
fn is_harmless(text: &str) -> bool {
    !text.contains(|c: char| c.is_control() && c != '\n' && c != '\t')
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_a_job_is_made_of_arrives_or_is_refused(words in words()) {
        let (made, plan) = match request(&words).and_then(|request| planned(&request).map(|plan| (request, plan))) {
            Ok(made) => made,
            Err(fail) => {
                prop_assert!(fail.exit == Exit::Usage && is_harmless(&fail.to_string()), "{fail}");
                return Ok(());
            }
        };
        let job = plan.final_job();
        let pod = &job["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let env: Vec<(&str, &str)> = container["env"].as_array().unwrap().iter()
            .filter_map(|variable| Some((variable["name"].as_str()?, variable["value"].as_str()?))).collect();
        let names: Vec<&str> = env.iter().map(|(name, _)| *name).collect();
        let command: Vec<String> = container["command"].as_array().unwrap().iter()
            .map(|word| expanded(word.as_str().unwrap(), &names)).collect();
        prop_assert!(command.ends_with(&words.args), "{command:?}");
        let given = env.iter().find(|(name, _)| *name == "GIVEN").unwrap();
        prop_assert_eq!(expanded(given.1, &names), words.env);
        prop_assert!(is_dns_label(made.run.as_str()) && is_dns_label(made.namespace.as_str()));
        for labels in [&job["metadata"]["labels"], &job["spec"]["template"]["metadata"]["labels"]] {
            for (key, value) in labels.as_object().unwrap() {
                let (prefix, name) = key.split_once('/').unwrap();
                prop_assert!(is_name(prefix, "-.", 253) && is_name(name, "-_.", 63), "{key}");
                prop_assert!(is_name(value.as_str().unwrap(), "-_.", 63), "{value}");
            }
        }
        let annotations = &job["metadata"]["annotations"];
        prop_assert_eq!(&annotations["mrunner/project-name"], &json!(words.project));
        prop_assert_eq!(&annotations["mrunner/experiment-name"], &json!(words.name));
        let raw: Vec<String> = serde_json::from_str(annotations["mrunner/tags"].as_str().unwrap()).unwrap();
        prop_assert!(raw.iter().all(|tag| words.tags.contains(tag)));
        // one of the same kind has the same keys, whatever stands in them
        let plain = Words { name: "a".into(), project: "b".into(), env: "c".into(),
            tags: (0..raw.len()).map(|n| n.to_string()).collect(), args: vec!["e".into(); words.args.len()] };
        let usual = planned(&request(&plain).unwrap()).unwrap().final_job();
        prop_assert_eq!(shape(&job), shape(&usual));
    }

    #[test]
    fn a_name_is_one_that_kubernetes_takes(raw in text(), random in any::<[u8; 16]>()) {
        prop_assert!(is_dns_label(&dns_label(&raw, 63)) && is_name(&label_value(&raw), "-_.", 63));
        prop_assert!(is_dns_label(Namespace::of_project(&raw).as_str()));
        let run = RunName::new(&raw, &mrunner::k8s::names::RunId::from_bytes(random));
        prop_assert!(is_dns_label(run.as_str()) && run.as_str().len() <= 57);
    }

    #[test]
    fn an_image_is_nothing_but_an_image(raw in text()) {
        match ImageRef::parse(&raw) {
            Ok(image) => {
                prop_assert_eq!(image.to_string(), raw);
                let values = DockerfileContext { base_image: image, requirements: None, user: 1000, group: 1000, neptune: false, secrets: Vec::new() };
                let usual = DockerfileContext { base_image: ImageRef::parse("python:3").unwrap(), ..values.clone() };
                let lines = |values: &DockerfileContext| values.render(None).unwrap().lines().count();
                prop_assert_eq!(lines(&values), lines(&usual));
            }
            Err(fail) => prop_assert!(fail.exit == Exit::Usage && is_harmless(&fail.to_string())),
        }
    }

    #[test]
    fn a_file_name_stays_one_word_of_a_dockerfile(name in text()) {
        prop_assume!(!name.is_empty() && !name.contains('\0'));
        let values = |name: &str| DockerfileContext { base_image: ImageRef::parse("python:3").unwrap(),
            requirements: Some(name.to_owned()), user: 1000, group: 1000, neptune: false, secrets: Vec::new() };
        let (text, usual) = (values(&name).render(None).unwrap(), values("requirements.txt").render(None).unwrap());
        prop_assert_eq!(text.lines().count(), usual.lines().count());
        let instruction = text.lines().find(|line| line.contains("\"install\"")).unwrap();
        let command: Vec<String> = serde_json::from_str(&instruction[instruction.find('[').unwrap()..]).unwrap();
        prop_assert!(command.last().unwrap().ends_with(&name));
    }

    #[test]
    fn a_terminal_obeys_none_of_it(text in text()) {
        prop_assert!(is_harmless(&clean(&text)));
        let one = line(&text);
        let turned = one.contains(['\n', '\u{202e}']);
        prop_assert!(is_harmless(&one) && !turned);
        let shown = quote(OsStr::new(&text));
        prop_assert!(!shown.contains(char::is_control), "{shown:?}");
    }

    #[test]
    fn no_answer_of_a_cluster_makes_a_panic(objects in vec(object(), 0..6), words in text()) {
        let text = Value::from(objects).to_string();
        let kept: Vec<Pruned> = serde_json::from_str(&text).unwrap();
        let (mut maps, mut rest) = (Vec::new(), Vec::new());
        for Pruned(object) in kept {
            if object["kind"] == "ConfigMap" { maps.push(object) } else { rest.push(object) }
        }
        for run in state::runs(rest) {
            gather(&run, &maps, &Report::all(&words, "m", &(0..9)));
            run.progress();
        }
        drop((lenient_json::parse(&words), Report::record(words.as_bytes()), Report::all(&format!("m {words}"), "m", &(0..9))));
        drop((measured::file(words.as_bytes()), measured::large(words.as_bytes())));
    }

    #[test]
    fn a_path_from_the_volume_stays_below_its_folder(path in text(), target in text()) {
        if let Ok(local) = safe::local(path.as_bytes()) {
            prop_assert!(local.components().all(|part| matches!(part, Component::Normal(_))), "{local:?}");
        }
        if safe::stays_within(path.as_bytes(), target.as_bytes()) {
            prop_assert!(!target.starts_with('/'), "{target}");
        }
    }
}

proptest! {
    // each starts a shell, or reads some twenty files
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn no_file_of_settings_makes_a_panic(text in text(), other in text()) {
        let file = Path::new("file.yaml");
        for text in [text.clone(), format!("name: {text}\ntags: [{other}]\n"), format!("{text}: {other}\n"), format!("contexts:\n  {text}:\n    {other}\n")] {
            for faults in [experiment::parse(&text, file).err(), contexts::parse(&text, file).err()].into_iter().flatten() {
                prop_assert!(!faults.is_empty());
            }
            for name in ["s.csv", "s.jsonl", "s.yaml", "-"] {
                if let Ok(factors) = read(&text, Path::new(name)) {
                    drop(Sweep::new(factors, &Selection::default()));
                }
            }
        }
        drop(Factor::grid(&text));
        drop(Factor::zip(&[text, other]));
    }

    #[test]
    fn a_point_of_a_sweep_gets_its_words_byte_for_byte(own in vec(text(), 0..3), others in vec(text(), 2..4), value in text()) {
        let sent = |text: &String| !text.contains('\0') && text.len() < 50_000;
        prop_assume!(own.iter().chain(&others).all(sent) && sent(&value));
        let params = json!({ "x": value });
        let line = points::line(others.len(), 1, &own, &params);
        prop_assert!(!line.contains('\n'));
        let words: Vec<String> = others.iter().map(|word| quote_posix(word)).collect();
        let script = format!("set -- {}\neval \"$(cat)\"\nseen \"$@\" \"$MRUNNER_PARAMS\"", words.join(" "));
        let mut expected = vec![others[0].clone()];
        expected.extend(own);
        expected.extend_from_slice(&others[1..]);
        expected.push(params.to_string());
        prop_assert_eq!(seen_by("sh", &script, &line), with_ends(&expected));
    }

    #[test]
    fn a_command_that_is_shown_can_be_pasted(args in vec(text(), 0..4), value in text()) {
        prop_assume!(args.iter().chain([&value]).all(|text| !text.contains('\0') && text.len() < 50_000));
        let cmd = Cmd::new("seen", "see").args(args.clone()).env("GIVEN", &value);
        let shown = cmd.to_string();
        prop_assert!(!shown.contains(char::is_control), "{shown:?}");
        let expected = with_ends(&args) + &value + "\0";
        let ask = "seen() { printf '%s\\0' \"$@\" \"$GIVEN\"; }\n";
        prop_assert_eq!(seen_by("bash", &format!("{ask}{shown}"), ""), expected.clone());
        prop_assert_eq!(seen_by("sh", &format!("{ask}{}", cmd.script_line()), ""), expected);
    }
}

fn quote_posix(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
