//! Listpack: entries that can be read from both ends, because each says its length once more behind itself.
//!
//! `bytes u32 | count u16 | entries | 0xff`, an entry being `encoding and length | bytes | length of both, backwards`
//!
//! Source: the listpack specification by Salvatore Sanfilippo, and Redis's `listpack.c`.

use super::{Checked, Entry, Rest};

const END: u8 = 0xff;
/// A count that says that there are more than it can say.
const COUNT_UNKNOWN: u16 = u16::MAX;

/// The entries of a listpack.
#[derive(Clone, Debug)]
pub struct Listpack<'a> {
    /// Entries not yet seen, without the end.
    rest: Rest<'a>,
    /// How many are to come, where the head says it.
    expected: Option<u16>,
}

impl<'a> Listpack<'a> {
    /// Checks head and end.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bytes: &'a [u8]) -> Result<Listpack<'a>, &'static str> {
        let mut rest = Rest(bytes);
        let head = rest.u32().zip(rest.u16());
        let (total, count) = head.ok_or("a listpack is shorter than its head")?;
        if total as usize != bytes.len() {
            return Err("a listpack has another length than it says");
        }
        let Some((&END, entries)) = rest.0.split_last() else { return Err("a listpack has no end") };
        Ok(Listpack { rest: Rest(entries), expected: Some(count).filter(|count| *count != COUNT_UNKNOWN) })
    }

    fn read(&mut self) -> Option<Entry<'a>> {
        let before = self.rest.0.len();
        let first = self.rest.byte()?;
        let low = u32::from(first);
        let entry = match first {
            0x00..=0x7f => Entry::Integer(i64::from(first)),
            0x80..=0xbf => Entry::Bytes(self.rest.take((low & 0x3f) as usize)?),
            0xc0..=0xdf => {
                let number = (low & 0x1f) << 8 | u32::from(self.rest.byte()?);
                // Thirteen bits with a sign.
                Entry::Integer(i64::from((number as i32) << 19 >> 19))
            }
            0xe0..=0xef => {
                let len = (low & 0x0f) << 8 | u32::from(self.rest.byte()?);
                Entry::Bytes(self.rest.take(len as usize)?)
            }
            0xf0 => {
                let len = self.rest.u32()?;
                Entry::Bytes(self.rest.take(len as usize)?)
            }
            0xf1 => Entry::Integer(self.rest.signed(2)?),
            0xf2 => Entry::Integer(self.rest.signed(3)?),
            0xf3 => Entry::Integer(self.rest.signed(4)?),
            0xf4 => Entry::Integer(self.rest.signed(8)?),
            _ => return None,
        };
        let len = before - self.rest.0.len();
        let stated = self.rest.take(back_length_bytes(len))?;
        (back_length(stated) == len).then_some(entry)
    }
}

/// How many bytes the length behind an entry takes: seven bits in each.
fn back_length_bytes(len: usize) -> usize {
    match len {
        0..=127 => 1,
        128..=16_382 => 2,
        16_383..=2_097_150 => 3,
        2_097_151..=268_435_454 => 4,
        _ => 5,
    }
}

/// The length behind an entry: the highest bits first, and a mark in all bytes but the first.
fn back_length(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f))
}

impl<'a> Iterator for Listpack<'a> {
    type Item = Checked<'a>;

    fn next(&mut self) -> Option<Checked<'a>> {
        if self.rest.0.is_empty() {
            let missing = self.expected.take().is_some_and(|expected| expected != 0);
            return missing.then_some(Err("a listpack has fewer entries than it says"));
        }
        let entry = self.read().ok_or("an entry of a listpack is malformed");
        let too_many = self.expected == Some(0);
        self.expected = self.expected.map(|expected| expected.saturating_sub(1));
        let entry = if too_many { Err("a listpack has more entries than it says") } else { entry };
        if entry.is_err() {
            *self = Listpack { rest: Rest(&[]), expected: None };
        }
        Some(entry)
    }
}
