//! Bytes on their way into a file or payload: the mirror of [`Input`](crate::input::Input).
//!
//! What is written collects in a buffer, which goes to the target a piece at a time, so that a value of any size passes
//! through. The first failure of the target is kept and told at the end; nothing is written behind it.

use std::io::{self, Write};

use crate::input::{CRC, Checksum};
use crate::lzf::Compressor;

/// Bytes that collect before they go to the target.
const PIECE_BYTES: usize = 1 << 18;
/// Room for what collects at first: small values grow in one piece.
const FIRST_BYTES: usize = 1 << 10;
/// Shorter strings are not worth compressing (Redis: `rdbSaveRawString`).
const COMPRESSED_BYTES_MIN: usize = 21;
/// Longest text of an integer that is written in binary form.
const NUMBER_BYTES_MAX: usize = 11;

/// Where a writer's bytes go.
pub(crate) struct Output<W> {
    target: W,
    pub(crate) pending: Vec<u8>,
    checksum: Option<Checksum>,
    compressor: Option<Compressor>,
    failure: Option<io::Error>,
    written: u64,
}

impl<W: Write> Output<W> {
    /// An output that keeps a checksum of all it writes, or none, and compresses strings, or does not.
    pub(crate) fn new(target: W, checksum: bool, compress: bool) -> Output<W> {
        Output {
            target,
            pending: Vec::with_capacity(FIRST_BYTES),
            checksum: checksum.then(|| CRC.digest()),
            compressor: compress.then(Compressor::of_thread),
            failure: None,
            written: 0,
        }
    }

    #[inline]
    pub(crate) fn byte(&mut self, byte: u8) {
        self.pending.push(byte);
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= PIECE_BYTES {
            self.pass_on();
        }
    }

    fn pass_on(&mut self) {
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&self.pending);
        }
        self.written += self.pending.len() as u64;
        if self.failure.is_none() {
            self.failure = self.target.write_all(&self.pending).err();
        }
        self.pending.clear();
        self.pending.shrink_to(2 * PIECE_BYTES);
    }

    /// Whether the target has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// Passes on what is left, and behind it the checksum if one is wanted, zeros otherwise; gives the target back, and
    /// how many bytes it was given.
    pub(crate) fn finish(mut self) -> io::Result<(W, u64)> {
        self.pass_on();
        let sum = self.checksum.take().map_or(0, Checksum::finalize);
        self.pending.extend_from_slice(&sum.to_le_bytes());
        self.pass_on();
        if let Some(compressor) = self.compressor.take() {
            compressor.set_aside();
        }
        match self.failure {
            Some(failure) => Err(failure),
            None => Ok((self.target, self.written)),
        }
    }

    pub(crate) fn length(&mut self, length: u64) {
        match length {
            0..64 => self.byte(length as u8),
            64..16_384 => self.bytes(&(0x4000 | length as u16).to_be_bytes()),
            _ => match u32::try_from(length) {
                Ok(length) => {
                    self.byte(0x80);
                    self.bytes(&length.to_be_bytes());
                }
                Err(_) => {
                    self.byte(0x81);
                    self.bytes(&length.to_be_bytes());
                }
            },
        }
    }

    /// A string: in binary form if it is a small integer, compressed if that makes it shorter, else as it is.
    pub(crate) fn string(&mut self, text: &[u8]) {
        if text.len() <= NUMBER_BYTES_MAX
            && let Some(number) = swytch_decimal::parse_i64(text)
            && self.number(number)
        {
            return;
        }
        if text.len() >= COMPRESSED_BYTES_MIN
            && let Some(mut compressor) = self.compressor.take()
        {
            let is_shorter = compressor.compress(text);
            if is_shorter {
                self.byte(0xc3);
                self.length(compressor.output().len() as u64);
                self.length(text.len() as u64);
                self.bytes(compressor.output());
            }
            self.compressor = Some(compressor);
            if is_shorter {
                return;
            }
        }
        self.length(text.len() as u64);
        self.bytes(text);
    }

    /// Writes an integer in binary form; false if it is too large for one.
    fn number(&mut self, number: i64) -> bool {
        if let Ok(number) = i8::try_from(number) {
            self.bytes(&[0xc0, number as u8]);
        } else if let Ok(number) = i16::try_from(number) {
            self.byte(0xc1);
            self.bytes(&number.to_le_bytes());
        } else if let Ok(number) = i32::try_from(number) {
            self.byte(0xc2);
            self.bytes(&number.to_le_bytes());
        } else {
            return false;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::Input;

    fn written(compress: bool, act: impl Fn(&mut Output<Vec<u8>>)) -> Vec<u8> {
        let mut output = Output::new(Vec::new(), false, compress);
        act(&mut output);
        let (mut bytes, _) = output.finish().expect("a vector takes everything");
        bytes.truncate(bytes.len() - 8);
        bytes
    }

    #[test]
    fn lengths_come_back() {
        for length in [0, 63, 64, 16_383, 16_384, u64::from(u32::MAX), 1 << 32, u64::MAX] {
            let bytes = written(false, |output| output.length(length));
            assert_eq!(Input::new(bytes.as_slice()).length().expect("a length"), length);
        }
    }

    #[test]
    fn strings_come_back_and_are_as_short_as_they_can_be() {
        let numbers =
            ["0", "-128", "127", "128", "-32769", "2147483647", "-2147483648", "2147483648", "007", "-0"];
        let lengths = [2, 2, 2, 3, 5, 5, 5, 11, 4, 3];
        for (text, length) in numbers.into_iter().zip(lengths) {
            let bytes = written(true, |output| output.string(text.as_bytes()));
            assert_eq!(bytes.len(), length, "{text}");
        }
        let texts = [&b""[..], b"x", &[b'x'; 20], &[b'x'; 21], &[b'x'; 100_000]];
        for text in numbers.map(str::as_bytes).into_iter().chain(texts) {
            for compress in [false, true] {
                let bytes = written(compress, |output| output.string(text));
                let mut target = Vec::new();
                Input::new(bytes.as_slice()).string(&mut target).expect("a string");
                assert_eq!(target, text);
                assert!(!compress || bytes.len() <= 2000, "{} bytes are {}", text.len(), bytes.len());
            }
        }
    }

    #[test]
    fn what_the_target_does_not_take_is_told_once_at_the_end() {
        #[derive(Debug)]
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut output = Output::new(Full, true, false);
        (0..100).for_each(|_| output.bytes(&[0; PIECE_BYTES]));
        assert!(output.has_failed());
        let error = output.finish().expect_err("nothing was taken");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
