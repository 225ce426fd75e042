//! The helper itself: what its Job is, whom it serves, when it ends, what it refuses.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};
use std::time::Duration;

use mrunner::transfer::protocol::{Frames, Reply, Request, greet};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::world;
use crate::golden::golden;
use crate::support::{World, program, wait_until};

#[test]
fn it_is_small_restricted_and_reads_only() {
    let mut world = world();
    world.write("volume/train-1/a", "a");
    world.write("claim.json", r#"{"metadata": {"name": "storage", "annotations": {"mrunner/project-name": "vision"}}, "spec": {"accessModes": ["ReadWriteOnce"]}}"#);
    // somebody has the volume on a node
    let user = json!({"kind": "Pod", "metadata": {"name": "other"}, "status": {"phase": "Running"}, "spec": {"nodeName": "node2",
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "storage"}}]}});
    world.shows(&[user]);
    let contexts = world.read("home/.config/mrunner/config.yaml");
    world.write(
        "home/.config/mrunner/config.yaml",
        contexts + "    run_as: '1234:5'\n    node_selector: {pool: cpu}\n    service_account: trainer\n    image_pull_secret: login\n    tolerations: [{key: gpu, operator: Exists}]\n",
    );
    world.run(&["download", "vision:train-1", "--image", "r/python:3"]).ok();
    let mut job = world.job();
    crate::golden::known::<k8s_openapi::api::batch::v1::Job>(&job);
    let container = &mut job["spec"]["template"]["spec"]["containers"][0];
    assert!(container["command"][2].as_str().unwrap().starts_with("import errno\n"));
    container["command"][2] = "[PROGRAM]".into();
    for variable in container["env"].as_array_mut().unwrap() {
        if variable["name"] == "MRUNNER_PORT" || variable["name"] == "MRUNNER_TOKEN_SHA256" {
            variable["value"] = "[RANDOM]".into();
        }
    }
    let name = job["metadata"]["name"].as_str().unwrap().to_owned();
    let text = (serde_json::to_string_pretty(&job).unwrap() + "\n").replace(&name, "mrunner-helper-[ID]");
    golden("transfer/helper.json", &text);
}

#[test]
fn an_image_without_python_is_told() {
    let mut world = world();
    world.write("volume/train-1/a", "a");
    let ended = json!({"kind": "Pod", "metadata": {"name": "x"}, "status": {"phase": "Failed", "containerStatuses": [{"name": "helper",
        "state": {"terminated": {"exitCode": 128, "reason": "StartError", "message":
        "failed to create containerd task: OCI runtime create failed: exec: \"python3\": executable file not found in $PATH: unknown"}}}]}});
    world.write("ended.json", ended.to_string());
    world.on("*' get pods -l mrunner/helper'*", r#"cat "$world/ended.json"; exit 0"#);
    let outcome = world.run(&["ls", "--image", "busybox", "train-1"]);
    outcome.fails(1, "error: the image `busybox` has no `python3`, which reaches the storage\nhint: name one that has it with `--image IMAGE`, such as `--image python:3`\n");
    assert_eq!(world.calls_with(" delete jobs ").len(), 1);
    // also while a sidecar goes on
    let mut beside = ended;
    beside["status"]["phase"] = "Running".into();
    let sidecar = json!({"name": "envoy", "state": {"running": {}}});
    beside["status"]["containerStatuses"].as_array_mut().unwrap().insert(0, sidecar);
    world.write("ended.json", beside.to_string());
    let outcome = world.run(&["ls", "--image", "busybox", "train-1"]);
    assert!(outcome.stderr.contains("the image `busybox` has no `python3`"), "{outcome:?}");
}

#[test]
fn a_pod_that_a_limit_range_refuses_asks_for_what_it_allows() {
    let mut world = world();
    world.write("volume/train-1/a", "a");
    world.env("MRUNNER_TEST_PATIENCE", "0.1");
    let event = |message: &str| json!({"kind": "List", "items": [{"type": "Warning", "reason": "FailedCreate", "message": message}]});
    let bound =
        event(r#"Error creating: pods "p" is forbidden: minimum cpu usage per Container is 200m, but request is 100m"#);
    world.write("events.json", bound.to_string());
    let pod = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/pod");
    // the event is there only at the third look, after one that fails
    world.on(
        "*' get events '*",
        r#"n=$(cat "$world/looks" 2>/dev/null || echo 0); echo $((n + 1)) >"$world/looks"
        case $n in 0) exit 1 ;; 1) exit 0 ;; *) cat "$world/events.json"; exit 0 ;; esac"#,
    );
    world.on(
        "*' get pods -l mrunner/helper'*",
        &format!(
            r#"if [ "$(cat "$world/looks" 2>/dev/null || echo 0)" -lt 3 ]; then exit 0; fi; exec {pod} get "$world" "$*""#
        ),
    );
    world.run(&["ls", "train-1"]).ok();
    let job = world.calls_with(" create ").pop().unwrap().json();
    assert_eq!(job["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"], "200m");
    // what does not fit is for the administrator, as no flag changes it
    world.write(
        "events.json",
        event(r#"pods "p" is forbidden: exceeded quota: q, requested: pods=1, used: pods=1, limited: pods=1"#)
            .to_string(),
    );
    world.on("*' get pods -l mrunner/helper'*", "exit 0").env("MRUNNER_TEST_PATIENCE", "0.01");
    let outcome = world.run(&["ls", "train-1"]);
    assert!(
        outcome
            .stderr
            .contains("hint: wait for other runs to end, or ask the namespace's administrator; see `kubectl ")
            && !outcome.stderr.contains("--cpu"),
        "{outcome:?}"
    );
}

#[test]
fn a_helper_that_can_never_start_is_given_up() {
    let mut world = world();
    let waits = json!({"kind": "Pod", "metadata": {"name": "x"}, "status": {"phase": "Pending", "containerStatuses": [{"name": "helper",
        "image": "r/x:1", "state": {"waiting": {"reason": "InvalidImageName", "message": "bad"}}}]}});
    world.write("waits.json", waits.to_string());
    world.on("*' get pods -l mrunner/helper'*", r#"cat "$world/waits.json"; exit 0"#);
    let outcome = world.run(&["ls", "train-1"]);
    outcome.fails(1, "error: the helper that reaches the storage can't start: the image `r/x:1` can't be used: bad\nhint: check the image's name\n");
    assert_eq!(world.calls_with(" delete jobs ").len(), 1);

    let mut world = super::world();
    world.on("*' create '*", "echo 'Error from server (Forbidden): jobs.batch is forbidden' >&2; exit 1");
    let outcome = world.run(&["ls", "train-1"]);
    assert!(
        outcome.code == 1 && outcome.stderr.contains("error: failed to make a pod that reaches the storage\n"),
        "{outcome:?}"
    );
}

#[test]
fn a_claim_that_is_going_or_missing_is_told_before_anything_is_made() {
    let mut world = world();
    world.write(
        "claim.json",
        r#"{"metadata": {"name": "storage", "deletionTimestamp": "2026-11-23T06:00:00Z"}, "spec": {"accessModes": ["ReadWriteMany"]}}"#,
    );
    let going = world.run(&["download", "vision:x"]);
    assert!(
        going.code == 1 && going.stderr.contains("error: the claim `storage` is being deleted (Terminating)"),
        "{going:?}"
    );
    world.on("*' get pvc/storage '*", "exit 0");
    let missing = world.run(&["download", "vision:x"]);
    assert!(
        missing.stderr.contains(
            "error: the project `vision` has no storage: there is no claim `storage` in the namespace `vision`\n"
        ),
        "{missing:?}"
    );
    let unknown = world.run(&["download", "train-9"]);
    assert!(unknown.stderr.contains("no run is called `train-9` in the cluster\n"), "{unknown:?}");
    assert!(
        unknown.stderr.contains("hint: if its Job is gone, name its project with `--project NAME`\n"),
        "{unknown:?}"
    );
    assert!(world.calls_with(" create ").is_empty());
}

/// A helper of its own, without kubectl.
struct Helper {
    child: Child,
    port: u16,
}

const TOKEN: [u8; 32] = [7; 32];

impl Helper {
    fn start(world: &World, idle: &str, writable: bool) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let digest = data_encoding::HEXLOWER.encode(&Sha256::digest(TOKEN));
        let child = program("/usr/bin/python3")
            .args(["-c", include_str!("../../../templates/helper.py")])
            .env("MRUNNER_ROOT", world.path("volume"))
            .env("MRUNNER_PORT", port.to_string())
            .env("MRUNNER_TOKEN_SHA256", digest)
            .env("MRUNNER_WRITABLE", if writable { "1" } else { "0" })
            .env("MRUNNER_IDLE", idle)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        wait_until("the helper", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        Self { child, port }
    }

    fn connect(&self, token: [u8; 32]) -> TcpStream {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        greet(&token, &mut stream).unwrap();
        stream
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

#[test]
fn who_has_not_the_token_hears_nothing() {
    let world = world();
    let helper = Helper::start(&world, "20", false);
    let mut heard = Vec::new();
    helper.connect([8; 32]).read_to_end(&mut heard).ok();
    assert_eq!(heard, b"");
    let mut stream = TcpStream::connect(("127.0.0.1", helper.port)).unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n-----------").unwrap();
    // closed on what it has not read, the connection is reset
    stream.read_to_end(&mut heard).ok();
    assert_eq!(heard, b"");
    let mut frames = Frames::new(helper.connect(TOKEN));
    assert!(matches!(frames.reply().unwrap(), (0, Reply::Welcome { .. })));
}

#[test]
fn it_ends_when_nobody_is_there() {
    let world = world();
    let mut helper = Helper::start(&world, "0.3", false);
    let stream = helper.connect(TOKEN);
    std::thread::sleep(Duration::from_millis(700));
    assert!(helper.child.try_wait().unwrap().is_none(), "it ends though somebody is there");
    drop(stream);
    wait_until("its end", || helper.child.try_wait().unwrap().is_some());
}

#[test]
fn no_path_leads_out_of_the_volume_and_nothing_is_written_by_a_reader() {
    let world = world();
    world.write("secret", "s");
    world.write("volume/a/b", "b");
    symlink("../secret", world.path("volume/link")).unwrap();
    symlink("..", world.path("volume/up")).unwrap();
    let part = [b'a'; 32];
    for writable in [false, true] {
        let helper = Helper::start(&world, "20", writable);
        let mut stream = helper.connect(TOKEN);
        let mut frames = Frames::new(stream.try_clone().unwrap());
        frames.reply().unwrap();
        let mut refused = |request: Request| {
            request.send(1, &mut stream).unwrap();
            matches!(frames.reply().unwrap().1, Reply::Refused { .. })
        };
        let read = |path: &'static str| Request::Read { offset: 0, length: 1, path: path.as_bytes() };
        for path in ["../secret", "link", "up/secret", "a/../../secret", "/etc/passwd", "a", "a/./b", "a//b", "a\0b"] {
            assert!(refused(read(path)), "{path}");
            assert!(
                refused(Request::Remove { path: path.as_bytes() }) || (writable && matches!(path, "link" | "a")),
                "{path}"
            );
            fs::create_dir_all(world.path("volume/a")).unwrap();
            world.write("volume/a/b", "b");
        }
        assert!(!refused(read("a/b")));
        for path in [&b"../x"[..], b"up/x", b"/x"] {
            assert!(refused(Request::MakeFolder { mode: 0o755, path }), "{path:?}");
            assert!(refused(Request::MakeLink { target: b"y", path }));
            assert!(refused(Request::Finish { size: 0, mtime: 0, mode: 0o644, part: &part, path }));
        }
        assert!(refused(Request::Put { offset: 0, part: b"../../../../../../../tmp/aaaaaa/", bytes: b"x" }));
        assert_eq!(refused(Request::Put { offset: 0, part: &part, bytes: b"x" }), !writable);
        assert!(world.path("secret").exists() && world.path("volume/a/b").exists());
    }
}

#[test]
fn a_part_that_somebody_planted_is_made_anew_and_never_followed() {
    let world = world();
    let (secret, part) = (world.path("secret"), [b'a'; 32]);
    let own = world.path("volume/.mrunner/upload/").join("a".repeat(32));
    fs::create_dir_all(own.parent().unwrap()).unwrap();
    let planted: [&dyn Fn(&std::path::Path); 7] = [
        &|at| symlink("../../../secret", at).unwrap(),
        &|at| symlink("../../../nowhere", at).unwrap(),
        &|at| symlink("../../..", at).unwrap(),
        &|at| fs::hard_link(&secret, at).unwrap(),
        &|at| assert!(program("mkfifo").arg(at).status().unwrap().success()),
        &|at| drop(std::os::unix::net::UnixListener::bind(at).unwrap()),
        &|at| {
            fs::create_dir(at).unwrap();
            symlink("../../../..", at.join("out")).unwrap();
            fs::create_dir(at.join("deeper")).unwrap();
        },
    ];
    world.write("secret", "precious");
    let helper = Helper::start(&world, "20", true);
    let mut stream = helper.connect(TOKEN);
    let mut frames = Frames::new(stream.try_clone().unwrap());
    frames.reply().unwrap();
    let mut order = |request: Request| {
        request.send(1, &mut stream).unwrap();
        matches!(frames.reply().unwrap().1, Reply::Done { .. })
    };
    for (number, plant) in planted.iter().enumerate() {
        plant(&own);
        assert!(order(Request::Put { offset: 0, part: &part, bytes: b"mine" }), "{number}");
        let path = format!("data/{number}");
        assert!(order(Request::Finish { size: 4, mtime: 0, mode: 0o644, part: &part, path: path.as_bytes() }));
        let there = world.path("volume").join(&path);
        assert!(there.symlink_metadata().unwrap().is_file() && fs::read(there).unwrap() == b"mine", "{number}");
        assert_eq!(world.read("secret"), "precious", "{number}");
        assert!(!world.path("nowhere").exists());
    }
    // the folder of the parts itself: this connection has it open, the next one has not
    fs::remove_dir_all(world.path("volume/.mrunner/upload")).unwrap();
    fs::create_dir(world.path("outside")).unwrap();
    symlink("../../outside", world.path("volume/.mrunner/upload")).unwrap();
    let mut stream = helper.connect(TOKEN);
    let mut frames = Frames::new(stream.try_clone().unwrap());
    frames.reply().unwrap();
    Request::Put { offset: 0, part: &part, bytes: b"mine" }.send(1, &mut stream).unwrap();
    assert!(matches!(frames.reply().unwrap().1, Reply::Done { .. }));
    assert_eq!(fs::read_dir(world.path("outside")).unwrap().count(), 0);
    assert!(world.path("volume/.mrunner/upload").symlink_metadata().unwrap().is_dir());
}
