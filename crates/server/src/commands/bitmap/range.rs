//! A range of bits within a string, as BITCOUNT and BITPOS name it: in bytes or in bits.

use swytch_store::range;

use super::words::{count_ones, find_bit};
use crate::command::prelude::*;

/// BYTE or BIT in the argument tree.
pub(super) const UNIT: Arg =
    Arg::one_of("unit", &[Arg::flag("byte", "BYTE"), Arg::flag("bit", "BIT")]).optional().since("7.0.0");

/// What a range's positions count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Bytes,
    Bits,
}

impl Unit {
    /// Reads BYTE or BIT; nothing means bytes.
    pub(super) fn parse(arguments: &mut ArgCursor<'_>) -> Result<Unit, CommandError> {
        if arguments.word("BIT") {
            return Ok(Unit::Bits);
        }
        if arguments.remaining() > 0 && !arguments.word("BYTE") {
            return Err(CommandError::Syntax);
        }
        Ok(Unit::Bytes)
    }

    /// A string's length.
    fn len(self, bytes: &[u8]) -> u64 {
        match self {
            Unit::Bytes => bytes.len() as u64,
            Unit::Bits => bytes.len() as u64 * 8,
        }
    }
}

/// Bits of a string from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitRange {
    first: u64,
    last: u64,
}

impl BitRange {
    /// All of a string; `None` when it is empty.
    pub(super) fn all(bytes: &[u8]) -> Option<BitRange> {
        Self::new(bytes, Unit::Bytes, range::of_text(bytes.len() as u64, 0, -1))
    }

    /// The part of a string between two positions in which BITCOUNT counts; `None` when it is empty.
    pub(super) fn to_count(bytes: &[u8], start: i64, end: i64, unit: Unit) -> Option<BitRange> {
        Self::new(bytes, unit, range::of_text(unit.len(bytes), start, end))
    }

    /// The part of a string between two positions in which BITPOS looks, which differs from BITCOUNT's where both
    /// lie before the beginning.
    pub(super) fn to_search(bytes: &[u8], start: i64, end: i64, unit: Unit) -> Option<BitRange> {
        Self::new(bytes, unit, range::each_of_text(unit.len(bytes), start, end))
    }

    fn new(bytes: &[u8], unit: Unit, positions: Option<(u64, u64)>) -> Option<BitRange> {
        let (first, last) = positions?;
        debug_assert!(last < unit.len(bytes), "positions are cut to the string");
        Some(match unit {
            Unit::Bytes => BitRange { first: first * 8, last: last * 8 + 7 },
            Unit::Bits => BitRange { first, last },
        })
    }

    /// Number of set bits.
    pub(super) fn count_ones(self, bytes: &[u8]) -> u64 {
        let [head, tail] = self.edges(bytes, false);
        count_ones(self.inner(bytes)) + u64::from(head.count_ones() + tail.count_ones())
    }

    /// Position in the string of the first bit with a value.
    pub(super) fn find(self, bytes: &[u8], bit: bool) -> Option<u64> {
        let [head, tail] = self.edges(bytes, !bit);
        let first_byte = self.first / 8;
        find_bit(&[head], bit)
            .map(|at| first_byte * 8 + at)
            .or_else(|| find_bit(self.inner(bytes), bit).map(|at| (first_byte + 1) * 8 + at))
            .or_else(|| find_bit(&[tail], bit).map(|at| self.last / 8 * 8 + at))
    }

    /// The bytes between the first and the last.
    fn inner(self, bytes: &[u8]) -> &[u8] {
        let (first, last) = ((self.first / 8) as usize, (self.last / 8) as usize);
        bytes.get(first + 1..last).unwrap_or_default()
    }

    /// The first and the last byte with the bits outside the range, or already in the first byte, set to `fill`.
    fn edges(self, bytes: &[u8], fill: bool) -> [u8; 2] {
        let (first, last) = ((self.first / 8) as usize, (self.last / 8) as usize);
        let (from_first, to_last) = (0xFF_u8 >> (self.first % 8), !(0x7F_u8 >> (self.last % 8)));
        let masks = if first == last { [from_first & to_last, 0] } else { [from_first, to_last] };
        [(first, masks[0]), (last, masks[1])].map(
            |(at, mask)| {
                if fill { bytes[at] | !mask } else { bytes[at] & mask }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    #[test]
    fn ranges_agree_with_bit_by_bit() {
        let mut random = Random::from_environment();
        for _ in 0..3000 {
            let len = 1 + random.below(20_u64);
            let sparse = [0x00, 0xFF, 0x10, 0xEF, 0x01, 0x7F];
            let bytes: Vec<u8> = (0..len).map(|_| sparse[random.below(6_usize)]).collect();
            let first = random.below(len * 8);
            let last = first + random.below(len * 8 - first);
            let range = BitRange { first, last };
            let bit = |at: u64| bytes[(at / 8) as usize] >> (7 - at % 8) & 1 == 1;
            assert_eq!(range.count_ones(&bytes), (first..=last).filter(|at| bit(*at)).count() as u64);
            for wanted in [false, true] {
                assert_eq!(range.find(&bytes, wanted), (first..=last).find(|at| bit(*at) == wanted));
            }
        }
    }
}
