//! Zipmap: small hashes of Redis 2.4 and before.
//!
//! `count u8 | (field | value)… | 0xff`, a field being `length | bytes` and a value `length | unused u8 | bytes | unused`
//!
//! Source: Redis's `zipmap.c`.

use super::{Checked, Entry, Rest};

const END: u8 = 0xff;
/// A length of four bytes follows.
const LONG: u8 = 0xfe;

/// Fields and values of a zipmap, in turn.
#[derive(Clone, Debug)]
pub struct Zipmap<'a> {
    rest: Rest<'a>,
    value_next: bool,
}

impl<'a> Zipmap<'a> {
    /// Checks head and end.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>, &'static str> {
        match bytes {
            // The count is only true for fewer than 254 fields, and readers never needed it.
            [_, entries @ .., END] => Ok(Zipmap { rest: Rest(entries), value_next: false }),
            _ => Err("a zipmap has no end"),
        }
    }

    fn read(&mut self) -> Option<Entry<'a>> {
        let len = match self.rest.byte()? {
            END => return None,
            LONG => self.rest.u32()? as usize,
            short => usize::from(short),
        };
        let unused = if self.value_next { usize::from(self.rest.byte()?) } else { 0 };
        let bytes = self.rest.take(len)?;
        self.rest.take(unused)?;
        self.value_next = !self.value_next;
        Some(Entry::Bytes(bytes))
    }
}

impl<'a> Iterator for Zipmap<'a> {
    type Item = Checked<'a>;

    fn next(&mut self) -> Option<Checked<'a>> {
        if self.rest.0.is_empty() {
            return std::mem::take(&mut self.value_next).then_some(Err("a field of a zipmap has no value"));
        }
        let entry = self.read().ok_or("an entry of a zipmap is malformed");
        if entry.is_err() {
            *self = Zipmap { rest: Rest(&[]), value_next: false };
        }
        Some(entry)
    }
}
