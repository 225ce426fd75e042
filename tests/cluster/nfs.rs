//! NFS for real: a server in the cluster, made by `storage setup --nfs-server`, and one outside it.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::PathBuf;
use std::sync::OnceLock;

use mrunner::k8s::names::Namespace;
use mrunner::storage::nfs_server::create_folder;
use mrunner::tools::kubectl::Kubectl;
use serde_json::{Value, json};

use crate::project::{Project, admin, program, until};

/// Appends lines to 20 files from 20 processes, each on the disk before the next one, and says how far it is.
const WRITERS: &str = "import os, subprocess, sys
writer = '''
import os, sys
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for line in range(int(sys.argv[2])):
    os.write(file, b'line %d\\\\n' % line)
    os.fsync(file)
    if sys.argv[3] == '0' and line % 50 == 0: print('at', line, flush=True)
'''
here, lines = os.environ['MRUNNER_OUTPUT'], sys.argv[1]
writers = [subprocess.Popen([sys.executable, '-c', writer, f'{here}/{i}', lines, str(i)]) for i in range(20)]
assert not any([w.wait() for w in writers])
for i in range(20):
    text = open(f'{here}/{i}').read()
    assert text == ''.join(f'line {n}\\n' for n in range(int(lines))), f'{i}: {text[-200:]}'
print('whole')";

/// The server in the cluster, made once for all tests: its address and its image.
fn server() -> &'static (String, String) {
    static SERVER: OnceLock<(String, String)> = OnceLock::new();
    SERVER.get_or_init(|| {
        let somebody = Project::unmade();
        somebody.context("default_pvc_size: 1Gi");
        let made = somebody.run(&["storage", "setup", "--nfs-server", "--base-image", "python:3"]).ok();
        let image = admin(&[
            "get",
            "deployment",
            "nfs-server",
            "-n",
            "mrunner-nfs",
            "-o",
            "jsonpath={.spec.template.spec.containers[0].image}",
        ]);
        (made.stdout.trim().to_owned(), image)
    })
}

/// A project whose claim `mine` is a folder of an NFS server.
fn project_on(server: &str, path: &str) -> Project {
    let project = Project::new();
    project.context("storage_claim: mine");
    let common = |kind: &str, spec: Value| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": if kind == "PersistentVolume" { &*project.namespace } else { "mine" }}, "spec": spec});
    project.create(&common(
        "PersistentVolume",
        json!({
            "accessModes": ["ReadWriteMany"], "capacity": {"storage": "1Gi"}, "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "", "mountOptions": ["nfsvers=4.1", "hard"], "nfs": {"server": server, "path": path},
            "claimRef": {"namespace": project.namespace, "name": "mine"},
        }),
    ));
    project.create(&common(
        "PersistentVolumeClaim",
        json!({
            "accessModes": ["ReadWriteMany"], "storageClassName": "", "volumeName": project.namespace,
            "resources": {"requests": {"storage": "1Gi"}},
        }),
    ));
    project
}

/// The same, on the server in the cluster, in a folder that mrunner's own command makes.
fn project_in_cluster() -> Project {
    let name = Project::unmade().namespace.clone();
    let kubectl = Kubectl { program: "kubectl".into(), flags: Vec::new() };
    let (server, _) = server();
    let cmd = create_folder(&kubectl, &Namespace::of_project(&name), (1000, 1000)).to_string();
    for _ in 0..2 {
        assert!(program("sh").args(["-c", &cmd]).status().unwrap().success(), "{cmd}");
    }
    project_on(server, &format!("/{name}"))
}

/// A server outside the cluster: a container with a folder of this machine, as long as this lives.
struct Outside {
    container: String,
    folder: tempfile::TempDir,
}

fn docker(args: &[&str]) -> String {
    let output = program("docker").args(args).output().unwrap();
    assert!(output.status.success(), "docker {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Outside {
    /// With ganesha's word for what it makes of root.
    fn new(squash: &str) -> Self {
        let (_, image) = server();
        let folder = tempfile::TempDir::new().unwrap();
        fs::create_dir(folder.path().join("exports")).unwrap();
        let conf = include_str!("../../templates/nfs-server/ganesha.conf").replace("No_Root_Squash", squash);
        fs::write(folder.path().join("ganesha.conf"), conf).unwrap();
        let mount = |from: &str, to: &str| format!("{}:{to}", folder.path().join(from).display());
        let (exports, conf) = (mount("exports", "/exports"), mount("ganesha.conf", "/opt/mrunner/ganesha.conf"));
        let rights = ["--cap-add", "DAC_READ_SEARCH", "--security-opt", "seccomp=unconfined"];
        let container = docker(&[&["run", "-d", "-v", &exports, "-v", &conf], &rights[..], &[image]].concat());
        let outside = Self { container, folder };
        let ready = ["exec", &outside.container, "bash", "/opt/mrunner/ready"];
        until(|| program("docker").args(ready).output().unwrap().status.success().then_some(())).unwrap();
        outside
    }

    fn address(&self) -> String {
        docker(&["inspect", "-f", "{{.NetworkSettings.IPAddress}}", &self.container])
    }

    fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join("exports").join(below)
    }

    /// A project in a folder of it that user 1000 owns.
    fn project(&self) -> Project {
        fs::create_dir(self.path("lab")).unwrap();
        chown(self.path("lab"), Some(1000), Some(1000)).unwrap();
        project_on(&self.address(), "/lab")
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        program("docker").args(["rm", "-f", &self.container]).output().ok();
    }
}

#[test]
fn results_are_on_a_server_outside_whoever_root_is_there() {
    for squash in ["No_Root_Squash", "Root_Squash"] {
        let outside = Outside::new(squash);
        let project = outside.project();
        project.script("import os; open(os.environ['MRUNNER_OUTPUT'] + '/result', 'w').write('42'); print('done')");
        let run = project.run(&["run", "--wait", "train.py"]).ok().name();
        let result = outside.path(&format!("lab/{run}/0/result"));
        assert_eq!(fs::read_to_string(&result).unwrap(), "42");
        assert_eq!(fs::metadata(&result).unwrap().uid(), 1000);
        project.kubectl(&["delete", "job", &run]);
        assert_eq!(project.run(&["logs", &run]).ok().stdout, "done\n");
    }
}

#[test]
fn a_folder_that_the_user_may_not_write_in_is_told() {
    let outside = Outside::new("Root_Squash");
    fs::create_dir(outside.path("lab")).unwrap();
    let project = project_on(&outside.address(), "/lab");
    let followed = project.run(&["run", "--follow", "train.py"]);
    assert_eq!(followed.code, 3, "{followed}");
    assert!(followed.stdout.contains("mrunner: cannot make the folder /storage/train-"), "{followed}");
}

#[test]
fn a_run_uses_the_server_in_the_cluster_from_any_node() {
    let project = project_in_cluster();
    let nodes = |node: &str| {
        project.context(&format!("storage_claim: mine\nnode_selector: {{kubernetes.io/hostname: {node}}}"));
    };
    nodes("node1");
    project.script("import os; open(os.environ['STORAGE_DIR'] + '/mark', 'w').write('from node1\\n')");
    project.run(&["run", "--wait", "train.py"]).ok();
    nodes("node2");
    assert_eq!(project.left("mark"), "from node1\n");
    // nobody can take the server away from under it
    let admin = Project::unmade();
    let refused = admin.run(&["storage", "setup", "--remove-nfs-server"]);
    assert_eq!(refused.code, 1, "{refused}");
    refused
        .told("error: the NFS server is in use: ")
        .told(&format!("`mine` in `{0}` (volume `{0}`)", project.namespace));
}

#[test]
fn no_line_is_lost_or_doubled_while_the_server_is_replaced() {
    let project = project_in_cluster();
    project.script(WRITERS);
    let follower = project.start(&["run", "--follow", "train.py", "--", "400"]);
    for at in ["at 50\n", "at 200\n"] {
        follower.prints(at);
        admin(&["delete", "pod", "-n", "mrunner-nfs", "-l", "app.kubernetes.io/name=nfs-server", "--wait=false"]);
    }
    let outcome = follower.end().ok();
    assert!(outcome.stdout.ends_with("\nwhole\n"), "{outcome}");
}

#[test]
fn whoever_asks_while_a_server_is_silent_gets_an_answer() {
    let outside = Outside::new("No_Root_Squash");
    let project = outside.project();
    project.script(
        "import os, time
for i in range(10_000):
    open(os.environ['MRUNNER_OUTPUT'] + '/beat', 'a').write(f'{i}\\n')
    print('beat', i, flush=True)
    time.sleep(0.05)",
    );
    let follower = project.start(&["run", "--follow", "train.py"]);
    follower.prints("beat 3\n");
    let run = project.only_run();
    docker(&["pause", &outside.container]);
    // what asks the cluster alone does not notice
    for words in [&["status"][..], &["status", &run], &["logs", &run], &["doctor"], &["delete", "nothing"]] {
        let outcome = project.run(words);
        assert!(outcome.code >= 0 && outcome.code < 3, "{words:?}: {outcome}");
    }
    // what needs the volume says that it can't be had
    let waiting = project.start(&["run", "--wait", "train.py"]);
    waiting.says("Waiting: its storage can't be mounted: ");
    let listed = project.run(&["ls", &run]);
    assert_eq!(listed.code, 1, "{listed}");
    listed.told("its storage can't be mounted: ");
    docker(&["unpause", &outside.container]);
    // and it goes on as if nothing had been
    let beats = fs::read_to_string(outside.path(&format!("lab/{run}/0/beat"))).unwrap().lines().count();
    follower.prints(&format!("beat {}\n", beats + 20));
    // and what waited for the server begins
    waiting.says("Running on node");
    let runs: Vec<String> = project.objects("jobs").iter().map(|job| job["metadata"]["name"].to_string()).collect();
    let runs: Vec<&str> =
        runs.iter().map(|name| name.trim_matches('"')).filter(|name| name.starts_with("train-")).collect();
    assert_eq!(runs.len(), 2, "{runs:?}");
    project.run(&[&["delete"], &runs[..]].concat()).ok();
    follower.end();
    waiting.end();
    // else their mounts would outlive the server
    assert!(crate::project::until(|| project.objects("pods").is_empty().then_some(())).is_some());
    let text = fs::read_to_string(outside.path(&format!("lab/{run}/0/beat"))).unwrap();
    let whole: String = text.lines().enumerate().map(|(i, _)| format!("{i}\n")).collect::<Vec<_>>().concat();
    assert_eq!(text, whole);
}

#[test]
fn projects_set_up_at_once_have_folders_of_their_own_and_find_them_again() {
    let (address, _) = server();
    let projects = [Project::unmade(), Project::unmade()];
    for project in &projects {
        // no class that is known to share, two nodes: the server is what is left
        project.own_context("default_pvc_size: 1Gi\nprobe_storage: true");
        let name = &project.namespace;
        project.script(&format!("import os; open(os.environ['STORAGE_DIR'] + '/mark', 'w').write('{name}')"));
    }
    // at once
    for run in projects.each_ref().map(|project| project.start(&["run", "--wait", "train.py"])) {
        let outcome = run.end().ok();
        outcome.told("on the cluster's own NFS server").told(": each sees what the other writes");
    }
    for project in &projects {
        let volume = admin(&["get", "pv", &format!("mrunner-{}-storage", project.namespace), "-o", "json"]);
        let volume: Value = serde_json::from_str(&volume).unwrap();
        assert_eq!(volume["spec"]["nfs"], json!({"server": address, "path": format!("/{}", project.namespace)}));
        assert_eq!(volume["spec"]["claimRef"]["namespace"], project.namespace.as_str());
        assert_eq!(project.left("mark").trim_end(), project.namespace);
    }
    let [first, _] = &projects;
    admin(&["delete", "namespace", &first.namespace, "--timeout=60s"]);
    first.script("print('next')");
    let again = first.run(&["run", "--wait", "train.py"]).ok();
    again.told("which holds the project's data and has lost its claim\n");
    assert_eq!(first.left("mark").trim_end(), first.namespace);
    for project in &projects {
        let name = project.namespace.as_str();
        project.run(&["project", "delete", name, "--delete-data", "--confirm", name]).ok().told("data      deleted\n");
    }
}
