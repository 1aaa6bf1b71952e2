//! Where an even division of a range of positions has one of them.
//!
//! Positions are those of hashes, which fill their range evenly: what lies in their order is found within a few places of
//! where an even division has it. The division is a product with a factor worked out before, since a search makes two.

use std::ops::Range;

/// Bits of a key.
pub(super) const KEY_BITS: u32 = 12;

/// A range of positions in as many equal parts as there are keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    start: u64,
    /// Parts for each position, in units of 2^-64.
    parts: u64,
}

impl Scale {
    pub(super) fn of(range: &Range<u64>) -> Scale {
        let parts = (1 << (u64::BITS + KEY_BITS)) / u128::from((range.end - range.start).max(1));
        Scale { start: range.start, parts: u64::try_from(parts).unwrap_or(u64::MAX) }
    }

    /// The first position.
    #[inline(always)]
    pub(super) fn start(self) -> u64 {
        self.start
    }

    /// The part that a position lies in. Those before the range have the first, those behind it the last.
    #[inline(always)]
    pub(super) fn key(self, position: u64) -> u32 {
        let key = (u128::from(position.saturating_sub(self.start)) * u128::from(self.parts)) >> u64::BITS;
        (key as u64).min((1 << KEY_BITS) - 1) as u32
    }

    /// Where a position is among `count` things that lie in order; below the count.
    #[inline(always)]
    pub(super) fn place(self, position: u64, count: usize) -> usize {
        (self.key(position) as usize * count) >> KEY_BITS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_grow_with_positions_and_fill_what_there_is_of_them() {
        for range in [0..1 << 48, 5..6, 7..4103, 1 << 47..(1 << 47) + 1_000_003, (1 << 48) - 3..1 << 48] {
            let scale = Scale::of(&range);
            let width = range.end - range.start;
            let positions = (0..=1000).map(|part| range.start + (u128::from(width - 1) * part / 1000) as u64);
            let keys: Vec<u32> = positions.map(|position| scale.key(position)).collect();
            assert!(keys.is_sorted() && keys[0] == 0, "{range:?}");
            assert!(
                u64::from(keys[1000]) >= (width.min(1 << KEY_BITS) - 1) * 4095 / 4096,
                "{range:?}: {}",
                keys[1000]
            );
            assert_eq!((scale.key(0), scale.key(u64::MAX)), (0, (1 << KEY_BITS) - 1));
            assert!(scale.place(range.end - 1, 100) < 100);
        }
    }
}
