//! The commands of a log's file, one after the other.
//!
//! Every length is bounded before it is believed, and memory grows with what is there, not with what is announced.

use std::io::{self, BufRead, Read};

use swytch_resp::{ArgRange, Query};

use crate::request::Args;

/// Longest line that says a length (Redis: 128).
const LINE_BYTES_MAX: usize = 128;
/// Longest line that says a time.
const ANNOTATION_BYTES_MAX: usize = 1024;
/// Words of one command, as of a request.
const WORDS_MAX: i64 = i32::MAX as i64;
/// Bytes of the words of one command, so that their places can be told.
const WORDS_BYTES_MAX: usize = u32::MAX as usize;

/// Whether a file that starts so is RDB, or begins as such.
pub fn begins_as_rdb(start: &[u8]) -> bool {
    [&b"REDIS"[..], b"VALKEY"].iter().any(|magic| start.starts_with(magic))
}

/// Why the next command cannot be read.
#[derive(Debug)]
pub enum Bad {
    /// The file ends in the middle of it.
    Truncated,
    /// It is none.
    Format,
    /// The disk fails.
    Unreadable(io::Error),
}

impl From<io::Error> for Bad {
    fn from(error: io::Error) -> Bad {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Bad::Truncated,
            _ => Bad::Unreadable(error),
        }
    }
}

/// Reads commands.
#[derive(Debug)]
pub struct CommandReader<R> {
    source: R,
    /// Where the next one begins.
    offset: u64,
    query: Query,
    ranges: Vec<ArgRange>,
}

impl<R: BufRead> CommandReader<R> {
    /// Reads what follows the first `offset` bytes of a file.
    pub fn new(source: R, offset: u64) -> CommandReader<R> {
        CommandReader { source, offset, query: Query::default(), ranges: Vec::new() }
    }

    /// Where the next command begins.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The command that was read last.
    pub fn command(&self) -> Args<'_> {
        Args::new(&self.query, &self.ranges)
    }

    /// Reads the next command; false at the end of the file.
    ///
    /// # Errors
    /// Why there is none.
    #[allow(clippy::should_implement_trait, reason = "it lends what it has read")]
    pub fn next(&mut self) -> Result<bool, Bad> {
        while self.source.fill_buf()?.first() == Some(&b'#') {
            self.offset += self.line(ANNOTATION_BYTES_MAX)?.len() as u64;
        }
        if self.source.fill_buf()?.is_empty() {
            return Ok(false);
        }
        self.query.bytes.clear();
        self.ranges.clear();
        let mut taken = 0;
        let words = self.length(b'*', &mut taken)?;
        if !(1..=WORDS_MAX).contains(&words) {
            return Err(Bad::Format);
        }
        for _ in 0..words {
            let len = usize::try_from(self.length(b'$', &mut taken)?).map_err(|_| Bad::Format)?;
            let start = self.query.bytes.len();
            if len > WORDS_BYTES_MAX - start {
                return Err(Bad::Format);
            }
            // Memory grows with what is there, not with what is announced.
            let read = (&mut self.source).take(len as u64).read_to_end(&mut self.query.bytes)?;
            let mut end = [0; 2];
            if read < len {
                return Err(Bad::Truncated);
            }
            self.source.read_exact(&mut end)?;
            if &end != b"\r\n" {
                return Err(Bad::Format);
            }
            self.ranges.push(ArgRange::new(start, len));
            taken += len as u64 + 2;
        }
        self.offset += taken;
        Ok(true)
    }

    fn length(&mut self, kind: u8, taken: &mut u64) -> Result<i64, Bad> {
        // However much of it is there.
        if self.source.fill_buf()?.first().is_some_and(|first| *first != kind) {
            return Err(Bad::Format);
        }
        let line = self.line(LINE_BYTES_MAX)?;
        *taken += line.len() as u64;
        let digits =
            line.strip_prefix(&[kind]).and_then(|rest| rest.strip_suffix(b"\r\n")).ok_or(Bad::Format)?;
        swytch_decimal::parse_i64(digits).ok_or(Bad::Format)
    }

    /// A line with its end.
    fn line(&mut self, bytes_max: usize) -> Result<Vec<u8>, Bad> {
        let mut line = Vec::new();
        (&mut self.source).take(bytes_max as u64).read_until(b'\n', &mut line)?;
        match line.last() {
            Some(b'\n') => Ok(line),
            _ if line.len() < bytes_max => Err(Bad::Truncated),
            _ => Err(Bad::Format),
        }
    }
}
