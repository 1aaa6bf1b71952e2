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
        (back_length(stated) == Some(len)).then_some(entry)
    }
}

/// Room for the first entries that are written.
const FIRST_BYTES: usize = 1 << 10;

/// A listpack that is being written.
#[derive(Clone, Debug)]
pub(crate) struct ListpackWriter {
    bytes: Vec<u8>,
    count: usize,
}

impl Default for ListpackWriter {
    fn default() -> ListpackWriter {
        ListpackWriter::new()
    }
}

impl ListpackWriter {
    const HEAD_BYTES: usize = 6;

    pub(crate) fn new() -> ListpackWriter {
        let mut bytes = Vec::with_capacity(FIRST_BYTES);
        bytes.resize(Self::HEAD_BYTES, 0);
        ListpackWriter { bytes, count: 0 }
    }

    /// Adds an entry.
    #[inline]
    pub(crate) fn push(&mut self, entry: Entry<'_>) {
        let begin = self.bytes.len();
        match entry {
            Entry::Integer(number) => self.push_number(number),
            Entry::Bytes(text) => self.push_text(text),
        }
        self.count += 1;
        let len = self.bytes.len() - begin;
        let width = back_length_bytes(len);
        if width == 1 {
            return self.bytes.push(len as u8);
        }
        let seven = |at: usize| (len >> (7 * at) & 0x7f) as u8;
        self.bytes.push(seven(width - 1));
        self.bytes.extend((0..width - 1).rev().map(|at| seven(at) | 0x80));
    }

    /// Adds all entries of another one, which is empty then.
    pub(crate) fn append(&mut self, other: &mut ListpackWriter) {
        self.bytes.extend_from_slice(&other.bytes[Self::HEAD_BYTES..]);
        self.count += other.count;
        other.clear();
    }

    fn clear(&mut self) {
        self.bytes.truncate(Self::HEAD_BYTES);
        self.count = 0;
    }

    fn push_number(&mut self, number: i64) {
        match number {
            0..=0x7f => self.bytes.push(number as u8),
            -0x1000..=0x0fff => {
                self.bytes.extend_from_slice(&(0xc000 | number as u16 & 0x1fff).to_be_bytes())
            }
            -0x8000..=0x7fff => self.push_wide(0xf1, number, 2),
            -0x80_0000..=0x7f_ffff => self.push_wide(0xf2, number, 3),
            -0x8000_0000..=0x7fff_ffff => self.push_wide(0xf3, number, 4),
            _ => self.push_wide(0xf4, number, 8),
        }
    }

    fn push_wide(&mut self, first: u8, number: i64, width: usize) {
        self.bytes.push(first);
        self.bytes.extend_from_slice(&number.to_le_bytes()[..width]);
    }

    fn push_text(&mut self, text: &[u8]) {
        match text.len() {
            len @ 0..64 => self.bytes.push(0x80 | len as u8),
            len @ 64..4096 => self.bytes.extend_from_slice(&(0xe000 | len as u16).to_be_bytes()),
            len => {
                self.bytes.push(0xf0);
                self.bytes.extend_from_slice(&(len as u32).to_le_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
    }

    /// Lets `take` have the bytes. The writer is empty again, and keeps its memory.
    pub(crate) fn finish<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> R {
        self.bytes.push(END);
        let (total, count) = (self.bytes.len() as u32, u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN));
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..Self::HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
        let taken = take(&self.bytes);
        self.clear();
        taken
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

/// The length behind an entry: the highest bits first, and a mark in all bytes but the first, by which who comes from behind
/// finds that.
fn back_length(bytes: &[u8]) -> Option<usize> {
    let is_marked = bytes.iter().enumerate().all(|(at, byte)| (at == 0) == (*byte < 0x80));
    is_marked.then(|| bytes.iter().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f)))
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
