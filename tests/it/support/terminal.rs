//! The program on a terminal.

use std::process::Stdio;

use super::{World, program};

/// What the program writes with these arguments to a terminal of that many columns.
pub fn on_terminal(world: &World, columns: u64, words: &str) -> String {
    let command = world.command(&[]);
    let line = format!("stty rows 20 cols {columns}; {} {words}", command.get_program().to_str().unwrap());
    let mut terminal = program("script");
    terminal.args(["-q", "-e", "-c", &line, "/dev/null"]).current_dir(world.path("vision"));
    terminal.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    terminal.env("PATH", format!("{}:/usr/bin:/bin", world.path("bin").display())).env("SHELL", "/bin/sh");
    let output = terminal.env("TERM", "xterm").stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
