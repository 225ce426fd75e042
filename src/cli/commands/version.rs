//! `version`: prints the version.

use anyhow::Result;
use clap::{Args, ValueEnum};
use serde_json::json;

use crate::app::App;

/// The arguments of `version`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  kubectl mrunner version -o json")]
pub struct VersionArgs {
    /// Accepted for compatibility with kubectl; has no effect
    #[arg(long)]
    client: bool,
    /// Output format
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<Format>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Json,
    Yaml,
}

/// Prints the version.
pub fn exec(args: &VersionArgs, app: &App) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let document = json!({ "clientVersion": { "gitVersion": format!("v{version}"), "platform": platform() } });
    match args.output {
        None => app.ui.answer(format!("kubectl-mrunner {version}")),
        Some(Format::Json) => app.ui.answer(serde_json::to_string_pretty(&document)?),
        Some(Format::Yaml) => app.ui.answer(serde_yaml::to_string(&document)?.trim_end()),
    }
}

/// The platform, in the words of `kubectl version`.
fn platform() -> String {
    let system = if cfg!(target_os = "macos") { "darwin" } else { std::env::consts::OS };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}/{processor}")
}
