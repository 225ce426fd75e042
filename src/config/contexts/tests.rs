use serde_json::json;

use super::*;
use crate::util::error::Fail;

fn read(text: &str) -> ContextsFile {
    parse(text, Path::new("/home/a/config.yaml")).unwrap_or_else(|faults| panic!("{text}: {faults:?}"))
}

/// The one context, with what every context needs and `keys`.
fn context(keys: &str) -> RemoteContext {
    read(&with(keys)).contexts.remove(0)
}

fn with(keys: &str) -> String {
    format!("contexts:\n  lab:\n    {{type: kubernetes, storage: /storage, registry_url: gcr.io,\n     {keys}}}\n")
}

fn faults(text: &str) -> Vec<String> {
    parse(text, Path::new("/home/a/config.yaml")).unwrap_err().iter().map(Fault::detail).collect()
}

/// The one fault of a context with `keys`, without its place.
fn fault(keys: &str) -> String {
    let told = faults(&with(keys));
    assert_eq!(told.len(), 1, "{told:?}");
    told[0].strip_prefix("line 4: contexts.lab.").unwrap_or_else(|| panic!("{told:?}")).to_owned()
}

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

#[test]
fn the_keys_of_the_page() {
    let text = "
contexts:
  rl.sandbox:
    name: rl.sandbox
    type: kubernetes
    storage: /storage
    registry_url: https://gcr.io
    resources: {cpu: 4, tpu: 1, mem: 8G}
    neptune: true
    google_project_id: rl-sandbox-1234
    default_pvc_size: 100G
current_context: rl.sandbox
";
    let file = read(text);
    assert_eq!(file.current_context.as_deref(), Some("rl.sandbox"));
    let context = file.get("rl.sandbox").unwrap();
    assert_eq!(
        (context.storage.as_str(), context.registry_url.as_ref().unwrap().to_string().as_str()),
        ("/storage", "gcr.io")
    );
    let resources = &context.resources;
    assert_eq!(resources.cpu.as_ref().unwrap().as_str(), "4");
    assert_eq!(resources.mem.as_ref().unwrap().as_str(), "8G");
    assert_eq!((resources.tpu.as_deref(), resources.gpu.as_deref()), (Some("1"), None));
    assert!(context.neptune);
    assert_eq!(context.google_project_id.as_deref(), Some("rl-sandbox-1234"));
    assert_eq!(context.default_pvc_size.as_ref().unwrap().as_str(), "100G");
}

#[test]
fn the_keys_of_ours() {
    let context = context(
        "kube_context: gke_lab_1, namespace: lab, storage_class: nfs-client, storage_claim: data,
         nfs: {server: 10.0.0.1, path: /export}, base_image: python:3.12, env: {A: 0.10, B: yes},
         run_as: 1000, node_selector: {gpu: true, cloud.google.com/gke-nodepool: big},
         tolerations: [{key: gpu, operator: Equal, value: yes, effect: NoExecute, tolerationSeconds: 30}],
         queue: team, service_account: runner, image_pull_secret: regcred, registry_username: anna,
         registry_password_env: REGISTRY_PASSWORD, project: rl, paths_to_copy: lib, exclude: [data, '*.ckpt'],
         tags: [a, 7], pod_labels: {team: vision, example.com/cost-centre: 12},
         pod_annotations: {sidecar.istio.io/inject: \"false\", Example.com/note: a b}, shm: 2Gi",
    );
    assert_eq!(context.pod_labels, [pair("team", "vision"), pair("example.com/cost-centre", "12")]);
    assert_eq!(context.pod_annotations, [pair("sidecar.istio.io/inject", "false"), pair("Example.com/note", "a b")]);
    assert_eq!(context.shm.as_ref().unwrap().as_str(), "2Gi");
    assert_eq!(context.kube_context.as_deref(), Some("gke_lab_1"));
    assert_eq!(context.namespace, Namespace::given("lab"));
    assert_eq!(context.storage_class.as_deref(), Some("nfs-client"));
    assert_eq!(context.storage_claim, ClaimName::given("data"));
    assert_eq!(context.nfs, Some(Nfs { server: "10.0.0.1".into(), path: "/export".into() }));
    assert_eq!(context.base_image.as_deref(), Some("python:3.12"));
    assert_eq!(context.env, [pair("A", "0.10"), pair("B", "yes")]);
    assert_eq!(context.run_as, Some(RunAs { user: 1000, group: 1000 }));
    assert_eq!(context.node_selector, [pair("gpu", "true"), pair("cloud.google.com/gke-nodepool", "big")]);
    let toleration =
        json!({"key": "gpu", "operator": "Equal", "value": "yes", "effect": "NoExecute", "tolerationSeconds": 30});
    assert_eq!(context.tolerations, [toleration]);
    assert_eq!(context.queue.as_deref(), Some("team"));
    assert_eq!(context.service_account.as_deref(), Some("runner"));
    assert_eq!(context.image_pull_secret.as_deref(), Some("regcred"));
    assert_eq!(context.registry_username.as_deref(), Some("anna"));
    assert_eq!(context.registry_password_env.as_deref(), Some("REGISTRY_PASSWORD"));
    assert_eq!(context.project.as_deref(), Some("rl"));
    assert_eq!(context.paths_to_copy, ["lib"]);
    assert_eq!(context.exclude, ["data", "*.ckpt"]);
    assert_eq!(context.tags, ["a", "7"]);
}

#[test]
fn every_key_is_known_and_null_is_as_good_as_absent() {
    let given = ["type", "storage", "registry_url", "backend_type", "storage_dir"];
    for key in KEYS.iter().filter(|key| !given.contains(key)) {
        assert_eq!(context(&format!("{key}:")), context(""), "{key}");
    }
    let context = context("");
    assert_eq!(context.default_pvc_size, None);
    assert!(!context.neptune);
    assert_eq!(context.resources, Resources::default());
}

#[test]
fn older_spellings() {
    let old = "contexts: {lab: {context_name: lab, backend_type: kubernetes, storage_dir: /s, registry_url: gcr.io}}";
    let new = "contexts: {lab: {name: lab, type: kubernetes, storage: /s, registry_url: gcr.io}}";
    assert_eq!(read(old), read(new));
    assert_eq!(fault("storage_dir: /s"), "storage_dir: is an older spelling of `storage`, which is there as well");
}

#[test]
fn contexts_keep_their_order_and_may_share_by_anchors() {
    let text = "
contexts:
  z: &z {type: kubernetes, storage: /s, registry_url: gcr.io, tags: [shared]}
  a: {<<: *z, storage: /other}
";
    let file = read(text);
    let names: Vec<&str> = file.contexts.iter().map(|context| context.name.as_str()).collect();
    assert_eq!(names, ["z", "a"]);
    assert_eq!((file.contexts[1].storage.as_str(), &file.contexts[1].tags), ("/other", &vec!["shared".to_owned()]));
}

#[test]
fn nothing_is_no_contexts() {
    for text in ["", "# later\n", "contexts:\n", "contexts: {}\ncurrent_context:\n", "\u{feff}"] {
        assert_eq!(read(text), ContextsFile::default(), "{text:?}");
    }
}

#[test]
fn a_single_fault_is_the_error() {
    let found = parse(&with("registry_uri: x"), Path::new("/home/a/config.yaml")).unwrap_err();
    let fail = Fail::from(found);
    assert_eq!(fail.message, "`/home/a/config.yaml` line 4: `contexts.lab.registry_uri` is not a known key");
    assert_eq!(fail.hints, ["did you mean `registry_url`?"]);
}

#[test]
fn all_faults_are_told_at_once() {
    let text = "
contexts:
  lab:
    type: slurm
    registry_uri: https://gcr.io
    resources: {cpu: lots, memory: 8G}
    neptune: maybe
    tags: {a: b}
    tags: [x]
  other: 5
current_context: lap
curent: x
";
    let expected = [
        "line 3: contexts.lab.storage: is required, write `storage: /storage`",
        "line 4: contexts.lab.type: must be `kubernetes`, not `slurm`",
        "line 5: contexts.lab.registry_uri: is not a known key, did you mean `registry_url`?",
        "line 6: contexts.lab.resources.cpu: must be a Kubernetes quantity, not `lots`, write a number and one of `m`, `k`, `M`, `G`, `T`, `Ki`, `Mi`, `Gi`, `Ti`, such as `500m`, `4` or `8Gi`",
        "line 6: contexts.lab.resources.memory: is not a known key, did you mean `mem`?",
        "line 7: contexts.lab.neptune: must be `true` or `false`, not `maybe`",
        "line 8: contexts.lab.tags: must be a list, not a mapping",
        "line 9: contexts.lab.tags: is there twice, first in line 8",
        "line 10: contexts.other: must be a mapping of keys, not `5`",
        "line 11: current_context: must be the name of one of the contexts, not `lap`, did you mean `lab`?",
        "line 12: curent: is not a known key",
    ];
    assert_eq!(faults(text), expected);
    let fail = Fail::from(parse(text, Path::new("/home/a/config.yaml")).unwrap_err());
    assert_eq!(fail.message, "`/home/a/config.yaml` has 11 faults");
    assert_eq!(fail.details, expected);
}

#[test]
fn each_value_is_checked() {
    for (keys, expected) in [
        ("name: other", "name: must be the name that the context stands under, not `other`"),
        (
            "namespace: Lab",
            "namespace: must be the name of a namespace, not `Lab`, use at most 63 lower-case letters, digits and `-`",
        ),
        ("storage_claim: a_b", "storage_claim: must be the name of a PersistentVolumeClaim, not `a_b`"),
        ("storage_class: [a]", "storage_class: must be a single value, not a list"),
        (
            "default_pvc_size: 40",
            "default_pvc_size: is an amount of bytes, and `40` is less than one KiB, did you mean `40G`?",
        ),
        ("default_pvc_size: 40GB", "default_pvc_size: must be a Kubernetes quantity, not `40GB`, did you mean `40G`?"),
        (
            "resources: {gpu: a100}",
            "resources.gpu: must be a number or `TYPE:NUMBER`, not `a100`, did you mean `a100:1`?",
        ),
        ("nfs: {server: a}", "nfs.path: is required"),
        ("nfs: {server: a, path: b}", "nfs.path: must be an absolute path, not `b`, write a path such as `/storage`"),
        ("nfs: server:/path", "nfs: must be a mapping of keys, not `server:/path`"),
        ("run_as: root", "run_as: must be numbers of a user and a group, not `root`, write `1000` or `1000:1000`"),
        ("run_as: -1", "run_as: must be numbers of a user and a group, not `-1`, write `1000` or `1000:1000`"),
        (
            "run_as: 2147483648",
            "run_as: must be numbers of a user and a group, not `2147483648`, write `1000` or `1000:1000`",
        ),
        ("run_as: {group: 1}", "run_as.user: is required"),
        ("run_as: {user: x}", "run_as.user: must be a number of a user or group, not `x`"),
        ("neptune: \"true\"", "neptune: must be `true` or `false`, not `true`"),
        (
            "node_selector: {-a: b}",
            "node_selector.-a: is no key of a label, write a key such as `node.kubernetes.io/instance-type`",
        ),
        (
            "node_selector: {a: b c}",
            "node_selector.a: must be the value of a label, not `b c`, use at most 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit",
        ),
        (
            "env: {1A: x}",
            "env.1A: is no name of an environment variable, use letters, digits and `_`, a digit not first",
        ),
        (
            "google_project_id: My Lab",
            "google_project_id: must be the id of a Google project, not `My Lab`, list yours with `gcloud projects list`",
        ),
        ("queue: \"a\\e[2J\"", "queue: must not hold the control character `\\u{1b}`"),
        (
            "registry_password_env: hunter2!",
            "registry_password_env: must be the name of an environment variable, write the name of the variable, never the password",
        ),
        ("tags: [a, ~]", "tags[1]: must be a single value, not nothing"),
        ("kube_context: \"\"", "kube_context: must not be empty"),
        ("pod_labels: {mrunner/run: x}", "pod_labels.mrunner/run: is set by mrunner or Kubernetes itself"),
        (
            "pod_labels: {-a: b}",
            "pod_labels.-a: is no key of a label, write a key such as `node.kubernetes.io/instance-type`",
        ),
        (
            "pod_labels: {a: b c}",
            "pod_labels.a: must be the value of a label, not `b c`, use at most 63 letters, digits, `-`, `_` and `.`, the first and last a letter or digit",
        ),
        ("pod_annotations: {job-name: x}", "pod_annotations.job-name: is set by mrunner or Kubernetes itself"),
        (
            "pod_annotations: {a b: x}",
            "pod_annotations.a b: is no key of an annotation, write a key such as `sidecar.istio.io/inject`",
        ),
        ("shm: 8", "shm: is an amount of bytes, and `8` is less than one KiB, did you mean `8G`?"),
        ("resources: {shm: 8G}", "resources.shm: is not a known key, it stands beside `resources`, not in it"),
    ] {
        assert_eq!(fault(keys), expected, "{keys}");
    }
}

#[test]
fn storage_and_registry_are_checked() {
    let text = "contexts: {lab: {type: kubernetes, storage: ../s, registry_url: 'https://anna:hunter2@gcr.io'}}";
    let expected = [
        "line 1: contexts.lab.storage: must be an absolute path, not `../s`, write a path such as `/storage`",
        "line 1: contexts.lab.registry_url: must not hold a user or a password, log in with `docker login`, or set `registry_username` and `registry_password_env`",
    ];
    assert_eq!(faults(text), expected);
}

#[test]
fn whom_to_run_as() {
    for (text, user, group) in
        [("0", 0, 0), ("1000:1001", 1000, 1001), ("'5:6'", 5, 6), ("{user: 7, group: 8}", 7, 8), ("{user: 9}", 9, 9)]
    {
        assert_eq!(context(&format!("run_as: {text}")).run_as, Some(RunAs { user, group }), "{text}");
    }
}

#[test]
fn tolerations_follow_the_rules_of_a_pod() {
    for (toleration, expected) in [
        ("{keys: a, operator: Exists}", "tolerations[0].keys: is not a known key, did you mean `key`?"),
        ("{key: a, operator: In}", "tolerations[0].operator: must be one of `Equal`, `Exists`, not `In`"),
        (
            "{key: a, effect: Never}",
            "tolerations[0].effect: must be one of `NoSchedule`, `PreferNoSchedule`, `NoExecute`, not `Never`",
        ),
        (
            "{key: a, operator: Exists, value: b}",
            "tolerations[0]: has a `value`, which the operator `Exists` does not take",
        ),
        ("{value: b}", "tolerations[0]: has no `key`, write `operator: Exists` to tolerate every taint"),
        (
            "{key: a, tolerationSeconds: 1}",
            "tolerations[0]: has `tolerationSeconds`, which only the effect `NoExecute` takes",
        ),
        (
            "{key: a, effect: NoExecute, tolerationSeconds: 1.5}",
            "tolerations[0].tolerationSeconds: must be a whole number of seconds, not `1.5`",
        ),
        ("a", "tolerations[0]: must be a mapping of keys, not `a`"),
    ] {
        assert_eq!(fault(&format!("tolerations: [{toleration}]")), expected);
    }
    assert_eq!(fault("tolerations: {key: a}"), "tolerations: must be a list, not a mapping");
    assert_eq!(context("tolerations: [{operator: Exists}]").tolerations, [json!({"operator": "Exists"})]);
}

#[test]
fn names_of_contexts() {
    let body = "{type: kubernetes, storage: /s, registry_url: gcr.io}";
    let file = read(&format!("contexts: {{2024: {body}, 'a b/c:d\"$(x)': {body}, 🦀: {body}}}"));
    let names: Vec<&str> = file.contexts.iter().map(|context| context.name.as_str()).collect();
    assert_eq!(names, ["2024", "a b/c:d\"$(x)", "🦀"]);
    let forged = format!("contexts:\n  \"x\\nline 9: y\": {body}\n  '': {body}\n");
    let expected = [
        "line 2: contexts.x\\nline 9: y: is no name of a context: it must not hold the control character `\\n`",
        "line 3: a key is empty",
    ];
    assert_eq!(faults(&forged), expected);
}

#[test]
fn what_is_no_file_of_contexts() {
    assert_eq!(faults("hello"), ["line 1: must be a mapping of keys, not `hello`"]);
    assert_eq!(faults("contexts: [a]"), ["line 1: contexts: must be a mapping, not a list"]);
    assert_eq!(faults(": : :"), ["line 1: a key is empty"]);
    assert_eq!(
        faults("current_context: x"),
        ["line 1: current_context: must be the name of one of the contexts, not `x`"]
    );
    assert_eq!(faults("contexts: {lab: ~}").len(), 1);
}
