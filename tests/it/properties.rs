//! What must hold for whatever others can write, without a fuzzer: the properties in `fuzz/src/lib.rs`, with honest
//! inputs in which one part after the other is replaced, cut, repeated or changed by chance.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

#[path = "../../fuzz/src/lib.rs"]
mod held;

/// What stands between two fields.
const BETWEEN: u8 = 0xff;

/// What means something to the readers of records, reports, annotations and journals, or to a terminal.
#[rustfmt::skip]
const PIECES: &[&str] = &[
    "", "0", "1", "-1", "00", "1e9", "99999999999", "100000", "18446744073709551615", "18446744073709551616", "NaN", "-Infinity",
    "0-18446744073709551615", "0-4,2-1,-,7", "5-5,5-6,0-9", "null", "true", "[]", "{}", "\"", "[[[[[[[[[[[[", "{\"a\":",
    "}", "]", ",", ":", "\0", "\n", "\r", "\t", "\\", "\\u0000", "\\ud800", "\u{1b}[31m", "\u{202e}", "../../../../x", "/", ".", "..",
    "run.json", "0.a.json", "7.b.json", "0.../x.json", "18446744073709551615.y.json", "a-points-18446744073709551615",
    "{\"index\":0,\"code\":0,\"metrics\":{\"a\":1}}", "{\"index\":4,\"code\":0}\n{\"index\":3,\"code\":1,\"more\":true}",
    "k3v9zq2m4t 3 0 exit 9 file 7 {\"a\":1}\n", "k3v9zq2m4t 4 143 told - lines 99999 mrunner: {\"a\":", "\u{1e}", "mrunner: ",
    ",\"metrics_from\":\"lines\",\"metrics_size\":99}\n",
    "{\"completions\":18446744073709551615}", "{\"index\":18446744073709551615,\"pod\":\"y\",\"began\":\"2026-11-24T22:00:00Z\"}",
    "2026-11-24T22:00:00Z", "+262142-12-31T23:59:59Z", "-262143-01-01T00:00:00Z", "Complete", "Failed", "Succeeded", "Running",
    "1; MRUNNER_PARAMS='{\"a\":1}'", "'\\''", "é",
];

/// Honest inputs of each kind.
fn honest(kind: &str) -> Vec<Vec<u8>> {
    let joined = |fields: &[&str]| {
        fields.join("\u{1}").into_bytes().iter().map(|b| if *b == 1 { BETWEEN } else { *b }).collect()
    };
    match kind {
        "records" => vec![joined(&[
            "run.json",
            r#"{"run":"train-1","project":"Vision","experiment":"train","tags":["two words"],"completions":12,"image":"r/v@sha256:07"}"#,
            "0.train-1-0-abcde.json",
            r#"{"index":0,"pod":"train-1-0-abcde","began":"2026-11-24T22:00:00Z","ended":"2026-11-24T22:00:09Z","code":0,"params":{"lr":0.1},"metrics":{"a":NaN}}"#,
            "11.b.json",
            r#"{"index":11,"pod":"b","began":"2026-11-24T22:00:00Z"}"#,
            "2.c.json",
            "{\"index\":2,\"pod\":\"c\",\"began\":\"2026-11-24T22:00:00Z\",\"ended\":\"2026-11-24T22:00:09Z\",\"code\":0,\"ended_by\":\"limit\",\"printed\":7,\"metrics_from\":\"file\",\"metrics_size\":7}\n{\"a\":1}",
        ])],
        "reports" => vec![
            b"k3v9zq2m4t 3 0 exit 120 file 7 {\"a\":1}\n\nk3v9zq2m4t 4 7 told - lines 40 mrunner: {\"a\":1}\x1e\nTraceback\n".to_vec(),
            b"{\"index\":3,\"code\":0,\"metrics\":{\"a\":1}}\n{\"index\":4,\"code\":3}\nTraceback\n{\"index\":5}".to_vec(),
        ],
        "annotations" => vec![
            joined(&[
                "train-1", "vision", "2026-11-24T22:00:00Z", "train-1", "vision", "7", "3", "[\"a\"]", "Vision", "r/v@sha256:07",
                "3", "2", "1", "r/v:1", "{\"a\":1}", "0,2", "1", "2", "2026-11-24T22:00:00Z", "2026-11-24T22:09:00Z", "Failed",
                "FailedIndexes", "Job has failed indexes", "2026-11-24T22:09:00Z", "train-1-1-abcde", "2026-11-24T22:00:00Z", "1",
                "node1", "Failed", "Evicted", "The node was low on resource: memory.", "True", "0/2 nodes are available",
                "r/v:1", "137", "OOMKilled", "{\"index\":3,\"code\":0}", "2026-11-24T22:00:00Z", "2026-11-24T22:00:09Z", "ErrImagePull",
                "not found", "train-1-points-0", "export A=1; MRUNNER_PARAMS='{\"lr\":0.1}'\n",
                "{\"run\":\"train-1\",\"image\":\"r/v\",\"completions\":7}", "/storage/train-1/$(JOB_COMPLETION_INDEX)", "k3v9zq2m4t", "7", "3",
            ]),
            br#"[{"kind":"Job","metadata":{"uid":"u"},"spec":{"completions":4}},{"kind":"Pod","metadata":{"ownerReferences":[{"uid":"u"}]}}]"#.to_vec(),
        ],
        "journals" => vec![journal()],
        "yaml" => vec![
            b"current_context: lab\ncontexts:\n  lab: # mine\n    type: kubernetes\n    storage: /storage\n    resources: {cpu: 2, gpu: 't4:1'}\n".to_vec(),
            b"project: vision\nexperiment: train\nparameters:\n  lr: [0.1, 0.2]\nexclude:\n- data\npaths_to_copy: [a]\n".to_vec(),
            b"apiVersion: v1\nkind: Config\ncurrent-context: lab\nclusters: [{name: lab, cluster: {server: 'https://127.0.0.1:1'}}]\ncontexts: [{name: lab, context: {cluster: lab, user: me}}]\n".to_vec(),
        ],
        "requirements" => vec![
            b"-r base.txt\n--constraint=limits.txt \\\n  # more\nnumpy>=1.2 ; python_version < '3.9'\n-e ./lib\nx @ file:///x.whl\n".to_vec(),
        ],
        _ => vec![frame()],
    }
}

/// A journal as a run writes it.
fn journal() -> Vec<u8> {
    let mut world = crate::support::World::new();
    world.on("*' create '*", "kill -9 $PPID; exit 1");
    world.env("MINE", "x");
    world.run(&["run", "--grid", "lr=1..3", "--secret-env", "MINE", "train.py"]);
    let run = world.journals().iter().find_map(|name| name.strip_suffix(".json").map(str::to_owned)).unwrap();
    std::fs::read(world.path("home/.local/state/mrunner/runs").join(run + ".json")).unwrap()
}

/// A list of one entry.
fn frame() -> Vec<u8> {
    let mut entry = vec![b'f'];
    entry.extend([0; 20]);
    entry.extend([0, 3, b'a', b'/', b'b', 0, 0]);
    entry
}

/// A change to an input.
#[derive(Debug, Clone)]
enum Change {
    Field(Index, Vec<u8>),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Byte(Index, u8),
    Repeat(Index, usize),
}

fn change() -> impl Strategy<Value = Change> {
    let piece = || {
        prop_oneof![
            6 => select(PIECES).prop_map(|piece| piece.as_bytes().to_vec()),
            2 => vec(select(PIECES), 0..4).prop_map(|pieces| pieces.concat().into_bytes()),
            1 => vec(any::<u8>(), 0..40),
        ]
    };
    prop_oneof![
        6 => (any::<Index>(), piece()).prop_map(|(at, bytes)| Change::Field(at, bytes)),
        3 => (any::<Index>(), piece()).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
        1 => any::<Index>().prop_map(Change::Cut),
        2 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Byte(at, byte)),
        1 => (any::<Index>(), 1..300_usize).prop_map(|(at, times)| Change::Repeat(at, times)),
    ]
}

fn changed(mut input: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        let length = input.len() + 1;
        match change {
            Change::Field(at, bytes) => {
                let mut fields: Vec<&[u8]> = input.split(|byte| *byte == BETWEEN).collect();
                let at = at.index(fields.len());
                fields[at] = bytes;
                input = fields.join(&BETWEEN);
            }
            Change::Insert(at, bytes) => {
                let at = at.index(length);
                input.splice(at..at, bytes.iter().copied());
            }
            Change::Cut(at) => input.truncate(at.index(length)),
            Change::Byte(at, byte) => {
                if let Some(found) = input.get_mut(at.index(length)) {
                    *found = *byte;
                }
            }
            Change::Repeat(at, times) => {
                let part = input[at.index(length)..].iter().copied().take(40).collect::<Vec<_>>();
                input.extend(part.repeat(*times));
            }
        }
    }
    input
}

fn hold(kind: &str, property: fn(&[u8]), cases: u32) {
    let seeds = honest(kind);
    for seed in &seeds {
        property(seed);
    }
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases) };
    let inputs = (select(seeds), vec(change(), 0..6)).prop_map(|(seed, changes)| changed(seed, &changes));
    let result = proptest::test_runner::TestRunner::new(config).run(&inputs, |input| {
        property(&input);
        Ok(())
    });
    result.unwrap_or_else(|error| panic!("{kind}: {error}"));
}

#[test]
fn records_are_data() {
    hold("records", held::records, 300);
}

#[test]
fn termination_messages_are_data() {
    hold("reports", held::reports, 1500);
}

#[test]
fn annotations_are_data() {
    hold("annotations", held::annotations, 300);
}

#[test]
fn journals_are_data() {
    hold("journals", held::journals, 300);
}

#[test]
fn frames_are_data() {
    hold("frames", held::frames, 1500);
}

#[test]
fn files_in_yaml_are_data() {
    hold("yaml", held::yaml, 600);
}

#[test]
fn requirements_are_data() {
    hold("requirements", held::requirements, 600);
}
