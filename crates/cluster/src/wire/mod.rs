//! The wire form of messages: one version byte, then fields in order; integers as LEB128.
//!
//! Invariants: decoding never panics and never allocates more than a small multiple of the input's length; an
//! accepted input uses every byte; `decode(encode(m)) == m`. Neighbours: `types` lists the fields of every message.

mod types;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// First byte of every message.
pub const WIRE_VERSION: u8 = 16;

/// The longest message, in bytes. Snapshots of values beyond this are the transport's to split.
pub const MESSAGE_BYTES_MAX: usize = 1 << 30;

/// Capacity reserved on the word of a length field; longer lists grow as their elements arrive.
const RESERVE_MAX: usize = 256;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WireError {
    /// Longer than [`MESSAGE_BYTES_MAX`].
    TooLong,
    /// The sender speaks another version.
    Version(u8),
    /// The input ends within a field.
    Truncated,
    /// A field holds a value it cannot hold.
    Invalid,
    /// Bytes follow the message.
    Trailing,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "message longer than {MESSAGE_BYTES_MAX} bytes"),
            Self::Version(version) => write!(f, "wire version {version}, expected {WIRE_VERSION}"),
            Self::Truncated => f.write_str("message ends within a field"),
            Self::Invalid => f.write_str("field holds an impossible value"),
            Self::Trailing => f.write_str("bytes follow the message"),
        }
    }
}

impl std::error::Error for WireError {}

/// Appends the wire form of a message, or of something else that stands by itself, to `out`.
pub fn encode(message: &impl Wire, out: &mut Vec<u8>) {
    out.push(WIRE_VERSION);
    message.put(out);
}

/// Reads what [`encode`] has written, which must fill `bytes`.
///
/// # Errors
/// If it is something else.
pub fn decode<T: Wire>(bytes: &[u8]) -> Result<T, WireError> {
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(WireError::TooLong);
    }
    let mut reader = Reader::new(bytes);
    match reader.byte()? {
        WIRE_VERSION => {}
        version => return Err(WireError::Version(version)),
    }
    let message = T::get(&mut reader)?;
    reader.end()?;
    Ok(message)
}

/// What lies in a file of its own, in the form of a message.
pub trait Stored: Wire {
    /// Its form in the file.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode(self, &mut bytes);
        bytes
    }

    /// Reads what [`Stored::encode`] has written.
    ///
    /// # Errors
    /// If it is something else.
    fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        decode(bytes)
    }
}

/// A value with a wire form.
pub trait Wire: Sized {
    /// Appends the wire form.
    fn put(&self, out: &mut Vec<u8>);

    /// Reads a value.
    ///
    /// # Errors
    /// If the input does not begin with one.
    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

/// The part of the input not read yet.
#[derive(Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// If something is left.
    pub fn end(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing) }
    }

    fn byte(&mut self) -> Result<u8, WireError> {
        let (first, rest) = self.rest.split_first().ok_or(WireError::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }

    /// Bytes behind their length.
    ///
    /// # Errors
    /// If there are fewer.
    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(u64::get(self)?).map_err(|_| WireError::Invalid)?;
        if length > self.rest.len() {
            return Err(WireError::Truncated);
        }
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        Ok(taken)
    }

    /// The number of elements that follow. Every element takes at least a byte, so more than are left is a lie.
    ///
    /// # Errors
    /// If it is one.
    pub fn count(&mut self) -> Result<usize, WireError> {
        let count = usize::try_from(u64::get(self)?).map_err(|_| WireError::Invalid)?;
        if count > self.rest.len() { Err(WireError::Truncated) } else { Ok(count) }
    }
}

/// Appends bytes behind their length.
pub fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    (bytes.len() as u64).put(out);
    out.extend_from_slice(bytes);
}

impl Wire for u64 {
    fn put(&self, out: &mut Vec<u8>) {
        let mut rest = *self;
        while rest >= 0x80 {
            out.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        out.push(rest as u8);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = reader.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return Err(WireError::Invalid);
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // One form per value, so that equal messages have equal bytes.
                return if byte == 0 && shift > 0 { Err(WireError::Invalid) } else { Ok(value) };
            }
        }
        Err(WireError::Invalid)
    }
}

/// Zigzag: small numbers of either sign are short.
impl Wire for i64 {
    fn put(&self, out: &mut Vec<u8>) {
        ((self << 1 ^ self >> 63) as u64).put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        u64::get(reader).map(|zigzag| (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64))
    }
}

impl Wire for u128 {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let (bytes, rest) = reader.rest.split_first_chunk().ok_or(WireError::Truncated)?;
        reader.rest = rest;
        Ok(Self::from_le_bytes(*bytes))
    }
}

impl Wire for u32 {
    fn put(&self, out: &mut Vec<u8>) {
        u64::from(*self).put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        u64::get(reader)?.try_into().map_err(|_| WireError::Invalid)
    }
}

impl Wire for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        reader.byte()
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        match reader.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(WireError::Invalid),
        }
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        if bool::get(reader)? { T::get(reader).map(Some) } else { Ok(None) }
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        if bool::get(reader)? { T::get(reader).map(Ok) } else { E::get(reader).map(Err) }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        self.iter().for_each(|element| element.put(out));
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let count = reader.count()?;
        let mut elements = Vec::with_capacity(count.min(RESERVE_MAX));
        for _ in 0..count {
            elements.push(T::get(reader)?);
        }
        Ok(elements)
    }
}

impl<K: Wire + Ord, T: Wire> Wire for BTreeMap<K, T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut map = Self::new();
        for _ in 0..reader.count()? {
            let (key, value) = Wire::get(reader)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(WireError::Invalid);
            }
            map.insert(key, value);
        }
        Ok(map)
    }
}

impl<T: Wire + Ord> Wire for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        self.iter().for_each(|element| element.put(out));
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let mut set = Self::new();
        for _ in 0..reader.count()? {
            let element = T::get(reader)?;
            if set.last().is_some_and(|last| *last >= element) {
                return Err(WireError::Invalid);
            }
            set.insert(element);
        }
        Ok(set)
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        Ok((A::get(reader)?, B::get(reader)?))
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn get(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        T::get(reader).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::mix;
    use crate::message::Envelope;

    /// Bytes that look like a message at first are either refused or are the one form of what they decode to.
    #[test]
    fn what_is_accepted_has_one_form() {
        let mut accepted = 0;
        for seed in 0..200_000_u64 {
            let mut bytes = vec![WIRE_VERSION, (seed % 3) as u8, 1, 2, 1, 0, 0, 0, (seed % 73) as u8];
            bytes.extend((0..seed % 40).map(|index| mix(seed << 8 | index) as u8 & 0x83));
            if let Ok(envelope) = decode::<Envelope>(&bytes) {
                accepted += 1;
                let mut again = Vec::new();
                encode(&envelope, &mut again);
                assert_eq!(again, bytes, "seed {seed}");
            }
        }
        assert!(accepted > 100, "only {accepted} inputs got through: the test says nothing");
    }

    #[test]
    fn another_version_and_overlong_integers_are_refused() {
        assert_eq!(decode::<Envelope>(&[1]), Err(WireError::Version(1)));
        assert_eq!(decode::<Envelope>(&[]), Err(WireError::Truncated));
        let read = |bytes: &[u8]| u64::get(&mut Reader::new(bytes));
        assert_eq!(read(&[0x80, 0]), Err(WireError::Invalid));
        assert_eq!(read(&[0xff; 11]), Err(WireError::Invalid));
        assert_eq!(read(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), Ok(u64::MAX));
    }
}
