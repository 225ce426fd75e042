//! `kubectl-mrunner`: parse, build the App, dispatch, print the error, exit.

use std::process::ExitCode;

use clap::error::{ContextKind, ErrorKind};
use mrunner::app::{App, Places};
use mrunner::cli::{self, Cli, Command, commands};
use mrunner::tools::shell::Shell;
use mrunner::util::error::{Ended, Exit};
use mrunner::util::ui::{ReaderGone, Ui};

fn main() -> ExitCode {
    let ui = Ui::from_environment();
    let mut words = std::env::args_os().skip(1);
    // before clap, which would take what is completed for its own
    if words.next().is_some_and(|word| word == "__complete") {
        let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
        // a shell that completes wants no words of ours, whatever is wrong
        let _ = Places::from_environment().and_then(|places| commands::completion::answer(&words, &places, &ui));
        return ExitCode::SUCCESS;
    }
    let cli = match cli::parse(cli::with_dashes(std::env::args_os())) {
        Ok(cli) => cli,
        Err(mut error) => {
            if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand && std::env::args_os().len() == 1 {
                // the verbs are what somebody who types nothing wants to see, as of kubectl
                let _ = ui.pass_on(error.render().to_string().as_bytes());
                return ExitCode::SUCCESS;
            }
            // "to pass '--x' as a value, use '-- --x'" would make it the script
            error.remove(ContextKind::Suggested);
            if error.use_stderr() {
                ui.usage(&error);
                return ExitCode::from(Exit::Usage as u8);
            }
            // help and version are answers, and a closed pipe is not an error
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
    };
    match dispatch(cli, &ui) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is::<ReaderGone>() => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<Ended>() {
            Some(ended) => ExitCode::from(ended.0),
            None => ExitCode::from(ui.error(&error) as u8),
        },
    }
}

fn dispatch(cli: Cli, ui: &Ui) -> anyhow::Result<()> {
    // kuberc would let a user's kubectl defaults (`get: output=wide`) change the answers we parse
    let inherit = std::env::var_os("MRUNNER_KUBERC").is_some_and(|v| v == "inherit");
    let mut env: Vec<_> = if inherit { vec![] } else { vec![("KUBERC".to_owned(), "off".into())] };
    // buildx asks git about the folder, by its own configuration
    env.extend(["BUILDX_GIT_INFO", "BUILDX_GIT_LABELS"].map(|name| (name.to_owned(), "false".into())));
    let places = Places::from_environment()?;
    let shell = Shell::new(ui.clone(), std::env::vars_os(), env, places.time_scale)?;
    let shell = if std::env::var_os("GOGC").is_none() { shell.with_low_gc() } else { shell };
    let app = App::new(ui.clone(), shell, cli.global, places)?;
    match cli.command {
        Command::Run(args) => commands::run::exec(*args, &app),
        Command::Rerun(args) => commands::rerun::exec(&args, &app),
        Command::Status(args) => commands::status::exec(&args, &app),
        Command::Results(args) => commands::results::exec(&args, &app),
        Command::Logs(args) => commands::logs::exec(&args, &app),
        Command::Shell(args) => commands::inside::shell(&args, &app),
        Command::Attach(args) => commands::inside::attach(&args, &app),
        Command::Describe(args) => commands::inside::describe(&args, &app),
        Command::PortForward(args) => commands::inside::port_forward(&args, &app),
        Command::Storage(args) => commands::storage::exec(&args, &app),
        Command::Delete(args) => commands::delete::exec(&args, &app),
        Command::Download(args) => commands::download::exec(&args, &app),
        Command::Upload(args) => commands::upload::exec(&args, &app),
        Command::Ls(args) => commands::ls::exec(&args, &app),
        Command::Du(args) => commands::du::exec(&args, &app),
        Command::Rm(args) => commands::rm::exec(&args, &app),
        Command::Context(args) => commands::context::exec(&args, &app),
        Command::Doctor(args) => commands::doctor::exec(&args, &app),
        Command::Project(args) => commands::project::exec(&args, &app),
        Command::Rbac(args) => commands::rbac::exec(&args, &app),
        Command::Completion(args) => commands::completion::exec(&args, &app),
        Command::Options => app.ui.answer(cli::kubernetes_help().trim_end()),
        Command::Version(args) => commands::version::exec(&args, &app),
    }
}
