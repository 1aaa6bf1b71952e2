//! A connection to another server, whose client this one is: it asks, and waits for what is answered.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Bytes of one line of a reply that are read.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// A connection.
#[derive(Debug)]
pub struct Outbound {
    stream: BufReader<TcpStream>,
    /// The database that it has selected.
    pub db: u32,
}

impl Outbound {
    /// Connects to the first address of a host that answers within this time.
    ///
    /// # Errors
    /// When none does.
    pub fn open(host: &str, port: u16, patience: Duration) -> io::Result<Outbound> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, port).to_socket_addrs()? {
            match TcpStream::connect_timeout(&address, patience) {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(Outbound { stream: BufReader::new(stream), db: 0 });
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Sets how long nothing may come or go.
    ///
    /// # Errors
    /// Those of the system.
    pub fn set_patience(&mut self, patience: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(patience))?;
        self.stream.get_ref().set_write_timeout(Some(patience))
    }

    /// Sends requests.
    ///
    /// # Errors
    /// Those of the system.
    pub fn send(&mut self, requests: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(requests)
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
