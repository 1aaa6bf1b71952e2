//! Out-of-band messages, encoded once for all who receive them.
//!
//! The protocols differ in the first byte only, so that one encoding serves receivers of both: what is kept is all that
//! follows it, and it is shared.

use std::sync::Arc;

use swytch_decimal::format_i64;

use crate::Protocol;
use crate::output::{Output, SharedBytes};

/// An encoded message but for its first byte, which [`Reply::message`](crate::Reply::message) writes.
#[derive(Clone, Debug)]
pub struct PushMessage(SharedBytes);

/// Bytes around a part: a sign, a length and two line ends.
const FRAME_BYTES_MAX: usize = 1 + 20 + 2 + 2;

impl PushMessage {
    /// The message of these parts, each a bulk string.
    pub fn new(parts: &[&[u8]]) -> PushMessage {
        let bytes = parts.iter().map(|part| part.len() + FRAME_BYTES_MAX).sum::<usize>() + FRAME_BYTES_MAX;
        let mut encoded = Vec::with_capacity(bytes);
        push_line(&mut encoded, parts.len());
        for part in parts {
            encoded.push(b'$');
            push_line(&mut encoded, part.len());
            encoded.extend_from_slice(part);
            encoded.extend_from_slice(b"\r\n");
        }
        PushMessage(Arc::new(encoded))
    }

    /// Bytes that it takes in an output.
    pub fn bytes(&self) -> usize {
        self.0.len() + 1
    }

    pub(crate) fn append_to(&self, out: &mut Output) {
        out.extend_message(&self.0, 0..self.0.len());
    }
}

/// Short messages one behind the other, whole, as either protocol has them: whoever is given several is given all at once.
#[derive(Debug, Default)]
pub struct MessageRow {
    /// Both are as long.
    forms: [Vec<u8>; 2],
}

impl MessageRow {
    /// Appends a message.
    pub fn push(&mut self, message: &PushMessage) {
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let form = &mut self.forms[usize::from(protocol == Protocol::Resp3)];
            form.push(sign(protocol));
            form.extend_from_slice(&message.0);
        }
    }

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.forms[0].len()
    }

    pub(crate) fn form(&self, protocol: Protocol) -> &[u8] {
        &self.forms[usize::from(protocol == Protocol::Resp3)]
    }
}

/// What a message begins with.
pub(crate) fn sign(protocol: Protocol) -> u8 {
    if protocol == Protocol::Resp3 { b'>' } else { b'*' }
}

fn push_line(encoded: &mut Vec<u8>, number: usize) {
    let mut digits = [0; 20];
    encoded.extend_from_slice(format_i64(&mut digits, number as i64));
    encoded.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reply;
    use crate::output::REFERENCE_BYTES_MIN;

    fn written(message: &PushMessage, protocol: Protocol) -> Output {
        let mut out = Output::default();
        Reply::new(&mut out, protocol).message(message);
        out
    }

    #[test]
    fn one_encoding_serves_both_protocols() {
        let message = PushMessage::new(&[b"message", b"", b"hello, world"]);
        let rest = "3\r\n$7\r\nmessage\r\n$0\r\n\r\n$12\r\nhello, world\r\n";
        for (protocol, sign) in [(Protocol::Resp2, "*"), (Protocol::Resp3, ">")] {
            let out = written(&message, protocol);
            assert_eq!(String::from_utf8_lossy(&out.to_vec()), format!("{sign}{rest}"));
            assert_eq!(out.pending(), message.bytes());
        }
    }

    #[test]
    fn a_long_message_is_shared_and_counts_for_each_who_holds_it() {
        let message = PushMessage::new(&[&[b'x'; REFERENCE_BYTES_MIN]]);
        let outputs = [written(&message, Protocol::Resp2), written(&message, Protocol::Resp3)];
        assert_eq!(Arc::strong_count(&message.0), 3);
        assert!(outputs.iter().all(|out| out.held_bytes() > REFERENCE_BYTES_MIN));
    }

    #[test]
    fn a_part_of_a_row_is_its_messages() {
        let messages = [b"one".as_slice(), b"two", b"three"].map(|text| PushMessage::new(&[text]));
        let mut row = MessageRow::default();
        let ends = messages.each_ref().map(|message| {
            row.push(message);
            row.bytes()
        });
        for protocol in [Protocol::Resp2, Protocol::Resp3] {
            let mut out = Output::default();
            Reply::new(&mut out, protocol).messages(&row, ends[0]..ends[2]);
            let alone = messages[1..].iter().map(|message| written(message, protocol).to_vec());
            assert_eq!(out.to_vec(), alone.collect::<Vec<_>>().concat());
        }
    }

    #[test]
    fn what_is_out_of_band_survives_the_silence_around_it() {
        let mut out = Output::default();
        out.set_silent(true);
        let mut reply = Reply::new(&mut out, Protocol::Resp3);
        reply.out_of_band(|reply| reply.message(&PushMessage::new(&[b"kept"])));
        // More than a chunk, so that room runs out on the way.
        reply.bulk("x".repeat(1 << 20).as_bytes());
        let began = reply.began();
        out.rewind(began);
        assert_eq!(out.to_vec(), b">1\r\n$4\r\nkept\r\n");
    }
}
