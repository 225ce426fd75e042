//! A connection to the API server that a test can cut or slow down, and that can lose an answer.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::project::Project;

/// What is open through it; `None` while it is cut.
type Open = Arc<Mutex<Option<Vec<TcpStream>>>>;

/// A slow connection passes on at most one buffer in this time: 0.6 MB/s.
const SLOW: Duration = Duration::from_millis(25);

/// The bytes that the server sent through each connection, in the order in which they were opened.
#[derive(Default)]
struct Answers {
    bytes: Vec<usize>,
    /// The connection that loses what comes after this many bytes.
    lost: Option<(usize, usize)>,
    /// Connections are slow after this many bytes.
    slow: Option<usize>,
}

pub struct Wire {
    address: SocketAddr,
    open: Open,
    answers: Arc<Mutex<Answers>>,
}

impl Wire {
    /// From now on the project's user reaches the API server through this.
    pub fn before(project: &Project) -> Self {
        let mut config: Value = serde_json::from_str(&project.read("kubeconfig")).unwrap();
        let server = &mut config["clusters"][0]["cluster"]["server"];
        let wire = Self::to(server.as_str().unwrap().trim_start_matches("https://"));
        *server = format!("https://{}", wire.address).into();
        project.write("kubeconfig", &config.to_string());
        wire
    }

    /// A wire to `server`, such as `127.0.0.1:6443`.
    fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let wire = Self { address: listener.local_addr().unwrap(), open, answers: Arc::default() };
        let (server, open, answers) = (server.to_owned(), Arc::clone(&wire.open), Arc::clone(&wire.answers));
        thread::spawn(move || {
            for near in listener.incoming() {
                // who is not carried through finds the connection closed
                carry(near.unwrap(), &server, &open, &answers).ok();
            }
        });
        wire
    }

    /// Cuts all that is open, and whatever comes until it is mended.
    pub fn cut(&self) {
        for stream in self.open.lock().unwrap().take().into_iter().flatten() {
            stream.shutdown(Shutdown::Both).ok();
        }
    }

    pub fn mend(&self) {
        *self.open.lock().unwrap() = Some(Vec::new());
    }

    /// How many bytes the server has sent through each connection since this was asked for last.
    pub fn answers(&self) -> Vec<usize> {
        let mut answers = self.answers.lock().unwrap();
        answers.lost = None;
        std::mem::take(&mut answers.bytes)
    }

    /// From now on the connection of this number, counted from 0, is cut once the server has sent so many bytes
    /// through it. What the client sends gets through.
    pub fn lose(&self, number: usize, after: usize) {
        *self.answers.lock().unwrap() = Answers { lost: Some((number, after)), ..Answers::default() };
    }

    /// Slows down each connection through which the server has sent this many bytes, so that a large transfer lasts
    /// until a test has disturbed it, however fast the machine is.
    pub fn slow_down(&self, after: usize) {
        self.answers.lock().unwrap().slow = Some(after);
    }

    pub fn speed_up(&self) {
        self.answers.lock().unwrap().slow = None;
    }
}

/// Passes on what the server sends, and counts it; an error where it is to be lost.
fn answer(mut far: TcpStream, mut near: TcpStream, number: usize, answers: &Mutex<Answers>) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        let read = far.read(&mut buffer)?;
        if read == 0 {
            return Ok(());
        }
        let is_slow = {
            let mut answers = answers.lock().unwrap();
            if let Some(bytes) = answers.bytes.get_mut(number) {
                *bytes += read;
            }
            let sent = answers.bytes.get(number).copied().unwrap_or_default();
            if answers.lost.is_some_and(|(lost, after)| lost == number && sent > after) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            answers.slow.is_some_and(|after| sent > after)
        };
        if is_slow {
            thread::sleep(SLOW);
        }
        near.write_all(&buffer[..read])?;
    }
}

fn carry(near: TcpStream, server: &str, open: &Open, answers: &Arc<Mutex<Answers>>) -> io::Result<()> {
    let far = TcpStream::connect(server)?;
    let mut open = open.lock().unwrap();
    let Some(open) = &mut *open else { return Ok(()) };
    open.extend([near.try_clone()?, far.try_clone()?]);
    let number = {
        let mut answers = answers.lock().unwrap();
        answers.bytes.push(0);
        answers.bytes.len() - 1
    };
    let (mut asks, mut asked) = (near.try_clone()?, far.try_clone()?);
    thread::spawn(move || {
        io::copy(&mut asks, &mut asked).ok();
        asked.shutdown(Shutdown::Both).ok();
    });
    let answers = Arc::clone(answers);
    thread::spawn(move || {
        let end = near.try_clone();
        answer(far, near, number, &answers).ok();
        end.map(|end| end.shutdown(Shutdown::Both)).ok();
    });
    Ok(())
}
