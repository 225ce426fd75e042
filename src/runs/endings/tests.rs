use super::*;
use crate::k8s::object::with;
use serde_json::{Value, json};

fn ended(name: &str, code: i64, more: Value) -> Value {
    let mut terminated = json!({"exitCode": code, "reason": if code == 0 { "Completed" } else { "Error" }});
    for (key, value) in more.as_object().into_iter().flatten() {
        terminated[key] = value.clone();
    }
    json!({"name": name, "state": {"terminated": terminated}})
}

fn failed(own: Value) -> Value {
    failed_all(&[own])
}

fn failed_all(statuses: &[Value]) -> Value {
    json!({"metadata": {"name": "a-0-x", "namespace": "p"}, "status": {"phase": "Failed", "containerStatuses": statuses}})
}

fn ending_of(pod: &Value) -> Option<Ending> {
    Ending::of(Pod::of(pod))
}

fn words(pod: &Value) -> String {
    ending_of(pod).unwrap().words
}

fn exit(code: i64) -> String {
    words(&failed(ended(CONTAINER, code, json!({}))))
}

#[test]
fn a_signal_has_its_name() {
    assert_eq!(exit(1), "exit code 1");
    assert_eq!(exit(134), "exit code 134: SIGABRT (abort)");
    assert_eq!(exit(135), "exit code 135: SIGBUS (bus error), often for lack of shared memory (`--shm`)");
    assert_eq!(exit(136), "exit code 136: SIGFPE (arithmetic error)");
    assert_eq!(exit(137), "exit code 137: SIGKILL (killed), often for lack of memory (`--mem`)");
    assert_eq!(exit(139), "exit code 139: SIGSEGV (segmentation fault)");
    assert_eq!(exit(143), "exit code 143: SIGTERM (asked to end)");
    assert_eq!(exit(159), "exit code 159: SIGSYS");
    assert_eq!(exit(130), "exit code 130: SIGINT");
    assert_eq!(exit(168), "exit code 168: signal 40");
    for code in [128, 160, 161, 193, 255, 126 + 256] {
        assert_eq!(exit(code), format!("exit code {code}"));
    }
    assert_eq!(exit(126), "exit code 126: a program can't be executed");
    // a program that the experiment may have called
    let said = words(&failed(ended(CONTAINER, 127, json!({"message": "/bin/sh: 1: pyhton: not found\n"}))));
    assert_eq!(said, "exit code 127: a program was not found: /bin/sh: 1: pyhton: not found");
    let said = words(&failed(ended(CONTAINER, 139, json!({"message": "loading\n"}))));
    assert_eq!(said, "exit code 139: SIGSEGV (segmentation fault): loading");
}

#[test]
fn the_last_words_are_what_a_terminal_would_show() {
    let said = |text: &str| said(text).unwrap_or_default();
    assert_eq!(said("Traceback\nValueError: x\n\n"), "ValueError: x");
    let links = "\u{1b}]0;train\u{7}\u{1b}]8;;http://x/\u{1b}\\no \u{1b}(Btoken\u{1b}]8;;\u{1b}\\";
    assert_eq!(said(links), "no token");
    assert_eq!(said("done\u{1b}"), "done");
    assert_eq!(
        said("\u{fffd}\u{fffd}###  | 84/100\rTraining: 85%|###\rTraining: 100%|####| 100/100 [00:01]\r"),
        "Training: 100%|####| 100/100 [00:01]"
    );
    assert_eq!(said("first\r\nsecond\r\n"), "second");
    assert_eq!(said("\u{1b}[32m 10%\u{1b}[0m\r\u{1b}[2K\u{1b}[1;31mERROR\u{1b}[0m no\n\r\n"), "ERROR no");
    assert_eq!(said("\u{fffd}▊| 9/9"), "▊| 9/9");
    assert_eq!(said("1%\u{8}\u{8}2%"), "2%");
    assert_eq!(said("{\"index\":0,\"code\":1}"), "");
    assert_eq!(
        (said("k3v9zq2m4t 4 1 exit 1 - - \n"), said("k3v9zq2m4t 4 1 exit 1 - - \noh")),
        (String::new(), "oh".to_owned())
    );
    assert_eq!(said(&"x".repeat(5000)).chars().count(), 601);
    assert_eq!(said("\r\r\n \n"), "");
    assert_eq!(said("no luck\nabcdefghij 3 1 exit 20 file 8 {}\n"), "no luck");
    assert_eq!(said("{\"index\":0,\"code\":1}\nabcdefghij 3 1 exit 20 - -"), "");
    assert_eq!(said("abcdefghij it ended"), "abcdefghij it ended");
}

#[test]
fn another_container_that_failed_is_named() {
    let pod = failed_all(&[ended("istio-proxy", 5, json!({})), ended(CONTAINER, 0, json!({}))]);
    let ending = ending_of(&pod).unwrap();
    assert_eq!(
        ending.words,
        "container `istio-proxy` failed: exit code 5; the experiment ended with exit code 0, but Kubernetes counts the pod as failed"
    );
    let log = ending.log.unwrap();
    assert_eq!((log.pod.as_str(), log.container.as_str()), ("a-0-x", "istio-proxy"));
    assert_eq!(
        log.add_to(&ending.words, "a\nno xds\n").unwrap(),
        "container `istio-proxy` failed: exit code 5: no xds; the experiment ended with exit code 0, but Kubernetes counts the pod as failed"
    );
    assert_eq!(
        ending.hint.unwrap(),
        "`istio-proxy` is not of mrunner's making; see `kubectl logs -n p a-0-x -c istio-proxy`"
    );
    // the experiment's own failure comes first
    let pod = with(&pod, &["status", "containerStatuses", "1"], ended(CONTAINER, 3, json!({})));
    assert_eq!(words(&pod), "exit code 3");
    let init = json!({"metadata": {"name": "a-0-x"}, "status": {"phase": "Failed",
        "initContainerStatuses": [ended("istio-init", 0, json!({})), ended("istio-validation", 126, json!({"message": "iptables validation failed\n"}))],
        "containerStatuses": [{"name": CONTAINER, "state": {"waiting": {"reason": "PodInitializing"}}}]}});
    assert_eq!(words(&init), "init container `istio-validation` failed: exit code 126: iptables validation failed");
}

#[test]
fn a_sidecar_may_take_the_time_limit() {
    let limited = |statuses: &[Value]| with(&failed_all(statuses), &["status", "reason"], "DeadlineExceeded");
    let own = ended(CONTAINER, 0, json!({}));
    assert_eq!(words(&limited(std::slice::from_ref(&own))), "it ran into its time limit");
    let pod = limited(&[own, ended("istio-proxy", 0, json!({}))]);
    assert_eq!(
        words(&pod),
        "the experiment ended with exit code 0, but container `istio-proxy` kept the pod running into its time limit"
    );
    let pod = with(&pod, &["status", "containerStatuses", "0"], ended(CONTAINER, 143, json!({})));
    assert_eq!(words(&pod), "it ran into its time limit");
    let told = |ends: &[&str]| {
        let lines = ends.iter().map(|end| format!("abcdefghij 0 143 {end} 20 - - \n\n"));
        words(&failed(ended(CONTAINER, 143, json!({"message": lines.collect::<String>()}))))
    };
    assert_eq!(told(&["limit"]), "it ran into its time limit");
    assert_eq!(told(&["limit", "limit"]), "it ran into its time limit");
    assert_eq!(told(&["exit", "limit"]), "a point ran into its time limit");
    assert_eq!(told(&["limit", "told"]), "exit code 143: SIGTERM (asked to end)");
}

const LOW: &str = "The node was low on resource: ephemeral-storage. Threshold quantity: 10Gi, available: 9Gi. Container experiment was using 200Gi, request is 0, has larger consumption of ephemeral-storage. ";

fn evicted(reason: &str, message: &str) -> Value {
    let target = json!([{"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message}]);
    let pod = with(&failed(ended(CONTAINER, 137, json!({}))), &["status", "reason"], "Evicted");
    with(&pod, &["status", "conditions"], target)
}

#[test]
fn an_eviction_is_told_from_one_of_its_own_making() {
    let ending = ending_of(&evicted("TerminationByKubelet", LOW)).unwrap();
    assert_eq!(ending.how, How::UsedUp("ephemeral-storage".to_owned()));
    assert!(
        ending.sentence().starts_with("was evicted: the node was low on resource: ephemeral-storage. Threshold"),
        "{ending:?}"
    );
    assert!(ending.is_free() && ending.hint.is_some());
    let hint = |message: &str| ending_of(&evicted("TerminationByKubelet", message)).unwrap().hint.unwrap();
    assert!(hint(&LOW.replace("ephemeral-storage", "pids")).starts_with("start fewer processes"));
    assert!(hint(&LOW.replace("ephemeral-storage", "memory")).contains("`--mem`"));
    let little = LOW.replace("200Gi", "2Mi");
    assert_eq!(ending_of(&evicted("TerminationByKubelet", &little)).unwrap().how, How::Disrupted(By::Kubelet));
    let other = LOW.replace("Container experiment", "Container istio-proxy");
    assert_eq!(ending_of(&evicted("TerminationByKubelet", &other)).unwrap().how, How::Disrupted(By::Kubelet));
    let preempted = ending_of(&evicted(
        "PreemptionByScheduler",
        "default-scheduler: preempting to accommodate a higher priority pod",
    ))
    .unwrap();
    assert_eq!(
        preempted.sentence(),
        "was preempted: default-scheduler: preempting to accommodate a higher priority pod"
    );
    assert_eq!(
        ending_of(&evicted("EvictionByEvictionAPI", "Eviction API: evicting")).unwrap().sentence(),
        "was evicted: Eviction API: evicting"
    );
}

#[test]
fn an_eviction_for_a_limit_of_its_own_is_a_failure() {
    let said = "Pod ephemeral local storage usage exceeds the total limit of containers 1Gi. ";
    let pod = with(&with(&evicted("", ""), &["status", "conditions"], json!([])), &["status", "message"], said);
    let ending = ending_of(&pod).unwrap();
    let words = "its pod was evicted: Pod ephemeral local storage usage exceeds the total limit of containers 1Gi";
    assert_eq!((ending.words.as_str(), ending.hint.as_deref()), (words, Some(WRITE_LESS)));
    assert!(!ending.is_free());
}

#[test]
fn the_third_time_in_a_row_there_is_no_hope() {
    let low = ending_of(&evicted("TerminationByKubelet", LOW)).unwrap();
    let memory = ending_of(&evicted("TerminationByKubelet", &LOW.replace("ephemeral-storage", "memory"))).unwrap();
    let drained = ending_of(&evicted("EvictionByEvictionAPI", "Eviction API: evicting")).unwrap();
    assert_eq!(used_up(&[low.clone(), low.clone()]), None);
    assert_eq!(used_up(&[low.clone(), low.clone(), low.clone()]), Some(&low));
    assert_eq!(used_up(&[low.clone(), low.clone(), memory, low.clone()]), None);
    assert_eq!(used_up(&[drained.clone(), drained.clone(), drained]), None);
}

#[test]
fn a_pod_says_why_it_failed() {
    assert!(words(&failed(ended(CONTAINER, 137, json!({"reason": "OOMKilled"})))).contains("memory"));
    let deadline = json!({"status": {"phase": "Failed", "reason": "DeadlineExceeded"}});
    assert_eq!(words(&deadline), "it ran into its time limit");
    let admitted =
        json!({"status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": "Allocate failed"}});
    assert_eq!(words(&admitted), "UnexpectedAdmissionError: Allocate failed");
    let platform =
        ending_of(&failed(ended(CONTAINER, 1, json!({"message": "exec /bin/sh: exec format error"})))).unwrap();
    assert_eq!(platform.words, "exit code 1: exec /bin/sh: exec format error");
    assert!(platform.hint.unwrap().contains("--platform"));
    assert_eq!(ending_of(&json!({"status": {"phase": "Running"}})), None);
}
