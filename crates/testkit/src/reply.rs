//! Replies of both protocols as values, and reading them.

use std::fmt;
use std::io::{self, BufRead};

/// A bulk or an array longer than this is taken for a broken reply, so that garbage does not ask for memory.
const LENGTH_MAX: i64 = 1 << 32;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reply {
    /// `+OK`
    Simple(String),
    /// `-ERR ...`, RESP3's long errors included.
    Error(String),
    /// `:1`
    Integer(i64),
    /// `$3`
    Bulk(Vec<u8>),
    /// `$-1`, and RESP3's `_`.
    Null,
    /// `*-1`
    NullArray,
    /// `*2`
    Array(Vec<Reply>),
    /// `%1`: keys and values in turn.
    Map(Vec<Reply>),
    /// `~2`
    Set(Vec<Reply>),
    /// `>2`: what was not an answer.
    Push(Vec<Reply>),
    /// `,1.5`, as it was written.
    Double(String),
    /// `#t`
    Boolean(bool),
    /// `(123`
    BigNumber(String),
    /// `=7`, with its three letters and the colon.
    Verbatim(Vec<u8>),
}

impl Reply {
    /// `+OK`
    pub fn ok() -> Reply {
        Reply::simple("OK")
    }

    /// A simple string.
    pub fn simple(text: &str) -> Reply {
        Reply::Simple(text.to_owned())
    }

    /// A bulk string.
    pub fn bulk(text: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(text.as_ref().to_vec())
    }

    /// An error.
    pub fn error(text: &str) -> Reply {
        Reply::Error(text.to_owned())
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// The number in an integer or a bulk string.
    pub fn number(&self) -> Option<u64> {
        match self {
            Reply::Integer(number) => u64::try_from(*number).ok(),
            Reply::Bulk(text) => std::str::from_utf8(text).ok()?.parse().ok(),
            _ => None,
        }
    }

    /// The elements of an array, a set, a push or a map.
    ///
    /// # Panics
    /// When it is none.
    #[track_caller]
    pub fn elements(&self) -> &[Reply] {
        match self {
            Reply::Array(elements) | Reply::Set(elements) | Reply::Push(elements) | Reply::Map(elements) => {
                elements
            }
            other => panic!("no elements in {other:?}"),
        }
    }

    /// The text of a string, an error or a number, whatever way it was sent; bytes that are none are replaced.
    ///
    /// # Panics
    /// When it has no text.
    #[track_caller]
    pub fn text(&self) -> String {
        match self {
            Reply::Simple(text) | Reply::Error(text) | Reply::Double(text) | Reply::BigNumber(text) => {
                text.clone()
            }
            Reply::Integer(number) => number.to_string(),
            Reply::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Reply::Verbatim(bytes) => {
                String::from_utf8_lossy(bytes.get(4..).unwrap_or_default()).into_owned()
            }
            other => panic!("no text in {other:?}"),
        }
    }

    /// The same with the elements of every array and the pairs of every map in order, for replies that have none.
    pub fn sorted(self) -> Reply {
        let sort = |elements: Vec<Reply>| {
            let mut elements: Vec<Reply> = elements.into_iter().map(Reply::sorted).collect();
            elements.sort();
            elements
        };
        match self {
            Reply::Array(elements) => Reply::Array(sort(elements)),
            Reply::Set(elements) => Reply::Set(sort(elements)),
            Reply::Map(elements) => {
                let mut pairs: Vec<&[Reply]> = elements.chunks(2).collect();
                pairs.sort();
                Reply::Map(pairs.concat())
            }
            other => other,
        }
    }

    /// Reads one reply.
    ///
    /// # Errors
    /// When the connection ends or fails before the reply does, or when what comes is no reply.
    pub fn read(input: &mut impl BufRead) -> io::Result<Reply> {
        let line = read_line(input)?;
        let (kind, rest) = line.split_first().ok_or_else(|| broken(&line))?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        let number = || text().parse::<i64>().map_err(|_| broken(&line));
        let length =
            || number().and_then(|length| if length > LENGTH_MAX { Err(broken(&line)) } else { Ok(length) });
        Ok(match kind {
            b'+' => Reply::Simple(text()),
            b'-' => Reply::Error(text()),
            b':' => Reply::Integer(number()?),
            b'_' => Reply::Null,
            b'#' => Reply::Boolean(rest == b"t"),
            b',' => Reply::Double(text()),
            b'(' => Reply::BigNumber(text()),
            b'$' if length()? < 0 => Reply::Null,
            b'*' if length()? < 0 => Reply::NullArray,
            b'$' => Reply::Bulk(read_bulk(input, length()?)?),
            b'=' => Reply::Verbatim(read_bulk(input, length()?)?),
            b'!' => Reply::Error(String::from_utf8_lossy(&read_bulk(input, length()?)?).into_owned()),
            b'*' => Reply::Array(read_many(input, length()?)?),
            b'~' => Reply::Set(read_many(input, length()?)?),
            b'>' => Reply::Push(read_many(input, length()?)?),
            b'%' => Reply::Map(read_many(input, 2 * length()?)?),
            // An attribute stands before the reply that it is about.
            b'|' => {
                read_many(input, 2 * length()?)?;
                Reply::read(input)?
            }
            _ => return Err(broken(&line)),
        })
    }
}

/// The form in transcripts: `:1`, `-ERR x`, `[a, b]`, `null`; strings of all kinds are their text.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, open: &str, elements: &[Reply], close: &str| {
            f.write_str(open)?;
            for (index, element) in elements.iter().enumerate() {
                write!(f, "{}{element}", if index > 0 { ", " } else { "" })?;
            }
            f.write_str(close)
        };
        match self {
            Reply::Simple(text) | Reply::Double(text) | Reply::BigNumber(text) => f.write_str(text),
            Reply::Error(text) => write!(f, "-{text}"),
            Reply::Integer(number) => write!(f, ":{number}"),
            Reply::Bulk(bytes) | Reply::Verbatim(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
            Reply::Null => f.write_str("null"),
            Reply::NullArray => f.write_str("null-array"),
            Reply::Boolean(yes) => write!(f, "{yes}"),
            Reply::Array(elements) => list(f, "[", elements, "]"),
            Reply::Set(elements) => list(f, "~[", elements, "]"),
            Reply::Push(elements) => list(f, ">[", elements, "]"),
            Reply::Map(elements) => list(f, "{", elements, "}"),
        }
    }
}

/// A line without its end.
fn read_line(input: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.read_until(b'\n', &mut line)?;
    match line.strip_suffix(b"\r\n") {
        Some(whole) => Ok(whole.to_vec()),
        None if line.ends_with(b"\n") => Err(broken(&line)),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_bulk(input: &mut impl BufRead, length: i64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| broken(b"a negative length"))? + 2];
    input.read_exact(&mut bytes)?;
    if bytes.split_off(bytes.len() - 2) != b"\r\n" {
        return Err(broken(&bytes));
    }
    Ok(bytes)
}

fn read_many(input: &mut impl BufRead, count: i64) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| Reply::read(input)).collect()
}

fn broken(bytes: &[u8]) -> io::Error {
    let start = &bytes[..bytes.len().min(80)];
    io::Error::new(io::ErrorKind::InvalidData, format!("no reply: {}", start.escape_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(mut bytes: &[u8]) -> io::Result<Reply> {
        Reply::read(&mut bytes)
    }

    #[test]
    fn replies_of_both_protocols_are_read_and_shown() {
        for (bytes, shown) in [
            ("*3\r\n:-7\r\n$2\r\nhi\r\n*1\r\n$-1\r\n", "[:-7, hi, [null]]"),
            ("%1\r\n+a\r\n~2\r\n#t\r\n,1.5\r\n", "{a, ~[true, 1.5]}"),
            (">2\r\n(123\r\n=5\r\ntxt:x\r\n", ">[123, txt:x]"),
            ("!5\r\nERR x\r\n", "-ERR x"),
            ("|1\r\n+k\r\n+v\r\n*-1\r\n", "null-array"),
        ] {
            assert_eq!(read(bytes.as_bytes()).map(|reply| reply.to_string()).ok().as_deref(), Some(shown));
        }
    }

    #[test]
    fn what_is_cut_or_no_reply_is_an_error() {
        for bytes in
            ["", "+OK", "$5\r\nhi", "$2\r\nhiyo", "?\r\n", "*1\r\n", "$99999999999\r\n", ":x\r\n", "+a\n"]
        {
            assert!(read(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }
}
