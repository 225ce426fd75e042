//! `shell`, `attach`, `describe`, `port-forward`: kubectl's own verbs, for a run or a point.

use anyhow::Result;
use clap::Args;

use crate::app::App;
use crate::app::target::{Target, typed};
use crate::cli::commands::on_leaving;
use crate::k8s::manifests::CONTAINER;
use crate::k8s::names::Namespace;
use crate::k8s::object::Resource;
use crate::k8s::pod::Pod;
use crate::ops::run_ref::{lookup, namespace_of, require_point, run_and_point};
use crate::runs::pods::container_state;
use crate::runs::state::Run;
use crate::tools::cmd::Cmd;
use crate::tools::kubectl::Scope;
use crate::util::error::{Ended, Fail, fail, usage};
use crate::util::ui::clean;

/// Starts bash, if the image has it.
const SHELL: &str = "command -v bash >/dev/null && exec bash; exec sh";

/// The arguments of `shell`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner shell train-3f9k2m1a\n  kubectl mrunner shell train-3f9k2m1a/17 -- nvidia-smi"
)]
pub struct ShellArgs {
    /// Run, or a point of a sweep
    #[arg(value_name = "RUN[/POINT]")]
    run: String,
    /// Command to run instead of a shell
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// The arguments of `attach`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner attach train-3f9k2m1a")]
pub struct AttachArgs {
    /// Run, or a point of a sweep
    #[arg(value_name = "RUN[/POINT]")]
    run: String,
}

/// The arguments of `describe`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  kubectl mrunner describe train-3f9k2m1a\n  kubectl mrunner describe train-3f9k2m1a/17"
)]
pub struct DescribeArgs {
    /// Run, or a point of a sweep
    #[arg(value_name = "RUN[/POINT]")]
    run: String,
}

/// The arguments of `port-forward`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner port-forward train-3f9k2m1a 6006")]
pub struct PortForwardArgs {
    /// Run, or a point of a sweep
    #[arg(value_name = "RUN[/POINT]")]
    run: String,
    /// Port, such as `6006`, or `LOCAL:REMOTE` such as `8080:6006`
    #[arg(required = true, value_name = "PORT")]
    ports: Vec<String>,
}

/// Opens a shell, or runs a command, beside the experiment.
pub fn shell(args: &ShellArgs, app: &App) -> Result<()> {
    let found = find(&args.run, app)?;
    let pod = found.running(app)?;
    let mut words = vec!["exec", "-i", pod, "-c", CONTAINER];
    if app.ui.can_ask() {
        words.push("-t");
    }
    words.push("--");
    if args.command.is_empty() {
        words.extend(["/bin/sh", "-c", SHELL]);
    }
    words.extend(args.command.iter().map(String::as_str));
    found.hand_over(&words, "open a shell in it", app)
}

/// Attaches the terminal to the experiment.
pub fn attach(args: &AttachArgs, app: &App) -> Result<()> {
    let found = find(&args.run, app)?;
    let pod = found.running(app)?;
    found.hand_over(&["attach", pod, "-c", CONTAINER], "attach to it", app)
}

/// Shows what the cluster knows about a run's Job or a point's pod.
pub fn describe(args: &DescribeArgs, app: &App) -> Result<()> {
    let found = find(&args.run, app)?;
    let what = match (found.point, found.newest()) {
        (None, _) => Resource::Job.named(&found.run.name),
        (Some(_), Some(pod)) => Resource::Pod.named(pod.name()),
        (Some(_), None) => return Err(found.no_pod(app).into()),
    };
    found.pass_through(&["describe", &what.to_string()], "describe it", app)
}

/// Forwards local ports to a run until the user stops it.
pub fn port_forward(args: &PortForwardArgs, app: &App) -> Result<()> {
    let found = find(&args.run, app)?;
    let pod = Resource::Pod.named(found.running(app)?).to_string();
    let ports = args.ports.iter().map(String::as_str);
    let words: Vec<&str> = ["port-forward", &pod].into_iter().chain(ports).collect();
    found.pass_through(&words, "forward ports to it", app)
}

struct RunningPod {
    run: Run,
    point: Option<u64>,
    namespace: Namespace,
    target: Target,
}

fn find(word: &str, app: &App) -> Result<RunningPod> {
    let (name, point) = run_and_point(word)?;
    let target = Target::resolve(app)?;
    let run = lookup(app, &target)?.run(name)?;
    let namespace = namespace_of(&run)?;
    require_point(&run, point)?;
    Ok(RunningPod { run, point, namespace, target })
}

impl RunningPod {
    /// The pods of the point, oldest first.
    fn pods(&self) -> impl DoubleEndedIterator<Item = Pod<'_>> {
        let (_, each) = self.run.job().packing();
        self.run.pods().iter().filter(move |pod| self.point.is_none_or(|point| pod.index() == point / each))
    }

    fn newest(&self) -> Option<Pod<'_>> {
        self.pods().next_back()
    }

    /// The name of the pod that runs the point; a run with one point needs no number.
    fn running(&self, app: &App) -> Result<&str> {
        if self.point.is_none() && self.run.is_sweep() {
            let words = format!("which point of `{}`?", self.run.name);
            return Err(usage(words).hint(format!("such as `{}/0`", self.run.name)).into());
        }
        let running = self.pods().rfind(|pod| container_state(*pod).0);
        running.map(|pod| pod.name()).ok_or_else(|| self.no_pod(app).into())
    }

    fn no_pod(&self, app: &App) -> Fail {
        let name = &self.run.name;
        let what = self.point.map_or(format!("the run `{name}`"), |point| format!("the point {point} of `{name}`"));
        let why =
            self.run.why.as_ref().filter(|_| !self.run.is_sweep()).map_or(String::new(), |why| format!(": {why}"));
        let phase = self.run.phase.as_str().to_lowercase();
        let words = match self.newest() {
            Some(pod) if container_state(pod).1 => format!("{what} has ended"),
            _ if self.run.is_sweep() => format!("{what} does not run"),
            _ => format!("{what} does not run: it is {phase}{why}"),
        };
        fail(words).hint(format!(
            "see how it stands with `{}`",
            typed(app, &self.target, &["status", "-n", self.namespace.as_str(), name])
        ))
    }

    /// Passes on kubectl's output until it ends or the user interrupts. It includes annotations and events by
    /// others, which may contain control sequences.
    fn pass_through(&self, words: &[&str], why: &str, app: &App) -> Result<()> {
        let cmd: Cmd = self.target.kubectl.cmd(Scope::In(&self.namespace), why).args(words);
        app.ui.echo(&cmd);
        // some terminals report no size
        let on_terminal = app.ui.room().is_some() || app.ui.can_redraw();
        let show = |lines: &[u8]| app.ui.pass_on(clean(&String::from_utf8_lossy(lines)).as_bytes());
        let mut rest = Vec::new();
        let pass = |bytes: &[u8]| {
            if !on_terminal {
                return app.ui.pass_on(bytes);
            }
            rest.extend_from_slice(bytes);
            // a character may be split into two pieces
            let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            show(&rest.drain(..whole).collect::<Vec<u8>>())
        };
        let reply = app.shell.follow(&cmd, pass).map_err(on_leaving)?;
        show(&rest)?;
        reply.ok(&cmd).map(|_| ())
    }

    /// Runs kubectl in the terminal, and returns its exit code.
    fn hand_over(&self, words: &[&str], why: &str, app: &App) -> Result<()> {
        let cmd: Cmd = self.target.kubectl.cmd(Scope::In(&self.namespace), why).args(words);
        app.ui.echo(&cmd);
        let status = app.shell.attach(&cmd)?;
        if status.success() {
            return Ok(());
        }
        // kubectl has reported the reason
        Err(Ended::from(status).into())
    }
}
