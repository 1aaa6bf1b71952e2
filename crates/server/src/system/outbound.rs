//! A connection to another server, whose client this one is: it asks, and waits for what is answered.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

/// Bytes of one line of a reply that are read.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A connection.
#[derive(Debug)]
pub struct Outbound {
    stream: BufReader<Stream>,
    /// The database that it has selected.
    pub db: u32,
}

/// What its bytes travel by.
#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Secure(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Secure(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.read(bytes),
            Stream::Secure(stream) => stream.read(bytes),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.write(bytes),
            Stream::Secure(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.flush(),
            Stream::Secure(stream) => stream.flush(),
        }
    }
}

impl Outbound {
    /// Connects to the first address of a host that answers within this time, with TLS where it is told how. Hands are shaken
    /// when something is sent.
    ///
    /// # Errors
    /// When none does.
    pub fn open(
        host: &str,
        port: u16,
        patience: Duration,
        tls: Option<Arc<ClientConfig>>,
    ) -> io::Result<Outbound> {
        let socket = connect(host, port, patience)?;
        let stream = match tls {
            None => Stream::Plain(socket),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
                let session = ClientConnection::new(tls, name).map_err(io::Error::other)?;
                Stream::Secure(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(Outbound { stream: BufReader::new(stream), db: 0 })
    }

    /// Whether it speaks TLS.
    pub fn is_secure(&self) -> bool {
        matches!(self.stream.get_ref(), Stream::Secure(_))
    }

    /// Sets how long nothing may come or go.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        let socket = self.stream.get_ref().socket();
        socket.set_read_timeout(Some(patience))?;
        socket.set_write_timeout(Some(patience))
    }

    /// Sends requests.
    ///
    /// # Errors
    /// Those of the system.
    pub fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(requests)?;
        stream.flush()
    }

    /// Reads a reply that is a status or an error, whose text is returned.
    ///
    /// # Errors
    /// Those of the system; if it is another reply.
    pub fn status(&mut self) -> io::Result<Result<(), String>> {
        let mut line = Vec::new();
        Read::take(&mut self.stream, LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        let text = line.strip_suffix(b"\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
        match text.split_first() {
            Some((b'+', _)) => Ok(Ok(())),
            Some((b'-', text)) => Ok(Err(String::from_utf8_lossy(text).into_owned())),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Connects to the first address of a host that answers within this time.
fn connect(host: &str, port: u16, patience: Duration) -> io::Result<TcpStream> {
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(socket) => {
                socket.set_nodelay(true)?;
                return Ok(socket);
            }
            Err(error) => failure = error,
        }
    }
    Err(failure)
}
