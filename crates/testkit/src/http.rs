//! The least of HTTP: one request to a server of this machine.

use std::io::{self, Read, Write};
use std::net::TcpStream;

use crate::PATIENCE;

/// Asks for a path and answers the body.
///
/// # Errors
/// When the server cannot be asked, or answers another status than 200.
pub fn http_get(port: u16, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(
        format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.to_owned()),
        _ => Err(io::Error::other(format!("{path} is answered {answer:?}"))),
    }
}
