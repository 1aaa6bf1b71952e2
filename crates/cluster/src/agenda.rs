//! What is to be looked at before an input is done with: each thing once, the lowest first.
//!
//! Invariant: the order depends on what is in it alone, not on when it was put in. A heap and no ordered set, because
//! mostly it holds one thing for a moment. Neighbour: `node` keeps one of keys and one of operations.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{Hash, Hasher};

/// Things in line. The same thing twice counts once.
#[derive(Clone, Debug)]
pub(crate) struct Agenda<T>(BinaryHeap<Reverse<T>>);

impl<T: Ord> Default for Agenda<T> {
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<T: Ord> Agenda<T> {
    /// Puts a thing in line.
    pub(crate) fn insert(&mut self, thing: T) {
        self.0.push(Reverse(thing));
    }

    /// Takes the lowest.
    pub(crate) fn pop_first(&mut self) -> Option<T> {
        let Reverse(first) = self.0.pop()?;
        while self.0.peek().is_some_and(|Reverse(next)| *next == first) {
            self.0.pop();
        }
        Some(first)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What is in line, in order.
    fn contents(&self) -> Vec<&T> {
        let mut contents: Vec<&T> = self.0.iter().map(|Reverse(thing)| thing).collect();
        contents.sort_unstable();
        contents.dedup();
        contents
    }
}

impl<T: Ord> Extend<T> for Agenda<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, things: I) {
        self.0.extend(things.into_iter().map(Reverse));
    }
}

impl<T: Ord> PartialEq for Agenda<T> {
    fn eq(&self, other: &Self) -> bool {
        self.contents() == other.contents()
    }
}

impl<T: Ord> Eq for Agenda<T> {}

impl<T: Ord + Hash> Hash for Agenda<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.contents().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_comes_once_and_the_lowest_first() {
        let mut agenda = Agenda::default();
        agenda.extend([3, 1, 2]);
        agenda.insert(1);
        let mut same = Agenda::default();
        same.extend([1, 2, 3]);
        assert_eq!(agenda, same);
        assert_eq!(std::iter::from_fn(|| agenda.pop_first()).collect::<Vec<_>>(), [1, 2, 3]);
        assert_ne!(agenda, same);
    }
}
