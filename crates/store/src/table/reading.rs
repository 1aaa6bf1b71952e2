//! A table read for a [cut](crate::Cut), in the order of hash prefixes.
//!
//! The segments are raw pointers, and so unsafe; see the table.

use super::{Found, TAG_BITS, Table};
use crate::Key;
use crate::entry::EntryRef;

/// How far a table was read for a cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    /// Its database at the moment of the cut.
    db: u32,
    /// Keys of smaller hash prefixes were read.
    prefix: u32,
}

impl Table {
    /// A cut is read from now on.
    pub(crate) fn begin_reading(&mut self, db: u32) {
        self.reading = (!self.is_empty()).then_some(Reading { db, prefix: 0 });
    }

    /// Whether a cut has something to be read here.
    pub(crate) fn is_read(&self) -> bool {
        self.reading.is_some()
    }

    /// Where a key is that was not read for a cut, if it is anywhere, and whose it is.
    fn unread_place(&self, key: &Key<'_>) -> Option<(u32, Found)> {
        let Reading { db, prefix } = self.reading?;
        if (key.hash >> (64 - TAG_BITS)) < u64::from(prefix) {
            return None;
        }
        Some((db, self.find_place(key)?))
    }

    /// What a cut wants of a key that is going to change: its entry, and the database that it belongs to.
    pub(crate) fn unread(&self, key: &Key<'_>) -> Option<(u32, EntryRef<'_>)> {
        let (db, found) = self.unread_place(key)?;
        let entry = self.entry_at(found);
        (!entry.is_new()).then_some((db, entry))
    }

    /// What is at a key is not of the cut that is read, or no longer.
    pub(crate) fn mark_as_new(&mut self, key: &Key<'_>) {
        if let Some((_, found)) = self.unread_place(key) {
            // SAFETY: as in `with_entry`.
            std::mem::ManuallyDrop::new(unsafe { found.place.take() }).set_new(true);
        }
    }

    /// Shows the next entries of a cut, about `count` of them; false at the end.
    pub(crate) fn read_on(&mut self, count: usize, visit: &mut dyn FnMut(u32, EntryRef<'_>)) -> bool {
        let Some(Reading { db, mut prefix }) = self.reading else { return false };
        let mut seen = 0;
        while seen < count {
            let Some((start, segment, following)) = self.segment_at(prefix) else { break };
            let span = following.unwrap_or(1 << TAG_BITS) - start;
            // SAFETY: segment and entries are alive, and the table is borrowed.
            unsafe {
                let pieces = (*segment).len().div_ceil(count).next_power_of_two().min(span as usize) as u32;
                let end = (prefix / (span / pieces) + 1) * (span / pieces);
                seen += (*segment).read(self.buckets, prefix..end, |entry| visit(db, entry));
                prefix = end;
            }
            if prefix == 1 << TAG_BITS {
                break;
            }
        }
        let more = prefix < 1 << TAG_BITS && !self.directory.is_none();
        self.reading = more.then_some(Reading { db, prefix });
        more
    }
}
