//! The `ConfigMap`s of a sweep: one line of shell for each point. The first one also holds the scripts that the pods run,
//! because scripts in each of 10,000 pods would fill the cluster's etcd.
//!
//! A pod needs only a POSIX shell to read its line, whatever the values contain.

use std::collections::BTreeMap;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::k8s::manifests::{MANAGED_BY, PROJECT, RUN};
use crate::k8s::names::{Namespace, RunName, label_value};
use crate::util::error::{Fail, usage};

/// Most bytes of lines in a ConfigMap: its data may hold 1 MiB
/// (<https://kubernetes.io/docs/concepts/configuration/configmap/>), and JSON makes some of it longer. The scripts need
/// less than 20 KiB.
const MOST: usize = 700 << 10;

/// The key of the lines in a `ConfigMap`, and the name of the volume in the pods.
pub const KEY: &str = "points";

/// The folder in a pod with the lines in the files `0`, `1`, and so on, and the scripts.
pub const FOLDER: &str = "/mrunner/points";

/// The lines of all points, in files of the same number of lines, and the scripts that read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PointFiles {
    files: Vec<String>,
    per_file: usize,
    /// The text of each script by its name. Empty if the pods hold the scripts, as in sweeps of earlier versions.
    #[serde(default)]
    scripts: BTreeMap<String, String>,
}

/// Returns the line of a point: the numbers of the command's words, with the point's own `words` before the word `at`,
/// and its parameters as JSON. The shell of the pod evaluates it, with a line feed in the variable `n`.
pub fn line(command: usize, at: usize, words: &[String], params: &Value) -> String {
    let numbered = |from: usize, to: usize| (from..to).map(|i| format!("\"${{{}}}\"", i + 1));
    let own = words.iter().map(|word| quoted(word));
    let all: Vec<String> = numbered(0, at).chain(own).chain(numbered(at, command)).collect();
    format!("set -- {}; MRUNNER_PARAMS={}", all.join(" "), quoted(&params.to_string()))
}

/// Returns `text` in single quotes, with `$n` for each line feed.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''").replace('\n', r#"'"$n"'"#))
}

impl PointFiles {
    /// Distributes the lines over as few files as possible.
    ///
    /// # Errors
    /// If a line is larger than a file can be.
    pub fn new(lines: &[String]) -> Result<Self, Fail> {
        if let Some((index, line)) = lines.iter().enumerate().find(|(_, line)| line.len() >= MOST) {
            return Err(usage(format!(
                "the parameters of point {index} take {} KiB, and a ConfigMap has room for {} KiB of them",
                line.len() >> 10,
                MOST >> 10
            ))
            .hint("put large values into files of the folder, and sweep over the files' names"));
        }
        let total: usize = lines.iter().map(|line| line.len() + 1).sum();
        let mut count = total.div_ceil(MOST).max(1);
        loop {
            let per_file = lines.len().div_ceil(count).max(1);
            let files: Vec<String> = lines.chunks(per_file).map(|chunk| chunk.join("\n") + "\n").collect();
            if per_file == 1 || files.iter().all(|file| file.len() <= MOST) {
                return Ok(Self { files, per_file, scripts: BTreeMap::new() });
            }
            count += 1;
        }
    }

    /// Adds the scripts that the pods run.
    #[must_use]
    pub fn with_scripts(self, scripts: BTreeMap<String, String>) -> Self {
        Self { scripts, ..self }
    }

    /// Reads the `ConfigMap`s of these names from objects of a cluster. Returns `None` if one is missing.
    pub fn stored(names: &[&str], maps: &[Value]) -> Option<Self> {
        let data = |name: &&str| maps.iter().find(|map| map["metadata"]["name"] == **name).map(|map| &map["data"]);
        let all: Vec<&Value> = names.iter().map(data).collect::<Option<_>>()?;
        let files: Vec<String> = all.iter().map(|data| data[KEY].as_str().map(str::to_owned)).collect::<Option<_>>()?;
        let per_file = files.first()?.split_terminator('\n').count();
        let scripts = all[0].as_object()?.iter().filter(|(key, _)| *key != KEY);
        let scripts = scripts.filter_map(|(key, text)| Some((key.clone(), text.as_str()?.to_owned()))).collect();
        Some(Self { files, per_file, scripts })
    }

    /// Returns the lines in the order of the points.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.files.iter().flat_map(|file| file.split_terminator('\n'))
    }

    /// Returns the scripts by their names.
    pub fn scripts(&self) -> &BTreeMap<String, String> {
        &self.scripts
    }

    /// Returns the number of lines of each file but the last.
    pub fn per_file(&self) -> usize {
        self.per_file
    }

    /// Returns the sha256 of all lines and of the names and texts of the scripts.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        self.files.iter().for_each(|file| hash.update(file));
        // lines and scripts have no byte 0, so it separates them
        self.scripts.iter().flat_map(|(name, text)| ["\0", name, "\0", text]).for_each(|part| hash.update(part));
        HEXLOWER.encode(&hash.finalize())
    }

    /// Returns the names of the `ConfigMap`s of a run.
    pub fn names(&self, run: &RunName) -> Vec<String> {
        (0..self.files.len()).map(|number| name(run, number)).collect()
    }

    /// Whether these objects of a cluster are the `ConfigMap`s of the run: the same lines and scripts, and immutable. Other
    /// users may have created them first, and the pods run what they contain.
    pub fn are_in(&self, run: &RunName, maps: &[Value]) -> bool {
        let is = |map: &Value, name: &str| map["metadata"]["name"] == name && map["immutable"] == true;
        let holds = |name: &str, data: &Value| maps.iter().any(|map| is(map, name) && map["data"] == *data);
        self.names(run).iter().enumerate().all(|(number, name)| holds(name, &self.data(number)))
    }

    /// Returns the data of the `ConfigMap` with this number.
    fn data(&self, number: usize) -> Value {
        let mut data = json!({ KEY: self.files[number] });
        for (name, text) in self.scripts.iter().filter(|_| number == 0) {
            data[name] = text.as_str().into();
        }
        data
    }

    /// Returns the volume of a pod for [`FOLDER`].
    pub fn volume(&self, run: &RunName) -> Value {
        let source = |number: usize| {
            let lines = json!({ "key": KEY, "path": number.to_string() });
            let scripts = self.scripts.keys().filter(|_| number == 0).map(|name| json!({ "key": name, "path": name }));
            let items: Vec<Value> = std::iter::once(lines).chain(scripts).collect();
            json!({ "configMap": { "name": name(run, number), "items": items } })
        };
        json!({ "name": KEY, "projected": { "sources": (0..self.files.len()).map(source).collect::<Vec<_>>() } })
    }

    /// Returns the `ConfigMap`s of a run. The Job with this uid owns them.
    pub fn manifest(&self, run: &RunName, namespace: &Namespace, project: &str, uid: &str) -> Value {
        let one = |number: usize| {
            json!({
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": name(run, number),
                    "namespace": namespace.as_str(),
                    "labels": { MANAGED_BY: "mrunner", PROJECT: label_value(project), RUN: run.as_str() },
                    "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": run.as_str(), "uid": uid }],
                },
                // a submitted run does not change, and the kubelets need not watch it
                "immutable": true,
                "data": self.data(number),
            })
        };
        let items: Vec<Value> = (0..self.files.len()).map(one).collect();
        json!({ "apiVersion": "v1", "kind": "List", "items": items })
    }
}

fn name(run: &RunName, number: usize) -> String {
    format!("{run}-points-{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell makes of a line: the words, and the parameters.
    fn evaluated(shell: &str, command: &[&str], line: &str) -> Vec<String> {
        let script = "n='\n'; eval \"$0\"; printf '%s\\0' \"$@\" \"$MRUNNER_PARAMS\"";
        let output = std::process::Command::new(shell).args(["-c", script, line]).args(command).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        text.split_terminator('\0').map(str::to_owned).collect()
    }

    #[test]
    fn a_line_gives_back_every_byte() {
        let values = [
            "",
            "a b",
            "it's",
            "\n",
            "a\n\nb\n",
            "$(id) `id` $HOME ${1}",
            "\\n\\",
            "\"",
            "*",
            "é\u{1b}\r\t",
            "--",
            "'\"'\n'",
        ];
        let words: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        let params = json!({ "x": values });
        for shell in ["sh", "bash"] {
            let command: Vec<&str> = "a b c d e f g h i j k l".split(' ').collect();
            let told = evaluated(shell, &command, &line(command.len(), 2, &words, &params));
            let mut expected = vec!["a", "b"];
            expected.extend(values);
            expected.extend(&command[2..]);
            assert_eq!(told[..told.len() - 1], expected);
            assert_eq!(told[told.len() - 1], params.to_string());
        }
        assert!(!line(2, 2, &words, &params).contains('\n'));
    }

    #[test]
    fn files_have_the_same_number_of_lines_and_room() {
        let lines: Vec<String> =
            (0..10_000).map(|i| format!("{i} {}", "x".repeat(if i < 100 { 5000 } else { 300 }))).collect();
        let cut = PointFiles::new(&lines).unwrap();
        assert!(cut.files.len() > 4, "{}", cut.files.len());
        for index in [0, 99, 100, 5000, 9999] {
            let line = cut.files[index / cut.per_file()].lines().nth(index % cut.per_file()).unwrap();
            assert_eq!(line, lines[index]);
        }
        assert!(cut.files.iter().all(|file| file.len() <= MOST));
        assert_eq!(PointFiles::new(&["a".to_owned()]).unwrap().files.len(), 1);
        assert!(
            PointFiles::new(&["a".to_owned(), "b".repeat(1 << 20)])
                .unwrap_err()
                .message
                .starts_with("the parameters of point 1 take 1024 KiB")
        );
    }
}
