//! The flags that describe a sweep.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde::Deserialize;

use crate::app::App;
use crate::config;
use crate::request::SweepRequest;
use crate::request::sweep::{Factor, Selection, numbers, read};
use crate::runs::throughput::PODS_A_SECOND;
use crate::tools::python;
use crate::util::error::{fail, usage};

/// How long a script may take to create its experiments.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(300);

/// The flags for several sets of parameters.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sweep")]
pub struct SweepArgs {
    /// Sweep over these values, or a range such as `seed=1..5`
    ///
    /// Several --grid are combined: each value with each value of the others.
    #[arg(long, value_name = "NAME=VALUE,...")]
    grid: Vec<String>,
    /// Sweep over these values in step with the other --zip
    ///
    /// The first value goes with the first of every other --zip, and so on.
    #[arg(hide_short_help = true, long, value_name = "NAME=VALUE,...")]
    zip: Vec<String>,
    /// Sweep over the points in this file
    ///
    /// CSV, JSON lines or YAML; `-` reads stdin. A `.py` file is run on this machine for its `spec()` or `experiments_list`.
    #[arg(long, value_name = "FILE")]
    sweep: Option<PathBuf>,
    /// Run only the first N points
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Shuffle the points with this seed
    #[arg(hide_short_help = true, long, value_name = "SEED")]
    shuffle: Option<u64>,
    /// Run only these points, such as `3,7-9`
    #[arg(hide_short_help = true, long, value_name = "NUMBERS")]
    points: Option<String>,
    /// Number of points that run at the same time [default: 100]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub parallel: Option<u32>,
    /// Number of points per pod [default: 1]
    ///
    /// The points of a pod run one after the other. Useful for thousands of short points: a cluster starts about ten pods a second.
    #[arg(hide_short_help = true, long, value_name = "K", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub points_per_pod: Option<u32>,
}

/// How many pods a namespace can have without slowing the cluster down (kubernetes/community,
/// `sig-scalability/configs-and-limits/thresholds.md`).
const PODS: usize = 3_000;

/// The warning for a sweep with many pods.
pub fn remark(sweep: &SweepRequest) -> Option<String> {
    let points = sweep.points.len();
    let pods = points.div_ceil(sweep.per_pod as usize);
    let packed = points.div_ceil(PODS).max(20);
    (pods > PODS).then(|| {
        format!(
            "{pods} pods are more than the {PODS} that a namespace bears well, and finished ones stay as long as the \
             run; a stock cluster needs {} minutes to start them alone. Short points can share pods: `--points-per-pod {packed}`",
            pods / PODS_A_SECOND / 60
        )
    })
}

/// What the experiments of a script have besides their parameters.
#[derive(Debug, Default, Deserialize)]
pub struct Common {
    /// The name, if all have the same.
    pub name: Option<String>,
    /// All tags, without duplicates.
    pub tags: Vec<String>,
}

impl SweepArgs {
    /// Converts the flags; reads the file.
    pub fn flags(&self, app: &App) -> Result<(Vec<Factor>, Selection, Common)> {
        let (mut factors, mut common) = (Vec::new(), Common::default());
        if let Some(file) = &self.sweep {
            if file.extension().is_some_and(|extension| extension == "py") {
                let name = PathBuf::from(format!("the experiments of {}", file.display()));
                let (own, points) = experiments(file, app)?;
                common = own;
                factors.extend(read(&points, &name)?);
            } else {
                factors.extend(read(&config::read_sweep(file, &app.places.folder)?, file)?);
            }
        }
        if !self.zip.is_empty() {
            factors.push(Factor::zip(&self.zip)?);
        }
        for text in &self.grid {
            factors.push(Factor::grid(text)?);
        }
        let points = self.points.as_deref().map(numbers).transpose()?;
        Ok((factors, Selection { shuffle: self.shuffle, limit: self.limit, points }, common))
    }
}

/// What a script's experiments have in common, and the parameters of each as JSON lines.
fn experiments(script: &Path, app: &App) -> Result<(Common, String)> {
    // so that a wrong name is reported like any other
    config::read_sweep(script, &app.places.folder)?;
    app.ui.tell("sweep", format!("asking `{}` for its experiments", script.display()));
    let cmd = python::experiments(script, SCRIPT_TIMEOUT, &app.shell);
    let reply = app.shell.read(&cmd)?;
    if reply.status.is_none() {
        return Err(usage(format!(
            "`{}` has not made its experiments in {} s",
            script.display(),
            SCRIPT_TIMEOUT.as_secs()
        ))
        .hint("write its points into a file once, and give that to `--sweep`")
        .into());
    }
    if !reply.succeeded() {
        return Err(fail(format!("`{}` makes no experiments", script.display()))
            .exit(crate::util::error::Exit::Usage)
            .fact("command", cmd.to_string())
            .details(reply.stderr.trim_end())
            .into());
    }
    let text = String::from_utf8_lossy(&reply.stdout);
    let answer = text.split_once('\n').and_then(|(first, rest)| Some((serde_json::from_str(first).ok()?, rest)));
    let Some((common, points)) = answer else {
        return Err(usage(format!("`{}` makes no experiments: it ended without an answer", script.display())).into());
    };
    if !reply.stderr.trim().is_empty() {
        app.ui.say(reply.stderr.trim_end());
    }
    Ok((common, points.to_owned()))
}
