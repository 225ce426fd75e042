//! The Job of a run: Indexed, also for a single point, so that there is one shape to know.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::k8s::manifests::failure::Failure;
use crate::k8s::manifests::pod_metadata::PodMetadata;
use crate::k8s::manifests::points::{self, Lines};
use crate::k8s::manifests::{
    CONFIG, CONTAINER, GIT_COMMIT, IMAGE, MANAGED_BY, POINTS, POINTS_HASH, POINTS_PER_POD, PROJECT, QUEUE,
    RAW_EXPERIMENT, RAW_PROJECT, RAW_TAGS, RUN, RUN_ID, SPEC_HASH, VERSION, secret_env, tag_label,
};
use crate::k8s::names::{ClaimName, Namespace, RunId, RunName, hex, label_value};
use crate::k8s::quantity::Quantity;

/// A finished run's Job and pods, and with them its logs, stay this long: 7 days.
const KEPT_FOR_SECONDS: u64 = 7 * 24 * 3600;

/// Starts the experiment, and keeps its log and its end on the volume.
const WRAPPER: &str = include_str!("../../../templates/wrapper.sh");

/// Runs several points in a pod, one after the other.
const PACK: &str = include_str!("../../../templates/pack.sh");

/// What both begin with.
const AWAIT: &str = include_str!("../../../templates/await.sh");

/// What the cluster keeps of a container's last message.
const MESSAGE: u32 = 4096;

/// The variable with what `run.json` will say of the run, see [`crate::runs::archive`].
pub(crate) const RECORD: &str = "MRUNNER_RECORD";

/// The variable with the word that the lines of reports begin with, see [`crate::runs::results::report`].
pub(crate) const MARK: &str = "MRUNNER_MARK";

/// The variable with how many lines each file of a sweep has.
pub(crate) const LINES: &str = "MRUNNER_LINES";

/// The variable with how many points there are, where a pod has several.
pub(crate) const COUNT: &str = "MRUNNER_POINTS";

/// All that a Job is made from.
#[derive(Debug, Clone)]
pub struct JobSpec<'a> {
    /// The run's name, which is the Job's.
    pub run: &'a RunName,
    /// The submission.
    pub id: &'a RunId,
    /// Where it goes.
    pub namespace: &'a Namespace,
    /// The project's raw name.
    pub project: &'a str,
    /// The experiment's raw name.
    pub experiment: &'a str,
    /// Raw tags.
    pub tags: &'a [String],
    /// The image's reference.
    pub image: &'a str,
    /// The program and its arguments, byte for byte.
    pub command: &'a [String],
    /// Variables for it.
    pub env: &'a [(String, String)],
    /// The names of variables that its Secret holds.
    pub secret_env: &'a [String],
    /// Its parameters as JSON, in `$MRUNNER_PARAMS`.
    pub params: &'a Value,
    /// Where the storage is mounted, in `$STORAGE_DIR`.
    pub storage: &'a str,
    /// The claim behind it.
    pub claim: &'a ClaimName,
    /// Limits, such as `cpu` or `nvidia.com/gpu`, to amounts.
    pub limits: &'a [(String, Quantity)],
    /// User and group that it runs as.
    pub run_as: (u32, u32),
    /// Labels that a node must have.
    pub node_selector: &'a [(String, String)],
    /// The nodes that it may run on, as `affinity` stands in a pod.
    pub affinity: Option<&'a Value>,
    /// Taints that it tolerates.
    pub tolerations: &'a [Value],
    /// Labels and annotations of its pods beside mrunner's own.
    pub pod: &'a PodMetadata,
    /// Size of its `/dev/shm`, see [`shm`].
    pub shm: Option<&'a Quantity>,
    /// A queue of Kueue.
    pub queue: Option<&'a str>,
    /// The service account, for image pull secrets or workload identity; no token is mounted.
    pub service_account: Option<&'a str>,
    /// A Secret with the registry's login, for the cluster.
    pub image_pull_secret: Option<&'a str>,
    /// Whether its logs are kept on the volume; `None` where that costs the experiment nothing.
    pub keep_logs: Option<bool>,
    /// How much of the log of one attempt is kept there.
    pub keep_logs_max: Option<&'a Quantity>,
    /// What becomes of a point that fails or takes too long.
    pub failure: &'a Failure,
    /// Its points, where it has several.
    pub sweep: Option<JobSweep<'a>>,
    /// git's commit of the folder.
    pub git_commit: Option<&'a str>,
    /// The resolved configuration, for whoever asks later.
    pub config: &'a Value,
}

/// The points of a run, as its Job needs them.
#[derive(Debug, Clone, Copy)]
pub struct JobSweep<'a> {
    /// How many there are.
    pub points: usize,
    /// How many may run at the same time.
    pub parallel: u32,
    /// How many a pod runs, one after the other.
    pub per_pod: u32,
    /// A line for each, see [`points`].
    pub lines: &'a Lines,
}

/// The Job. One of a sweep or with secret variables is suspended until its points and its Secret are there, see
/// [`release`].
pub fn manifest(spec: &JobSpec) -> Value {
    let mut labels = Map::new();
    labels.insert(MANAGED_BY.into(), "mrunner".into());
    labels.insert(PROJECT.into(), label_value(spec.project).into());
    labels.insert(RUN.into(), spec.run.as_str().into());
    for tag in spec.tags {
        labels.insert(tag_label(tag), "true".into());
    }
    let mut metadata = json!({ "labels": labels });
    spec.pod.add_to(&mut metadata);
    let mut job_labels = labels;
    if let Some(queue) = spec.queue {
        // Kueue suspends a Job that carries it, and lets it go when its turn comes
        job_labels.insert(QUEUE.into(), queue.into());
    }
    let mut annotations = Map::new();
    let mut annotate = |name: &str, value: String| annotations.insert(name.to_owned(), value.into());
    annotate(RUN_ID, spec.id.to_string());
    annotate(RAW_PROJECT, spec.project.to_owned());
    annotate(RAW_EXPERIMENT, spec.experiment.to_owned());
    annotate(RAW_TAGS, json!(spec.tags).to_string());
    annotate(CONFIG, spec.config.to_string());
    annotate(VERSION, env!("CARGO_PKG_VERSION").to_owned());
    if let Some(commit) = spec.git_commit {
        annotate(GIT_COMMIT, commit.to_owned());
    }
    if let Some(sweep) = &spec.sweep {
        annotate(POINTS_HASH, sweep.lines.hash());
        annotate(POINTS, sweep.points.to_string());
        annotate(POINTS_PER_POD, sweep.per_pod.to_string());
    }
    let mut job = json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.run.as_str(),
            "namespace": spec.namespace.as_str(),
            "labels": job_labels,
            "annotations": annotations,
        },
        "spec": {
            "completionMode": "Indexed",
            "completions": 1,
            "parallelism": 1,
            // a new pod only when the old one has gone: never two writers
            "podReplacementPolicy": "Failed",
            "ttlSecondsAfterFinished": KEPT_FOR_SECONDS,
            "template": { "metadata": metadata, "spec": pod(spec) },
        },
    });
    if let Some(sweep) = &spec.sweep {
        let pods = sweep.points.div_ceil(sweep.per_pod as usize);
        job["spec"]["completions"] = pods.into();
        job["spec"]["parallelism"] = sweep.parallel.min(u32::try_from(pods).unwrap_or(u32::MAX)).into();
    }
    if spec.sweep.is_some() || !spec.secret_env.is_empty() {
        job["spec"]["suspend"] = true.into();
    }
    spec.failure.apply(&mut job);
    job["metadata"]["annotations"][SPEC_HASH] = hex(&Sha256::digest(job.to_string())).into();
    job
}

fn pod(spec: &JobSpec) -> Value {
    let (user, group) = spec.run_as;
    let root = user == 0;
    let mut pod = json!({
        "restartPolicy": "Never",
        "automountServiceAccountToken": false,
        // so that the experiment is not process 1: that one ignores each signal that it has no
        // handler for, and a Python script would outlive its deletion or time limit by 30 s
        "shareProcessNamespace": true,
        // what Pod Security `restricted` demands; a context that says `run_as: 0` opts out
        "securityContext": {
            "runAsNonRoot": !root,
            "runAsUser": user,
            "runAsGroup": group,
            "fsGroup": group,
            // else a large volume's files would be changed one by one at each start
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [{
            "name": CONTAINER,
            "image": spec.image,
            "command": wrapped(spec),
            "env": env(spec),
            // the wrapper may write none for a point that failed: the end of its log says why
            "terminationMessagePolicy": "FallbackToLogsOnError",
            "securityContext": {
                "allowPrivilegeEscalation": false,
                "capabilities": { "drop": ["ALL"] },
            },
            "volumeMounts": [{ "name": "storage", "mountPath": spec.storage }],
        }],
        "volumes": [{ "name": "storage", "persistentVolumeClaim": { "claimName": spec.claim.as_str() } }],
    });
    if let Some(sweep) = &spec.sweep {
        let mount = json!({ "name": points::KEY, "mountPath": "/mrunner/points", "readOnly": true });
        pod["containers"][0]["volumeMounts"].as_array_mut().into_iter().for_each(|mounts| mounts.push(mount.clone()));
        let volume = points::volume(spec.run, sweep.lines.files());
        pod["volumes"].as_array_mut().into_iter().for_each(|volumes| volumes.push(volume.clone()));
    }
    if let Some((volume, mount)) = shm(spec.shm) {
        pod["containers"][0]["volumeMounts"].as_array_mut().into_iter().for_each(|mounts| mounts.push(mount.clone()));
        pod["volumes"].as_array_mut().into_iter().for_each(|volumes| volumes.push(volume.clone()));
    }
    if !spec.limits.is_empty() {
        let limits: Map<_, _> = spec.limits.iter().map(|(name, q)| (name.clone(), q.as_str().into())).collect();
        pod["containers"][0]["resources"] = json!({ "limits": limits });
    }
    if !spec.node_selector.is_empty() {
        pod["nodeSelector"] = spec.node_selector.iter().map(|(k, v)| (k.clone(), Value::from(v.as_str()))).collect();
    }
    if let Some(affinity) = spec.affinity {
        pod["affinity"] = affinity.clone();
    }
    if !spec.tolerations.is_empty() {
        pod["tolerations"] = spec.tolerations.to_vec().into();
    }
    if let Some(account) = spec.service_account {
        pod["serviceAccountName"] = account.into();
    }
    if let Some(secret) = spec.image_pull_secret {
        pod["imagePullSecrets"] = json!([{ "name": secret }]);
    }
    if let Some(seconds) = spec.failure.time_limit {
        // of the pod, not of the Job: it counts from the pod's own start. The wrapper ends a point of several
        // itself, and this is for where it can't
        let several = spec.packed().map(|sweep| seconds.saturating_mul(sweep.per_pod.into()).saturating_add(60));
        pod["activeDeadlineSeconds"] = several.unwrap_or(seconds).into();
    }
    pod
}

/// The volume of `/dev/shm` and its mount: memory that counts as the container's own. The container runtime gives
/// 64 MiB, too little for a data loader of several processes. Without a size, the kubelet makes it as large as the
/// pod's memory limit, or the node's memory (kubernetes, `pkg/volume/emptydir`, `calculateEmptyDirMemorySize`).
fn shm(size: Option<&Quantity>) -> Option<(Value, Value)> {
    let mut volume = json!({ "name": "shm", "emptyDir": { "medium": "Memory" } });
    match size {
        Some(size) if size.amount() == 0.0 => return None,
        Some(size) => volume["emptyDir"]["sizeLimit"] = size.as_str().into(),
        None => {}
    }
    Some((volume, json!({ "name": "shm", "mountPath": "/dev/shm" })))
}

impl JobSpec<'_> {
    /// Its points, where a pod has several.
    fn packed(&self) -> Option<JobSweep<'_>> {
        self.sweep.filter(|sweep| sweep.per_pod > 1)
    }
}

/// The wrapper as it is sent: what is said about it stays here.
pub fn wrapper() -> String {
    sent(WRAPPER)
}

/// What runs it for each point of a pod that has several.
pub fn pack() -> String {
    sent(PACK)
}

fn sent(script: &str) -> String {
    let lines = AWAIT.lines().chain(script.lines());
    lines.filter(|line| !line.is_empty() && !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

fn wrapped(spec: &JobSpec) -> Vec<String> {
    let by = |script: String| ["/bin/sh".to_owned(), "-c".to_owned(), script, "mrunner".to_owned()];
    let pack = spec.packed().map(|_| by(pack()));
    let words = pack.into_iter().flatten().chain(by(wrapper())).chain(spec.command.iter().cloned());
    words.map(|word| literal(&word)).collect()
}

fn env(spec: &JobSpec) -> Vec<Value> {
    let field = |name: &str, path: &str| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": path } } });
    let mut env = vec![
        // defined here and not left to the Job controller, as MRUNNER_OUTPUT below refers to it
        field("JOB_COMPLETION_INDEX", "metadata.annotations['batch.kubernetes.io/job-completion-index']"),
        // for the wrapper alone; its name is not the pod's hostname in an Indexed Job
        field("MRUNNER_POD", "metadata.name"),
    ];
    let mut set = |name: &str, value: String| env.push(json!({ "name": name, "value": value }));
    set("STORAGE_DIR", literal(spec.storage));
    set("MRUNNER_RUN", spec.run.to_string());
    set("MRUNNER_OUTPUT", format!("{}/{}/$(JOB_COMPLETION_INDEX)", literal(spec.storage), spec.run));
    set("MRUNNER_PARAMS", literal(&spec.params.to_string()));
    set(MARK, spec.id.mark());
    set("MRUNNER_KEEP_LOGS", spec.keep_logs.map_or("auto", |keep| if keep { "yes" } else { "no" }).to_owned());
    if let Some(most) = spec.keep_logs_max {
        // whole bytes, for the arithmetic of a shell
        set("MRUNNER_KEEP_LOGS_MAX", format!("{:.0}", most.amount()));
    }
    if let Some(sweep) = &spec.sweep {
        set(LINES, sweep.lines.per_file().to_string());
    }
    if let Some(sweep) = spec.packed() {
        set(COUNT, sweep.points.to_string());
        set("MRUNNER_POINTS_PER_POD", sweep.per_pod.to_string());
        set("MRUNNER_ROOM", (MESSAGE / sweep.per_pod).to_string());
        let codes: Vec<String> = spec.failure.no_retry_on.iter().map(u8::to_string).collect();
        set("MRUNNER_NO_RETRY", codes.join(" "));
        set("MRUNNER_LIMIT", spec.failure.time_limit.map_or(String::new(), |seconds| seconds.to_string()));
    }
    set(RECORD, literal(&record(spec).to_string()));
    for (name, value) in spec.env.iter().filter(|(name, _)| !spec.secret_env.contains(name)) {
        set(name, literal(value));
    }
    env.extend(secret_env::references(spec.run.as_str(), spec.secret_env.iter().map(String::as_str)));
    env
}

/// What is said of the run on its volume, for when its Job is gone; nothing secret.
fn record(spec: &JobSpec) -> Value {
    json!({
        "run": spec.run.as_str(),
        "project": spec.project,
        "experiment": spec.experiment,
        "tags": spec.tags,
        "completions": spec.sweep.map_or(1, |sweep| sweep.points),
        "image": spec.image,
    })
}

/// `text` such that the kubelet's expansion gives it back: `$$` stands for `$`, also before
/// anything but a parenthesis (kubernetes, `third_party/forked/golang/expansion/expand.go`).
pub fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// The word that the lines of reports of a Job's pods begin with; empty for one of an older version.
pub fn mark(job: &Value) -> &str {
    let containers = job["spec"]["template"]["spec"]["containers"].as_array().into_iter().flatten();
    let env = containers.filter(|container| container["name"] == CONTAINER).filter_map(|c| c["env"].as_array());
    let variable = env.flatten().find(|variable| variable["name"] == MARK);
    variable.and_then(|variable| variable["value"].as_str()).unwrap_or_default()
}

/// The change that lets a suspended Job go, as a merge patch. Where a queue lets it go, none is needed.
pub fn release(job: &Value) -> Option<Value> {
    let queued = job["metadata"]["labels"][QUEUE].is_string();
    (job["spec"]["suspend"] == true && !queued).then(|| json!({ "spec": { "suspend": false } }))
}

/// The Job with its image's final reference, known only after the image was published.
pub fn with_image(mut job: Value, image: &str) -> Value {
    let container = &mut job["spec"]["template"]["spec"]["containers"][0];
    container["image"] = image.into();
    for variable in container["env"].as_array_mut().into_iter().flatten().filter(|v| v["name"] == RECORD) {
        let text = variable["value"].as_str().unwrap_or_default().replace("$$", "$");
        if let Ok(Value::Object(mut record)) = serde_json::from_str(&text) {
            // the index of a map panics where the name is missing, and the text may be somebody else's
            record.insert("image".into(), image.into());
            variable["value"] = literal(&Value::Object(record).to_string()).into();
        }
    }
    job["metadata"]["annotations"][IMAGE] = image.into();
    job
}

/// A Job with another image of its container, and nothing else changed.
pub fn with_container_image(mut job: Value, image: &str) -> Value {
    job["spec"]["template"]["spec"]["containers"][0]["image"] = image.into();
    job
}

/// Whether `stored`, an object from the cluster, is what `planned` became.
pub fn is_same(stored: &Value, planned: &Value) -> bool {
    let annotation = |job: &Value, name: &str| job["metadata"]["annotations"][name].as_str().map(str::to_owned);
    [RUN_ID, SPEC_HASH].iter().all(|name| {
        let ours = annotation(planned, name);
        ours.is_some() && ours == annotation(stored, name)
    })
}

/// The fields of a Job that the cluster did not keep, such as `spec.podReplacementPolicy`: an API server drops
/// those that are switched off in it without a word. Lists are not looked into, as others may add to them.
pub fn left_out(sent: &Value, stored: &Value) -> Vec<String> {
    let (Value::Object(sent), Value::Object(stored)) = (sent, stored) else { return Vec::new() };
    // what is empty or false may be left out of any answer
    let says = |value: &Value| match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        _ => true,
    };
    let of = |(key, value): (&String, &Value)| match stored.get(key) {
        None => vec![key.clone()],
        Some(kept) => left_out(value, kept).into_iter().map(|path| format!("{key}.{path}")).collect(),
    };
    sent.iter().filter(|(_, value)| says(value)).flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_cluster_did_not_keep_is_found() {
        let sent = json!({"kind": "Job", "metadata": {"labels": {"a": ""}}, "spec": {"backoffLimitPerIndex": 0,
            "suspend": false, "template": {"spec": {"hostUsers": true, "volumes": [{"name": "v", "x": 1}]}}}});
        assert_eq!(left_out(&sent, &sent), [""; 0]);
        let stored = json!({"kind": "Job", "metadata": {"uid": "u", "labels": {}},
            "spec": {"backoffLimit": 6, "template": {"spec": {"volumes": [{"name": "v"}]}}}});
        assert_eq!(left_out(&sent, &stored), ["spec.backoffLimitPerIndex", "spec.template.spec.hostUsers"]);
    }

    #[test]
    fn an_image_is_put_into_any_record() {
        for record in ["{}", "[]", "{", "{\"image\":[]}"] {
            let env = json!([{"name": RECORD, "value": record}, {"name": RECORD}, 7]);
            let job = json!({"metadata": {"annotations": {}}, "spec": {"template": {"spec": {"containers": [{"env": env}]}}}});
            let job = with_image(job, "r/v");
            assert_eq!(job["metadata"]["annotations"][IMAGE], "r/v");
            let text = job["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap();
            assert_eq!(text, if record.ends_with('}') { "{\"image\":\"r/v\"}" } else { record });
        }
    }

    #[test]
    fn dollars_survive_the_kubelet() {
        // what expand() gives back for each was checked against its source
        assert_eq!(literal("$(HOME) $$ $x $"), "$$(HOME) $$$$ $$x $$");
    }

    #[test]
    fn only_the_same_submission_is_adopted() {
        let job = |id: &str, hash: &str| json!({"metadata": {"annotations": {RUN_ID: id, SPEC_HASH: hash}}});
        assert!(is_same(&job("a", "b"), &job("a", "b")));
        assert!(!is_same(&job("a", "c"), &job("a", "b")));
        assert!(!is_same(&job("c", "b"), &job("a", "b")));
        assert!(!is_same(&json!({}), &json!({})));
    }
}
