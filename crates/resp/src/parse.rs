//! The incremental request parser.
//!
//! A request is either a multibulk (`*2\r\n$3\r\nGET\r\n$1\r\nk\r\n`) or an inline line
//! (`GET k\r\n`). The parser keeps its place between calls, so a request that arrives in many
//! pieces is scanned once. Every length is checked against [`Limits`] before it is believed; no
//! memory is reserved for what was announced but has not arrived.
//!
//! Invariant: the ranges of a request point into the buffer handed to [`Parser::next`] and stay
//! true as long as the caller only appends to that buffer or tells [`Parser::rebase`] what it
//! removed from the front.
//!
//! Invariant: the parser never steps over what it refuses. Whoever asks again is told the same error, or, when the
//! limits were changed in between, is given the request; and where an error lies depends on the bytes alone, not on how
//! they were cut.
//!
//! One place is unsafe: the arguments of a short request are written into a list's spare room without a check for each.

use crate::query::{ArgRange, Query, bytes_of, keep_from};

/// What a client may announce.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one argument (`proto-max-bulk-len`).
    pub bulk_bytes_max: u64,
    /// Before authentication a request has at most ten arguments of at most 16 KiB each.
    pub authenticated: bool,
    /// An argument of at least this many bytes that has not arrived whole is read into memory of its own.
    pub long_argument_bytes_min: usize,
}

/// Longest inline request and longest length line, in bytes (Redis: PROTO_INLINE_MAX_SIZE).
pub const INLINE_BYTES_MAX: usize = 64 * 1024;
/// Most arguments of a request (Redis: INT_MAX).
pub const ARGUMENTS_MAX: i64 = i32::MAX as i64;
/// Most arguments of a request before authentication.
pub const UNAUTHENTICATED_ARGUMENTS_MAX: i64 = 10;
/// Most bytes of an argument before authentication.
pub const UNAUTHENTICATED_BULK_BYTES_MAX: i64 = 16 * 1024;

/// A request that breaks the protocol. The texts are Redis's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// `*` is not followed by a count in range.
    InvalidMultibulkLength,
    /// Too many arguments before authentication.
    UnauthenticatedMultibulkLength,
    /// `$` is not followed by a length in range.
    InvalidBulkLength,
    /// Too long an argument before authentication.
    UnauthenticatedBulkLength,
    /// Another byte where `$` must stand.
    ExpectedBulk(u8),
    /// No end of line after 64 KiB of a `*` line.
    MultibulkLineTooLong,
    /// No end of line after 64 KiB of a `$` line.
    BulkLineTooLong,
    /// No end of line after 64 KiB of an inline request.
    InlineTooLong,
    /// An inline request with a quote that never closes.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The text behind the minus sign.
    pub fn reply(&self) -> Vec<u8> {
        let fault: &[u8] = match self {
            Self::InvalidMultibulkLength => b"invalid multibulk length",
            Self::UnauthenticatedMultibulkLength => b"unauthenticated multibulk length",
            Self::InvalidBulkLength => b"invalid bulk length",
            Self::UnauthenticatedBulkLength => b"unauthenticated bulk length",
            Self::ExpectedBulk(byte) => &[b"expected '$', got '", std::slice::from_ref(byte), b"'"].concat(),
            Self::MultibulkLineTooLong => b"too big mbulk count string",
            Self::BulkLineTooLong => b"too big bulk count string",
            Self::InlineTooLong => b"too big inline request",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
        };
        [b"ERR Protocol error: ", fault].concat()
    }
}

/// What [`Parser::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A whole request; its arguments were appended to the caller's list. An empty request
    /// (`*0`, an empty line) appends nothing and is not answered.
    Request,
    /// More bytes are needed.
    Incomplete,
}

/// The place where parsing stopped.
#[derive(Debug, Default)]
pub struct Parser {
    /// First byte not yet consumed.
    position: usize,
    /// Arguments still missing of the request at hand; 0 between requests.
    missing: i64,
    /// Announced length of the argument at hand.
    bulk_len: Option<usize>,
    /// How far the search for the end of the line at hand has come.
    searched: usize,
    /// The argument at hand, as far as it has arrived, when it is a long one.
    long: Option<Vec<u8>>,
    /// Arguments of the request at hand that are already complete.
    partial: Vec<ArgRange>,
    /// Bytes of the arguments in `partial`.
    partial_bytes: usize,
    /// Bytes of inline arguments that had escapes and so could not be borrowed in place.
    unescaped: Vec<u8>,
}

impl Parser {
    /// First byte of the buffer that a later call still needs, when no request is half read.
    pub fn position(&self) -> usize {
        self.position
    }

    /// First byte of the buffer that must be kept.
    pub fn keep_from(&self) -> usize {
        keep_from(&self.partial).unwrap_or(self.position)
    }

    /// Arguments of the request at hand that have arrived (`CLIENT LIST` shows their bytes).
    pub fn partial_argument_bytes(&self) -> usize {
        self.partial_bytes
    }

    /// Bytes that the parser's own lists hold.
    pub fn held_bytes(&self) -> usize {
        self.partial.capacity() * size_of::<ArgRange>()
            + self.unescaped.capacity()
            + self.long.as_ref().map_or(0, Vec::capacity)
    }

    /// Gives back what the lists hold beyond what they need.
    pub fn shrink(&mut self) {
        self.partial.shrink_to_fit();
        self.unescaped = Vec::new();
    }

    /// The long argument at hand and the bytes that it lacks. While there is one, what arrives belongs to it; a byte or
    /// two more do no harm. [`Parser::settle`] is to be called before and after.
    pub fn long_argument(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let len = self.bulk_len?;
        let long = self.long.as_mut().filter(|long| long.len() < len)?;
        let missing = len - long.len();
        Some((long, missing))
    }

    /// True when the request at hand has long arguments. A request that begins with the next call has none.
    #[inline]
    pub fn holds_long_arguments(&self) -> bool {
        self.long.is_some() || self.partial.iter().any(|range| range.start().is_none())
    }

    /// Bytes of the long argument at hand that have arrived.
    pub fn long_bytes(&self) -> usize {
        self.long.as_ref().map_or(0, Vec::len)
    }

    /// Puts bytes that have arrived where they belong.
    pub fn receive(&mut self, query: &mut Query, bytes: &[u8]) {
        self.settle(query);
        match self.long_argument() {
            Some((long, _)) => long.extend_from_slice(bytes),
            None => query.bytes.extend_from_slice(bytes),
        }
        self.settle(query);
    }

    /// Moves what has arrived of a long argument to its place, and what has arrived behind it to the buffer.
    pub fn settle(&mut self, query: &mut Query) {
        let buffer = &mut query.bytes;
        let (Some(long), Some(len)) = (&mut self.long, self.bulk_len) else { return };
        if long.len() > len {
            debug_assert_eq!(
                self.position,
                buffer.len(),
                "what belongs to a long argument was put behind it"
            );
            buffer.extend(long.drain(len..));
        } else if long.len() < len && self.position < buffer.len() {
            long.extend(buffer.drain(self.position..buffer.len().min(self.position + len - long.len())));
            self.searched = self.position;
        }
    }

    /// Tells the parser that the caller removed `removed` bytes from the front of the buffer.
    pub fn rebase(&mut self, removed: usize) {
        self.position -= removed;
        self.searched = self.searched.saturating_sub(removed);
        self.partial.iter_mut().for_each(|range| range.rebase(removed));
    }

    /// Looks for one request. Its arguments are appended to `arguments`.
    ///
    /// # Errors
    /// A [`ProtocolError`] ends the connection: what follows in the buffer cannot be trusted.
    #[inline]
    pub fn next(
        &mut self,
        query: &mut Query,
        limits: &Limits,
        arguments: &mut Vec<ArgRange>,
    ) -> Result<Parsed, ProtocolError> {
        if self.missing == 0 {
            if let Some(position) = short_request(&query.bytes, self.position, arguments) {
                self.position = position;
                self.searched = position;
                return Ok(Parsed::Request);
            }
            let Some(&first) = query.bytes.get(self.position) else { return Ok(Parsed::Incomplete) };
            if first != b'*' {
                return self.inline(&mut query.bytes, arguments);
            }
            let line = self.position;
            let Some(count) = self.length_line(
                &query.bytes,
                ProtocolError::MultibulkLineTooLong,
                ProtocolError::InvalidMultibulkLength,
            )?
            else {
                return Ok(Parsed::Incomplete);
            };
            if count > ARGUMENTS_MAX {
                return Err(self.refuse(line, ProtocolError::InvalidMultibulkLength));
            }
            if count > UNAUTHENTICATED_ARGUMENTS_MAX && !limits.authenticated {
                return Err(self.refuse(line, ProtocolError::UnauthenticatedMultibulkLength));
            }
            if count <= 0 {
                return Ok(Parsed::Request);
            }
            self.missing = count;
        }
        if self.partial.is_empty() {
            let before = arguments.len();
            let whole = self.bulks(query, limits, arguments);
            if let Ok(true) = whole {
                return Ok(Parsed::Request);
            }
            self.keep(query, arguments, before);
            whole?;
        } else {
            let mut partial = std::mem::take(&mut self.partial);
            let before = partial.len();
            let whole = self.bulks(query, limits, &mut partial);
            if let Ok(true) = whole {
                // The list is given away with what it held: the next request may be a small one.
                arguments.append(&mut partial);
                self.partial_bytes = 0;
                return Ok(Parsed::Request);
            }
            self.partial_bytes += bytes_of(&partial[before..], query);
            self.partial = partial;
            whole?;
        }
        Ok(Parsed::Incomplete)
    }

    /// Keeps the arguments from `before` on for when the rest has arrived.
    #[cold]
    fn keep(&mut self, query: &Query, arguments: &mut Vec<ArgRange>, before: usize) {
        self.partial_bytes = bytes_of(&arguments[before..], query);
        self.partial.extend(arguments.drain(before..));
    }

    /// Steps back to the line that is refused.
    #[cold]
    fn refuse(&mut self, line: usize, error: ProtocolError) -> ProtocolError {
        self.position = line;
        self.searched = line;
        error
    }

    /// Reads the missing arguments; true when the last one is complete.
    #[inline]
    fn bulks(
        &mut self,
        query: &mut Query,
        limits: &Limits,
        arguments: &mut Vec<ArgRange>,
    ) -> Result<bool, ProtocolError> {
        while self.missing > 0 {
            let buffer = &query.bytes[..];
            let len = match self.bulk_len {
                Some(len) => len,
                None => {
                    match buffer.get(self.position) {
                        None => return Ok(false),
                        Some(b'$') => {}
                        Some(&other) => {
                            // Redis complains about the byte only once the line is there.
                            let line = &buffer[self.position..];
                            let end = line.iter().take(INLINE_BYTES_MAX + 1).position(|byte| *byte == b'\r');
                            return match end {
                                Some(end) if end + 1 < line.len() => Err(ProtocolError::ExpectedBulk(other)),
                                None if line.len() > INLINE_BYTES_MAX => Err(ProtocolError::BulkLineTooLong),
                                _ => Ok(false),
                            };
                        }
                    }
                    let line = self.position;
                    let Some(len) = self.length_line(
                        buffer,
                        ProtocolError::BulkLineTooLong,
                        ProtocolError::InvalidBulkLength,
                    )?
                    else {
                        return Ok(false);
                    };
                    if len < 0 || len as u64 > limits.bulk_bytes_max {
                        return Err(self.refuse(line, ProtocolError::InvalidBulkLength));
                    }
                    if len > UNAUTHENTICATED_BULK_BYTES_MAX && !limits.authenticated {
                        return Err(self.refuse(line, ProtocolError::UnauthenticatedBulkLength));
                    }
                    self.bulk_len = Some(len as usize);
                    len as usize
                }
            };
            // Redis trusts the two bytes behind the argument to be CR LF, and so do clients.
            if self.long.is_some() || buffer.len() - self.position < len + 2 {
                if !self.long_arrived(query, len, limits, arguments) {
                    return Ok(false);
                }
            } else {
                arguments.push(ArgRange::new(self.position, len));
                self.position += len + 2;
            }
            self.searched = self.position;
            self.bulk_len = None;
            self.missing -= 1;
        }
        Ok(true)
    }

    /// Of an argument that does not lie in the buffer as a whole: whether it has arrived in memory of its own, up to the
    /// line's end behind it. One that is long enough is given such memory from here on.
    #[cold]
    fn long_arrived(
        &mut self,
        query: &mut Query,
        len: usize,
        limits: &Limits,
        arguments: &mut Vec<ArgRange>,
    ) -> bool {
        let arrived = query.bytes.len() - self.position;
        match &self.long {
            Some(long) if long.len() == len && arrived >= 2 => {
                arguments.push(ArgRange::long(query.long.len()));
                query.long.extend(self.long.take().map(Into::into));
                self.position += 2;
                true
            }
            Some(_) => false,
            None => {
                if len >= limits.long_argument_bytes_min && arrived < len {
                    self.long = Some(Vec::new());
                }
                false
            }
        }
    }

    /// Reads the integer between the type byte and the end of its line and steps over the line.
    #[inline]
    fn length_line(
        &mut self,
        buffer: &[u8],
        too_long: ProtocolError,
        invalid: ProtocolError,
    ) -> Result<Option<i64>, ProtocolError> {
        let digits = &buffer[self.position + 1..];
        // Nearly all lengths have one to three digits: read them without a search for the line end.
        let mut value: i64 = 0;
        for (at, &byte) in digits.iter().enumerate().take(10) {
            let digit = byte.wrapping_sub(b'0');
            if digit > 9 {
                let canonical = at > 0 && (digits[0] != b'0' || at == 1);
                if byte == b'\r' && canonical {
                    if digits.len() == at + 1 {
                        return Ok(None);
                    }
                    self.position += at + 3;
                    return Ok(Some(value));
                }
                break;
            }
            value = value * 10 + i64::from(digit);
        }
        let Some(end) = find_newline(buffer, self.searched.max(self.position)) else {
            self.searched = buffer.len().saturating_sub(1);
            if buffer.len() - self.position > INLINE_BYTES_MAX {
                return Err(too_long);
            }
            return Ok(None);
        };
        if end - self.position > INLINE_BYTES_MAX {
            return Err(too_long);
        }
        // The byte behind CR is taken to be LF; wait for it.
        if end + 1 >= buffer.len() {
            return Ok(None);
        }
        let value = swytch_decimal::parse_i64(&buffer[self.position + 1..end]).ok_or(invalid)?;
        self.position = end + 2;
        self.searched = self.position;
        Ok(Some(value))
    }

    /// An inline request: words divided by spaces, with quotes as in a shell.
    #[cold]
    fn inline(&mut self, buffer: &mut [u8], arguments: &mut Vec<ArgRange>) -> Result<Parsed, ProtocolError> {
        let from = self.searched.max(self.position);
        let Some(newline) = buffer[from..].iter().position(|&byte| byte == b'\n').map(|at| at + from) else {
            self.searched = buffer.len();
            if buffer.len() - self.position > INLINE_BYTES_MAX {
                return Err(ProtocolError::InlineTooLong);
            }
            return Ok(Parsed::Incomplete);
        };
        if newline - self.position > INLINE_BYTES_MAX {
            return Err(ProtocolError::InlineTooLong);
        }
        let line_start = self.position;
        let line_end =
            if newline > line_start && buffer[newline - 1] == b'\r' { newline - 1 } else { newline };
        self.unescaped.clear();
        let mut words = Vec::new();
        split_words(&buffer[line_start..line_end], &mut self.unescaped, &mut words)?;
        // The words, unescaped, never take more room than the line: put them in its place.
        let mut at = line_start;
        let mut taken = 0;
        for len in words {
            buffer[at..at + len].copy_from_slice(&self.unescaped[taken..taken + len]);
            arguments.push(ArgRange::new(at, len));
            at += len;
            taken += len;
        }
        self.position = newline + 1;
        self.searched = self.position;
        Ok(Parsed::Request)
    }
}

/// Most arguments of a request that [`short_request`] understands. Its longest argument, of 999 bytes, and this count
/// are within every limit, before and after authentication.
const SHORT_ARGUMENTS_MAX: usize = 9;

/// Reads a request that has arrived whole, has at most nine arguments, each of them below 1000 bytes:
/// nearly every request. Anything else is left to the general way, which gives the same answer.
#[inline]
fn short_request(buffer: &[u8], position: usize, arguments: &mut Vec<ArgRange>) -> Option<usize> {
    let count = digit_line(word_at(buffer, position)?, b'*');
    if !(1..=SHORT_ARGUMENTS_MAX as u32).contains(&count) {
        return None;
    }
    arguments.reserve(SHORT_ARGUMENTS_MAX);
    let spare = arguments.spare_capacity_mut().first_chunk_mut::<SHORT_ARGUMENTS_MAX>()?;
    let mut at = position + 4;
    for range in &mut spare[..count as usize] {
        let (len, start) = short_length(buffer, at)?;
        at = start + len as usize + 2;
        if at > buffer.len() {
            return None;
        }
        range.write(ArgRange::new(start, len as usize));
    }
    // SAFETY: the first `count` elements of the spare capacity were written just now.
    unsafe { arguments.set_len(arguments.len() + count as usize) };
    Some(at)
}

/// The four bytes at `at`, the first in the lowest byte.
#[inline]
fn word_at(buffer: &[u8], at: usize) -> Option<u32> {
    buffer.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// The digit of a line that is `kind`, one digit, CR, LF; for any other four bytes a number above 9.
#[inline]
fn digit_line(word: u32, kind: u8) -> u32 {
    // What must be equal becomes 0; turned round, it stands above the digit.
    (word ^ u32::from_le_bytes([kind, b'0', b'\r', b'\n'])).rotate_right(8)
}

/// The number in a line of `$`, one to three digits without a zero in front, CR, LF at `at`; and where the line after
/// it begins.
#[inline]
fn short_length(buffer: &[u8], at: usize) -> Option<(u32, usize)> {
    let word = word_at(buffer, at)?;
    let digit = digit_line(word, b'$');
    if digit <= 9 {
        return Some((digit, at + 4));
    }
    let digit = |shift: u32| (word >> shift & 0xff) ^ u32::from(b'0');
    let (first, second) = (digit(8), digit(16));
    if word & 0xff != u32::from(b'$') || !(1..=9).contains(&first) || second > 9 {
        return None;
    }
    match buffer.get(at + 3..)? {
        [b'\r', b'\n', ..] => Some((first * 10 + second, at + 5)),
        [third @ b'0'..=b'9', b'\r', b'\n', ..] => {
            Some((first * 100 + second * 10 + u32::from(third - b'0'), at + 6))
        }
        _ => None,
    }
}

/// Position of the next CR at or after `from`.
fn find_newline(buffer: &[u8], from: usize) -> Option<usize> {
    buffer[from..].iter().position(|&byte| byte == b'\r').map(|at| at + from)
}

/// Splits a line as Redis's `sdssplitargs` does: double quotes with escapes, single quotes with
/// `\'`, and nothing but a space may follow a closing quote. A NUL is a byte like others, where Redis waits for ever.
pub fn split_words(line: &[u8], bytes: &mut Vec<u8>, lengths: &mut Vec<usize>) -> Result<(), ProtocolError> {
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at >= line.len() {
            return Ok(());
        }
        let start = bytes.len();
        at = match_word(line, at, bytes)?;
        lengths.push(bytes.len() - start);
    }
}

/// Appends one word that begins at `at` and returns the position behind it.
fn match_word(line: &[u8], mut at: usize, bytes: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    while at < line.len() && !is_space(line[at]) {
        match line[at] {
            quote @ (b'"' | b'\'') => {
                at = match_quoted(line, at + 1, quote, bytes)?;
                if at < line.len() && !is_space(line[at]) {
                    return Err(ProtocolError::UnbalancedQuotes);
                }
            }
            byte => {
                bytes.push(byte);
                at += 1;
            }
        }
    }
    Ok(at)
}

/// Appends what stands up to the closing `quote` and returns the position behind it.
fn match_quoted(line: &[u8], mut at: usize, quote: u8, bytes: &mut Vec<u8>) -> Result<usize, ProtocolError> {
    while at < line.len() {
        let rest = &line[at..];
        match (quote, rest) {
            (b'"', [b'\\', b'x', high, low, ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(hex(*high) << 4 | hex(*low));
                at += 4;
            }
            (b'"', [b'\\', escaped, ..]) => {
                bytes.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => *other,
                });
                at += 2;
            }
            (b'\'', [b'\\', b'\'', ..]) => {
                bytes.push(b'\'');
                at += 2;
            }
            (_, [byte, ..]) if *byte == quote => return Ok(at + 1),
            _ => {
                bytes.push(line[at]);
                at += 1;
            }
        }
    }
    Err(ProtocolError::UnbalancedQuotes)
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

fn hex(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits =
        Limits { bulk_bytes_max: 512 << 20, authenticated: true, long_argument_bytes_min: 10 };

    fn query_of(bytes: &[u8]) -> Query {
        Query { bytes: bytes.to_vec(), long: Vec::new() }
    }

    /// Parses everything in `input`, fed in pieces of `step` bytes.
    fn check(input: &[u8], step: usize) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let mut parser = Parser::default();
        let mut query = Query::default();
        let mut requests = Vec::new();
        for piece in input.chunks(step) {
            parser.receive(&mut query, piece);
            loop {
                let mut arguments = Vec::new();
                match parser.next(&mut query, &LIMITS, &mut arguments) {
                    Ok(Parsed::Request) => {
                        let read = |range: &ArgRange| range.of(&query).to_vec();
                        requests.push(arguments.iter().map(read).collect());
                    }
                    Ok(Parsed::Incomplete) => break,
                    Err(error) => return (requests, Some(error)),
                }
            }
            let keep = parser.keep_from();
            query.bytes.drain(..keep);
            parser.rebase(keep);
        }
        (requests, None)
    }

    fn words(list: &[&str]) -> Vec<Vec<u8>> {
        list.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn requests_are_the_same_however_they_are_cut() {
        let input = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING  \"a\\x41\\n\" 'b\\'c'\r\n*0\r\n\r\n*3\r\n$3\r\nSET\r\n$0\r\n\r\n$12\r\nhello\r\nworld\r\n";
        let expect = vec![
            words(&["GET", "k"]),
            words(&["PING", "aA\n", "b'c"]),
            vec![],
            vec![],
            words(&["SET", "", "hello\r\nworld"]),
        ];
        for step in 1..=input.len() {
            assert_eq!(check(input, step), (expect.clone(), None), "step {step}");
        }
    }

    #[test]
    fn what_looks_like_a_line_in_a_long_argument_is_its_own() {
        let input = b"*1\r\n$12\r\n\0\0\0\0\0\0\0\0\0\0\0\0\r\n*1\r\n$14\r\nab\r\ncd\r\nef\r\ngh\r\n";
        let expect = vec![vec![vec![0; 12]], vec![b"ab\r\ncd\r\nef\r\ngh".to_vec()]];
        for step in 1..=input.len() {
            assert_eq!(check(input, step), (expect.clone(), None), "step {step}");
        }
    }

    #[test]
    fn broken_requests_name_their_fault() {
        let cases: &[(&[u8], ProtocolError)] = &[
            (b"*a\r\n", ProtocolError::InvalidMultibulkLength),
            (b"*3000000000\r\n", ProtocolError::InvalidMultibulkLength),
            (b"*1\r\n$a\r\n", ProtocolError::InvalidBulkLength),
            (b"*1\r\n$-1\r\n", ProtocolError::InvalidBulkLength),
            (b"*1\r\n$99999999999\r\n", ProtocolError::InvalidBulkLength),
            (b"*1\r\nfoo\r\n", ProtocolError::ExpectedBulk(b'f')),
            (b"a \"b\r\n", ProtocolError::UnbalancedQuotes),
            (b"a \"b\"c\r\n", ProtocolError::UnbalancedQuotes),
        ];
        for (input, expect) in cases {
            for step in [1, 3, 100] {
                assert_eq!(check(input, step).1.as_ref(), Some(expect), "{}", String::from_utf8_lossy(input));
            }
        }
        let endless = vec![b'x'; INLINE_BYTES_MAX + 1];
        assert_eq!(check(&endless, 4096).1, Some(ProtocolError::InlineTooLong));
        let mut endless = vec![b'1'; INLINE_BYTES_MAX + 10];
        endless[0] = b'*';
        assert_eq!(check(&endless, 4096).1, Some(ProtocolError::MultibulkLineTooLong));
    }

    #[test]
    fn an_error_is_found_again_at_the_same_place() {
        let broken: [&[u8]; 5] = [
            b"*2147483648\r\n*1\r\n$4\r\nPING\r\n",
            b"*2\r\n$3\r\nGET\r\n$99999999999\r\n*1\r\n$4\r\nPING\r\n",
            b"*2\r\n$3\r\nGET\r\n:1\r\n*1\r\n$4\r\nPING\r\n",
            b"*x\r\n*1\r\n$4\r\nPING\r\n",
            b"a \"b\r\n*1\r\n$4\r\nPING\r\n",
        ];
        for input in broken {
            let (mut parser, mut query, mut arguments) = (Parser::default(), query_of(input), Vec::new());
            let first = parser.next(&mut query, &LIMITS, &mut arguments);
            assert!(first.is_err(), "{}", String::from_utf8_lossy(input));
            query.bytes.extend_from_slice(b"PING\r\n");
            assert_eq!(parser.next(&mut query, &LIMITS, &mut arguments), first);
            assert_eq!(arguments, [], "{}", String::from_utf8_lossy(input));
        }
    }

    #[test]
    fn what_larger_limits_allow_is_read_after_all() {
        let (mut parser, mut arguments) = (Parser::default(), Vec::new());
        let long = "x".repeat(2000);
        let mut query = query_of(format!("*2\r\n$1\r\na\r\n$2000\r\n{long}\r\n").as_bytes());
        let small = Limits { bulk_bytes_max: 1000, ..LIMITS };
        let refused = parser.next(&mut query, &small, &mut arguments);
        assert_eq!(refused, Err(ProtocolError::InvalidBulkLength));
        assert_eq!(parser.next(&mut query, &LIMITS, &mut arguments), Ok(Parsed::Request));
        let found: Vec<&[u8]> = arguments.iter().map(|range| range.of(&query)).collect();
        assert_eq!(found, [b"a".as_slice(), long.as_bytes()]);
    }

    #[test]
    fn lines_are_too_long_wherever_they_are_cut() {
        for (start, error) in [
            ("", ProtocolError::InlineTooLong),
            ("*", ProtocolError::MultibulkLineTooLong),
            ("*1\r\n$", ProtocolError::BulkLineTooLong),
            ("*1\r\n:", ProtocolError::BulkLineTooLong),
        ] {
            let mut input = start.as_bytes().to_vec();
            input.resize(input.len() + INLINE_BYTES_MAX + 1, b'1');
            input.extend_from_slice(b"\r\n");
            for step in [1000, input.len() - 2, input.len()] {
                assert_eq!(check(&input, step).1.as_ref(), Some(&error), "{start:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn a_nul_byte_is_a_part_of_its_word() {
        let expect = vec![vec![b"SET".to_vec(), b"k".to_vec(), b"a\0b".to_vec()]];
        assert_eq!(check(b"SET k a\0b\r\n", 100), (expect, None));
    }

    #[test]
    fn strangers_may_announce_little() {
        let mut parser = Parser::default();
        let limits = Limits { authenticated: false, ..LIMITS };
        let mut arguments = Vec::new();
        let mut query = query_of(b"*11\r\n");
        assert_eq!(
            parser.next(&mut query, &limits, &mut arguments),
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        );
        let mut parser = Parser::default();
        let mut query = query_of(b"*1\r\n$16385\r\n");
        assert_eq!(
            parser.next(&mut query, &limits, &mut arguments),
            Err(ProtocolError::UnauthenticatedBulkLength)
        );
    }
}
