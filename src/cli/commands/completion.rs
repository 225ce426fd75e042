//! `completion`: the shell scripts, and the link between kubectl's own completion and mrunner's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, CommandFactory, Subcommand};

use crate::app::{App, Places};
use crate::cli::Cli;
use crate::cli::complete::{Answer, Candidate, Source, complete, description, is_plain, is_plain_value};
use crate::config;
use crate::ops::journal;
use crate::runs::run_name_cache;
use crate::tools::cmd::quote;
use crate::util::error::{fail, usage};
use crate::util::ui::Ui;
use crate::util::{files, regular_file};

/// The arguments of `completion`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  kubectl mrunner completion install\n  source <(kubectl mrunner completion bash)")]
pub struct CompletionArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Install completion for `kubectl mrunner` (kubectl 1.26 or newer)
    #[command(after_help = "Example:\n  kubectl mrunner completion install --dir ~/.local/bin")]
    Install {
        /// Folder for `kubectl_complete-mrunner`, on PATH [default: the plugin's]
        #[arg(long, value_name = "FOLDER")]
        dir: Option<PathBuf>,
    },
    /// Print the completion script for bash
    #[command(after_help = "Example:\n  source <(kubectl mrunner completion bash)")]
    Bash,
    /// Print the completion script for zsh
    #[command(after_help = "Example:\n  source <(kubectl mrunner completion zsh)")]
    Zsh,
    /// Print the completion script for fish
    #[command(after_help = "Example:\n  kubectl mrunner completion fish | source")]
    Fish,
}

/// The name that kubectl looks for on PATH (kubectl, `pkg/cmd/plugin_completion.go`).
const LINK: &str = "kubectl_complete-mrunner";

const SCRIPT: &str =
    "#!/bin/sh\n# kubectl runs this to complete `kubectl mrunner`\nexec kubectl-mrunner __complete \"$@\"\n";

/// Prints or installs completion.
pub fn exec(args: &CompletionArgs, app: &App) -> Result<()> {
    match &args.what {
        What::Install { dir } => install(dir.as_deref(), app),
        What::Bash => app.ui.answer(include_str!("../../../templates/completion.bash").trim_end()),
        What::Zsh => app.ui.answer(include_str!("../../../templates/completion.zsh").trim_end()),
        What::Fish => app.ui.answer(include_str!("../../../templates/completion.fish").trim_end()),
    }
}

fn install(dir: Option<&Path>, app: &App) -> Result<()> {
    if cfg!(windows) {
        return Err(fail("kubectl on Windows runs no script to complete a plugin").into());
    }
    let own = app.shell.find_program("kubectl-mrunner").and_then(|program| Some(program.parent()?.to_owned()));
    let Some(folder) = dir.map(Path::to_owned).or(own) else {
        return Err(usage("`kubectl-mrunner` is not on PATH, so there is no folder to put its completion in")
            .hint("name one that is: `kubectl mrunner completion install --dir ~/.local/bin`")
            .into());
    };
    let file = folder.join(LINK);
    let there = regular_file::read(&file).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    if file.symlink_metadata().is_ok()
        && !there.as_ref().is_some_and(|text| text.contains("kubectl-mrunner __complete"))
    {
        return Err(fail(format!("`{}` is there, and it is not mrunner's", file.display()))
            .hint("name another folder on your PATH with `--dir FOLDER`")
            .into());
    }
    if there.as_deref() != Some(SCRIPT) {
        files::program(&file, SCRIPT.as_bytes()).map_err(|error| {
            fail(format!("failed to write `{}`: {error}", file.display()))
                .hint("name a folder on your PATH that you may write to: `--dir ~/.local/bin`")
        })?;
    }
    app.ui.say(format!("`{}` is in place", file.display()));
    if app.shell.find_program(LINK).is_none() {
        app.ui.warn(format!(
            "`{}` is not on PATH, where kubectl looks; such as `export PATH={}:$PATH`",
            folder.display(),
            quote(folder.as_os_str())
        ));
    }
    app.ui.say("kubectl's own completion must be on, such as by `source <(kubectl completion bash)`");
    Ok(())
}

/// Answers the shell: one candidate per line, with its description after a tab, then cobra's directive, `:4` if no
/// file is possible (spf13/cobra, `completions.go`). Never fails, contacts no cluster, and reports no faults in
/// files.
pub fn answer(words: &[String], places: &Places, ui: &Ui) -> Result<()> {
    let mut root = Cli::command();
    root.build();
    let answer = complete(&root, words, &|source| {
        let mut values = values(source, places);
        // other users of the cluster chose some of these words
        values.retain(|(word, _)| is_plain_value(word));
        values
    });
    ui.answer(text(&answer, words.last().map_or("", String::as_str)))
}

/// Returns the lines for the shell, each word once: shells insert the common beginning of all lines, which for two
/// equal words would include a part of their descriptions.
fn text(answer: &Answer, current: &str) -> String {
    let mut told = BTreeSet::new();
    let mut text = String::new();
    for (word, help) in &answer.candidates {
        if !word.starts_with(current) || !is_plain(word) || !told.insert(word) {
            continue;
        }
        let help = description(help);
        text.push_str(&if help.is_empty() { format!("{word}\n") } else { format!("{word}\t{help}\n") });
    }
    format!("{text}:{}", if answer.files { 0 } else { 4 })
}

fn values(source: Source, places: &Places) -> Vec<Candidate> {
    let seen = || run_name_cache::all(&places.cache);
    let kubeconfig = || config::read_kubeconfig(&places.kubeconfig).unwrap_or_default();
    let remote = || config::read_contexts(&places.contexts).ok().flatten().unwrap_or_default();
    let described =
        |names: Vec<String>, help: &str| names.into_iter().map(|n| (n, help.to_owned())).collect::<Vec<_>>();
    let remotes = || described(remote().contexts.into_iter().map(|c| c.name).collect(), "remote context");
    let kubes = || described(kubeconfig().contexts.into_iter().map(|c| c.name).collect(), "kube context");
    let each_once =
        |names: Vec<String>| described(names.into_iter().collect::<BTreeSet<_>>().into_iter().collect(), "");
    match source {
        Source::RemoteContexts => remotes(),
        Source::KubeContexts => kubes(),
        Source::Contexts => {
            let mut all = remotes();
            let more: Vec<_> =
                kubes().into_iter().filter(|(name, _)| all.iter().all(|(known, _)| known != name)).collect();
            all.extend(more);
            all
        }
        Source::Clusters => each_once(kubeconfig().contexts.into_iter().map(|c| c.cluster).collect()),
        Source::Users => each_once(kubeconfig().contexts.into_iter().map(|c| c.user).collect()),
        Source::Runs => {
            let unfinished = journal::unfinished(&places.state).into_iter().map(|run| (run, "unfinished".to_owned()));
            let project = |name: &str| if is_plain_value(name) { format!("project {name}") } else { String::new() };
            let seen = seen().into_iter().map(|s| (s.run, project(&s.project)));
            unfinished.chain(seen).collect()
        }
        Source::Namespaces => each_once(seen().into_iter().map(|s| s.namespace).collect()),
        Source::Projects => each_once(seen().into_iter().map(|s| s.project).collect()),
        Source::Tags => each_once(seen().into_iter().flat_map(|s| s.tags).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_told_twice_and_no_odd_one_at_all() {
        let own = |word: &str, help: &str| (word.to_owned(), help.to_owned());
        let candidates =
            vec![own("a", "project $(id)a"), own("a", "project $(id)b"), own("$(id)", ""), own("b", "x;y")];
        let answer = Answer { candidates, files: false };
        assert_eq!(text(&answer, ""), "a\tproject\nb\tx\n:4");
        assert_eq!(text(&answer, "b"), "b\tx\n:4");
    }
}
