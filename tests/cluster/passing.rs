//! Faults that pass: a run that will succeed is never called one that can't start.
//!
//! Each run has one fault of its own, some of them side by side. `MRUNNER_PASSING=40` makes so many runs, with every
//! fault and longer ones.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::admission::Policy;
use crate::project::{Live, Outcome, Project, REGISTRY, until};

/// How long a fault lasts: longer than a run is given that has little hope.
const LASTS: Duration = Duration::from_secs(26);

/// How many runs there are at once.
const AT_ONCE: usize = 8;

#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Nobody listens at the registry's address.
    Refused,
    /// The registry answers with this status.
    Status(&'static str),
    /// The registry hangs up.
    Cut,
    /// The registry takes its time, and meanwhile the pod has a warning of this reason, with these words.
    Warned(&'static str, &'static str),
    /// The quota has no room for the pod.
    Quota,
    /// A webhook for pods is away.
    Webhook,
}

/// Those of an ordinary run. While a registry takes its time, a node pulls nothing else.
const FAULTS: [Fault; 4] = [Fault::Status("503 Service Unavailable"), Fault::Refused, Fault::Quota, Fault::Webhook];

const MORE: [Fault; 7] = [
    Fault::Status("429 Too Many Requests"),
    Fault::Cut,
    Fault::Warned(
        "FailedMount",
        "MountVolume.SetUp failed for volume \"points\" : failed to sync configmap cache: timed out waiting for the condition",
    ),
    Fault::Warned("FailedCreatePodSandBox", "Failed to create pod sandbox: rpc error: code = DeadlineExceeded"),
    Fault::Warned("FailedAttachVolume", "AttachVolume.Attach failed for volume \"pvc-1\" : access denied"),
    Fault::Warned("FailedScheduling", "0/2 nodes are available: 2 Insufficient cpu"),
    Fault::Status("502 Bad Gateway"),
];

/// An address of this machine that no test has used. A port alone comes again one day, and the nodes still have the image
/// that they pulled from it.
fn unused_host() -> Ipv4Addr {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    let [.., a, b, c] = now.to_be_bytes();
    Ipv4Addr::new(127, a.max(1), b, c.clamp(1, 254))
}

/// A registry with a fault that lasts from the first request on, and then as the real one is; its address, how many
/// requests met the fault, and what ends the fault that nobody listens.
fn registry(fault: Fault, lasts: Duration) -> (SocketAddr, Arc<AtomicUsize>, Sender<()>) {
    let listener = TcpListener::bind((unused_host(), 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let ends: Arc<OnceLock<Instant>> = Arc::default();
    let (ends_refusal, end) = mpsc::channel();
    let listener = if matches!(fault, Fault::Refused) { None } else { Some(listener) };
    let met = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&met);
    thread::spawn(move || {
        let listener = listener.unwrap_or_else(|| {
            end.recv().ok();
            until(|| TcpListener::bind(address).ok()).unwrap()
        });
        for near in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            let ends = *ends
                .get_or_init(|| Instant::now() + if matches!(fault, Fault::Refused) { Duration::ZERO } else { lasts });
            thread::spawn(move || serve(near, fault, ends, &count));
        }
    });
    (address, met, ends_refusal)
}

fn serve(mut near: TcpStream, fault: Fault, ends: Instant, met: &AtomicUsize) {
    let left = ends.saturating_duration_since(Instant::now());
    if !left.is_zero() {
        met.fetch_add(1, Ordering::Relaxed);
        match fault {
            Fault::Warned(..) => thread::sleep(left),
            // the request, of which nothing matters
            _ if near.read(&mut [0; 4096]).unwrap_or(0) == 0 => return,
            Fault::Status(status) => {
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                near.write_all(answer.as_bytes()).ok();
                return;
            }
            _ => return,
        }
    }
    let Ok(mut far) = TcpStream::connect(REGISTRY) else { return };
    let (mut answers, mut back) = (far.try_clone().unwrap(), near.try_clone().unwrap());
    thread::spawn(move || std::io::copy(&mut answers, &mut back));
    std::io::copy(&mut near, &mut far).ok();
}

/// A run of `image` with a fault, which it has met.
fn run(image: &str, fault: Fault, flag: &str, lasts: Duration) -> Outcome {
    let project = Project::new();
    let start = |image: &str| -> Live {
        project.start(&["run", flag, "--image", image, "/bin/echo", "--", "started after all"])
    };
    match fault {
        Fault::Quota => {
            project.quota("pods");
            let live = start(image);
            live.says("exceeded quota: none-of-pods");
            thread::sleep(lasts);
            project.kubectl(&["delete", "quota", "none-of-pods"]);
            live.end().told("\nrun       Waiting: ").told("exceeded quota: none-of-pods")
        }
        Fault::Webhook => {
            let away = Policy::away(&project, "", "pods");
            let live = start(image);
            live.says("failed calling webhook");
            thread::sleep(lasts);
            drop(away);
            live.end().told("\nrun       Waiting: ").told("failed calling webhook")
        }
        _ => {
            let (address, met, ends_refusal) = registry(fault, lasts);
            let live = start(&image.replacen(REGISTRY, &address.to_string(), 1));
            if let Fault::Warned(reason, message) = fault {
                warn(&project, reason, message);
            }
            if matches!(fault, Fault::Refused) {
                live.says("connection refused");
                thread::sleep(lasts);
                ends_refusal.send(()).ok();
            }
            let outcome = live.end();
            let refused = matches!(fault, Fault::Refused) && outcome.stderr.contains("connection refused");
            assert!(refused || met.load(Ordering::Relaxed) > 0, "{fault:?} was not met: {outcome}");
            outcome
        }
    }
}

/// Posts a warning about the only pod, once its node has begun with it.
fn warn(project: &Project, reason: &str, message: &str) {
    let begun = |pod: &Value| pod["status"]["containerStatuses"].is_array();
    let pod = until(|| project.objects("pods").into_iter().find(begun)).expect("no pod");
    let meta = &pod["metadata"];
    project.create(&json!({"apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": reason, "message": message,
        "metadata": {"name": format!("{}.posted", meta["name"].as_str().unwrap())}, "count": 1,
        "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "namespace": project.namespace, "uid": meta["uid"]}}));
}

#[test]
fn a_run_that_meets_a_fault_that_passes_succeeds() {
    let all: Option<usize> = std::env::var("MRUNNER_PASSING").ok().map(|number| number.parse().unwrap());
    let project = Project::new();
    project.script("print('started after all')");
    project.run(&["run", "--wait", "train.py"]).ok();
    let image = &project.job()["spec"]["template"]["spec"]["containers"][0]["image"].as_str().unwrap().to_owned();
    let faults: Vec<Fault> = if all.is_some() { FAULTS.into_iter().chain(MORE).collect() } else { FAULTS.to_vec() };
    let one = |number: usize| {
        let (fault, flag) = (faults[number % faults.len()], ["--follow", "--wait"][(number / faults.len()) % 2]);
        let lasts = LASTS + Duration::from_secs(if all.is_some() { number as u64 * 7 % 35 } else { 0 });
        (fault, flag, lasts, run(image, fault, flag, lasts))
    };
    let numbers: Vec<usize> = (0..all.unwrap_or(faults.len())).collect();
    let mut succeeded = 0;
    for some in numbers.chunks(AT_ONCE) {
        thread::scope(|scope| {
            let runs: Vec<_> = some.iter().map(|number| scope.spawn(|| one(*number))).collect();
            for run in runs {
                let (fault, flag, lasts, outcome) = run.join().unwrap();
                let is_told = outcome.stderr.contains("\nrun       ") && outcome.stderr.contains("Succeeded in ");
                assert!(outcome.code == 0 && is_told, "{fault:?} for {lasts:?}, {flag}: {outcome}");
                succeeded += 1;
            }
        });
    }
    eprintln!("{succeeded} runs with a fault that passes: all succeeded, exit code 0");
}
