//! Positions as Redis's commands give them: from either end, and ranges that include both of theirs.
//!
//! Collections ([`inclusive`]) and texts ([`of_text`]) differ where a range lies before the beginning.

use std::ops::Range;

/// The positions that `start..=stop` selects from `len` elements; negative indices count from the end. An empty
/// selection starts at its end.
pub fn inclusive(start: i64, stop: i64, len: usize) -> Range<usize> {
    let len = len as i64;
    let from_end = |index: i64| if index < 0 { (index.saturating_add(len)).max(0) } else { index };
    // A stop before the first element selects nothing, also after clamping.
    if stop < 0 && stop.saturating_add(len) < 0 {
        return 0..0;
    }
    let start = from_end(start).min(len);
    let stop = from_end(stop).min(len - 1);
    if start > stop { start as usize..start as usize } else { start as usize..stop as usize + 1 }
}

/// The first and last position between `start` and `end` in a text of this length; `None` when there are none. What lies
/// before the beginning means position 0, but two negative positions in the wrong order mean nothing.
pub fn of_text(len: u64, start: i64, end: i64) -> Option<(u64, u64)> {
    if start < 0 && end < 0 && start > end { None } else { each_of_text(len, start, end) }
}

/// [`of_text`] by looking at each position alone: two before the beginning mean position 0 in any order (BITPOS).
pub fn each_of_text(len: u64, start: i64, end: i64) -> Option<(u64, u64)> {
    let absolute = |position: i64| match position {
        0.. => position as u64,
        _ => len.saturating_sub(position.unsigned_abs()),
    };
    let (start, end) = (absolute(start), absolute(end).min(len.checked_sub(1)?));
    (start <= end).then_some((start, end))
}

/// The position that an index, from the end when negative, means among `len` elements.
pub fn index(index: i64, len: usize) -> Option<usize> {
    let index = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(index).ok().filter(|index| *index < len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_counts_from_either_end() {
        for (given, expected) in
            [(0, Some(0)), (2, Some(2)), (3, None), (-1, Some(2)), (-3, Some(0)), (-4, None)]
        {
            assert_eq!(index(given, 3), expected, "{given}");
        }
        assert_eq!(index(i64::MIN, 3), None);
        assert_eq!(index(0, 0), None);
    }

    #[test]
    fn positions_before_a_text_mean_its_first() {
        assert_eq!(of_text(7, -100, -99), Some((0, 0)));
        assert_eq!(of_text(7, -99, -100), None);
        assert_eq!(each_of_text(7, -99, -100), Some((0, 0)));
        assert_eq!(each_of_text(7, -1, -2), None);
    }

    #[test]
    fn a_range_includes_both_its_ends_and_is_cut_at_those_of_the_elements() {
        for ((start, stop), expected) in [
            ((0, -1), 0..3),
            ((1, 1), 1..2),
            ((-2, 9), 1..3),
            ((-9, 0), 0..1),
            ((2, 1), 2..2),
            ((3, 5), 3..3),
            ((0, -4), 0..0),
            ((i64::MIN, i64::MAX), 0..3),
            ((-100, -100), 0..0),
        ] {
            assert_eq!(inclusive(start, stop, 3), expected, "{start} {stop}");
        }
        assert_eq!(inclusive(0, -1, 0), 0..0);
    }
}
