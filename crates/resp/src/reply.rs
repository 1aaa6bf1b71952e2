//! The reply writer for both protocols.
//!
//! One method per reply type of RESP3; under RESP2 each falls back to what Redis sends there (a map
//! becomes a flat array, a double a bulk string, ...). Commands never look at the protocol.
//!
//! Two places are unsafe: short lines and short bulk strings, which most replies are, are written with one check for
//! room.

use std::ops::Range;

use swytch_decimal::{decimal_len, double_as_integer, format_double, format_i64, write_i64_before};

use crate::output::{Output, REFERENCE_BYTES_MIN, SharedBytes};
use crate::push::{MessageRow, PushMessage, sign};

/// The protocol a connection has chosen with HELLO.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// The protocol of Redis up to 5, and the default.
    #[default]
    Resp2,
    /// The protocol of Redis 6 and later, chosen with `HELLO 3`.
    Resp3,
}

/// Appends replies to an output.
#[derive(Debug)]
pub struct Reply<'a> {
    out: &'a mut Output,
    protocol: Protocol,
    /// Where the reply that is being written begins.
    began: usize,
}

impl<'a> Reply<'a> {
    /// A writer that appends to `out`.
    #[inline]
    pub fn new(out: &'a mut Output, protocol: Protocol) -> Self {
        let began = out.position();
        Reply { out, protocol, began }
    }

    /// The protocol that is spoken; for the rare reply whose shape Redis changes with it.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Changes the protocol for what follows (HELLO).
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    /// A writer of replies that become part of this one.
    pub fn nested(&mut self, protocol: Protocol) -> Reply<'_> {
        Reply::new(self.out, protocol)
    }

    /// Begins another reply.
    #[inline]
    pub fn begin(&mut self) {
        self.began = self.out.position();
    }

    /// Where the reply began in the output.
    pub fn began(&self) -> usize {
        self.began
    }

    /// Where it ends so far.
    #[inline]
    pub fn position(&self) -> usize {
        self.out.position()
    }

    /// Bytes of it so far.
    #[inline]
    pub fn bytes(&self) -> usize {
        self.position() - self.began
    }

    /// The code that the reply's error begins with, if it is one and lies where short replies lie.
    pub fn error_code(&self) -> Option<&[u8]> {
        let text = self.out.since(self.began)?.strip_prefix(b"-")?;
        text.split(|byte| matches!(byte, b' ' | b'\r')).next()
    }

    /// True when the output keeps nothing more and the connection is to end: the rest need not be written.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.out.is_full()
    }

    /// Takes back what was written of the reply.
    pub fn restart(&mut self) {
        self.out.rewind(self.began);
    }

    /// Appends bytes that are already a reply, or a part of one.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// [`Reply::raw`] of a few bytes, with one check for room.
    #[inline]
    fn short<const N: usize>(&mut self, bytes: [u8; N]) {
        self.out.reserve(N);
        let out = &mut self.out.tail;
        // SAFETY: the room was reserved; all bytes up to the new length are written.
        unsafe {
            let before = out.len();
            out.as_mut_ptr().add(before).cast::<[u8; N]>().write(bytes);
            out.set_len(before + N);
        }
    }

    /// `+OK`
    #[inline]
    pub fn ok(&mut self) {
        self.short(*b"+OK\r\n");
    }

    /// A simple string; `text` has no line ends.
    pub fn simple(&mut self, text: &str) {
        self.raw(b"+");
        self.raw(text.as_bytes());
        self.raw(b"\r\n");
    }

    /// An error line. `text` begins with its code (`ERR ...`) and may quote any bytes of a client; line ends in it become
    /// spaces.
    pub fn error(&mut self, text: &[u8]) {
        self.raw(b"-");
        for (index, line) in text.split(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
            self.raw(if index == 0 { b"" } else { b" " });
            self.raw(line);
        }
        self.raw(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        self.prefixed(b':', value);
    }

    /// A length or count as an integer.
    #[inline]
    pub fn count(&mut self, value: usize) {
        self.integer(value as i64);
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        let len = bytes.len();
        if len >= 100 {
            self.prefixed_long(b'$', len as i64);
            self.raw(bytes);
            self.raw(b"\r\n");
            return;
        }
        // One check for header, body and line end.
        self.out.reserve(100 + LINE_BYTES_MAX);
        let (tens, ones) = (b'0' + (len / 10) as u8, b'0' + (len % 10) as u8);
        let header = if len >= 10 { [b'$', tens, ones, b'\r', b'\n'] } else { [b'$', ones, b'\r', b'\n', 0] };
        let header_len = if len >= 10 { 5 } else { 4 };
        let out = &mut self.out.tail;
        // SAFETY: the room was reserved; all bytes up to the new length are written.
        unsafe {
            let before = out.len();
            let start = out.as_mut_ptr().add(before);
            start.cast::<[u8; 5]>().write(header);
            let body = start.add(header_len);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), body, len);
            body.add(len).cast::<[u8; 2]>().write(*b"\r\n");
            out.set_len(before + header_len + len + 2);
        }
    }

    /// A bulk string that is a part of `bytes`. If it is long, the reply refers to what `share` returns: the same bytes,
    /// which nobody will change.
    pub fn bulk_shared(&mut self, bytes: &[u8], part: Range<usize>, share: impl FnOnce() -> SharedBytes) {
        if part.len() < REFERENCE_BYTES_MIN {
            return self.bulk(&bytes[part]);
        }
        self.prefixed_long(b'$', part.len() as i64);
        self.out.extend_shared(share(), part);
        self.raw(b"\r\n");
    }

    /// A bulk string that holds an integer.
    pub fn bulk_integer(&mut self, value: i64) {
        let mut digits = [0; 20];
        self.bulk(format_i64(&mut digits, value));
    }

    /// A bulk string, or null where there is none.
    pub fn bulk_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.bulk(bytes),
            None => self.null(),
        }
    }

    /// The absence of a value.
    #[inline]
    pub fn null(&mut self) {
        self.raw(if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// The absence of an array; RESP2 writes it in its own way.
    pub fn null_array(&mut self) {
        self.raw(if self.protocol == Protocol::Resp3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// Begins an array of `len` replies.
    #[inline]
    pub fn array(&mut self, len: usize) {
        self.prefixed(b'*', len as i64);
    }

    /// Begins a map of `len` pairs.
    pub fn map(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp3 => self.prefixed(b'%', len as i64),
            Protocol::Resp2 => self.array(len * 2),
        }
    }

    /// Begins a set of `len` members.
    pub fn set(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp3 => self.prefixed(b'~', len as i64),
            Protocol::Resp2 => self.array(len),
        }
    }

    /// Begins a list of `len` pairs, of which [`Reply::pair`] begins each. RESP2 has their parts one behind the other.
    pub fn pairs(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp3 => self.array(len),
            Protocol::Resp2 => self.array(len * 2),
        }
    }

    /// Begins a pair of a list.
    #[inline]
    pub fn pair(&mut self) {
        if self.protocol == Protocol::Resp3 {
            self.array(2);
        }
    }

    /// Begins an out-of-band message of `len` parts.
    pub fn push(&mut self, len: usize) {
        match self.protocol {
            Protocol::Resp3 => self.prefixed(b'>', len as i64),
            Protocol::Resp2 => self.array(len),
        }
    }

    /// An out-of-band message that others are given too.
    pub fn message(&mut self, message: &PushMessage) {
        self.raw(&[sign(self.protocol)]);
        message.append_to(self.out);
    }

    /// A part of a row of such messages.
    pub fn messages(&mut self, row: &MessageRow, part: Range<usize>) {
        self.out.extend(&row.form(self.protocol)[part]);
    }

    /// Writes what is no reply but out of band: it stays although the client wants no reply. The reply begins behind it.
    pub fn out_of_band(&mut self, write: impl FnOnce(&mut Self)) {
        let silent = self.out.is_silent();
        self.out.set_silent(false);
        write(self);
        self.out.set_silent(silent);
        self.began = self.out.position();
    }

    /// A boolean; 0 or 1 under RESP2.
    pub fn boolean(&mut self, value: bool) {
        match self.protocol {
            Protocol::Resp3 => self.raw(if value { b"#t\r\n" } else { b"#f\r\n" }),
            Protocol::Resp2 => self.integer(i64::from(value)),
        }
    }

    /// A double, written with the fewest digits that read back as the same value.
    pub fn double(&mut self, value: f64) {
        if let Some(integer) = double_as_integer(value) {
            return match self.protocol {
                Protocol::Resp3 => self.prefixed(b',', integer),
                Protocol::Resp2 => self.bulk_integer(integer),
            };
        }
        let text = format_double(value);
        match self.protocol {
            Protocol::Resp3 => {
                self.raw(b",");
                self.raw(text.as_bytes());
                self.raw(b"\r\n");
            }
            Protocol::Resp2 => self.bulk(text.as_bytes()),
        }
    }

    /// Text for people, with its format (`txt` or `mkd`).
    pub fn verbatim(&mut self, format: impl AsRef<[u8]>, text: &[u8]) {
        match self.protocol {
            Protocol::Resp3 => {
                self.prefixed(b'=', text.len() as i64 + 4);
                self.raw(format.as_ref());
                self.raw(b":");
                self.raw(text);
                self.raw(b"\r\n");
            }
            Protocol::Resp2 => self.bulk(text),
        }
    }

    /// An integer of any size, given in decimal.
    pub fn big_number(&mut self, digits: impl AsRef<[u8]>) {
        let digits = digits.as_ref();
        match self.protocol {
            Protocol::Resp3 => {
                self.raw(b"(");
                self.raw(digits);
                self.raw(b"\r\n");
            }
            Protocol::Resp2 => self.bulk(digits),
        }
    }

    #[inline]
    fn prefixed(&mut self, kind: u8, value: i64) {
        // Small non-negative numbers are by far the most: no division, one copy.
        if (0..10).contains(&value) {
            self.short([kind, b'0' + value as u8, b'\r', b'\n']);
            return;
        }
        if (10..100).contains(&value) {
            self.short([kind, b'0' + (value / 10) as u8, b'0' + (value % 10) as u8, b'\r', b'\n']);
            return;
        }
        self.prefixed_long(kind, value);
    }

    fn prefixed_long(&mut self, kind: u8, value: i64) {
        // Room for the longest line at once, written in place and cut.
        self.out.reserve(LINE_BYTES_MAX);
        let out = &mut self.out.tail;
        let before = out.len();
        out.extend_from_slice(&[0; LINE_BYTES_MAX]);
        let line = &mut out[before..][..LINE_BYTES_MAX];
        line[0] = kind;
        let end = 1 + decimal_len(value);
        write_i64_before(line, end, value);
        line[end] = b'\r';
        line[end + 1] = b'\n';
        out.truncate(before + end + 2);
    }
}

/// Longest line of a kind, an integer and a line end, rounded up.
const LINE_BYTES_MAX: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(protocol: Protocol, write: impl Fn(&mut Reply<'_>)) -> String {
        let mut out = Output::default();
        write(&mut Reply::new(&mut out, protocol));
        String::from_utf8(out.to_vec()).expect("the replies of this test are text")
    }

    #[test]
    fn each_type_falls_back_under_resp2() {
        let all = |reply: &mut Reply<'_>| {
            reply.map(1);
            reply.set(12);
            reply.null();
            reply.null_array();
            reply.boolean(true);
            reply.double(1.5);
            reply.verbatim("txt", b"hi");
            reply.integer(-1234);
        };
        assert_eq!(
            written(Protocol::Resp2, all),
            "*2\r\n*12\r\n$-1\r\n*-1\r\n:1\r\n$3\r\n1.5\r\n$2\r\nhi\r\n:-1234\r\n"
        );
        assert_eq!(
            written(Protocol::Resp3, all),
            "%1\r\n~12\r\n_\r\n_\r\n#t\r\n,1.5\r\n=6\r\ntxt:hi\r\n:-1234\r\n"
        );
    }

    #[test]
    fn an_error_stays_one_line() {
        assert_eq!(written(Protocol::Resp2, |reply| reply.error(b"ERR a\r\nb")), "-ERR a  b\r\n");
    }
}
