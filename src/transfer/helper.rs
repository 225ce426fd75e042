//! The helper: a Job with one pod that mounts the volume, deleted after use.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::k8s::manifests::helper_pod::{self, HelperPod, state};
use crate::k8s::manifests::{HELPER, pretty};
use crate::k8s::names::base32;
use crate::k8s::pod::{ContainerState, Pod, Terminated};
use crate::runs::faults::Hope;
use crate::runs::obstacle::without_names;
use crate::runs::{diagnosis, events, unstarted};
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::{self, Kubectl, REQUEST_TIMEOUT, Scope};
use crate::tools::shell::{Shell, was_interrupted};
use crate::transfer::VolumeAccess;
use crate::transfer::protocol::Token;
use crate::util::error::{Cause, Fail, fail};
use crate::util::ui::Ui;

/// The program in the pod.
const PROGRAM: &str = include_str!(concat!(env!("OUT_DIR"), "/helper.py"));

/// Where the volume is mounted.
const MOUNT: &str = "/storage";

/// The Job ends after a day in any case.
const DEADLINE_SECONDS: u64 = 24 * 3600;

/// The pauses between two looks at a starting pod: short, then longer.
const POLL_INTERVALS: [Duration; 2] = [Duration::from_millis(150), Duration::from_secs(1)];

/// The time limits for starting the pod: in total, for faults that rarely pass by themselves, before asking why
/// there is no pod, and before asking why the pod does not start.
const START: Duration = Duration::from_secs(600);
const LITTLE: Duration = Duration::from_secs(60);
const NO_POD: Duration = Duration::from_secs(2);
const LONG: Duration = Duration::from_secs(5);

/// A `LimitRange` refused the pod; these resources would fit.
#[derive(Debug)]
struct Bounded(Value);

impl fmt::Display for Bounded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a LimitRange of the namespace does not allow the helper's pod")
    }
}

impl std::error::Error for Bounded {}

/// A running helper.
#[derive(Debug, Clone)]
pub struct Helper {
    /// The Job.
    pub job: String,
    /// The pod.
    pub pod: String,
    /// The port on which it listens, only inside its pod.
    pub port: u16,
}

/// Creates helpers.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Reports progress.
    pub ui: Ui,
    /// Starts kubectl.
    pub shell: Shell,
    /// The cluster.
    pub kubectl: Kubectl,
    /// The volume.
    pub access: VolumeAccess,
    /// Whether it only reads.
    pub read_only: bool,
}

impl Maker {
    /// Creates a helper and waits until it runs. If that fails, it is deleted.
    pub fn make(&self, token: &Token) -> Result<Helper> {
        let usual = helper_pod::usual();
        match self.make_with(token, &usual, true) {
            Err(error) => match error.downcast::<Bounded>() {
                Ok(Bounded(fitted)) => self.make_with(token, &fitted, false),
                Err(error) => Err(error),
            },
            made => made,
        }
    }

    /// Creates a helper with these resources. If `bounds` is set, the error of resources that a `LimitRange`
    /// refuses is [`Bounded`].
    fn make_with(&self, token: &Token, resources: &Value, bounds: bool) -> Result<Helper> {
        let mut random = [0; 7];
        getrandom::fill(&mut random).context("failed to get random bytes")?;
        let job = format!("mrunner-helper-{}", base32(&random[..5], 8));
        let port = 20_000 + u16::from_be_bytes([random[5], random[6]]) % 10_000;
        let made = self.create(&job, port, token, resources);
        match made.and_then(|()| self.wait(&job, bounds.then_some(resources))) {
            Ok(pod) => Ok(Helper { job, pod, port }),
            Err(error) => {
                self.remove(&job);
                Err(error)
            }
        }
    }

    /// Deletes a helper, also after an interrupt.
    pub fn remove(&self, job: &str) {
        let cmd = self.kubectl.delete_jobs(&self.access.namespace, &[job]);
        if !self.shell.ignoring_interrupts().run(&cmd).is_ok_and(|reply| reply.succeeded()) {
            self.ui.warn(format!("the helper could not be removed, and ends by itself within two minutes: `{cmd}`"));
        }
    }

    /// Whether its pod exists and runs; an error if the cluster does not answer.
    pub fn is_alive(&self, helper: &Helper) -> Result<bool> {
        // the session retries, and kubectl takes 10 seconds for a server that hangs up
        let pod = self.pod(&self.look_for(&helper.job).retry_on(&[]))?;
        Ok(pod.is_some_and(|pod| is_running(&pod) && !Pod::of(&pod).is_being_deleted()))
    }

    fn create(&self, job: &str, port: u16, token: &Token, resources: &Value) -> Result<()> {
        let access = &self.access;
        let manifest = helper_pod::job(
            &HelperPod {
                name: job,
                image: &access.image,
                command: ["python3", "-c", PROGRAM].map(str::to_owned).to_vec(),
                env: vec![
                    ("MRUNNER_ROOT", MOUNT.to_owned()),
                    ("MRUNNER_PORT", port.to_string()),
                    // a manifest contains no secret
                    ("MRUNNER_TOKEN_SHA256", HEXLOWER.encode(&Sha256::digest(token))),
                    ("MRUNNER_WRITABLE", u8::from(!self.read_only).to_string()),
                ],
                claim: &access.claim,
                mount: MOUNT,
                read_only: self.read_only,
                run_as: access.run_as,
                node_selector: &access.node_selector,
                affinity: access.node.as_deref().map(helper_pod::on_node),
                tolerations: &access.tolerations,
                pod: &access.pod,
                service_account: access.service_account.as_deref(),
                image_pull_secret: access.image_pull_secret.as_deref(),
                resources: resources.clone(),
                deadline_seconds: DEADLINE_SECONDS,
            },
            &access.namespace,
        );
        let cmd = self.kubectl.create(
            &access.namespace,
            "helper.json",
            &pretty(&manifest),
            "make a pod that reaches the storage",
        );
        let reply = self.shell.run(&cmd)?;
        if reply.succeeded() { Ok(()) } else { Err(self.kubectl.failure(&reply, &cmd).into()) }
    }

    fn look_for(&self, job: &str) -> Cmd {
        let selector = format!("{HELPER}={job}");
        let scope = Scope::In(&self.access.namespace);
        self.kubectl.get(scope, &["pods"], Some(&selector), "see the helper's pod").deadline(REQUEST_TIMEOUT)
    }

    fn pod(&self, cmd: &Cmd) -> Result<Option<Value>> {
        let reply = self.shell.read(cmd)?;
        if !reply.succeeded() {
            return Err(self.kubectl.failure(&reply, cmd).into());
        }
        Ok(kubectl::objects(&reply, cmd)?.pop())
    }

    /// Waits until the pod runs. Returns its name.
    fn wait(&self, job: &str, bounds: Option<&Value>) -> Result<String> {
        let begun = Instant::now();
        let mut told = String::new();
        let (mut silent, mut seen) = (0, false);
        loop {
            let is_over = |time: Duration| begun.elapsed() > self.shell.scaled(time);
            let verdict = match self.pod(&self.look_for(job)) {
                Ok(Some(pod)) if is_running(&pod) => return Ok(Pod::of(&pod).name().to_owned()),
                // other containers may continue
                Ok(Some(pod)) if state(&pod).terminated().is_some() || Pod::of(&pod).is_over() => {
                    return Err(self.ended(&pod).into());
                }
                Ok(Some(pod)) => {
                    seen = true;
                    let why = || events::problem_in(&self.events("Pod", Pod::of(&pod).name())?);
                    diagnosis::waits(Pod::of(&pod)).or_else(|| is_over(LONG).then(why).flatten())
                }
                Ok(None) if seen => return Err(self.ended(&Value::Null).into()),
                Ok(None) if is_over(NO_POD) => {
                    let events = self.events("Job", job).unwrap_or_default();
                    if let Some(fitted) = bounds.and_then(|resources| unstarted::fitted(&events, resources)) {
                        return Err(Bounded(fitted).into());
                    }
                    unstarted::why(&events, &self.kubectl, &self.access.namespace)
                }
                Ok(None) => None,
                Err(error) if silent < 5 && !was_interrupted(&error) => {
                    silent += 1;
                    None
                }
                Err(error) => return Err(error),
            };
            let hopeless = verdict.as_ref().is_some_and(|why| match why.hope {
                Hope::None => true,
                // the user is waiting, and can retry
                Hope::Little | Hope::Minutes => is_over(LITTLE),
                Hope::Some => false,
            });
            if hopeless || is_over(START) {
                let words = verdict.as_ref().map_or("its pod does not start", |why| &why.words);
                let error = fail(format!("the helper that reaches the storage can't start: {words}"));
                let error = Fail { known: Some(Cause::CannotStart), ..error };
                let hint = verdict.and_then(|why| why.hint);
                return Err(error.hint(hint.unwrap_or_else(|| self.look())).into());
            }
            if let Some(why) = verdict
                && told != without_names(&why.words, job)
            {
                self.ui.tell("helper", format!("waits: {}", why.words));
                told = without_names(&why.words, job);
            }
            self.shell.sleep(POLL_INTERVALS[usize::from(is_over(LONG))])?;
        }
    }

    fn events(&self, kind: &str, name: &str) -> Option<Vec<Value>> {
        let cmd = self.kubectl.events(&self.access.namespace, kind, name);
        let reply = self.shell.read(&cmd).ok()?;
        kubectl::objects(&reply, &cmd).ok()
    }

    fn look(&self) -> String {
        format!("see why with `{} get events`", self.kubectl.cmd(Scope::In(&self.access.namespace), ""))
    }

    /// The error for a pod that ended before it was used.
    fn ended(&self, pod: &Value) -> Fail {
        let ended = state(pod).terminated();
        let message = ended.map_or("", Terminated::message);
        let code = ended.and_then(Terminated::exit_code);
        let image = &self.access.image;
        if message.contains("python3") || code == Some(127) {
            return fail(format!("the image `{image}` has no `python3`, which reaches the storage"))
                .hint("name one that has it with `--image IMAGE`, such as `--image python:3`");
        }
        let code = code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
        let words = [message, Pod::of(pod).message()];
        let words = words.iter().find(|words| !words.is_empty()).map_or(String::new(), |words| format!(": {words}"));
        fail(format!("the helper that reaches the storage has ended at once{code}{words}"))
            .hint(format!("does the image `{image}` have Python 3.6 or newer? name another one with `--image IMAGE`"))
    }
}

fn is_running(pod: &Value) -> bool {
    matches!(state(pod), ContainerState::Running(_))
}
