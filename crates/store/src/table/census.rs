//! What a table knows of its entries without looking at them: how many expire and when on average, and how many have
//! which length. It is exact, since each change says what the entry was before and is after; mostly that counts alike.

use crate::UnixMs;
use crate::entry::Mark;
use crate::types::Type;

/// Classes of lengths: 0, and from each power of two that fits in an address up to the next.
const CLASSES: usize = 48;

/// How many entries have which length.
#[derive(Clone, Debug)]
pub struct Lengths([[u32; CLASSES]; Type::ALL.len()]);

impl Default for Lengths {
    fn default() -> Self {
        Lengths([[0; CLASSES]; Type::ALL.len()])
    }
}

impl Lengths {
    /// Of a type, the smallest length of each class that has entries, and how many these are.
    pub fn of(&self, data_type: Type) -> impl Iterator<Item = (u64, u32)> {
        let counts = self.0[data_type as usize].iter().enumerate();
        counts.filter(|(_, count)| **count > 0).map(|(class, count)| ((1 << class) >> 1, *count))
    }

    fn add(&mut self, other: &Lengths) {
        for (count, other) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *count += other;
        }
    }

    /// Counts one more of a length.
    pub fn add_one(&mut self, data_type: Type, len: usize) {
        *self.count(data_type, len) += 1;
    }

    fn count(&mut self, data_type: Type, len: usize) -> &mut u32 {
        &mut self.0[data_type as usize][(usize::BITS - len.leading_zeros()) as usize]
    }
}

/// What tables know of their keys, added up.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Keys, those that have expired but are not yet removed included.
    pub keys: usize,
    /// Those of them that expire.
    pub expiring: usize,
    /// Those whose values have parts that expire.
    pub with_expiring_parts: usize,
    /// Sum of the times at which they do.
    expiry_ms: u128,
    /// How long their values are.
    pub lengths: Lengths,
}

impl Figures {
    /// How long the keys that expire will live on average.
    pub fn time_to_live_ms(&self, now_ms: UnixMs) -> u64 {
        let average_ms = self.expiry_ms / (self.expiring as u128).max(1);
        (average_ms as u64).saturating_sub(now_ms)
    }
}

/// The figures of a table.
#[derive(Debug, Default)]
pub(super) struct Census {
    pub(super) expiring: usize,
    with_expiring_parts: usize,
    expiry_ms: u128,
    /// Behind a pointer, because most tables of a server have no keys.
    lengths: Option<Box<Lengths>>,
}

impl Census {
    pub(super) fn add(&mut self, mark: Mark) {
        self.expiring += usize::from(mark.expire_at_ms.is_some());
        self.with_expiring_parts += usize::from(mark.part_due_ms.is_some());
        self.expiry_ms += u128::from(mark.expire_at_ms.unwrap_or(0));
        *self.lengths.get_or_insert_default().count(mark.data_type, mark.len) += 1;
    }

    pub(super) fn remove(&mut self, mark: Mark) {
        self.expiring -= usize::from(mark.expire_at_ms.is_some());
        self.with_expiring_parts -= usize::from(mark.part_due_ms.is_some());
        self.expiry_ms -= u128::from(mark.expire_at_ms.unwrap_or(0));
        *self.lengths.get_or_insert_default().count(mark.data_type, mark.len) -= 1;
    }

    pub(super) fn add_to(&self, figures: &mut Figures) {
        figures.expiring += self.expiring;
        figures.with_expiring_parts += self.with_expiring_parts;
        figures.expiry_ms += self.expiry_ms;
        if let Some(lengths) = &self.lengths {
            figures.lengths.add(lengths);
        }
    }

    /// A value had parts that expire, or not, and now has some, or not.
    pub(super) fn reschedule(&mut self, before: bool, after: bool) {
        self.with_expiring_parts = self.with_expiring_parts + usize::from(after) - usize::from(before);
    }

    /// A value now has another length.
    pub(super) fn resize(&mut self, data_type: Type, before: usize, after: usize) {
        let lengths = self.lengths.get_or_insert_default();
        *lengths.count(data_type, before) -= 1;
        *lengths.count(data_type, after) += 1;
    }
}
