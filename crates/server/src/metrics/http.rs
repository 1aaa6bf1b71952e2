//! The little of HTTP/1.1 that a scraper and a health check need: one request without a body, one answer, the end.
//!
//! Only bytes and their meaning; `connection.rs` has the sockets.

/// Most bytes of a request's head.
const HEAD_BYTES_MAX: usize = 8 * 1024;

/// What a request wants.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// HEAD: everything but the body.
    pub(super) head_only: bool,
    /// The path without what follows `?`.
    pub(super) path: String,
}

/// An answer, as the bytes that go over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Response {
    bytes: Vec<u8>,
    head_bytes: usize,
}

impl Response {
    pub(super) fn new(status: u16, content_type: &str, body: &str) -> Response {
        let mut bytes = format!(
            "HTTP/1.1 {status} {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            reason(status),
            body.len(),
        )
        .into_bytes();
        let head_bytes = bytes.len();
        bytes.extend_from_slice(body.as_bytes());
        Response { bytes, head_bytes }
    }

    /// An answer that is a line of text.
    pub(super) fn text(status: u16, line: &str) -> Response {
        Response::new(status, "text/plain; charset=utf-8", &format!("{line}\n"))
    }

    pub(super) fn error(status: u16) -> Response {
        Response::text(status, reason(status))
    }

    /// The bytes; for HEAD without the body.
    pub(super) fn bytes(&self, head_only: bool) -> &[u8] {
        if head_only { &self.bytes[..self.head_bytes] } else { &self.bytes }
    }
}

/// Understands what has arrived so far, once it is enough; what cannot be served is an answer already.
pub(super) fn parse(arrived: &[u8]) -> Option<Result<Request, Response>> {
    if arrived.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        Some(parse_head(arrived))
    } else {
        (arrived.len() > HEAD_BYTES_MAX).then(|| Err(Response::error(431)))
    }
}

fn parse_head(head: &[u8]) -> Result<Request, Response> {
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
        403 => "Forbidden",
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
            let expected = expected.map_err(Response::error);
            assert_eq!(parse(head.as_bytes()), Some(expected), "{head:?}");
            assert_eq!(parse(&head.as_bytes()[..head.len() - 1]), None, "{head:?} not yet whole");
        }
        assert_eq!(parse(&[b'x'; HEAD_BYTES_MAX]), None);
        assert_eq!(parse(&[b'x'; HEAD_BYTES_MAX + 1]), Some(Err(Response::error(431))));
    }

    #[test]
    fn answers_have_a_length_and_head_has_no_body() {
        let response = Response::new(200, "text/plain", "body");
        let expected = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\
                        Connection: close\r\n\r\n";
        assert_eq!(response.bytes(true), expected.as_bytes());
        assert_eq!(response.bytes(false), format!("{expected}body").into_bytes());
    }
}
