//! One stream to a helper.

use std::io::{self, BufReader, BufWriter, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::tools::shell::{interrupted, is_interrupted};
use crate::transfer::protocol::{self, Frames, Reply, Request, Token};
use crate::util::error::Fail;

/// How often a stream that waits looks whether the user has interrupted.
const GLANCE: Duration = Duration::from_millis(100);

/// How long a helper may take to welcome a client.
const WELCOME: Duration = Duration::from_secs(10);

/// Why work over a connection did not come to its end.
#[derive(Debug)]
pub enum Trouble {
    /// The connection was cut, or brought something else than was sent: the rest can be tried again.
    Cut(io::Error),
    /// Trying again would not help.
    Fatal(anyhow::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if is_interrupted() { interrupted().into() } else { Self::Cut(error) }
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Fatal(error)
    }
}

impl From<Fail> for Trouble {
    fn from(error: Fail) -> Self {
        Self::Fatal(error.into())
    }
}

/// A stream to a helper that has welcomed us.
#[derive(Debug)]
pub struct Connection {
    out: BufWriter<Patient>,
    frames: Frames<BufReader<Patient>>,
    next: u32,
    /// The volume's size, and what was free of it.
    pub room: (u64, u64),
}

impl Connection {
    /// Opens one through a port of this machine. `silence` is how long the helper may say nothing.
    pub fn open(port: u16, token: &Token, silence: Duration) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), WELCOME)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(GLANCE))?;
        stream.set_write_timeout(Some(GLANCE))?;
        let patient = |silence| io::Result::Ok(Patient { stream: stream.try_clone()?, silence, received: 0 });
        let mut out = patient(silence)?;
        protocol::greet(token, &mut out)?;
        let mut frames = Frames::new(patient(WELCOME.min(silence))?);
        let (_, Reply::Welcome { total, free }) = frames.reply()? else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "something else than a helper has answered"));
        };
        // nothing is lost in between: the helper speaks only when it is asked
        let frames = Frames::new(BufReader::with_capacity(64 << 10, patient(silence)?));
        Ok(Self { out: BufWriter::with_capacity(64 << 10, out), frames, next: 0, room: (total, free) })
    }

    /// Sends a request; the answers carry the number given back.
    pub fn ask(&mut self, request: &Request) -> io::Result<u32> {
        self.next = self.next.wrapping_add(1);
        request.send(self.next, &mut self.out)?;
        Ok(self.next)
    }

    /// The next answer, with the number of its request.
    pub fn reply(&mut self) -> io::Result<(u32, Reply<'_>)> {
        self.out.flush()?;
        self.frames.reply()
    }

    /// How many bytes have come, and how many of them in vain if it ends now.
    pub fn received(&self) -> (u64, u64) {
        let received = self.frames.reader.get_ref().received;
        (received, received.saturating_sub(self.frames.whole))
    }
}

/// A stream that fails when the user interrupts, or when nothing moves for too long.
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
                        return Err(io::Error::new(io::ErrorKind::TimedOut, "nothing has come for too long"));
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
