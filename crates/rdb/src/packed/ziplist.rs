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

/// A ziplist that is being written.
#[derive(Clone, Debug)]
pub(crate) struct ZiplistWriter {
    bytes: Vec<u8>,
    count: usize,
    /// Where the last entry begins.
    last: usize,
}

impl ZiplistWriter {
    pub(crate) fn new() -> ZiplistWriter {
        ZiplistWriter { bytes: vec![0; HEAD_BYTES], count: 0, last: HEAD_BYTES }
    }

    /// Adds an entry.
    pub(crate) fn push(&mut self, entry: Entry<'_>) {
        let before = self.bytes.len() - self.last;
        self.last = self.bytes.len();
        self.count += 1;
        match u8::try_from(before) {
            Ok(before) if before < LONG_BEFORE => self.bytes.push(before),
            _ => {
                self.bytes.push(LONG_BEFORE);
                self.bytes.extend_from_slice(&(before as u32).to_le_bytes());
            }
        }
        match entry {
            Entry::Integer(number) => self.push_number(number),
            Entry::Bytes(text) => self.push_text(text),
        }
    }

    fn push_number(&mut self, number: i64) {
        let (first, width) = match number {
            0..=12 => return self.bytes.push(0xf1 + number as u8),
            -0x80..=0x7f => (0xfe, 1),
            -0x8000..=0x7fff => (0xc0, 2),
            -0x80_0000..=0x7f_ffff => (0xf0, 3),
            -0x8000_0000..=0x7fff_ffff => (0xd0, 4),
            _ => (0xe0, 8),
        };
        self.bytes.push(first);
        self.bytes.extend_from_slice(&number.to_le_bytes()[..width]);
    }

    fn push_text(&mut self, text: &[u8]) {
        match text.len() {
            len @ 0..64 => self.bytes.push(len as u8),
            len @ 64..16_384 => self.bytes.extend_from_slice(&(0x4000 | len as u16).to_be_bytes()),
            len => {
                self.bytes.push(0x80);
                self.bytes.extend_from_slice(&(len as u32).to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
    }

    /// Lets `take` have the bytes. The writer is empty again, and keeps its memory.
    pub(crate) fn finish<R>(&mut self, take: impl FnOnce(&[u8]) -> R) -> R {
        self.bytes.push(END);
        let (total, count) = (self.bytes.len() as u32, u16::try_from(self.count).unwrap_or(COUNT_UNKNOWN));
        self.bytes[..4].copy_from_slice(&total.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&(self.last as u32).to_le_bytes());
        self.bytes[8..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
        let taken = take(&self.bytes);
        self.bytes.truncate(HEAD_BYTES);
        (self.count, self.last) = (0, HEAD_BYTES);
        taken
    }
}
