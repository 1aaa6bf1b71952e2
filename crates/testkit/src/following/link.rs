//! A way from one server to another that can be cut, at any byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are passed on at a time.
const PIECE_BYTES: usize = 16 * 1024;
/// More than is ever passed on.
const NEVER: u64 = u64::MAX / 2;

/// Passes everything on between whoever comes to its port and a server's port.
#[derive(Debug)]
pub(super) struct Link {
    /// Where it listens.
    pub(super) port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    to: u16,
    is_over: AtomicBool,
    open: Mutex<Vec<TcpStream>>,
    /// Bytes of the server that are still passed on.
    left: AtomicU64,
}

impl Link {
    /// To the server on this port.
    ///
    /// # Errors
    /// When the system gives no port or no thread.
    pub(super) fn to(port: u16) -> io::Result<Link> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let own = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            to: port,
            is_over: AtomicBool::new(false),
            open: Mutex::default(),
            left: AtomicU64::new(NEVER),
        });
        let listening = Arc::clone(&shared);
        std::thread::Builder::new().name("link".into()).spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if listening.is_over.load(Ordering::SeqCst) {
                    return;
                }
                // If nobody is there the one who has come finds that out when it is dropped.
                let _ = listening.connect(stream);
            }
        })?;
        Ok(Link { port: own, shared })
    }

    /// Ends all connections.
    pub(super) fn cut(&self) {
        self.shared.cut();
    }

    /// Ends all connections when so many more bytes of the server have been passed on.
    pub(super) fn cut_after(&self, bytes: u64) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        self.shared.cut();
        // Whoever listens looks at it.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn connect(self: &Arc<Shared>, comer: TcpStream) -> io::Result<()> {
        let server = TcpStream::connect(("127.0.0.1", self.to))?;
        let ways = [
            (comer.try_clone()?, server.try_clone()?, false),
            (server.try_clone()?, comer.try_clone()?, true),
        ];
        self.open.lock().unwrap_or_else(PoisonError::into_inner).extend([comer, server]);
        for (from, to, is_counted) in ways {
            let shared = Arc::clone(self);
            std::thread::Builder::new().name("link".into()).spawn(move || {
                // However it ends, both ends are told.
                let _ = shared.pass_on(&from, &to, is_counted);
                end(&from);
                end(&to);
            })?;
        }
        Ok(())
    }

    fn pass_on(&self, mut from: &TcpStream, mut to: &TcpStream, is_counted: bool) -> io::Result<()> {
        let mut piece = vec![0; PIECE_BYTES];
        loop {
            let len = from.read(&mut piece)?;
            if len == 0 {
                return Ok(());
            }
            let left = if is_counted { self.left.load(Ordering::SeqCst) } else { NEVER };
            let passed = len.min(usize::try_from(left).unwrap_or(usize::MAX));
            to.write_all(&piece[..passed])?;
            if left == NEVER {
                continue;
            }
            if passed as u64 == left {
                // Whoever comes next is passed everything.
                self.left.store(NEVER, Ordering::SeqCst);
                return Ok(());
            }
            self.left.store(left - passed as u64, Ordering::SeqCst);
        }
    }

    fn cut(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.drain(..).for_each(|stream| end(&stream));
    }
}

/// Both ends find that it has ended; it may have already.
fn end(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_passes_on_as_many_bytes_as_it_is_to() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let link = Link::to(server.local_addr().expect("it has one").port()).expect("a link");
        link.cut_after(1000);
        let mut comer = TcpStream::connect(("127.0.0.1", link.port)).expect("it listens");
        let (mut accepted, _) = server.accept().expect("the link has come");
        comer.write_all(b"hello").expect("it is open");
        let mut heard = [0; 5];
        accepted.read_exact(&mut heard).expect("it is passed on");
        accepted.write_all(&[1; 5000]).expect("it is open");
        let mut got = Vec::new();
        comer.read_to_end(&mut got).expect("it ends");
        assert_eq!((&heard, got.len()), (b"hello", 1000));
    }
}
