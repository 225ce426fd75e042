//! Finds the possible words at the cursor, from clap's description of the command line.
//!
//! clap's dynamic completion is not used: it is declared unstable, and has no output format that kubectl reads.

mod plain;

use clap::{Arg, ArgAction, Command, ValueHint};

pub use self::plain::{description, is_plain, is_plain_value};

/// The source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Remote contexts.
    RemoteContexts,
    /// Remote contexts, and the kubeconfig's.
    Contexts,
    /// The kubeconfig's contexts.
    KubeContexts,
    /// Its clusters.
    Clusters,
    /// Its users.
    Users,
    /// Runs.
    Runs,
    /// Namespaces.
    Namespaces,
    /// Projects.
    Projects,
    /// Tags.
    Tags,
}

/// A candidate with its description.
pub type Candidate = (String, String);

/// The candidates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Whole words.
    pub candidates: Vec<Candidate>,
    /// Whether a file is possible too.
    pub files: bool,
}

/// The candidates for the last of `words`, which may be empty; `values` looks up the values.
pub fn complete(root: &Command, words: &[String], values: &dyn Fn(Source) -> Vec<Candidate>) -> Answer {
    let Some((current, before)) = words.split_last() else { return Answer { candidates: vec![], files: false } };
    let mut command = root;
    let mut verb = String::new();
    let mut positional = 0;
    let mut pending: Option<&Arg> = None;
    for word in before {
        if pending.take().is_some() {
            continue;
        }
        if word == "--" {
            // the script, and its own arguments
            return Answer { candidates: vec![], files: true };
        }
        if let Some(flag) = word.strip_prefix('-') {
            pending = flag_of(root, command, flag).filter(|arg| takes_value(arg) && !word.contains('='));
        } else if let Some(below) = command.find_subcommand(word) {
            verb = format!("{verb} {}", below.get_name());
            command = below;
        } else {
            positional += 1;
        }
    }
    if let Some(arg) = pending {
        return of_arg(arg, verb.trim(), values);
    }
    if let Some((flag, _)) = current.split_once('=').filter(|(flag, _)| flag.starts_with('-')) {
        let Some(arg) = flag_of(root, command, &flag[1..]) else { return Answer { candidates: vec![], files: false } };
        let Answer { candidates, files } = of_arg(arg, verb.trim(), values);
        let whole = |(word, help): Candidate| (format!("{flag}={word}"), help);
        return Answer { candidates: candidates.into_iter().map(whole).collect(), files };
    }
    if current.starts_with('-') {
        return Answer { candidates: flags(root, command), files: false };
    }
    if command.has_subcommands() {
        let verbs = command.get_subcommands().filter(|below| !below.is_hide_set());
        let candidates = verbs.map(|below| (below.get_name().to_owned(), first_line(below.get_about()))).collect();
        return Answer { candidates, files: false };
    }
    let places: Vec<&Arg> = command.get_positionals().filter(|arg| !arg.is_hide_set()).collect();
    match places.get(positional).or_else(|| places.last().filter(|arg| is_many(arg))) {
        Some(arg) => of_arg(arg, verb.trim(), values),
        None => Answer { candidates: vec![], files: false },
    }
}

/// The flag `word`, without its first dash.
fn flag_of<'a>(root: &'a Command, command: &'a Command, word: &str) -> Option<&'a Arg> {
    let mut known = command.get_arguments().chain(root.get_arguments().filter(|arg| arg.is_global_set()));
    let name = word.split('=').next().unwrap_or(word);
    if let Some(long) = name.strip_prefix('-') {
        // in mrunner's flags, `_` and `-` are the same
        let long = long.replace('_', "-");
        return known.find(|arg| arg.get_long_and_visible_aliases().is_some_and(|all| all.contains(&long.as_str())));
    }
    // `-nNAME` already contains its value
    let arg = known.find(|arg| arg.get_short() == name.chars().next())?;
    (name.chars().count() == 1).then_some(arg)
}

fn takes_value(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) && !arg.is_require_equals_set()
}

fn is_many(arg: &Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Append) || arg.get_num_args().is_some_and(|range| range.max_values() > 1)
}

fn flags(root: &Command, command: &Command) -> Vec<Candidate> {
    let global = root.get_arguments().filter(|arg| arg.is_global_set());
    let all = command.get_arguments().filter(|arg| !arg.is_global_set()).chain(global);
    let shown = all.filter(|arg| !arg.is_hide_set());
    shown.filter_map(|arg| Some((format!("--{}", arg.get_long()?), first_line(arg.get_help())))).collect()
}

/// The values of a flag or of an argument.
fn of_arg(arg: &Arg, verb: &str, values: &dyn Fn(Source) -> Vec<Candidate>) -> Answer {
    let possible: Vec<Candidate> = arg
        .get_possible_values()
        .iter()
        .filter(|value| !value.is_hide_set() && arg.get_action().takes_values())
        .map(|value| (value.get_name().to_owned(), first_line(value.get_help())))
        .collect();
    let source = match (verb, arg.get_id().as_str()) {
        (_, "context") | ("context show", "name") => Some(Source::Contexts),
        (_, "kube_context") => Some(Source::KubeContexts),
        (_, "cluster") => Some(Source::Clusters),
        (_, "user") => Some(Source::Users),
        (_, "namespace") => Some(Source::Namespaces),
        (_, "project") => Some(Source::Projects),
        (_, "tags" | "tag") => Some(Source::Tags),
        (_, "resume")
        | (
            "status" | "logs" | "results" | "rerun" | "delete" | "shell" | "attach" | "describe" | "port-forward",
            "run" | "runs",
        )
        | ("download" | "ls" | "du" | "rm", "source") => Some(Source::Runs),
        ("context add", _) => None,
        (verb, "name" | "names" | "from") if verb.starts_with("context ") => Some(Source::RemoteContexts),
        _ => None,
    };
    let mut candidates = possible;
    candidates.extend(source.map(values).unwrap_or_default());
    let named_a_file = arg
        .get_value_names()
        .unwrap_or_default()
        .iter()
        .any(|name| matches!(name.as_str(), "FILE" | "FOLDER" | "SCRIPT"));
    let files =
        named_a_file || matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath);
    Answer { candidates, files }
}

fn first_line(text: Option<&clap::builder::StyledStr>) -> String {
    text.map(ToString::to_string).unwrap_or_default().lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    fn of(line: &str) -> (Vec<String>, bool) {
        let mut root = Cli::command();
        root.build();
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let answer = complete(&root, &words, &|source| vec![(format!("{source:?}"), String::new())]);
        (answer.candidates.into_iter().map(|(word, _)| word).collect(), answer.files)
    }

    #[test]
    fn verbs_flags_and_values() {
        for verb in ["run", "status", "logs", "delete", "context", "version"] {
            assert!(of("").0.contains(&verb.to_owned()), "{verb}");
        }
        assert!(!of("").0.contains(&"__complete".to_owned()));
        assert!(of("context ").0.contains(&"copy".to_owned()));
        let flags = of("run --").0;
        for flag in ["--follow", "--base-image", "--context", "--namespace", "--as-group", "--help"] {
            assert!(flags.contains(&flag.to_owned()), "{flag}: {flags:?}");
        }
        assert_eq!(of("status -o ").0, ["table", "wide", "json", "yaml", "name"]);
        assert_eq!(of("status --output=").0[0], "--output=table");
        assert_eq!(of("run --dry-run=").0, ["--dry-run=none", "--dry-run=client", "--dry-run=server"]);
    }

    #[test]
    fn names_come_from_where_they_are_known() {
        for (line, source) in [
            ("--context ", "Contexts"),
            ("--context=", "--context=Contexts"),
            ("run --kube_context ", "KubeContexts"),
            ("status --project ", "Projects"),
            ("status --tag ", "Tags"),
            ("status -n ", "Namespaces"),
            ("status ", "Runs"),
            ("status -n x ", "Runs"),
            ("delete a ", "Runs"),
            ("logs -f ", "Runs"),
            ("rerun ", "Runs"),
            ("run --resume ", "Runs"),
            ("context use ", "RemoteContexts"),
            ("context show ", "Contexts"),
            ("context copy ", "RemoteContexts"),
            ("--user ", "Users"),
            ("--cluster ", "Clusters"),
        ] {
            assert_eq!(of(line), (vec![source.to_owned()], false), "{line}");
        }
        assert_eq!(of("status a "), (vec![], false));
        assert_eq!(of("context add "), (vec![], false));
    }

    #[test]
    fn files_where_files_are_meant() {
        for line in [
            "run ",
            "run --follow ",
            "run --config ",
            "run --dry-run ",
            "run t.py ",
            "run t.py -- --",
            "run -- ",
            "--kubeconfig ",
        ] {
            assert!(of(line).1, "{line}");
        }
        for line in ["status ", "run --name ", "run --cpu ", "", "delete "] {
            assert!(!of(line).1, "{line}");
        }
    }
}
