//! A canary for a secret: after a run it is in the run's Secret, and nowhere else in the whole system.

use std::fs;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::project::{Project, until};

/// At each call: whether a process has the canary among its arguments, or a file of this machine has it.
const LOOK: &str = r#"
cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\0' ' ' | grep -aF -f "$here/patterns" >>"$here/leaks"
grep -raF -f "$here/patterns" "$here/home" "$here/tmp" >>"$here/leaks"
"#;

/// Whether something of an image, its layers unpacked, has the canary.
const IMAGE: &str = r#"
set -eu
docker pull --quiet "$1" >/dev/null
mkdir "$2/image"
docker image save "$1" | tar -x -C "$2/image"
find "$2/image" -type f >"$2/blobs"
while read -r blob; do
    { gunzip -c "$blob" 2>/dev/null || cat "$blob"; } | grep -acF -f "$2/patterns" | grep -vx 0 >>"$2/leaks" || true
done <"$2/blobs"
docker history --no-trunc "$1" | grep -F -f "$2/patterns" >>"$2/leaks" || true
wc -l <"$2/blobs"
"#;

const EXPERIMENT: &str = "import hashlib, os, six
print(six.__version__, hashlib.sha256(os.environ['CANARY'].encode()).hexdigest())
print(hashlib.sha256(os.environ['OF_A_FILE'].encode()).hexdigest())
";

fn sha256(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(text))
}

/// Base64 as a Secret has it, without what depends on where in a longer text it stands.
fn encoded(project: &Project, text: &str) -> String {
    let output = project.command("sh", &["-c", "printf %s \"$1\" | base64 -w0", "sh", text]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end_matches('=').to_owned()
}

#[test]
fn a_secret_is_in_the_secret_of_its_run_and_nowhere_else() {
    let mut project = Project::new();
    let canary = format!("canary-{} '\"$(X) $$ `id` \\ é", project.namespace);
    let in_file = format!("canary-{}-in-a-file", project.namespace);
    let plain = format!("canary-{}", project.namespace);
    let (first, second) = (encoded(&project, &canary), encoded(&project, &in_file));
    // a base64 text that is cut to whole groups is found in any longer one that begins alike
    project.write(
        "patterns",
        &format!("{plain}\n{}\n{}\n", &first[..first.len() / 4 * 4], &second[..second.len() / 4 * 4]),
    );
    project.write("folder/of.env", &format!("OF_A_FILE={in_file}\n"));
    fs::create_dir(project.path("tmp")).unwrap();
    project.env("TMPDIR", project.path("tmp"));
    project.env("CANARY", &canary);
    // pip takes it out of the environment, and the build fails without it
    project.env("SIX_VERSION", "1.17.0");
    project.write("folder/requirements.txt", &format!("# {}\nsix==${{SIX_VERSION}}\n", project.namespace));
    project.new_script(EXPERIMENT);
    for tool in ["docker", "kubectl"] {
        project.fault(tool, LOOK);
    }
    let secrets = ["--secret-env", "CANARY", "--env-file", "of.env", "--build-secret", "CANARY"];
    let args = ["--build-secret", "SIX_VERSION", "--requirements", "requirements.txt", "--wait", "train.py"];
    let ended = project.run(&[&["-v", "10", "run"], &secrets[..], &args].concat()).ok();
    let run = ended.name();
    // it arrives byte for byte
    let logs = project.run(&["logs", &run]).ok();
    assert_eq!(logs.stdout, format!("1.17.0 {}\n{}\n", sha256(&canary), sha256(&in_file)));

    // it is in the Secret, which the Job owns
    let secret =
        project.objects("secrets").into_iter().find(|s| s["metadata"]["labels"]["mrunner/run"] == run).unwrap();
    assert_eq!(secret["metadata"]["ownerReferences"][0]["uid"], project.job()["metadata"]["uid"]);
    assert!(secret["data"]["CANARY"].as_str().unwrap().starts_with(&first));
    // and nowhere else: neither in what was said and asked, also in kubectl's log, nor in what is left
    let is_clean = |what: &str, text: &str| {
        assert!(!text.is_empty(), "nothing was looked at of {what}");
        for pattern in project.read("patterns").lines() {
            assert!(!text.contains(pattern), "{what}: {text}");
        }
    };
    is_clean("the output", &ended.stderr);
    assert!(ended.stderr.contains("Response Body"), "kubectl does not log what it is told to");
    is_clean("docker's calls", &project.read("docker.calls"));
    is_clean("kubectl's calls", &project.read("kubectl.calls"));
    is_clean("the objects", &project.kubectl(&["get", "jobs,pods,configmaps,pvc,events,sa", "-o", "yaml"]));
    is_clean("the Job", &project.run(&["describe", &run]).ok().stdout);
    let image = project.job()["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let here = project.path("").display().to_string();
    let saved = project.command("sh", &["-c", IMAGE, "sh", &image, here.trim_end_matches('/')]).output().unwrap();
    assert!(saved.status.success(), "{}", String::from_utf8_lossy(&saved.stderr));
    let blobs: usize = String::from_utf8(saved.stdout).unwrap().trim().parse().unwrap();
    assert!(blobs > 4, "an image of {blobs} files");
    assert_eq!(project.read("leaks"), "");

    // it goes with the run
    for tool in ["docker", "kubectl"] {
        project.mend(tool);
    }
    project.run(&["delete", &run]).ok();
    let is_left = |secret: &Value| secret["metadata"]["labels"]["mrunner/run"] == run;
    assert!(until(|| (!project.objects("secrets").iter().any(is_left)).then_some(())).is_some());
}
