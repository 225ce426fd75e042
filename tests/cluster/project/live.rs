//! A program at work, and how it ended.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use super::program;

/// How long a test waits for what must come, before it fails.
const FOR_EVER: Duration = Duration::from_secs(200);

#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A program at work.
pub struct Live {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Live {
    /// Starts a command in a process group of its own, as a shell does. Its output goes to files beside `path`.
    pub fn start(mut command: Command, path: &Path) -> Self {
        let [stdout, stderr] = ["out", "err"].map(|stream| path.with_extension(stream));
        command.process_group(0).stdout(File::create(&stdout).unwrap()).stderr(File::create(&stderr).unwrap());
        Self { child: command.spawn().unwrap(), stdout, stderr }
    }

    /// Waits until stderr has these words.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        self.until(&self.stderr, words)
    }

    /// Waits until stdout has these words.
    #[track_caller]
    pub fn prints(&self, words: &str) -> &Self {
        self.until(&self.stdout, words)
    }

    #[track_caller]
    fn until(&self, file: &Path, words: &str) -> &Self {
        let found = until(|| text(file).contains(words).then_some(()));
        assert!(found.is_some(), "waited for `{words}` in vain:\n{}{}", text(&self.stdout), text(&self.stderr));
        self
    }

    /// Sends it a signal, as Ctrl-C does.
    pub fn signal(&self, name: &str) -> &Self {
        let pid = self.child.id().to_string();
        assert!(program("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let status: Option<ExitStatus> = until(|| self.child.try_wait().unwrap());
        let code = status.map(|s| s.code().unwrap_or_else(|| 128 + s.signal().unwrap()));
        let outcome = Outcome { code: code.unwrap_or(-1), stdout: text(&self.stdout), stderr: text(&self.stderr) };
        assert!(code.is_some(), "it does not end: {outcome}");
        outcome
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        // where a test failed before its end
        self.child.kill().and_then(|()| self.child.wait()).ok();
    }
}

impl Outcome {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self}");
        self
    }

    /// That it ended with this code, and these words last.
    #[track_caller]
    pub fn fails(self, code: i32, last_words: &str) -> Self {
        assert!(self.code == code && self.stderr.ends_with(last_words), "no {code}, `{last_words}`: {self}");
        self
    }

    /// That it told these words.
    #[track_caller]
    pub fn told(self, words: &str) -> Self {
        assert!(self.stderr.contains(words), "no `{words}`: {self}");
        self
    }

    /// The run's name, which is all that it printed.
    #[track_caller]
    pub fn name(&self) -> String {
        let name = self.stdout.strip_suffix('\n').unwrap_or_default();
        assert!(!name.is_empty() && !name.contains(char::is_whitespace), "{self}");
        name.to_owned()
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}\nstdout:\n{}\nstderr:\n{}", self.code, self.stdout, self.stderr)
    }
}

/// Asks until there is an answer, or for ever.
pub fn until<T>(ask: impl FnMut() -> Option<T>) -> Option<T> {
    until_for(FOR_EVER, ask)
}

/// The same with another eternity.
pub fn until_for<T>(eternity: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let begun = Instant::now();
    loop {
        let answer = ask();
        if answer.is_some() || begun.elapsed() > eternity {
            return answer;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

fn text(file: &Path) -> String {
    String::from_utf8_lossy(&fs::read(file).unwrap()).into_owned()
}
