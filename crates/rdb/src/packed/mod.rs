//! The encodings of small values: entries back to back in one string.
//!
//! Each has an iterator over its entries that checks as it goes and says what is wrong; after a fault it yields nothing.
//! An iterator that has ended without one has seen the whole string. The writers write what their iterators read.

pub(crate) mod intset;
mod listpack;
mod ziplist;
mod zipmap;

pub use intset::IntSet;
pub use listpack::Listpack;
pub(crate) use listpack::ListpackWriter;
pub use ziplist::Ziplist;
pub(crate) use ziplist::ZiplistWriter;
pub use zipmap::Zipmap;

/// An entry, or what is wrong with it.
pub type Checked<'a> = Result<Entry<'a>, &'static str>;

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// Bytes as they are.
    Bytes(&'a [u8]),
    /// A number in binary form, which readers see as its digits.
    Integer(i64),
}

impl<'a> Entry<'a> {
    /// Its bytes; those of a number are written to `digits`.
    pub fn text<'b>(self, digits: &'b mut Vec<u8>) -> &'b [u8]
    where
        'a: 'b,
    {
        match self {
            Entry::Bytes(bytes) => bytes,
            Entry::Integer(number) => {
                digits.clear();
                swytch_decimal::push_i64(digits, number);
                digits
            }
        }
    }

    /// A text in the form that takes least: a number in binary form, whoever writes it out in digits.
    #[inline]
    pub(crate) fn of_text(text: &'a [u8]) -> Entry<'a> {
        number_of(text).map_or(Entry::Bytes(text), Entry::Integer)
    }

    /// The number that it is or spells.
    pub fn integer(self) -> Option<i64> {
        match self {
            Entry::Bytes(bytes) => swytch_decimal::parse_i64(bytes),
            Entry::Integer(number) => Some(number),
        }
    }
}

/// The rest of an encoding that is read front to back.
#[derive(Clone, Debug)]
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const LEN: usize>(&mut self) -> Option<[u8; LEN]> {
        self.take(LEN).and_then(|bytes| bytes.try_into().ok())
    }

    fn byte(&mut self) -> Option<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// A little-endian number of `width` bytes, at most eight, with its sign.
    fn signed(&mut self, width: usize) -> Option<i64> {
        let bytes = self.take(width)?;
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..width].copy_from_slice(bytes);
        Some(i64::from_le_bytes(wide))
    }
}

/// Longest text of a 64-bit integer.
const NUMBER_BYTES_MAX: usize = 20;

/// The number that a text spells, if it can be stored as one.
#[inline]
fn number_of(text: &[u8]) -> Option<i64> {
    let may_be_one = matches!(text, [b'-' | b'0'..=b'9', ..]) && text.len() <= NUMBER_BYTES_MAX;
    may_be_one.then(|| swytch_decimal::parse_i64(text)).flatten()
}

#[cfg(test)]
mod tests;
