//! Strings: reading one as bytes or as an integer, and how a growable one takes memory.

pub mod op;

use swytch_decimal::Digits;

use super::content::Value;
use crate::RawString;

/// A string value's bytes, whatever its encoding.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// Bytes that lie in the entry.
    Borrowed(&'a [u8]),
    /// Bytes that can be shared beyond the lock.
    Raw(RawString<'a>),
    /// Of an integer.
    Digits(Digits),
}

impl<'a> Text<'a> {
    /// The bytes of a string value; `None` for any other type.
    #[inline]
    pub fn of(value: Value<'a>) -> Option<Text<'a>> {
        match value {
            Value::Bytes(bytes) => Some(Text::Borrowed(bytes)),
            Value::Raw(raw) => Some(Text::Raw(raw)),
            Value::Integer(number) => Some(Text::Digits(Digits::of(number))),
            _ => None,
        }
    }
}

impl std::ops::Deref for Text<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Text::Borrowed(bytes) => bytes,
            Text::Raw(raw) => raw.bytes(),
            Text::Digits(digits) => digits,
        }
    }
}

/// Up to this length a growing string doubles its memory; beyond it takes a quarter more.
const DOUBLING_BYTES_MAX: usize = 1 << 20;

/// Makes room for `len` bytes, and for more of them so that growing byte by byte stays cheap.
pub(crate) fn reserve_amortised(string: &mut Vec<u8>, len: usize) {
    if len <= string.capacity() {
        return;
    }
    let ahead = if len <= DOUBLING_BYTES_MAX { len } else { len / 4 };
    string.reserve_exact(len.saturating_add(ahead) - string.len());
}

/// Makes a string at least `len` bytes long, with zeros.
pub(crate) fn grow_zeroed(string: &mut Vec<u8>, len: usize) {
    if len <= string.len() {
        return;
    }
    if len > string.capacity() && string.len() < len / 2 {
        // Mostly zeros: memory fresh from the system has them already, and untouched pages cost nothing.
        let mut grown = vec![0; len];
        grown[..string.len()].copy_from_slice(string);
        *string = grown;
        return;
    }
    reserve_amortised(string, len);
    string.resize(len, 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growing_byte_by_byte_reallocates_rarely() {
        let mut string = Vec::new();
        let (mut reallocations, mut capacity) = (0, 0);
        for len in 1..=3 << 20 {
            reserve_amortised(&mut string, len);
            string.push(b'x');
            if string.capacity() != capacity {
                (reallocations, capacity) = (reallocations + 1, string.capacity());
            }
        }
        assert!(reallocations <= 40, "{reallocations} reallocations");
        assert!(capacity <= string.len() * 5 / 4 + DOUBLING_BYTES_MAX);
    }

    #[test]
    fn growing_with_zeros_keeps_what_was_there() {
        for (before, after) in [(0, 10), (3, 4), (3, 100), (100, 120), (100, 50)] {
            let mut string = vec![b'x'; before];
            grow_zeroed(&mut string, after);
            assert_eq!(string.len(), after.max(before));
            assert!(string[..before].iter().all(|byte| *byte == b'x'));
            assert!(string[before..].iter().all(|byte| *byte == 0));
        }
    }
}
