//! Logs, whole and in order, whatever happens to the stream.

use crate::project::Project;
use crate::wire::Wire;

/// As many lines as are asked for, over some seconds, so that the stream is live when it is cut on a busy machine, too.
const TALKER: &str = "import sys, time
for i in range(int(sys.argv[1])):
    print('line', i, 'x' * (i % 50), flush=True)
    time.sleep(0.004)";

fn lines(count: usize) -> String {
    (0..count).map(|i| format!("line {i} {}\n", "x".repeat(i % 50))).collect::<Vec<_>>().concat()
}

/// Follows 2,000 lines through `fault`, which disturbs the first three streams.
#[track_caller]
fn every_line_once(fault: &str) {
    let project = Project::new();
    project.script(TALKER);
    let counted = r#"case "$*" in *'/log?'*) n=$(grep -c '/log?' "$here/kubectl.calls")
        if [ "$n" -le 3 ]; then"#;
    project.fault("kubectl", &format!("{counted} {fault}; fi ;; esac"));
    let run = project.run(&["run", "train.py", "--", "2000"]).ok().name();
    let followed = project.run(&["logs", "-f", &run]).ok();
    assert!(followed.stdout == lines(2000), "{followed}");
    assert!(project.calls("kubectl", "/log?").len() > 3);
    assert!(project.run(&["logs", &run]).ok().stdout == lines(2000));
}

#[test]
fn a_stream_that_ends_is_taken_up_again() {
    every_line_once(r#""$tool" "$@" | head -n $((n * 400)); exit 0"#);
}

#[test]
fn a_stream_that_is_cut_within_a_line_is_taken_up_again() {
    every_line_once(r#""$tool" "$@" | head -c $((n * 20011)); echo "unexpected EOF" >&2; exit 1"#);
}

#[test]
fn an_api_server_that_goes_away_is_waited_for() {
    let project = Project::new();
    let wire = Wire::before(&project);
    project.script(TALKER);
    let follower = project.start(&["run", "--follow", "train.py", "--", "2000"]);
    follower.prints("\nline 300 ");
    wire.cut();
    follower.says("the cluster does not answer, trying again: ");
    wire.mend();
    let outcome = follower.end().ok().told("Succeeded in ");
    assert!(outcome.stdout == lines(2000), "{outcome}");
}

#[test]
fn long_lines_and_a_last_one_without_its_end() {
    let project = Project::new();
    // a container runtime stores a line in pieces of 16 KiB
    project.script(
        "print('x' * 100_000 + '|'); print('  spaces  '); print(); print('é\\ttab\\rback'); print('end', end='')",
    );
    let outcome = project.run(&["run", "--follow", "train.py"]).ok();
    let expected = format!("{}|\n  spaces  \n\né\ttab\rback\nend\n", "x".repeat(100_000));
    assert!(outcome.stdout == expected, "{outcome}");
}

#[test]
fn an_interrupt_is_heard_however_much_is_printed() {
    let project = Project::new();
    project.script("while True: print('x' * 100)");
    let follower = project.start(&["run", "--follow", "train.py"]);
    follower.prints("\nxxx").signal("INT");
    let run = project.only_run();
    let outcome = follower.end().told(&format!("error: interrupted; the run `{run}` goes on\n"));
    assert_eq!(outcome.code, 130);
    assert!(project.job()["status"]["active"] == 1);
    project.run(&["delete", &run]).ok();
}
