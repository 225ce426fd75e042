//! Files from and to a real volume, through a real helper.

use std::fs;
use std::path::Path;

use crate::project::{Live, Outcome, Project, program, until};
use crate::wire::Wire;

/// Leaves large and small files, and prints the sha256 of all of them.
const LEAVES: &str = "import hashlib, os, sys
out = os.environ['MRUNNER_OUTPUT']
os.makedirs(out + '/deep')
for name, size in [('large', int(sys.argv[1])), ('deep/small', 1000), ('deep/empty', 0)]:
    with open(f'{out}/{name}', 'wb') as file:
        while size:
            size -= file.write(os.urandom(min(size, 1 << 20)))
os.symlink('deep/small', out + '/link')
for name in ['deep/empty', 'deep/small', 'large']:
    print(hashlib.sha256(open(f'{out}/{name}', 'rb').read()).hexdigest(), name)";

/// The same lines of what is here.
fn sums(folder: &Path) -> String {
    let files = ["deep/empty", "deep/small", "large"];
    let output = program("sha256sum").args(files).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace("  ", " ")
}

/// A project with a run that has left files of this size; the run, and what it printed.
fn with_results(size: &str) -> (Project, String, String) {
    let project = Project::new();
    project.script(LEAVES);
    let outcome = project.run(&["run", "--follow", "train.py", "--", size]).ok();
    let run = project.only_run();
    (project, run, outcome.stdout)
}

/// That no helper stays.
#[track_caller]
fn assert_no_helper(project: &Project) {
    let helpers = || project.kubectl(&["get", "jobs,pods", "-l", "mrunner/helper", "-o", "name"]);
    assert!(until(|| helpers().is_empty().then_some(())).is_some(), "{}", helpers());
}

#[test]
fn what_a_run_left_comes_here_with_and_without_its_job() {
    let (project, run, printed) = with_results("50000000");
    let outcome = project.run(&["download", &run]).ok();
    assert_eq!(outcome.stdout, format!("{run}\n"));
    assert_eq!(sums(&project.path(&format!("folder/{run}/0"))), printed);
    let link = project.path(&format!("folder/{run}/0/link"));
    assert_eq!(fs::read_link(link).unwrap(), Path::new("deep/small"));
    project.run(&["delete", &run]).ok();
    project.run(&["download", &run]).ok().told("; 3 already present\n");
    project.run(&["download", &format!("{run}/0"), "point"]).ok();
    assert_eq!(sums(&project.path("folder/point")), printed);
    project.run(&["download", &format!("cluster-tests:{run}/0/deep"), "deep"]).ok();
    assert_eq!(
        fs::read(project.path("folder/deep/small")).unwrap(),
        fs::read(project.path("folder/point/deep/small")).unwrap()
    );
    // what nobody asks for is not listed as a run
    assert!(!project.run(&["status"]).stdout.contains("mrunner-helper"));
    assert_no_helper(&project);
}

#[test]
fn a_claim_that_is_in_use_on_one_node_is_reached_there() {
    let project = Project::new();
    project.context("node_selector: {kubernetes.io/hostname: node2}\nstorage_class: standard");
    project.script("import os, time; open(os.environ['MRUNNER_OUTPUT'] + '/mark', 'w').write('here'); print('there', flush=True); time.sleep(600)");
    let live = project.start(&["run", "--follow", "train.py"]);
    live.prints("there\n");
    let run = project.only_run();
    project.run(&["download", &run]).ok();
    assert_eq!(fs::read_to_string(project.path(&format!("folder/{run}/0/mark"))).unwrap(), "here");
    let going = format!("error: the run `{run}` goes on, and writes there\n");
    for path in [run.clone(), format!("cluster-tests:{run}"), format!("cluster-tests:./{run}//0/mark")] {
        project.run(&["rm", "--yes", &path]).told(&going);
    }
    project.run(&["upload", "train.py", &format!("cluster-tests:{run}/0/mark")]).told(&going);
    project.run(&["delete", &run]).ok();
    live.signal("INT");
    live.end();
}

#[test]
fn what_is_sent_is_read_by_a_run_listed_summed_up_and_removed() {
    let (project, _, _) = with_results("1000");
    project.write("folder/data/words.txt", "words");
    project.write("folder/data/deep/more.txt", "more");
    project.run(&["upload", "data", "cluster-tests:sets/data"]).ok().told("sent      2 files, ");
    project.run(&["upload", "data", "cluster-tests:sets/data"]).ok().told("; 2 already present\n");
    assert_eq!(project.left("sets/data/words.txt"), "words\n");
    let listed = project.run(&["ls", "-R", "--no-headers", "cluster-tests:sets"]).ok().stdout;
    assert!(listed.contains("   data/deep/more.txt\n"), "{listed}");
    let sums: serde_json::Value =
        serde_json::from_str(&project.run(&["du", "-o", "json", "cluster-tests:sets"]).ok().stdout).unwrap();
    assert_eq!((&sums["bytes"], &sums["files"]), (&9.into(), &2.into()));
    project.run(&["rm", "--yes", "cluster-tests:sets/data/deep"]).ok();
    let listed = project.run(&["ls", "-R", "--no-headers", "cluster-tests:sets"]).ok().stdout;
    assert!(!listed.contains("deep") && listed.contains("data/words.txt\n"), "{listed}");
    let gone = project.run(&["ls", "cluster-tests:sets/data/deep"]);
    gone.told("error: there is no `cluster-tests:sets/data/deep` in the storage (claim `storage-cluster-tests`)\n");
    assert_no_helper(&project);
}

#[test]
fn nothing_is_written_where_the_volume_is_mounted_for_reading() {
    let (project, run, _) = with_results("1000");
    // the helper stays as long as its client, which hangs here
    project.fault("kubectl", r#"case "$*" in *port-forward*) touch "$here/forward"; exec sleep 100 ;; esac"#);
    let live = project.start(&["ls", &run]);
    assert!(until(|| project.path("forward").exists().then_some(())).is_some());
    let pod = project.kubectl(&["get", "pods", "-l", "mrunner/helper", "-o", "name"]);
    let write = ["-n", &project.namespace, "exec", pod.trim(), "--", "touch", "/storage/x"];
    let refused = program("kubectl").args(write).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Read-only file system"), "{refused:?}");
    live.signal("INT");
    assert_eq!(live.end().code, 130);
    project.mend("kubectl");
    assert_no_helper(&project);
}

#[test]
fn what_the_user_may_not_read_is_told() {
    let project = Project::new();
    project.script("import os\nout = os.environ['MRUNNER_OUTPUT']\nfor name in 'ab':\n    open(f'{out}/{name}', 'w').write(name)\nos.chmod(out + '/a', 0)");
    let run = project.run(&["run", "--wait", "train.py"]).ok().name();
    let outcome = project.run(&["download", &run]);
    let told = format!("warning: `{run}/0/a`: Permission denied\n");
    assert_eq!(outcome.told(&told).code, 1);
    assert_eq!(fs::read_to_string(project.path(&format!("folder/{run}/0/b"))).unwrap(), "b");
}

/// A transfer is slow after this many bytes, until the fault is made.
const BEGINNING: usize = 4_000_000;

/// Downloads a large file, makes `fault` long before the end, and expects every byte.
#[track_caller]
fn in_spite_of(fault: impl FnOnce(&Project, &Wire, &Live)) -> (Project, Outcome) {
    let (project, run, printed) = with_results("150000000");
    let wire = Wire::before(&project);
    wire.slow_down(BEGINNING);
    let live = project.start(&["download", &run]);
    let parts = project.path(&format!("folder/{run}/.mrunner-part"));
    let size = |entry: &fs::DirEntry| entry.metadata().map_or(0, |part| part.len());
    let begun = || fs::read_dir(&parts).ok()?.flatten().any(|part| size(&part) > 1_000_000).then_some(());
    assert!(until(begun).is_some(), "it does not begin");
    fault(&project, &wire, &live);
    wire.speed_up();
    let outcome = live.end().ok();
    assert_eq!(sums(&project.path(&format!("folder/{run}/0"))), printed);
    assert_no_helper(&project);
    (project, outcome)
}

#[test]
fn a_port_forward_that_is_killed_is_started_anew() {
    let (_, outcome) = in_spite_of(|project, _, _| {
        // its own, by the namespace that only it has
        let pattern = format!("{}.*port-forward", project.namespace);
        let found = program("pgrep").args(["-f", &pattern]).output().unwrap();
        let pids = String::from_utf8(found.stdout).unwrap();
        assert!(pids.lines().count() > 0, "no port-forward is there");
        pids.lines().for_each(|pid| {
            program("kill").args(["-9", pid]).status().unwrap();
        });
    });
    outcome.told(" reconnect");
}

#[test]
fn an_api_server_that_goes_away_is_waited_for() {
    let (_, outcome) = in_spite_of(|_, wire, live| {
        wire.cut();
        // told at the second attempt in vain, and each takes kubectl its time
        live.says("helper    trying again: ");
        wire.mend();
    });
    outcome.told(" reconnect");
}

#[test]
fn a_pod_that_is_gone_is_replaced() {
    in_spite_of(|project, _, live| {
        project.kubectl(&["delete", "pods", "-l", "mrunner/helper", "--grace-period=0", "--force"]);
        // its container may end only some seconds after its object is gone
        live.says("helper    the pod is gone; creating another one\n");
    });
}

#[test]
fn an_image_without_python_is_told() {
    let (project, run, _) = with_results("10");
    // the image of each pod's sandbox, which tests/cluster/cluster makes: there is one program in it
    let pause = "localhost/pause:2";
    let outcome = project.run(&["ls", "--image", pause, &run]);
    let told = format!("error: the image `{pause}` has no `python3`, which reaches the storage\n");
    outcome.told(&told).fails(1, "hint: name one that has it with `--image IMAGE`, such as `--image python:3`\n");
    assert_no_helper(&project);
}
