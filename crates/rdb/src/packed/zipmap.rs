//! Zipmap: small hashes of Redis 2.4 and before.
//!
//! `count u8 | (field | value)… | 0xff`, a field being `length | bytes` and a value `length | unused u8 | bytes | unused`
//!
//! Source: Redis's `zipmap.c`.

use super::{Checked, Entry, Rest};

const END: u8 = 0xff;
/// A length of four bytes follows; as a count, that there are more than it could say.
const LONG: u8 = 0xfe;

/// Fields and values of a zipmap, in turn.
#[derive(Clone, Debug)]
pub struct Zipmap<'a> {
    rest: Rest<'a>,
    value_next: bool,
    /// Fields that are still to come, if that is known.
    fields_left: Option<u8>,
}

impl<'a> Zipmap<'a> {
    /// Checks head and end.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(bytes: &'a [u8]) -> Result<Zipmap<'a>, &'static str> {
        match bytes {
            &[count, ref entries @ .., END] => {
                let fields_left = (count != LONG).then_some(count);
                Ok(Zipmap { rest: Rest(entries), value_next: false, fields_left })
            }
            _ => Err("a zipmap has no end"),
        }
    }

    fn read(&mut self) -> Option<Entry<'a>> {
        let len = match self.rest.byte()? {
            END => return None,
            // Nobody writes a short one so.
            LONG => Some(self.rest.u32()? as usize).filter(|len| *len >= usize::from(LONG))?,
            short => usize::from(short),
        };
        let unused = if self.value_next { usize::from(self.rest.byte()?) } else { 0 };
        let bytes = self.rest.take(len)?;
        self.rest.take(unused)?;
        if !self.value_next
            && let Some(fields_left) = &mut self.fields_left
        {
            *fields_left = fields_left.checked_sub(1)?;
        }
        self.value_next = !self.value_next;
        Some(Entry::Bytes(bytes))
    }
}

impl<'a> Iterator for Zipmap<'a> {
    type Item = Checked<'a>;

    fn next(&mut self) -> Option<Checked<'a>> {
        let entry = match (self.rest.0.is_empty(), self.value_next, self.fields_left) {
            (false, ..) => self.read().ok_or("an entry of a zipmap is malformed"),
            (true, true, _) => Err("a field of a zipmap has no value"),
            (true, false, None | Some(0)) => return None,
            (true, false, Some(_)) => Err("a zipmap has fewer fields than it says"),
        };
        if entry.is_err() {
            *self = Zipmap { rest: Rest(&[]), value_next: false, fields_left: None };
        }
        Some(entry)
    }
}
