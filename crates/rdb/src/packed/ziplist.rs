//! Ziplist: what listpacks were before; each entry says the length of the one before it.
//!
//! `bytes u32 | offset of the last entry u32 | count u16 | entries | 0xff`, an entry being
//! `length of the one before | encoding and length | bytes`
//!
//! Source: Redis's `ziplist.c`.

use super::{Checked, Entry, Rest};

const END: u8 = 0xff;
const HEAD_BYTES: usize = 10;
/// A length of an entry that takes five bytes instead of one begins so.
const LONG_BEFORE: u8 = 0xfe;
const COUNT_UNKNOWN: u16 = u16::MAX;

/// The entries of a ziplist.
#[derive(Clone, Debug)]
pub struct Ziplist<'a> {
    rest: Rest<'a>,
    expected: Option<u16>,
    /// Length of the entry before the next.
    before: usize,
    /// Where the last entry begins, counted from the end of all.
    last_from_end: usize,
}

impl<'a> Ziplist<'a> {
    /// Checks head and end.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bytes: &'a [u8]) -> Result<Ziplist<'a>, &'static str> {
        let mut rest = Rest(bytes);
        let head = rest.u32().zip(rest.u32()).zip(rest.u16());
        let ((total, tail), count) = head.ok_or("a ziplist is shorter than its head")?;
        if total as usize != bytes.len() {
            return Err("a ziplist has another length than it says");
        }
        let Some((&END, entries)) = rest.0.split_last() else { return Err("a ziplist has no end") };
        let end = HEAD_BYTES + entries.len();
        let Some(last_from_end) = end.checked_sub(tail as usize).filter(|_| tail as usize >= HEAD_BYTES)
        else {
            return Err("the last entry of a ziplist lies outside of it");
        };
        let expected = Some(count).filter(|count| *count != COUNT_UNKNOWN);
        Ok(Ziplist { rest: Rest(entries), expected, before: 0, last_from_end })
    }

    fn read(&mut self) -> Option<Entry<'a>> {
        let left = self.rest.0.len();
        let before = match self.rest.byte()? {
            LONG_BEFORE => self.rest.u32()? as usize,
            END => return None,
            short => usize::from(short),
        };
        let first = self.rest.byte()?;
        let entry = match first >> 6 {
            0 => Entry::Bytes(self.rest.take(usize::from(first & 0x3f))?),
            1 => {
                let len = usize::from(first & 0x3f) << 8 | usize::from(self.rest.byte()?);
                Entry::Bytes(self.rest.take(len)?)
            }
            2 => {
                let len = self.rest.array().map(u32::from_be_bytes)?;
                Entry::Bytes(self.rest.take(len as usize)?)
            }
            _ => Entry::Integer(match first {
                0xc0 => self.rest.signed(2)?,
                0xd0 => self.rest.signed(4)?,
                0xe0 => self.rest.signed(8)?,
                0xf0 => self.rest.signed(3)?,
                0xfe => self.rest.signed(1)?,
                0xf1..=0xfd => i64::from(first & 0x0f) - 1,
                _ => return None,
            }),
        };
        let is_last = self.rest.0.is_empty();
        if before != self.before || is_last != (left == self.last_from_end) {
            return None;
        }
        self.before = left - self.rest.0.len();
        Some(entry)
    }
}

impl<'a> Iterator for Ziplist<'a> {
    type Item = Checked<'a>;

    fn next(&mut self) -> Option<Checked<'a>> {
        if self.rest.0.is_empty() {
            let missing = self.expected.take().is_some_and(|expected| expected != 0);
            return missing.then_some(Err("a ziplist has fewer entries than it says"));
        }
        let entry = self.read().ok_or("an entry of a ziplist is malformed");
        let too_many = self.expected == Some(0);
        self.expected = self.expected.map(|expected| expected.saturating_sub(1));
        let entry = if too_many { Err("a ziplist has more entries than it says") } else { entry };
        if entry.is_err() {
            self.rest = Rest(&[]);
            self.expected = None;
        }
        Some(entry)
    }
}
