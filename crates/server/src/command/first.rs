//! The first of many in some order, when only so many of them are wanted: in the end they are sorted, and meanwhile no more
//! than about twice as many are held.
//!
//! Each comes with its rank, a number that tells as much of the order as a number can. What is sorted are the ranks, of
//! sixteen bytes each with their places; only those of the same rank are compared themselves.

use std::cmp::Ordering;

/// See the file's head. Of two that are equal the one that came first is first.
#[derive(Debug)]
pub struct First<T, F> {
    wanted: usize,
    is_descending: bool,
    /// The order of those of one rank.
    order: F,
    held: Vec<Held<T>>,
    came: usize,
    /// Up to `wanted` those that are first so far, of which the last is the last; behind them what has come since.
    is_cut: bool,
}

#[derive(Clone, Copy, Debug)]
struct Held<T> {
    rank: u64,
    /// Its place among all that came.
    place: usize,
    one: T,
}

/// The rank of a number that is not NaN.
pub fn rank_of_number(number: f64) -> u64 {
    // Both zeros are one.
    let bits = (number + 0.0).to_bits();
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// The rank of a text: what it begins with.
pub fn rank_of_text(text: &[u8]) -> u64 {
    let mut beginning = [0; size_of::<u64>()];
    let len = text.len().min(beginning.len());
    beginning[..len].copy_from_slice(&text[..len]);
    u64::from_be_bytes(beginning)
}

impl<T: Copy, F: Fn(&T, &T) -> Ordering> First<T, F> {
    /// So many of them, or `usize::MAX` for all.
    pub fn new(wanted: usize, is_descending: bool, order: F) -> Self {
        First { wanted, is_descending, order, held: Vec::new(), came: 0, is_cut: false }
    }

    /// Takes one in.
    pub fn push(&mut self, rank: u64, one: T) {
        /// Held without cutting, however few are wanted.
        const HELD_MIN: usize = 32;
        let rank = if self.is_descending { !rank } else { rank };
        let new = Held { rank, place: self.came, one };
        let is_behind = self.is_cut && self.order(&new, &self.held[self.wanted - 1]).is_gt();
        if self.wanted == 0 || is_behind {
            return;
        }
        self.held.push(new);
        self.came += 1;
        if self.held.len() >= self.wanted.saturating_mul(2).max(HELD_MIN) {
            self.cut();
        }
    }

    fn order(&self, one: &Held<T>, other: &Held<T>) -> Ordering {
        one.rank.cmp(&other.rank).then_with(|| self.order_in_rank(one, other))
    }

    #[cold]
    fn order_in_rank(&self, one: &Held<T>, other: &Held<T>) -> Ordering {
        let order = (self.order)(&one.one, &other.one);
        let order = if self.is_descending { order.reverse() } else { order };
        order.then(one.place.cmp(&other.place))
    }

    /// Forgets those that are not among the first.
    fn cut(&mut self) {
        if self.held.len() > self.wanted {
            let mut held = std::mem::take(&mut self.held);
            held.select_nth_unstable_by(self.wanted - 1, |one, other| self.order(one, other));
            held.truncate(self.wanted);
            (self.held, self.is_cut) = (held, true);
        }
    }

    /// They, in order.
    pub fn sorted(mut self) -> impl Iterator<Item = T> {
        self.cut();
        // A rank and a place in one number are compared without a branch.
        let ranked = self.held.iter().enumerate().map(|(at, held)| u128::from(held.rank) << 64 | at as u128);
        let mut ranked: Vec<u128> = ranked.collect();
        ranked.sort_unstable();
        let at = |ranked: &u128| &self.held[*ranked as u64 as usize];
        for same in ranked.chunk_by_mut(|one, other| one >> 64 == other >> 64).filter(|same| same.len() > 1) {
            same.sort_unstable_by(|one, other| self.order_in_rank(at(one), at(other)));
        }
        ranked.into_iter().map(move |ranked| self.held[ranked as u64 as usize].one)
    }
}

#[cfg(test)]
mod tests {
    use swytch_testkit::Random;

    use super::*;

    #[test]
    fn they_are_those_that_a_stable_sort_has_first_and_few_are_held() {
        for seed in 0..300 {
            let mut random = Random::new(seed);
            let (wanted, values) = (random.below(70_usize), 1 + random.below(60_u64));
            let ranks_of = 1 + random.below(5_u64);
            let mut all: Vec<(u64, usize)> =
                (0..random.below(500)).map(|at| (random.below(values), at)).collect();
            let mut first =
                First::new(wanted, false, |one: &(u64, usize), other: &(u64, usize)| one.0.cmp(&other.0));
            for one in &all {
                first.push(one.0 / ranks_of, *one);
                assert!(first.held.len() < (2 * wanted).max(32));
            }
            all.sort_by_key(|one| one.0);
            all.truncate(wanted);
            assert!(first.sorted().eq(all), "seed {seed}");
        }
    }

    #[test]
    fn all_are_sorted_where_all_are_wanted_from_either_end() {
        for (is_descending, sorted) in [(false, [1, 2, 3]), (true, [3, 2, 1])] {
            let mut first = First::new(usize::MAX, is_descending, i32::cmp);
            [3, 1, 2].into_iter().for_each(|one| first.push(0, one));
            assert!(first.sorted().eq(sorted));
        }
    }

    #[test]
    fn ranks_are_in_the_order_of_what_they_are_of() {
        let numbers = [f64::NEG_INFINITY, -2.5, -f64::MIN_POSITIVE, 0.0, 1e-300, 1.0, f64::INFINITY];
        assert!(numbers.is_sorted_by(|one, other| rank_of_number(*one) < rank_of_number(*other)));
        assert_eq!(rank_of_number(-0.0), rank_of_number(0.0));
        let texts = [&b""[..], b"a", b"ab", b"abcdefgh", b"abcdefghi", b"b", b"\xff"];
        assert!(texts.is_sorted_by(|one, other| rank_of_text(one) <= rank_of_text(other)));
    }
}
