//! The little of HTTP/1.1 that a scraper and a health check need: one request without a body, one answer, the end.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Time for the whole request to arrive.
const READ_TIME: Duration = Duration::from_secs(2);
/// Time for a part of the answer to be taken.
const WRITE_TIME: Duration = Duration::from_secs(10);

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// HEAD: everything but the body.
    pub(super) head_only: bool,
    /// The path without what follows `?`.
    pub(super) path: String,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Response {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &'static str, body: String) -> Response {
        Response { status, content_type, body }
    }

    fn error(status: u16) -> Response {
        Response::new(status, "text/plain; charset=utf-8", format!("{}\n", reason(status)))
    }

    /// The bytes that go over the wire, for HEAD without the body.
    pub(super) fn encode(&self, head_only: bool) -> Vec<u8> {
        let mut bytes = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.status,
            reason(self.status),
            self.content_type,
            self.body.len(),
        )
        .into_bytes();
        if !head_only {
            bytes.extend_from_slice(self.body.as_bytes());
        }
        bytes
    }
}

/// Reads a request; what cannot be served is an answer already.
pub(super) fn read(stream: &mut TcpStream) -> Result<Request, Response> {
    let deadline = Instant::now() + READ_TIME;
    let mut head = Vec::new();
    let mut part = [0; 1024];
    while end_of_head(&head).is_none() {
        if head.len() > HEAD_BYTES_MAX {
            return Err(Response::error(431));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        // A zero time-out would mean none.
        let timed = !left.is_zero() && stream.set_read_timeout(Some(left)).is_ok();
        match stream.read(&mut part) {
            Ok(length) if length > 0 && timed => head.extend_from_slice(&part[..length]),
            _ => return Err(Response::error(408)),
        }
    }
    parse(&head)
}

/// Sends an answer.
pub(super) fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.set_write_timeout(Some(WRITE_TIME))?;
    stream.write_all(bytes)?;
    stream.shutdown(std::net::Shutdown::Write)
}

fn end_of_head(head: &[u8]) -> Option<usize> {
    head.windows(4).position(|bytes| bytes == b"\r\n\r\n")
}

fn parse(head: &[u8]) -> Result<Request, Response> {
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let words: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let [method, target, version] = words.as_slice() else {
        return Err(Response::error(400));
    };
    if !version.starts_with(b"HTTP/1.") || !target.starts_with(b"/") {
        return Err(Response::error(400));
    }
    let head_only = match *method {
        b"GET" => false,
        b"HEAD" => true,
        _ => return Err(Response::error(405)),
    };
    let path = target.split(|&byte| byte == b'?').next().unwrap_or_default();
    Ok(Request { head_only, path: String::from_utf8_lossy(path).into_owned() })
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_lines() {
        let request = |head_only, path: &str| Ok(Request { head_only, path: path.to_owned() });
        let cases: [(&str, Result<Request, u16>); 8] = [
            ("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", request(false, "/metrics")),
            ("GET /metrics?a=b HTTP/1.0\r\n\r\n", request(false, "/metrics")),
            ("HEAD /health HTTP/1.1\r\n\r\n", request(true, "/health")),
            ("POST /metrics HTTP/1.1\r\n\r\n", Err(405)),
            ("GET metrics HTTP/1.1\r\n\r\n", Err(400)),
            ("GET /metrics\r\n\r\n", Err(400)),
            ("GET /a b HTTP/1.1\r\n\r\n", Err(400)),
            ("PING\r\n\r\n", Err(400)),
        ];
        for (head, expected) in cases {
            let parsed = parse(head.as_bytes()).map_err(|response| response.status);
            assert_eq!(parsed, expected, "{head:?}");
        }
    }

    #[test]
    fn answers_have_a_length_and_head_has_no_body() {
        let response = Response::new(200, "text/plain", "body".to_owned());
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\
                        Connection: close\r\n\r\n";
        assert_eq!(response.encode(true), expected.as_bytes());
        assert_eq!(response.encode(false), format!("{expected}body").into_bytes());
    }
}
