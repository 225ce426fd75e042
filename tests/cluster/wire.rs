//! A way to the API server that can be cut.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What is open through it; `None` while it is cut.
type Open = Arc<Mutex<Option<Vec<TcpStream>>>>;

pub struct Wire {
    address: SocketAddr,
    open: Open,
}

impl Wire {
    /// A wire to `server`, such as `127.0.0.1:6443`.
    pub fn to(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Self { address: listener.local_addr().unwrap(), open: Arc::new(Mutex::new(Some(Vec::new()))) };
        let (server, open) = (server.to_owned(), Arc::clone(&wire.open));
        thread::spawn(move || {
            for near in listener.incoming() {
                // who is not carried through finds the connection closed
                carry(near.unwrap(), &server, &open).ok();
            }
        });
        wire
    }

    pub fn address(&self) -> SocketAddr {
        self.address
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
}

fn carry(near: TcpStream, server: &str, open: &Open) -> io::Result<()> {
    let far = TcpStream::connect(server)?;
    let mut open = open.lock().unwrap();
    let Some(open) = &mut *open else { return Ok(()) };
    open.extend([near.try_clone()?, far.try_clone()?]);
    for (mut from, mut to) in [(near.try_clone()?, far.try_clone()?), (far, near)] {
        thread::spawn(move || {
            io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Both).ok();
        });
    }
    Ok(())
}
