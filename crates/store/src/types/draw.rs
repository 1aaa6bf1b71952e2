//! Ranks drawn at random, for members and fields that are.

use std::collections::HashSet;

/// A random number below another; `random` gives 64 random bits.
pub(super) fn below(bound: usize, random: &mut dyn FnMut() -> u64) -> usize {
    ((u128::from(random()) * bound as u128) >> 64) as usize
}

/// `count` numbers below `bound`, which is no less, and no two the same (Floyd's algorithm).
pub(super) fn distinct_below(bound: usize, count: usize, random: &mut dyn FnMut() -> u64) -> Vec<usize> {
    let mut drawn = HashSet::with_capacity(count);
    let draw = |last: usize| {
        let rank = below(last + 1, random);
        let rank = if drawn.insert(rank) { rank } else { last };
        drawn.insert(rank);
        rank
    };
    (bound - count..bound).map(draw).collect()
}
