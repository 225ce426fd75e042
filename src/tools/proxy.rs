//! One kubectl for any number of questions and streams: `kubectl proxy`, on a socket in a folder that only
//! this user may enter. A kubectl for each of a hundred logs would take a second and 20 MiB each.
#![cfg_attr(not(unix), allow(dead_code, missing_docs, reason = "what is read needs such a socket"))]

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use crate::tools::cmd::Cmd;
use crate::tools::shell::Shell;

/// What the API server sends, to its end; one that is cut off before is an error.
pub type Answer = Box<dyn BufRead + Send>;

#[cfg(unix)]
pub use unix::Proxy;

#[cfg(unix)]
mod unix {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::path::PathBuf;

    use anyhow::Context;
    use tempfile::TempDir;

    use super::{Answer, BufReader, Cmd, Duration, Path, Result, Shell, answer, io};
    use crate::tools::shell::BackgroundProcess;
    use crate::util::files;

    /// A way to the API server; it ends with this, and with it all that came over it.
    #[derive(Debug)]
    pub struct Proxy {
        socket: PathBuf,
        // in this order: the folder goes when nobody listens in it any more
        kubectl: BackgroundProcess,
        _folder: TempDir,
    }

    impl Proxy {
        /// Opens it, by the command for a socket.
        ///
        /// # Errors
        /// If kubectl does not start to serve within its deadline.
        pub fn open(shell: &Shell, cmd: impl FnOnce(&Path) -> Cmd) -> Result<Self> {
            let folder = files::own_folder().context("failed to make a folder for a socket")?;
            let socket = folder.path().join("api");
            let cmd = cmd(&socket);
            let (held, ()) =
                shell.start_background(&cmd, |line| line.starts_with("Starting to serve").then_some(()))?;
            Ok(Self { socket, kubectl: held, _folder: folder })
        }

        /// Closes it, whoever holds it: what still comes over it is cut off.
        pub fn end(&self) {
            self.kubectl.end();
        }

        /// What the API server answers at a path; a refusal is an error with its words, and so is a silence
        /// that lasts longer than `timeout`.
        pub fn get(&self, path: &str, timeout: Option<Duration>) -> io::Result<Answer> {
            self.ask(path, None, timeout)
        }

        /// The same, after it was sent a JSON document; of what is not there, the error is of the kind `NotFound`.
        pub fn ask(&self, path: &str, body: Option<&str>, timeout: Option<Duration>) -> io::Result<Answer> {
            let mut stream = UnixStream::connect(&self.socket)?;
            stream.set_read_timeout(timeout)?;
            // the host is one that `kubectl proxy` accepts by itself
            let head = format!("{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
            match body {
                None => write!(stream, "GET {head}\r\n")?,
                Some(body) => write!(
                    stream,
                    "POST {head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )?,
            }
            answer(BufReader::new(stream))
        }
    }
}

/// There is none where Rust has no sockets of that kind; logs are then read pod by pod.
#[cfg(not(unix))]
#[derive(Debug)]
pub struct Proxy;

#[cfg(not(unix))]
#[allow(clippy::missing_errors_doc, clippy::unused_self, reason = "as on Unix")]
impl Proxy {
    pub fn open(_: &Shell, _: impl FnOnce(&Path) -> Cmd) -> Result<Self> {
        Err(crate::util::error::fail("there are no such sockets here").into())
    }

    pub fn end(&self) {}

    pub fn get(&self, _: &str, _: Option<Duration>) -> io::Result<Answer> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub fn ask(&self, _: &str, _: Option<&str>, _: Option<Duration>) -> io::Result<Answer> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// How long the head of an answer may be.
const HEAD: usize = 16 * 1024;

fn answer(mut stream: impl BufRead + Send + 'static) -> io::Result<Answer> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if stream.by_ref().take(HEAD as u64).read_until(b'\n', &mut head)? == 0 || head.len() > HEAD {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut parsed = httparse::Response::new(&mut headers);
    parsed.parse(&head).map_err(io::Error::other)?;
    let code = parsed.code.unwrap_or_default();
    let header = |name: &str| {
        let found = parsed.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(found.value).ok()
    };
    let source = Unending(stream);
    let mut body: Answer = match header("content-length").and_then(|length| length.trim().parse().ok()) {
        Some(length) => Box::new(BufReader::new(Sized { source, left: length })),
        None if header("transfer-encoding").is_some_and(|how| how.eq_ignore_ascii_case("chunked")) => {
            Box::new(BufReader::new(chunked_transfer::Decoder::new(source)))
        }
        None => return Err(io::Error::other("an answer of unknown length")),
    };
    if code == 200 || code == 201 {
        return Ok(body);
    }
    let mut words = String::new();
    body.by_ref().take(HEAD as u64).read_to_string(&mut words)?;
    let kind = if code == 404 { io::ErrorKind::NotFound } else { io::ErrorKind::Other };
    Err(io::Error::new(kind, format!("{code}: {}", words.trim())))
}

/// A source whose end is always too early: who reads from it knows how much there is.
struct Unending<R>(R);

impl<R: Read> Read for Unending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
            read => Ok(read),
        }
    }
}

/// So many bytes of a source.
struct Sized<R> {
    source: R,
    left: u64,
}

impl<R: Read> Read for Sized<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.by_ref().take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &'static str) -> Result<String, String> {
        let mut all = String::new();
        let body = answer(text.as_bytes()).map_err(|e| e.to_string())?.read_to_string(&mut all);
        body.map(|_| all).map_err(|e| e.to_string())
    }

    #[test]
    fn an_answer_is_read_to_its_end() {
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd"), Ok("abc".into()));
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), Ok(String::new()));
        assert_eq!(
            read(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: y\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n"
            ),
            Ok("abc0123456789".into())
        );
    }

    #[test]
    fn one_that_is_cut_off_is_an_error_wherever_it_is() {
        let whole = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n";
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        let whole = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc";
        for end in 0..whole.len() {
            assert!(read(&whole[..end]).is_err(), "cut at {end}");
        }
        assert!(read("HTTP/1.1 200 OK\r\n\r\nabc").unwrap_err().contains("unknown length"));
    }

    #[test]
    fn a_refusal_has_its_words() {
        let words = read("HTTP/1.1 403 Forbidden\r\nContent-Length: 14\r\n\r\nyou may not so").unwrap_err();
        assert_eq!(words, "403: you may not so");
        assert!(read("nonsense\r\n\r\n").is_err());
    }
}
