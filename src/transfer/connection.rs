//! One connection to a helper.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::tools::shell::{interrupted, is_interrupted};
use crate::transfer::protocol::{self, Frames, Reply, Request, Token};
use crate::util::error::Fail;

/// How often a waiting stream checks for an interrupt.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// How long a helper may take to accept a client.
const WELCOME: Duration = Duration::from_secs(10);

/// Why work over a connection ended early.
#[derive(Debug)]
pub(crate) enum TransferError {
    /// The connection was cut or its bytes were damaged; the rest can be retried.
    Cut(io::Error),
    /// A retry would not help.
    Fatal(anyhow::Error),
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        if is_interrupted() { interrupted().into() } else { Self::Cut(error) }
    }
}

impl From<anyhow::Error> for TransferError {
    fn from(error: anyhow::Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<Fail> for TransferError {
    fn from(error: Fail) -> Self {
        Self::Fatal(error.into())
    }
}

/// A connection that the helper has accepted.
#[derive(Debug)]
pub(crate) struct Connection {
    out: BufWriter<Patient>,
    frames: Frames<BufReader<Patient>>,
    next: u32,
}

impl Connection {
    /// Opens a connection through a local port. `silence` is how long the helper may be silent.
    pub(crate) fn open(port: u16, token: &Token, silence: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), WELCOME)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(POLL_INTERVAL))?;
        stream.set_write_timeout(Some(POLL_INTERVAL))?;
        let patient = |silence| io::Result::Ok(Patient { stream: stream.try_clone()?, silence, received: 0 });
        let mut out = patient(silence)?;
        protocol::greet(token, &mut out)?;
        let mut frames = Frames::new(patient(WELCOME.min(silence))?);
        let (_, Reply::Welcome { .. }) = frames.reply()? else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "something other than a helper has answered"));
        };
        // nothing is left in a buffer: the helper only answers requests
        let frames = Frames::new(BufReader::with_capacity(64 << 10, patient(silence)?));
        Ok(Self { out: BufWriter::with_capacity(64 << 10, out), frames, next: 0 })
    }

    /// Sends a request, and returns its number.
    pub(crate) fn ask(&mut self, request: &Request) -> io::Result<u32> {
        self.next = self.next.wrapping_add(1);
        request.send(self.next, &mut self.out)?;
        Ok(self.next)
    }

    /// Returns the next answer with the number of its request.
    pub(crate) fn reply(&mut self) -> io::Result<(u32, Reply<'_>)> {
        self.out.flush()?;
        self.frames.reply()
    }

    /// Returns the next answer, which has to be one to the request with this number.
    pub(crate) fn answer(&mut self, id: u32) -> io::Result<Reply<'_>> {
        match self.reply()? {
            (answered, reply) if answered == id => Ok(reply),
            _ => Err(protocol::out_of_order()),
        }
    }

    /// Returns the bytes received of an incomplete frame.
    pub(crate) fn incomplete(&self) -> u64 {
        self.frames.reader.get_ref().received.saturating_sub(self.frames.whole)
    }
}

/// A stream that fails on an interrupt, and after too long a silence.
#[derive(Debug)]
struct Patient {
    stream: TcpStream,
    silence: Duration,
    received: u64,
}

impl Patient {
    fn wait<T>(&mut self, mut once: impl FnMut(&mut TcpStream) -> io::Result<T>) -> io::Result<T> {
        let begun = Instant::now();
        loop {
            match once(&mut self.stream) {
                _ if is_interrupted() => return Err(io::Error::other(interrupted())),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    if begun.elapsed() > self.silence {
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "the helper has been silent for too long"));
                    }
                }
                other => return other,
            }
        }
    }
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.wait(|stream| stream.read(buffer))?;
        self.received += read as u64;
        Ok(read)
    }
}

impl Write for Patient {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(|stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
