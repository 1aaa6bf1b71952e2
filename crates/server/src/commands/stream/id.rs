//! Identifiers of entries as clients write them.

use std::io::Write;

use swytch_decimal::Digits;
use swytch_store::StreamId;

use crate::command::prelude::*;

/// Most bytes of an identifier: two numbers and a dash.
pub(super) const TEXT_BYTES: usize = 41;
/// Most bytes of what may be one.
const GIVEN_BYTES_MAX: usize = 127;

/// An identifier as clients read it.
#[inline]
pub(super) fn text(buffer: &mut [u8; TEXT_BYTES], id: StreamId) -> &[u8] {
    let (Ok(ms), Ok(sequence)) = (i64::try_from(id.ms), i64::try_from(id.sequence)) else {
        return large_text(buffer, id);
    };
    let mut len = 0;
    for (number, before) in [(ms, &b""[..]), (sequence, b"-")] {
        for part in [before, &Digits::of(number)] {
            buffer[len..len + part.len()].copy_from_slice(part);
            len += part.len();
        }
    }
    &buffer[..len]
}

#[cold]
fn large_text(buffer: &mut [u8; TEXT_BYTES], id: StreamId) -> &[u8] {
    let mut rest = &mut buffer[..];
    write!(rest, "{id}").expect("two numbers of 64 bits fit");
    let left = rest.len();
    &buffer[..TEXT_BYTES - left]
}

/// An identifier as it is given: the sequence may be absent, or left to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) ms: u64,
    pub(super) sequence: Sequence,
}

/// A sequence as it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sequence {
    Number(u64),
    Absent,
    /// `*`
    Any,
}

fn invalid() -> CommandError {
    CommandError::text("ERR Invalid stream ID specified as stream command argument")
}

/// A number as Redis reads one without a sign (`string2ull`).
fn number(text: &[u8]) -> Option<u64> {
    if let Some(number) = swytch_decimal::parse_i64(text) {
        return u64::try_from(number).ok();
    }
    // `strtoull` takes white space, a sign and zeros in front.
    let text = std::str::from_utf8(text).ok()?.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    if let Some(digits) = text.strip_prefix('-') {
        let number: u64 =
            digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())??;
        return Some(number.wrapping_neg());
    }
    let digits = text.strip_prefix('+').unwrap_or(text);
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// Reads `ms`, `ms-sequence` or `ms-*`.
pub(super) fn given(text: &[u8]) -> Result<Given, CommandError> {
    if text.len() > GIVEN_BYTES_MAX {
        return Err(invalid());
    }
    // It ends where a string of C does.
    let text = crate::system::escape::up_to_zero(text);
    let (ms, sequence) = match text.iter().position(|byte| *byte == b'-') {
        Some(0) => return Err(invalid()),
        Some(dash) => (&text[..dash], Some(&text[dash + 1..])),
        None => (text, None),
    };
    let sequence = match sequence {
        None => Sequence::Absent,
        Some(b"*") => Sequence::Any,
        Some(digits) => Sequence::Number(number(digits).ok_or_else(invalid)?),
    };
    Ok(Given { ms: number(ms).ok_or_else(invalid)?, sequence })
}

/// Reads an identifier that names one entry; without a sequence it is that of 0.
pub(super) fn strict(text: &[u8]) -> Result<StreamId, CommandError> {
    bounded(text, 0)
}

fn bounded(text: &[u8], absent: u64) -> Result<StreamId, CommandError> {
    let Given { ms, sequence } = given(text)?;
    match sequence {
        Sequence::Number(sequence) => Ok(StreamId { ms, sequence }),
        Sequence::Absent => Ok(StreamId { ms, sequence: absent }),
        Sequence::Any => Err(invalid()),
    }
}

/// Reads an identifier, of which `-` is the lowest and `+` the highest.
pub(super) fn open_ended(text: &[u8], absent: u64) -> Result<StreamId, CommandError> {
    match text {
        b"-" => Ok(StreamId::MIN),
        b"+" => Ok(StreamId::MAX),
        _ => bounded(text, absent),
    }
}

/// Reads the start of an interval, which `(` excludes.
pub(super) fn interval_start(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => bounded(rest, 0)?
            .next()
            .ok_or_else(|| CommandError::text("ERR invalid start ID for the interval")),
        _ => open_ended(text, 0),
    }
}

/// Reads the end of an interval, which `(` excludes.
pub(super) fn interval_end(text: &[u8]) -> Result<StreamId, CommandError> {
    match text {
        [b'(', rest @ ..] if !rest.is_empty() => bounded(rest, u64::MAX)?
            .previous()
            .ok_or_else(|| CommandError::text("ERR invalid end ID for the interval")),
        _ => open_ended(text, u64::MAX),
    }
}

/// Reads the arguments from an index on as identifiers of entries.
pub(super) fn all<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> Result<Vec<StreamId>, CommandError> {
    arguments.map(strict).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_written_as_they_are_read() {
        for (ms, sequence) in [(0, 0), (1, 23), (u64::MAX, 0), (5, u64::MAX), (u64::MAX, u64::MAX)] {
            let id = StreamId { ms, sequence };
            assert_eq!(strict(text(&mut [0; TEXT_BYTES], id)), Ok(id));
            assert_eq!(text(&mut [0; TEXT_BYTES], id), id.to_string().as_bytes());
        }
    }

    #[test]
    fn what_is_no_identifier_is_refused() {
        for text in ["", "-", "+", "-1", "1-", "a-1", "1-b", "1-*", "1-2-3", "18446744073709551616"] {
            assert!(strict(text.as_bytes()).is_err(), "{text}");
        }
        assert_eq!(open_ended(b"7", u64::MAX), Ok(StreamId { ms: 7, sequence: u64::MAX }));
        assert_eq!(interval_start(b"(7-1"), Ok(StreamId { ms: 7, sequence: 2 }));
        assert!(interval_end(b"(0-0").is_err() && interval_start(b"(-").is_err());
    }
}
