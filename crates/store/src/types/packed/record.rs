//! Values back to back whose names lie elsewhere: what is left of a small collection of names and values where many have
//! the same names.
//!
//! ```text
//! value: length (7 bits a byte, low first) | bytes
//! ```
//!
//! The label says which names they are. It stands in the count of the buffer, with the highest bit set; so whoever asks
//! whether a packed value is such a one keeps it below that many entries otherwise.

use std::ops::Range;

use super::buffer::{Buffer, HEADER_BYTES};
use super::{Length, Packed, Side, UNLIMITED, first_length, length_bytes};

/// From this count on it is a label. No collection that can become a record has so many entries.
pub(in super::super) const ENTRIES_MAX: usize = LABEL_BIT - 1;
const LABEL_BIT: usize = 1 << 15;

impl Packed {
    /// Values under a label.
    pub(in super::super) fn record<'v>(
        label: usize,
        values: impl Iterator<Item = &'v [u8]> + Clone,
    ) -> Packed {
        debug_assert!(label < LABEL_BIT);
        let used: usize = values.clone().map(|value| length_bytes(value.len()) + value.len()).sum();
        let capacity = (HEADER_BYTES + used).next_multiple_of(8) - HEADER_BYTES;
        let mut buffer = Buffer::of(&[], 0, capacity, Side::Tail);
        for value in values {
            let Length { forwards, bytes, .. } = Length::of(value);
            buffer.extend(Side::Tail, &forwards[..bytes], value, &[]);
        }
        buffer.truncate(used, LABEL_BIT | label);
        Packed(buffer)
    }

    /// The label and the values, where it is values under a label.
    #[inline(always)]
    pub(in super::super) fn as_record(&self) -> Option<(usize, &[u8])> {
        let count = self.0.count();
        (count & LABEL_BIT != 0).then(|| (count & !LABEL_BIT, self.0.content()))
    }

    /// Puts a value in the place of the one that lies in this range of a record.
    pub(in super::super) fn replace_value(&mut self, range: Range<usize>, value: &[u8]) {
        let Length { forwards, bytes, .. } = Length::of(value);
        let by = [&forwards[..bytes], value].concat();
        self.splice(range.start, range.end, &by, self.0.count(), UNLIMITED);
    }
}

/// The first of some values and the rest; there is one.
#[inline(always)]
pub(in super::super) fn split_value(values: &[u8]) -> (&[u8], &[u8]) {
    let (len, head) = first_length(values);
    values[head..].split_at(len)
}
