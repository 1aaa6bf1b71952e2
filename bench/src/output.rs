//! Replies of hundreds of megabytes: the highest resident memory of the server while it sends them, and the time to the
//! last byte.
//!
//! The bytes are read as fast as they come and thrown away. Each row has a fresh process; its peak, which the kernel
//! keeps, is forgotten before the request is sent, so what loading took does not count.
use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use swytch_testkit::Program;

use crate::client::encode;
use crate::process;
use crate::server::Server;

/// Elements of the list, and how many of them a LRANGE asks for.
const ELEMENTS: usize = 1000;
/// Bytes of an element.
const ELEMENT_BYTES: usize = 16;
/// Bytes read from the socket at a time.
const READ_BYTES: usize = 1 << 20;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Load {
    /// MGET of as many long strings as the second number, of as many bytes as the first.
    LongStrings(usize, usize),
    /// So many LRANGE in one pipeline.
    Ranges(usize),
}

/// What sending came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// Highest resident memory of the whole process.
    pub(crate) peak_bytes: u64,
    /// Resident memory before the request.
    pub(crate) before_bytes: u64,
    /// From the request to the last byte of the reply.
    pub(crate) time: Duration,
}

impl Load {
    /// The rows, at a size of which 1 is that of the report.
    pub(crate) fn all(part: usize) -> [Load; 2] {
        [Load::LongStrings((64 << 20) / part, 16), Load::Ranges(320_000_000 / Load::range_bytes() / part)]
    }

    /// The name in tables.
    pub(crate) fn name(self) -> String {
        match self {
            Load::LongStrings(bytes, count) => format!("MGET of {count} x {} MB", bytes >> 20),
            Load::Ranges(count) => {
                format!("{count} x LRANGE {ELEMENTS}, {} MB in one pipeline", self.reply_bytes() / 1_000_000)
            }
        }
    }

    fn range_bytes() -> usize {
        format!("*{ELEMENTS}\r\n").len()
            + ELEMENTS * (format!("${ELEMENT_BYTES}\r\n").len() + ELEMENT_BYTES + 2)
    }

    fn reply_bytes(self) -> usize {
        match self {
            Load::LongStrings(bytes, count) => {
                format!("*{count}\r\n").len() + count * (format!("${bytes}\r\n").len() + bytes + 2)
            }
            Load::Ranges(count) => count * Load::range_bytes(),
        }
    }

    /// Starts the program, fills it, asks, and reads.
    ///
    /// # Errors
    /// When the server refuses something or closes the connection before its last byte.
    pub(crate) fn measure(self, program: &Program, directives: &[&str]) -> Result<Sending> {
        let server = Server::start(program, directives, None)?;
        let mut requests = Vec::new();
        {
            let mut client = server.connect()?;
            match self {
                Load::LongStrings(bytes, count) => {
                    let value = "v".repeat(bytes);
                    let keys: Vec<String> = (0..count).map(|number| format!("key:{number}")).collect();
                    for key in &keys {
                        client.call(&["SET", key, &value])?;
                    }
                    encode(&mut requests, &[vec!["MGET".to_owned()], keys].concat());
                }
                Load::Ranges(count) => {
                    let elements: Vec<String> =
                        (0..ELEMENTS).map(|number| format!("{number:0ELEMENT_BYTES$}")).collect();
                    let push: Vec<&str> =
                        ["RPUSH", "list"].into_iter().chain(elements.iter().map(String::as_str)).collect();
                    client.call(&push)?;
                    (0..count).for_each(|_| encode(&mut requests, &["LRANGE", "list", "0", "-1"]));
                }
            }
        }
        let mut socket = std::net::TcpStream::connect(("127.0.0.1", server.port()))?;
        process::forget_peak(server.pid())?;
        let before_bytes = server.resident_bytes()?;
        let asked = Instant::now();
        let mut sender = socket.try_clone()?;
        let sending = std::thread::spawn(move || sender.write_all(&requests));
        let (mut buffer, mut missing) = (vec![0; READ_BYTES], self.reply_bytes());
        while missing > 0 {
            let read = socket.read(&mut buffer)?;
            ensure!(read > 0, "{} closed the connection with {missing} bytes missing", program.name);
            ensure!(read <= missing, "{} sent more than the reply", program.name);
            missing -= read;
        }
        let time = asked.elapsed();
        sending.join().expect("sending does not panic")?;
        Ok(Sending { peak_bytes: process::peak_bytes(server.pid())?, before_bytes, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_length_they_are_said_to_have() {
        assert_eq!(Load::range_bytes(), 7 + ELEMENTS * 23);
        assert_eq!(Load::LongStrings(100, 2).reply_bytes(), 4 + 2 * (6 + 102));
    }
}
