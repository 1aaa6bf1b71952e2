//! The first of many in some order, when only so many of them are wanted: in the end they are sorted, and meanwhile no more
//! than about twice as many are held.

use std::cmp::Ordering;

/// See the file's head. Of two that are equal the one that came first is first.
#[derive(Debug)]
pub struct First<T, F> {
    wanted: usize,
    order: F,
    /// Each with its place among all that came.
    held: Vec<(usize, T)>,
    came: usize,
    /// Up to `wanted` those that are first so far, of which the last is the last; behind them what has come since.
    is_cut: bool,
}

impl<T, F: Fn(&T, &T) -> Ordering> First<T, F> {
    /// So many of them, or `usize::MAX` for all.
    pub fn new(wanted: usize, order: F) -> Self {
        First { wanted, order, held: Vec::new(), came: 0, is_cut: false }
    }

    /// Takes one in.
    pub fn push(&mut self, one: T) {
        /// Held without cutting, however few are wanted.
        const HELD_MIN: usize = 32;
        let is_behind = self.is_cut && (self.order)(&one, &self.held[self.wanted - 1].1).is_ge();
        if self.wanted == 0 || is_behind {
            return;
        }
        self.held.push((self.came, one));
        self.came += 1;
        if self.held.len() >= self.wanted.saturating_mul(2).max(HELD_MIN) {
            self.cut();
        }
    }

    /// Forgets those that are not among the first.
    fn cut(&mut self) {
        if self.held.len() > self.wanted {
            let order = by(&self.order);
            self.held.select_nth_unstable_by(self.wanted - 1, order);
            self.held.truncate(self.wanted);
            self.is_cut = true;
        }
    }

    /// They, in order.
    pub fn sorted(mut self) -> Vec<T> {
        self.cut();
        self.held.sort_unstable_by(by(&self.order));
        self.held.into_iter().map(|(_, one)| one).collect()
    }
}

fn by<T>(order: &impl Fn(&T, &T) -> Ordering) -> impl Fn(&(usize, T), &(usize, T)) -> Ordering {
    move |(place, one), (other_place, other)| order(one, other).then(place.cmp(other_place))
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
            let mut all: Vec<(u64, usize)> =
                (0..random.below(500)).map(|at| (random.below(values), at)).collect();
            let mut first =
                First::new(wanted, |one: &(u64, usize), other: &(u64, usize)| one.0.cmp(&other.0));
            for one in &all {
                first.push(*one);
                assert!(first.held.len() < (2 * wanted).max(32));
            }
            all.sort_by_key(|one| one.0);
            all.truncate(wanted);
            assert_eq!(first.sorted(), all, "seed {seed}");
        }
    }

    #[test]
    fn all_are_sorted_where_all_are_wanted() {
        let mut first = First::new(usize::MAX, i32::cmp);
        [3, 1, 2].into_iter().for_each(|one| first.push(one));
        assert_eq!(first.sorted(), [1, 2, 3]);
    }
}
