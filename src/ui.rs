//! The one place that prints: stdout is the answer, stderr the conversation.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

use crate::error::{self, Exit};
use crate::tools::cmd::Cmd;

/// Where a person reads along, and how.
#[derive(Debug, Clone)]
pub struct Ui {
    colour: bool,
    talks_to_terminal: bool,
}

/// The reader of stdout has gone (`| head -1`): no error, there is just nobody to tell more.
#[derive(Debug)]
pub struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of the output has gone")
    }
}

impl std::error::Error for ReaderGone {}

impl Ui {
    /// Decides once about colour: stderr is a terminal that is not dumb, and `NO_COLOR` is not set
    /// (<https://no-color.org>: its presence counts).
    pub fn from_environment() -> Self {
        let talks_to_terminal = io::stderr().is_terminal();
        let dumb = std::env::var_os("TERM").is_none_or(|t| t == "dumb");
        Self { colour: talks_to_terminal && !dumb && std::env::var_os("NO_COLOR").is_none(), talks_to_terminal }
    }

    /// Whether stderr is a terminal, so that live progress makes sense.
    pub fn is_live(&self) -> bool {
        self.talks_to_terminal
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn to_stderr(text: &str) {
        // a conversation whose listener is gone is no reason to stop the work
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// One line of the conversation.
    pub fn say(&self, text: impl AsRef<str>) {
        Self::to_stderr(&clean(text.as_ref()));
    }

    /// A line under a heading, such as `image   …`: the headings stand in one column.
    pub fn tell(&self, heading: &str, text: impl AsRef<str>) {
        let padded = format!("{heading:<9}");
        Self::to_stderr(&format!("{} {}", self.paint("1", &padded), clean(text.as_ref())));
    }

    /// Something the user should know before it hurts.
    pub fn warn(&self, text: impl AsRef<str>) {
        Self::to_stderr(&format!("{} {}", self.paint("1;33", "warning:"), clean(text.as_ref())));
    }

    /// The command that is about to change something.
    pub fn echo(&self, cmd: &Cmd) {
        Self::to_stderr(&self.paint("2", &format!("  $ {}", clean(&cmd.to_string()))));
    }

    /// A line of the answer.
    pub fn answer(&self, text: impl AsRef<str>) -> Result<()> {
        let mut line = text.as_ref().to_owned();
        line.push('\n');
        self.pass_on(line.as_bytes())
    }

    /// Bytes of the answer, such as an experiment's own output, passed on as they are.
    pub fn pass_on(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
            other => other.map_err(|e| error::fail(format!("failed to write the output: {e}")).into()),
        }
    }

    /// Another program's words, passed on as they come; read to their end also when nobody listens.
    pub fn overhear(&self, mut words: impl io::Read) {
        let mut buffer = [0; 8 * 1024];
        while let Ok(read @ 1..) = words.read(&mut buffer) {
            let _ = io::stderr().lock().write_all(&buffer[..read]);
        }
    }

    /// Prints a failure and gives its exit code.
    pub fn error(&self, error: &anyhow::Error) -> Exit {
        let whole = error::flatten(error);
        let mut text = format!("{} {}", self.paint("1;31", "error:"), clean(&whole.message));
        for (name, value) in &whole.facts {
            text.push_str(&format!("\n  {name}: {}", clean(value)));
        }
        for line in &whole.details {
            text.push_str(&format!("\n  | {}", clean(line)));
        }
        for hint in &whole.hints {
            text.push_str(&format!("\n{} {}", self.paint("1;36", "hint:"), clean(hint)));
        }
        Self::to_stderr(&text);
        whole.exit
    }
}

/// `text` with everything that a terminal would obey made visible; lines and tabs stay.
pub fn clean(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() && c != '\n' && c != '\t' {
            shown.push_str(&c.escape_default().to_string());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Rows under headings in padded columns, as kubectl prints them: three spaces apart, none at the end.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| clean(c).chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{:<width$}", clean(cell)));
        cells.collect::<Vec<_>>().join("   ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        assert_eq!(clean("a\x1b[31mb\r\u{9b}\tc\n"), "a\\u{1b}[31mb\\r\\u{9b}\tc\n");
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["RUN".into(), "STATE".into()], vec!["a-long-name".into(), "Running".into()]];
        assert_eq!(table(&rows), "RUN           STATE\na-long-name   Running");
    }
}
