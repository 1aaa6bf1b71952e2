//! Further connections to a server that is running.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use super::{Reply, connect, read_reply};

/// A connection of its own.
pub struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects to a port of this machine.
    pub fn open(port: u16) -> Connection {
        Connection(connect(port))
    }

    /// Sends a command without waiting for its reply.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) {
        self.try_send(words).unwrap_or_else(|error| panic!("sending: {error}"));
    }

    fn try_send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> std::io::Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words.iter().map(AsRef::as_ref) {
            request.extend(format!("${}\r\n", word.len()).into_bytes());
            request.extend_from_slice(word);
            request.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&request)
    }

    /// The next reply.
    pub fn receive(&mut self) -> Reply {
        read_reply(&mut self.0).unwrap_or_else(|error| panic!("receiving: {error}"))
    }

    /// Waits until the server has closed the connection; false when it answers something instead.
    pub fn is_closed(&mut self) -> bool {
        read_reply(&mut self.0).is_err()
    }

    /// Sends a command and answers its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Reply {
        self.send(words);
        self.receive()
    }

    /// Like [`Connection::call`], for words separated by spaces.
    pub fn say(&mut self, line: &str) -> Reply {
        self.call(&line.split(' ').collect::<Vec<_>>())
    }
}
