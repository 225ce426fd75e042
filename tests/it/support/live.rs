//! A program at work.

use std::io::Read;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Outcome, World, program};

/// How long a test waits for what must come, before it fails.
const FOR_EVER: Duration = Duration::from_secs(20);

/// A program at work.
pub struct Live<'a> {
    world: &'a World,
    child: Child,
    stdout: Stream,
    stderr: Stream,
}

impl<'a> Live<'a> {
    /// Starts a command in a process group of its own, as a shell does, and reads along.
    pub fn start(world: &'a World, mut command: Command) -> Self {
        let mut child = command.process_group(0).spawn().unwrap();
        let stdout = Stream::of(child.stdout.take().unwrap());
        let stderr = Stream::of(child.stderr.take().unwrap());
        Self { world, child, stdout, stderr }
    }

    /// Waits until stderr has these words.
    #[track_caller]
    pub fn says(&self, words: &str) -> &Self {
        wait_until(words, || self.stderr.so_far().contains(words));
        self
    }

    /// Waits until stdout has these words.
    #[track_caller]
    pub fn answers(&self, words: &str) -> &Self {
        wait_until(words, || self.stdout.so_far().contains(words));
        self
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, name: &str) -> &Self {
        kill(name, &self.child.id().to_string());
        self
    }

    /// Sends a signal to it and its children, as a terminal does.
    pub fn signal_all(&self, name: &str) -> &Self {
        kill(name, &format!("-{}", self.child.id()));
        self
    }

    /// Waits for its end.
    #[track_caller]
    pub fn end(mut self) -> Outcome {
        let begun = Instant::now();
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if begun.elapsed() > FOR_EVER => {
                    self.signal_all("KILL");
                    panic!("it does not end; so far:\n{}\n{}", self.stdout.so_far(), self.stderr.so_far());
                }
                None => thread::sleep(Duration::from_millis(4)),
            }
        };
        let text = |stream: Stream| self.world.tidy(&stream.whole());
        Outcome { code: code(status), stdout: text(self.stdout), stderr: text(self.stderr) }
    }
}

fn kill(name: &str, whom: &str) {
    assert!(program("sh").args(["-c", "kill -$0 $1", name, whom]).status().unwrap().success());
}

/// An exit code as a shell has it.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap())
}

/// What a stream has brought so far.
struct Stream {
    text: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl Stream {
    fn of(mut stream: impl Read + Send + 'static) -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let gathered = Arc::clone(&text);
        let reader = thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = stream.read(&mut buffer) {
                gathered.lock().unwrap().extend_from_slice(&buffer[..read]);
            }
        });
        Self { text, reader }
    }

    fn so_far(&self) -> String {
        String::from_utf8_lossy(&self.text.lock().unwrap()).into_owned()
    }

    /// All of it; a stand-in that outlives the program may still hold the stream open.
    fn whole(&self) -> String {
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < Duration::from_secs(1) {
            thread::sleep(Duration::from_millis(2));
        }
        self.so_far()
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < FOR_EVER, "waited in vain for: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}
