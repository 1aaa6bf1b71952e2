//! A small blocking RESP2 client, enough to prepare servers and to measure round trips.
//!
//! It is kept apart from the server's own parser on purpose: a fault there must not hide itself here.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use swytch_testkit::client::field_of;

/// How long one reply may take before the run is called a failure.
const REPLY_LIMIT: Duration = Duration::from_secs(60);

/// A reply, as RESP2 has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3`, or none for `$-1`.
    Bulk(Option<Vec<u8>>),
    /// `*2`, or none for `*-1`.
    Array(Option<Vec<Reply>>),
}

impl Reply {
    /// The text of a simple or bulk string, empty for anything else.
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(text) | Reply::Error(text) => text.clone(),
            Reply::Bulk(Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<TcpStream>,
    writer: TcpStream,
}

impl Client {
    /// A number of a section of INFO.
    ///
    /// # Errors
    /// When there is none of this name, or no reply.
    pub fn info_number(&mut self, section: &str, field: &str) -> Result<u64> {
        number(&self.call(&["INFO", section])?.text(), field)
    }

    /// Connects to 127.0.0.1.
    pub fn connect(port: u16) -> Result<Client> {
        let writer =
            TcpStream::connect(("127.0.0.1", port)).with_context(|| format!("connecting to port {port}"))?;
        writer.set_nodelay(true)?;
        writer.set_read_timeout(Some(REPLY_LIMIT))?;
        writer.set_write_timeout(Some(REPLY_LIMIT))?;
        Ok(Client { reader: BufReader::with_capacity(64 * 1024, writer.try_clone()?), writer })
    }

    /// One round trip. An error reply of the server is an error here.
    pub fn call(&mut self, arguments: &[&str]) -> Result<Reply> {
        let mut request = Vec::new();
        encode(&mut request, arguments);
        self.send(&request)?;
        match self.receive()? {
            Reply::Error(text) => bail!("{} answered: {text}", arguments[0]),
            reply => Ok(reply),
        }
    }

    /// Writes requests that are encoded already.
    pub fn send(&mut self, requests: &[u8]) -> Result<()> {
        self.writer.write_all(requests).context("sending to the server")
    }

    /// Reads one reply.
    pub fn receive(&mut self) -> Result<Reply> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).context("reading a reply")?;
        let Some(line) = line.strip_suffix(b"\r\n") else { bail!("the server closed the connection") };
        let (kind, rest) = line.split_first().context("the server sent an empty line")?;
        let text = String::from_utf8_lossy(rest).into_owned();
        Ok(match kind {
            b'+' => Reply::Simple(text),
            b'-' => Reply::Error(text),
            b':' => Reply::Integer(text.parse()?),
            b'$' => Reply::Bulk(self.receive_bulk(text.parse()?)?),
            b'*' => Reply::Array(self.receive_array(text.parse()?)?),
            _ => bail!("the server sent {:?}", String::from_utf8_lossy(line)),
        })
    }

    fn receive_bulk(&mut self, length: i64) -> Result<Option<Vec<u8>>> {
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        let mut bytes = vec![0; length + 2];
        self.reader.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(Some(bytes))
    }

    fn receive_array(&mut self, length: i64) -> Result<Option<Vec<Reply>>> {
        let Ok(length) = usize::try_from(length) else { return Ok(None) };
        (0..length).map(|_| self.receive()).collect::<Result<_>>().map(Some)
    }
}

/// Appends one command in RESP form.
pub fn encode<Argument: AsRef<[u8]>>(buffer: &mut Vec<u8>, arguments: &[Argument]) {
    buffer.extend_from_slice(format!("*{}\r\n", arguments.len()).as_bytes());
    for argument in arguments {
        let argument = argument.as_ref();
        buffer.extend_from_slice(format!("${}\r\n", argument.len()).as_bytes());
        buffer.extend_from_slice(argument);
        buffer.extend_from_slice(b"\r\n");
    }
}

/// The number in a line `field:number`.
fn number(info: &str, field: &str) -> Result<u64> {
    Ok(field_of(info, field).with_context(|| format!("INFO has no {field}"))?.parse()?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn reply_to(bytes: &'static [u8]) -> Result<Reply> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("the client connects");
            stream.write_all(bytes).expect("the client reads");
        });
        let reply = Client::connect(port).and_then(|mut client| client.receive());
        answering.join().expect("the answering thread ends");
        reply
    }

    #[test]
    fn replies_nest() {
        let reply = reply_to(b"*3\r\n:-7\r\n$2\r\nhi\r\n*1\r\n$-1\r\n").expect("a whole reply");
        let inner = Reply::Array(Some(vec![Reply::Bulk(None)]));
        assert_eq!(
            reply,
            Reply::Array(Some(vec![Reply::Integer(-7), Reply::Bulk(Some(b"hi".to_vec())), inner]))
        );
    }

    #[test]
    fn a_cut_reply_is_an_error() {
        assert!(reply_to(b"$5\r\nhi").is_err());
        assert!(reply_to(b"+OK").is_err());
    }

    #[test]
    fn requests_are_arrays_of_bulk_strings() {
        let mut buffer = Vec::new();
        encode(&mut buffer, &["GET", "k"]);
        assert_eq!(buffer, b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n");
    }

    #[test]
    fn numbers_are_found_by_their_whole_name() {
        let info = "# Persistence\r\nloading:0\r\nloading_since:5\r\n";
        assert_eq!(number(info, "loading").ok(), Some(0));
        assert_eq!(number(info, "loading_since").ok(), Some(5));
        assert!(number(info, "load").is_err());
    }
}
