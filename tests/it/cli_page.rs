//! `docs/cli.md` is the help of every verb: `MRUNNER_BLESS=1 cargo test --test it cli_page` writes it anew.

use std::fmt::Write;
use std::path::Path;

use clap::CommandFactory;
use mrunner::cli::Cli;

const TOP: &str = "# Command line

The help of every verb, as `kubectl mrunner VERB --help` prints it. This page is generated: see
[CONTRIBUTING.md](../CONTRIBUTING.md#the-page-of-the-command-line).
";

/// Options that stand under every verb, and are shown once.
fn is_everywhere(argument: &clap::Arg) -> bool {
    argument.is_global_set() || argument.get_id() == "help"
}

fn verb(command: &clap::Command, path: &str, page: &mut String) {
    let depth = if path.matches(' ').count() > 2 { "###" } else { "##" };
    // as wide as clap makes it where there is no terminal; options of every verb are those of the first section
    let own = command.clone().mut_args(|argument| {
        if is_everywhere(&argument) && path != "kubectl mrunner" { argument.hide(true) } else { argument }
    });
    let help = own.term_width(100).bin_name(path).render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(page, "\n{depth} {path}\n\n```text\n{}\n```\n", lines.join("\n").trim_end()).unwrap();
    for below in command.get_subcommands().filter(|below| below.get_name() != "help" && !below.is_hide_set()) {
        verb(below, &format!("{path} {}", below.get_name()), page);
    }
}

#[test]
fn the_page_of_the_command_line_is_the_help_of_the_program() {
    let mut cli = Cli::command();
    cli.build();
    let mut page = TOP.to_owned();
    verb(&cli, "kubectl mrunner", &mut page);
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli.md");
    if std::env::var_os("MRUNNER_BLESS").is_some() {
        std::fs::write(&file, &page).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    let first = kept.lines().zip(page.lines()).find(|(kept, now)| kept != now);
    assert!(
        kept == page,
        "docs/cli.md differs, first at {first:?}: write it with `MRUNNER_BLESS=1 cargo test --test it cli_page`"
    );
}
