//! A hash as it is at a time: without the fields whose time is over.

use super::{Field, Hash, Stored};
use crate::UnixMs;
use crate::types::draw::{below, distinct_below};

/// See the file's head.
#[derive(Clone, Copy, Debug)]
pub struct Live<'h> {
    hash: &'h Hash,
    now_ms: UnixMs,
    /// No field's time is over.
    is_whole: bool,
}

impl<'h> Live<'h> {
    #[inline]
    pub(super) fn new(hash: &'h Hash, now_ms: UnixMs) -> Live<'h> {
        use crate::types::collection::Face;
        Live { hash, now_ms, is_whole: hash.due_ms().is_none_or(|due_ms| due_ms > now_ms) }
    }

    /// A field.
    #[inline]
    pub fn find(&self, name: &[u8]) -> Option<Field<'h>> {
        self.hash.find(name).filter(|field| field.is_live(self.now_ms))
    }

    /// The value of a field.
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<&'h [u8]> {
        self.find(name).map(|field| field.value)
    }

    /// Number of fields; it counts them where some time is over.
    pub fn len(&self) -> usize {
        if self.is_whole { self.hash.len() } else { self.iter().count() }
    }

    /// True when there is no field.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// All fields.
    pub fn iter(&self) -> impl Iterator<Item = Field<'h>> + use<'h> {
        let Live { hash, now_ms, is_whole } = *self;
        hash.iter().filter(move |field| is_whole || field.is_live(now_ms))
    }

    /// `count` random fields, with repetition or without, and then all of them if they are fewer; `random` gives 64 random
    /// bits.
    pub fn draw(&self, count: usize, repeated: bool, random: &mut dyn FnMut() -> u64) -> Vec<Field<'h>> {
        if !repeated && count >= self.hash.len() {
            return self.iter().collect();
        }
        let some: Vec<Field<'h>> = if self.is_whole { Vec::new() } else { self.iter().collect() };
        let len = if self.is_whole { self.hash.len() } else { some.len() };
        let at = |rank: usize| if self.is_whole { self.hash.at(rank) } else { some[rank] };
        match len {
            0 => Vec::new(),
            _ if repeated => (0..count).map(|_| at(below(len, random))).collect(),
            _ => distinct_below(len, count.min(len), random).into_iter().map(at).collect(),
        }
    }

    /// Shows fields from a cursor on, about `count` of them, and gives the cursor to go on from; `None` at the end. A field
    /// that is there from the first step to the last is shown, and once only while the hash keeps its form.
    pub fn scan(&self, cursor: u64, count: usize, mut show: impl FnMut(Field<'_>)) -> Option<u64> {
        match self.hash.stored() {
            Stored::Table(table) => table.scan(cursor, count, |entry| {
                let field = Field::of(entry);
                if field.is_live(self.now_ms) {
                    show(field);
                }
            }),
            Stored::Record(_) | Stored::Packed(..) => {
                self.iter().for_each(show);
                None
            }
        }
    }
}
