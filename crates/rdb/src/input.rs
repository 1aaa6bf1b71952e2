//! Bytes with their offset and checksum, and the format's own lengths, numbers and strings.
//!
//! Invariant: memory for a string grows with the bytes that arrive, not with those that are announced.

use std::io::{self, BufRead};

use crc::{CRC_64_REDIS, Crc, Digest, Table};

use crate::lzf;
use crate::{Fault, FaultKind};

/// The checksum of files and payloads: CRC-64 with Jones's polynomial.
pub(crate) static CRC: Crc<u64, Table<16>> = Crc::<u64, Table<16>>::new(&CRC_64_REDIS);

/// A checksum that grows.
pub(crate) type Checksum = Digest<'static, u64, Table<16>>;

const UNKNOWN_ENCODING: &str = "a string has an unknown encoding";

/// A length, or the mark of a string in a special encoding.
enum Length {
    Of(u64),
    Encoded(u8),
}

fn unreadable(offset: u64, error: io::Error) -> Fault {
    Fault { offset, kind: FaultKind::Unreadable(error) }
}

/// The bytes of a file or payload as they are read.
///
/// What was read of the bytes that the source has at hand is only counted; the checksum and a copy of it are made, and the
/// source is told, when more are needed or somebody asks.
pub(crate) struct Input<R> {
    source: R,
    /// Bytes of what the source has at hand that are read.
    used: usize,
    /// Where in the file the bytes that the source has at hand begin.
    begin: u64,
    /// Of a file; a payload's is computed over all of it before it is read.
    checksum: Option<Checksum>,
    /// Compressed bytes, kept for their memory.
    compressed: Vec<u8>,
    /// Takes a copy of what is read, if it is wanted, and from where on of the bytes at hand.
    copy: Option<(Vec<u8>, usize)>,
}

impl<R: BufRead> Input<R> {
    pub(crate) fn new(source: R) -> Input<R> {
        Input { checksum: Some(CRC.digest()), ..Input::unsummed(source, 0) }
    }

    /// Bytes whose checksum nobody asks for, the first of them at an offset.
    pub(crate) fn unsummed(source: R, offset: u64) -> Input<R> {
        Input { source, used: 0, begin: offset, checksum: None, compressed: Vec::new(), copy: None }
    }

    /// Lets `read` go on and puts what it has read into `target`, whose content is replaced.
    pub(crate) fn copied<T>(
        &mut self,
        target: &mut Vec<u8>,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        target.clear();
        self.copy = Some((std::mem::take(target), self.used));
        let result = read(self)?;
        let (mut copy, from) = self.copy.take().unwrap_or_default();
        let used = self.used;
        if from < used {
            copy.extend_from_slice(&self.at_hand()?[from..used]);
        }
        *target = copy;
        Ok(result)
    }

    /// A fault at the byte that would be read next.
    pub(crate) fn fault(&self, kind: FaultKind) -> Fault {
        Fault { offset: self.offset(), kind }
    }

    pub(crate) fn malformed(&self, what: &'static str) -> Fault {
        self.fault(FaultKind::Malformed(what))
    }

    pub(crate) fn offset(&self) -> u64 {
        self.begin + self.used as u64
    }

    /// The checksum of all bytes read so far.
    pub(crate) fn checksum(&mut self) -> Result<u64, Fault> {
        self.settle()?;
        Ok(self.checksum.clone().map_or(0, Checksum::finalize))
    }

    /// Leaves in the source what is not read, and nothing else.
    pub(crate) fn settle(&mut self) -> Result<(), Fault> {
        let used = self.used;
        if used == 0 {
            return Ok(());
        }
        // Not by `at_hand`: what is read of is at hand, whatever has become of the file.
        let bytes = self.source.fill_buf().map_err(|error| unreadable(self.begin, error))?;
        if let Some(checksum) = &mut self.checksum {
            checksum.update(&bytes[..used]);
        }
        if let Some((copy, from)) = &mut self.copy {
            copy.extend_from_slice(&bytes[*from..used]);
            *from = 0;
        }
        self.source.consume(used);
        self.begin += used as u64;
        self.used = 0;
        Ok(())
    }

    fn at_hand(&mut self) -> Result<&[u8], Fault> {
        let offset = self.offset();
        loop {
            match self.source.fill_buf() {
                // Asked again below, since the compiler does not let it go out of a loop.
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(offset, error)),
            }
        }
        self.source.fill_buf().map_err(|error| unreadable(offset, error))
    }

    /// Lets `take` have the next `len` bytes, in as many pieces as they come.
    #[inline]
    fn pieces(&mut self, len: u64, mut take: impl FnMut(&[u8])) -> Result<(), Fault> {
        let mut left = len;
        while left > 0 {
            let used = self.used;
            let rest = &self.at_hand()?[used..];
            if rest.is_empty() {
                self.settle()?;
                if self.at_hand()?.is_empty() {
                    return Err(self.fault(FaultKind::Truncated));
                }
                continue;
            }
            let piece = rest.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            take(&rest[..piece]);
            self.used += piece;
            left -= piece as u64;
        }
        Ok(())
    }

    #[inline]
    pub(crate) fn bytes<const LEN: usize>(&mut self) -> Result<[u8; LEN], Fault> {
        let (mut bytes, mut filled) = ([0; LEN], 0);
        self.pieces(LEN as u64, |piece| {
            bytes[filled..filled + piece.len()].copy_from_slice(piece);
            filled += piece.len();
        })?;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Fault> {
        self.bytes().map(|[byte]| byte)
    }

    /// Appends the next `len` bytes to `target`.
    pub(crate) fn append(&mut self, len: u64, target: &mut Vec<u8>) -> Result<(), Fault> {
        self.pieces(len, |piece| target.extend_from_slice(piece))
    }

    /// A length; a special encoding is a fault here.
    pub(crate) fn length(&mut self) -> Result<u64, Fault> {
        match self.length_or_encoding()? {
            Length::Of(length) => Ok(length),
            Length::Encoded(_) => Err(self.malformed("an encoded string stands where a length should")),
        }
    }

    fn length_or_encoding(&mut self) -> Result<Length, Fault> {
        let first = self.byte()?;
        let low = first & 0x3f;
        Ok(match first >> 6 {
            0 => Length::Of(u64::from(low)),
            1 => Length::Of(u64::from(low) << 8 | u64::from(self.byte()?)),
            3 => Length::Encoded(low),
            _ => match first {
                0x80 => Length::Of(u64::from(u32::from_be_bytes(self.bytes()?))),
                0x81 => Length::Of(u64::from_be_bytes(self.bytes()?)),
                _ => return Err(self.malformed("a length begins with a byte that means nothing")),
            },
        })
    }

    /// Passes a string.
    pub(crate) fn skip_string(&mut self) -> Result<(), Fault> {
        let len = match self.length_or_encoding()? {
            Length::Of(length) => length,
            Length::Encoded(3) => {
                let (packed, _) = (self.length()?, self.length()?);
                packed
            }
            Length::Encoded(width @ 0..=2) => 1 << width,
            Length::Encoded(_) => return Err(self.malformed(UNKNOWN_ENCODING)),
        };
        self.pieces(len, |_| ())
    }

    /// Reads a string into `target`, whose content is replaced.
    pub(crate) fn string(&mut self, target: &mut Vec<u8>) -> Result<(), Fault> {
        target.clear();
        let number = match self.length_or_encoding()? {
            Length::Of(length) => return self.append(length, target),
            Length::Encoded(0) => i64::from(i8::from_le_bytes(self.bytes()?)),
            Length::Encoded(1) => i64::from(i16::from_le_bytes(self.bytes()?)),
            Length::Encoded(2) => i64::from(i32::from_le_bytes(self.bytes()?)),
            Length::Encoded(3) => return self.compressed_string(target),
            Length::Encoded(_) => return Err(self.malformed(UNKNOWN_ENCODING)),
        };
        swytch_decimal::push_i64(target, number);
        Ok(())
    }

    fn compressed_string(&mut self, target: &mut Vec<u8>) -> Result<(), Fault> {
        let (packed, len) = (self.length()?, self.length()?);
        let mut compressed = std::mem::take(&mut self.compressed);
        compressed.clear();
        self.append(packed, &mut compressed)?;
        let fits = usize::try_from(len).is_ok_and(|len| lzf::decompress(&compressed, len, target));
        self.compressed = compressed;
        if fits { Ok(()) } else { Err(self.malformed("a compressed string does not decompress")) }
    }

    /// A 64-bit floating-point number, as eight bytes.
    pub(crate) fn double(&mut self) -> Result<f64, Fault> {
        self.bytes().map(f64::from_le_bytes)
    }

    /// A floating-point number as old versions write it: text with its length in front, or a mark.
    pub(crate) fn double_in_text(&mut self) -> Result<f64, Fault> {
        match self.byte()? {
            253 => Ok(f64::NAN),
            254 => Ok(f64::INFINITY),
            255 => Ok(f64::NEG_INFINITY),
            len => {
                let mut text = Vec::with_capacity(usize::from(len));
                self.append(u64::from(len), &mut text)?;
                let text = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
                text.ok_or_else(|| self.malformed("a score is no number"))
            }
        }
    }

    /// A time in milliseconds.
    pub(crate) fn time_ms(&mut self) -> Result<i64, Fault> {
        self.bytes().map(i64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(bytes: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut target = Vec::new();
        Input::new(bytes).string(&mut target).map(|()| target)
    }

    #[test]
    fn strings_come_in_all_encodings() {
        assert_eq!(string(b"\x03abc").expect("six bits of length"), b"abc");
        assert_eq!(string(&[b"\x41\x00".as_slice(), &[b'x'; 256]].concat()).expect("14 bits"), [b'x'; 256]);
        assert_eq!(string(b"\x80\x00\x00\x00\x01a").expect("32 bits"), b"a");
        assert_eq!(string(b"\x81\x00\x00\x00\x00\x00\x00\x00\x01a").expect("64 bits"), b"a");
        assert_eq!(string(b"\xc0\xff").expect("a byte"), b"-1");
        assert_eq!(string(b"\xc1\x00\x80").expect("two bytes"), b"-32768");
        assert_eq!(string(b"\xc2\xff\xff\xff\x7f").expect("four bytes"), b"2147483647");
        assert_eq!(string(b"\xc3\x05\x0a\x01ab\xc0\x01").expect("compressed"), b"ababababab");
    }

    #[test]
    fn what_is_announced_and_not_there_takes_no_memory() {
        let announced = [b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff".as_slice(), b"abc"].concat();
        let fault = string(&announced).expect_err("so much is not there");
        assert!(matches!(fault.kind, FaultKind::Truncated));
        let fault = string(b"\xc4").expect_err("no such encoding");
        assert_eq!((fault.offset, matches!(fault.kind, FaultKind::Malformed(_))), (1, true));
    }

    #[test]
    fn the_checksum_is_redis_s() {
        let mut input = Input::new(&b"123456789"[..]);
        input.bytes::<9>().expect("nine bytes");
        // Source: the test vector of Redis's crc64.c.
        assert_eq!(input.checksum().expect("nine bytes"), 0xe9c6_d914_c4b8_d9ca);
    }
}
